//! The sizes in a `config.json`: each is a whole number in its range, or has a default of the
//! architecture.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::model::arch::{Architecture, Keys};
use crate::model::config::Config;
use crate::numbers::count;
use crate::{Error, Result};

/// The sizes of a model.
pub(super) struct Sizes {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) vocab: usize,
    /// Tokens of the context before any scaling.
    pub(super) trained: usize,
}

pub(super) const VOCAB: &str = "vocab_size";

/// Reads all sizes; one warning names the defaults that hold.
pub(super) fn read(
    fields: Fields<'_>,
    architecture: &Architecture,
    warnings: &mut Vec<String>,
) -> Result<Sizes> {
    let (keys, usual) = (&architecture.keys, &architecture.defaults);
    let mut unsaid = Vec::new();
    let mut size = |key: &str, default: usize, range: RangeInclusive<usize>| {
        fields.refuse_null(key, "a count")?;
        let found = in_range(fields, key, range)?;
        if found.is_none() {
            unsaid.push(format!("`{key}` {default}{}", not_read(instead(fields.map, keys, key))));
        }
        Ok::<_, Error>(found.unwrap_or(default))
    };
    let hidden = size(keys.hidden.hf, usual.hidden, Config::HIDDEN)?;
    let heads = size(keys.heads.hf, usual.heads, Config::HEADS)?;
    // A null means "as the others say", where a missing key may have a default.
    let kv_heads = match (fields.map.get(keys.kv_heads.hf), usual.kv_heads) {
        (None, Some(default)) => size(keys.kv_heads.hf, default, Config::HEADS)?,
        _ => in_range(fields, keys.kv_heads.hf, Config::HEADS)?.unwrap_or(heads),
    };
    let head_dim = match usual.head_dim {
        Some(default) => Some(size(keys.head_dim.hf, default, 0..=usize::MAX)?),
        None => fields.count(keys.head_dim.hf)?,
    };
    let trained = size(keys.context.hf, usual.context, Config::CONTEXT)?;
    let intermediate = size(keys.intermediate.hf, usual.intermediate, Config::INTERMEDIATE)?;
    let vocab = size(VOCAB, usual.vocab, Config::VOCAB)?;
    // No default: a deeper model would run without its last layers.
    let key = keys.layers.hf;
    fields.refuse_null(key, "a count")?;
    let layers = in_range(fields, key, Config::LAYERS)?.ok_or_else(|| {
        fields.wrong(key, &format!("is missing{}", not_read(instead(fields.map, keys, key))))
    })?;
    warnings.extend(fields.defaults_hold(architecture.spelling.hf, &unsaid));
    if !heads.is_multiple_of(kv_heads) {
        let what = format!(
            "{heads} is no multiple of `{}` {kv_heads}: query heads cannot share KV heads evenly",
            keys.kv_heads.hf
        );
        return Err(fields.wrong(keys.heads.hf, &what));
    }
    let head_dim = width_of_heads(fields, keys, head_dim, [hidden, heads])?;
    Ok(Sizes { layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, trained })
}

/// A count that is absent or in a range.
pub(super) fn in_range(
    fields: Fields<'_>,
    key: &str,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>> {
    match fields.count(key)? {
        Some(found) if !range.contains(&found) => {
            let (low, high) = (count(*range.start()), count(*range.end()));
            Err(fields.wrong(key, &format!("must be {low} to {high}, not {found}")))
        }
        found => Ok(found),
    }
}

/// Channels a head: what is stated, or the hidden size over the heads.
fn width_of_heads(
    fields: Fields<'_>,
    keys: &Keys,
    stated: Option<usize>,
    [hidden, heads]: [usize; 2],
) -> Result<usize> {
    let channels = stated.unwrap_or(hidden / heads);
    if Config::is_head_dim(channels) {
        return Ok(channels);
    }
    let rule = "heads must have an even number of channels, at most 256";
    Err(match stated {
        Some(_) => fields.wrong(keys.head_dim.hf, &format!("is {channels}, and {rule}")),
        None => {
            let size = |key, size| self::stated(fields.map, keys, key, size);
            Error::input(format!(
                "{}: {} and {} give {channels} channels a head, and {rule}",
                fields.origin,
                size(keys.heads.hf, heads),
                size(keys.hidden.hf, hidden)
            ))
        }
    })
}

/// Names that other architectures give to a size.
fn other_names(keys: &Keys, key: &str) -> &'static [&'static str] {
    let names: [(&str, &[&str]); 7] = [
        (keys.hidden.hf, &["n_embd", "n_embed", "d_model", "dim", "model_dim"]),
        (keys.intermediate.hf, &["n_inner", "ffn_dim", "ffn_hidden_size", "d_ff", "hidden_dim"]),
        (keys.layers.hf, &["n_layer", "n_layers", "num_layers"]),
        (keys.heads.hf, &["n_head", "n_heads", "num_heads"]),
        (keys.kv_heads.hf, &["n_kv_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num"]),
        (
            keys.context.hf,
            &["n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length"],
        ),
        (keys.head_dim.hf, &["d_head", "kv_channels", "n_embd_head", "attention_head_dim"]),
    ];
    names.iter().find(|(known, _)| *known == key).map_or(&[], |(_, others)| others)
}

/// The key that a file has in place of a size.
fn instead(map: &Map<String, Value>, keys: &Keys, key: &str) -> Option<&'static str> {
    other_names(keys, key).iter().find(|name| map.contains_key(**name)).copied()
}

fn not_read(other: Option<&str>) -> String {
    other.map(|other| format!(" (`{other}` is not read)")).unwrap_or_default()
}

/// The size that a key gives or the default that stands for it, for errors.
pub(super) fn stated(map: &Map<String, Value>, keys: &Keys, key: &str, size: usize) -> String {
    match map.get(key) {
        None => match instead(map, keys, key) {
            Some(other) => format!("`{key}` {size} (not given; `{other}` is not read)"),
            None => format!("`{key}` {size} (not given)"),
        },
        Some(Value::Null) => format!("`{key}` {size} (given as null)"),
        Some(_) => format!("`{key}` {size}"),
    }
}
