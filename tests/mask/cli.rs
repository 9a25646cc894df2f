//! `kscope mask` on the command line.

use std::path::Path;

use kscope_testing::kscope;
use serde_json::Value;

pub(super) fn kscope_in(folder: &Path, args: &[&str]) -> std::process::Output {
    let mut command = kscope();
    command
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .env("COLORTERM", "truecolor");
    command.env("LC_ALL", "C.UTF-8").args(args);
    // These tests write one file again and again; the refusal has a test of its own.
    if matches!(args, ["mask", "make" | "import" | "export", ..]) {
        command.arg("--force");
    }
    command.output().unwrap()
}

pub(super) fn stdout(folder: &Path, args: &[&str]) -> String {
    let output = kscope_in(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn json(folder: &Path, args: &[&str]) -> Value {
    let text = stdout(folder, &[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
}

/// The error message of a refused command.
pub(super) fn refusal(folder: &Path, args: &[&str]) -> String {
    let output = kscope_in(folder, args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?} printed a result all the same");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with the configuration of a small model and a foreign mask and importance of its shape.
pub(super) fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny-llama");
    std::fs::create_dir(&model).unwrap();
    let config = r#"{"model_type": "llama", "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
                     "hidden_size": 32, "intermediate_size": 64, "vocab_size": 96, "max_position_embeddings": 512,
                     "rope_theta": 10000.0}"#;
    std::fs::write(model.join("config.json"), config).unwrap();
    for name in ["mask-f32.pth", "alpha.tsv", "alpha-f4.npy"] {
        std::fs::copy(super::vector(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn the_published_mask_is_imported_and_shown() {
    let Some(published) = super::published_mask() else { return };
    let folder = tempfile::tempdir().unwrap();
    let published = std::fs::canonicalize(published).unwrap();
    stdout(folder.path(), &["mask", "import", published.to_str().unwrap(), "l.safetensors"]);
    let shown = json(folder.path(), &["mask", "show", "l.safetensors"]);
    for (key, expected) in [
        ("layers", 32.0),
        ("kv_heads", 8.0),
        ("head_dim", 128.0),
        ("kept_ratio", 0.3125),
        ("k_saving", 0.6875),
        ("v_saving", 0.18359375),
        ("dropped_heads", 47.0),
        ("bytes_per_middle_token", 73984.0),
        ("dense_bytes_per_token", 131_072.0),
    ] {
        assert_eq!(shown[key].as_f64(), Some(expected), "{key}");
    }
    assert_eq!(
        shown["kept_histogram"],
        serde_json::json!({"0": 47, "32": 120, "64": 67, "96": 22})
    );
    let near = json(folder.path(), &["mask", "show", "l.safetensors", "--ctx", "32k"]);
    assert!((near["kv_saving"].as_f64().unwrap() - (1.0 - 0.576)).abs() < 0.0005);
    let wide = json(folder.path(), &["mask", "show", "l.safetensors", "--kv-dtype", "f32"]);
    assert_eq!(wide["bytes_per_middle_token"], 2 * 73984);
}

#[test]
fn a_mask_goes_through_every_format_and_comes_back_the_same() {
    let folder = workplace();
    let at = folder.path();
    let first =
        json(at, &["mask", "import", "mask-f32.pth", "a.safetensors", "--model", "tiny-llama"]);
    assert_eq!(
        (first["kind"].as_str(), first["model"].as_str()),
        (Some("mask"), Some("tiny-llama"))
    );
    for file in ["b.pth", "b.npy", "b.tsv", "b.safetensors"] {
        json(at, &["mask", "export", "a.safetensors", file]);
        let shown = json(at, &["mask", "show", file, "--kv-heads", "2"]);
        assert_eq!(shown["sha256"], first["sha256"], "{file}");
    }
    let diff = json(at, &["mask", "diff", "a.safetensors", "b.npy"]);
    assert_eq!(
        (diff["whole"]["jaccard"].as_f64(), diff["layers"].as_array().map(Vec::len)),
        (Some(1.0), Some(3))
    );
    assert!(
        stdout(at, &["mask", "diff", "a.safetensors", "b.npy"]).contains("agreement  100.00 %")
    );
}

#[test]
fn a_binding_is_checked() {
    let folder = workplace();
    let at = folder.path();
    json(at, &["mask", "import", "mask-f32.pth", "free.safetensors"]);
    json(
        at,
        &[
            "mask",
            "import",
            "mask-f32.pth",
            "bound.safetensors",
            "--model",
            "tiny-llama/config.json",
        ],
    );
    let valid = json(at, &["mask", "validate", "bound.safetensors", "--model", "tiny-llama"]);
    assert_eq!((valid["valid"].as_bool(), valid["bound"].as_bool()), (Some(true), Some(true)));
    let free = json(at, &["mask", "validate", "free.safetensors", "--model", "tiny-llama"]);
    assert_eq!(free["bound"], false);
    assert!(
        stdout(at, &["mask", "validate", "free.safetensors", "--model", "tiny-llama"])
            .contains("warning: free.safetensors")
    );

    let config = std::fs::read_to_string(at.join("tiny-llama/config.json")).unwrap();
    std::fs::create_dir(at.join("other")).unwrap();
    std::fs::write(at.join("other/config.json"), config.replace("10000.0", "500000.0")).unwrap();
    let refused = refusal(at, &["mask", "validate", "bound.safetensors", "--model", "other"]);
    assert!(refused.contains("expected a mask for the model with fingerprint"), "{refused}");
    let refused =
        refusal(at, &["mask", "import", "bound.safetensors", "x.safetensors", "--model", "other"]);
    assert!(refused.contains("bound to tiny-llama"), "{refused}");
    std::fs::write(
        at.join("other/config.json"),
        config.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"),
    )
    .unwrap();
    let refused = refusal(at, &["mask", "validate", "free.safetensors", "--model", "other"]);
    assert!(
        refused.contains(
            "expected a mask of shape [4 layers, 2 KV heads, 8 channels], found [3 layers"
        ),
        "{refused}"
    );
}

#[test]
fn refusals_are_one_sentence() {
    let folder = workplace();
    let at = folder.path();
    std::fs::write(at.join("broken.json"), "{").unwrap();
    let make = ["mask", "make", "--sparsity", "0.5"];
    let cases: &[(&[&str], &str)] = &[
        (&["mask", "show", "none.pth"], "reading none.pth"),
        (&["mask", "show", "alpha-f4.npy"], "expected a mask, found importance alone"),
        (&["mask", "show", "alpha.tsv"], "expected --kv-heads or --head-dim"),
        (
            &["mask", "import", "mask-f32.pth", "out.npy"],
            "expected a kscope file, which ends in .safetensors",
        ),
        (&["mask", "export", "mask-f32.pth", "out.csv"], "expected a name that ends in"),
        (
            &["mask", "export", "--importance", "mask-f32.pth", "out.npy"],
            "mask-f32.pth: this mask file holds no importance",
        ),
        (
            &["mask", "validate", "mask-f32.pth", "--model", "broken.json"],
            "broken.json: expected a model's configuration",
        ),
        (
            &[&make[..], &["--rule", "random", "o.safetensors"]].concat(),
            "expected --model, --random-weights or --counts-of",
        ),
        (
            &[&make[..], &["--importance", "mask-f32.pth", "o.safetensors"]].concat(),
            "expected importance, found a mask alone",
        ),
        (
            &[&make[..], &["--importance", "alpha-f4.npy", "--lock", "0", "o.safetensors"]]
                .concat(),
            "--lock without a number",
        ),
        (
            &[&make[..], &["--importance", "alpha-f4.npy", "--align", "5", "o.safetensors"]]
                .concat(),
            "alignment 5",
        ),
    ];
    for (args, expected) in cases {
        let sentence = refusal(at, args);
        assert!(
            sentence.starts_with("kscope: ") && sentence.contains(expected),
            "{args:?}: {sentence}"
        );
        assert_eq!(sentence.trim_end().lines().count(), 1, "{sentence}");
    }
    assert!(!at.join("o.safetensors").exists(), "a refused command writes nothing");
}

#[test]
fn a_press_that_was_changed_is_not_replaced() {
    let folder = workplace();
    let at = folder.path();
    let export = ["mask", "export", "mask-f32.pth", "--kvpress", "press", "--kv-heads", "2"];
    stdout(at, &export);
    // The same once more, perhaps with another mask; it replaces the mask only where that is asked
    // for.
    let plain = kscope().current_dir(at).args(export).output().unwrap();
    let sentence = String::from_utf8(plain.stderr).unwrap();
    let asks = "press/mask.safetensors: expected a name that is free, found a file: --force";
    assert!(plain.status.code() == Some(2) && sentence.contains(asks), "{sentence}");
    stdout(at, &export);
    let press = at.join("press/kscope_press.py");
    let own = std::fs::read_to_string(&press).unwrap() + "# mine\n";
    std::fs::write(&press, &own).unwrap();
    let mask = std::fs::read(at.join("press/mask.safetensors")).unwrap();
    let sentence = refusal(at, &export);
    assert!(
        sentence.contains("press/kscope_press.py: expected no file or the press"),
        "{sentence}"
    );
    assert_eq!(std::fs::read_to_string(&press).unwrap(), own);
    assert_eq!(std::fs::read(at.join("press/mask.safetensors")).unwrap(), mask);
    let sentence = refusal(at, &["mask", "export", "mask-f32.pth", "none/out.npy"]);
    assert!(
        sentence.contains("writing none/out.npy: expected a folder none, found none"),
        "{sentence}"
    );
}

#[test]
fn a_mask_is_made_for_what_random_weights_makes_of_a_shape() {
    let folder = workplace();
    let at = folder.path();
    let make = ["mask", "make", "--rule", "frequency", "--sparsity", "0.5"];
    let shape = ["--random-weights", "llama-3.1-8b"];
    let made = |more: &[&str], out: &str| {
        stdout(at, &[&make[..], &shape, more, &["--json", out]].concat())
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let whole = json(&made(&[], "whole.safetensors"));
    let two = json(&made(&["--layers", "2"], "two.safetensors"));
    assert_eq!((&whole["layers"], &two["layers"]), (&32.into(), &2.into()));
    assert_eq!(two["model"], "llama-3.1-8b of 2 layers (random weights)");
    // The same sizes by its name, so the same fingerprint.
    let named = [&make[..], &["--model", "llama-3.1-8b", "--json", "named.safetensors"]].concat();
    assert_eq!(json(&stdout(at, &named))["model_fingerprint"], whole["model_fingerprint"]);
    // A plan by name needs sizes as well.
    let plan = [&["mask", "make", "--plan", "k8v4"][..], &shape, &["--layers", "2"]].concat();
    stdout(at, &[&plan[..], &["plan.safetensors"]].concat());
    let sentence = refusal(at, &["mask", "make", "--plan", "k8v4", "none.safetensors"]);
    assert!(sentence.contains("expected --model or --random-weights, found neither"), "{sentence}");
    let both = [&make[..], &shape, &["--model", "demo", "none.safetensors"]].concat();
    assert!(refusal(at, &both).contains("--random-weights"));
}

#[test]
fn the_map_has_colours_only_where_they_belong() {
    let folder = workplace();
    let at = folder.path();
    let piped = stdout(at, &["mask", "show", "mask-f32.pth"]);
    assert!(!piped.contains('\x1b'), "not a terminal");
    assert!(piped.contains("×"), "the dropped heads of layer 1 have their mark");
    let colour = stdout(at, &["mask", "show", "mask-f32.pth", "--color", "always"]);
    assert!(colour.contains("\x1b[0;38;2;") && colour.contains('▀'));
    assert!(colour.trim_end().ends_with(|last: char| last != '\x1b'));
    let ascii = stdout(at, &["mask", "show", "mask-f32.pth", "--ascii"]);
    assert!(ascii.is_ascii(), "{ascii}");
    assert!(!ascii.contains('?'), "every glyph has a substitute:\n{ascii}");
    let far = stdout(at, &["mask", "show", "mask-f32.pth", "--ctx", "128k"]);
    assert!(far.contains("at 131,072 tokens") && far.contains("11.1 MiB"), "{far}");
    insta::assert_snapshot!("ascii", ascii);
    insta::assert_snapshot!("unicode", piped);
}

#[test]
fn shipped_masks_say_how_they_were_made() {
    let masks = kscope_testing::root().join("masks");
    let shown = |name: &str| stdout(&masks, &["mask", "show", name]);
    assert!(shown("smollm2-135m-0.7.safetensors").contains("learned by an older recipe"));
    assert!(shown("smollm2-135m-61.safetensors").contains("made by sensitivity"));
    let json = stdout(&masks, &["mask", "show", "--json", "smollm2-135m-bytes-28.safetensors"]);
    assert!(json.contains("\"made_by\": \"made by sensitivity\""), "{json}");
}

#[test]
fn a_window_of_thousands_has_separators() {
    let folder = workplace();
    let run = |args: &str| stdout(folder.path(), &args.split(' ').collect::<Vec<_>>());
    run("mask import alpha.tsv i.safetensors --kv-heads 2 --model tiny-llama");
    let made = run("mask make --importance i.safetensors --sparsity 0.5 --align 2 --sink 1024 \
                    --recent 2048 --chunk 1024 m.safetensors");
    assert!(made.contains("sink 1,024 (") && made.contains("recent 2,048 ("), "{made}");
    let shown = run("mask show m.safetensors --ctx 9,000");
    assert!(shown.contains("sink 1,024 · recent 2,048 · chunk 1,024 ·"), "{shown}");
    assert!(shown.contains("at 9,000 tokens") && shown.contains("cache at 9,000"), "{shown}");
}
