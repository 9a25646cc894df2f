//! What a model's weights are in memory: their types, and the bytes of each.

use std::fmt;

use crate::element::Dtype;
use crate::model::host::quant::QuantKind;

/// The type of a matrix's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// Floats.
    Float(Dtype),
    /// Quantised blocks.
    Quantised(QuantKind),
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(dtype) => dtype.fmt(f),
            Self::Quantised(kind) => f.pad(kind.name()),
        }
    }
}

/// The types of a model's matrices, those with most bytes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightTypes(Vec<(WeightType, u64)>);

impl WeightTypes {
    /// Adds bytes of one type.
    pub fn add(&mut self, kind: WeightType, bytes: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += bytes,
            None => self.0.push((kind, bytes)),
        }
        self.0.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The 16-bit type that is nearest to the types with fewer bits than f32: bf16 where there is
    /// some, otherwise f16; `None` where everything is f32.
    pub fn narrow(&self) -> Option<Dtype> {
        let floats = |dtype| self.0.iter().any(|(kind, _)| *kind == WeightType::Float(dtype));
        match (floats(Dtype::Bf16), floats(Dtype::F16) || self.is_quantised()) {
            (true, _) => Some(Dtype::Bf16),
            (_, true) => Some(Dtype::F16),
            _ => None,
        }
    }

    /// Whether some of them are quantised.
    pub fn is_quantised(&self) -> bool {
        self.0.iter().any(|(kind, _)| matches!(kind, WeightType::Quantised(_)))
    }
}

/// The names, such as `q4_1 + q8_0`.
impl fmt::Display for WeightTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|(kind, _)| kind.to_string()).collect();
        f.pad(&names.join(" + "))
    }
}
