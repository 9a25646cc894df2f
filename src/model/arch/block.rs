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
    /// RMS norms around the MLP or the experts.
    pub mlp: BranchSpec,
    /// The MLP or the experts.
    pub feed: FeedSpec,
}

/// What stands between the second norm of a block and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedSpec {
    /// One MLP.
    Whole(MlpSpec),
    /// Experts.
    Experts(ExpertsSpec),
}

/// A gated MLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlpSpec {
    /// Gate and up.
    pub gate_up: LinearSpec,
    /// The output.
    pub down: LinearSpec,
}

/// Experts and what chooses among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpertsSpec {
    /// The linear layer that scores them.
    pub router: LinearSpec,
    /// What stands before an expert's number in a checkpoint, after the block's.
    pub list: &'static str,
    /// How many there are.
    pub count: usize,
    /// How many of them a token goes through.
    pub chosen: usize,
    /// Whether their weights add up to 1.
    pub normalised: bool,
    /// One of them; its names come after the number.
    pub each: MlpSpec,
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
    /// A block of a model.
    pub fn of_layer(config: &Config, layer: usize) -> Self {
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
        let feed = match (config.experts(layer), names.experts) {
            (Some(mixture), Some(experts)) => {
                let width = mixture.width;
                FeedSpec::Experts(ExpertsSpec {
                    router: linear(&[(experts.router, mixture.count)], hidden, false),
                    list: experts.list,
                    count: mixture.count,
                    chosen: mixture.chosen,
                    normalised: mixture.normalised,
                    each: MlpSpec {
                        gate_up: linear(
                            &[(experts.gate, width), (experts.up, width)],
                            hidden,
                            false,
                        ),
                        down: linear(&[(experts.down, hidden)], width, false),
                    },
                })
            }
            _ => FeedSpec::Whole(MlpSpec {
                gate_up: match names.gate_up {
                    Some(name) => linear(&[(name, 2 * mlp)], hidden, config.mlp_bias),
                    None => linear(&[(names.gate, mlp), (names.up, mlp)], hidden, config.mlp_bias),
                },
                down: linear(&[(names.down, hidden)], mlp, config.mlp_bias),
            }),
        };
        Self {
            attention: branch(names.attention_norm, names.attention_after),
            qkv: LinearSpec { order: order_of_rotation(config), ..qkv },
            q_norm: head_norm(names.q_norm.hf, q),
            k_norm: head_norm(names.k_norm.hf, kv),
            output: linear(&[(names.output, hidden)], q, config.output_bias),
            mlp: branch(names.mlp_norm, names.mlp_after),
            feed,
        }
    }

    /// All norms.
    pub fn norms(&self) -> impl Iterator<Item = NormSpec> {
        let Self { attention, q_norm, k_norm, mlp, .. } = self;
        [attention.before, *q_norm, *k_norm, attention.after, mlp.before, mlp.after]
            .into_iter()
            .flatten()
    }

    /// All linear layers, each with what stands before the names of its parts.
    pub fn linears(&self) -> Vec<(String, &LinearSpec)> {
        let own = |linear| (String::new(), linear);
        let mut all = vec![own(&self.qkv), own(&self.output)];
        match &self.feed {
            FeedSpec::Whole(mlp) => all.extend(mlp.linears().map(own)),
            FeedSpec::Experts(experts) => {
                all.push(own(&experts.router));
                for expert in 0..experts.count {
                    let linears = experts.each.linears();
                    all.extend(linears.map(|linear| (experts.prefix(expert), linear)));
                }
            }
        }
        all
    }

    /// Number of weights, biases and norms included.
    pub fn parameters(&self) -> usize {
        let attention = self.qkv.parameters() + self.output.parameters();
        let feed = match &self.feed {
            FeedSpec::Whole(mlp) => mlp.parameters(),
            FeedSpec::Experts(experts) => {
                experts.router.parameters() + self.feed.expert_parameters()
            }
        };
        attention + feed + self.norms().map(|norm| norm.width).sum::<usize>()
    }
}

impl FeedSpec {
    /// Number of weights of all experts.
    pub fn expert_parameters(&self) -> usize {
        match self {
            Self::Whole(_) => 0,
            Self::Experts(experts) => experts.count * experts.each.parameters(),
        }
    }
}

impl ExpertsSpec {
    /// What stands before the names of an expert's parts, after the block's number.
    pub fn prefix(&self, expert: usize) -> String {
        format!("{}.{expert}.", self.list)
    }
}

impl MlpSpec {
    fn linears(&self) -> [&LinearSpec; 2] {
        [&self.gate_up, &self.down]
    }

    fn parameters(&self) -> usize {
        self.linears().into_iter().map(LinearSpec::parameters).sum()
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
