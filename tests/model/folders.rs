//! Folders and files that people give and that hold no model that can be read: each has a sentence
//! of its own.

use std::path::Path;

use candle_core::quantized::gguf_file::Value as Gguf;
use kscope_testing::gguf::GgufFile;
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

use crate::edits::LFS;
use crate::edits::{edit_weights, refuses, refuses_model};

const UP: &str = "model.layers.0.mlp.up_proj.";

/// The tiny llama with a key in its configuration.
fn configured(key: &str, value: Value) -> tempfile::TempDir {
    let folder = tiny_folder("llama");
    let path = folder.path().join("config.json");
    let mut config = kscope_testing::models::json(&path);
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

/// The tiny llama with tensors of a quantised layer in place of one weight.
fn with_tensors(names: &[&str]) -> tempfile::TempDir {
    let folder = tiny_folder("llama");
    edit_weights(folder.path(), |tensors| {
        tensors.remove(&format!("{UP}weight"));
        for name in names {
            tensors.insert(format!("{UP}{name}"), (Dtype::U8, vec![4], vec![0; 4]));
        }
    });
    folder
}

#[test]
fn a_quantised_checkpoint_is_named_by_its_configuration() {
    for (section, words) in [
        (json!({"quant_method": "awq", "bits": 4}), &["AWQ", "4 bits"][..]),
        (json!({"quant_method": "gptq", "bits": 8}), &["GPTQ", "8 bits"]),
        (json!({"quant_method": "compressed-tensors"}), &["compressed-tensors"]),
        (
            json!({"quant_method": "bitsandbytes", "load_in_4bit": true}),
            &["bitsandbytes", "4 bits"],
        ),
        (
            json!({"quant_method": "bitsandbytes", "load_in_8bit": true}),
            &["bitsandbytes", "8 bits"],
        ),
        (json!({"load_in_4bit": true}), &["bitsandbytes", "4 bits"]),
        (json!({"quant_method": "fp8", "weight_block_size": [128, 128]}), &["FP8"]),
        (json!({"quant_method": "mxfp4"}), &["MXFP4"]),
        (json!({"quant_method": "hqq"}), &["HQQ"]),
        (json!({"quant_method": "torchao"}), &["torchao"]),
        (json!({"quant_method": "martian"}), &["`martian`"]),
        (json!({"bits": 3}), &["3 bits", "does not name"]),
        (json!({"quant_method": ""}), &["does not name"]),
        (json!({"quant_algo": "FP8"}), &["FP8"]),
        (json!(""), &["does not name"]),
    ] {
        let folder = configured("quantization_config", section);
        let all = [&["config.json", "quantised by", "quantization_config", "GGUF"], words].concat();
        refuses_model(folder.path(), &all);
    }
    for other in [json!(4), json!(true), json!(false), json!([]), json!([1])] {
        let folder = configured("quantization_config", other);
        refuses_model(folder.path(), &["config.json", "`quantization_config` must be an object"]);
    }
    let folder = configured("quantization_config", json!("awq"));
    refuses_model(folder.path(), &["config.json", "quantised by AWQ"]);
    let folder = configured("quantization", json!({"group_size": 64, "bits": 4}));
    refuses_model(folder.path(), &["config.json", "quantised by MLX to 4 bits"]);
    let folder = configured("compression_config", json!({"format": "pack-quantized"}));
    refuses_model(folder.path(), &["config.json", "compressed-tensors", "compression_config"]);
}

#[test]
fn weights_that_a_method_left_as_they_were_load() {
    for section in
        [Value::Null, json!({}), json!({"quant_method": "compressed-tensors", "format": "dense"})]
    {
        let folder = configured("quantization_config", section);
        let model = folder.path().to_str().unwrap();
        kscope().args(["run", "--token-ids", "1", "--model", model]).assert().success();
    }
}

#[test]
fn a_quantised_checkpoint_is_named_by_its_tensors_where_the_configuration_is_silent() {
    for (tensors, method) in [
        (&["qweight", "qzeros", "scales"][..], "AWQ"),
        (&["qweight", "qzeros", "scales", "g_idx"], "GPTQ"),
        (&["weight_packed", "weight_scale", "weight_shape"], "compressed-tensors"),
        (&["weight", "weight.absmax", "weight.quant_map"], "bitsandbytes (4 bits)"),
        (&["weight", "weight.quant_state.bitsandbytes__nf4"], "bitsandbytes (4 bits)"),
        (&["weight", "SCB"], "bitsandbytes (8 bits)"),
        (&["weight", "weight_scale_inv"], "FP8"),
        (&["weight", "weight_scale", "input_scale"], "FP8"),
        (&["weight", "weight_scale", "weight_scale_2"], "NVFP4"),
        (&["W_q", "meta"], "HQQ"),
        (&["q_weight", "q_scale"], "ExLlamaV2"),
        (&["weight", "scales", "biases"], "MLX"),
    ] {
        let folder = with_tensors(tensors);
        refuses_model(folder.path(), &["quantised by", method, UP, "GGUF"]);
    }
}

#[test]
fn a_pointer_or_a_web_page_in_place_of_a_file_is_named() {
    for (text, word) in [
        (LFS, "git-lfs pointer"),
        ("<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        ("# xet version 0\nfilesize = 5\n", "Xet pointer"),
        ("/annex/objects/SHA256E-s5--00", "git-annex pointer"),
        ("Entry not found", "error message"),
        ("{\"error\": \"Repository not found\"}", "error message"),
    ] {
        for name in ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"] {
            let folder = tiny_folder("llama");
            std::fs::write(folder.path().join(name), text).unwrap();
            refuses_model(folder.path(), &[name, word]);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, text).unwrap();
        refuses_model(&path, &["model.gguf", word]);
    }
    // A template matters only when it is used.
    let folder = tiny_folder("llama");
    let templates = folder.path().join("additional_chat_templates");
    std::fs::create_dir(&templates).unwrap();
    std::fs::write(templates.join("default.jinja"), LFS).unwrap();
    let model = folder.path().to_str().unwrap();
    refuses(
        kscope().args(["run", "--prompt", "the", "--model", model]),
        &["default.jinja", "git-lfs pointer"],
    );
    kscope().args(["run", "--token-ids", "1", "--model", model]).assert().success();
    let folder = tiny_folder("llama");
    std::fs::write(folder.path().join("model.safetensors"), LFS).unwrap();
    refuses_model(folder.path(), &["12345 bytes", "git lfs pull"]);
    let folder = tiny_folder("qwen3");
    std::fs::write(folder.path().join("model-00002-of-00002.safetensors"), LFS).unwrap();
    refuses_model(folder.path(), &["model-00002-of-00002.safetensors", "git-lfs"]);
    let folder = tiny_folder("llama");
    // The first entry of an archive says what it is.
    for (entry, what) in [("archive/data.pkl", "PyTorch"), ("a.npy", "NumPy"), ("a.txt", "(zip)")] {
        let length = (entry.len() as u16).to_le_bytes();
        let bytes = [b"PK\x03\x04", &[0; 22][..], &length, &[0; 2], entry.as_bytes()].concat();
        std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        refuses_model(folder.path(), &["model.safetensors", what]);
    }
    std::fs::write(folder.path().join("model.safetensors"), b"PK\x03\x04").unwrap();
    refuses_model(folder.path(), &["model.safetensors", "(zip)"]);
    let gguf = folder.path().join("old.gguf");
    std::fs::write(&gguf, b"tjgg\x03\0\0\0").unwrap();
    refuses_model(&gguf, &["old.gguf", "GGML", "before GGUF"]);
    std::fs::write(&gguf, b"GGUF\0\0\0\x03").unwrap();
    refuses_model(&gguf, &["old.gguf", "big-endian"]);
}

#[test]
fn a_folder_whose_weights_are_in_another_form_names_the_file() {
    for (name, words) in [
        ("pytorch_model.bin", &["pytorch_model.bin", "pickle"][..]),
        ("pytorch_model-00001-of-00002.bin", &["pytorch_model-00001-of-00002.bin", "pickle"]),
        ("model.pth", &["model.pth", "pickle"]),
        ("consolidated.00.pth", &["consolidated.00.pth", "own format"]),
        ("consolidated.safetensors", &["consolidated.safetensors", "own format"]),
        ("model.fp16.safetensors", &["model.fp16.safetensors", "rename"]),
        ("tf_model.h5", &["tf_model.h5", "safetensors and GGUF"]),
        ("flax_model.msgpack", &["flax_model.msgpack"]),
        ("tiny.gguf", &["tiny.gguf", "so give"]),
    ] {
        let folder = tiny_folder("llama");
        let path = folder.path();
        std::fs::remove_file(path.join("model.safetensors")).unwrap();
        std::fs::write(path.join(name), "{}").unwrap();
        let all = [&[path.to_str().unwrap(), "no model.safetensors"], words].concat();
        refuses_model(path, &all);
    }
}

#[test]
fn a_folder_without_a_configuration_says_what_it_holds() {
    let holding = |files: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        folder
    };
    for (files, words) in [
        (&["a.Q4_0.gguf"][..], &["GGUF", "a.Q4_0.gguf"][..]),
        (&["a.gguf", "b.gguf", "c.gguf"], &["a.gguf", "2 others"]),
        (&["params.json", "consolidated.00.pth"], &["own format"]),
        (&["model_index.json"], &["pipeline"]),
        (&["refs/main", "snapshots/abc/config.json"], &["hub's cache", "snapshots/abc"]),
        (&["inner/config.json"], &["inner"]),
    ] {
        let folder = holding(files);
        refuses_model(folder.path(), &[&["no config.json"], words].concat());
    }
}

#[test]
fn an_adapter_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("adapter_config.json", "{\"base_model_name_or_path\": \"org/base\"}");
    write("adapter_model.safetensors", "");
    let words = ["adapter (LoRA)", "org/base", "merge"];
    refuses_model(folder.path(), &words);
    // The base's configuration may lie beside it.
    write("config.json", "{}");
    refuses_model(folder.path(), &words);
    std::fs::remove_file(folder.path().join("adapter_config.json")).unwrap();
    refuses_model(folder.path(), &["adapter (LoRA)", "its base model"]);
    let folder = tiny_folder("llama");
    std::fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    let model = folder.path().to_str().unwrap();
    let output = kscope().args(["run", "--token-ids", "1", "--model", model]).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && words.contains("is not applied"), "{words}");
    let folder = with_tensors(&["weight", "lora_A.default.weight", "lora_B.default.weight"]);
    refuses_model(folder.path(), &["adapter (LoRA", "lora_A.default.weight", "not merged"]);
    let mut file = GgufFile::open(&vectors().join("gguf/llama-f32.gguf"));
    file.set("general.type", Gguf::String("adapter".to_owned()));
    let path = folder.path().join("adapter.gguf");
    file.write(&path);
    refuses_model(&path, &["adapter.gguf", "general.type", "`adapter`"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_that_is_gone_is_named() {
    let folder = tiny_folder("llama");
    let weights = folder.path().join("model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    std::os::unix::fs::symlink("/nowhere/blob", &weights).unwrap();
    refuses_model(folder.path(), &["model.safetensors", "link to a file that is not there"]);
}

#[test]
fn an_index_that_names_files_which_are_not_there() {
    let folder = tiny_folder("qwen3");
    std::fs::remove_file(folder.path().join("model-00001-of-00002.safetensors")).unwrap();
    let words = ["index.json", "model-00001-of-00002.safetensors", "1 of 2 files"];
    refuses_model(folder.path(), &words);
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(index, "{\"weight_map\": {}}").unwrap();
    refuses_model(folder.path(), &["index.json", "names no files"]);
}

#[test]
fn a_file_that_the_index_leaves_out_is_named_with_the_tensor_that_it_holds() {
    let folder = tiny_folder("qwen3");
    let index = folder.path().join("model.safetensors.index.json");
    let mut json = kscope_testing::models::json(&index);
    let map = json["weight_map"].as_object_mut().unwrap();
    map.retain(|_, file| file != "model-00001-of-00002.safetensors");
    std::fs::write(&index, json.to_string()).unwrap();
    let words = ["is missing", "it is in model-00001-of-00002.safetensors", "the index"];
    refuses_model(folder.path(), &words);
    // Beside a single file no index counts.
    let path = |name: &str| folder.path().join(name);
    std::fs::rename(path("model-00002-of-00002.safetensors"), path("model.safetensors")).unwrap();
    refuses_model(folder.path(), &["is missing", "only model.safetensors is read"]);
}

#[test]
fn a_tensor_in_two_shards_is_one_tensor_or_a_mistake() {
    let folder = tiny_folder("qwen3");
    let path = |shard| folder.path().join(format!("model-0000{shard}-of-00002.safetensors"));
    let (first, second) = (std::fs::read(path(1)).unwrap(), std::fs::read(path(2)).unwrap());
    let [first, second] = [&first, &second].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let name = first.names()[0].to_owned();
    let tensor = first.tensor(&name).unwrap();
    let other = vec![0; tensor.data().len()];
    let other = TensorView::new(tensor.dtype(), tensor.shape().to_vec(), &other).unwrap();
    for (twice, is_one) in [(tensor, true), (other, false)] {
        let held = second.tensors().into_iter().chain([(name.clone(), twice)]);
        std::fs::write(path(2), safetensors::serialize(held, None).unwrap()).unwrap();
        let model = folder.path().to_str().unwrap();
        let mut run = kscope();
        run.args(["run", "--token-ids", "1", "--model", model]);
        if is_one {
            run.assert().success();
        } else {
            let files = ["model-00001-of-00002", "model-00002-of-00002"];
            refuses(&mut run, &[files[0], files[1], &name, "other numbers"]);
        }
    }
}

#[test]
fn a_single_file_of_a_folder_leads_to_the_folder() {
    let folder = tiny_folder("llama");
    for name in ["model.safetensors", "config.json"] {
        let path = folder.path().join(name);
        refuses_model(&path, &[name, "give the folder", folder.path().to_str().unwrap()]);
    }
    let piece = folder.path().join("tiny.gguf.part1of2");
    std::fs::write(&piece, "x").unwrap();
    refuses_model(&piece, &["part1of2", "join the pieces"]);
    // GGUF by its first bytes, whatever it is called.
    let blob = folder.path().join("sha256-1234");
    std::fs::copy(vectors().join("gguf/llama-f32.gguf"), &blob).unwrap();
    let model = blob.to_str().unwrap();
    kscope().args(["run", "--token-ids", "1", "--model", model]).assert().success();
}

/// A token that the embedding has no row for.
fn larger_tokenizer() -> tempfile::TempDir {
    let folder = tiny_folder("llama");
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer = kscope_testing::models::json(&path);
    // As its own vocabulary ends below the embedding's last row, the id has to be said there too.
    tokenizer["model"]["vocab"]["[PAD]"] = json!(96);
    tokenizer["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": 96, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    }));
    std::fs::write(path, tokenizer.to_string()).unwrap();
    folder
}

#[test]
fn a_tokenizer_larger_than_the_embedding_matters_only_when_such_a_token_is_used() {
    let folder = larger_tokenizer();
    let (plain, larger) = (tiny_folder("llama"), folder.path().to_str().unwrap());
    let run = |model: &Path, more: &[&str]| {
        let model = model.to_str().unwrap();
        let mut command = kscope();
        command.args(["run", "--max-new", "4", "--ignore-eos", "--model", model]).args(more);
        String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
    };
    for more in [&["--token-ids", "1,5,6"][..], &["--raw", "--prompt", "the"]] {
        assert_eq!(run(folder.path(), more), run(plain.path(), more));
    }
    kscope().args(["model", "show", "--model", larger]).assert().success();
    refuses(
        kscope().args(["run", "--raw", "--prompt", "the [PAD]", "--model", larger]),
        &["token 96", "[PAD]", "96 rows"],
    );
    refuses(
        kscope().args(["run", "--token-ids", "1,96", "--model", larger]),
        &["token 96", "vocabulary"],
    );
}

#[test]
fn a_gguf_file_with_more_tokens_than_rows_loads_too() {
    let mut file = GgufFile::open(&vectors().join("gguf/llama-f32.gguf"));
    for (key, value) in &mut file.metadata {
        if let Gguf::Array(list) = value {
            match key.as_str() {
                "tokenizer.ggml.tokens" => list.push(Gguf::String("<|extra|>".to_owned())),
                "tokenizer.ggml.token_type" => list.push(Gguf::I32(3)),
                _ => {}
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    file.write(&path);
    let model = path.to_str().unwrap();
    kscope().args(["run", "--raw", "--prompt", "the", "--model", model]).assert().success();
    refuses(
        kscope().args(["run", "--raw", "--prompt", "the <|extra|>", "--model", model]),
        &["token 311", "<|extra|>", "311 rows"],
    );
}
