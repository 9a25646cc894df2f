//! Training-free importance from a running model equals that computed from captured queries and
//! keys.

use kscope::decode::moments::{FUTURE, LAST_QUERIES};
use kscope::learn::score::gather;
use kscope::mask::files::{self, Split};
use kscope::mask::{Rule, Window};
use kscope::model::decoder::{LayerView, PrefillHooks};
use kscope::model::rope::Rope;
use kscope_testing::{demo, kscope};
use serde_json::Value;

#[test]
fn key_norm_and_think_equal_plain_sums_over_the_windows() {
    let model = demo();
    let config = model.config();
    let ids: Vec<u32> = (0..150).map(|i| (i * 37 % 2000 + 20) as u32).collect();
    let window = 64;
    let squares =
        gather(&model.decoder, std::slice::from_ref(&ids), window, &mut |_| Ok(())).unwrap();
    let (key_norm, think) =
        (squares.importance(Rule::KEY_NORM).unwrap(), squares.importance(Rule::THINK).unwrap());

    let (layer, head, channel) = (3, 1, 17);
    let (d, group) = (config.head_dim, config.group());
    let (mut k_sum, mut q_sum, mut keys, mut queries) = (0.0_f64, 0.0_f64, 0, 0);
    // 64 + 64 + 22: the last window is longer than a quarter, so it counts.
    for piece in ids.chunks(window) {
        let mut observe = |view: LayerView<'_>| {
            if view.layer != layer {
                return;
            }
            for row in view.k.chunks_exact(config.kv_width()) {
                k_sum += f64::from(row[head * d + channel]).powi(2);
                keys += 1;
            }
            let rows: Vec<&[f32]> = view.q.chunks_exact(config.q_width()).collect();
            for row in &rows[rows.len().saturating_sub(LAST_QUERIES)..] {
                q_sum += (0..group)
                    .map(|i| f64::from(row[(head * group + i) * d + channel]).powi(2))
                    .sum::<f64>();
                queries += group;
            }
        };
        let hooks = PrefillHooks {
            chunk: 64,
            progress: &mut |_| Ok(()),
            keep_going: &|| Ok(()),
            observe: &mut observe,
        };
        model.decoder.prefill(piece, &mut [], hooks).unwrap();
    }
    assert_eq!(keys, 150);
    let (k_mean, q_mean) = (k_sum / f64::from(keys), q_sum / queries as f64);
    let close = |found: f32, exact: f64| (f64::from(found) / exact - 1.0).abs() < 1e-5;
    assert!(close(key_norm.head(layer, head)[channel], k_mean));
    assert!(close(think.head(layer, head)[channel], k_mean * q_mean));
}

/// The same from captured rows: queries are turned back, then on to each of the positions that
/// follow, and squared there.
#[test]
fn queries_to_come_and_variances_equal_plain_sums() {
    let model = demo();
    let config = model.config();
    let ids: Vec<u32> = (0..70).map(|i| (i * 37 % 2000 + 20) as u32).collect();
    let sums = gather(&model.decoder, std::slice::from_ref(&ids), 96, &mut |_| Ok(())).unwrap();
    let expected = sums.importance(Rule::EXPECTED).unwrap();
    let centred = sums.importance(Rule::CENTRED).unwrap();

    let (layer, head, pair) = (2, 1, 3);
    let (d, group) = (config.head_dim, config.group());
    let half = d / 2;
    let rope = Rope::new(config).unwrap();
    let turn = |position: usize| {
        let (mut cos, mut sin) = (vec![0.0; half], vec![0.0; half]);
        rope.angles(layer, position, &mut cos, &mut sin);
        f64::from(sin[pair]).atan2(f64::from(cos[pair]))
    };
    let (mut keys, mut future, mut late) = (Vec::new(), 0.0_f64, 0.0_f64);
    let mut observe = |view: LayerView<'_>| {
        if view.layer != layer {
            return;
        }
        keys.extend(
            view.k.chunks_exact(config.kv_width()).map(|row| f64::from(row[head * d + pair])),
        );
        let rows: Vec<&[f32]> = view.q.chunks_exact(config.q_width()).collect();
        for (position, row) in rows.iter().enumerate() {
            for member in head * group..(head + 1) * group {
                let (x, y) =
                    (f64::from(row[member * d + pair]), f64::from(row[member * d + pair + half]));
                if position + LAST_QUERIES >= rows.len() {
                    late += x * x;
                }
                let (length, angle) = (x.hypot(y), y.atan2(x) - turn(position));
                for to_come in rows.len()..rows.len() + FUTURE {
                    future += (length * (angle + turn(to_come)).cos()).powi(2);
                }
            }
        }
    };
    let hooks = PrefillHooks {
        chunk: 64,
        progress: &mut |_| Ok(()),
        keep_going: &|| Ok(()),
        observe: &mut observe,
    };
    model.decoder.prefill(&ids, &mut [], hooks).unwrap();
    assert_eq!(keys.len(), ids.len());
    let mean = keys.iter().sum::<f64>() / keys.len() as f64;
    let variance = keys.iter().map(|k| (k - mean).powi(2)).sum::<f64>() / keys.len() as f64;
    let future = future / (ids.len() * group * FUTURE) as f64;
    let late = late / (LAST_QUERIES * group) as f64;
    let close = |found: f32, exact: f64| (f64::from(found) / exact - 1.0).abs() < 1e-4;
    assert!(close(expected.head(layer, head)[pair], future * variance));
    assert!(close(centred.head(layer, head)[pair], late * variance));
}

#[test]
fn score_writes_importance_that_masks_are_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let out = kscope().current_dir(folder.path()).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    std::fs::write(folder.path().join("text.txt"), "The lamp stood by the door. ".repeat(40))
        .unwrap();
    for rule in ["key-norm", "think", "centred", "expected", "pairs", "frequency", "random"] {
        run(&[
            "score",
            "--rule",
            rule,
            "--text",
            "text.txt",
            "--force",
            "--out",
            "imp.safetensors",
            "--json",
        ]);
        run(&[
            "mask",
            "make",
            "--force",
            "--importance",
            "imp.safetensors",
            "--sparsity",
            "0.5",
            "--align",
            "8",
            "mask.safetensors",
        ]);
        let shown: Value =
            serde_json::from_slice(&run(&["mask", "show", "mask.safetensors", "--json"])).unwrap();
        assert!(
            (shown["kept_ratio"].as_f64().unwrap() - 0.5).abs() < 0.1,
            "{rule}: {}",
            shown["kept_ratio"]
        );
        run(&["mask", "validate", "mask.safetensors", "--model", "demo"]);
    }
    let refused = kscope().args(["score", "--rule", "think", "--out", "x"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn score_writes_the_sensitivity_with_what_it_was_measured_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        kscope().current_dir(folder.path()).arg("score").args(args).output().unwrap()
    };
    let text = "The lamp stood by the door of the old house. ".repeat(80);
    std::fs::write(folder.path().join("notes.txt"), &text).unwrap();
    std::fs::write(folder.path().join("short.txt"), "The lamp stood.").unwrap();
    let out = ["--rule", "sensitivity", "--force", "--out", "s.safetensors"];
    let small = ["--windows", "1", "--window-tokens", "300", "--rows", "8", "--json"];
    let done = run(&[&out[..], &small, &["--text", "notes.txt", "--seed", "3"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&said["rule"], &said["text_rows"]), (&"sensitivity".into(), &8.into()));
    let share = said["costliest_1_percent_at_4_bits"].as_f64().unwrap();
    assert!(share > 0.01 && share < 1.0, "{share}");

    let file = files::read(&folder.path().join("s.safetensors"), &Split::default()).unwrap();
    let table = file.expect_sensitivity("s.safetensors").unwrap();
    assert_eq!(table.shape(), demo().config().mask_shape());
    assert!(table.k_table().iter().chain(table.v_table()).any(|&damage| damage > 0.0));
    let origin = file.origin();
    assert_eq!(origin.window, Window { sink: 16, recent: 128, chunk: 64 });
    let recipe = &origin.recipe;
    assert_eq!(recipe["texts"][0]["name"], "notes.txt");
    assert_eq!(recipe["texts"][0]["sha256"].as_str().unwrap().len(), 64);
    let settings = &recipe["settings"];
    for (name, number) in [("windows", 1), ("window_tokens", 300), ("rows", 8), ("draws", 1)] {
        assert_eq!(settings[name], number, "{name}");
    }
    assert_eq!((&settings["seed"], &settings["recall_weight"]), (&3.into(), &0.25.into()));
    assert!(recipe["recall_rows"].as_u64().unwrap() > 0);

    // Fisher is the damage of leaving a channel out, of the same measurement.
    let importance = ["--rule", "fisher", "--force", "--out", "f.safetensors"];
    let done = run(&[&importance[..], &small, &["--text", "notes.txt", "--seed", "3"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let fisher = files::read(&folder.path().join("f.safetensors"), &Split::default()).unwrap();
    assert_eq!(fisher.importance().unwrap(), &table.pruning().unwrap());
    assert_eq!(fisher.origin().recipe["rule"], "fisher");
    assert_eq!(fisher.origin().recipe["settings"]["windows"], 1);

    for (args, part) in [
        (&["--text", "short.txt"][..], "short.txt is too short for a window of 300 tokens"),
        (&["--text", "notes.txt", "--ctx", "100"], "--windows and --window-tokens"),
    ] {
        let refused = run(&[&out[..], &small, args].concat());
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(part) && error.lines().count() == 1, "{args:?}: {error}");
    }
    // A window with no room for recall prompts names one that has it, whatever is drawn.
    for seed in ["0", "4"] {
        let of = |tokens: &str| {
            let short = ["--windows", "1", "--rows", "8", "--sink", "4", "--recent", "16"];
            let size = ["--chunk", "16", "--window-tokens", tokens, "--seed", seed];
            run(&[&out[..], &short, &size, &["--text", "notes.txt"]].concat())
        };
        let error = String::from_utf8(of("60").stderr).unwrap();
        let (_, said) = error.split_once(": --window-tokens ").unwrap_or_else(|| panic!("{error}"));
        let done = of(said.split_once(' ').unwrap().0);
        assert!(done.status.success(), "{error}{}", String::from_utf8_lossy(&done.stderr));
    }
    // Without --text it reads fetched texts, and here are none.
    let bare = kscope()
        .current_dir(folder.path())
        .env("XDG_CACHE_HOME", folder.path())
        .arg("score")
        .args(out)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&bare.stderr).into_owned();
    assert_eq!(bare.status.code(), Some(2), "{error}");
    assert!(error.contains("give it --text FILE") && error.lines().count() == 1, "{error}");
    let generated = run(&[&out[..], &small, &["--text", "sentences"]].concat());
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let other = run(&["--rule", "random", "--out", "r.safetensors", "--windows", "2"]);
    assert_eq!(other.status.code(), Some(2));
}
