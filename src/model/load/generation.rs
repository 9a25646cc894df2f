//! Keys of `generation_config.json` that change what is written, and that kscope does not apply.

use serde_json::{Map, Value};

use crate::error::shortened;

/// Keys that change greedy text in transformers, with the values that leave it as it is besides
/// null and empty lists.
const KEYS: &[(&str, &[f64])] = &[
    ("suppress_tokens", &[]),
    ("begin_suppress_tokens", &[]),
    ("bad_words_ids", &[]),
    ("sequence_bias", &[]),
    ("forced_bos_token_id", &[]),
    ("forced_eos_token_id", &[]),
    ("min_length", &[0.0]),
    ("min_new_tokens", &[0.0]),
    ("repetition_penalty", &[1.0]),
    ("encoder_repetition_penalty", &[1.0]),
    ("no_repeat_ngram_size", &[0.0]),
    ("encoder_no_repeat_ngram_size", &[0.0]),
    ("num_beams", &[1.0]),
    ("exponential_decay_length_penalty", &[]),
    ("guidance_scale", &[1.0]),
    ("stop_strings", &[]),
    ("watermarking_config", &[]),
];

/// One sentence on the keys that are not applied, none where there are none.
pub(super) fn not_applied(keys: &Map<String, Value>, origin: &str) -> Option<String> {
    let is_neutral = |value: &Value, neutral: &[f64]| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_f64().is_some_and(|number| neutral.contains(&number)),
        _ => false,
    };
    let named: Vec<String> = KEYS
        .iter()
        .filter_map(|(key, neutral)| Some((key, keys.get(*key)?, neutral)))
        .filter(|(_, value, neutral)| !is_neutral(value, neutral))
        .map(|(key, value, _)| format!("`{key}` ({})", shortened(&value.to_string())))
        .collect();
    (!named.is_empty()).then(|| {
        format!(
            "{origin}: kscope does not apply {}, with which transformers writes another text",
            named.join(", ")
        )
    })
}
