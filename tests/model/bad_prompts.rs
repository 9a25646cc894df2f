//! Prompts, flags and chat templates that cannot be used, and control characters on their way to a
//! terminal.

use std::path::Path;

use crate::edits::*;
use kscope_testing::kscope;
use kscope_testing::models::*;

#[test]
fn a_prompt_that_cannot_be_used() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    let text = folder.path().join("prompt.txt");
    let run = || {
        let mut command = kscope();
        command.args(["run", "--model", model]);
        command
    };
    std::fs::write(&text, b"the \xff tide").unwrap();
    let file = text.to_str().unwrap();
    refuses(run().args(["--prompt-file", file]), &["prompt.txt", "UTF-8", "byte 4"]);
    refuses(run().write_stdin(&b"the \xff"[..]), &["standard input", "UTF-8"]);
    for nothing in ["", " \n\t\n"] {
        refuses(run().write_stdin(nothing), &["standard input", "found nothing", "--prompt"]);
    }
    let mut compare = kscope();
    compare.args(["compare", "--model", model, "--plan", "k8v4"]).write_stdin("");
    refuses(&mut compare, &["standard input", "found nothing", "--prompt"]);
    refuses(run().args(["--prompt-file", "/nowhere.txt"]), &["/nowhere.txt"]);
    refuses(run().args(["--prompt-file", model]), &[model, "found a folder"]);
    refuses(run().args(["--token-ids", "1,96"]), &["96", "vocabulary"]);
    refuses(run().args(["--token-ids", "1,5", "--force-ids", "4,4000"]), &["4000", "vocabulary"]);
    refuses(run().args(["--raw", "--prompt", ""]), &["empty"]);
    refuses(run().args(["--token-ids", "1,5,6", "--ctx", "2"]), &["3 tokens", "context of 2"]);
    refuses(run().args(["--token-ids", "1,5,6", "--ctx", "0"]), &["--ctx"]);
    refuses(run().args(["--token-ids", "1,5,6", "--ctx", "513"]), &["513", "512"]);
    let long: Vec<String> = std::iter::repeat_n("5".to_owned(), 513).collect();
    refuses(run().args(["--token-ids", &long.join(",")]), &["513 tokens", "512"]);
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    refuses(run().args(["--prompt", "the"]), &["no tokenizer", "--token-ids"]);
}

#[test]
fn sampling_and_device_flags_that_make_no_sense() {
    let folder = tiny_folder("llama");
    for (flag, value, word) in [
        ("--temperature", "-1", "temperature"),
        ("--temperature", "nan", "temperature"),
        ("--top-p", "0", "top-p"),
        ("--top-p", "1.5", "top-p"),
        ("--min-p", "2", "min-p"),
        ("--repeat-penalty", "0", "repeat penalty"),
        ("--batch", "0", "--batch"),
        ("--chunk", "0", "chunk"),
        ("--threads", "0", "--threads"),
    ] {
        let flag = format!("{flag}={value}");
        let model = folder.path().to_str().unwrap();
        refuses(kscope().args(["run", "--token-ids", "1", "--model", model, &flag]), &[word]);
    }
    // Errors of the argument parser have their own format; the first line is a sentence.
    let output = kscope()
        .args(["run", "--token-ids", "1", "--device", "tpu"])
        .output()
        .expect("kscope runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().next().unwrap_or_default();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        first.contains("'tpu'") && first.contains("must be auto, cpu, cuda or cuda:N"),
        "{text}"
    );
}

#[test]
fn control_characters_of_files_are_written_out_in_errors() {
    let shown = r"x\x1b[2J\x1b]52;c;AA\x07\x9b31m\u{202e}\ny";
    let hostile = r"x\u001b[2J\u001b]52;c;AA\u0007\u009b31m\u202e\ny";
    for (from, to) in [
        ("\"hidden_act\": \"silu\"", format!("\"hidden_act\": \"{hostile}\"")),
        ("\"model_type\": \"llama\"", format!("\"model_type\": \"{hostile}\"")),
    ] {
        let folder = changed(|folder| {
            let path = folder.join("config.json");
            let text = std::fs::read_to_string(&path).unwrap();
            let mut text = text.replace(from, &to);
            if from.contains("model_type") {
                text = text.replace("\"LlamaForCausalLM\"", &format!("\"{hostile}\""));
            }
            std::fs::write(path, text).unwrap();
        });
        let error = refuses(
            kscope().args(["model", "show", "-m", folder.path().to_str().unwrap()]),
            &[shown],
        );
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
    // What a template raises.
    let folder = changed(|folder| {
        let template = "{{ raise_exception('a\\x1b[31mb') }}";
        std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
    });
    let path = folder.path().to_str().unwrap();
    refuses(kscope().args(["run", "-m", path, "--prompt", "x"]), &[r"a\x1b[31mb"]);
    // Arguments, which may be names of files.
    let argument = "a\u{1b}[31m\u{9b}2J\u{202e}\rb";
    for arguments in [&[argument][..], &["run", "--device", argument], &["score", argument]] {
        let output = kscope().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains(r"a\x1b[31m\x9b2J\u{202e}\rb"), "{err}");
        assert!(!err.contains(|c: char| c.is_control() && c != '\n'), "{err:?}");
    }
    // The name of the folder itself.
    let parent = tempfile::tempdir().unwrap();
    let named = parent.path().join("m\u{1b}[31m");
    std::fs::create_dir(&named).unwrap();
    for file in std::fs::read_dir(tiny_folder("llama").path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), named.join(file.file_name())).unwrap();
    }
    for json in [&[][..], &["--json"]] {
        let output = kscope()
            .args(["model", "show", "-m", named.to_str().unwrap()])
            .args(json)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("[31m") && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn a_template_that_cannot_be_compiled_is_an_error_only_when_it_is_used() {
    let folder = changed(|folder| {
        std::fs::write(folder.join("chat_template.jinja"), "{% unknown_tag %}").unwrap();
    });
    let path = folder.path().to_str().unwrap();
    for args in [
        &["model", "show", "-m", path][..],
        &["run", "-m", path, "--token-ids", "1,5", "--max-new", "1"],
        &["run", "-m", path, "--raw", "--prompt", "the", "--max-new", "1"],
    ] {
        let output = kscope().args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    refuses(
        kscope().args(["run", "-m", path, "--prompt", "the", "--max-new", "1"]),
        &["chat template", "unknown_tag", "--raw"],
    );
    // Nor does one that is no text.
    std::fs::write(folder.path().join("chat_template.jinja"), b"a\xff").unwrap();
    let shown = kscope().args(["model", "show", "-m", path]).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    refuses(
        kscope().args(["run", "-m", path, "--prompt", "the", "--max-new", "1"]),
        &["chat_template.jinja", "--raw"],
    );
}

#[test]
fn among_named_templates_the_default_is_taken() {
    let show = |folder: &Path| {
        let tokenizer = kscope::model::tokenizer::Tokenizer::from_folder(folder).unwrap();
        tokenizer.template().unwrap().render(&[("user", "x")])
    };
    let config = |folder: &Path, template: serde_json::Value| {
        let config = serde_json::json!({"bos_token": "<s>", "chat_template": template});
        std::fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    };
    let named = serde_json::json!([
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "{{ bos_token }}plain"},
    ]);
    let folder = changed(|folder| config(folder, named));
    assert_eq!(show(folder.path()).unwrap(), "<s>plain");
    let folder =
        changed(|folder| config(folder, serde_json::json!({"rag": "r", "default": "by name"})));
    assert_eq!(show(folder.path()).unwrap(), "by name");
    let folder =
        changed(|folder| config(folder, serde_json::json!([{"name": "rag", "template": "r"}])));
    let error = show(folder.path()).unwrap_err().to_string();
    assert!(error.contains("`default`") && error.contains("rag"), "{error}");
    // Files win over the configuration.
    let folder = changed(|folder| {
        config(folder, serde_json::json!("from the configuration"));
        std::fs::write(folder.join("chat_template.jinja"), "from the file").unwrap();
        let others = folder.join("additional_chat_templates");
        std::fs::create_dir(&others).unwrap();
        std::fs::write(others.join("tool_use.jinja"), "tools").unwrap();
    });
    assert_eq!(show(folder.path()).unwrap(), "from the file");
    // Of two with one name the last is taken.
    let twice = serde_json::json!([
        {"name": "default", "template": "first"}, {"name": "default", "template": "last"},
    ]);
    let folder = changed(|folder| config(folder, twice));
    assert_eq!(show(folder.path()).unwrap(), "last");
    let with_map = |folder: &Path| {
        config(folder, serde_json::json!("from the configuration"));
        std::fs::write(folder.join("chat_template.jinja"), "from the file").unwrap();
        let others = folder.join("additional_chat_templates");
        std::fs::create_dir(&others).unwrap();
        std::fs::write(others.join("default.jinja"), "from the other file").unwrap();
    };
    let folder = changed(with_map);
    assert_eq!(show(folder.path()).unwrap(), "from the other file");
    // `special_tokens_map.json` wins over all, unless a full list of tokens hides it.
    let map = |folder: &Path| {
        with_map(folder);
        std::fs::write(folder.join("special_tokens_map.json"), r#"{"chat_template": "map"}"#)
            .unwrap();
    };
    let folder = changed(map);
    assert_eq!(show(folder.path()).unwrap(), "map");
    let path = folder.path().join("tokenizer_config.json");
    std::fs::write(path, r#"{"added_tokens_decoder": {}}"#).unwrap();
    assert_eq!(show(folder.path()).unwrap(), "from the other file");
}
