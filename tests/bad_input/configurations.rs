//! `config.json` of a model's folder.

use std::path::Path;

use kscope_testing::models::{json, tiny_folder};
use serde_json::{Value, json};

use crate::harness::{Case, Expected, damaged, hole, link, pipe};

const READER: &str = "config.json";

/// Runs the model in the folder.
pub const RUN: [&str; 7] = ["run", "--prompt", "the tide", "--max-new", "1", "-m", "."];

/// Copies one of the tiny models.
pub fn folder(at: &Path) {
    for file in std::fs::read_dir(tiny_folder("llama").path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), at.join(file.file_name())).unwrap();
    }
}

/// The model with keys of its configuration replaced.
fn with_keys(name: String, keys: Value) -> Case {
    Case::new(READER, name, &RUN, move |at| {
        folder(at);
        let mut config = json(&at.join("config.json"));
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        std::fs::write(at.join("config.json"), config.to_string()).unwrap();
    })
}

/// The model with another text as its configuration.
fn with_text(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    Case::new(READER, name, &RUN, move |at| {
        folder(at);
        std::fs::write(at.join("config.json"), &bytes).unwrap();
    })
    .naming("config.json")
}

pub fn cases(cases: &mut Vec<Case>) {
    let wrong = [
        ("hidden_size", json!([0, -48, "48", 48.5, 1e30, [], 18_446_744_073_709_551_615_u64, 49])),
        ("num_hidden_layers", json!([0, -1, "2", 100_000, 3])),
        ("num_attention_heads", json!([0, 5, 1_000_000_000, {}])),
        ("num_key_value_heads", json!([0, 2, -1, "3"])),
        ("head_dim", json!([0, 3, 1_000_000, "x"])),
        ("intermediate_size", json!([0, 65, -64])),
        ("vocab_size", json!([0, 97, 1_000_000_000_000_u64, false])),
        ("max_position_embeddings", json!([0, -1, "x", 4_294_967_296_u64])),
        ("rms_norm_eps", json!([-1.0, 0.0, 1.0, 1e308, "x", []])),
        ("rope_theta", json!([0, -1, 1e308, 1e-308, "x", {}])),
        ("hidden_act", json!([5, "gelu", "\u{1b}[2J"])),
        ("model_type", json!([7, "mamba", "\u{1b}]0;pwn\u{7}", "\u{202e}amallam"])),
        ("eos_token_id", json!(["</s>", 1.5, {}])),
        ("tie_word_embeddings", json!(["x", 2])),
        (
            "rope_scaling",
            json!([
                5, "yarn", [], {"type": 7}, {"type": "su"}, {"type": "linear"},
                {"type": "linear", "factor": 0}, {"type": "linear", "factor": -2},
                {"type": "linear", "factor": 1e308}, {"type": "linear", "factor": 1e-308},
                {"type": "linear", "factor": "x"},
                {"type": "yarn", "factor": -4.0},
                {"type": "yarn", "factor": 4.0, "beta_fast": -3.0},
                {"type": "yarn", "factor": 4.0, "attention_factor": 1e308},
                {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 0},
                {"type": "dynamic", "factor": 0},
                {"type": "llama3", "factor": 8.0},
                {"type": "llama3", "factor": 8.0, "low_freq_factor": -1e308, "high_freq_factor": 4.0, "original_max_position_embeddings": 128},
                {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
                {"type": "longrope", "short_factor": [0, 0, 0, 0, 0, 0, 0, 0], "long_factor": [1, 1, 1, 1, 1, 1, 1, 1], "original_max_position_embeddings": 128}
            ]),
        ),
    ];
    for (key, values) in wrong {
        for (number, value) in values.as_array().unwrap().iter().enumerate() {
            cases.push(with_keys(format!("{key} {number}"), json!({key: value})));
        }
    }
    let yarn = json!({"type": "yarn", "factor": 4.0});
    cases.push(with_keys(
        "yarn with theta 1".into(),
        json!({"rope_theta": 1, "rope_scaling": yarn}),
    ));
    let long = json!({"model_type": "x".repeat(300_000)});
    cases.push(with_keys("a model_type of 300 kB".into(), long));
    // transformers runs these: only the square of the factor counts, 0 stands for the usual betas,
    // and nobody allocates a context that is not used.
    for (name, keys) in [
        (
            "a negative attention factor",
            json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "attention_factor": -1.0}}),
        ),
        (
            "betas of 0",
            json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 0, "beta_slow": 0}}),
        ),
        ("a context of 1e9", json!({"max_position_embeddings": 1_000_000_000})),
    ] {
        cases.push(with_keys(name.to_owned(), keys).expecting(Expected::Accepted));
    }
    for (name, bytes) in [
        ("empty", b"".to_vec()),
        ("half an object", b"{\"model_type\": \"llama\"".to_vec()),
        ("a list", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("zeros", vec![0; 4096]),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("no UTF-8", b"{\"model_type\": \"\xff\"}".to_vec()),
        ("NaN", b"{\"rms_norm_eps\": NaN}".to_vec()),
        ("deep lists", [b"{\"a\":".to_vec(), vec![b'['; 200_000]].concat()),
        ("binary", (0..=255).cycle().take(5000).collect()),
    ] {
        cases.push(with_text(name, bytes));
    }
    type Put = fn(&Path);
    let puts: [(&str, Put); 6] = [
        ("a pipe", |path| pipe(path)),
        ("zeros without end", |path| link(path, "/dev/zero")),
        ("a hole of 8 GiB", |path| hole(path, 8 << 30)),
        ("a link to itself", |path| link(path, "config.json")),
        ("a folder", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
        ("not there", |path| std::fs::remove_file(path).unwrap()),
    ];
    for (name, put) in puts {
        let case = Case::new(READER, name, &RUN, move |at| {
            folder(at);
            put(&at.join("config.json"));
        });
        cases.push(case.naming("config.json"));
    }
    for seed in 0..8 {
        let case = Case::new(READER, format!("damage {seed}"), &RUN, move |at| {
            folder(at);
            let path = at.join("config.json");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, damaged(&bytes, bytes.len(), seed)).unwrap();
        });
        cases.push(case.expecting(Expected::Either));
    }
}
