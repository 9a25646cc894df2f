//! `kscope bench learn`: the cost of an update, and variants of learning compared at equal bytes.

use kscope_testing::kscope;
use serde_json::Value;

fn json(arguments: &str) -> Value {
    let output = kscope().args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_cost_of_an_update_stands_beside_its_prefill() {
    let report = json("bench learn --json --model demo --ctx 300..600 --samples 3");
    for number in
        ["prefill_ms", "sample_ms", "step_ms", "step_to_prefill", "peak_bytes", "sample_bytes"]
    {
        assert!(report[number].as_f64().unwrap() > 0.0, "{number} in {report}");
    }
    assert!(report["worst_step_to_prefill"].as_f64() >= report["step_to_prefill"].as_f64());
    assert!((300.0..=600.0).contains(&report["context"].as_f64().unwrap()), "{report}");
}

#[test]
fn variants_are_compared_at_equal_bytes() {
    let report = json(
        "bench learn --json --model demo --ctx 220..300 --variants --sparsity 0.5 --steps 6 --pool 3 --check-prompts 1",
    );
    let variants = report["variants"].as_array().unwrap();
    let names: Vec<&str> =
        variants.iter().map(|found| found["variant"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "default",
            "no stage 2",
            "align 32",
            "pair-closed",
            "bf16 importance",
            "authors' masks",
            "authors' masks and rates"
        ]
    );
    let saved = |found: &Value| found["saved"]["kv"].as_f64().unwrap();
    for found in variants {
        assert_eq!(
            found["asked"], report["dense"]["asked"],
            "every variant answers every question"
        );
        // Ten heads of 64 channels: at alignment 32, one step of one head, with its values, is 7.5
        // % of the cache.
        let step = if found["align"] == 32 { 0.08 } else { 0.04 };
        let less = saved(&variants[0]) - saved(found);
        // After six updates nearly all bf16 factors are still equal, and equal ones are kept
        // together.
        let ties = found["variant"] == "bf16 importance";
        assert!(less > -step && (less < step || ties), "{found}");
        assert!(found["kld_mean"].as_f64().unwrap() >= 0.0);
    }
    assert_eq!(variants[1]["validation"], Value::Null, "without stage 2 nothing is validated");
    assert!(variants[0]["validation"][1].as_f64() <= variants[0]["validation"][0].as_f64());
}
