//! Rotary position embedding in rotate-half order: channels `i` and `i + head_dim/2` form one
//! rotation. Layers of one model may rotate at different speeds, or not at all.

use crate::Result;
use crate::model::additions::Rotation;
use crate::model::config::Config;
use crate::model::rope_speeds::RopeSpeeds;

/// The rotation of every layer of one model.
#[derive(Debug, Clone)]
pub struct Rope {
    /// The speeds of layers that rotate alike; the first are those of [`Rotation::Usual`].
    speeds: Vec<RopeSpeeds>,
    /// Which of them each layer has.
    of_layer: Vec<usize>,
}

impl Rope {
    /// The rotation of a model.
    pub fn new(config: &Config) -> Result<Self> {
        let mut kinds = vec![Rotation::Usual];
        let mut of_layer = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let rotation = config.additions.kind(layer).rotation;
            let at = kinds.iter().position(|kind| *kind == rotation).unwrap_or(kinds.len());
            if at == kinds.len() {
                kinds.push(rotation);
            }
            of_layer.push(at);
        }
        let speeds = kinds.into_iter().map(|kind| match (kind, config.additions.local_theta) {
            (Rotation::Local, Some(theta)) => Ok(RopeSpeeds::unscaled(config, theta)),
            (Rotation::Usual | Rotation::Local, _) => RopeSpeeds::usual(config),
            (Rotation::None, _) => Ok(RopeSpeeds::none(config)),
        });
        Ok(Self { speeds: speeds.collect::<Result<_>>()?, of_layer })
    }

    /// Tokens per full turn of each pair, fast to slow, in texts within the context of pretraining,
    /// in layers that rotate as usual. A pair that does not rotate takes forever.
    pub fn wavelengths(&self) -> Vec<f64> {
        self.speeds[0].wavelengths()
    }

    /// cos and sin of every pair of a token that a layer decodes at `position`, each `head_dim / 2`
    /// long.
    pub fn angles(&self, layer: usize, position: usize, cos: &mut [f32], sin: &mut [f32]) {
        self.speeds[self.of_layer[layer]].angles(position, cos, sin);
    }

    /// The same of several tokens. Each is rotated as in a text that ends with it, which is how
    /// decoding goes.
    pub fn angles_of(&self, positions: impl Iterator<Item = usize>) -> Angles {
        let positions: Vec<usize> = positions.collect();
        self.each(|speeds| speeds.angles_of(positions.iter().copied()))
    }

    /// The angles of a whole prompt of `n` tokens, all of which are rotated as its length asks for.
    pub fn prompt_angles(&self, n: usize) -> Angles {
        self.each(|speeds| speeds.prompt_angles(n))
    }

    fn each(&self, angles: impl Fn(&RopeSpeeds) -> [Vec<f32>; 2]) -> Angles {
        Angles { kinds: self.speeds.iter().map(angles).collect(), of_layer: self.of_layer.clone() }
    }
}

/// cos and sin of several tokens, for every layer.
#[derive(Debug, Clone, Default)]
pub struct Angles {
    /// One for each kind of layers, each `[tokens, head_dim / 2]`.
    kinds: Vec<[Vec<f32>; 2]>,
    of_layer: Vec<usize>,
}

impl Angles {
    /// cos and sin in a layer, each `[tokens, head_dim / 2]`.
    pub fn of(&self, layer: usize) -> [&[f32]; 2] {
        let [cos, sin] = &self.kinds[self.of_layer[layer]];
        [cos, sin]
    }

    /// cos and sin of each kind of layers.
    pub fn kinds(&self) -> &[[Vec<f32>; 2]] {
        &self.kinds
    }

    /// Which of [`Self::kinds`] each layer has.
    pub fn of_layers(&self) -> &[usize] {
        &self.of_layer
    }
}

/// Rotates every head of `x` (`[heads, head_dim]`) by the angles of its position.
pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    for head in x.chunks_exact_mut(2 * half) {
        let (first, second) = head.split_at_mut(half);
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}
