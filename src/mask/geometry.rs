//! The sizes of a model that a mask must fit, and their fingerprint.

use sha2::{Digest, Sha256};

use super::Shape;

/// The sizes of a decoder and its rotation base: the same for every file format of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Family name, in lower case: `llama`, `qwen2`, ...
    pub architecture: String,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads per layer.
    pub heads: usize,
    /// KV heads per layer.
    pub kv_heads: usize,
    /// Channels per head.
    pub head_dim: usize,
    /// Width of the hidden state.
    pub hidden: usize,
    /// Base of the rotation frequencies.
    pub rope_theta: f64,
}

impl Geometry {
    /// The shape of a mask for this model.
    pub fn shape(&self) -> Shape {
        Shape { layers: self.layers, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }
}

/// Sha256, in hexadecimal, of the canonical JSON of a geometry: keys in alphabetical order, no
/// white space, the rotation base as a floating-point number (`500000.0`).
pub fn fingerprint(geometry: &Geometry) -> String {
    let canonical = serde_json::json!({
        "architecture": geometry.architecture,
        "head_dim": geometry.head_dim,
        "heads": geometry.heads,
        "hidden": geometry.hidden,
        "kv_heads": geometry.kv_heads,
        "layers": geometry.layers,
        "rope_theta": geometry.rope_theta,
    });
    crate::numbers::hex(&Sha256::digest(canonical.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama() -> Geometry {
        Geometry {
            architecture: "llama".into(),
            layers: 32,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            hidden: 4096,
            rope_theta: 5e5,
        }
    }

    #[test]
    fn the_fingerprint_is_the_sha256_of_sorted_compact_json() {
        // printf '{"architecture":"llama","head_dim":128,...,"rope_theta":500000.0}' | sha256sum
        assert_eq!(
            fingerprint(&llama()),
            "e5cc0ccebda5204f1df0b11063869300fc6614028cf31ebc73519bc2c3aa540d"
        );
    }

    #[test]
    fn every_field_changes_the_fingerprint() {
        let changed = [
            Geometry { architecture: "qwen2".into(), ..llama() },
            Geometry { layers: 33, ..llama() },
            Geometry { heads: 64, ..llama() },
            Geometry { kv_heads: 4, ..llama() },
            Geometry { head_dim: 64, ..llama() },
            Geometry { hidden: 2048, ..llama() },
            Geometry { rope_theta: 1e4, ..llama() },
        ];
        for geometry in changed {
            assert_ne!(fingerprint(&geometry), fingerprint(&llama()), "{geometry:?}");
        }
    }
}
