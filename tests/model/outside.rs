//! Files that are no files, and output that nobody takes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use assert_cmd::Command;
use kscope_testing::models::*;
use kscope_testing::{kscope, root};

use crate::edits::*;

/// A pipe without anybody at the other end.
fn pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A command that is stopped where it waits for ever.
fn soon(arguments: &[&str]) -> Command {
    let mut command = kscope();
    command.args(arguments).timeout(Duration::from_secs(60));
    command
}

#[test]
fn a_pipe_in_place_of_a_file_of_a_model_is_refused_and_not_waited_for() {
    let files = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
    ];
    for name in files {
        let folder = changed(|folder| pipe(&folder.join(name)));
        let model = folder.path().to_str().unwrap();
        refuses(
            &mut soon(&["run", "--prompt", "a", "--max-new", "1", "--model", model]),
            &[name, "expected a file with", "found a pipe"],
        );
    }
    let folder = tiny_folder("qwen3");
    pipe(&folder.path().join("model.safetensors.index.json"));
    let model = folder.path().to_str().unwrap();
    let run = ["run", "--token-ids", "1,5", "--max-new", "1", "--model", model];
    refuses(&mut soon(&run), &["model.safetensors.index.json", "found a pipe"]);
    let gguf = folder.path().join("model.gguf");
    pipe(&gguf);
    let gguf = gguf.to_str().unwrap();
    refuses(&mut soon(&["model", "show", "-m", gguf]), &["model.gguf", "found a pipe"]);
    refuses(
        &mut soon(&["run", "--token-ids", "1", "--random-weights", gguf]),
        &["model.gguf", "found a pipe"],
    );
}

#[test]
fn what_is_no_file_is_refused_wherever_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    pipe(Path::new(&path("pipe")));
    let _listener = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let out = path("out.safetensors");
    let mask = root().join("masks/demo.safetensors").to_str().unwrap().to_owned();
    for (what, found) in [
        (path("pipe"), "found a pipe"),
        (path("socket"), "found a socket"),
        (path("folder"), "found a folder"),
        ("/dev/zero".to_owned(), "found a device"),
    ] {
        let what = &what[..];
        for arguments in [
            &["run", "--max-new", "1", "--prompt-file", what][..],
            &["run", "--max-new", "1", "--prompt", "a", "--mask", what],
            &["compare", "--max-new", "2", "--mask", &mask, "--prompt-file", what],
            &["mask", "show", what],
            &["mask", "validate", "--model", "demo", what],
            &["score", "--rule", "key-norm", "--text", what, "--out", &out],
            &["learn", "--out", &out, "--haystack", what],
            &["replay", what],
        ] {
            let mut command = soon(arguments);
            let output = command.output().unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
            // A learning takes folders of texts.
            let found = match (arguments[0], found) {
                ("learn", "found a folder") => "found none in it",
                _ => found,
            };
            assert!(err.contains(what) && err.contains(found), "{arguments:?}: {err}");
        }
    }
    let home = folder.path().join("kscope");
    std::fs::create_dir(&home).unwrap();
    pipe(&home.join("config.toml"));
    let mut inspect = soon(&["--max-new", "1"]);
    inspect.env("XDG_CONFIG_HOME", folder.path());
    refuses(&mut inspect, &["config.toml", "found a pipe"]);
}

#[test]
fn a_byte_order_mark_before_json_is_named() {
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    {
        let folder = changed(|folder| {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
            std::fs::write(path, format!("\u{feff}{text}")).unwrap();
        });
        refuses_model(folder.path(), &[name, "byte order mark"]);
    }
}

#[test]
fn ids_beyond_the_vocabulary_are_named_and_not_taken() {
    let warnings = |file: &str, keys: &str| {
        let folder = changed(|folder| match file {
            "config.json" => edit_config(folder, "\"eos_token_id\": 2", keys),
            _ => std::fs::write(folder.join(file), format!("{{{keys}}}")).unwrap(),
        });
        let opened = open(folder.path());
        (opened.config.eos, opened.config.bos, opened.warnings.join("\n"))
    };
    let usual = open(tiny_folder("llama").path()).config.eos;
    for file in ["config.json", "generation_config.json"] {
        let (eos, _, said) = warnings(file, "\"eos_token_id\": [2, 96, 9999]");
        assert_eq!(eos, usual, "{file}");
        assert!(said.contains(file) && said.contains("`eos_token_id` has 96"), "{said}");
        let (_, _, said) = warnings(file, "\"eos_token_id\": 95");
        assert!(!said.contains("eos_token_id"), "the last one is in it: {said}");
    }
    let folder =
        changed(|folder| edit_config(folder, "\"bos_token_id\": 1", "\"bos_token_id\": 96"));
    let opened = open(folder.path());
    assert_eq!(opened.config.bos, None);
    assert!(opened.warnings.join("\n").contains("`bos_token_id` has 96"), "{:?}", opened.warnings);
    for key in ["bos_token_id", "pad_token_id"] {
        let (_, _, said) = warnings("generation_config.json", &format!("\"{key}\": 96"));
        assert!(said.contains(&format!("`{key}` has 96")), "{said}");
        let folder = changed(|folder| {
            let text = format!("{{\"{key}\": \"x\"}}");
            std::fs::write(folder.join("generation_config.json"), text).unwrap();
        });
        refuses_model(folder.path(), &["generation_config.json", key, "token id"]);
    }
    // transformers counts a padding token below zero from the end.
    for (pad, is_row) in [("95", true), ("96", false), ("-1", true), ("-96", true), ("-97", false)]
    {
        let keys = format!("\"eos_token_id\": 2, \"pad_token_id\": {pad}");
        let folder = changed(|folder| edit_config(folder, "\"eos_token_id\": 2", &keys));
        match is_row {
            true => assert!(open(folder.path()).warnings.is_empty(), "{pad}"),
            false => refuses_model(folder.path(), &["config.json", "`pad_token_id`", pad, "96"]),
        }
    }
}

#[test]
fn a_context_of_a_thousand_million_tokens_takes_no_memory_until_it_is_used() {
    let folder = changed(|folder| {
        let (from, to) =
            ("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 1000000000");
        edit_config(folder, from, to);
    });
    let model = folder.path().to_str().unwrap();
    let output =
        soon(&["run", "--token-ids", "1,5,6", "--max-new", "2", "-m", model]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(target_os = "linux")]
#[test]
fn output_to_a_full_device_is_an_error_whatever_is_printed() {
    let mask = root().join("masks/demo.safetensors").to_str().unwrap().to_owned();
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["run", "--help"],
        &["mask", "show", "--help"],
        &["completions", "bash"],
        &["man"],
        &["model", "show", "-m", "demo"],
        &["mask", "show", &mask],
        &["run", "-m", "demo", "--prompt", "a", "--max-new", "2"],
        &["run", "-m", "demo", "--prompt", "a", "--max-new", "2", "--json"],
        &["--max-new", "2"],
    ] {
        let program = assert_cmd::cargo::cargo_bin("kscope");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(program);
        let output = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(err.contains("writing to standard output"), "{arguments:?}: {err}");
    }
}
