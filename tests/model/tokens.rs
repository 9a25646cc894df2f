//! Special tokens from every file that may name them, against transformers and llama.cpp.

use kscope::model::tokenizer::Tokenizer;
use kscope_testing::models::{ids, json, tiny_folder};
use kscope_testing::{kscope, vectors};
use serde_json::Value;

use crate::edits::refuses;

pub fn file() -> Value {
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
    for step in ["post_processor", "normalizer", "pre_tokenizer", "decoder"] {
        if let Some(changed) = changes.get(step) {
            tokenizer[step] = changed.clone();
        }
    }
    if let Some(space) = changes.get("space").and_then(Value::as_str) {
        let model = tokenizer["model"].to_string().replace('\u{120}', space);
        tokenizer["model"] = serde_json::from_str(&model).unwrap();
    }
    if let Some([first, second]) = changes.get("merge").and_then(Value::as_array).map(Vec::as_slice)
    {
        let model = &mut tokenizer["model"];
        let id = model["vocab"].as_object().unwrap().len();
        let both = format!("{}{}", first.as_str().unwrap(), second.as_str().unwrap());
        model["vocab"][both] = id.into();
        model["merges"].as_array_mut().unwrap().push(serde_json::json!([first, second]));
    }
    let model = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    for id in model.len() as u64..changes.get("fill").and_then(Value::as_u64).unwrap_or(0) {
        model.insert(format!("unused{id}"), id.into());
    }
    if let Some(token) = changes.get("padding") {
        tokenizer["padding"] = serde_json::json!({
            "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": token,
        });
    }
    let stored = tokenizer["added_tokens"].as_array_mut().unwrap();
    for token in changes.get("tokens").and_then(Value::as_array).into_iter().flatten() {
        stored.retain(|old| old["content"] != token["content"]);
        stored.push(token.clone());
    }
    stored.sort_by_key(|token| token["id"].as_u64());
    let model_type = changes.get("model_type").and_then(Value::as_str).unwrap_or("llama");
    let class = changes.get("model_class").unwrap_or(&Value::Null);
    let version = changes.get("version").unwrap_or(&Value::Null);
    write(
        "config.json",
        &serde_json::json!({
            "model_type": model_type, "tokenizer_class": class, "transformers_version": version,
        }),
    );
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
        let wordy = tokenizer.encode(file["wordy"].as_str().unwrap()).unwrap();
        assert_eq!(wordy, ids(&case["wordy"]), "{name}");
        let mixed = tokenizer.encode(file["mixed"].as_str().unwrap()).unwrap();
        assert_eq!(mixed, ids(&case["mixed"]), "{name}");
        let spoken = tokenizer.decode(&wordy).unwrap();
        assert_eq!(spoken, case["decoded"].as_str().unwrap(), "{name}");
        let seen = tokenizer.template().unwrap().render(&[("user", "x")]).unwrap();
        for pair in seen.split_terminator(';') {
            let (token, found) = pair.split_once('=').unwrap();
            let expected = case["special"].get(token).and_then(Value::as_str).unwrap_or_default();
            assert_eq!(found, expected, "{name}: {token}");
        }
        let end = case["special"].get("eos_token").and_then(Value::as_str);
        // Where special tokens are split, the text of one is not its id.
        let is_split = case["files"]["tokenizer_config.json"]["split_special_tokens"] == true;
        let end = end.filter(|_| !is_split).map(|text| tokenizer.encode(text).unwrap());
        if let Some(end) = end.and_then(|ids| ids.last().copied()) {
            let tokenizer = tokenizer.with_end_tokens(&[]);
            assert!(tokenizer.end_tokens().contains(&end), "{name}: {:?}", tokenizer.end_tokens());
        }
    }
}

#[test]
fn the_flags_of_a_token_are_those_of_the_file_that_wins_in_transformers() {
    let file = file();
    let places = &file["places"];
    let lists: Vec<Vec<u32>> = places["ids"].as_array().unwrap().iter().map(ids).collect();
    let mut seen = std::collections::HashSet::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in places["rows"].as_array().unwrap() {
        let text = |at: usize| row[at].as_str().unwrap();
        let (class, model, kind, flags) = (text(0), text(1), text(2), text(3));
        let written = places["written"][flags].as_array().unwrap();
        let expected = ids(&row[4]);
        assert_eq!(written.len(), expected.len());
        for (place, expected) in written.iter().zip(expected) {
            let mut case = serde_json::json!({"files": place[1], "changes": places["steps"][kind]});
            case["changes"]["model_type"] = model.into();
            case["changes"]["tokens"] = place[2].clone();
            if !class.is_empty() {
                case["files"]["tokenizer_config.json"]["tokenizer_class"] = class.into();
            }
            let tokenizer = Tokenizer::from_folder(folder(&case).path()).unwrap();
            let found = tokenizer.encode(places["text"].as_str().unwrap()).unwrap();
            let expected = &lists[expected as usize];
            seen.insert(expected);
            count += 1;
            if found != *expected {
                let name = &place[0];
                let case = format!("{class}, {model}, {kind}, {flags}, {name}");
                wrong.push(format!("{case}: {found:?}, not {expected:?}"));
            }
        }
    }
    assert!(count > 800 && seen.len() > 30, "{count} {}", seen.len());
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_tokenizer_that_draws_lots_is_read_without_and_says_so() {
    let folder = folder(&serde_json::json!({"changes": {}, "files": {}}));
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer = json(&path);
    let whole = Tokenizer::from_folder(folder.path()).unwrap().encode("the lamp in the hall");
    tokenizer["model"]["dropout"] = 0.9.into();
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    let said = tokenizer.warnings().join("\n");
    assert!(said.contains("tokenizer.json: `dropout`"), "{said}");
    assert_eq!(tokenizer.encode("the lamp in the hall").unwrap(), whole.unwrap());
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

#[test]
fn steps_that_a_class_leaves_out_are_named_in_a_warning() {
    let warnings = |class: &str, steps: &str| {
        let case = serde_json::json!({
            "changes": {"pre_tokenizer": serde_json::from_str::<Value>(steps).unwrap()},
            "files": {"tokenizer_config.json": {"tokenizer_class": class}},
        });
        Tokenizer::from_folder(folder(&case).path()).unwrap().warnings().join("\n")
    };
    let bytes = r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}"#;
    let digits = r#"{"type": "Digits", "individual_digits": true}"#;
    let both = format!(r#"{{"type": "Sequence", "pretokenizers": [{digits}, {bytes}]}}"#);
    let said = warnings("GPT2Tokenizer", &both);
    assert!(said.contains("tokenizer_config.json: transformers gives GPT2Tokenizer"), "{said}");
    assert!(said.contains("(Digits, ByteLevel)"), "{said}");
    for (class, steps) in [
        ("GPT2TokenizerFast", bytes),
        ("PreTrainedTokenizerFast", &both[..]),
        ("LlamaTokenizer", &both[..]),
        ("NobodysTokenizer", &both[..]),
    ] {
        assert_eq!(warnings(class, steps), "", "{class}");
    }
    // The file that names the class, or the model that it follows from, is named.
    let case = serde_json::json!({
        "changes": {"pre_tokenizer": serde_json::from_str::<Value>(bytes).unwrap(), "model_type": "qwen2"},
        "files": {},
    });
    let said = Tokenizer::from_folder(folder(&case).path()).unwrap().warnings().join("\n");
    assert!(said.contains("/config.json: transformers gives Qwen2Tokenizer"), "{said}");
    assert!(!said.contains("tokenizer_config.json"), "{said}");
    let said = warnings("GemmaTokenizer", &both);
    assert!(said.contains("GemmaTokenizer") && said.contains("does not know"), "{said}");
}

#[test]
fn a_class_that_would_misread_a_vocabulary_is_named() {
    let case = serde_json::json!({
        "changes": {"pre_tokenizer": {"type": "Whitespace"}},
        "files": {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}},
    });
    let folder = folder(&case);
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer = json(&path);
    tokenizer["model"] = serde_json::json!({
        "type": "WordLevel", "unk_token": "<unk>",
        "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "lamp": 3},
    });
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    let said = tokenizer.warnings().join("\n");
    assert!(
        said.contains("tokenizer_config.json: the vocabulary of tokenizer.json is no BPE"),
        "{said}"
    );
    // As a vocabulary of whole words has it; as a BPE it would have nothing for these.
    assert_eq!(tokenizer.encode("lamp").unwrap(), [3]);
}

#[test]
fn keys_that_hold_something_else_in_the_files_of_a_tokenizer_are_named() {
    let config = "tokenizer_config.json";
    let decoder = |entry: &str| format!(r#"{{"added_tokens_decoder": {entry}}}"#);
    let mut cases: Vec<(&str, String, Vec<String>)> = Vec::new();
    let mut add = |file, text: String, words: &[&str]| {
        cases.push((file, text, words.iter().map(|word| (*word).to_owned()).collect()));
    };
    for file in [config, "special_tokens_map.json", "added_tokens.json", "generation_config.json"] {
        for text in ["null", "true", "5", "\"x\"", "[]", "[\"x\"]"] {
            add(file, text.to_owned(), &["object"]);
        }
    }
    for value in ["true", "5", "0.5", "[]", "[\"x\"]", "{}", r#"{"content": 5}"#] {
        let shown = value.replace(": ", ":");
        for key in ["bos_token", "eos_token", "unk_token", "pad_token"] {
            let text = format!(r#"{{"{key}": {value}}}"#);
            add(config, text.clone(), &[&format!("`{key}`"), &shown]);
            add("special_tokens_map.json", text, &[&format!("`{key}`"), &shown]);
        }
        let of_a_decoder = decoder(&format!(r#"{{"95": {value}}}"#));
        add(config, of_a_decoder, &["`added_tokens_decoder.95`", &shown]);
    }
    for value in ["true", "5", "\"x\"", "[5]", "[null]", r#"{"a": 1}"#] {
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            add(config, format!(r#"{{"{key}": {value}}}"#), &[&format!("`{key}`")]);
        }
    }
    for value in ["null", "true", "5", "\"x\"", "[]"] {
        add(config, decoder(value), &["`added_tokens_decoder`", value]);
    }
    for id in ["x", "", "1.5", "0x5f"] {
        let entry = format!(r#"{{"{id}": {{"content": "<|x|>"}}}}"#);
        add(config, decoder(&entry), &["`added_tokens_decoder`", &format!("`{id}`"), "no number"]);
    }
    for flag in ["special", "lstrip", "rstrip", "single_word", "normalized"] {
        for value in ["null", "5", "\"x\""] {
            let entry = format!(r#"{{"95": {{"content": "<|x|>", "{flag}": {value}}}}}"#);
            add(config, decoder(&entry), &[&format!("added_tokens_decoder.95.{flag}"), value]);
        }
    }
    for value in ["null", "true", "0.5", "\"x\"", "[1]"] {
        add("added_tokens.json", format!(r#"{{"<|x|>": {value}}}"#), &["`<|x|>`", value]);
    }
    for value in ["true", "5", "[]"] {
        add(config, format!(r#"{{"tokenizer_class": {value}}}"#), &["`tokenizer_class`", value]);
    }
    for value in ["5", "\"true\"", "[]"] {
        let text =
            format!(r#"{{"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": {value}}}"#);
        add(config, text, &["`add_prefix_space`", value]);
    }
    for value in ["true", "0.5", "\"x\"", "[\"x\"]", "{}"] {
        let text = format!(r#"{{"eos_token_id": {value}}}"#);
        add("generation_config.json", text, &["`eos_token_id`", value]);
    }
    for (file, text, words) in cases {
        let folder = tiny_folder("llama");
        if file != config {
            // With a full list there, the other files are not read.
            std::fs::remove_file(folder.path().join(config)).unwrap();
        }
        std::fs::write(folder.path().join(file), &text).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).chain([file]).collect();
        let model = folder.path().to_str().unwrap();
        refuses(kscope().args(["model", "show", "--model", model]), &words);
    }
}

#[test]
fn a_tokenizer_in_another_form_is_named_where_there_is_no_tokenizer_json() {
    for files in [&["tokenizer.model"][..], &["vocab.json", "merges.txt"], &["tekken.json"], &[]] {
        let folder = tiny_folder("llama");
        std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "x").unwrap();
        }
        let model = folder.path().to_str().unwrap();
        let run = ["run", "--max-new", "1", "--prompt", "x", "--model", model];
        let output = kscope().args(run).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("--token-ids"), "{err}");
        assert_eq!(err.contains("reads only tokenizer.json"), !files.is_empty(), "{err}");
        assert!(files.iter().all(|file| err.contains(file)), "{err}");
    }
}

#[test]
fn a_tokenizer_that_panics_over_a_text_or_tokens_ends_with_a_sentence() {
    let run = |change: &dyn Fn(&mut Value), arguments: &[&str]| {
        let folder = tiny_folder("llama");
        let path = folder.path().join("tokenizer.json");
        let mut tokenizer = json(&path);
        change(&mut tokenizer);
        std::fs::write(&path, tokenizer.to_string()).unwrap();
        let model = folder.path().to_str().unwrap();
        kscope().args(["run", "--ignore-eos", "--model", model]).args(arguments).output().unwrap()
    };
    // More characters to cut than the token has.
    let strip = |tokenizer: &mut Value| {
        tokenizer["decoder"] =
            serde_json::json!({"type": "Strip", "content": "!", "start": 0, "stop": 5});
    };
    for json in [&[][..], &["--json"], &["--batch", "2"]] {
        let forced = ["--token-ids", "5,6", "--force-ids", "3,3"];
        let output = run(&strip, &[&forced[..], json].concat());
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{json:?}: {err}");
        assert_eq!(err.lines().filter(|line| line.contains("kscope: ")).count(), 1, "{err}");
        assert!(err.contains("decoder (tokenizer.json)") && !err.contains("thread '"), "{err}");
    }
}
