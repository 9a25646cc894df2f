//! Which tokens both sides of a comparison are fed.

use clap::ValueEnum;

use crate::decode::comparison::Mode;

/// Which tokens the masked side of a comparison is fed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ModeArg {
    /// Both sides are fed the dense side's tokens
    Forced,
    /// Each side is fed its own
    Free,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Forced => Self::Forced,
            ModeArg::Free => Self::Free,
        }
    }
}
