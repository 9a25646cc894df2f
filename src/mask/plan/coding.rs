//! How coded numbers share a scale.

/// Channels of V that share a scale and a minimum in a file that does not say.
pub const V_GROUP: usize = 32;

/// How coded numbers share a scale. The widths of a plan say how many bits each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// K per channel and group of consecutive middle tokens; V per token and group of `v_group`
    /// channels (the whole row where that does not divide head_dim). Each group has a scale and a
    /// minimum in f16.
    Channels {
        /// Channels of V in a group.
        v_group: usize,
    },
    /// K and V per token in blocks of 32 channels with a scale in f16 and no minimum, as llama.cpp
    /// stores `q8_0` and `q4_0`. Every head has one width, 8 or 4 bits, for all its K channels.
    Blocks {
        /// K, Q and V go through a Hadamard matrix of 64 channels first, as llama.cpp does for
        /// quantised caches.
        rotated: bool,
    },
}

impl Coding {
    /// Channels of a block of [`Self::Blocks`].
    pub const BLOCK_CHANNELS: usize = 32;

    /// The coding of kscope's own plans for heads of this size: groups of 64 channels of V cost
    /// less and lose nothing.
    pub fn best(head_dim: usize) -> Self {
        Self::Channels { v_group: if head_dim.is_multiple_of(64) { 64 } else { V_GROUP } }
    }

    /// Channels of V that share a scale, for heads of this size.
    pub fn v_group(self, head_dim: usize) -> usize {
        let group = match self {
            Self::Channels { v_group } => v_group,
            Self::Blocks { .. } => Self::BLOCK_CHANNELS,
        };
        if head_dim.is_multiple_of(group) { group } else { head_dim }
    }
}
