//! Bad input to the program: exit code 2 and one sentence on standard error that names what is
//! wrong.

use std::path::Path;

use crate::edits::*;
use assert_cmd::Command;
use candle_core::quantized::gguf_file::Value;
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use safetensors::tensor::Dtype;

#[test]
fn a_model_that_is_not_there() {
    refuses_model(Path::new("/nowhere/model.gguf"), &["/nowhere/model.gguf", "no such file"]);
    refuses_model(Path::new("no-such-name"), &["no-such-name"]);
    refuses_model(Path::new("org/name"), &["org/name", "hub"]);
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_str().unwrap();
    let mut command = kscope();
    command.env("XDG_CACHE_HOME", cache).args(["run", "--model", "smollm2-135m", "--prompt", "x"]);
    refuses(&mut command, &["smollm2-135m", "kscope fetch smollm2-135m"]);
}

#[test]
fn a_file_that_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let (text, gguf) = (folder.path().join("notes.txt"), folder.path().join("notes.gguf"));
    std::fs::write(&text, "hello").unwrap();
    std::fs::write(&gguf, "hello").unwrap();
    refuses_model(&text, &["notes.txt", "config.json", ".gguf"]);
    refuses_model(&gguf, &["notes.gguf"]);
    std::fs::write(&gguf, "").unwrap();
    refuses_model(&gguf, &["notes.gguf"]);
}

#[test]
fn a_folder_without_its_files() {
    let folder = changed(|folder| std::fs::remove_file(folder.join("config.json")).unwrap());
    refuses_model(folder.path(), &[folder.path().to_str().unwrap(), "config.json"]);
    let folder = changed(|folder| std::fs::remove_file(folder.join("model.safetensors")).unwrap());
    refuses_model(folder.path(), &["model.safetensors"]);
    let folder = tiny_folder("qwen3");
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    refuses_model(folder.path(), &["model-00002-of-00002.safetensors"]);
}

#[test]
fn a_configuration_that_is_no_json_or_lacks_a_number() {
    let folder =
        changed(|folder| std::fs::write(folder.join("config.json"), "{ model: llama }").unwrap());
    refuses_model(folder.path(), &["config.json", "line 1"]);
    let folder =
        changed(|folder| std::fs::write(folder.join("config.json"), [0xff, 0xfe, b'{']).unwrap());
    refuses_model(folder.path(), &["config.json", "UTF-8"]);
    let folder = changed(|folder| std::fs::write(folder.join("config.json"), "[]").unwrap());
    refuses_model(folder.path(), &["config.json", "object"]);
    let folder =
        changed(|folder| edit_config(folder, "\"num_hidden_layers\"", "\"layers_hidden\""));
    refuses_model(folder.path(), &["config.json", "num_hidden_layers", "missing"]);
    for (from, to, word) in [
        ("\"hidden_size\": 48", "\"hidden_size\": -48", "hidden_size"),
        ("\"hidden_size\": 48", "\"hidden_size\": \"48\"", "hidden_size"),
        ("\"num_attention_heads\": 3", "\"num_attention_heads\": 0", "num_attention_heads"),
        ("\"num_key_value_heads\": 3", "\"num_key_value_heads\": 2", "KV heads"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 100000", "layers"),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "gelu"),
        (
            "\"max_position_embeddings\": 512",
            "\"max_position_embeddings\": 0",
            "`max_position_embeddings`",
        ),
        ("\"rope_theta\": 10000.0", "\"rope_theta\": -1", "theta"),
    ] {
        let folder = changed(|folder| edit_config(folder, from, to));
        refuses_model(folder.path(), &["config.json", word]);
    }
}

#[test]
fn ends_that_are_no_token_ids_are_refused() {
    for wrong in ["\"</s>\"", "1.5", "8.0", "true", "{}", "[2, \"</s>\"]"] {
        let key = format!("\"eos_token_id\": {wrong}");
        let folder = changed(|folder| edit_config(folder, "\"eos_token_id\": 2", &key));
        refuses_model(folder.path(), &["config.json", "`eos_token_id`", "token id"]);
        let folder = changed(|folder| {
            std::fs::write(folder.join("generation_config.json"), format!("{{{key}}}")).unwrap();
        });
        refuses_model(folder.path(), &["generation_config.json", "`eos_token_id`", "token id"]);
    }
    let ends = |ids: &str| {
        let folder = changed(|folder| {
            let text = format!("{{\"eos_token_id\": {ids}}}");
            std::fs::write(folder.join("generation_config.json"), text).unwrap();
        });
        open(folder.path()).config.eos
    };
    let usual = ends("null");
    assert_eq!(ends("-1"), usual);
    assert_eq!(ends("[]"), usual);
    assert!(ends("[7, 8]").ends_with(&[7, 8]));
}

#[test]
fn an_unknown_architecture_or_rope_scaling_is_refused_by_name() {
    let folder = changed(|folder| {
        edit_config(folder, "\"model_type\": \"llama\"", "\"model_type\": \"mamba\"")
    });
    refuses_model(folder.path(), &["config.json", "`mamba`", "llama"]);
    for spelling in ["type", "rope_type"] {
        let to = format!("\"rope_scaling\": {{\"{spelling}\": \"su\", \"factor\": 2.0}}");
        let folder = changed(|folder| edit_config(folder, "\"rope_scaling\": null", &to));
        refuses_model(folder.path(), &["config.json", "`su`", "yarn"]);
    }
    let folder = changed(|folder| {
        edit_config(folder, "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\"}")
    });
    refuses_model(folder.path(), &["config.json", "`factor`", "missing"]);
    let gguf = changed_gguf("llama-linear", |metadata| {
        metadata.insert("llama.rope.scaling.type".to_owned(), Value::String("longrope".to_owned()));
    });
    refuses_model(&gguf.path().join("model.gguf"), &["model.gguf", "`longrope`", "yarn"]);
    let gguf = changed_gguf("llama-f32", |metadata| {
        metadata.insert("general.architecture".to_owned(), Value::String("mamba".to_owned()));
    });
    refuses_model(&gguf.path().join("model.gguf"), &["model.gguf", "`mamba`"]);
}

#[test]
fn safetensors_that_are_cut_short_or_lie_about_their_header() {
    let weights = |edit: fn(&mut Vec<u8>)| {
        changed(|folder| edit_file(&folder.join("model.safetensors"), edit))
    };
    for (edit, cause) in [
        (
            (|bytes| bytes.truncate(bytes.len() - 100)) as fn(&mut Vec<u8>),
            "cut short: by its header",
        ),
        (|bytes| bytes.truncate(100), "cut short: its header alone"),
        (|bytes| bytes.truncate(5), ""),
        (|bytes| bytes.clear(), "it is empty"),
        (|bytes| bytes.extend([0; 100]), "something was added to it"),
        (|bytes| bytes[..8].copy_from_slice(&(1_u64 << 40).to_le_bytes()), ""),
        (|bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()), ""),
        (
            |bytes| {
                let len = bytes.len() as u64;
                bytes[..8].copy_from_slice(&len.to_le_bytes());
            },
            "",
        ),
        (|bytes| bytes[8] = b'[', ""),
        (|bytes| bytes[20] = 0xff, ""),
    ] {
        let words = ["model.safetensors", "no whole safetensors file", cause];
        refuses_model(weights(edit).path(), &words);
    }
}

#[test]
fn a_tensor_that_is_missing_misshapen_or_of_an_unknown_type_is_named() {
    let folder = changed(|folder| edit_weights(folder, |tensors| drop(tensors.remove(Q))));
    refuses_model(folder.path(), &[Q, "missing"]);
    let up = "model.layers.0.mlp.up_proj.weight";
    let folder =
        changed(|folder| edit_weights(folder, |tensors| tensors.get_mut(up).unwrap().1.reverse()));
    refuses_model(folder.path(), &["model.safetensors", up, "[48, 64]", "[64, 48]"]);
    let folder = changed(|folder| {
        edit_weights(folder, |tensors| tensors.get_mut("model.norm.weight").unwrap().1.push(1))
    });
    refuses_model(folder.path(), &["model.norm.weight", "[48, 1]", "[48]"]);
    let folder = changed(|folder| {
        edit_weights(folder, |tensors| tensors.get_mut(Q).unwrap().0 = Dtype::I32)
    });
    refuses_model(folder.path(), &["model.safetensors", Q, "I32", "F16"]);
    let folder = changed(|folder| {
        edit_file(&folder.join("model.safetensors"), |bytes| {
            let at = bytes.windows(5).position(|window| window == b"\"F32\"").unwrap();
            bytes[at..at + 5].copy_from_slice(b"\"Z32\"");
        });
    });
    refuses_model(folder.path(), &["model.safetensors", "Z32"]);
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    for (name, value) in [
        (Q, f32::NAN),
        ("model.embed_tokens.weight", f32::INFINITY),
        ("model.norm.weight", f32::NAN),
    ] {
        let folder = changed(|folder| {
            edit_weights(folder, |tensors| {
                tensors.get_mut(name).unwrap().2[40..44].copy_from_slice(&value.to_le_bytes())
            });
        });
        refuses_model(folder.path(), &[folder.path().to_str().unwrap(), name, "not finite", "10"]);
    }
    let folder = changed(|folder| {
        edit_weights(folder, |tensors| {
            tensors.get_mut(Q).unwrap().2[..4].copy_from_slice(&1e6_f32.to_le_bytes())
        });
    });
    let model = folder.path().to_str().unwrap();
    refuses(
        kscope().args(["run", "--token-ids", "1", "--dtype", "f16", "--model", model]),
        &[Q, "range of f16", "bf16"],
    );
    let gguf = tempfile::tempdir().unwrap();
    let path = gguf.path().join("model.gguf");
    std::fs::copy(vectors().join("gguf/llama-f32.gguf"), &path).unwrap();
    edit_file(&path, |bytes| {
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    refuses_model(&path, &["model.gguf", "not finite", "weight"]);
}

#[test]
fn a_gguf_file_with_absurd_counts_or_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let absurd = [u64::MAX, 1 << 62, 1 << 40, 1 << 20];
    let at = |offset: usize| move |value: u64| (offset, value.to_le_bytes().to_vec());
    // Tensors, metadata entries, the length of the first key.
    let mut edits: Vec<(usize, Vec<u8>)> =
        [8, 16, 24].into_iter().flat_map(|offset| absurd.map(at(offset))).collect();
    edits.push((4, 9_u32.to_le_bytes().to_vec()));
    for (offset, value) in edits {
        std::fs::copy(vectors().join("gguf/llama-q4_0.gguf"), &path).unwrap();
        edit_file(&path, |bytes| bytes[offset..offset + value.len()].copy_from_slice(&value));
        refuses_model(&path, &["model.gguf", "no readable GGUF file"]);
    }
    let whole = std::fs::read(vectors().join("gguf/llama-q4_0.gguf")).unwrap();
    for len in [3, 12, 20, 100, 5000] {
        std::fs::write(&path, &whole[..len]).unwrap();
        refuses_model(&path, &["model.gguf"]);
    }
    for missing in [1, 1000] {
        std::fs::write(&path, &whole[..whole.len() - missing]).unwrap();
        refuses_model(&path, &["model.gguf", "weight", "end of the file"]);
    }
}

#[test]
fn a_gguf_file_with_broken_metadata() {
    for (key, value, words) in [
        ("general.alignment", Some(Value::U32(0)), &["general.alignment", "0"][..]),
        ("llama.block_count", None, &["block_count", "missing"]),
        ("llama.block_count", Some(Value::U32(7)), &["blk.2", "missing"]),
        ("llama.feed_forward_length", Some(Value::U32(96)), &["ffn_gate", "shape", "96"]),
        ("llama.attention.head_count", Some(Value::U32(0)), &["head_count", "is 0"]),
        ("llama.rope.dimension_count", Some(Value::U32(8)), &["rotated channels"]),
        ("tokenizer.ggml.model", Some(Value::String("wordpiece".to_owned())), &["wordpiece"]),
        ("tokenizer.ggml.pre", Some(Value::String("martian".to_owned())), &["martian"]),
        ("tokenizer.ggml.tokens", None, &["tokens", "missing"]),
        (
            "tokenizer.ggml.merges",
            Some(Value::Array(vec![Value::String("zzz qqq".to_owned())])),
            &["merges"],
        ),
    ] {
        let folder = changed_gguf("llama-q4_0", |metadata| {
            match value {
                Some(value) => metadata.insert(key.to_owned(), value),
                None => metadata.remove(key),
            };
        });
        refuses_model(&folder.path().join("model.gguf"), &[&["model.gguf"], words].concat());
    }
}

#[test]
fn a_broken_tokenizer_file() {
    let folder = changed(|folder| std::fs::write(folder.join("tokenizer.json"), "{}").unwrap());
    refuses_model(folder.path(), &["tokenizer.json"]);
    let folder =
        changed(|folder| std::fs::write(folder.join("tokenizer_config.json"), "{").unwrap());
    refuses_model(folder.path(), &["tokenizer_config.json"]);
    let template = "{\"chat_template\": \"{% for %}\"}";
    let folder =
        changed(|folder| std::fs::write(folder.join("tokenizer_config.json"), template).unwrap());
    let model = folder.path().to_str().unwrap();
    refuses(kscope().args(["run", "--prompt", "the", "--model", model]), &["chat template"]);
    let template = "{\"chat_template\": \"{{ raise_exception('no users here') }}\"}";
    let folder =
        changed(|folder| std::fs::write(folder.join("tokenizer_config.json"), template).unwrap());
    let model = folder.path().to_str().unwrap();
    refuses(
        kscope().args(["run", "--prompt", "the", "--model", model]),
        &["chat template", "no users here", "--raw"],
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    let folder = tiny_folder("llama");
    // The superuser may read everything. In that case the program runs as another user, from a
    // place that user can read.
    let program = folder.path().join("kscope");
    // Copied by another process: a child of another test may inherit what this one writes to, and
    // a program that is open for writing does not start.
    let copied =
        std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_kscope")).arg(&program).status();
    assert!(copied.unwrap().success());
    set(&program, 0o755);
    set(folder.path(), 0o755);
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let path = folder.path().join(name);
        set(&path, 0o000);
        let mut command = std::process::Command::new(&program);
        if std::fs::File::open(&path).is_ok() {
            command.uid(65_534).gid(65_534);
        }
        command.args(["run", "--token-ids", "1", "--model", folder.path().to_str().unwrap()]);
        refuses(&mut Command::from_std(command), &[path.to_str().unwrap(), "denied"]);
        set(&path, 0o644);
    }
}
