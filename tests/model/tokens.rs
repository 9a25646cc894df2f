//! Special tokens from every file that may name them, against transformers and llama.cpp.

use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Content, Value as Field};
use kscope::model::load::gguf::Gguf;
use kscope::model::tokenizer::{GgufTokenizer, Tokenizer};
use kscope_testing::models::{ids, json, open};
use kscope_testing::{kscope, vectors};
use serde_json::Value;

fn file() -> Value {
    json(&vectors().join("text/tokens.json"))
}

/// `tests/vectors/tiny/tokenizer` with the changes of a case.
fn folder(case: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &Value| {
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    };
    let mut tokenizer = json(&vectors().join("tiny/tokenizer/tokenizer.json"));
    let changes = case["changes"].as_object().unwrap();
    if let Some(processor) = changes.get("post_processor") {
        tokenizer["post_processor"] = processor.clone();
    }
    let added = changes.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
    for (at, text) in added.enumerate() {
        let token = serde_json::json!({
            "id": 95 + at, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        });
        tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    }
    write("tokenizer.json", &tokenizer);
    for (name, content) in case["files"].as_object().unwrap() {
        write(name, content);
    }
    // Shows what a template is given.
    let names = [
        "bos_token",
        "eos_token",
        "unk_token",
        "sep_token",
        "pad_token",
        "image_token",
        "video_token",
    ];
    let template: String = names.iter().map(|name| format!("{name}={{{{ {name} }}}};")).collect();
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    folder
}

#[test]
fn a_folder_has_the_tokens_and_ids_that_transformers_gives_it() {
    let file = file();
    let text = file["text"].as_str().unwrap();
    for case in file["folders"].as_array().unwrap() {
        let name = &case["name"];
        let folder = folder(case);
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{name}");
        let seen = tokenizer.template().unwrap().render(&[("user", "x")]).unwrap();
        for pair in seen.split_terminator(';') {
            let (token, found) = pair.split_once('=').unwrap();
            let expected = case["special"].get(token).and_then(Value::as_str).unwrap_or_default();
            assert_eq!(found, expected, "{name}: {token}");
        }
        let end = case["special"].get("eos_token").and_then(Value::as_str);
        let end = end.map(|text| tokenizer.encode(text).unwrap());
        if let Some(end) = end.and_then(|ids| ids.last().copied()) {
            let tokenizer = tokenizer.with_end_tokens(&[]);
            assert!(tokenizer.end_tokens().contains(&end), "{name}: {:?}", tokenizer.end_tokens());
        }
    }
}

/// A GGUF file with other metadata; null takes a key away.
fn changed(source: &Path, changes: &[(&str, Option<Field>)]) -> tempfile::NamedTempFile {
    let mut reader = std::fs::File::open(source).unwrap();
    let content = Content::read(&mut reader).unwrap();
    let mut metadata = content.metadata.clone();
    for (key, value) in changes {
        match value {
            Some(value) => drop(metadata.insert((*key).to_owned(), value.clone())),
            None => drop(metadata.remove(*key)),
        }
    }
    let mut names: Vec<&String> = content.tensor_infos.keys().collect();
    names.sort();
    let mut tensors = Vec::new();
    for name in names {
        tensors.push((&name[..], content.tensor(&mut reader, name, &Device::Cpu).unwrap()));
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (&key[..], value)).collect();
    let mut out = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    gguf_file::write(out.as_file_mut(), &metadata, &tensors).unwrap();
    out
}

#[test]
fn a_gguf_file_gives_the_ids_of_llama_cpp_whatever_it_leaves_unsaid() {
    let file = file();
    let text = file["chat"].as_str().unwrap();
    let cases = file["ggufs"].as_array().unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let changes: Vec<(&str, Option<Field>)> = case["changes"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| {
                let field = match value {
                    Value::Bool(flag) => Some(Field::Bool(*flag)),
                    Value::String(text) => Some(Field::String(text.clone())),
                    _ => None,
                };
                (&key[..], field)
            })
            .collect();
        let path = changed(&vectors().join("gguf").join(case["file"].as_str().unwrap()), &changes);
        let tokenizer = GgufTokenizer::read(&Gguf::open(path.path()).unwrap()).unwrap().tokenizer;
        assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{case}");
        let chat = tokenizer.encode_chat(text).unwrap().len();
        assert_eq!(chat, case["chat"].as_u64().unwrap() as usize, "{case}");
    }
}

#[test]
fn end_of_turn_tokens_end_a_text_whatever_their_type() {
    let source = vectors().join("gguf/llama-f32.gguf");
    let content = Content::read(&mut std::fs::File::open(&source).unwrap()).unwrap();
    let list = |key: &str| match &content.metadata[key] {
        Field::Array(items) => items.clone(),
        other => panic!("{other:?}"),
    };
    // Any token that is no end of a text by its own name.
    let (tokens, types) = (list("tokenizer.ggml.tokens"), list("tokenizer.ggml.token_type"));
    let at = 300;
    for text in [
        "<|im_end|>",
        "<|eot_id|>",
        "<|end|>",
        "<|eom_id|>",
        "<end_of_turn>",
        "<|return|>",
        "[EOS]",
        "<｜end▁of▁sentence｜>",
        "<|fim_pad|>",
        "<|file_sep|>",
    ] {
        for kind in [1, 3, 4, 5] {
            let (mut tokens, mut types) = (tokens.clone(), types.clone());
            // The file has that name already: it goes to another place.
            for other in &mut tokens {
                if matches!(other, Field::String(other) if other == text) {
                    *other = Field::String("another".to_owned());
                }
            }
            tokens[at] = Field::String(text.to_owned());
            types[at] = Field::I32(kind);
            let path = changed(
                &source,
                &[
                    ("tokenizer.ggml.tokens", Some(Field::Array(tokens))),
                    ("tokenizer.ggml.token_type", Some(Field::Array(types))),
                    ("tokenizer.ggml.merges", Some(Field::Array(Vec::new()))),
                ],
            );
            let found = open(path.path()).config.eos;
            assert!(found.contains(&(at as u32)), "{text} of type {kind}: {found:?}");
        }
    }
}

#[test]
fn ends_that_a_gguf_file_names_by_key_count() {
    let source = vectors().join("gguf/llama-f32.gguf");
    for key in ["eot", "eom", "fim_pad", "fim_rep", "fim_sep"] {
        let key = format!("tokenizer.ggml.{key}_token_id");
        let path = changed(&source, &[(&key, Some(Field::U32(7)))]);
        assert!(open(path.path()).config.eos.contains(&7), "{key}");
    }
}

#[test]
fn a_byte_order_mark_before_a_prompt_is_no_part_of_it_and_line_ends_stay() {
    let model = vectors().join("gguf/llama-f32.gguf");
    let count = |text: &str| -> u64 {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let (model, file) = (model.to_str().unwrap(), file.path().to_str().unwrap());
        let output = kscope()
            .args(["run", "--raw", "--max-new", "1", "--json", "-m", model, "--prompt-file", file])
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["prompt_tokens"].as_u64().unwrap()
    };
    assert_eq!(count("\u{feff}a\r\nb"), count("a\r\nb"));
    assert!(count("a\r\nb") > count("a\nb"));
}
