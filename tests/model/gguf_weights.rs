//! What GGUF files hold decides: heads, element types, blocks that candle does not know, parts.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use kscope::element::Dtype;
use kscope::model::load::gguf::Gguf;
use kscope::model::weights::Tensors as _;
use kscope_testing::gguf::{GgufFile, GgufTensor};
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use safetensors::SafeTensors;

use crate::edits::{LFS, floats, logprobs_of, quantised, refuses_model, written};

const EMBEDDING: &str = "model.embed_tokens.weight";

fn float_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

#[test]
fn a_gguf_file_with_a_head_uses_it_and_one_without_ties() {
    let prompt: Vec<u32> = (1..40).map(|i| (i * 7) % 300).collect();
    let (_tied, path) = written(&floats());
    let (tied, words) = logprobs_of(&path, &prompt);
    assert_eq!(words, "");
    for backwards in [false, true] {
        let mut file = floats();
        let mut head = file.tensor("token_embd.weight").clone();
        head.name = "output.weight".to_owned();
        if backwards {
            head.bytes = head.bytes.chunks(4 * 64).rev().flatten().copied().collect();
        }
        file.tensors.push(head);
        let (_folder, path) = written(&file);
        let (found, words) = logprobs_of(&path, &prompt);
        assert_eq!(found == tied, !backwards, "{found} {tied}");
        assert_eq!(words, "");
    }
}

/// ggml's numbers of the types of tests/vectors/weights, and the widths of their blocks.
const TYPES: [(&str, u32, usize, usize); 3] =
    [("IQ4_NL", 20, 32, 18), ("IQ4_XS", 23, 256, 136), ("MXFP4", 39, 32, 17)];

fn blocks_and_values(name: &str) -> (Vec<u8>, Vec<f32>) {
    let bytes = std::fs::read(vectors().join("weights/types.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let blocks = file.tensor(&format!("{name}.blocks")).unwrap().data().to_vec();
    let values = Vectors::open(&vectors().join("weights/types.safetensors"));
    (blocks, values.rows(&format!("{name}.values")).concat())
}

#[test]
fn blocks_that_candle_does_not_know_widen_as_gguf_py_widens_them() {
    for (name, kind, block_len, block_bytes) in TYPES {
        let (blocks, values) = blocks_and_values(name);
        let rows = values.len() / block_len;
        assert_eq!(blocks.len(), rows * block_bytes);
        let mut file = floats();
        let embedding = file.tensor("token_embd.weight");
        (embedding.kind, embedding.shape, embedding.bytes) = (kind, vec![rows, block_len], blocks);
        let (_folder, path) = written(&file);
        let mut gguf = Gguf::open(&path).unwrap();
        let stored = gguf.matrix(EMBEDDING, rows, block_len).unwrap();
        assert_eq!(stored.element_type().unwrap().to_string(), name.to_lowercase());
        assert_eq!(stored.widened(), values, "{name}");
    }
}

#[test]
fn a_model_of_iq4_nl_blocks_decodes_as_its_widened_weights() {
    let (blocks, values) = blocks_and_values("IQ4_NL");
    let (mut quantised, mut widened) = (floats(), floats());
    for tensor in &mut quantised.tensors {
        if let [rows, cols] = tensor.shape[..] {
            tensor.kind = 20;
            tensor.bytes = blocks.iter().copied().cycle().take(rows * cols / 32 * 18).collect();
            widened.tensor(&tensor.name).bytes =
                float_bytes(values.iter().copied().cycle().take(rows * cols));
        }
    }
    let (_quantised, quantised) = written(&quantised);
    let (_widened, widened) = written(&widened);
    let prompt: Vec<u32> = (1..40).map(|i| (i * 7) % 300).collect();
    let logits = |path: &Path| prompt_logits(&load(path, Some(Dtype::F32)), &prompt, 512);
    assert_eq!(logits(&quantised), logits(&widened));
    let kept = load(&quantised, None);
    assert_eq!(kept.weight_types().to_string(), "iq4_nl");
    // A prefill computes with the same numbers.
    assert_eq!(prompt_logits(&kept, &prompt, 512), logits(&widened));
}

#[test]
fn rows_whose_order_changes_stay_in_their_blocks() {
    // The rows of q and k of a model whose heads rotate in part.
    let file = GgufFile::open(&vectors().join("architectures/phi3-partial.gguf"));
    let [blocks, values] = quantised(&file, |name| name.contains(".attn_"));
    let ((_blocks, blocks), (_values, values)) = (written(&blocks), written(&values));
    let stored = open(&blocks).weight_types(None).unwrap();
    let (kept, wide) = (load(&blocks, None), load(&values, None));
    assert_eq!(kept.weight_types(), &stored, "no matrix is widened");
    let prompt: Vec<u32> = (1..40).map(|i| (i * 7) % 100).collect();
    assert_eq!(prompt_logits(&kept, &prompt, 512), prompt_logits(&wide, &prompt, 512));
}

#[test]
fn every_other_type_of_a_gguf_tensor_is_named_with_it() {
    let up = "blk.0.ffn_up.weight";
    for (kind, name) in [
        (9, "Q8_1"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (24, "I8"),
        (29, "IQ1_M"),
        (31, "Q4_0_4_4"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (40, "NVFP4"),
        (41, "Q1_0"),
        (77, "number 77"),
    ] {
        let mut file = floats();
        file.tensor(up).kind = kind;
        let (_folder, path) = written(&file);
        refuses_model(&path, &["model.gguf", up, name, "IQ4_NL", "MXFP4"]);
        // The configuration is still there to look at.
        kscope().args(["model", "show", "--model", path.to_str().unwrap()]).assert().success();
    }
    // A tensor that the model does not read may be of any type.
    let mut file = floats();
    file.tensors.push(GgufTensor {
        name: "mtp.weight".to_owned(),
        kind: 19,
        shape: vec![256],
        bytes: vec![0; 50],
    });
    let (_folder, path) = written(&file);
    let (_, words) = logprobs_of(&path, &[1, 5, 6]);
    assert!(words.contains("does not read one tensor, `mtp.weight`"), "{words}");
}

#[test]
fn a_bias_or_scale_of_a_part_that_a_gguf_file_holds_is_never_left_out_in_silence() {
    for name in
        ["blk.0.attn_k.bias", "blk.0.ffn_up.scale", "output_norm.bias", "blk.0.ffn_gate.bias"]
    {
        let mut file = floats();
        file.tensors.push(GgufTensor {
            name: name.to_owned(),
            kind: 0,
            shape: vec![64],
            bytes: float_bytes([0.5; 64]),
        });
        let (_folder, path) = written(&file);
        refuses_model(&path, &["model.gguf", name]);
    }
}

/// A Qwen2 file as one of Qwen3: without biases, with norms of each head's q and k.
fn as_qwen3(mut file: GgufFile) -> GgufFile {
    for (key, value) in &mut file.metadata {
        *key = key.replace("qwen2.", "qwen3.");
        if key == "general.architecture" {
            *value = Value::String("qwen3".to_owned());
        }
    }
    let count = |key: &str| {
        let found = file.metadata.iter().find(|(known, _)| known == key);
        found.unwrap().1.to_u32().unwrap() as usize
    };
    let layers = count("qwen3.block_count");
    let head = count("qwen3.embedding_length") / count("qwen3.attention.head_count");
    file.tensors.retain(|tensor| !tensor.name.ends_with(".bias"));
    for (layer, norm) in (0..layers).flat_map(|layer| [(layer, "q"), (layer, "k")]) {
        file.tensors.push(GgufTensor {
            name: format!("blk.{layer}.attn_{norm}_norm.weight"),
            kind: 0,
            shape: vec![head],
            bytes: float_bytes(vec![1.0; head]),
        });
    }
    file
}

#[test]
fn what_llama_cpp_has_for_no_such_model_is_refused_in_a_gguf_file() {
    let qwen = vectors().join("gguf/qwen2-q8_0.gguf");
    let hidden = GgufFile::open(&qwen).tensor("output_norm.weight").shape[0];
    for name in ["rope_freqs.weight", "blk.0.attn_output.bias", "blk.0.ffn_down.bias"] {
        let mut file = GgufFile::open(&qwen);
        let len = if name.starts_with("rope") { 8 } else { hidden };
        file.tensors.push(GgufTensor {
            name: name.to_owned(),
            kind: 0,
            shape: vec![len],
            bytes: float_bytes(vec![1.5; len]),
        });
        let (_folder, path) = written(&file);
        refuses_model(&path, &["model.gguf", name, "qwen2"]);
    }
    // Qwen3's folders may have a bias there, and its GGUF files none.
    let mut file = as_qwen3(GgufFile::open(&qwen));
    let (_folder, path) = written(&file);
    open(&path);
    let name = "blk.0.attn_output.bias";
    file.tensors.push(GgufTensor {
        name: name.to_owned(),
        kind: 0,
        shape: vec![hidden],
        bytes: float_bytes(vec![1.5; hidden]),
    });
    let (_folder, path) = written(&file);
    refuses_model(&path, &["model.gguf", name, "qwen3"]);
    // Divisors of one layer are none for llama.cpp.
    for name in ["blk.0.rope_freqs.weight", "blk.1.rope_freqs.weight"] {
        let mut file = floats();
        file.tensors.push(GgufTensor {
            name: name.to_owned(),
            kind: 0,
            shape: vec![8],
            bytes: float_bytes(vec![1.5; 8]),
        });
        let (_folder, path) = written(&file);
        refuses_model(&path, &["model.gguf", name, "llama"]);
    }
}

#[test]
fn a_split_gguf_model_loads_from_any_part() {
    let file = floats();
    let (_whole, whole) = written(&file);
    let folder = tempfile::tempdir().unwrap();
    let name = |number: usize, count: usize| format!("tiny-{number:05}-of-{count:05}.gguf");
    // The first part may hold nothing but metadata.
    for sizes in [vec![4, 4, file.tensors.len() - 8], vec![0, file.tensors.len()]] {
        let paths: Vec<_> =
            (1..=sizes.len()).map(|i| folder.path().join(name(i, sizes.len()))).collect();
        for (part, path) in file.split(&sizes).iter().zip(&paths) {
            part.write(path);
        }
        let prompt: Vec<u32> = (1..40).collect();
        for path in &paths {
            assert_eq!(logprobs_of(path, &prompt), logprobs_of(&whole, &prompt));
            assert_eq!(open(path).name, "tiny");
        }
    }
}

#[test]
fn parts_of_a_gguf_model_that_are_missing_or_disagree_are_named() {
    let file = floats();
    let sizes = [4, 4, file.tensors.len() - 8];
    let name = |number: usize| format!("tiny-{number:05}-of-00003.gguf");
    let split = |change: &dyn Fn(&mut Vec<GgufFile>)| {
        let folder = tempfile::tempdir().unwrap();
        let mut parts = file.split(&sizes);
        change(&mut parts);
        for (at, part) in parts.iter().enumerate() {
            part.write(&folder.path().join(name(at + 1)));
        }
        folder
    };
    for missing in 1..=3 {
        let folder = split(&|_| ());
        std::fs::remove_file(folder.path().join(name(missing))).unwrap();
        for from in (1..=3).filter(|&from| from != missing) {
            let part = format!("part {missing} of 3");
            refuses_model(&folder.path().join(name(from)), &[&name(missing), &part, "missing"]);
        }
    }
    let folder = split(&|_| ());
    let renamed = folder.path().join("other.gguf");
    std::fs::copy(folder.path().join(name(2)), &renamed).unwrap();
    refuses_model(&renamed, &["other.gguf", "part 2 of 3", "-00002-of-00003.gguf"]);
    std::fs::copy(folder.path().join(name(2)), folder.path().join(name(3))).unwrap();
    refuses_model(&folder.path().join(name(1)), &[&name(3), "part 3 of 3", "part 2 of 3"]);
    std::fs::copy(vectors().join("gguf/llama-f32.gguf"), folder.path().join(name(3))).unwrap();
    refuses_model(&folder.path().join(name(1)), &[&name(3), "part 3 of 3", "a whole model"]);
    std::fs::write(folder.path().join(name(3)), LFS).unwrap();
    refuses_model(&folder.path().join(name(1)), &[&name(3), "git-lfs"]);

    let folder = split(&|parts| {
        let extra = parts[0].tensors[0].clone();
        parts[2].tensors.push(extra);
    });
    refuses_model(&folder.path().join(name(1)), &[&name(3), &name(1), &file.tensors[0].name]);
    let folder = split(&|parts| drop(parts[1].tensors.pop()));
    refuses_model(&folder.path().join(name(1)), &["split.tensors.count", "3 parts"]);
    let folder = split(&|parts| {
        parts[1].set("general.architecture", Value::String("qwen2".to_owned()));
    });
    refuses_model(&folder.path().join(name(1)), &[&name(2), "qwen2", "llama"]);
    let folder = split(&|parts| parts[0].set("split.no", Value::U16(9)));
    refuses_model(&folder.path().join(name(1)), &[&name(1), "split.no", "9"]);
}
