//! What a browser gets from the web transport, and nothing that it should not get.

mod bundles;
mod client;
mod confinement;
mod pages;
mod representation;
