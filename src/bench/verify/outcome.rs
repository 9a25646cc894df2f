//! The result of a comparison.

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaseOutcome {
    /// Largest error of an output (of attention, or logits), relative to the largest output.
    pub error: f64,
    /// Largest error that the element type's rounding can explain.
    pub allowed: f64,
    /// Outputs compared.
    pub compared: usize,
}
