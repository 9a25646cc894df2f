//! `config.json` of a Hugging Face checkpoint.

use std::path::Path;

use serde_json::Value;

use super::fields::Fields;
use super::{hf_keys, hf_rope};
use crate::error::shortened;
use crate::model::arch::{Architecture, BiasRule};
use crate::model::config::Config;
use crate::{Error, Result, error};

/// Reads a `config.json`; with it, what a user should know of it, one sentence each.
pub fn open(path: &Path) -> Result<(Config, Vec<String>)> {
    let text = std::fs::read_to_string(path).map_err(|cause| error::io("reading", path, &cause))?;
    parse(&text, &path.display().to_string())
}

/// The same of a text; `origin` is the file named in errors.
pub fn parse(text: &str, origin: &str) -> Result<(Config, Vec<String>)> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        Error::input(format!("{origin}: expected a model's configuration as JSON, found {error}"))
    })?;
    let Some(map) = value.as_object() else {
        return Err(Error::input(format!("{origin}: expected a JSON object")));
    };
    let fields = Fields { map, origin };
    let model_type =
        fields.text("model_type")?.ok_or_else(|| fields.wrong("model_type", "is missing"))?;
    let architecture = Architecture::of_model_type(model_type)
        .map_err(|error| Error::input(format!("{origin}: {error}")))?;
    refuse_activation(fields, architecture)?;
    let mut warnings = Vec::new();
    hf_keys::check(fields, architecture, &mut warnings)?;

    let (keys, usual) = (&architecture.keys, &architecture.defaults);
    let mut unsaid = Vec::new();
    let mut size = |key: &str, default: usize| {
        if map.get(key).is_some_and(Value::is_null) {
            return Err(fields.wrong(key, "must be a count, not null"));
        }
        let found = fields.count(key)?;
        if found.is_none() {
            unsaid.push(format!("`{key}` {default}"));
        }
        Ok(found.unwrap_or(default))
    };
    let hidden = size(keys.hidden.hf, usual.hidden)?;
    let heads = size(keys.heads.hf, usual.heads)?;
    if heads == 0 {
        return Err(fields.wrong(keys.heads.hf, "must be at least 1"));
    }
    // A null means "as the others say", where a missing key may have a default.
    let kv_heads = match (map.get(keys.kv_heads.hf), usual.kv_heads) {
        (None, Some(default)) => size(keys.kv_heads.hf, default)?,
        _ => fields.count(keys.kv_heads.hf)?.unwrap_or(heads),
    };
    let head_dim = match usual.head_dim {
        Some(default) => size(keys.head_dim.hf, default)?,
        None => fields.count(keys.head_dim.hf)?.unwrap_or(hidden / heads),
    };
    let trained = size(keys.context.hf, usual.context)?;
    // No default: a deeper model would run without its last layers.
    let layers =
        fields.count(keys.layers.hf)?.ok_or_else(|| fields.wrong(keys.layers.hf, "is missing"))?;
    let (intermediate, vocab) =
        (size(keys.intermediate.hf, usual.intermediate)?, size("vocab_size", usual.vocab)?);
    if !unsaid.is_empty() {
        warnings.push(format!(
            "{origin}: the defaults of {} hold for keys that are not given: {}",
            architecture.spelling.hf,
            unsaid.join(", ")
        ));
    }
    if map.get(keys.rms_eps.hf).is_some_and(Value::is_null) {
        return Err(fields.wrong(keys.rms_eps.hf, "must be a number, not null"));
    }
    let (rope_theta, rope_scaling) =
        hf_rope::read(fields, keys.rope_theta.hf, trained, &mut warnings)?;
    let mut max_context = rope_scaling.context(trained);
    // Windowed attention within one window is full attention, so the window is the usable context.
    if let Some(window) = window(fields, architecture, layers)? {
        max_context = max_context.min(window);
    }
    let [qkv_bias, output_bias, mlp_bias] = biases(fields, architecture, &mut warnings)?;
    let config = Config {
        architecture,
        layers,
        hidden,
        intermediate,
        heads,
        kv_heads,
        head_dim,
        vocab,
        rms_eps: fields.number(keys.rms_eps.hf)?.unwrap_or(1e-6) as f32,
        rope_theta,
        rope_scaling,
        rope_divisors: None,
        rope_magnitude: 1.0,
        max_context,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(false),
        qkv_bias,
        output_bias,
        mlp_bias,
        qk_norm: architecture.qk_norm,
        eos: fields.token_ids("eos_token_id")?,
        bos: fields.token_ids("bos_token_id")?.first().copied(),
    };
    config.check().map_err(|error| Error::input(format!("{origin}: {error}")))?;
    Ok((config, warnings))
}

fn refuse_activation(fields: Fields<'_>, architecture: &Architecture) -> Result<()> {
    let (key, known) = ("hidden_act", architecture.activation_names);
    if fields.map.get(key).is_some_and(Value::is_null) {
        return Err(fields.wrong(key, "must be a string, not null"));
    }
    match fields.text(key)?.filter(|found| !known.contains(found)) {
        Some(found) => {
            let only = known.join(" or ");
            Err(fields.wrong(key, &format!("`{}` is not supported, only {only}", shortened(found))))
        }
        None => Ok(()),
    }
}

/// The window of the layers that have one, where any has.
fn window(fields: Fields<'_>, architecture: &Architecture, layers: usize) -> Result<Option<usize>> {
    let (key, rule) = (architecture.keys.window.hf, &architecture.window);
    let unsaid = rule.unsaid.filter(|_| !fields.map.contains_key(key));
    let stated = fields.count(key)?.or(unsaid);
    let used = match fields.flag("use_sliding_window")? {
        Some(used) if rule.flag => used,
        _ => rule.used,
    };
    let window = stated.filter(|_| used);
    let slides = match fields.value("layer_types") {
        None if rule.from_layer => {
            layers > fields.count("max_window_layers")?.unwrap_or(MAX_WINDOW_LAYERS)
        }
        None => true,
        Some(list) => {
            let kinds = list.as_array().map(|kinds| kinds.iter().map(Value::as_str));
            let Some(kinds) = kinds.and_then(|kinds| kinds.collect::<Option<Vec<_>>>()) else {
                return Err(fields.wrong("layer_types", "must be a list of strings"));
            };
            if let Some(other) =
                kinds.iter().find(|kind| !["full_attention", "sliding_attention"].contains(kind))
            {
                let what = format!("has a layer of `{}`, which is not supported", shortened(other));
                return Err(fields.wrong("layer_types", &what));
            }
            let sliding = kinds.contains(&"sliding_attention");
            if sliding && window.is_none() {
                let what = format!("has layers of sliding_attention, but no `{key}` is in use");
                return Err(fields.wrong("layer_types", &what));
            }
            // An architecture that has no kinds of layers has its window in all of them.
            sliding || !rule.from_layer
        }
    };
    Ok(window.filter(|_| slides))
}

/// From which layer on windows hold, where a configuration with windows does not say it.
const MAX_WINDOW_LAYERS: usize = 28;

/// Whether q, k and v, the attention output and the MLP have biases. A key that the architecture
/// does not read and that says otherwise gets a warning.
fn biases(
    fields: Fields<'_>,
    architecture: &Architecture,
    warnings: &mut Vec<String>,
) -> Result<[bool; 3]> {
    let rules = [architecture.biases.qkv, architecture.biases.output, architecture.biases.mlp];
    for (key, rules) in [("attention_bias", &rules[..2]), ("mlp_bias", &rules[2..])] {
        let is_read = rules
            .iter()
            .any(|rule| matches!(rule, BiasRule::Stated { key: read, .. } if *read == key));
        let held = rules[0].unsaid();
        if let Some(said) = fields.flag(key)?.filter(|&said| !is_read && said != held) {
            warnings.push(format!(
                "{}: `{key}` {said} means nothing in {}, whose layers {}",
                fields.origin,
                architecture.spelling.hf,
                if held { "have biases on q, k and v" } else { "have no such biases" }
            ));
        }
    }
    let holds = |rule: BiasRule| rule.holds(|key| fields.flag(key));
    Ok([holds(rules[0])?, holds(rules[1])?, holds(rules[2])?])
}
