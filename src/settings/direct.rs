//! Settings of direct messages.

use std::num::NonZeroUsize;

use clap::Args;

use super::values::count;

#[derive(Clone, Debug, Args)]
pub struct Direct {
    /// Direct messages that may wait for one person until it has them, 1 to 1000000; who writes more is
    /// told that the box is full
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_MAX_PENDING", default_value = "1000", value_parser = count(1, 1_000_000))]
    pub max_pending: NonZeroUsize,
}
