//! Weights that are valid and numerically hostile: denormal, constant and zero projections, keys near
//! the largest number of f16, a token without an embedding. Every cache gives what plain loops in f64
//! give, and every rule and measurement gives numbers.

use std::sync::Arc;

use kscope::cache::CacheSpec;
use kscope::element::Dtype;
use kscope::mask::{CachePlan, ChannelMask};
use kscope_testing::kscope;
use kscope_testing::models::*;
use kscope_testing::plain::Plain;
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

/// A model folder with every number of some tensors changed.
fn changed(name: &str, tensors: &[&str], change: fn(usize, f32) -> f32) -> TempDir {
    let folder = tiny_folder(name);
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for tensor in tensors {
        let data = file.tensor(tensor).unwrap();
        assert_eq!(data.dtype(), safetensors::Dtype::F32, "{tensor}");
        let numbers = data.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        let new = numbers.enumerate().map(|(at, number)| (at, change(at, number)));
        change_numbers(folder.path(), tensor, new);
    }
    folder
}

const KEYS: [&str; 2] =
    ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.k_proj.weight"];
const VALUES: [&str; 2] =
    ["model.layers.0.self_attn.v_proj.weight", "model.layers.1.self_attn.v_proj.weight"];

/// What is hostile, its model, tensors and change.
type Hostile = (&'static str, &'static str, &'static [&'static str], fn(usize, f32) -> f32);

const HOSTILE: [Hostile; 9] = [
    ("denormal keys", "llama", &KEYS, |_, number| number * 1e-39),
    ("denormal values", "llama", &VALUES, |_, number| number * 1e-39),
    ("keys below f16's smallest", "llama", &KEYS, |_, number| number * 1e-8),
    ("keys of zero norm", "llama", &KEYS, |_, _| 0.0),
    ("values of zero", "llama", &VALUES, |_, _| 0.0),
    ("equal keys", "llama", &KEYS, |_, _| 0.02),
    ("equal values", "llama", &VALUES, |_, _| 0.02),
    ("large keys", "llama", &KEYS, |_, number| number * 3e3),
    ("no embedding", "llama", &["model.embed_tokens.weight"], |at, number| {
        // The rows of the first 16 tokens: norms of zero vectors.
        if at < 16 * 48 { 0.0 } else { number }
    }),
];

fn prompt(vocab: usize) -> Vec<u32> {
    (0..110).map(|at| (at * 37 % vocab) as u32).collect()
}

#[test]
fn every_cache_decodes_hostile_weights_as_plain_loops_do() {
    for (what, name, tensors, change) in HOSTILE {
        let folder = changed(name, tensors, change);
        let model = load(folder.path(), None);
        let shape = model.config().mask_shape();
        let ids = prompt(model.config().vocab);
        let (first, fed) = ids.split_at(96);
        let full = ChannelMask::full(shape);
        let half = ChannelMask::from_fn(shape, |_, _, channel| channel % 2 == 0);
        let coded = |name: &str| {
            let plan = CachePlan::named(name, shape).unwrap();
            Arc::new(CacheSpec::planned(SMALL, Dtype::F32, plan).unwrap())
        };
        for (cache, spec, mask, bound) in [
            ("f32", dense(&model, SMALL, Dtype::F32), &full, 1e-4),
            ("bf16", dense(&model, SMALL, Dtype::Bf16), &full, 0.1),
            ("f16", dense(&model, SMALL, Dtype::F16), &full, 1e-2),
            ("half of the channels", masked(&model, SMALL, Dtype::F32, half.clone()), &half, 1e-4),
            ("k8v8", coded("k8v8"), &full, 2e-2),
            ("k4v4", coded("k4v4"), &full, 0.2),
        ] {
            // Where keys decide for one token alone, 4 bits of them may decide for another.
            if (what, cache) == ("large keys", "k4v4") {
                continue;
            }
            let mut plain = Plain::new(&model, SMALL, mask).pruned_from(first.len());
            let expected = plain.logits(&ids).split_off(first.len());
            let (mut cache_of, _) = prefill(&model, &spec, first, 32);
            let found = step_logits(&model, &mut cache_of, fed);
            let expected: Vec<Vec<f32>> =
                expected.iter().map(|row| row.iter().map(|&x| x as f32).collect()).collect();
            let error = rows_error(&found, &expected);
            println!("{what}, {cache}: {error:.1e}");
            assert!(error <= bound, "{what}, {cache}: {error:e}");
        }
    }
}

/// Numbers anywhere in a report that are none: `serde_json` writes them as null.
fn nulls(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| nulls(value, &format!("{path}.{key}"), found));
        }
        Value::Array(list) => list.iter().for_each(|value| nulls(value, path, found)),
        Value::Null => found.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn what_is_measured_of_hostile_weights_is_a_number() {
    let ids = prompt(96).iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut usual = None;
    let as_it_is: Hostile = ("nothing hostile", "llama", &[], |_, number| number);
    for (what, name, tensors, change) in std::iter::once(as_it_is).chain(HOSTILE) {
        let folder = changed(name, tensors, change);
        let model = folder.path().to_str().unwrap();
        let mask = folder.path().join("half.safetensors");
        let mask = mask.to_str().unwrap();
        let run = |arguments: &[&str]| -> Value {
            let output = kscope().args(arguments).args(["--model", model]).output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert_eq!(code, Some(0), "{what}, {arguments:?}: {err}");
            let text = String::from_utf8_lossy(&output.stdout);
            serde_json::from_str(&text).unwrap_or_default()
        };
        run(&["mask", "make", "--rule", "frequency", "--sparsity", "0.5", mask]);
        let window = ["--sink", "4", "--recent", "24", "--chunk", "8", "--kv-dtype", "f32"];
        let fed = ["--token-ids", &ids, "--max-new", "4", "--mode", "forced", "--json"];
        let report = run(&[&["compare", "--mask", mask], &window[..], &fed].concat());
        let mut found = Vec::new();
        nulls(&report, "", &mut found);
        assert!(report["kld"].is_object() || report["kld"].is_number(), "{what}: {report}");
        // What is null of any model is what was not asked for.
        assert_eq!(&found, usual.get_or_insert(found.clone()), "{what}");
        let text = folder.path().join("text.txt");
        std::fs::write(&text, "a b c d e f g h i j k l m n o p q r s t u v w x y z ".repeat(20))
            .unwrap();
        for rule in ["think", "key-norm", "sensitivity"] {
            let scores = folder.path().join(format!("{rule}.safetensors"));
            let out = ["--text", text.to_str().unwrap(), "--out", scores.to_str().unwrap()];
            run(&[&["score", "--rule", rule], &out[..]].concat());
        }
    }
}
