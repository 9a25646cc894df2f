//! What attention sees of a cache because the model is as it is, whatever plan and window say.

use std::ops::Range;

/// How the layers of a model look back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sight {
    /// Tokens that each layer sees, the current one included; `None` for a layer that sees all of
    /// them. Empty where all layers do.
    pub windows: Vec<Option<usize>>,
    /// Soft cap of attention scores, `cap tanh(score / cap)`.
    pub score_cap: Option<f32>,
}

// A cap is never NaN: configurations with one are refused.
impl Eq for Sight {}

impl Sight {
    /// Tokens that a layer sees, where it does not see all.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.windows.get(layer).copied().flatten()
    }

    /// The positions that the last of `len` tokens sees in a layer.
    pub fn seen(&self, layer: usize, len: usize) -> Range<usize> {
        let first = self.window(layer).map_or(0, |window| len.saturating_sub(window));
        first..len
    }
}
