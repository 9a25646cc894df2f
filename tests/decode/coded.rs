//! What codes of 8 and 4 bits lose, through the commands and through a comparison.

use std::sync::Arc;

use kscope::cache::CacheSpec;
use kscope::decode::comparison::{Comparison, Mode};
use kscope::element::Dtype;
use kscope::mask::files::{self, Contents, MaskFile, Origin, Split};
use kscope::mask::{CachePlan, Shape, Window};
use kscope_testing::sides::{WINDOW, compare, prompt, spec, steps};
use kscope_testing::{demo, kscope, root};
use serde_json::Value;

/// The demo model's axes.
const DEMO: Shape = Shape { layers: 5, kv_heads: 2, head_dim: 64 };

fn json(arguments: &[&str]) -> Value {
    let output = kscope().args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The rows of a sweep over three windows of generated sentences, one per plan.
fn rows(plans: &[&str]) -> Vec<Value> {
    let fixed = "sweep --text sentences --windows 3 --window-tokens 400 --rows 24 --kv-dtype f32";
    let mut arguments: Vec<&str> = fixed.split(' ').collect();
    arguments.extend(plans.iter().flat_map(|plan| ["--plan", plan]));
    json(&arguments)["rows"].as_array().unwrap().clone()
}

fn mean(row: &Value) -> f64 {
    row["kld"]["mean"].as_f64().unwrap()
}

#[test]
fn codes_lose_something_and_fewer_bits_lose_more() {
    let plans = ["k8v8", "k4v4", "q8_0", "q4_0", "q8_0-hadamard", "q4_0-hadamard"];
    let rows = rows(&plans);
    for (row, plan) in rows.iter().zip(plans) {
        assert!(mean(row) > 0.0, "{plan} loses nothing: its codes are not stored");
    }
    for pair in rows.chunks_exact(2) {
        assert!(mean(&pair[0]) * 4.0 < mean(&pair[1]), "{} and {}", pair[0], pair[1]);
    }
    assert!(mean(&rows[0]) < 1e-3, "{}", rows[0]);
    let klds: Vec<&Value> = rows.iter().map(|row| &row["window_kld"]).collect();
    assert!(klds[3] != klds[5] && klds[1] != klds[3], "rotated and not, per channel and per token");
}

#[test]
fn what_codes_lose_does_not_depend_on_the_batch() {
    let [alone, beside] = [rows(&["k4v4"])[0].clone(), rows(&["q8_0", "k8v4", "k4v4"])[2].clone()];
    let means = |row: &Value| -> Vec<f64> {
        row["window_kld"].as_array().unwrap().iter().map(|mean| mean.as_f64().unwrap()).collect()
    };
    for (alone, beside) in means(&alone).into_iter().zip(means(&beside)) {
        assert!((alone - beside).abs() < 1e-9, "{alone} alone, {beside} beside others");
    }
}

#[test]
fn a_file_with_the_widths_of_a_name_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("four.safetensors");
    let shipped = files::read(&root().join("masks/demo.safetensors"), &Split::of(DEMO)).unwrap();
    let file = MaskFile {
        plan: CachePlan::named("k4v4", DEMO).unwrap(),
        importance: None,
        sensitivity: None,
        target_sparsity: None,
        origin: Origin { window: Window::CODED, ..shipped.origin().clone() },
    };
    files::save(&path, &Contents::Mask(file), false).unwrap();
    let path = path.to_str().unwrap();
    let ids = (0..300).map(|i| (i * 37 % 500).to_string()).collect::<Vec<_>>().join(",");
    let run =
        |flag: &str, plan: &str| json(&["run", "--token-ids", &ids, "--max-new", "24", flag, plan]);
    let named = run("--plan", "k4v4");
    for file in [run("--plan", path), run("--mask", path)] {
        for key in ["tokens", "logprobs", "kv_bytes", "bytes_share", "window"] {
            assert_eq!(file[key], named[key], "{key}");
        }
    }
    let dense = json(&["run", "--token-ids", &ids, "--max-new", "24"]);
    assert_ne!(dense["logprobs"], named["logprobs"], "4 bits change something");
}

/// A comparison of the demo with this side B, at the beginning.
fn begun(pruned: &Arc<CacheSpec>) -> Comparison {
    let model = demo();
    let ids = prompt(&model, 5, 1600);
    compare(&model, pruned, Mode::Forced, vec![ids])
}

#[test]
fn a_plan_that_is_set_after_the_prefill_equals_one_that_was_there_from_the_start() {
    let model = demo();
    let dense = spec(&model, WINDOW, |_, _, _| true);
    let plan = CachePlan::named("k8v4", DEMO).unwrap();
    let coded = Arc::new(CacheSpec::planned(WINDOW, Dtype::F32, plan).unwrap());
    let vocab = model.config().vocab;
    let [mut from_start, mut set] = [begun(&coded), begun(&dense)];
    set.retune(&coded).unwrap();
    for comparison in [&mut from_start, &mut set] {
        steps(comparison, 20);
    }
    assert_eq!(from_start.b.logits(0, vocab), set.b.logits(0, vocab));
    assert_ne!(from_start.b.logits(0, vocab), from_start.a.logits(0, vocab));
    let cached = set.b.caches[0].tokens();
    assert_eq!(set.b.kv_bytes(), coded.bytes_at(cached).total());
    // And back: a plan of 16 bits is dense again, from A's full keys and values.
    set.retune(&dense).unwrap();
    steps(&mut set, 4);
    assert_eq!(set.a.logits(0, vocab), set.b.logits(0, vocab));
}
