//! Special tokens and pre-tokenizers of GGUF files, against llama.cpp.

use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Content, Value as Field};
use kscope::model::load::gguf::Gguf;
use kscope::model::tokenizer::GgufTokenizer;
use kscope_testing::models::{ids, open};
use kscope_testing::vectors;
use serde_json::Value;

use crate::tokens::file;

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

/// A field that holds texts.
fn texts(list: &[Value]) -> Field {
    Field::Array(list.iter().map(|text| Field::String(text.as_str().unwrap().to_owned())).collect())
}

#[test]
fn every_pre_tokenizer_cuts_words_where_llama_cpp_cuts_them() {
    let file = file();
    let words = &file["words"];
    let source = vectors().join("gguf/llama-rope-freqs.gguf");
    let content = Content::read(&mut std::fs::File::open(&source).unwrap()).unwrap();
    let Field::Array(mut tokens) = content.metadata["tokenizer.ggml.tokens"].clone() else {
        panic!("no list of tokens");
    };
    for (at, token) in words["tokens"].as_object().unwrap() {
        tokens[at.parse::<usize>().unwrap()] = Field::String(token.as_str().unwrap().to_owned());
    }
    let kinds = words["ids"].as_array().unwrap();
    assert_eq!(kinds.len(), 5);
    for kind in kinds {
        for pre in kind["pre"].as_array().unwrap() {
            let pre = pre.as_str().unwrap();
            let named = (!pre.is_empty()).then(|| Field::String(pre.to_owned()));
            let path = changed(
                &source,
                &[
                    ("tokenizer.ggml.tokens", Some(Field::Array(tokens.clone()))),
                    ("tokenizer.ggml.merges", Some(texts(words["merges"].as_array().unwrap()))),
                    ("tokenizer.ggml.add_bos_token", Some(Field::Bool(false))),
                    ("tokenizer.ggml.pre", named),
                ],
            );
            let read = GgufTokenizer::read(&Gguf::open(path.path()).unwrap()).unwrap();
            assert_eq!(read.warnings.len(), usize::from(pre.is_empty()), "{:?}", read.warnings);
            let cases = words["texts"].as_array().unwrap().iter();
            for (text, expected) in cases.zip(kind["ids"].as_array().unwrap()) {
                let found = read.tokenizer.encode(text.as_str().unwrap()).unwrap();
                assert_eq!(found, ids(expected), "`{pre}`: {text}");
            }
        }
    }
}

#[test]
fn a_byte_level_gguf_file_that_names_no_beginning_begins_with_none() {
    let source = vectors().join("gguf/llama-rope-freqs.gguf");
    let read = |changes: &[(&str, Option<Field>)]| {
        let path = changed(&source, changes);
        let read = GgufTokenizer::read(&Gguf::open(path.path()).unwrap()).unwrap();
        let ids = read.tokenizer.encode("the lamp").unwrap();
        assert!(!ids.is_empty() && ids.iter().all(|id| ![11, 308].contains(id)), "{ids:?}");
        (read.bos, read.warnings.join("\n"))
    };
    let bos = "tokenizer.ggml.bos_token_id";
    let adds = ("tokenizer.ggml.add_bos_token", Some(Field::Bool(true)));
    let unsaid = ("tokenizer.ggml.add_bos_token", None);
    let llama3 = ("tokenizer.ggml.pre", Some(Field::String("llama-bpe".to_owned())));
    // llama.cpp takes token 11 in each of these, whatever that is.
    assert_eq!(read(&[(bos, None)]), (None, String::new()));
    for more in [[adds.clone(), adds.clone()], [unsaid, llama3]] {
        let (found, words) = read(&[&[(bos, None)], &more[..]].concat());
        assert_eq!(found, None);
        assert!(words.contains(bos) && words.contains("llama.cpp takes token 11"), "{words}");
    }
    let (found, words) = read(&[(bos, Some(Field::U32(99_999))), adds]);
    assert_eq!(found, None);
    assert!(words.contains("99999") && words.contains("begins without"), "{words}");
}

#[test]
fn ids_beyond_the_vocabulary_are_named_and_not_taken() {
    for (file, key, usual) in [
        ("llama-f32", "eos", None),
        ("llama-f32", "eot", None),
        ("llama-f32", "padding", None),
        ("llama-spm", "eos", Some(2)),
    ] {
        let source = vectors().join(format!("gguf/{file}.gguf"));
        let key = format!("tokenizer.ggml.{key}_token_id");
        for id in [371, 99_999, u32::MAX] {
            let path = changed(&source, &[(&key, Some(Field::U32(id)))]);
            let opened = open(path.path());
            let [words] = &opened.warnings[..] else { panic!("{:?}", opened.warnings) };
            let path = path.path().to_str().unwrap();
            for word in [path, &key, &id.to_string(), "takes its place"] {
                assert!(words.contains(word), "no {word} in {words}");
            }
            assert!(!opened.config.eos.contains(&id));
            if let Some(usual) = usual {
                assert!(opened.config.eos.contains(&usual) && words.contains("token 2, as in"));
            }
        }
    }
    // SentencePiece has a usual beginning; llama.cpp takes it too.
    let source = vectors().join("gguf/llama-spm.gguf");
    let bos = "tokenizer.ggml.bos_token_id";
    let path = changed(&source, &[(bos, Some(Field::U32(99_999)))]);
    assert_eq!(open(path.path()).config.bos, Some(1));
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
fn a_token_of_type_unknown_is_a_token_in_a_text_and_the_end_of_a_message_no_end_of_a_text() {
    let source = vectors().join("gguf/llama-f32.gguf");
    let content = Content::read(&mut std::fs::File::open(&source).unwrap()).unwrap();
    let list = |key: &str| match &content.metadata[key] {
        Field::Array(items) => items.clone(),
        other => panic!("{other:?}"),
    };
    let (mut tokens, mut types) =
        (list("tokenizer.ggml.tokens"), list("tokenizer.ggml.token_type"));
    let texts = ["<|odd|>", "<|end|>", "<|return|>", "<|call|>"];
    for (at, text) in (300..).zip(texts) {
        tokens[at] = Field::String(text.to_owned());
        types[at] = Field::I32(if at == 300 { 2 } else { 3 });
    }
    let path = changed(
        &source,
        &[
            ("tokenizer.ggml.tokens", Some(Field::Array(tokens))),
            ("tokenizer.ggml.token_type", Some(Field::Array(types))),
            ("tokenizer.ggml.merges", Some(Field::Array(Vec::new()))),
        ],
    );
    let model = open(path.path());
    let tokenizer = GgufTokenizer::read(&Gguf::open(path.path()).unwrap()).unwrap().tokenizer;
    let ids = tokenizer.encode("a<|odd|>").unwrap();
    assert_eq!(ids.last(), Some(&300), "{ids:?}");
    // llama.cpp takes `<|end|>` for no end where both others are there.
    let eos = &model.config.eos;
    assert!(eos.contains(&302) && eos.contains(&303) && !eos.contains(&301), "{eos:?}");
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
