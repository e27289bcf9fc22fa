//! Who people are: what their applications say of them (`tokens`).

pub mod tokens;
