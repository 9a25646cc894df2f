//! The parts of a decoder block: its norms and its linear layers, with their names and widths. All
//! code that reads, counts or copies weights uses this list.

use crate::model::config::Config;

/// One decoder block. Linear layers that read the same input are stacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSpec {
    /// RMS norm before attention.
    pub attention_norm: NormSpec,
    /// q, k and v.
    pub qkv: LinearSpec,
    /// RMS norm of each query head.
    pub q_norm: Option<NormSpec>,
    /// RMS norm of each key head.
    pub k_norm: Option<NormSpec>,
    /// The attention output.
    pub output: LinearSpec,
    /// RMS norm before the MLP.
    pub mlp_norm: NormSpec,
    /// Gate and up.
    pub gate_up: LinearSpec,
    /// The MLP's output.
    pub down: LinearSpec,
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
        let names = &config.architecture.tensors;
        let (q, kv, hidden) = (config.q_width(), config.kv_width(), config.hidden);
        let head_norm = |name| config.qk_norm.then_some(NormSpec { name, width: config.head_dim });
        let linear = |parts: &[(&'static str, usize)], inputs, bias| LinearSpec {
            parts: parts.iter().map(|&(name, outputs)| PartSpec { name, outputs }).collect(),
            inputs,
            bias,
        };
        Self {
            attention_norm: NormSpec { name: names.attention_norm.hf, width: hidden },
            qkv: linear(
                &[(names.q.hf, q), (names.k.hf, kv), (names.v.hf, kv)],
                hidden,
                config.qkv_bias,
            ),
            q_norm: head_norm(names.q_norm.hf),
            k_norm: head_norm(names.k_norm.hf),
            output: linear(&[(names.output.hf, hidden)], q, config.output_bias),
            mlp_norm: NormSpec { name: names.mlp_norm.hf, width: hidden },
            gate_up: linear(
                &[(names.gate.hf, config.intermediate), (names.up.hf, config.intermediate)],
                hidden,
                config.mlp_bias,
            ),
            down: linear(&[(names.down.hf, hidden)], config.intermediate, config.mlp_bias),
        }
    }

    /// Number of weights, biases and norms included.
    pub fn parameters(&self) -> usize {
        let linears = [&self.qkv, &self.output, &self.gate_up, &self.down];
        let norms = [Some(self.attention_norm), self.q_norm, self.k_norm, Some(self.mlp_norm)];
        linears.into_iter().map(LinearSpec::parameters).sum::<usize>()
            + norms.into_iter().flatten().map(|norm| norm.width).sum::<usize>()
    }
}

impl LinearSpec {
    /// Number of weights and biases.
    fn parameters(&self) -> usize {
        let outputs: usize = self.parts.iter().map(|part| part.outputs).sum();
        outputs * (self.inputs + usize::from(self.bias))
    }
}
