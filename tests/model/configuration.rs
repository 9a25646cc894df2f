//! Configurations that are spelled unusually: what transformers and llama.cpp compute for them
//! (`tests/reference/make_configuration_values.py`), or a refusal that names the key.

use std::path::Path;

use candle_core::quantized::gguf_file::Value as Metadata;
use kscope::element::Dtype;
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use serde_json::Value;

use crate::edits::{changed_gguf, refuses};

/// `kscope run` over the fixed text in f32, as one JSON object.
fn arguments<'a>(model: &'a str, ids: &'a str) -> Vec<&'a str> {
    let mut all = vec!["run", "--model", model, "--token-ids", ids, "--prompt-logprobs"];
    all.extend(["--max-new", "1", "--dtype", "f32", "--kv-dtype", "f32", "--json"]);
    all
}

/// Runs every case of a list; `value_of` picks the number that the case states.
fn check(
    list: &str,
    tolerance: f64,
    build: impl Fn(&Value) -> (tempfile::TempDir, std::path::PathBuf),
    value_of: impl Fn(&[f64]) -> f64,
) {
    let held = json(&vectors().join("configurations.json"));
    let ids: Vec<String> = ids(&held["token_ids"]).iter().map(u32::to_string).collect();
    let ids = ids.join(",");
    for case in held[list].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (_folder, path) = build(case);
        let model = path.to_str().unwrap();
        if let Some(words) = case["words"].as_array() {
            let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
            refuses(kscope().args(arguments(model, &ids)), &words);
            continue;
        }
        let output = kscope().args(arguments(model, &ids)).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{list} {name}: {err}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let logprobs: Vec<f64> = prompt_logprobs(&report);
        let (found, expected) = (value_of(&logprobs), case["value"].as_f64().unwrap());
        assert!(
            (found - expected).abs() < tolerance,
            "{list} {name}: {found}, expected {expected}; {err}"
        );
    }
}

fn prompt_logprobs(report: &Value) -> Vec<f64> {
    report["prompt_logprobs"].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}

/// A tiny folder with keys of its `config.json` changed or removed.
fn changed_folder(base: &str, change: &Value) -> tempfile::TempDir {
    let folder = tiny_folder(base);
    let path = folder.path().join("config.json");
    let mut config = json(&path);
    let keys = config.as_object_mut().unwrap();
    for (key, value) in change.as_object().unwrap() {
        match value.get("remove") {
            Some(_) => keys.remove(key),
            None => keys.insert(key.clone(), value.clone()),
        };
    }
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

#[test]
fn decoding_across_the_context_of_pretraining_computes_what_transformers_computes() {
    let held = json(&vectors().join("configurations.json"));
    let all = ids(&held["token_ids"]);
    for case in held["decoded"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let folder = changed_folder(case["base"].as_str().unwrap(), &case["change"]);
        let model = load(folder.path(), Some(Dtype::F32));
        let (prompt, forced) = all.split_at(case["prompt"].as_u64().unwrap() as usize);
        // The first log-probability is the prompt's last logits, the others are decode steps.
        let spec = dense(&model, SMALL, Dtype::F32);
        let (mut cache, states) = prefill(&model, &spec, prompt, 16);
        let last = &states[states.len() - model.config().hidden..];
        let mut rows = vec![model.decoder.logits(last).unwrap()];
        rows.extend(step_logits(&model, &mut cache, &forced[..forced.len() - 1]));
        let expected = case["logprobs"].as_array().unwrap();
        assert_eq!(rows.len(), expected.len(), "{name}");
        for (at, (row, expected)) in rows.iter().zip(expected).enumerate() {
            let found = logprob(row, forced[at]);
            let expected = expected.as_f64().unwrap();
            assert!((found - expected).abs() < 1e-3, "{name} step {at}: {found}, not {expected}");
        }
    }
}

fn logprob(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    f64::from(logits[token as usize] - largest) - sum.ln()
}

#[test]
fn sizes_that_do_not_fit_the_weights_are_named_with_the_keys_that_give_them() {
    let remove = r#"{"remove": true}"#;
    for (base, change, words) in [
        (
            "mistral",
            format!(r#"{{"hidden_size": {remove}}}"#),
            &["`vocab_size` 112", "`hidden_size` 4096 (not given)", "[112, 64]", "[112, 4096]"][..],
        ),
        (
            "llama",
            format!(r#"{{"hidden_size": {remove}, "n_embd": 48}}"#),
            &["`num_attention_heads` 3", "`hidden_size` 4096 (not given; `n_embd` is not read)"],
        ),
        (
            "llama",
            r#"{"num_key_value_heads": 1}"#.to_owned(),
            &["`num_key_value_heads` 1", "k_proj"],
        ),
        (
            "llama",
            r#"{"attention_bias": true}"#.to_owned(),
            &["`attention_bias` true", "q_proj.bias"],
        ),
        ("llama", r#"{"mlp_bias": true}"#.to_owned(), &["`mlp_bias` true", "gate_proj.bias"]),
        ("qwen2", r#"{"num_hidden_layers": 5}"#.to_owned(), &["`num_hidden_layers` 5", "2 layers"]),
        (
            "llama",
            format!(r#"{{"num_hidden_layers": {remove}, "n_layer": 2}}"#),
            &["`num_hidden_layers` is missing", "`n_layer` is not read"],
        ),
        (
            "llama",
            r#"{"num_attention_heads": 4}"#.to_owned(),
            &["`num_attention_heads` 4", "`num_key_value_heads` 3"],
        ),
        (
            "llama",
            r#"{"num_attention_heads": 48}"#.to_owned(),
            &["`num_attention_heads` 48", "1 channels"],
        ),
    ] {
        let folder = changed_folder(base, &serde_json::from_str(&change).unwrap());
        refuses(kscope().args(arguments(folder.path().to_str().unwrap(), "5,6")), words);
    }
    // As many as query heads.
    let folder = changed_folder("llama", &serde_json::json!({"num_key_value_heads": null}));
    assert_eq!(load(folder.path(), None).config().kv_heads, 3);
}

#[test]
fn a_context_that_is_too_short_is_named_with_its_key() {
    for (base, change, word) in [
        ("llama", r#"{"max_position_embeddings": 1}"#, "1 (`max_position_embeddings`)"),
        (
            "llama",
            r#"{"max_position_embeddings": 1, "rope_scaling": {"type": "dynamic", "factor": 1.0}}"#,
            "1 (`max_position_embeddings` and the `factor` of the rope scaling)",
        ),
    ] {
        let folder = changed_folder(base, &serde_json::from_str(change).unwrap());
        refuses(kscope().args(arguments(folder.path().to_str().unwrap(), "5,6")), &[word]);
    }
    let long =
        changed_folder("llama", &serde_json::json!({"max_position_embeddings": 1_000_000_000}));
    assert_eq!(load(long.path(), None).config().max_context, 1_000_000_000);
}

#[test]
fn llama_has_no_window_in_a_gguf_file_either() {
    let folder = changed_gguf("llama-f32", |table| {
        table.insert("llama.attention.sliding_window".to_owned(), Metadata::U32(8));
    });
    let path = folder.path().join("model.gguf");
    assert!(open(&path).config.max_context > 8);
    assert!(said(&path).contains("`llama.attention.sliding_window` means nothing in llama"));
}

#[test]
fn a_text_ends_where_the_architecture_s_default_says_if_no_file_says_it() {
    let remove = serde_json::json!({"eos_token_id": {"remove": true}});
    let ends = |base: &str, generation: Option<&str>| {
        let folder = changed_folder(base, &remove);
        std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
        std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        if let Some(text) = generation {
            std::fs::write(folder.path().join("generation_config.json"), text).unwrap();
        }
        let opened = open(folder.path());
        let warns = opened.warnings.iter().any(|warning| warning.contains("`eos_token_id`"));
        (opened.config.eos, warns)
    };
    for base in ["llama", "mistral"] {
        assert_eq!(ends(base, None), (vec![2], true), "{base}");
        assert_eq!(ends(base, Some(r#"{"eos_token_id": [5, 7]}"#)), (vec![5, 7], false), "{base}");
    }
    assert_eq!(ends("qwen2", None), (Vec::new(), false));
}

#[test]
fn the_ends_of_a_generation_configuration_take_the_place_of_the_model_s() {
    let ends = |generation: &str| {
        let folder = changed_folder("llama", &serde_json::json!({"eos_token_id": [11, 12]}));
        for name in ["tokenizer_config.json", "tokenizer.json"] {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("generation_config.json"), generation).unwrap();
        open(folder.path()).config.eos
    };
    assert_eq!(ends(r#"{"eos_token_id": 5}"#), [5]);
    assert_eq!(ends(r#"{"eos_token_id": [5, 7]}"#), [5, 7]);
    for none in ["{}", r#"{"eos_token_id": null}"#, r#"{"eos_token_id": []}"#] {
        assert_eq!(ends(none), [11, 12], "{none}");
    }
}

#[test]
fn what_a_generation_configuration_asks_for_and_is_not_applied_is_named_once() {
    let warnings = |generation: &str| {
        let folder = changed_folder("llama", &serde_json::json!({}));
        std::fs::write(folder.path().join("generation_config.json"), generation).unwrap();
        let warnings = open(folder.path()).warnings.into_iter();
        warnings.filter(|said| said.contains("generation_config.json")).collect::<Vec<_>>()
    };
    let changing = [
        ("suppress_tokens", "[5]"),
        ("begin_suppress_tokens", "[5]"),
        ("bad_words_ids", "[[5]]"),
        ("sequence_bias", "[[[5], -1.0]]"),
        ("forced_bos_token_id", "5"),
        ("forced_eos_token_id", "[5]"),
        ("min_length", "3"),
        ("min_new_tokens", "3"),
        ("repetition_penalty", "1.1"),
        ("encoder_repetition_penalty", "2.0"),
        ("no_repeat_ngram_size", "2"),
        ("num_beams", "3"),
        ("guidance_scale", "1.5"),
        ("stop_strings", r#"["a"]"#),
    ];
    for (key, value) in changing {
        let said = warnings(&format!(r#"{{"{key}": {value}}}"#));
        assert_eq!(said.len(), 1, "{key}: {said:?}");
        assert!(said[0].contains(&format!("`{key}`")) && said[0].contains("not apply"), "{said:?}");
    }
    let all = changing.map(|(key, value)| format!(r#""{key}": {value}"#)).join(", ");
    let said = warnings(&format!("{{{all}}}"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(changing.iter().all(|(key, _)| said[0].contains(key)), "{said:?}");
    let neutral = r#"{"repetition_penalty": 1.0, "num_beams": 1, "min_length": 0,
        "no_repeat_ngram_size": 0, "suppress_tokens": [], "bad_words_ids": null, "do_sample": true,
        "temperature": 0.6, "max_new_tokens": 3, "guidance_scale": 1}"#;
    assert!(warnings(neutral).is_empty());
}

#[test]
fn a_configuration_for_random_weights_gets_the_same_warnings() {
    let folder = changed_folder("llama", &serde_json::json!({"no_such_key": 3}));
    let path = folder.path().join("config.json");
    let output = kscope()
        .args(["run", "--token-ids", "5,6", "--max-new", "1", "--random-weights"])
        .arg(&path)
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && err.contains("`no_such_key`"), "{err}");
}

fn metadata(typed: &Value) -> Metadata {
    let value = &typed[1];
    match typed[0].as_str().unwrap() {
        "string" => Metadata::String(value.as_str().unwrap().to_owned()),
        "f32" => Metadata::F32(value.as_f64().unwrap() as f32),
        "u32" => Metadata::U32(value.as_u64().unwrap() as u32),
        "bool" => Metadata::Bool(value.as_bool().unwrap()),
        other => panic!("no type {other}"),
    }
}

#[test]
fn configurations_compute_what_transformers_computes_or_are_refused_by_name() {
    let build = |case: &Value| {
        let folder = changed_folder(case["base"].as_str().unwrap(), &case["change"]);
        let path = folder.path().to_owned();
        (folder, path)
    };
    check("folders", 5e-3, build, |logprobs| logprobs.iter().sum());
}

#[test]
fn gguf_metadata_computes_what_llama_cpp_computes_or_is_refused_by_name() {
    let build = |case: &Value| {
        let folder = changed_gguf(case["base"].as_str().unwrap(), |table| {
            for (key, typed) in case["change"].as_object().unwrap() {
                match typed.is_null() {
                    true => table.remove(key),
                    false => table.insert(key.clone(), metadata(typed)),
                };
            }
        });
        let path = folder.path().join("model.gguf");
        (folder, path)
    };
    // llama.cpp rounds the inputs of f16 weights to f16.
    check("gguf", 2e-3, build, |logprobs| *logprobs.last().unwrap());
}

/// What a run on one token says on standard error.
fn said(path: &Path) -> String {
    let path = path.to_str().unwrap();
    let output = kscope().args(["model", "show", "--model", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn keys_without_effect_and_unknown_keys_are_named_in_a_warning() {
    let cases = [
        ("llama", r#"{"no_such_key": 3, "nor_this": [1]}"#, &["`no_such_key`", "`nor_this`"][..]),
        ("llama", r#"{"rope_scaling": {"type": "default", "factor": 4.0}}"#, &["`factor`"]),
        (
            "llama",
            r#"{"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "default"}}"#,
            &["`rope_scaling`", "`rope_parameters`", "differ"],
        ),
        (
            "llama",
            r#"{"rope_scaling": {"type": "default", "rope_theta": 500000.0}}"#,
            &["`rope_theta`", "10000", "500000", "in `rope_scaling` is used"],
        ),
        (
            "llama",
            r#"{"rope_scaling": {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}, "original_max_position_embeddings": 32}"#,
            &["`original_max_position_embeddings`", "beside `rope_scaling` is used"],
        ),
        ("qwen2", r#"{"attention_bias": false}"#, &["`attention_bias`", "qwen2"]),
        ("mistral", r#"{"mlp_bias": true}"#, &["`mlp_bias`", "mistral"]),
        ("llama", r#"{"max_position_embeddings": {"remove": true}}"#, &["2048", "llama"]),
    ];
    for (base, change, words) in cases {
        let folder = changed_folder(base, &serde_json::from_str(change).unwrap());
        let said = said(folder.path());
        assert_eq!(said.lines().count(), 1, "{change}: {said}");
        for word in words {
            assert!(said.contains(word), "{change}: no {word} in {said}");
        }
    }
    let gguf = changed_gguf("llama-f32", |table| {
        table.insert("llama.no_such_key".to_owned(), Metadata::U32(3));
    });
    let said = said(&gguf.path().join("model.gguf"));
    assert!(said.lines().count() == 1 && said.contains("`llama.no_such_key`"), "{said}");
}

#[test]
fn ordinary_configurations_say_nothing() {
    for name in ["llama", "mistral", "qwen2", "qwen3", "llama3", "qwen2-yarn-options"] {
        assert_eq!(said(tiny_folder(name).path()), "", "{name}");
    }
    for name in ["llama-f32", "llama-rope-freqs", "llama-yarn", "qwen2-yarn"] {
        assert_eq!(said(&vectors().join(format!("gguf/{name}.gguf"))), "", "{name}");
    }
}

#[test]
fn missing_sizes_are_the_defaults_of_the_architecture() {
    let parse = |text: &str| kscope::model::load::hf_config::parse(text, "config.json").unwrap().0;
    let sizes = |text: &str| {
        let config = parse(text);
        (
            [config.vocab, config.hidden, config.intermediate],
            [config.heads, config.kv_heads, config.head_dim, config.max_context],
        )
    };
    assert_eq!(
        sizes(r#"{"model_type": "llama", "num_hidden_layers": 2}"#),
        ([32_000, 4096, 11_008], [32, 32, 128, 2048])
    );
    let mistral = r#"{"model_type": "mistral", "num_hidden_layers": 2}"#;
    assert_eq!(sizes(mistral), ([32_000, 4096, 14_336], [32, 8, 128, 131_072]));
    assert_eq!(parse(mistral).additions.sight().windows, [Some(4096); 2]);
    assert_eq!(
        sizes(
            r#"{"model_type": "mistral", "num_hidden_layers": 2, "num_key_value_heads": null, "sliding_window": null}"#
        ),
        ([32_000, 4096, 14_336], [32, 32, 128, 131_072])
    );
    for (family, head_dim) in [("qwen2", 64), ("qwen3", 128)] {
        let text =
            format!(r#"{{"model_type": "{family}", "num_hidden_layers": 2, "hidden_size": 2048}}"#);
        let expected = ([151_936, 2048, 22_016], [32, 32, head_dim, 32_768]);
        assert_eq!(sizes(&text), expected, "{family}");
    }
}

#[test]
fn a_count_of_each_layer_counts_where_all_layers_agree() {
    let with = |counts: &[u32]| {
        changed_gguf("llama-q4_0", |table| {
            let list = counts.iter().map(|&n| Metadata::U32(n)).collect();
            table.insert("llama.attention.head_count_kv".to_owned(), Metadata::Array(list));
        })
    };
    let (same, other) = (with(&[2, 2]), with(&[2, 4]));
    assert_eq!(open(&same.path().join("model.gguf")).config.kv_heads, 2);
    let path = other.path().join("model.gguf");
    let arguments = arguments(path.to_str().unwrap(), "5,6");
    refuses(kscope().args(arguments), &["attention.head_count_kv", "a list of 2"]);
}

/// clap asks for no required option where a conflicting one is given.
#[test]
fn options_of_random_weights_do_not_go_with_a_model_of_its_own_weights() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    for option in [["--layers", "1"], ["--weights", "q8_0"]] {
        let run = ["run", "--token-ids", "5,6", "--max-new", "1", "--model", model];
        refuses(kscope().args(run).args(option), &[option[0], "it goes with --random-weights"]);
    }
    refuses(
        kscope().args(["run", "--random-weights", "gemma-3-4b", "--token-ids", "5"]),
        &["gemma-3-4b", "kscope plan", "config.json"],
    );
}
