//! The scale of attention scores.

/// The factor of `q . k`, `1 / sqrt(head_dim)`, in the precision that the caller computes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionScale {
    root: f64,
}

impl AttentionScale {
    /// The factor for heads of `head_dim` channels, however few of them are kept.
    pub fn of(head_dim: usize) -> Self {
        Self { root: (head_dim as f64).sqrt() }
    }

    /// The factor in f64.
    pub fn f64(self) -> f64 {
        1.0 / self.root
    }

    /// The factor in f32.
    pub fn f32(self) -> f32 {
        1.0 / self.root as f32
    }

    /// The factor times log2(e), in f32: for weights that are powers of two, `exp(x) = 2^(x log2
    /// e)`.
    pub fn base_two(self) -> f32 {
        std::f32::consts::LOG2_E / self.root as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_in_f64_narrows_to_the_root_in_f32() {
        for head_dim in 1..=512 {
            let root = (head_dim as f32).sqrt();
            assert_eq!(AttentionScale::of(head_dim).f32(), 1.0 / root);
            assert_eq!(AttentionScale::of(head_dim).base_two(), std::f32::consts::LOG2_E / root);
        }
    }
}
