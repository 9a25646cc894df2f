//! Every key of a `config.json` that is read, at values of every type: what transformers computes
//! (`tests/reference/make_configuration_keys.py`), or a refusal that names key and value.

use std::sync::Arc;

use kscope::Result;
use kscope::element::Dtype;
use kscope::model::load::{Opened, Source};
use kscope_testing::models::*;
use kscope_testing::vectors;
use serde_json::{Map, Value};

/// Keys and values that transformers stops at and that are taken for a key that is not given.
const AS_GOOD_AS_NONE: &[(&str, &str)] = &[
    // Qwen2 knows no such key; null means the width that it has.
    ("head_dim", "null"),
    ("quantization_config", "{}"),
    // Mistral has no kinds of layers.
    ("layer_types", "null"),
];

/// Keys that are ignored where the architecture has nothing of the kind. transformers trips over
/// some of their values outside the model, in its caches.
const IGNORED: &[(&str, &str)] = &[("llama", "sliding_window")];

/// Keys whose values are those of the window that they switch on.
const WINDOWS: [&str; 3] = ["use_sliding_window", "max_window_layers", "layer_types"];

/// The log-probabilities of a text, summed, in a folder with that configuration.
fn sum(folder: &std::path::Path, ids: &[u32]) -> Result<f64> {
    let source = Source::resolve(folder.to_str().unwrap())?;
    let model = Arc::new(Opened::open(&source)?.load(Some(Dtype::F32), &mut |_| Ok(()))?);
    let request = greedy(&model, vec![ids.to_vec()], 1);
    let session = run(&model, &dense(&model, SMALL, Dtype::F32), request)?;
    Ok(session.prompt_logprobs[0].iter().map(|&logprob| f64::from(logprob)).sum())
}

#[test]
fn every_key_at_values_of_every_type_computes_what_transformers_computes_or_is_named() {
    let held = json(&vectors().join("configuration_keys.json"));
    let ids = ids(&held["token_ids"]);
    let values = held["values"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in held["cases"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str();
        let (base, key) = (text("base").unwrap(), text("key").unwrap());
        let folder = tiny_folder(base);
        let path = folder.path().join("config.json");
        let mut original = json(&path);
        let keys = original.as_object_mut().unwrap();
        keys.extend(case["change"].as_object().unwrap().clone());
        let mut check = |value: Option<&Value>, expected: Option<f64>| {
            let mut config = original.clone();
            let place: &mut Map<String, Value> = match text("place") {
                Some(place) => config[place].as_object_mut().unwrap(),
                None => config.as_object_mut().unwrap(),
            };
            match value {
                Some(value) => drop(place.insert(key.to_owned(), value.clone())),
                None => drop(place.remove(key)),
            }
            std::fs::write(&path, config.to_string()).unwrap();
            let found = sum(folder.path(), &ids);
            if let Some(cause) = objection(base, key, value, expected, &found) {
                let shown = value.map_or("absent".to_owned(), Value::to_string);
                wrong.push(format!("{base} {} {key} {shown}: {cause}", case["change"]));
            }
        };
        check(None, case["absent"].as_f64());
        for (value, expected) in values.iter().zip(case["found"].as_array().unwrap()) {
            check(Some(value), expected.as_f64());
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong with an outcome.
fn objection(
    base: &str,
    key: &str,
    value: Option<&Value>,
    expected: Option<f64>,
    found: &Result<f64>,
) -> Option<String> {
    let shown = value.map(Value::to_string);
    let is_none = AS_GOOD_AS_NONE.iter().any(|(known, values)| {
        *known == key && values.split(' ').any(|value| shown.as_deref() == Some(value))
    });
    match (found, expected) {
        (Ok(found), Some(expected)) if (found - expected).abs() < 1e-2 => None,
        (Ok(_), None) if is_none || IGNORED.contains(&(base, key)) => None,
        (Ok(found), expected) => Some(format!("{found}, transformers: {expected:?}")),
        (Err(error), _) => {
            let sentence = error.to_string();
            // Without its kind, a scaling does not stretch the context.
            let names_key = sentence.contains(key)
                || value.is_none() && sentence.contains("context of 64")
                || WINDOWS.contains(&key) && sentence.contains("`sliding_window`");
            let names_value = match value {
                None | Some(Value::Array(_) | Value::Object(_)) => true,
                _ if WINDOWS.contains(&key) => true,
                // A factor below 1 does not stretch the context either.
                _ if key == "factor" && sentence.contains("context of 64") => true,
                Some(Value::String(text)) => sentence.contains(text),
                Some(shown) if sentence.contains(&shown.to_string()) => true,
                Some(Value::Number(number)) if number.is_f64() => {
                    let number = number.as_f64().unwrap();
                    [format!("{number:?}"), format!("{number}"), format!("{number:e}")]
                        .iter()
                        .any(|shown| sentence.contains(shown))
                }
                Some(value) => sentence.contains(&value.to_string()),
            };
            let is_one = error.exit_code() == 2 && !sentence.contains('\n');
            (!names_key || !names_value || !is_one).then_some(sentence)
        }
    }
}
