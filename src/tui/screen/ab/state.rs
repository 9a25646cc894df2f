//! State of the A/B screen.

use crate::decode::lost::Asked;

/// What the A/B screen shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AbView {
    /// The token under the cursor; `None` follows the newest.
    pub cursor: Option<usize>,
    /// The query head within its group.
    pub query: usize,
    /// Whether the pruned side is on the left.
    pub swapped: bool,
    /// The last question to the engine.
    pub asked: Option<Asked>,
    /// When it was asked, in milliseconds since the start.
    pub asked_ms: f64,
}
