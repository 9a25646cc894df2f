//! `kscope bench attention` prints the documented fields.

use kscope_testing::kscope;
use kscope_testing::needs::cannot_run_here;
use serde_json::Value;

#[test]
fn json_has_the_bandwidth_and_one_row_per_configuration() {
    let arguments = "bench attention --json --quick --geometry smollm2 --tokens 512 --dtype f16,bf16 --threads 1,2";
    let output = kscope().args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["bandwidth_gbps"].as_f64().unwrap() > 0.0);
    let rows = report["rows"].as_array().unwrap();
    let plans = ["dense", "mask, 70.3 % pruned", "k8v8", "k8v4", "k4v4", "k8v8:0.5"];
    assert_eq!(rows.len(), 2 * 2 * plans.len());
    for row in rows {
        for number in [
            "bytes_share",
            "tokens",
            "threads",
            "sparsity",
            "bytes",
            "median_ms",
            "gbps",
            "byte_ratio",
            "time_ratio",
        ] {
            assert!(row[number].is_number(), "{number} in {row}");
        }
        assert!(plans.iter().any(|&plan| row["plan"] == plan), "{row}");
        let dense = row["plan"] == "dense";
        assert_eq!(row["byte_ratio"] == 1.0 && row["time_ratio"] == 1.0, dense);
        // 30 layers, 3 KV heads, 64 channels of K and V, 2 bytes.
        assert_eq!(row["bytes"] == 512 * 30 * 3 * 128 * 2, dense);
    }
}

#[test]
fn wrong_values_are_named() {
    for (arguments, named) in [
        ("--geometry gpt-2", "gpt-2"),
        ("--dtype q8", "q8"),
        ("--threads 0", "not 0"),
        ("--simd neon", "neon"),
        ("--plan k9v9 --quick --geometry smollm2 --tokens 64", "k9v9"),
        ("--plan k8v8:7 --quick --geometry smollm2 --tokens 64", "k8v8:7"),
        ("--plan k8v8 --device cuda --dry-run", "measures dense decode and a mask there"),
    ] {
        let output =
            kscope().args(["bench", "attention"]).args(arguments.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(named));
    }
}

#[test]
fn a_gpu_is_computed_without_one_and_refused_with_a_reason() {
    let run = |arguments: &str| kscope().args(arguments.split(' ')).output().unwrap();
    let output = run("bench attention --device cuda --dry-run --gpu a100 --json");
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["kind"], &report["gpu"]["name"]),
        (&"computed".into(), &"A100 80GB SXM".into())
    );
    assert_eq!(report["bytes_per_middle_token"], serde_json::json!([131_072, 73_984]));
    assert!(report["settings"][0]["bound"].as_f64().unwrap() > 1.7);
    let table = String::from_utf8(run("bench attention --device cuda --dry-run").stdout).unwrap();
    assert!(table.contains("H100") && table.contains("not measured"), "{table}");

    // Built without the feature, or without a GPU: one error, never a table of numbers.
    for command in [
        "bench attention --device cuda",
        "selftest --device cuda:0",
        "run --device cuda --prompt hello",
    ] {
        let output = run(command);
        if output.status.success() {
            cannot_run_here(&format!("it has a GPU that `kscope {command}` can use"));
            continue;
        }
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command}: {error}");
        assert!(
            error.starts_with("kscope: --device cuda:0: ") && error.trim_end().lines().count() == 1,
            "{command}: {error}"
        );
    }
    // `--card` is what `--gpu` was called.
    for option in ["--gpu", "--card"] {
        let unknown = run(&format!("bench attention --device cuda --dry-run {option} voodoo"));
        let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
        assert!(error.contains("--gpu voodoo: the known GPUs are H100"), "{error}");
    }
}
