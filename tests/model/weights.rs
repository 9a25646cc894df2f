//! What files hold decides: heads that differ from a tied embedding, weights under other names,
//! element types, split models, and tensors that nobody reads.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use kscope::element::Dtype;
use kscope::model::load::gguf::Gguf;
use kscope::model::weights::Tensors as _;
use kscope_testing::gguf::{GgufFile, GgufTensor};
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype as Stored;

use crate::edits::{Tensors, edit_config, edit_weights, refuses_model};

const HEAD: &str = "lm_head.weight";
const EMBEDDING: &str = "model.embed_tokens.weight";

/// The sum of a prompt's log-probabilities, and what is said beside it.
fn run(model: &Path, prompt: &[u32]) -> (f64, String) {
    let prompt: Vec<String> = prompt.iter().map(u32::to_string).collect();
    let output = kscope()
        .args(["run", "--prompt-logprobs", "--json", "--dtype", "f32", "--kv-dtype", "f32"])
        .args(["--max-new", "1", "--token-ids", &prompt.join(",")])
        .args(["--model", model.to_str().unwrap()])
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let logprobs = report["prompt_logprobs"].as_array().unwrap();
    (logprobs.iter().filter_map(serde_json::Value::as_f64).sum(), words)
}

/// A tiny model with other weights and another `tie_word_embeddings`.
fn changed(base: &str, tied: bool, edit: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let folder = tiny_folder(base);
    let flag = |tied| format!("\"tie_word_embeddings\": {tied}");
    edit_config(folder.path(), &flag(false), &flag(tied));
    edit_weights(folder.path(), edit);
    folder
}

/// A head that has nothing to do with the embedding: its rows backwards.
fn other_head(tensors: &mut Tensors) {
    let mut head = tensors[EMBEDDING].clone();
    let row = head.2.len() / head.1[0];
    head.2 = head.2.chunks(row).rev().flatten().copied().collect();
    tensors.insert(HEAD.to_owned(), head);
}

fn bare_names(tensors: &mut Tensors) {
    *tensors = std::mem::take(tensors)
        .into_iter()
        .map(|(name, tensor)| (name.trim_start_matches("model.").to_owned(), tensor))
        .collect();
}

fn drop_head(tensors: &mut Tensors) {
    tensors.remove(HEAD);
}

/// The sums that transformers gives for a change, by its name, and the prompt.
fn expected(base: &str, change: &str) -> (f64, Vec<u32>) {
    let file = json(&vectors().join("weights/heads.json"));
    (file["sums"][format!("{base}/{change}")].as_f64().unwrap(), ids(&file["prompt"]))
}

#[track_caller]
fn check(base: &str, change: &str, tied: bool, edit: impl FnOnce(&mut Tensors)) -> String {
    let folder = changed(base, tied, edit);
    let (expected, prompt) = expected(base, change);
    let (found, words) = run(folder.path(), &prompt);
    assert!((found - expected).abs() < 2e-3, "{base}/{change}: {found}, expected {expected}");
    words
}

#[test]
fn a_head_that_the_file_has_wins_over_the_tie() {
    for base in ["llama", "qwen2"] {
        assert_eq!(check(base, "tied", true, drop_head), "");
        let words = check(base, "tied-other-head", true, other_head);
        for word in [HEAD, "differs", "tie_word_embeddings"] {
            assert!(words.contains(word), "{word}: {words}");
        }
        assert_eq!(words.lines().count(), 1, "{words}");
        assert_eq!(check(base, "untied-other-head", false, other_head), "");
    }
}

#[test]
fn a_head_that_is_the_embedding_needs_no_word() {
    for base in ["llama", "qwen2"] {
        let equal = |tensors: &mut Tensors| {
            tensors.insert(HEAD.to_owned(), tensors[EMBEDDING].clone());
        };
        assert_eq!(check(base, "tied-equal-head", true, equal), "");
        let one_name = |tensors: &mut Tensors| {
            let matrix = tensors.remove(EMBEDDING).unwrap();
            tensors.insert(HEAD.to_owned(), matrix);
        };
        assert_eq!(check(base, "tied-only-head", true, one_name), "");
    }
}

#[test]
fn a_head_in_another_shard_wins_too_and_one_that_only_the_index_names_does_not_count() {
    let folder = changed("llama", true, other_head);
    let path = |name: &str| folder.path().join(name);
    let whole = std::fs::read(path("model.safetensors")).unwrap();
    let whole = SafeTensors::deserialize(&whole).unwrap();
    let save = |name: &str, with_head: bool| {
        let part = whole.tensors().into_iter().filter(|(tensor, _)| (tensor == HEAD) == with_head);
        std::fs::write(path(name), safetensors::serialize(part, None).unwrap()).unwrap();
    };
    let (body, head) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    save(body, false);
    save(head, true);
    std::fs::remove_file(path("model.safetensors")).unwrap();
    let index = |of_head: &str| {
        let map: serde_json::Map<String, serde_json::Value> = whole
            .names()
            .into_iter()
            .map(|name| (name.to_owned(), if name == HEAD { of_head } else { body }.into()))
            .collect();
        let index = serde_json::json!({"metadata": {}, "weight_map": map});
        std::fs::write(path("model.safetensors.index.json"), index.to_string()).unwrap();
    };
    let (other, prompt) = expected("llama", "tied-other-head");
    let (tied, _) = expected("llama", "tied");
    index(head);
    let (found, words) = run(folder.path(), &prompt);
    assert!((found - other).abs() < 2e-3 && words.contains(HEAD), "{found} {words}");
    index(body);
    let (found, words) = run(folder.path(), &prompt);
    assert!((found - tied).abs() < 2e-3 && words.is_empty(), "{found} {words}");
    // A full set of shards needs no index.
    std::fs::remove_file(path("model.safetensors.index.json")).unwrap();
    let (found, _) = run(folder.path(), &prompt);
    assert!((found - other).abs() < 2e-3, "{found}");
    std::fs::remove_file(path(body)).unwrap();
    refuses_model(folder.path(), &[body, "shard 1 of 2 is missing"]);
}

#[test]
fn an_untied_head_that_is_missing_is_named_with_the_key_that_would_tie_it() {
    let folder = changed("llama", false, drop_head);
    refuses_model(folder.path(), &[HEAD, "missing", "tie_word_embeddings"]);
    let folder = changed("llama", true, |tensors| {
        drop_head(tensors);
        tensors.remove(EMBEDDING);
    });
    refuses_model(folder.path(), &[EMBEDDING, "missing"]);
    let folder = changed("llama", true, |tensors| {
        other_head(tensors);
        let head = tensors.get_mut(HEAD).unwrap();
        head.1[0] -= 1;
        head.2.truncate(95 * 48 * 4);
    });
    refuses_model(folder.path(), &[HEAD, "[95, 48]", "[96, 48]"]);
}

#[test]
fn weights_that_were_saved_without_the_name_of_the_model_load() {
    for base in ["llama", "qwen2"] {
        let bare = |tensors: &mut Tensors| {
            drop_head(tensors);
            bare_names(tensors);
        };
        assert_eq!(check(base, "bare-names", true, bare), "");
        let with_head = |tensors: &mut Tensors| {
            other_head(tensors);
            bare_names(tensors);
        };
        assert!(check(base, "bare-names-other-head", true, with_head).contains(HEAD));
    }
    let folder = changed("llama", true, |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (format!("module.{name}"), tensor))
            .collect();
    });
    refuses_model(folder.path(), &[EMBEDDING, "missing", "`module.model.embed_tokens.weight`"]);
}

#[test]
fn eight_byte_floats_load_and_other_elements_are_named_with_their_tensor() {
    for base in ["llama", "qwen2"] {
        let widen = |tensors: &mut Tensors| {
            drop_head(tensors);
            for (dtype, _, data) in tensors.values_mut() {
                assert_eq!(*dtype, Stored::F32);
                let (floats, _) = data.as_chunks::<4>();
                *data = floats
                    .iter()
                    .flat_map(|&four| f64::from(f32::from_le_bytes(four)).to_le_bytes())
                    .collect();
                *dtype = Stored::F64;
            }
        };
        assert_eq!(check(base, "f64", true, widen), "");
    }
    let up = "model.layers.0.mlp.up_proj.weight";
    for (dtype, bytes) in [
        (Stored::I8, 1),
        (Stored::U8, 1),
        (Stored::F8_E4M3, 1),
        (Stored::F8_E5M2, 1),
        (Stored::I64, 8),
    ] {
        // The type is the cause, whatever the shape.
        for shape in [vec![64, 48], vec![64 * 24, 1]] {
            let folder = changed("llama", false, |tensors| {
                let data = vec![0; shape.iter().product::<usize>() * bytes];
                tensors.insert(up.to_owned(), (dtype, shape, data));
            });
            refuses_model(folder.path(), &["model.safetensors", up, &format!("{dtype:?}"), "BF16"]);
        }
    }
}

#[test]
fn tensors_that_no_part_of_the_model_reads_are_listed_once() {
    let (sum, prompt) = expected("llama", "head-bias");
    let vector = |len: usize| (Stored::F32, vec![len], vec![0; 4 * len]);
    let folder = changed("llama", false, |tensors| {
        other_head(tensors);
        tensors.insert("lm_head.bias".to_owned(), vector(96));
        tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), vector(8));
    });
    let (found, words) = run(folder.path(), &prompt);
    assert!((found - sum).abs() < 2e-3, "{found}, expected {sum}");
    assert!(words.contains("does not read one tensor, `lm_head.bias`"), "{words}");
    assert!(!words.contains("inv_freq") && words.lines().count() == 1, "{words}");
    let folder = changed("llama", false, |tensors| {
        for layer in 2..7 {
            tensors.insert(format!("model.layers.{layer}.input_layernorm.weight"), vector(48));
        }
    });
    let (_, words) = run(folder.path(), &prompt);
    for word in ["5 tensors", "`model.layers.2.input_layernorm.weight`", "and 2 more"] {
        assert!(words.contains(word), "{word}: {words}");
    }
}

fn floats() -> GgufFile {
    GgufFile::open(&vectors().join("gguf/llama-f32.gguf"))
}

fn float_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// What a test writes and opens again.
fn written(file: &GgufFile) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    file.write(&path);
    (folder, path)
}

#[test]
fn a_gguf_file_with_a_head_uses_it_and_one_without_ties() {
    let prompt: Vec<u32> = (1..40).map(|i| (i * 7) % 300).collect();
    let (_tied, path) = written(&floats());
    let (tied, words) = run(&path, &prompt);
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
        let (found, words) = run(&path, &prompt);
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
        assert_eq!(stored.usual, Dtype::F16);
        assert_eq!(stored.matrix.widened(), values, "{name}");
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
    assert_eq!(load(&quantised, None).dtype(), Dtype::F16);
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
    let (_, words) = run(&path, &[1, 5, 6]);
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
}

#[test]
fn weights_that_are_zero_throughout_are_named() {
    let zero = |bytes: &mut Vec<u8>| bytes.fill(0);
    let name = "model.layers.0.mlp.up_proj.weight";
    let folder = changed("llama", false, |tensors| zero(&mut tensors.get_mut(name).unwrap().2));
    let (_, words) = run(folder.path(), &[1, 5, 6]);
    assert!(words.contains(&format!("tensor `{name}` is zero throughout")), "{words}");
    let mut file = floats();
    for tensor in file.tensors.iter_mut().filter(|tensor| tensor.name.contains("ffn_up")) {
        zero(&mut tensor.bytes);
    }
    let (_folder, path) = written(&file);
    let (_, words) = run(&path, &[1, 5, 6]);
    assert!(words.contains("`blk.0.ffn_up.weight` is zero throughout"), "{words}");
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
            assert_eq!(run(path, &prompt), run(&whole, &prompt));
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

pub const LFS: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
