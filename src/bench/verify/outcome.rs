//! What every comparison gives.

/// What a comparison gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaseOutcome {
    /// Largest error of an output (of attention, or logits), relative to the largest.
    pub error: f64,
    /// Largest error that the element type's rounding explains.
    pub allowed: f64,
    /// Outputs compared.
    pub compared: usize,
}
