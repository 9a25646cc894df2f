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
fn a_file_times_a_name_keeps_the_files_channels_at_the_names_widths() {
    let mask = demo_mask();
    let read = files::read(&root().join("masks/demo.safetensors"), &Split::of(DEMO)).unwrap();
    let read = read.into_mask("demo").unwrap();
    let plan = CachePlan::named("k8v4", DEMO).unwrap().within(read.mask()).unwrap();
    let text = format!("{mask}*k8v4");
    let run = json("run", &["--plan", &text]);
    assert_eq!(run["plan"], text);
    assert_eq!(run["bytes_share"], plan.bytes_share(64));
    assert_eq!(run["window"]["chunk"], 64);
    let spec =
        CacheSpec::planned(Window { chunk: 64, ..read.origin.window }, Dtype::F16, plan).unwrap();
    let tokens = 300 + run["tokens"].as_array().unwrap().len() - 1;
    assert_eq!(run["kv_bytes"], spec.bytes_at(tokens).total());
    for (wrong, sentence) in [
        (format!("{mask}*q8_0"), "hold whole keys"),
        (format!("{mask}*k3v3"), "no plan has the name k3v3"),
        ("no-such-file*k8v4".to_owned(), "reading no-such-file"),
    ] {
        let refused = refusal(&["run", "--token-ids", &ids(), "--plan", &wrong]);
        assert!(refused.contains(&format!("--plan {wrong}")), "{refused}");
        assert!(refused.contains(sentence), "{refused}");
    }
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

#[test]
fn compare_says_what_plain_caches_cost_and_lose() {
    let found = json("compare", &["--mask", &demo_mask()]);
    let beside = &found["beside"];
    let names: Vec<&str> = beside["plain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cost| cost["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["k8v8", "q8_0", "k4v4", "q4_0"]);
    assert_eq!(beside["steps"], found["compared_steps"]);
    // The same steps, once decoded and once replayed.
    let [decoded, replayed] = [&found["kld"]["mean"], &beside["plan"]["kld_mean"]];
    assert!((decoded.as_f64().unwrap() - replayed.as_f64().unwrap()).abs() < 1e-6, "{beside}");
    assert_eq!(beside["plan"]["kv_bytes"], found["kv_bytes"]);
    for cost in beside["plain"].as_array().unwrap() {
        // The mask's own window: groups of 32 tokens.
        let plan = CachePlan::named(cost["name"].as_str().unwrap(), DEMO).unwrap();
        let spec = CacheSpec::planned(Window::default(), Dtype::F16, plan).unwrap();
        let tokens = cost["tokens"].as_u64().unwrap() as usize;
        assert_eq!(cost["kv_bytes"], spec.bytes_at(tokens).total());
    }
    let reason = beside["reason"].as_str().unwrap();
    assert!(["not enough evidence", "do not ship"].contains(&beside["verdict"].as_str().unwrap()));
    assert!(reason.contains("plain caches: k8v8 "), "{reason}");
    assert_eq!(json("compare", &["--plan", "k8v8", "--no-rivals"])["beside"], Value::Null);
}

/// `kscope sweep` over windows of generated sentences.
fn sweep(arguments: &[&str]) -> std::process::Output {
    let fixed = "sweep --text sentences --windows 3 --window-tokens 260 --rows 24 --kv-dtype f32";
    let fixed: Vec<&str> = fixed.split(' ').collect();
    let output = call(&[&fixed, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_sweep_measures_plans_over_windows_of_a_text_in_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let (all, mask) = (folder.path().join("all.safetensors"), demo_mask());
    write_mask(&all, |_, _, _| true);
    let all = all.to_str().unwrap();
    let object = |arguments: &[&str]| -> Value {
        serde_json::from_slice(&sweep(&[arguments, &["--json"]].concat()).stdout).unwrap()
    };
    let recall = ["--recall", "1", "--recall-tokens", "260"];
    let plans = ["--plan", &mask, "--plan", all, "--plan", "k8v8", "--against", all];
    let found = object(&[&plans[..], &recall].concat());
    assert_eq!(
        (&found["windows"], &found["steps_per_window"], &found["against"]),
        (&3.into(), &23.into(), &"all".into())
    );
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let (pruned, full, coded) = (&rows[0], &rows[1], &rows[2]);

    assert_eq!((&full["kld"]["max"], &full["top1_agreement"]), (&0.0.into(), &1.0.into()));
    assert_eq!((&full["recall"]["lost"], &full["recall"]["won"]), (&0.into(), &0.into()));
    assert_eq!(
        (&full["recall"]["right"], &full["recall"]["asked"]),
        (&found["dense_recall"], &7.into())
    );
    assert_eq!(full["kv_bytes"], found["kv_bytes_dense"]);
    let plan = CachePlan::named("k8v8", DEMO).unwrap();
    let spec = CacheSpec::planned(Window::CODED, Dtype::F32, plan).unwrap();
    // The last token of a window is never fed.
    assert_eq!(coded["kv_bytes"], spec.bytes_at(259).total() as f64);

    // The mean over all steps is that of the windows, and the error is over windows.
    let means: Vec<f64> = pruned["window_kld"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mean| mean.as_f64().unwrap())
        .collect();
    let spread = kscope::spread::Spread::of(means.iter().copied());
    assert!(spread.mean > 0.0 && means.len() == 3);
    assert!((pruned["kld"]["mean"].as_f64().unwrap() - spread.mean).abs() < 1e-12);
    assert_eq!(pruned["kld"]["stderr"], spread.stderr);
    assert_eq!((&pruned["paired"]["lost"], &pruned["paired"]["won"]), (&3.into(), &0.into()));
    assert_eq!(full["paired"]["times_less"], Value::Null);

    // A plain cache is what others are judged beside. Seven answers say nothing even for a cache that
    // loses nothing.
    let said = "not enough evidence";
    assert_eq!((&coded["verdict"], &full["verdict"]["verdict"]), (&Value::Null, &said.into()));
    for row in [pruned, full] {
        let reason = row["verdict"]["reason"].as_str().unwrap();
        assert!(reason.contains("lost") && reason.contains("plain caches: k8v8"), "{reason}");
    }

    // What a plan loses does not depend on what is in its batch.
    let alone = object(&["--plan", &mask]);
    assert_eq!(alone["rows"][0]["verdict"], Value::Null, "there is nothing plain beside it");
    let alone = alone["rows"][0]["window_kld"].as_array().unwrap().clone();
    for (alone, beside) in alone.iter().zip(&means) {
        let alone = alone.as_f64().unwrap();
        assert!((alone - beside).abs() < 1e-9, "{alone} alone, {beside} beside others");
    }

    let table = String::from_utf8(sweep(&["--plan", &mask, "--plan", "k8v8", "--markdown"]).stdout);
    let table = table.unwrap();
    assert_eq!(table.lines().filter(|line| line.starts_with('|')).count(), 2 + 2, "{table}");
    assert!(table.contains("3 of sentences") && table.contains("| k8v8 |"), "{table}");
}

#[test]
fn a_sweep_over_a_prompt_takes_plans_beside_the_masks_of_an_importance() {
    let (mask, ids) = (demo_mask(), ids());
    let arguments = "sweep --steps 8 --plan k8v4 --sparsity 0,0.5 --json --token-ids"
        .split(' ')
        .collect::<Vec<_>>();
    let output = call(&[&arguments[..], &[&ids, "--importance", &mask]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["plan"], &rows[0]["sparsity_target"], &rows[0]["window"]["chunk"]),
        (&"k8v4".into(), &Value::Null, &64.into())
    );
    // The demo's importance is 0 for nine channels of ten, so that no sparsity keeps them.
    for (row, sparsity) in rows[1..].iter().zip([0.0, 0.5]) {
        assert_eq!((&row["sparsity_target"], &row["align"]), (&sparsity.into(), &8.into()));
        assert!(row["kld"]["mean"].as_f64().unwrap() > 0.0, "{row}");
    }
    // Every row was timed in turn with dense steps of its own.
    for row in rows {
        let [median, low, high] =
            ["median", "low", "high"].map(|key| row["time_of_dense"][key].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high, "{row}");
        assert!(row["tpot_ms"].as_f64() > Some(0.0) && row["dense_tpot_ms"].as_f64() > Some(0.0));
    }
}

#[test]
fn a_sweep_over_a_prompt_shows_times_beside_dense_in_its_tables() {
    let ids = ids();
    let table = |steps: &str, more: &[&str]| {
        let arguments = ["sweep", "--plan", "k8v4", "--steps", steps, "--token-ids", &ids];
        let output = call(&[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = table("8", &[]);
    assert!(plain.contains("× dense") && plain.contains("KLD max"), "{plain}");
    let row = plain.lines().find(|line| line.starts_with("k8v4")).expect("a row");
    assert!(row.contains('±'), "{row}");
    let markdown = table("8", &["--markdown"]);
    assert_eq!(markdown.lines().filter(|line| line.starts_with('|')).count(), 3, "{markdown}");
    assert!(markdown.contains("| × dense |") && markdown.contains("95 % interval"), "{markdown}");
    // An interval of too few steps would say nothing.
    let few = table("5", &[]);
    assert!(few.contains("× dense needs 6 steps or more") && !few.contains('≈'), "{few}");
    let few: Value = serde_json::from_str(&table("5", &["--json"])).unwrap();
    assert_eq!(few["rows"][0]["time_of_dense"], Value::Null);
}

#[test]
fn a_sweep_that_cannot_be_measured_is_refused_with_the_reason() {
    for (arguments, sentence) in [
        ("sweep --text sentences", "give it --plan NAME|FILE"),
        ("sweep --plan k8v8 --text sentences --rows 1", "--rows from 2"),
        ("sweep --plan k8v8 --text sentences --against k4v4", "--against k4v4: the plans are k8v8"),
        ("sweep --plan k8v8 --text sentences --windows 1000", "need more text than"),
        ("sweep --plan k8v8 --text sentences --window-tokens 1m", "the model's context"),
        ("sweep --plan k8v8 --text no-such-file", "no-such-file"),
        ("sweep --plan k8v8 --windows 3", "--text"),
    ] {
        let found = refusal(&arguments.split(' ').collect::<Vec<_>>());
        assert!(found.contains(sentence), "{arguments}: {found}");
    }
}

#[test]
fn decode_is_timed_for_every_plan() {
    let arguments = "bench decode --model demo --depth 300 --steps 2 --bench-threads 1 --plan k8v8 --plan k4v4 --json";
    let output = call(&arguments.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = found["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["plan"].as_str().unwrap()).collect();
    assert_eq!(names, ["dense", "mask, 70.3 % pruned", "k8v8", "k4v4"]);
    for row in rows {
        let ratio = rows[0]["kv_bytes"].as_f64().unwrap() / row["kv_bytes"].as_f64().unwrap();
        assert!((row["byte_ratio"].as_f64().unwrap() - ratio).abs() < 1e-9, "{row}");
    }
    assert!(rows[3]["byte_ratio"].as_f64() > rows[2]["byte_ratio"].as_f64());
    assert_eq!(rows[2]["bytes_share"], (8.5 + 9.0) / 32.0);
}

/// It once printed A's text twice and "no token differs", beside 94.9 % of the same top tokens.
#[test]
fn a_forced_comparison_has_its_text_once_and_says_where_b_would_choose_otherwise() {
    let ids = ids();
    let mask = demo_mask();
    let arguments =
        ["compare", "--token-ids", &ids, "--max-new", "24", "--mask", &mask, "--no-rivals"];
    let output = call(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("(fed the tokens of A)") && !shown.contains("no token differs"),
        "{shown}"
    );
    let same =
        json("compare", &["--mask", &mask, "--no-rivals"])["top1_agreement"].as_f64().unwrap();
    let words = match same {
        1.0 => "the likeliest token is the same at every step",
        _ => "the likeliest token differs at ",
    };
    assert!(shown.contains(words), "{same}: {shown}");
}
