//! `kscope mask make`: what it makes of importance and rules, and what it replaces.

use kscope_testing::kscope;

use super::cli::{json, kscope_in, refusal, stdout, workplace};

#[test]
fn importance_becomes_masks() {
    let folder = workplace();
    let at = folder.path();
    let imported = json(
        at,
        &[
            "mask",
            "import",
            "alpha.tsv",
            "i.safetensors",
            "--kv-heads",
            "2",
            "--model",
            "tiny-llama",
        ],
    );
    assert_eq!(imported["kind"], "importance");
    let made = json(
        at,
        &[
            "mask",
            "make",
            "--importance",
            "i.safetensors",
            "--sparsity",
            "0.5",
            "--align",
            "2",
            "m.safetensors",
        ],
    );
    assert_eq!(made["model"], "tiny-llama", "the binding is inherited");
    assert_eq!(made["settings"]["align"], serde_json::json!({"value": 2, "from": "flag"}));
    assert_eq!(
        made["settings"]["sink"],
        serde_json::json!({"value": 128, "from": "importance file"})
    );
    assert_eq!(made["target_sparsity"], 0.5);

    // The mask file contains the importance, so it can be a source itself, and its mask is used for
    // locks.
    let again = json(
        at,
        &[
            "mask",
            "make",
            "--importance",
            "m.safetensors",
            "--sparsity",
            "0.9",
            "--lock",
            "0",
            "--floor",
            "2:1=4",
            "n.safetensors",
        ],
    );
    assert_eq!(again["kept_per_head"][0], made["kept_per_head"][0]);
    assert!(again["kept_per_head"][2][1].as_u64() >= Some(4));
    let recipe = json(at, &["mask", "show", "n.safetensors"])["recipe"].clone();
    assert_eq!(recipe["selection"]["locks"], serde_json::json!(["0"]));
    assert_eq!(recipe["importance"]["file"], "m.safetensors");

    json(at, &["mask", "export", "--importance", "m.safetensors", "back.npy"]);
    assert_eq!(
        std::fs::read(at.join("back.npy")).unwrap(),
        std::fs::read(super::vector("alpha-f4.npy")).unwrap()
    );
}

#[test]
fn rules_need_no_running_model() {
    let folder = workplace();
    let at = folder.path();
    let made = json(
        at,
        &[
            "mask",
            "make",
            "--rule",
            "frequency",
            "--model",
            "tiny-llama",
            "--sparsity",
            "0.5",
            "--align",
            "4",
            "f.safetensors",
        ],
    );
    assert_eq!(
        (made["slow_half_share"].as_f64(), made["kept_ratio"].as_f64()),
        (Some(1.0), Some(0.5))
    );
    assert_eq!(made["settings"]["sink"], serde_json::json!({"value": 16, "from": "default"}));

    for seed in ["1", "1", "2"] {
        let out = format!("r{seed}.safetensors");
        json(
            at,
            &[
                "mask",
                "make",
                "--rule",
                "random",
                "--seed",
                seed,
                "--counts-of",
                "mask-f32.pth",
                &out,
            ],
        );
    }
    let shown = |file: &str| json(at, &["mask", "show", file]);
    assert_eq!(shown("r1.safetensors")["kept_per_head"], shown("mask-f32.pth")["kept_per_head"]);
    assert_ne!(shown("r1.safetensors")["sha256"], shown("r2.safetensors")["sha256"]);

    let fit = [
        "mask",
        "make",
        "--rule",
        "random",
        "--model",
        "tiny-llama",
        "--fit",
        "150KiB@1k",
        "--budget",
        "exact",
        "--align",
        "1",
    ];
    let fitted = json(
        at,
        &[&fit[..], &["--sink", "4", "--recent", "16", "--chunk", "1", "fit.safetensors"]].concat(),
    );
    let middle = 1024 - 20;
    let weight = fitted["bytes_per_middle_token"].as_u64().unwrap() * middle
        + 20 * fitted["dense_bytes_per_token"].as_u64().unwrap();
    assert!(weight <= 150 * 1024 && weight + 2 * middle > 150 * 1024 - 2 * 8 * middle, "{weight}");
}

#[test]
fn a_file_that_is_there_is_replaced_only_with_force() {
    let folder = workplace();
    let at = folder.path();
    let run = |line: &str| {
        let output = kscope().current_dir(at).args(line.split(' ')).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    std::fs::write(at.join("mine.safetensors"), "hours of work").unwrap();
    std::fs::write(at.join("mine.npy"), "hours of work").unwrap();
    for line in [
        "mask make --rule frequency --model tiny-llama --sparsity 0.5 mine.safetensors",
        "mask import mask-f32.pth mine.safetensors",
        "mask export mask-f32.pth mine.npy",
        "score --model demo --rule think --out mine.safetensors",
        "learn --model demo --out mine.safetensors",
    ] {
        let (code, sentence) = run(line);
        assert_eq!(code, Some(2), "{line}: {sentence}");
        assert!(sentence.contains("--force replaces it"), "{line}: {sentence}");
        for name in ["mine.safetensors", "mine.npy"] {
            assert_eq!(std::fs::read_to_string(at.join(name)).unwrap(), "hours of work", "{line}");
        }
    }
    let forced =
        "mask make --rule frequency --model tiny-llama --sparsity 0.5 --force mine.safetensors";
    assert_eq!(run(forced).0, Some(0));
    json(at, &["mask", "show", "mine.safetensors"]);
}

#[test]
fn where_the_importance_ends_is_said_and_a_size_that_drops_everything_is_refused() {
    let folder = workplace();
    let at = folder.path();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/masks/demo.safetensors");
    let make = ["mask", "make", "--importance", demo, "--sparsity", "0"];
    let made = json(at, &[&make[..], &["a.safetensors"]].concat());
    // 581 of the demo's 640 channels have importance 0; alignment drops three more.
    assert_eq!(
        (made["kept"].as_u64(), made["importance_reach"].as_u64()),
        (Some(56), Some(59)),
        "{made}"
    );
    assert_eq!(made["alignment_cost"].as_i64(), Some(-3));
    let text = stdout(at, &[&make[..], &["a.safetensors"]].concat());
    assert!(text.contains("the importance reaches 9.22 %: the other 581 of 640"), "{text}");
    let exact = json(at, &[&make[..], &["--budget", "exact", "a.safetensors"]].concat());
    assert_eq!((exact["kept"].as_u64(), exact["importance_reach"].as_u64()), (Some(640), None));
    let size = |size: &str| {
        let made =
            json(at, &["mask", "make", "--importance", demo, "--fit", size, "a.safetensors"]);
        (made["kept"].as_u64(), made["importance_reach"].as_u64())
    };
    assert_eq!(size("1GiB@2k"), (Some(56), Some(59)), "all with importance fit, and more would");
    let smaller = size("700KiB@2k");
    assert!(smaller.0 < Some(56) && smaller.1.is_none(), "{smaller:?}");
    let rule = ["mask", "make", "--rule", "frequency", "--model", "llama-3.1-8b"];
    let sentence = refusal(at, &[&rule[..], &["--fit", "2.1GiB@32k", "a.safetensors"]].concat());
    assert!(
        sentence.contains("32,768 tokens fits 2.10 GiB only where every head is dropped"),
        "{sentence}"
    );
}

#[test]
fn the_ways_to_spread_a_budget_are_recorded() {
    let folder = workplace();
    let at = folder.path();
    let make = [
        "mask",
        "make",
        "--importance",
        "alpha-f4.npy",
        "--sparsity",
        "0.6",
        "--align",
        "2",
        "o.safetensors",
    ];
    let ways: [(&[&str], &str, bool); 4] = [
        (&[], "global", false),
        (&["--budget", "exact"], "exact", false),
        (&["--upstream-ties"], "upstream-ties", false),
        (&["--budget", "exact", "--pair-closed"], "exact", true),
    ];
    for (flags, budget, pairs) in ways {
        let made = json(at, &[&make[..], flags].concat());
        let recipe = json(at, &["mask", "show", "o.safetensors"])["recipe"].clone();
        assert_eq!(recipe["selection"]["budget"], budget);
        assert_eq!(made["pair_share"].as_f64() == Some(1.0), pairs, "{flags:?}");
        if budget == "exact" {
            // 48 * 0.4 = 19.2 channels in steps of 2.
            assert_eq!(
                (made["kept"].as_u64(), made["alignment_cost"].as_i64()),
                (Some(18), Some(-1))
            );
        }
    }
    let text = stdout(at, &make);
    assert!(
        text.contains("sink 128 (importance file) · recent 768 (importance file)")
            && text.contains("align 2 (flag)"),
        "{text}"
    );
    let both = kscope_in(at, &[&make[..], &["--upstream-ties", "--budget", "exact"]].concat());
    assert_eq!(both.status.code(), Some(2));
}
