//! `kscope plan`: the program's output, its refusals, one list of names, and its bytes against live
//! sequences.

mod live;

use std::path::Path;

use kscope_testing::{kscope, require};
use serde_json::{Value, json};

fn stdout(args: &[&str]) -> String {
    let output = kscope().env("LC_ALL", "C.UTF-8").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn plan(args: &[&str]) -> Value {
    let text = stdout(&[&["plan", "--json", "--as-of", "2026-11-29"], args].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
}

fn refusal(args: &[&str]) -> String {
    let output = kscope().args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?} printed a result all the same");
    String::from_utf8(output.stderr).unwrap()
}

const LLAMA: [&str; 2] = ["--model", "llama-3.1-8b"];

#[test]
fn rows_have_the_fields_that_others_read() {
    let report = plan(
        &[
            &LLAMA[..],
            &["--sparsity", "0.7", "--ctx", "4k,32k", "--batch", "1,64", "--gpu", "h100-sxm,l4"],
        ]
        .concat(),
    );
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    let fields = [
        "ctx",
        "batch",
        "gpu",
        "weights_bytes",
        "kv_bytes_dense",
        "kv_bytes",
        "fits_dense",
        "fits",
        "max_ctx_dense",
        "max_ctx",
        "max_batch_dense",
        "max_batch",
        "step_ms_dense",
        "step_ms",
        "label",
    ];
    for row in rows {
        for field in fields {
            assert!(row.get(field).is_some(), "{field} is not in {row}");
        }
        assert_eq!(row["label"], "estimated");
        assert!(row["fits"] == json!(true) || row["step_ms"].is_null());
    }
    assert_eq!(rows[1]["kv_bytes_dense"], 32_768 * 131_072_u64);
    let assumptions = report["assumptions"].as_array().unwrap();
    assert!(assumptions.len() > 10);
    assert!(assumptions.iter().all(|row| row["name"].is_string() && row["value"].is_number()));
    assert!(report["gpus"][0]["price"]["as_of"].is_string());
}

#[test]
fn assumptions_prices_and_weights_can_be_changed() {
    let base = [&LLAMA[..], &["--ctx", "32k", "--batch", "8", "--gpu", "h100-sxm"]].concat();
    let with = |more: &[&str]| plan(&[&base[..], more].concat())["rows"][0].clone();
    let (usual, changed) = (with(&[]), with(&["--assume", "reach=0.425,reach-pruned=0.5"]));
    let ms = |row: &Value| row["step_ms_dense"].as_f64().unwrap();
    assert!((ms(&changed) / ms(&usual) - 2.0).abs() < 1e-9);
    let usd = |row: &Value| row["usd_per_million_dense"].as_f64().unwrap();
    let dear = with(&["--price", "h100-sxm=7.00"]);
    assert!((usd(&dear) / usd(&usual) - 2.0).abs() < 1e-9);
    // A price of its own counts for a GPU, wherever it stands.
    for prices in ["7.00,h100-sxm=3.50", "H100-SXM=3.50,7.00"] {
        assert!((usd(&with(&["--price", prices])) / usd(&usual) - 1.0).abs() < 1e-9, "{prices}");
    }
    let capitals = ["--model", "Llama-3.1-8B", "--gpu", "H100-SXM", "--ctx", "32k", "--batch", "8"];
    assert_eq!(plan(&capitals)["rows"][0], usual);
    assert_eq!(with(&["--weights", "4GiB"])["weights_bytes"], 4_u64 << 30);
    assert_eq!(with(&["--weights", "0.016TB"])["weights_bytes"], 16_000_000_000_u64);
    assert!(with(&["--weight-bits", "4"])["max_batch"].as_u64() > usual["max_batch"].as_u64());
}

#[test]
fn contradictory_and_absurd_input_is_refused_with_the_reason() {
    for (args, part) in [
        (&["--ctx", "256k"][..], "more than the 131,072 tokens of llama-3.1-8b"),
        (&["--ctx", "0"], "expected tokens"),
        (&["--batch", "0"], "at least 1, not 0"),
        (&["--sparsity", "1.2"], "a sparsity is 0 to 1, not 1.2"),
        (&["--sparsity", "0.5", "--plan", "k8v8"], "cannot be used with"),
        (&["--plan", "k9v9"], "k9v9"),
        (&["--gpu", "h900"], "no GPU is called `h900`"),
        (&["--gpu", "l4,l4"], "l4 is given twice"),
        (&["--gpu", "missing.toml"], "missing.toml"),
        (&["--price", "free"], "expected US dollars an hour"),
        (&["--price", "l4=1.0"], "no GPU called `l4`"),
        (&["--assume", "reach=1.5"], "`reach` must be 0.05 to 1 share, not 1.5"),
        (&["--assume", "speed=1"], "no assumption is called `speed`"),
        (&["--load", "5, 8000"], "expected requests a day"),
        (&["--load", "5, 128k, 1k"], "longer than the model's context"),
        (&["--load", "5, 1k, 1k", "--integration-hours", "5"], "--hourly-rate"),
        (&["--measured", "missing.json"], "missing.json"),
        (&["--gpus-per-model", "3"], "cannot share the 8 KV heads"),
        (&["--weights", "heavy"], "expected a size"),
        (&["--weight-bits", "0"], "must be 0.5 to 64"),
        (&["--chunk", "0", "--plan", "k8v4"], "chunk is 0"),
        (&["--sink", "4"], "--sink says which tokens are pruned"),
        (&["--ctx", "4k,32k,4096"], "the context 4,096 is given twice"),
        (&["--ctx", "1e30"], "expected tokens"),
        (&["--batch", "16,16"], "the batch 16 is given twice"),
        (&["--batch", "-4"], "expected a number of sequences"),
        (&["--batch", "99999999999999999999"], "expected a number of sequences"),
        (&["--sparsity", "-0.5"], "a sparsity is 0 to 1, not -0.5"),
        (&["--sparsity", "NaN"], "a sparsity is 0 to 1, not NaN"),
        (&["--price", "-1"], "--price -1: expected US dollars"),
        (&["--price", "NaN"], "--price NaN: expected US dollars"),
        (&["--price", "1,2"], "the price of all GPUs is given twice"),
        (&["--price", "h100-sxm=1,h100-sxm=2"], "the price of h100-sxm is given twice"),
        (&["--assume", "reach=0.8,reach=0.9"], "--assume gives `reach` twice"),
        (&["--load", "-5, 1k, 1k"], "1 to 10^12 requests a day, not -5"),
        (&["--load", "inf, 1k, 1k"], "1 to 10^12 requests a day, not inf"),
        (&["--weights", "1KB"], "bits a weight: expected 0.5 to 64"),
        (&["--weights", "99999GB"], "bits a weight: expected 0.5 to 64"),
        (&["--as-of", "yesterday"], "a day such as"),
        (&["--json", "--html"], "cannot be used with"),
    ] {
        let sentence = refusal(&[&["plan"], &LLAMA[..], args].concat());
        assert!(sentence.contains(part), "{args:?}: {sentence}");
    }
    assert!(refusal(&["plan", "--model", "llama-9"]).contains("published shapes are"));
    assert!(refusal(&["plan"]).contains("--model"));
}

#[test]
fn a_mask_of_another_model_is_refused_and_a_fitting_one_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let mask = folder.path().join("mask.safetensors");
    let mask = mask.to_str().unwrap();
    stdout(&[
        "mask",
        "make",
        "--rule",
        "frequency",
        "--model",
        "qwen3-0.6b",
        "--sparsity",
        "0.5",
        mask,
    ]);
    assert!(
        refusal(&["plan", "--model", "llama-3.1-8b", "--mask", mask])
            .contains("expected a mask of shape")
    );
    let report = plan(&["--model", "qwen3-0.6b", "--mask", mask, "--ctx", "32k", "--batch", "1"]);
    let row = &report["rows"][0];
    // 144 of 32,768 tokens are whole; K halves.
    let share = row["kv_bytes"].as_f64().unwrap() / row["kv_bytes_dense"].as_f64().unwrap();
    assert!((share - 0.75).abs() < 0.003, "{share}");
}

#[test]
fn every_command_knows_the_same_names() {
    let listed = stdout(&["plan", "--models"]);
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 30, "{listed}");
    let folder = tempfile::tempdir().unwrap();
    let mut run = 0;
    for &name in &names {
        let report = plan(&["--model", name, "--ctx", "1k", "--batch", "1", "--gpu", "mi355x"]);
        // Random weights: as many of them as the plan counts, or a refusal by name.
        let show = ["model", "show", "--random-weights", name, "--json"];
        let shown: Value = serde_json::from_str(&stdout(&show)).unwrap();
        if shown["is_run"] == json!(false) {
            let sentence = refusal(&["run", "--random-weights", name, "--prompt", "x"]);
            assert!(sentence.contains(&format!("{name} can be planned with")), "{sentence}");
        } else {
            run += 1;
            assert_eq!(shown["parameters"], report["model"]["weights"]["parameters"], "{name}");
        }
        assert!(report["rows"][0]["kv_bytes_dense"].as_u64() > Some(0), "{name}");
        let shown: Value =
            serde_json::from_str(&stdout(&["model", "show", "--model", name, "--json"])).unwrap();
        assert!(shown["kv_bytes_per_token"].as_u64() > Some(0), "{name}");
        let mask = folder.path().join("mask.safetensors");
        let _ = std::fs::remove_file(&mask);
        let make = [
            "mask",
            "make",
            "--rule",
            "frequency",
            "--sparsity",
            "0.5",
            "--model",
            name,
            mask.to_str().unwrap(),
        ];
        if name.starts_with("deepseek") {
            assert!(refusal(&make).contains("multi-head latent attention"), "{name}");
        } else {
            stdout(&make);
        }
    }
    assert!(run >= 30, "{run} of {} can be run", names.len());
    // What can be planned with but not run says so by name, and what is neither lists the names.
    let sentence = refusal(&["run", "--random-weights", "gemma-3-4b", "--prompt", "x"]);
    assert!(sentence.contains("gemma-3-4b can be planned with"), "{sentence}");
    let sentence = refusal(&["run", "--random-weights", "gemma-9", "--prompt", "x"]);
    assert!(sentence.contains("llama-3.3-70b"), "{sentence}");
}

#[test]
fn a_config_alone_is_enough_and_files_beside_it_give_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("named <b>model");
    std::fs::create_dir(&at).unwrap();
    let config = json!({
        "model_type": "qwen3_moe", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 128, "vocab_size": 1000,
        "max_position_embeddings": 4096, "num_experts": 8, "num_experts_per_tok": 2,
        "moe_intermediate_size": 16, "rms_norm_eps": 1e-6,
    });
    let path = at.join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let of = |spec: &Path, more: &[&str]| {
        plan(&[&["--model", spec.to_str().unwrap(), "--ctx", "1k", "--batch", "3"], more].concat())
    };
    // 2 layers x 2 x 4 heads x 32 channels x 2 bytes.
    let report = of(&path, &[]);
    assert_eq!(report["rows"][0]["kv_bytes_dense"], 3 * 1024 * 1024);
    assert_eq!(report, of(&at, &[]), "a folder is its config.json");
    assert!(report["model"]["weights"]["origin"].as_str().unwrap().starts_with("16 bits"));
    assert_eq!(of(&path, &["--kv-dtype", "f32"])["rows"][0]["kv_bytes_dense"], 6 * 1024 * 1024);

    // One tensor of 10 x 10 f32 stands for the weights.
    let header = r#"{"w":{"dtype":"F32","shape":[10,10],"data_offsets":[0,400]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + 400, 0);
    std::fs::write(at.join("model.safetensors"), bytes).unwrap();
    let report = of(&path, &[]);
    assert_eq!(report["rows"][0]["weights_bytes"], 400);
    assert_eq!(report["model"]["weights"]["origin"], "the headers of its tensors");

    // Names from files do not become markup.
    let args = ["plan", "--model", at.to_str().unwrap(), "--ctx", "1k"];
    let html = stdout(&[&args[..], &["--html"]].concat());
    assert!(html.contains("named &lt;b&gt;model") && !html.contains("<b>model"));
    let md = stdout(&[&args[..], &["--md"]].concat());
    assert!(md.contains("named \\<b\\>model"), "{md}");
}

#[test]
fn the_page_needs_nothing_else_and_all_forms_say_the_same() {
    let args = [
        &["plan", "--as-of", "2026-11-29", "--sparsity", "0.7", "--load", "200000, 16k, 500"][..],
        &["--integration-hours", "80", "--hourly-rate", "120"],
        &LLAMA,
    ]
    .concat();
    let of = |form: &[&str]| stdout(&[&args[..], form].concat());
    let html = of(&["--html"]);
    for outside in ["http://", "https://", "<script", "<link", "src=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("prefers-color-scheme:dark") && html.contains("<svg"));
    for tag in ["table", "tr", "td", "th", "ul", "li", "h2", "p", "svg", "div"] {
        let count = |text: &str| html.matches(text).count();
        let opened = count(&format!("<{tag}>")) + count(&format!("<{tag} "));
        assert_eq!(opened, count(&format!("</{tag}>")), "{tag}");
    }
    let (text, md) = (of(&[]), of(&["--md"]));
    for words in
        ["What a plainer choice gives", "What fits h100-sxm", "Saving and payback", "2026-11-09"]
    {
        assert!(text.contains(words) && md.contains(words) && html.contains(words), "{words}");
    }
    for scenario in ["low", "mid", "high"] {
        assert!(text.contains(&format!("{scenario} on h100-sxm")), "{text}");
    }
    let table = md.lines().filter(|line| line.starts_with('|'));
    assert!(table.clone().count() > 30);
    assert!(table.clone().all(|line| line.ends_with('|')));
}

/// Every figure of the rows is in every form, in the same words.
#[test]
fn all_forms_have_every_figure_of_the_json() {
    let args = [
        &["plan", "--as-of", "2026-11-29", "--sparsity", "0.7", "--ctx", "4k,32k,128k"][..],
        &["--batch", "1,64", "--gpu", "h100-sxm,l4", "--load", "2000000, 16k, 500"],
        &["--integration-hours", "80", "--hourly-rate", "120"],
        &LLAMA,
    ]
    .concat();
    let of = |form: &[&str]| stdout(&[&args[..], form].concat());
    let report: Value = serde_json::from_str(&of(&["--json"])).unwrap();
    // Cells of the tables, row by row.
    let md: Vec<Vec<String>> = of(&["--md"])
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.replace('\\', ""))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    let html = of(&["--html"]);
    let html: Vec<Vec<String>> = html
        .split("<tr")
        .skip(1)
        .map(|row| {
            let cells = row.split("</td>").flat_map(|part| part.split("</th>"));
            let cell = |part: &str| part.rsplit('>').next().unwrap_or_default().to_owned();
            let cells: Vec<String> = cells.map(cell).collect();
            cells[..cells.len() - 1].to_vec()
        })
        .collect();
    let text: Vec<Vec<String>> = of(&[])
        .lines()
        .map(|line| line.trim().split("  ").map(|cell| cell.trim().to_owned()))
        .map(|cells| cells.filter(|cell| !cell.is_empty()).collect())
        .collect();
    let count = |value: &Value| kscope::numbers::count(value.as_u64().unwrap() as usize);
    let bytes = |value: &Value| kscope::numbers::bytes(value.as_u64().unwrap());
    let ms = |value: &Value| {
        value.as_f64().map_or_else(|| "does not fit".to_owned(), |ms| format!("{ms:.2}"))
    };
    let usd = |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), kscope::capacity::usd);
    let has = |row: &[String]| {
        for (form, rows) in [("md", &md), ("html", &html), ("text", &text)] {
            let is_there = |found: &Vec<String>| {
                let mut found = found.iter();
                row.iter().all(|cell| found.any(|other| other == cell))
            };
            assert!(rows.iter().any(is_there), "{form} has no row with {row:?}");
        }
    };
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    for row in rows {
        let at = [count(&row["ctx"]), count(&row["batch"])];
        has(&[&at[..], &[bytes(&row["kv_bytes_dense"]), bytes(&row["kv_bytes"])]].concat());
        let allocated =
            ["kv_allocated_bytes_dense", "kv_allocated_bytes"].map(|key| bytes(&row[key]));
        has(&[&at[..], &allocated].concat());
        let gpu = [row["gpu"].as_str().unwrap().to_owned(), "estimated".to_owned()];
        let steps = ["step_ms_dense", "step_ms"].map(|key| ms(&row[key]));
        let costs = ["usd_per_million_dense", "usd_per_million"].map(|key| usd(&row[key]));
        has(&[&gpu[..], &at, &steps, &costs].concat());
        // The limits stand at the edges of the table of what fits.
        let most = |key: &str| match row[key].as_u64() {
            Some(0) => "none".to_owned(),
            _ => count(&row[key]),
        };
        has(&[count(&row["ctx"]), most("max_batch_dense"), most("max_batch")]);
        has(&["longest context, dense".to_owned(), most("max_ctx_dense")]);
        has(&["longest context, stored".to_owned(), most("max_ctx")]);
    }
    for plain in report["plainer"].as_array().unwrap() {
        let name = plain["cache"].as_str().unwrap().to_owned();
        let figures =
            [bytes(&plain["kv_bytes"]), ms(&plain["step_ms"]), usd(&plain["usd_per_million"])];
        has(&[&[name, count(&plain["ctx"]), count(&plain["batch"])][..], &figures].concat());
    }
    for row in report["scenarios"].as_array().unwrap() {
        let name = row["name"].as_str().unwrap().to_owned();
        let gpus = ["gpus_dense", "gpus"].map(|key| count(&row[key]));
        has(&[&[name][..], &gpus, &[usd(&row["saving_per_month"])]].concat());
    }
}

#[test]
fn old_prices_are_called_old() {
    let on =
        |day: &str| stdout(&["plan", "--model", "llama-3.1-8b", "--gpu", "l40s", "--as-of", day]);
    assert!(on("2026-11-29").contains("243 days before this plan"));
    assert!(!on("2026-04-15").contains("days before this plan"));
    assert!(on("2026-01-01").contains("this plan of 2026-01-01 is older than the price"));
}

#[test]
fn the_authors_own_file_gives_their_own_sizes() {
    if !require("published-masks") {
        return;
    }
    let mask = kscope_testing::needs::published_mask().unwrap();
    let window =
        ["--sink", "6", "--recent", "250", "--chunk", "128", "--ctx", "4223", "--batch", "52"];
    let report = plan(&[&LLAMA[..], &["--mask", mask.to_str().unwrap()], &window].concat());
    let gib = |key: &str| report["rows"][0][key].as_f64().unwrap() / f64::from(1 << 30);
    assert!((gib("kv_bytes_dense") - 26.8).abs() < 0.05, "{}", gib("kv_bytes_dense"));
    assert!((gib("kv_bytes") - 16.2).abs() < 0.05, "{}", gib("kv_bytes"));
}
