//! GGUF files.

use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use kscope_testing::gguf::{GgufFile, GgufTensor};
use kscope_testing::vectors;

use crate::harness::{Case, Expected, damaged, hole, link, pipe};

const READER: &str = "GGUF";
const RUN: [&str; 7] = ["run", "--token-ids", "1,5", "--max-new", "1", "-m", "m.gguf"];

fn seed(name: &str) -> std::path::PathBuf {
    vectors().join(format!("gguf/{name}.gguf"))
}

/// A file of the vectors with its parts changed.
fn edited(name: &str, edit: impl Fn(&mut GgufFile) + Send + Sync + 'static) -> Case {
    Case::new(READER, name, &RUN, move |at| {
        let mut file = GgufFile::open(&seed("llama-f32"));
        edit(&mut file);
        file.write(&at.join("m.gguf"));
    })
    .naming("m.gguf")
}

/// A file with one value of its metadata set.
fn with(key: &'static str, value: Value) -> Case {
    let shown: String = format!("{value:?}").chars().take(40).collect();
    edited(&format!("{key} {shown}"), move |file| file.set(key, value.clone()))
}

/// A file of the vectors with its bytes changed.
fn bytes(name: impl Into<String>, edit: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Case {
    Case::new(READER, name, &RUN, move |at| {
        let mut bytes = std::fs::read(seed("llama-q4_0")).unwrap();
        edit(&mut bytes);
        std::fs::write(at.join("m.gguf"), bytes).unwrap();
    })
}

/// A file with one tensor more.
fn with_tensor(name: &str, tensor: GgufTensor) -> Case {
    edited(name, move |file| file.tensors.push(tensor.clone()))
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::U8(0), |inner, _| Value::Array(vec![inner]))
}

pub fn cases(cases: &mut Vec<Case>) {
    for (name, at, value) in [
        ("tensors without end", 8, u64::MAX),
        ("2^40 tensors", 8, 1 << 40),
        ("values without end", 16, u64::MAX),
        ("a key without end", 24, 1 << 62),
        ("version 9", 4, 9),
        ("big-endian", 4, 3 << 24),
        ("another beginning", 0, 5),
    ] {
        let value = value.to_le_bytes();
        let length = if at == 4 { 4 } else { 8 };
        cases.push(bytes(name, move |bytes| {
            bytes[at..at + length].copy_from_slice(&value[..length]);
        }));
    }
    for part in 0..10 {
        cases.push(bytes(format!("cut after {part} tenths"), move |bytes| {
            bytes.truncate(bytes.len() / 10 * part);
        }));
    }
    for (key, value) in [
        ("general.alignment", Value::U32(0)),
        ("general.alignment", Value::U32(3)),
        ("general.alignment", text("32")),
        ("general.architecture", Value::U32(7)),
        ("general.architecture", text("mamba")),
        ("general.architecture", text("\u{1b}]0;pwn\u{7}")),
        ("llama.block_count", Value::U32(0)),
        ("llama.block_count", Value::U32(u32::MAX)),
        ("llama.block_count", text("2")),
        ("llama.context_length", Value::U32(0)),
        ("llama.embedding_length", Value::U32(0)),
        ("llama.embedding_length", Value::U32(u32::MAX)),
        ("llama.feed_forward_length", Value::U32(65)),
        ("llama.attention.head_count", Value::U32(0)),
        ("llama.attention.head_count", Value::U32(u32::MAX)),
        ("llama.attention.head_count_kv", Value::U32(0)),
        ("llama.attention.head_count_kv", nested(63)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(-1.0)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::INFINITY)),
        ("llama.attention.layer_norm_rms_epsilon", text("x")),
        ("llama.rope.freq_base", Value::F32(0.0)),
        ("llama.rope.freq_base", Value::F32(f32::NAN)),
        ("llama.rope.freq_base", Value::F32(1e-38)),
        ("llama.rope.freq_base", text("x")),
        ("llama.rope.dimension_count", Value::U32(3)),
        ("llama.rope.scaling.type", Value::U32(1)),
        ("llama.rope.scaling.type", text("longrope")),
        ("tokenizer.ggml.model", text("wordpiece")),
        ("tokenizer.ggml.pre", text("foo\u{1b}[31m")),
        ("tokenizer.ggml.tokens", Value::Array(vec![Value::U32(1)])),
        ("tokenizer.ggml.tokens", Value::Array(vec![text("a"), text("a")])),
        ("tokenizer.ggml.merges", Value::Array(vec![text("zzz qqq")])),
        ("tokenizer.ggml.merges", Value::Array(vec![text("alone")])),
        ("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1)])),
        ("kscope.deep", nested(66)),
    ] {
        cases.push(with(key, value));
    }
    cases.push(edited("a yarn factor that is no number", |file| {
        file.set("llama.rope.scaling.type", text("yarn"));
        file.set("llama.rope.scaling.factor", Value::F32(4.0));
        file.set("llama.rope.scaling.attn_factor", Value::F32(f32::NAN));
    }));
    cases.push(edited("a key twice", |file| {
        file.metadata.push(("llama.context_length".to_owned(), Value::U32(64)));
    }));
    cases.push(edited("a key that hides zeros at its end", |file| {
        file.metadata.push(("general.alignment\0".to_owned(), Value::U32(0)));
    }));
    // Nine million bytes of a file, 32 bytes each in memory.
    cases.push(edited("nine million values", |file| {
        file.set("kscope.list", Value::Array(vec![Value::U8(0); 9_000_000]));
    }));
    cases.push(edited("a tensor twice", |file| file.tensors.push(file.tensors[0].clone())));
    cases.push(edited("a type that is not known", |file| {
        file.tensor("blk.0.attn_q.weight").kind = 99;
    }));
    cases.push(edited("a type that takes other bytes", |file| {
        file.tensor("blk.0.attn_q.weight").kind = 8;
    }));
    cases.push(edited("a weight that is no number", |file| {
        let q = file.tensor("blk.0.attn_q.weight");
        q.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    }));
    cases.push(edited("no embedding", |file| {
        file.tensors.retain(|tensor| tensor.name != "token_embd.weight");
    }));
    cases.push(edited("a bias that is not read", |file| {
        let mut bias = file.tensors[0].clone();
        bias.name = "blk.0.ffn_up.bias".to_owned();
        file.tensors.push(bias);
    }));
    let freqs = |name: &str, shape: Vec<usize>, numbers: &[f32]| {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        with_tensor(
            name,
            GgufTensor { name: "rope_freqs.weight".to_owned(), kind: 0, shape, bytes },
        )
    };
    cases.push(freqs("rope_freqs of 2^62", vec![1 << 62], &[]));
    cases.push(freqs("rope_freqs of 2^61 and 8", vec![8, 1 << 58], &[]));
    cases.push(freqs("rope_freqs of zeros", vec![8], &[0.0; 8]));
    cases.push(freqs("rope_freqs that are no numbers", vec![8], &[f32::NAN; 8]));
    cases.push(freqs("rope_freqs of another length", vec![3], &[1.0; 3]));
    cases.push(with_tensor(
        "a tensor of five axes",
        GgufTensor { name: "x".to_owned(), kind: 0, shape: vec![1; 5], bytes: vec![0; 4] },
    ));
    // A token of 300 kB that cannot be put together: read, as llama.cpp reads it.
    let long = Case::new(READER, "a long token", &RUN, |at| {
        let mut file = GgufFile::open(&seed("llama-f32"));
        let spm = std::fs::read(seed("llama-spm")).unwrap();
        let spm = Content::read(&mut Cursor::new(spm)).unwrap();
        file.metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
        for (key, mut value) in spm.metadata {
            if let (Value::Array(tokens), true) = (&mut value, key.ends_with(".tokens")) {
                *tokens.last_mut().unwrap() = Value::String("q".repeat(300_000));
            }
            if key.starts_with("tokenizer.") {
                file.set(&key, value);
            }
        }
        file.write(&at.join("m.gguf"));
    });
    cases.push(long.expecting(Expected::Accepted));
    type Put = fn(&Path);
    let puts: [(&str, Put); 5] = [
        ("empty", |path| hole(path, 0)),
        ("a pipe", |path| pipe(path)),
        ("zeros without end", |path| link(path, "/dev/zero")),
        ("a hole of 1 TiB", |path| hole(path, 1 << 40)),
        ("a link to itself", |path| link(path, "m.gguf")),
    ];
    for (name, put) in puts {
        cases.push(Case::new(READER, name, &RUN, move |at| put(&at.join("m.gguf"))));
    }
    for seed in 0..12 {
        let case =
            bytes(format!("damage {seed}"), move |bytes| *bytes = damaged(bytes, 4000, seed));
        cases.push(case.expecting(Expected::Either));
    }
}
