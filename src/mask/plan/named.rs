//! Plans that have a name: uniform widths, as other programs offer them.

use super::{CachePlan, Coding, V_GROUP, Width};
use crate::mask::Shape;
use crate::{Error, Result};

/// A plan that is known by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedPlan {
    /// What `--plan` takes.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Bits of every K channel.
    pub k: Width,
    /// Bits of every head's V.
    pub v: Width,
    /// How its numbers share scales.
    pub coding: Coding,
}

const CHANNELS: Coding = Coding::Channels { v_group: V_GROUP };
const BLOCKS: Coding = Coding::Blocks { rotated: false };
const ROTATED: Coding = Coding::Blocks { rotated: true };

const fn row(
    name: &'static str,
    (k, v): (Width, Width),
    coding: Coding,
    about: &'static str,
) -> NamedPlan {
    NamedPlan { name, about, k, v, coding }
}

impl CachePlan {
    /// The plans that have a name.
    pub const NAMES: [NamedPlan; 9] = [
        row(
            "k8v8",
            (Width::Eight, Width::Eight),
            CHANNELS,
            "8 bits, K per channel and V per token, as KIVI groups them",
        ),
        row("k8v4", (Width::Eight, Width::Four), CHANNELS, "K of 8 bits and V of 4, as KIVI"),
        row("k4v8", (Width::Four, Width::Eight), CHANNELS, "K of 4 bits and V of 8, as KIVI"),
        row("k4v4", (Width::Four, Width::Four), CHANNELS, "4 bits, as KIVI"),
        row(
            "q8_0",
            (Width::Eight, Width::Eight),
            BLOCKS,
            "8 bits per token in blocks of 32 channels, as llama.cpp's q8_0",
        ),
        row(
            "q4_0",
            (Width::Four, Width::Four),
            BLOCKS,
            "4 bits per token in blocks of 32 channels, as llama.cpp's q4_0",
        ),
        row("q8_0/q4_0", (Width::Eight, Width::Four), BLOCKS, "K as q8_0 and V as q4_0"),
        row(
            "q8_0-hadamard",
            (Width::Eight, Width::Eight),
            ROTATED,
            "q8_0 after a Hadamard rotation of 64 channels, as llama.cpp rotates",
        ),
        row(
            "q4_0-hadamard",
            (Width::Four, Width::Four),
            ROTATED,
            "q4_0 after a Hadamard rotation of 64 channels, as llama.cpp rotates",
        ),
    ];

    /// The plan of this name for a model of this shape.
    ///
    /// # Errors
    /// Unknown names, with those that are known; blocks of 32 or rotations of 64 channels where
    /// head_dim is not a multiple of that.
    pub fn named(name: &str, shape: Shape) -> Result<Self> {
        let Some(row) = Self::NAMES.iter().find(|row| row.name == name) else {
            let known: Vec<&str> = Self::NAMES.iter().map(|row| row.name).collect();
            return Err(Error::input(format!(
                "no plan has the name {}: the names are {}",
                crate::error::shortened(name),
                known.join(", ")
            )));
        };
        let multiple = match row.coding {
            Coding::Channels { .. } => 1,
            Coding::Blocks { rotated: false } => Coding::BLOCK_CHANNELS,
            Coding::Blocks { rotated: true } => 64,
        };
        if !shape.head_dim.is_multiple_of(multiple) {
            return Err(Error::input(format!(
                "the plan {name} needs a head_dim that is a multiple of {multiple}, not {}",
                shape.head_dim
            )));
        }
        Self::uniform(shape, row.k, row.v, row.coding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { layers: 2, kv_heads: 3, head_dim: 64 };

    #[test]
    fn every_name_is_a_plan_with_the_bytes_of_its_bits() {
        let bits = [
            ("k8v8", 8.5 + 9.0),
            ("k8v4", 8.5 + 5.0),
            ("k4v8", 4.5 + 9.0),
            ("k4v4", 4.5 + 5.0),
            ("q8_0", 8.5 + 8.5),
            ("q4_0", 4.5 + 4.5),
            ("q8_0/q4_0", 8.5 + 4.5),
            ("q8_0-hadamard", 8.5 + 8.5),
            ("q4_0-hadamard", 4.5 + 4.5),
        ];
        assert_eq!(bits.map(|(name, _)| name), CachePlan::NAMES.map(|row| row.name));
        for (name, bits) in bits {
            let plan = CachePlan::named(name, SHAPE).unwrap();
            assert_eq!(plan.bytes_share(64), bits / 32.0, "{name}");
            assert_eq!(plan.shape(), SHAPE);
            assert!(!plan.is_mask(), "{name}");
        }
    }

    #[test]
    fn unknown_names_and_shapes_that_a_code_cannot_hold_are_refused() {
        let error = CachePlan::named("k2v2", SHAPE).unwrap_err().to_string();
        assert!(
            error.contains("k2v2") && error.contains("k8v8, k8v4, k4v8, k4v4, q8_0"),
            "{error}"
        );
        let refused = |name, head_dim| {
            CachePlan::named(name, Shape { head_dim, ..SHAPE }).unwrap_err().to_string()
        };
        assert!(refused("q4_0", 48).contains("q4_0 needs a head_dim that is a multiple of 32"));
        assert!(refused("q8_0-hadamard", 96).contains("multiple of 64, not 96"));
        for (name, head_dim) in [("k4v4", 48), ("q4_0", 96), ("q4_0-hadamard", 128)] {
            assert!(CachePlan::named(name, Shape { head_dim, ..SHAPE }).is_ok(), "{name}");
        }
    }
}
