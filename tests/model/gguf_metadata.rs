//! Metadata of GGUF files that is stored as another type than llama.cpp reads it as, or that says
//! what cannot be: named by file, key and what was found.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use kscope::model::load::{Opened, Source};
use kscope_testing::gguf::GgufFile;
use kscope_testing::vectors;

use crate::edits::{changed_gguf, refuses_model};

/// A file with one value set or, for `None`, taken away.
fn with(
    base: &str,
    key: &str,
    value: Option<Value>,
    folder: &Path,
) -> (PathBuf, kscope::Result<Opened>) {
    let mut file = GgufFile::open(&vectors().join(format!("gguf/{base}.gguf")));
    file.metadata.retain(|(known, _)| known != key);
    if let Some(value) = value {
        file.set(key, value);
    }
    let path = folder.join("model.gguf");
    file.write(&path);
    let opened = Opened::open(&Source::Gguf(path.clone()));
    (path, opened)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Every key that is known, with a value of its type that fits the file `llama-f32`.
fn keys() -> Vec<(String, Value)> {
    let stored = GgufFile::open(&vectors().join("gguf/llama-f32.gguf"));
    let mut keys = stored.metadata;
    let tokens = keys.iter().find_map(|(key, value)| match value {
        Value::Array(list) if key == "tokenizer.ggml.tokens" => Some(list.len()),
        _ => None,
    });
    let mut more = |key: &str, value: Value| {
        if keys.iter().all(|(known, _)| known != key) {
            keys.push((key.to_owned(), value));
        }
    };
    for (key, number) in [
        ("attention.key_length", 16),
        ("attention.value_length", 16),
        ("attention.sliding_window", 0),
        ("attention.chunk_size", 0),
        ("attention.kv_lora_rank", 0),
        ("attention.q_lora_rank", 0),
        ("attention.shared_kv_layers", 0),
        ("attention.temperature_length", 0),
        ("expert_count", 0),
        ("expert_used_count", 0),
        ("nextn_predict_layers", 0),
        ("pooling_type", 0),
        ("rope.scaling.original_context_length", 64),
    ] {
        more(&format!("llama.{key}"), Value::U32(number));
    }
    for (key, number) in [
        ("attention.clamp_kqv", 0.0),
        ("attention.layer_norm_epsilon", 1e-5),
        ("attention.max_alibi_bias", 0.0),
        ("attention.output_scale", 0.0),
        ("attention.scale", 0.25),
        ("attention.temperature_scale", 0.0),
        ("attn_logit_softcapping", 0.0),
        ("embedding_scale", 0.0),
        ("final_logit_softcapping", 0.0),
        ("logit_scale", 0.0),
        ("residual_scale", 0.0),
        ("rope.scale_linear", 2.0),
        ("rope.scaling.attn_factor", 1.0),
        ("rope.scaling.factor", 2.0),
        ("rope.scaling.yarn_attn_factor", 1.0),
        ("rope.scaling.yarn_beta_fast", 32.0),
        ("rope.scaling.yarn_beta_slow", 1.0),
        ("rope.scaling.yarn_ext_factor", -1.0),
        ("rope.scaling.yarn_log_multiplier", 0.0),
    ] {
        more(&format!("llama.{key}"), Value::F32(number));
    }
    for (key, flag) in [
        ("llama.attention.causal", true),
        ("llama.rope.scaling.finetuned", true),
        ("llama.use_parallel_residual", false),
        ("tokenizer.ggml.add_eos_token", false),
        ("tokenizer.ggml.add_sep_token", false),
        ("tokenizer.ggml.add_space_prefix", false),
        ("tokenizer.ggml.remove_extra_whitespaces", false),
    ] {
        more(key, Value::Bool(flag));
    }
    for name in [
        "cls",
        "eom",
        "eot",
        "fim_mid",
        "fim_pad",
        "fim_pre",
        "fim_rep",
        "fim_sep",
        "fim_suf",
        "mask",
        "middle",
        "padding",
        "prefix",
        "seperator",
        "suffix",
        "unknown",
    ] {
        more(&format!("tokenizer.ggml.{name}_token_id"), Value::U32(5));
    }
    more("llama.rope.scaling.type", text("linear"));
    more("llama.tensor_data_layout", text("reference"));
    more("general.alignment", Value::U32(32));
    more("general.file_type", Value::U32(0));
    more("general.quantization_version", Value::U32(2));
    more("general.type", text("model"));
    more("split.count", Value::U16(1));
    more("split.no", Value::U16(0));
    more("split.tensors.count", Value::I32(11));
    more("tokenizer.ggml.scores", Value::Array(vec![Value::F32(0.0); tokens.unwrap()]));
    more("tokenizer.ggml.token_type_count", Value::U32(1));
    keys
}

/// A value of every type, and lists of some.
fn of_all_types() -> Vec<(&'static str, Value)> {
    let list = |item: Value| Value::Array(vec![item]);
    vec![
        ("u8", Value::U8(1)),
        ("i8", Value::I8(1)),
        ("u16", Value::U16(1)),
        ("i16", Value::I16(1)),
        ("u32", Value::U32(1)),
        ("i32", Value::I32(1)),
        ("u64", Value::U64(1)),
        ("i64", Value::I64(1)),
        ("f32", Value::F32(1.0)),
        ("f64", Value::F64(1.0)),
        ("bool", Value::Bool(true)),
        ("string", text("1")),
        ("list of u32", list(Value::U32(1))),
        ("list of i32", list(Value::I32(1))),
        ("list of i64", list(Value::I64(1))),
        ("list of f32", list(Value::F32(1.0))),
        ("list of f64", list(Value::F64(1.0))),
        ("list of bools", list(Value::Bool(true))),
        ("list of strings", list(text("1"))),
        ("list of lists", list(list(Value::U32(1)))),
    ]
}

/// The types that llama.cpp takes for a key, by the value that the file has.
fn right_types(key: &str, value: &Value) -> &'static [&'static str] {
    match value {
        Value::U32(_) => match key.split_once('.').unwrap().1 {
            "attention.head_count" | "attention.head_count_kv" | "feed_forward_length" => {
                &["u32", "list of u32", "list of i32"]
            }
            _ => &["u32"],
        },
        Value::U16(_) => &["u16"],
        Value::I32(_) => &["i32"],
        Value::F32(_) => &["f32"],
        Value::Bool(_) => &["bool"],
        Value::String(_) => &["string"],
        Value::Array(list) => match list[0] {
            Value::I32(_) => &["list of i32"],
            Value::F32(_) => &["list of f32"],
            _ => &["list of strings"],
        },
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn every_key_has_the_type_that_llama_cpp_reads_and_another_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys();
    assert!(keys.len() > 80, "{}", keys.len());
    for (key, value) in keys {
        let (_, opened) = with("llama-f32", &key, Some(value.clone()), folder.path());
        let opened = opened.unwrap_or_else(|cause| panic!("{key} {value:?}: {cause}"));
        assert_eq!(opened.warnings, Vec::<String>::new(), "{key} {value:?}");
        let right = right_types(&key, &value);
        for (name, other) in of_all_types().into_iter().filter(|(name, _)| !right.contains(name)) {
            let (path, opened) = with("llama-f32", &key, Some(other), folder.path());
            let Err(refusal) = opened else { panic!("{key} of type {name} is taken") };
            assert_eq!(refusal.exit_code(), 2);
            let refusal = refusal.to_string();
            for word in [path.to_str().unwrap(), &format!("`{key}`"), name, "expected"] {
                assert!(refusal.contains(word), "{key} of type {name}: no {word} in {refusal}");
            }
        }
    }
}

#[test]
fn numbers_that_cannot_be_are_named_with_their_key() {
    let u32s = |list: &[u32]| Value::Array(list.iter().map(|&n| Value::U32(n)).collect());
    for (key, value, words) in [
        ("llama.context_length", Value::U32(0), &["is 0", "at least 1"][..]),
        ("llama.embedding_length", Value::U32(0), &["is 0"]),
        ("llama.block_count", Value::U32(0), &["is 0"]),
        ("llama.attention.head_count", Value::U32(0), &["is 0"]),
        ("llama.attention.head_count_kv", Value::U32(0), &["is 0"]),
        ("llama.attention.head_count_kv", u32s(&[0]), &["is 0"]),
        ("llama.feed_forward_length", Value::U32(0), &["is 0"]),
        ("llama.attention.head_count_kv", u32s(&[2, 2]), &["1 layers", "a list of 2"]),
        ("llama.attention.value_length", Value::U32(8), &["is 8", "16 channels"]),
        ("general.alignment", Value::U32(33), &["power of two", "33"]),
        ("tokenizer.ggml.scores", Value::Array(vec![Value::F32(0.0); 3]), &["3", "311"]),
        ("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1); 312]), &["312", "311"]),
        ("tokenizer.ggml.tokens", Value::Array(vec![text("a"); 311]), &["`a` twice"]),
    ] {
        let folder = changed_gguf("llama-f32", |metadata| {
            metadata.insert(key.to_owned(), value);
        });
        let named = format!("`{key}`");
        refuses_model(
            &folder.path().join("model.gguf"),
            &[&["model.gguf", &named], words].concat(),
        );
    }
}

#[test]
fn what_a_file_says_against_itself_and_what_is_not_known_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let shorter = |list: &[(String, Value)], key: &str| match list.iter().find(|(k, _)| k == key) {
        Some((_, Value::Array(items))) => Value::Array(items[..items.len() - 3].to_vec()),
        _ => panic!("no {key}"),
    };
    for (key, value, words) in [
        ("llama.vocab_size", Value::U32(50), &["is 50", "no effect", "311 rows"][..]),
        ("llama.vocab_size", Value::U32(5000), &["is 5000", "311 rows"]),
        ("tokenizer.ggml.pre", text(""), &["missing", "`default`"]),
        ("tokenizer.ggml.suppress_tokens", Value::Array(vec![Value::I32(3)]), &["does not know"]),
        ("tokenizer.ggml.separator_token_id", Value::U32(3), &["does not know"]),
        ("llama.no_such_key", Value::U32(3), &["does not know"]),
    ] {
        let (path, opened) = with("llama-f32", key, Some(value), folder.path());
        let warnings = opened.unwrap().warnings;
        let [said] = &warnings[..] else { panic!("{key}: {warnings:?}") };
        for word in [&[path.to_str().unwrap(), &format!("`{key}`")], words].concat() {
            assert!(said.contains(word), "{key}: no {word} in {said}");
        }
    }
    let mut file = GgufFile::open(&vectors().join("gguf/llama-f32.gguf"));
    for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.token_type"] {
        let fewer = shorter(&file.metadata, key);
        file.set(key, fewer);
    }
    for key in ["bos", "eos"] {
        file.set(&format!("tokenizer.ggml.{key}_token_id"), Value::U32(5));
    }
    let path = folder.path().join("fewer.gguf");
    file.write(&path);
    let warnings = Opened::open(&Source::Gguf(path)).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("308 tokens"), "{warnings:?}");
    let (_, opened) = with("llama-f32", "tokenizer.ggml.pre", None, folder.path());
    assert!(opened.unwrap().warnings[0].contains("`tokenizer.ggml.pre` is missing"));
}

#[test]
fn a_tensor_that_lies_in_the_bytes_of_another_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let whole = std::fs::read(vectors().join("gguf/llama-f32.gguf")).unwrap();
    // The last tensor's offset is the last number of the header.
    let name = b"output_norm.weight";
    let at = whole.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let dimensions = u32::from_le_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
    let at = at + 4 + 8 * dimensions + 4;
    let offset = u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    for wrong in [offset + 32, offset - 32, offset + 1, 0, u64::MAX] {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&wrong.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        refuses_model(&path, &["model.gguf", "tensor `", "begins at", "expected"]);
    }
}
