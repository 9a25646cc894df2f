//! The parts of a decoder block: its norms and its linear layers, with their names and widths. All
//! code that reads, counts or copies weights uses this list.

use super::{HeadNorms, Spelling};
use crate::model::config::Config;

/// One decoder block. Linear layers that read the same input are stacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSpec {
    /// RMS norms around attention.
    pub attention: BranchSpec,
    /// q, k and v.
    pub qkv: LinearSpec,
    /// RMS norm of the query heads.
    pub q_norm: Option<NormSpec>,
    /// RMS norm of the key heads.
    pub k_norm: Option<NormSpec>,
    /// The attention output.
    pub output: LinearSpec,
    /// RMS norms around the MLP.
    pub mlp: BranchSpec,
    /// Gate and up.
    pub gate_up: LinearSpec,
    /// The MLP's output.
    pub down: LinearSpec,
}

/// The norms around attention or the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchSpec {
    /// Of what goes in.
    pub before: Option<NormSpec>,
    /// Of what comes out.
    pub after: Option<NormSpec>,
}

/// An RMS norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormSpec {
    /// Its module in a checkpoint, after the block's number.
    pub name: &'static str,
    /// Entries.
    pub width: usize,
}

/// Linear layers over one input, in the order in which their outputs are stacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinearSpec {
    /// The stacked layers.
    pub parts: Vec<PartSpec>,
    /// Width of the input.
    pub inputs: usize,
    /// Whether each part has a bias.
    pub bias: bool,
    /// The rows of the stack as files have them, in the order in which they are used; `None` where
    /// that is theirs.
    pub order: Option<Vec<usize>>,
}

/// One linear layer of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSpec {
    /// Its module in a checkpoint, after the block's number.
    pub name: &'static str,
    /// Width of the output.
    pub outputs: usize,
}

impl BlockSpec {
    /// The block of a model.
    pub fn new(config: &Config) -> Self {
        let (names, norms) = (&config.architecture.tensors, config.architecture.norms);
        let (q, kv, hidden, mlp) =
            (config.q_width(), config.kv_width(), config.hidden, config.intermediate);
        let head_norm = |name, all| {
            let width = match norms.heads {
                HeadNorms::Together => all,
                HeadNorms::Absent | HeadNorms::Each => config.head_dim,
            };
            config.qk_norm.then_some(NormSpec { name, width })
        };
        let branch = |before: Spelling, after: Option<Spelling>| {
            let norm = |name: Spelling| NormSpec { name: name.hf, width: hidden };
            BranchSpec {
                before: norms.before.then_some(norm(before)),
                after: after.filter(|_| norms.after).map(norm),
            }
        };
        let linear = |parts: &[(Spelling, usize)], inputs, bias| LinearSpec {
            parts: parts
                .iter()
                .map(|&(name, outputs)| PartSpec { name: name.hf, outputs })
                .collect(),
            inputs,
            bias,
            order: None,
        };
        let qkv = match names.qkv {
            Some(name) => linear(&[(name, q + 2 * kv)], hidden, config.qkv_bias),
            None => linear(&[(names.q, q), (names.k, kv), (names.v, kv)], hidden, config.qkv_bias),
        };
        let gate_up = match names.gate_up {
            Some(name) => linear(&[(name, 2 * mlp)], hidden, config.mlp_bias),
            None => linear(&[(names.gate, mlp), (names.up, mlp)], hidden, config.mlp_bias),
        };
        Self {
            attention: branch(names.attention_norm, names.attention_after),
            qkv: LinearSpec { order: order_of_rotation(config), ..qkv },
            q_norm: head_norm(names.q_norm.hf, q),
            k_norm: head_norm(names.k_norm.hf, kv),
            output: linear(&[(names.output, hidden)], q, config.output_bias),
            mlp: branch(names.mlp_norm, names.mlp_after),
            gate_up,
            down: linear(&[(names.down, hidden)], mlp, config.mlp_bias),
        }
    }

    /// All norms.
    pub fn norms(&self) -> impl Iterator<Item = NormSpec> {
        let Self { attention, q_norm, k_norm, mlp, .. } = self;
        [attention.before, *q_norm, *k_norm, attention.after, mlp.before, mlp.after]
            .into_iter()
            .flatten()
    }

    /// All linear layers.
    pub fn linears(&self) -> [&LinearSpec; 4] {
        [&self.qkv, &self.output, &self.gate_up, &self.down]
    }

    /// Number of weights, biases and norms included.
    pub fn parameters(&self) -> usize {
        self.linears().into_iter().map(LinearSpec::parameters).sum::<usize>()
            + self.norms().map(|norm| norm.width).sum::<usize>()
    }
}

/// The rows of q, k and v in rotate-half order over whole heads, where only the first channels of a
/// head rotate: a file has the two halves of those side by side, then the channels that do not.
fn order_of_rotation(config: &Config) -> Option<Vec<usize>> {
    let (d, rotated) = (config.head_dim, config.additions.rotated?);
    let (half, turning) = (d / 2, rotated / 2);
    let channel = |c: usize| match (c / half, c % half) {
        (side, pair) if pair < turning => side * turning + pair,
        (side, pair) => rotated + side * (half - turning) + pair - turning,
    };
    let turned = config.q_width() + config.kv_width();
    let row = |row: usize| if row < turned { row / d * d + channel(row % d) } else { row };
    Some((0..turned + config.kv_width()).map(row).collect())
}

impl LinearSpec {
    /// Number of weights and biases.
    fn parameters(&self) -> usize {
        let outputs: usize = self.parts.iter().map(|part| part.outputs).sum();
        outputs * (self.inputs + usize::from(self.bias))
    }
}
