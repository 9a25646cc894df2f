//! `tokenizer.json` and the files beside it.

use kscope_testing::models::json;
use serde_json::{Value, json};

use crate::configurations::{RUN, folder};
use crate::harness::{Case, Expected, damaged, link, pipe};

const READER: &str = "tokenizer.json";

/// The model with sections of `tokenizer.json` replaced.
fn with(name: impl Into<String>, sections: Value) -> Case {
    Case::new(READER, name, &RUN, move |at| {
        folder(at);
        let mut tokenizer = json(&at.join("tokenizer.json"));
        for (key, value) in sections.as_object().unwrap() {
            match key.split_once('.') {
                Some((section, key)) => tokenizer[section][key] = value.clone(),
                None => tokenizer[key] = value.clone(),
            }
        }
        std::fs::write(at.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    })
    .naming("tokenizer")
}

/// The model with another text as a file of its tokenizer.
fn with_text(name: impl Into<String>, file: &'static str, text: impl Into<Vec<u8>>) -> Case {
    let text = text.into();
    Case::new(READER, name, &RUN, move |at| {
        folder(at);
        std::fs::write(at.join(file), &text).unwrap();
    })
    .naming(file)
}

/// A section of many replacements, each of which makes its text ten times as long.
fn bomb(steps: &str, pattern: Value) -> Value {
    let replace = json!({"type": "Replace", "pattern": pattern, "content": "aaaaaaaaaa"});
    json!({"type": "Sequence", steps: vec![replace; 40]})
}

pub fn cases(cases: &mut Vec<Case>) {
    let letter = json!({"String": "a"});
    let nothing = json!({"Regex": ""});
    for (name, sections) in [
        ("a normalizer that grows", json!({"normalizer": bomb("normalizers", letter.clone())})),
        (
            "a normalizer that grows from nothing",
            json!({"normalizer": bomb("normalizers", nothing.clone())}),
        ),
        ("a normalizer that grows, of the old form", {
            let mut steps = bomb("normalizers", letter.clone());
            for step in steps["normalizers"].as_array_mut().unwrap() {
                step.as_object_mut().unwrap().shift_remove("type");
            }
            json!({"normalizer": steps})
        }),
        ("a decoder that grows", json!({"decoder": bomb("decoders", letter)})),
        ("a decoder that grows from nothing", json!({"decoder": bomb("decoders", nothing)})),
        (
            "prefixes without end",
            json!({"normalizer": {"type": "Sequence",
            "normalizers": vec![json!({"type": "Prepend", "prepend": "aaaaaaaa"}); 40]}}),
        ),
        (
            "a table that is no table",
            json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}),
        ),
        (
            "a table beyond its end",
            json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8="}}),
        ),
        (
            "a table of 2^32 bytes",
            json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}}),
        ),
        (
            "a table that is no base64",
            json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "\u{1b}"}}),
        ),
        ("a normalizer that is not known", json!({"normalizer": {"type": "Magic"}})),
        ("pieces of no length", json!({"pre_tokenizer": {"type": "FixedLength", "length": 0}})),
        (
            "a pattern that does not parse",
            json!({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}}),
        ),
        (
            "a pattern without end",
            json!({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a{1000}){1000}"}, "behavior": "Isolated", "invert": false}}),
        ),
        (
            "a template of an unknown token",
            json!({"post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "Q", "type_id": 0}}], "pair": [], "special_tokens": {}}}),
        ),
        (
            "a template that is a number",
            json!({"post_processor": {"type": "TemplateProcessing", "single": 5}}),
        ),
        ("a decoder that is a number", json!({"decoder": 5})),
        ("a vocabulary that is a list", json!({"model.vocab": [1, 2]})),
        ("ids below zero", json!({"model.vocab": {"a": -1}})),
        ("merges of unknown words", json!({"model.merges": [["zzz", "qqq"]]})),
        ("merges of numbers", json!({"model.merges": [5]})),
        (
            "a prefix longer than words",
            json!({"model.continuing_subword_prefix": "abcdefghijklmnop"}),
        ),
        ("a model that is not known", json!({"model.type": "Magic"})),
        ("added tokens that are a number", json!({"added_tokens": 5})),
        ("an added token without text", json!({"added_tokens": [{"id": 0}]})),
        (
            "an added token beyond 32 bits",
            json!({"added_tokens": [{"id": 1_u64 << 40, "content": "<x>",
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]}),
        ),
    ] {
        cases.push(with(name, sections));
    }
    for (name, text) in [
        ("empty", b"".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("a list", b"[]".to_vec()),
        ("half", b"{\"version\": \"1.0\", \"model\": {".to_vec()),
        ("no UTF-8", b"{\"version\": \"\xff\"}".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("deep lists", vec![b'['; 300_000]),
        ("a section twice", b"{\"normalizer\": null, \"normalizer\": {}}".to_vec()),
        (
            "a version of 300 kB",
            format!("{{\"version\": \"{}\"}}", "\u{1b}".repeat(300_000)).into(),
        ),
    ] {
        cases.push(with_text(name, "tokenizer.json", text));
    }
    for (name, file, text) in [
        ("settings that are half", "tokenizer_config.json", "{"),
        ("settings that are a list", "tokenizer_config.json", "[1]"),
        ("a map of special tokens that is a text", "special_tokens_map.json", "\"x\""),
        ("added tokens that are a list", "added_tokens.json", "[]"),
        ("generation that is half", "generation_config.json", "{\"eos_token_id\":"),
        ("an end that is a text", "generation_config.json", "{\"eos_token_id\": \"\\u001b[2J\"}"),
    ] {
        cases.push(with_text(name, file, text));
    }
    for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        let piped = Case::new(READER, format!("a pipe for {file}"), &RUN, move |at| {
            folder(at);
            pipe(&at.join(file));
        });
        cases.push(piped.naming(file));
        let zeros = Case::new(READER, format!("zeros without end for {file}"), &RUN, move |at| {
            folder(at);
            link(&at.join(file), "/dev/zero");
        });
        cases.push(zeros.naming(file));
    }
    for seed in 0..12 {
        let case = Case::new(READER, format!("damage {seed}"), &RUN, move |at| {
            folder(at);
            let path = at.join("tokenizer.json");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, damaged(&bytes, bytes.len(), seed)).unwrap();
        });
        cases.push(case.expecting(Expected::Either));
    }
}
