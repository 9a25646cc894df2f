//! What files hold decides: heads that differ from a tied embedding, weights under other names,
//! element types, split models, and tensors that nobody reads.

use kscope_testing::models::*;
use kscope_testing::vectors;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype as Stored;

use crate::edits::{
    Tensors, edit_config, edit_weights, floats, logprobs_of, refuses_model, written,
};

const HEAD: &str = "lm_head.weight";

const EMBEDDING: &str = "model.embed_tokens.weight";

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
    let (found, words) = logprobs_of(folder.path(), &prompt);
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
        // The same as a part of the inner model.
        let inner = |tensors: &mut Tensors| {
            other_head(tensors);
            let head = tensors.remove(HEAD).unwrap();
            tensors.insert(format!("model.{HEAD}"), head);
        };
        let words = check(base, "tied-other-head", true, inner);
        assert!(words.contains("differs") && words.lines().count() == 1, "{words}");
        assert_eq!(check(base, "untied-other-head", false, inner), "");
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
    let (found, words) = logprobs_of(folder.path(), &prompt);
    assert!((found - other).abs() < 2e-3 && words.contains(HEAD), "{found} {words}");
    index(body);
    let (found, words) = logprobs_of(folder.path(), &prompt);
    assert!((found - tied).abs() < 2e-3 && words.is_empty(), "{found} {words}");
    // A full set of shards needs no index.
    std::fs::remove_file(path("model.safetensors.index.json")).unwrap();
    let (found, _) = logprobs_of(folder.path(), &prompt);
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
    let (found, words) = logprobs_of(folder.path(), &prompt);
    assert!((found - sum).abs() < 2e-3, "{found}, expected {sum}");
    assert!(words.contains("does not read one tensor, `lm_head.bias`"), "{words}");
    assert!(!words.contains("inv_freq") && words.lines().count() == 1, "{words}");
    let folder = changed("llama", false, |tensors| {
        for layer in 2..7 {
            tensors.insert(format!("model.layers.{layer}.input_layernorm.weight"), vector(48));
        }
    });
    let (_, words) = logprobs_of(folder.path(), &prompt);
    for word in ["5 tensors", "`model.layers.2.input_layernorm.weight`", "and 2 more"] {
        assert!(words.contains(word), "{word}: {words}");
    }
}

#[test]
fn weights_that_are_zero_throughout_are_named() {
    let zero = |bytes: &mut Vec<u8>| bytes.fill(0);
    let name = "model.layers.0.mlp.up_proj.weight";
    let folder = changed("llama", false, |tensors| zero(&mut tensors.get_mut(name).unwrap().2));
    let (_, words) = logprobs_of(folder.path(), &[1, 5, 6]);
    assert!(words.contains(&format!("tensor `{name}` is zero throughout")), "{words}");
    let mut file = floats();
    for tensor in file.tensors.iter_mut().filter(|tensor| tensor.name.contains("ffn_up")) {
        zero(&mut tensor.bytes);
    }
    let (_folder, path) = written(&file);
    let (_, words) = logprobs_of(&path, &[1, 5, 6]);
    assert!(words.contains("`blk.0.ffn_up.weight` is zero throughout"), "{words}");
}
