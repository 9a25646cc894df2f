//! The metadata of a GGUF file that says how to compute: the rotation as llama.cpp reads it, and
//! the keys that are refused because they would change the result.

use candle_core::quantized::gguf_file::Value;

use super::Gguf;
use crate::error::shortened;
use crate::model::arch::Architecture;
use crate::model::rope_scaling::RopeScaling;
use crate::{Error, Result};

/// Further keys of an architecture that are read or that change nothing.
const KNOWN: &[&str] = &[
    "vocab_size",
    "tensor_data_layout",
    "attention.value_length",
    "attention.layer_norm_epsilon",
    "expert_used_count",
    "pooling_type",
    "rope.dimension_count",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.attn_factor",
];

/// Keys that change what a model computes, here or in other architectures, with the numbers at
/// which they do not (false is 0, true is 1).
const REFUSED: &[(&str, &[f64])] = &[
    ("attention.causal", &[1.0]),
    ("attention.chunk_size", &[0.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.kv_lora_rank", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.output_scale", &[0.0, 1.0]),
    ("attention.q_lora_rank", &[0.0]),
    ("attention.shared_kv_layers", &[0.0]),
    ("attention.temperature_length", &[0.0]),
    ("attention.temperature_scale", &[0.0, 1.0]),
    ("attn_logit_softcapping", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("expert_count", &[0.0]),
    ("final_logit_softcapping", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("nextn_predict_layers", &[0.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("rope.scaling.yarn_attn_factor", &[1.0, -1.0]),
    ("rope.scaling.yarn_beta_fast", &[32.0, -1.0]),
    ("rope.scaling.yarn_beta_slow", &[1.0, -1.0]),
    ("rope.scaling.yarn_log_multiplier", &[0.0]),
    ("use_parallel_residual", &[0.0]),
];

/// Keys whose neutral numbers depend on the rest of the file.
const EXTRAPOLATION: &str = "rope.scaling.yarn_ext_factor";
const ATTENTION_SCALE: &str = "attention.scale";

const SHOWN: usize = 5;

/// The rotation of a file.
pub(super) struct Rotation {
    pub(super) scaling: RopeScaling,
    /// Factor on cos and sin beside that of the scaling.
    pub(super) magnitude: f64,
}

impl Rotation {
    /// As llama.cpp reads it: a type that is not given is linear, a factor that is not given is 1,
    /// `rope.scale_linear` is the factor's old name, and the attention factor holds for every type.
    pub(super) fn read(file: &Gguf, trained: usize) -> Result<Self> {
        let kind = file.text("rope.scaling.type")?.unwrap_or("linear");
        let factor = match file.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => file.number("rope.scale_linear")?,
        };
        let factor = factor.unwrap_or(1.0);
        let scaling = match kind {
            "none" => RopeScaling::None,
            "linear" if factor == 1.0 => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor },
            "yarn" => RopeScaling::Yarn {
                factor,
                original: file
                    .optional_count("rope.scaling.original_context_length")?
                    .unwrap_or(trained),
                beta_fast: 32.0,
                beta_slow: 1.0,
                truncate: true,
                attention_factor: RopeScaling::yarn_attention_factor(factor, 1.0),
            },
            other => {
                return Err(file.wrong(
                    "rope.scaling.type",
                    &format!("`{}` is not supported (known: none, linear, yarn)", shortened(other)),
                ));
            }
        };
        let magnitude = file.number("rope.scaling.attn_factor")?.unwrap_or(1.0);
        Ok(Self { scaling, magnitude })
    }
}

/// Refuses keys that change the result and are not supported; gives a warning of the unknown ones
/// and of those without effect.
pub(super) fn check(
    file: &Gguf,
    architecture: &Architecture,
    head_dim: usize,
) -> Result<Vec<String>> {
    for (key, neutral) in REFUSED {
        refuse_unless(file, key, |n| neutral.contains(&n))?;
    }
    refuse_unless(file, ATTENTION_SCALE, |n| {
        n == 0.0 || (n * (head_dim as f64).sqrt() - 1.0).abs() < 1e-5
    })?;
    let kind = file.text("rope.scaling.type")?;
    let usual = if kind == Some("yarn") { 1.0 } else { 0.0 };
    refuse_unless(file, EXTRAPOLATION, |n| n == usual || n == -1.0)?;

    let mut warnings = Vec::new();
    let factor = file.number("rope.scaling.factor")?;
    if kind == Some("none") && factor.is_some_and(|factor| factor != 1.0) {
        warnings.push(format!(
            "{}: `rope.scaling.factor` has no effect, since `rope.scaling.type` is none",
            file.name()
        ));
    }
    let read = architecture.keys.gguf();
    let window = architecture.keys.window.gguf;
    if architecture.window.is_none() && file.optional_count(window)?.is_some_and(|n| n > 0) {
        warnings.push(format!(
            "{}: `{window}` means nothing in {}, whose layers look back at all tokens",
            file.name(),
            architecture.spelling.gguf
        ));
    }
    let known = |key: &str| {
        read.contains(&key)
            || KNOWN.contains(&key)
            || [EXTRAPOLATION, ATTENTION_SCALE].contains(&key)
            || REFUSED.iter().any(|(refused, _)| *refused == key)
    };
    let mut unknown: Vec<String> = file
        .own_keys()
        .filter(|key| !known(key))
        .map(|key| format!("`{}`", shortened(key)))
        .collect();
    unknown.sort_unstable();
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(SHOWN);
        unknown.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        warnings.push(format!(
            "{}: kscope does not know the metadata {}{more}, and runs the model without",
            file.name(),
            unknown.join(", ")
        ));
    }
    Ok(warnings)
}

fn refuse_unless(file: &Gguf, key: &str, is_neutral: impl Fn(f64) -> bool) -> Result<()> {
    let Some(value) = file.field(key) else { return Ok(()) };
    let number = match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => file.number(key)?,
    };
    match number {
        Some(number) if is_neutral(number) => Ok(()),
        _ => Err(refusal(file, key, value)),
    }
}

fn refusal(file: &Gguf, key: &str, value: &Value) -> Error {
    let found = match value {
        Value::Bool(flag) => flag.to_string(),
        _ => file.number(key).ok().flatten().map_or_else(String::new, |n| n.to_string()),
    };
    file.wrong(key, &format!("{found} changes what the model computes and is not supported"))
}
