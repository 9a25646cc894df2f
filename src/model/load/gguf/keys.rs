//! The metadata keys that are known: the type of each, and at which numbers those that would change
//! the result change nothing; the rotation as llama.cpp reads it.

use super::Gguf;
use super::metadata::{Section, Type};
use crate::error::shortened;
use crate::model::additions::Additions;
use crate::model::arch::{Architecture, ExpertRule, FactorKeys, Gemma, WindowLayers};
use crate::model::config::Config;
use crate::model::mixture::Mixture;
use crate::model::rope_scaling::RopeScaling;
use crate::{Error, Result};

/// A key of the model's own family.
struct Key {
    name: &'static str,
    kind: Type,
    /// Where it changes what is computed, here or in other architectures, and is not supported: the
    /// numbers at which it does not (false is 0, true is 1).
    neutral: Option<&'static [f64]>,
}

const fn key(name: &'static str, kind: Type) -> Key {
    Key { name, kind, neutral: None }
}

const fn only(name: &'static str, kind: Type, neutral: &'static [f64]) -> Key {
    Key { name, kind, neutral: Some(neutral) }
}

/// The keys of a model's own family, without its prefix. Those of [`Architecture::keys`] are among
/// them.
const OWN: &[Key] = &[
    key("attention.head_count", Type::PerLayer),
    key("attention.head_count_kv", Type::PerLayer),
    key("attention.key_length", Type::U32),
    key("attention.layer_norm_epsilon", Type::F32),
    key("attention.layer_norm_rms_epsilon", Type::F32),
    key(ATTENTION_SCALE, Type::F32),
    key("attention.sliding_window", Type::U32),
    key("attention.value_length", Type::U32),
    key("block_count", Type::U32),
    key("context_length", Type::U32),
    key("embedding_length", Type::U32),
    key("expert_feed_forward_length", Type::U32),
    key("expert_used_count", Type::U32),
    key(ExpertRule::NORMALISED_GGUF, Type::Bool),
    key("feed_forward_length", Type::PerLayer),
    key("pooling_type", Type::U32),
    key("rope.dimension_count", Type::U32),
    key("rope.freq_base", Type::F32),
    key("rope.scale_linear", Type::F32),
    key("rope.scaling.attn_factor", Type::F32),
    key("rope.scaling.factor", Type::F32),
    key("rope.scaling.finetuned", Type::Bool),
    key("rope.scaling.original_context_length", Type::U32),
    key("rope.scaling.type", Type::Text),
    key(EXTRAPOLATION, Type::F32),
    key(LOCAL_THETA, Type::F32),
    key(PATTERN, Type::U32),
    key("tensor_data_layout", Type::Text),
    key(VOCABULARY, Type::U32),
    only("attention.causal", Type::Bool, &[1.0]),
    only("attention.chunk_size", Type::U32, &[0.0]),
    only("attention.clamp_kqv", Type::F32, &[0.0]),
    only("attention.kv_lora_rank", Type::U32, &[0.0]),
    only("attention.max_alibi_bias", Type::F32, &[0.0]),
    only("attention.output_scale", Type::F32, &[0.0, 1.0]),
    only("attention.q_lora_rank", Type::U32, &[0.0]),
    only("attention.shared_kv_layers", Type::U32, &[0.0]),
    only("attention.temperature_length", Type::U32, &[0.0]),
    only("attention.temperature_scale", Type::F32, &[0.0, 1.0]),
    only("attn_logit_softcapping", Type::F32, &[0.0]),
    only("embedding_scale", Type::F32, &[0.0, 1.0]),
    only(ExpertRule::COUNT, Type::U32, &[0.0]),
    only("expert_gating_func", Type::U32, &[0.0, 1.0]),
    only("expert_group_count", Type::U32, &[0.0, 1.0]),
    only("expert_group_used_count", Type::U32, &[0.0, 1.0]),
    only("expert_shared_count", Type::U32, &[0.0]),
    only("expert_shared_feed_forward_length", Type::U32, &[0.0]),
    only("expert_weights_scale", Type::F32, &[0.0, 1.0]),
    only("final_logit_softcapping", Type::F32, &[0.0]),
    only("interleave_moe_layer_step", Type::U32, &[0.0, 1.0]),
    only("leading_dense_block_count", Type::U32, &[0.0]),
    only("logit_scale", Type::F32, &[0.0, 1.0]),
    only("moe_every_n_layers", Type::U32, &[0.0, 1.0]),
    only("nextn_predict_layers", Type::U32, &[0.0]),
    only("residual_scale", Type::F32, &[0.0, 1.0]),
    only("rope.scaling.yarn_attn_factor", Type::F32, &[1.0, -1.0]),
    only("rope.scaling.yarn_beta_fast", Type::F32, &[32.0, -1.0]),
    only("rope.scaling.yarn_beta_slow", Type::F32, &[1.0, -1.0]),
    only("rope.scaling.yarn_log_multiplier", Type::F32, &[0.0]),
    only("use_parallel_residual", Type::Bool, &[0.0]),
];

/// Keys whose neutral numbers depend on the rest of the file.
const EXTRAPOLATION: &str = "rope.scaling.yarn_ext_factor";
const ATTENTION_SCALE: &str = "attention.scale";

/// Base of the frequencies of layers with a window, in models where they have their own.
const LOCAL_THETA: &str = "rope.freq_base_swa";
/// Every how manyth layer has no window.
const PATTERN: &str = "attention.sliding_window_pattern";

/// Read for a warning alone: the embedding has as many rows as it has.
const VOCABULARY: &str = "vocab_size";

/// Keys of every family, by their whole names.
const SHARED: &[(&str, Type)] = &[
    ("general.alignment", Type::U32),
    ("general.architecture", Type::Text),
    ("general.file_type", Type::U32),
    ("general.name", Type::Text),
    ("general.quantization_version", Type::U32),
    ("general.type", Type::Text),
    ("split.count", Type::U16),
    ("split.no", Type::U16),
    ("split.tensors.count", Type::I32),
    ("tokenizer.chat_template", Type::Text),
];

/// Keys of the section `tokenizer.ggml`.
const TOKENIZER: &[(&str, Type)] = &[
    ("add_bos_token", Type::Bool),
    ("add_eos_token", Type::Bool),
    ("add_sep_token", Type::Bool),
    ("add_space_prefix", Type::Bool),
    ("bos_token_id", Type::U32),
    ("cls_token_id", Type::U32),
    ("eom_token_id", Type::U32),
    ("eos_token_id", Type::U32),
    ("eot_token_id", Type::U32),
    ("fim_mid_token_id", Type::U32),
    ("fim_pad_token_id", Type::U32),
    ("fim_pre_token_id", Type::U32),
    ("fim_rep_token_id", Type::U32),
    ("fim_sep_token_id", Type::U32),
    ("fim_suf_token_id", Type::U32),
    ("mask_token_id", Type::U32),
    ("merges", Type::Texts),
    ("middle_token_id", Type::U32),
    ("model", Type::Text),
    ("padding_token_id", Type::U32),
    ("pre", Type::Text),
    ("prefix_token_id", Type::U32),
    ("remove_extra_whitespaces", Type::Bool),
    ("scores", Type::F32s),
    ("seperator_token_id", Type::U32),
    ("suffix_token_id", Type::U32),
    ("token_type", Type::I32s),
    ("token_type_count", Type::U32),
    ("tokens", Type::Texts),
    ("unknown_token_id", Type::U32),
];

const SHOWN: usize = 5;

/// Every known key of a file of that family, by its whole name.
pub(super) fn types(family: &str) -> impl Iterator<Item = (String, Type)> {
    let shared = SHARED.iter().map(|(key, kind)| ((*key).to_owned(), *kind));
    let tokenizer = TOKENIZER.iter().map(|(key, kind)| (format!("tokenizer.ggml.{key}"), *kind));
    let own = OWN.iter().map(move |key| (format!("{family}.{}", key.name), key.kind));
    shared.chain(tokenizer).chain(own)
}

/// The rotation of a file.
pub(super) struct GgufRotation {
    pub(super) scaling: RopeScaling,
    /// Factor on cos and sin beside that of the scaling.
    pub(super) magnitude: f64,
}

impl GgufRotation {
    /// As llama.cpp reads it: a type that is not given is linear, a factor that is not given is 1,
    /// `rope.scale_linear` is the factor's old name, and the attention factor holds for every type.
    pub(super) fn read(own: Section<'_>, trained: usize) -> Result<Self> {
        let kind = own.text("rope.scaling.type").unwrap_or("linear");
        let factor = own.number("rope.scaling.factor").or_else(|| own.number("rope.scale_linear"));
        let factor = factor.unwrap_or(1.0);
        let scaling = match kind {
            "none" => RopeScaling::None,
            "linear" if factor == 1.0 => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor },
            "yarn" => RopeScaling::Yarn {
                factor,
                original: own.count("rope.scaling.original_context_length").unwrap_or(trained),
                beta_fast: 32.0,
                beta_slow: 1.0,
                truncate: true,
                attention_factor: RopeScaling::yarn_attention_factor(factor, 1.0),
            },
            other => {
                return Err(own.wrong(
                    "rope.scaling.type",
                    &format!("`{}` is not supported (known: none, linear, yarn)", shortened(other)),
                ));
            }
        };
        let magnitude = own.number("rope.scaling.attn_factor").unwrap_or(1.0);
        Ok(Self { scaling, magnitude })
    }
}

/// What a model of so many layers, of this width and these heads has besides Llama's parts, but for
/// its partial rotation. A factor of 0 is none, as in llama.cpp.
pub(super) fn additions(
    own: Section<'_>,
    architecture: &Architecture,
    [layers, hidden, heads, head_dim]: [usize; 4],
) -> Result<Additions> {
    let window = own.count(architecture.keys.window.gguf).filter(|&window| window > 0);
    let window = window.filter(|_| architecture.window.is_some_and(|rule| rule.in_gguf));
    let window = window.zip(window_layers(own, architecture)?);
    let mut additions = architecture.usual_additions(layers, hidden, window);
    if let (Some(_), Some(theta)) = (additions.local_theta, own.number(LOCAL_THETA)) {
        if theta <= 0.0 {
            return Err(own.wrong(LOCAL_THETA, &format!("is {theta:?}, expected a number above 0")));
        }
        additions.local_theta = Some(theta);
    }
    if let Some(gemma) = &architecture.gemma {
        let wide = layers == gemma.wide_layers;
        let scalar = if wide { hidden / heads } else { head_dim };
        additions.score_factor = Some((scalar as f64).powf(-0.5));
        let cap = |key| own.number(key).filter(|&cap| cap != 0.0).map(|cap| cap as f32);
        if gemma.caps_in_gguf {
            let usual = |cap: Option<f64>| cap.map(|cap| cap as f32);
            additions.score_cap = cap(Gemma::SCORE_CAP).or(usual(gemma.score_cap));
            additions.logit_cap = cap(Gemma::LOGIT_CAP).or(usual(gemma.logit_cap));
        }
    }
    if let Some(keys) = &architecture.factors {
        let factor = |key| match own.number(key).filter(|&factor| factor != 0.0) {
            Some(factor) if factor < 0.0 => {
                Err(own.wrong(key, &format!("is {factor:?}, expected a number above 0")))
            }
            found => Ok(found),
        };
        additions.embedding_factor = factor(keys.embedding.gguf)?.unwrap_or(1.0) as f32;
        additions.residual_factor = factor(keys.residual.gguf)?.unwrap_or(1.0) as f32;
        additions.score_factor = factor(keys.scores.gguf)?;
        additions.logit_divisor = factor(keys.logits.gguf)?.unwrap_or(1.0) as f32;
    }
    Ok(additions)
}

/// Which layers have the architecture's window; a file may say another number of them.
fn window_layers(own: Section<'_>, architecture: &Architecture) -> Result<Option<WindowLayers>> {
    let usual = architecture.window.map(|rule| rule.layers);
    match (own.count(PATTERN), usual) {
        (None, usual) => Ok(usual),
        (Some(0), _) => Err(own.wrong(PATTERN, "must be at least 1, not 0")),
        (Some(every), Some(WindowLayers::AllButEvery(_, key))) => {
            Ok(Some(WindowLayers::AllButEvery(every, key)))
        }
        (Some(every), _) => Err(own.wrong(PATTERN, &format!("is {every}, and is not supported"))),
    }
}

/// The experts of every layer, in a file of an architecture that has them.
pub(super) fn experts(
    own: Section<'_>,
    architecture: &Architecture,
    intermediate: usize,
) -> Result<Option<Mixture>> {
    let Some(rule) = &architecture.experts else { return Ok(None) };
    let needed = |key| match own.count(key).filter(|&count| count > 0) {
        Some(count) => Ok(count),
        None => Err(own.wrong(key, "is missing or 0, expected at least 1")),
    };
    let (count, chosen) = (needed(ExpertRule::COUNT)?, needed(ExpertRule::CHOSEN.gguf)?);
    if chosen > count {
        let what = format!("is {chosen}, more than `{}` {count}", own.full(ExpertRule::COUNT));
        return Err(own.wrong(ExpertRule::CHOSEN.gguf, &what));
    }
    // Without the key, llama.cpp shares the width of an MLP among the experts of a token.
    let width = match own.count(rule.width.gguf).filter(|&width| width > 0) {
        Some(width) => width,
        None => intermediate / chosen,
    };
    Ok(Some(Mixture { count, chosen, width, normalised: true, dense_layers: Vec::new() }))
}

/// Refuses keys that change the result and are not supported; gives a warning of the unknown ones
/// and of those without effect.
pub(super) fn check(file: &Gguf, config: &Config) -> Result<Vec<String>> {
    let own = file.own();
    let mut read: Vec<&str> =
        config.architecture.factors.iter().flat_map(FactorKeys::gguf).collect();
    if config.architecture.gemma.is_some_and(|gemma| gemma.caps_in_gguf) {
        read.extend([Gemma::SCORE_CAP, Gemma::LOGIT_CAP]);
    }
    if config.architecture.experts.is_some() {
        read.push(ExpertRule::COUNT);
        refuse_unless(own, ExpertRule::NORMALISED_GGUF, |n| n == 1.0)?;
    }
    for key in OWN.iter().filter(|key| !read.contains(&key.name)) {
        if let Some(neutral) = key.neutral {
            refuse_unless(own, key.name, |n| neutral.contains(&n))?;
        }
    }
    for key in config.architecture.gguf_unread {
        refuse_unless(own, key, |n| n == 0.0)?;
    }
    if !read.contains(&ATTENTION_SCALE) {
        refuse_unless(own, ATTENTION_SCALE, |n| {
            n == 0.0 || (n * (config.head_dim as f64).sqrt() - 1.0).abs() < 1e-5
        })?;
    }
    if config.additions.local_theta.is_none() {
        let base = own.number("rope.freq_base");
        refuse_unless(own, LOCAL_THETA, |n| base == Some(n))?;
    }
    let kind = own.text("rope.scaling.type");
    let usual = if kind == Some("yarn") { 1.0 } else { 0.0 };
    refuse_unless(own, EXTRAPOLATION, |n| n == usual || n == -1.0)?;

    let mut warnings = Vec::new();
    let mut warn = |what: String| warnings.push(format!("{}: {what}", file.name()));
    let factor = own.number("rope.scaling.factor");
    if kind == Some("none") && factor.is_some_and(|factor| factor != 1.0) {
        warn(format!(
            "`{}` has no effect, since `{}` is none",
            own.full("rope.scaling.factor"),
            own.full("rope.scaling.type")
        ));
    }
    let (architecture, window) = (config.architecture, config.architecture.keys.window.gguf);
    if architecture.window.is_none() && own.count(window).is_some_and(|window| window > 0) {
        warn(format!(
            "`{}` means nothing in {}, whose layers look back at all tokens",
            own.full(window),
            architecture.spelling.gguf
        ));
    }
    if let Some(stated) = own.count(VOCABULARY).filter(|&stated| stated != config.vocab) {
        warn(format!(
            "`{}` is {stated} and has no effect: the embedding has {} rows",
            own.full(VOCABULARY),
            config.vocab
        ));
    }
    let tokens = file.tokenizer().len_of("tokens");
    // More tokens than rows do no harm before one of them is used.
    if tokens < config.vocab {
        warn(format!(
            "`{}` has {tokens} tokens, and the embedding {} rows",
            file.tokenizer().full("tokens"),
            config.vocab
        ));
    }
    let of_model = own.keys().filter(|key| OWN.iter().all(|known| known.name != *key));
    let tokenizer = file.tokenizer();
    let of_tokenizer =
        tokenizer.keys().filter(|key| TOKENIZER.iter().all(|(known, _)| known != key));
    let mut unknown: Vec<String> = of_model
        .map(|key| format!("`{}`", own.full(key)))
        .chain(of_tokenizer.map(|key| format!("`{}`", tokenizer.full(key))))
        .collect();
    unknown.sort_unstable();
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(SHOWN);
        unknown.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        warn(format!(
            "kscope does not know the metadata {}{more}, and runs the model without",
            unknown.join(", ")
        ));
    }
    Ok(warnings)
}

fn refuse_unless(own: Section<'_>, key: &str, is_neutral: impl Fn(f64) -> bool) -> Result<()> {
    match own.any_number(key) {
        Some(number) if !is_neutral(number) => Err(refusal(own, key, number)),
        _ => Ok(()),
    }
}

fn refusal(own: Section<'_>, key: &str, number: f64) -> Error {
    let found = own.flag(key).map_or_else(|| number.to_string(), |flag| flag.to_string());
    own.wrong(key, &format!("{found} changes what the model computes and is not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::arch::ARCHITECTURES;

    #[test]
    fn the_keys_of_every_architecture_have_a_type() {
        for architecture in ARCHITECTURES {
            for key in architecture.keys.gguf() {
                assert!(OWN.iter().any(|known| known.name == key), "{architecture}: {key}");
            }
        }
    }
}
