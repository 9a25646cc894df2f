//! Where the A/B screen looks.

use crate::decode::lost::Asked;

/// Where the A/B screen looks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AbView {
    /// The token under the cursor; `None` follows the newest.
    pub cursor: Option<usize>,
    /// The query head within its group.
    pub query: usize,
    /// Whether the pruned side is at the left.
    pub swapped: bool,
    /// What the engine was asked last, and when.
    pub asked: Option<Asked>,
    /// Milliseconds since the start.
    pub asked_ms: f64,
}
