//! Numbers that leave the range of their type: a sentence that names the place, through every
//! command that decodes, and never a report with `null` where a number belongs.

use std::path::Path;

use kscope_testing::kscope;
use kscope_testing::models::*;
use serde_json::Value;

const IDS: &str = "1,17,44,61,80,5,9,33";

/// A key of KV head 0, channel 5 of layer 1 that f16 cannot hold.
fn large_key() -> tempfile::TempDir {
    changed_number("qwen2", "model.layers.1.self_attn.k_proj.bias", 5, 70_000.0)
}

/// Exit code, standard output and standard error of a command.
fn outcome(command: &str, model: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = kscope()
        .args(command.split_whitespace())
        .arg("--model")
        .arg(model)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_key_that_f16_cannot_hold_is_refused_by_every_command_that_decodes() {
    let folder = large_key();
    let ids = ["--token-ids", IDS, "--max-new", "4"];
    let mask = folder.path().join("half.safetensors");
    let mask = mask.to_str().unwrap();
    let make = ["--rule", "frequency", "--sparsity", "0.5", mask];
    let (code, _, err) = outcome("mask make", folder.path(), &make);
    assert_eq!(code, 0, "{err}");
    for (command, arguments) in [
        ("run", &[&ids[..], &["--json"]].concat()[..]),
        ("run", &[&ids[..], &["--batch", "2"]].concat()),
        ("run", &[&ids[..], &["--prompt-logprobs", "--json"]].concat()),
        ("compare", &[&ids[..], &["--mask", mask, "--json"]].concat()),
        // The inspector, asked for no screen and without a terminal.
        ("", &[&ids[..], &["--plain"]].concat()),
        ("", &ids[..]),
    ] {
        let (code, out, err) = outcome(command, folder.path(), arguments);
        assert_eq!(code, 2, "{command} {arguments:?}: {out}{err}");
        assert!(!out.contains("null"), "{command}: {out}");
        for word in ["layer 1, KV head 0, channel", "65504", "--kv-dtype bf16 or f32"] {
            assert!(err.contains(word), "{command}: no `{word}` in {err}");
        }
    }
}

#[test]
fn the_way_out_that_is_named_is_one() {
    let folder = large_key();
    for kv_dtype in ["bf16", "f32"] {
        let arguments = [
            "--token-ids",
            IDS,
            "--max-new",
            "4",
            "--ignore-eos",
            "--kv-dtype",
            kv_dtype,
            "--json",
        ];
        let (code, out, err) = outcome("run", folder.path(), &arguments);
        assert_eq!(code, 0, "{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        let logprobs = report["logprobs"].as_array().unwrap();
        assert!(logprobs.len() == 4 && logprobs.iter().all(Value::is_number), "{out}");
    }
}

#[test]
fn a_value_that_f16_cannot_hold_is_named_as_a_value() {
    let folder = changed_number("qwen2", "model.layers.0.self_attn.v_proj.bias", 30, -1e5);
    let (code, _, err) = outcome("run", folder.path(), &["--token-ids", IDS, "--max-new", "2"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("layer 0, KV head 0, channel 30: the value of the token at position 0"));
}

#[test]
fn what_is_just_within_reach_changes_nothing() {
    // 65,504 is a number of f16: no refusal, and what was printed before is printed still.
    let folder = changed_number("qwen2", "model.layers.1.self_attn.v_proj.bias", 3, 65_000.0);
    let (code, out, err) =
        outcome("run", folder.path(), &["--token-ids", IDS, "--max-new", "3", "--json"]);
    assert_eq!(code, 0, "{err}");
    assert!(serde_json::from_str::<Value>(&out).unwrap()["logprobs"][0].is_number(), "{out}");
}

#[test]
fn logits_beyond_f32_end_the_run() {
    let folder = changed_number("qwen2", "lm_head.weight", 64 * 7 + 1, 3e38);
    let (code, out, err) =
        outcome("run", folder.path(), &["--token-ids", IDS, "--max-new", "3", "--json"]);
    // The product passes the largest f32 only where the hidden state is larger than one.
    if code == 0 {
        assert!(serde_json::from_str::<Value>(&out).unwrap()["logprobs"][0].is_number(), "{out}");
    } else {
        assert_eq!(code, 2);
        assert!(err.contains("the logit of token 7 is"), "{err}");
    }
}

#[test]
fn a_row_of_zeros_without_epsilon_is_named() {
    let folder = tiny_folder("llama");
    let path = folder.path().join("config.json");
    let mut config = json(&path);
    config["rms_norm_eps"] = 0.0.into();
    std::fs::write(&path, config.to_string()).unwrap();
    let weights = folder.path().join("model.safetensors");
    let mut file = std::fs::read(&weights).unwrap();
    let end = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..end]).unwrap();
    let embedding = &header["model.embed_tokens.weight"];
    let row = embedding["shape"][1].as_u64().unwrap() as usize * 4;
    let start = end + embedding["data_offsets"][0].as_u64().unwrap() as usize + 5 * row;
    file[start..start + row].fill(0);
    std::fs::write(&weights, file).unwrap();
    let (code, out, err) = outcome("run", folder.path(), &["--token-ids", "1,5,6", "--json"]);
    assert_eq!(code, 2, "{out}{err}");
    // The file is refused before a row of zeros is divided by nothing.
    assert!(err.contains("epsilon of the RMS norms must be above 0"), "{err}");
}
