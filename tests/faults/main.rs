//! What can go wrong does, to the real program: it is killed, told to end in the middle of everything,
//! and meets clients that stall, flood, vanish, and send garbage. Nothing acknowledged or shown is
//! lost, nobody else notices, and nothing is left behind.

#[path = "../harness/mod.rs"]
mod harness;

mod boxes;
mod changeover;
mod crowd;
mod drain;
mod full;
mod kill;
mod last_words;
mod leaks;
mod namespaces;
mod pace;
mod packets;
mod seam;
mod slow;
mod unread;
mod unwanted;
mod upgrade;
