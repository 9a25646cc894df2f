//! The keys of a `config.json` that the shapes of its tensors follow from: errors on a tensor name
//! them, since the file that is wrong is more often the configuration than the weights.

use serde_json::{Map, Value};

use super::hf_sizes;
use crate::model::arch::{BiasRule, Biases, ExpertRule, HeadNorms};
use crate::model::config::Config;

/// What the configuration of a checkpoint says of its tensors.
pub struct Reasons {
    config: Config,
    map: Map<String, Value>,
}

impl Reasons {
    /// From the keys of a `config.json` and what was read from them.
    pub(super) fn new(map: Map<String, Value>, config: Config) -> Self {
        Self { config, map }
    }

    /// The sizes that a tensor's shape follows from; ends a sentence that says which was expected.
    pub(super) fn of_shape(&self, tensor: &str) -> String {
        let config = &self.config;
        let (keys, names) = (&config.architecture.keys, &config.architecture.tensors);
        let hidden = (keys.hidden.hf, config.hidden);
        let head_dim = (keys.head_dim.hf, config.head_dim);
        let intermediate = (keys.intermediate.hf, config.intermediate);
        let heads = (keys.heads.hf, config.heads);
        let kv_heads = (keys.kv_heads.hf, config.kv_heads);
        let module = tensor.rsplit_once('.').map_or(tensor, |(module, _)| module);
        let mixture = config.additions.experts.as_ref().zip(config.architecture.experts);
        let of_experts = mixture.map(|(mixture, rule)| {
            let [first, second] = ExpertRule::COUNTS;
            let key = if self.map.contains_key(second) { second } else { first };
            let count = (key, mixture.count);
            [[count, hidden], [(rule.width.hf, mixture.width), hidden]]
        });
        if let Some([_, sizes]) = of_experts.filter(|_| names.expert_of(module).is_some()) {
            return self.said(&sizes);
        }
        let router = names.experts.map(|experts| experts.router);
        let sizes: &[(&str, usize)] = match names.part_of(module) {
            Some((_, part)) if Some(part) == router => {
                of_experts.as_ref().map_or(&[], |[sizes, _]| sizes.as_slice())
            }
            _ if [names.embedding.hf, names.head.hf].contains(&module) => {
                &[(hf_sizes::VOCAB, config.vocab), hidden]
            }
            Some((_, part)) if part == names.q => &[heads, head_dim, hidden],
            Some((_, part)) if part == names.k || part == names.v => match self.follows() {
                true => &[kv_heads, heads, hidden],
                false => &[kv_heads, head_dim, hidden],
            },
            Some((_, part)) if part == names.output => &[hidden, heads, head_dim],
            Some((_, part)) if Some(part) == names.qkv => &[heads, kv_heads, head_dim, hidden],
            Some((_, part)) if part == names.q_norm || part == names.k_norm => {
                match (config.architecture.norms.heads, part == names.q_norm) {
                    (HeadNorms::Together, true) => &[heads, head_dim],
                    (HeadNorms::Together, false) => &[kv_heads, head_dim],
                    _ => &[head_dim],
                }
            }
            Some((_, part)) if Some(part) == names.gate_up => &[intermediate, hidden],
            Some((_, part)) if part == names.gate || part == names.up => &[intermediate, hidden],
            Some((_, part)) if part == names.down => &[hidden, intermediate],
            _ => &[hidden],
        };
        self.said(sizes)
    }

    /// Keys and sizes as the configuration gives them.
    fn said(&self, sizes: &[(&str, usize)]) -> String {
        let keys = &self.config.architecture.keys;
        let stated: Vec<String> = sizes
            .iter()
            .filter(|(key, _)| *key != keys.head_dim.hf || !self.follows())
            .map(|(key, size)| hf_sizes::stated(&self.map, keys, key, *size))
            .collect();
        format!(" by {} of config.json", stated.join(" and "))
    }

    /// Whether the width of heads follows from other sizes.
    fn follows(&self) -> bool {
        let config = &self.config;
        config.architecture.defaults.head_dim.is_none()
            && self.map.get(config.architecture.keys.head_dim.hf).is_none_or(Value::is_null)
    }

    /// Why a tensor that is not there should be; `layers` is the number of those that there are.
    pub(super) fn of_missing(&self, tensor: &str, layers: usize) -> String {
        let config = &self.config;
        let names = &config.architecture.tensors;
        let Some((module, kind)) = tensor.rsplit_once('.') else { return String::new() };
        let Some((layer, part)) = names.part_of(module) else { return String::new() };
        if layers > 0 && layer.parse().is_ok_and(|layer: usize| layer >= layers) {
            let key = config.architecture.keys.layers.hf;
            return format!(
                ": config.json has `{key}` {}, and the files hold {layers} layers",
                config.layers
            );
        }
        if kind != "bias" {
            return String::new();
        }
        let Biases { qkv, output, mlp } = config.architecture.biases;
        let rule = match part {
            part if [names.q, names.k, names.v].contains(&part) || Some(part) == names.qkv => qkv,
            part if part == names.output => output,
            _ => mlp,
        };
        match rule {
            BiasRule::Stated { key, .. } => format!(", and config.json has `{key}` true"),
            _ => format!(", and {} has such biases", config.architecture.spelling.hf),
        }
    }
}
