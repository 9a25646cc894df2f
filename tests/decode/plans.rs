//! `--plan`: names and files, beside `--mask`, in every command that decodes.

use kscope::cache::CacheSpec;
use kscope::element::Dtype;
use kscope::mask::files::{self, Contents, MaskFile, Origin, Split};
use kscope::mask::{CachePlan, ChannelMask, Shape, Window};
use kscope_testing::{kscope, root};
use serde_json::Value;

/// The demo model's axes.
const DEMO: Shape = Shape { layers: 5, kv_heads: 2, head_dim: 64 };

/// 300 tokens, so that the middle holds some with every window here.
fn ids() -> String {
    (0..300).map(|i| (i * 37 % 500).to_string()).collect::<Vec<_>>().join(",")
}

fn call(arguments: &[&str]) -> std::process::Output {
    kscope().args(arguments).output().unwrap()
}

/// The JSON object that a command prints for the demo model and a prompt of 300 tokens.
fn json(command: &str, arguments: &[&str]) -> Value {
    let ids = ids();
    let all = [&[command, "--token-ids", &ids, "--max-new", "24", "--json"], arguments].concat();
    let output = call(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The sentence of a command that is refused.
fn refusal(arguments: &[&str]) -> String {
    let output = call(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn demo_mask() -> String {
    root().join("masks/demo.safetensors").display().to_string()
}

/// Writes the mask that keeps what `keep` says.
fn write_mask(path: &std::path::Path, keep: impl FnMut(usize, usize, usize) -> bool) {
    let read = files::read(&root().join("masks/demo.safetensors"), &Split::of(DEMO)).unwrap();
    let Origin { model, fingerprint, .. } = read.origin().clone();
    let file = MaskFile {
        plan: CachePlan::of_mask(&ChannelMask::from_fn(DEMO, keep)),
        importance: None,
        sensitivity: None,
        target_sparsity: None,
        origin: Origin {
            model,
            fingerprint,
            window: Window::default(),
            align: 8,
            recipe: Value::Null,
        },
    };
    files::save(path, &Contents::Mask(file), false).unwrap();
}

#[test]
fn a_mask_is_a_plan_and_gives_the_same_either_way() {
    let mask = demo_mask();
    let [with_mask, with_plan] = ["--mask", "--plan"].map(|flag| json("run", &[flag, &mask]));
    for key in ["tokens", "logprobs", "kv_bytes", "kv_bytes_dense", "window", "bytes_share"] {
        assert_eq!(with_mask[key], with_plan[key], "{key}");
    }
    assert_eq!((&with_mask["mask"], &with_mask["plan"]), (&mask.as_str().into(), &Value::Null));
    assert_eq!((&with_plan["mask"], &with_plan["plan"]), (&Value::Null, &mask.as_str().into()));
    let histogram = &with_plan["k_bits_histogram"];
    let [none, all] = ["0", "16"].map(|bits| histogram[bits].as_u64().unwrap());
    assert!(none > 0 && all > 0 && none + all == DEMO.entries() as u64, "{histogram}");
}

#[test]
fn one_flag_refuses_the_other_and_one_plan_is_decoded() {
    let mask = demo_mask();
    let both = refusal(&["run", "--mask", &mask, "--plan", "k8v8", "--token-ids", "1"]);
    assert!(both.contains("--mask") && both.contains("--plan"), "{both}");
    let two = refusal(&["run", "--plan", "k8v8", "--plan", "k4v4", "--token-ids", "1"]);
    assert!(two.contains("one plan is decoded, not 2"), "{two}");
    let none = refusal(&["compare", "--token-ids", "1,2"]);
    assert!(none.contains("--plan NAME|FILE") && none.contains("--mask FILE"), "{none}");
    let unknown = refusal(&["run", "--plan", "k3v3", "--token-ids", "1"]);
    assert!(unknown.contains("--plan k3v3: there is no such file"), "{unknown}");
    for name in CachePlan::NAMES {
        assert!(unknown.contains(name.name), "{unknown} names {}", name.name);
    }
}

#[test]
fn a_name_wins_over_a_file_that_is_called_so_unless_a_path_is_given() {
    let folder = tempfile::tempdir().unwrap();
    write_mask(&folder.path().join("half.safetensors"), |_, _, channel| channel < 32);
    std::fs::rename(folder.path().join("half.safetensors"), folder.path().join("k8v8")).unwrap();
    let shown = |plan: &str| -> Value {
        let output = kscope()
            .current_dir(folder.path())
            .args(["run", "--token-ids", &ids(), "--max-new", "1", "--json", "--plan", plan])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let named = shown("k8v8");
    assert_eq!(named["k_bits_histogram"]["8"], DEMO.entries());
    assert_eq!(named["window"]["chunk"], 64);
    let file = shown("./k8v8");
    assert_eq!(file["k_bits_histogram"]["16"], DEMO.entries() / 2);
    assert_eq!(file["window"]["chunk"], 32, "a file carries its own window");
}

#[test]
fn every_named_plan_stores_the_bytes_that_the_specification_says() {
    for name in CachePlan::NAMES {
        let found = json("compare", &["--plan", name.name]);
        let plan = CachePlan::named(name.name, DEMO).unwrap();
        let share = plan.bytes_share(64);
        let spec = CacheSpec::planned(Window::CODED, Dtype::F16, plan).unwrap();
        let tokens = 300 + found["new_tokens"].as_u64().unwrap() as usize - 1;
        assert_eq!(found["kv_bytes"], spec.bytes_at(tokens).total(), "{}", name.name);
        let dense = CacheSpec::dense(DEMO, Window::CODED, Dtype::F16).unwrap();
        assert_eq!(found["kv_bytes_dense"], dense.bytes_at(tokens).total());
        assert!(found["kv_bytes"].as_u64() < found["kv_bytes_dense"].as_u64());
        assert_eq!(found["bytes_share"], share);
        let kld = &found["kld"];
        for key in ["mean", "stderr", "p50", "p99", "p999", "max"] {
            assert!(kld[key].as_f64().unwrap() >= 0.0, "{key}: {kld}");
        }
        assert!(kld["p99"].as_f64() <= kld["p999"].as_f64(), "{kld}");
    }
}

#[test]
fn a_plan_of_16_bits_loses_exactly_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.safetensors");
    write_mask(&path, |_, _, _| true);
    let found = json("compare", &["--plan", path.to_str().unwrap(), "--mode", "free"]);
    assert_eq!((&found["kld"]["max"], &found["top1_agreement"]), (&0.0.into(), &1.0.into()));
    assert_eq!(found["a"]["tokens"], found["b"]["tokens"]);
    assert_eq!(found["kv_bytes"], found["kv_bytes_dense"]);
    assert_eq!(found["bytes_share"], 1.0);
}

#[test]
fn flags_override_the_window_of_a_name() {
    let flags = ["--plan", "k4v4", "--sink", "8", "--recent", "32", "--chunk", "16"];
    let found = json("run", &flags);
    assert_eq!(found["window"], serde_json::json!({ "sink": 8, "recent": 32, "chunk": 16 }));
    // Scales of 16 tokens cost more: 4 + 32 / 16 bits of K, 4 + 1 of V.
    assert_eq!(found["bytes_share"], (6.0 + 5.0) / 32.0);
}

#[test]
fn the_model_s_bytes_and_the_inspector_take_plans_too() {
    let show = |plan: &[&str]| -> Value {
        let output =
            call(&[&["model", "show", "--model", "demo", "--ctx", "512", "--json"], plan].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let spec =
        CacheSpec::planned(Window::CODED, Dtype::F16, CachePlan::named("k8v4", DEMO).unwrap());
    let planned = show(&["--plan", "k8v4"]);
    assert_eq!(planned["kv_bytes_at_context_masked"], spec.unwrap().bytes_at(512).total());
    assert_eq!(planned["bytes_share"], (8.5 + 5.0) / 32.0);
    assert_eq!(planned["kv_bytes_per_middle_token"], 5 * 2 * 64 * 4 * 27 / 64);
    assert_eq!(show(&[])["bytes_share"], 1.0);

    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("session.jsonl");
    let record = record.to_str().unwrap();
    let inspected = |arguments: &[&str]| -> Value {
        let output = call(&[&["--plain", "--json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let ids = ids();
    let session = ["--token-ids", &ids, "--max-new", "8", "--plan", "k8v4", "--record", record];
    let live = inspected(&session);
    assert_eq!(live["mask"], "k8v4");
    // A recording keeps the plan: replayed, its bytes are those of the widths.
    let output = call(&["replay", record, "--plain", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&replayed["mask"], &replayed["kv_bytes"]), (&live["mask"], &live["kv_bytes"]));
    let events = std::fs::read_to_string(record).unwrap();
    assert!(events.contains(r#""v":"4444444444""#), "the widths of V are in the recording");
}
