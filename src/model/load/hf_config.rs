//! `config.json` of a Hugging Face checkpoint.

use std::path::Path;

use serde_json::{Map, Value};

use super::fields::{Fields, shown};
use super::hf_rope::HfRope;
use super::{hf_additions, hf_experts, hf_keys, hf_rope, hf_sizes, hf_window};
use crate::error::shortened;
use crate::model::arch::{Architecture, BiasRule, Biases};
use crate::model::config::Config;
use crate::numbers::count;
use crate::{Error, Result, input_file};

/// Reads a `config.json`; with it, what a user should know of it, one sentence each.
pub fn open(path: &Path) -> Result<(Config, Vec<String>)> {
    of_keys(&keys(path)?, &path.display().to_string())
}

/// The keys of a `config.json`.
pub(super) fn keys(path: &Path) -> Result<Map<String, Value>> {
    let text = input_file::read_json(path, input_file::CONFIGURATION)?;
    keys_of(&text, &path.display().to_string())
}

/// The same of a text; `origin` is the file named in errors.
pub fn parse(text: &str, origin: &str) -> Result<(Config, Vec<String>)> {
    of_keys(&keys_of(text, origin)?, origin)
}

fn keys_of(text: &str, origin: &str) -> Result<Map<String, Value>> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        Error::input(format!("{origin}: expected a model's configuration as JSON: {error}"))
    })?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(Error::input(format!("{origin}: expected a JSON object"))),
    }
}

/// The same of the keys of a file.
pub(super) fn of_keys(map: &Map<String, Value>, origin: &str) -> Result<(Config, Vec<String>)> {
    let fields = Fields { map, origin };
    fields.refuse_null("model_type", "a string")?;
    let model_type =
        fields.text("model_type")?.ok_or_else(|| fields.wrong("model_type", "is missing"))?;
    let architecture = Architecture::of_model_type(model_type)
        .map_err(|error| Error::input(format!("{origin}: `model_type`: {error}")))?;
    refuse_activation(fields, architecture)?;
    let mut warnings = Vec::new();
    hf_keys::check(fields, architecture, &mut warnings)?;

    let keys = &architecture.keys;
    let sizes = hf_sizes::read(fields, architecture, &mut warnings)?;
    let HfRope { theta: rope_theta, scaling: rope_scaling, rotated, local_theta } =
        hf_rope::read(fields, architecture, &sizes, &mut warnings)?;
    let mut additions = hf_additions::read(fields, architecture, &sizes)?;
    additions.rotated = rotated;
    additions.experts = hf_experts::read(fields, architecture, &sizes, &mut warnings)?;
    additions.local_theta = local_theta.or(additions.local_theta);
    hf_window::read(fields, architecture, sizes.layers, &mut additions.kinds, &mut warnings)?;
    additions.turn_locally();
    let [qkv_bias, output_bias, mlp_bias] = biases(fields, architecture, &mut warnings)?;
    let config = Config {
        architecture,
        layers: sizes.layers,
        hidden: sizes.hidden,
        intermediate: sizes.intermediate,
        heads: sizes.heads,
        kv_heads: sizes.kv_heads,
        head_dim: sizes.head_dim,
        vocab: sizes.vocab,
        rms_eps: epsilon(fields, keys.rms_eps.hf, architecture.defaults.rms_eps)?,
        rope_theta,
        max_context: rope_scaling.context(sizes.trained),
        rope_scaling,
        rope_divisors: None,
        rope_magnitude: 1.0,
        context_key: keys.context.hf,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(architecture.defaults.tied),
        qkv_bias,
        output_bias,
        mlp_bias,
        qk_norm: architecture.qk_norm(),
        additions,
        eos: known_ids(fields, "eos_token_id", sizes.vocab, &mut warnings)?,
        bos: known_id(fields, "bos_token_id", sizes.vocab, &mut warnings)?,
    };
    check_padding(fields, sizes.vocab)?;
    config.check().map_err(|error| Error::input(format!("{origin}: {error}")))?;
    Ok((config, warnings))
}

/// Token ids of a key that is absent, null, a number or a list. A negative number is no token.
pub(super) fn token_ids(fields: Fields<'_>, key: &str) -> Result<Vec<u32>> {
    let Some(value) = fields.value(key) else { return Ok(Vec::new()) };
    let ids = match value {
        Value::Array(ids) => ids.iter().map(Value::as_i64).collect(),
        one => one.as_i64().map(|id| vec![id]),
    };
    let ids: Option<Vec<i64>> = ids;
    let ids = ids.ok_or_else(|| {
        fields.wrong(key, &format!("must be a token id or a list of them, not {}", shown(value)))
    })?;
    Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
}

/// The same without ids beyond a vocabulary of `vocab` tokens, which no text can hold; a warning
/// names them.
pub(super) fn known_ids(
    fields: Fields<'_>,
    key: &str,
    vocab: usize,
    warnings: &mut Vec<String>,
) -> Result<Vec<u32>> {
    let (known, beyond): (Vec<u32>, Vec<u32>) =
        token_ids(fields, key)?.into_iter().partition(|&id| (id as usize) < vocab);
    if let Some(first) = beyond.first() {
        warnings.push(format!(
            "{}: `{key}` has {first}, which is beyond the vocabulary of {} tokens and is not taken",
            fields.origin,
            count(vocab)
        ));
    }
    Ok(known)
}

/// The same of a key that is absent, null or a number.
pub(super) fn known_id(
    fields: Fields<'_>,
    key: &str,
    vocab: usize,
    warnings: &mut Vec<String>,
) -> Result<Option<u32>> {
    match fields.value(key) {
        Some(list @ Value::Array(_)) => {
            Err(fields.wrong(key, &format!("must be a token id, not {}", shown(list))))
        }
        _ => Ok(known_ids(fields, key, vocab, warnings)?.first().copied()),
    }
}

/// Refuses a padding token that is no row of the embedding, as transformers does, which keeps that
/// row at zero while it trains. Below zero they are counted from the end.
fn check_padding(fields: Fields<'_>, vocab: usize) -> Result<()> {
    let key = "pad_token_id";
    let Some(value) = fields.value(key) else { return Ok(()) };
    let rows = i64::try_from(vocab).unwrap_or(i64::MAX);
    match value.as_i64() {
        Some(id) if (-rows..rows).contains(&id) => Ok(()),
        Some(id) => {
            Err(fields
                .wrong(key, &format!("is {id}, and the vocabulary has {} tokens", count(vocab))))
        }
        None => Err(fields.wrong(key, &format!("must be a token id, not {}", shown(value)))),
    }
}

fn epsilon(fields: Fields<'_>, key: &str, usual: f64) -> Result<f32> {
    fields.refuse_null(key, "a number")?;
    let epsilon = fields.number(key)?.unwrap_or(usual);
    match epsilon > 0.0 && epsilon < 1.0 {
        true => Ok(epsilon as f32),
        false => Err(fields.wrong(
            key,
            &format!(
                "is {epsilon:?}, and the epsilon of the RMS norms must be above 0 and below 1"
            ),
        )),
    }
}

fn refuse_activation(fields: Fields<'_>, architecture: &Architecture) -> Result<()> {
    let (key, known) = (architecture.activation_key, architecture.activation_names);
    fields.refuse_null(key, "a string")?;
    match fields.text(key)?.filter(|found| !known.contains(found)) {
        Some(found) => {
            let only = known.join(" or ");
            Err(fields.wrong(key, &format!("`{}` is not supported, only {only}", shortened(found))))
        }
        None => Ok(()),
    }
}

/// Whether q, k and v, the attention output and the MLP have biases. A key that the architecture
/// does not read and that says otherwise gets a warning.
fn biases(
    fields: Fields<'_>,
    architecture: &Architecture,
    warnings: &mut Vec<String>,
) -> Result<[bool; 3]> {
    let Biases { qkv, output, mlp } = architecture.biases;
    for (key, rules) in [("attention_bias", &[qkv, output][..]), ("mlp_bias", &[mlp])] {
        let is_read = rules
            .iter()
            .any(|rule| matches!(rule, BiasRule::Stated { key: read, .. } if *read == key));
        let held = qkv.unsaid();
        if is_read || fields.value(key).is_none() {
            continue;
        }
        if let Some(said) = fields.flag(key)?.filter(|&said| said != held) {
            warnings.push(format!(
                "{}: `{key}` {said} means nothing in {}, whose layers {}",
                fields.origin,
                architecture.spelling.hf,
                if held { "have biases on q, k and v" } else { "have no such biases" }
            ));
        }
    }
    let holds = |rule: BiasRule| rule.holds(|key| fields.flag(key));
    Ok([holds(qkv)?, holds(output)?, holds(mlp)?])
}
