//! `kscope mask` with plans and sensitivity on the command line.

use std::path::Path;

use kscope::mask::files::{self, Contents, MaskFile, Origin, SensitivityFile, Split};
use kscope::mask::{Sensitivity, Shape, Window};
use serde_json::json;

use super::cli::{json, refusal, stdout, workplace};

/// The shape of the small model, with heads long enough for runs of 8.
const SHAPE: Shape = Shape { layers: 3, kv_heads: 2, head_dim: 8 };

/// Writes `s.safetensors`: damage that falls with the width and rises with the layer; the first head
/// can be dropped for little.
fn sensitivity(folder: &Path) {
    let falling = [1.0f32, 0.1, 0.005, 0.00002];
    let table = |rows: usize, scale: f32| -> Vec<f32> {
        (0..rows)
            .flat_map(|row| falling.map(|damage| damage * scale * (1.0 + (row * 7 % 11) as f32)))
            .collect()
    };
    let mut v = table(SHAPE.heads(), 2e-4);
    v.iter_mut().skip(4).step_by(4).for_each(|drop| *drop = 0.5);
    let sensitivity = Sensitivity::new(SHAPE, table(SHAPE.entries(), 1e-4), v).unwrap();
    let origin = Origin {
        model: String::new(),
        fingerprint: String::new(),
        window: Window::CODED,
        align: 8,
        recipe: json!({ "rule": "sensitivity", "seed": 3 }),
    };
    let contents = Contents::Sensitivity(SensitivityFile { sensitivity, origin });
    files::save(&folder.join("s.safetensors"), &contents, false).unwrap();
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn plan(folder: &Path, name: &str) -> MaskFile {
    files::read(&folder.join(name), &Split::default()).unwrap().into_mask(name).unwrap()
}

#[test]
fn the_line_of_the_issue_makes_a_plan() {
    let folder = workplace();
    let at = folder.path();
    sensitivity(at);
    let made = json(
        at,
        &words("mask make --bytes 28% --sensitivity s.safetensors --align 2 p.safetensors"),
    );
    let share = made["bytes_share"].as_f64().unwrap();
    assert!(share <= 0.28 && share > 0.26, "{share}");
    assert_eq!(made["settings"]["chunk"], json!({ "value": 64, "from": "sensitivity file" }));
    let shown = json(at, &words("mask show p.safetensors"));
    for key in ["k_bits_histogram", "v_bits_histogram", "bytes_share"] {
        assert_eq!(shown[key], made[key], "{key}");
    }
    let sum = |key: &str| {
        let counts = shown[key].as_object().unwrap();
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["0", "2", "4", "8", "16"], "{key}");
        counts.values().map(|count| count.as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((sum("k_bits_histogram"), sum("v_bits_histogram")), (48, 6));
    assert_eq!(shown["widths_per_layer"].as_array().unwrap().len(), 3);
    assert_eq!(shown["holds_sensitivity"], true);
    assert_eq!(shown["recipe"]["selection"]["bytes"], 0.28);
    assert_eq!(shown["recipe"]["sensitivity"]["recipe"]["seed"], 3);
    let file = plan(at, "p.safetensors");
    assert_eq!(file.plan.bytes_share(64), share);

    // With a context the window counts too, so the middle has to be smaller.
    let words = words(
        "mask make --bytes 28% --sensitivity s.safetensors --ctx 2k --align 2 near.safetensors",
    );
    let near = json(at, &words);
    assert!(near["bytes_share"].as_f64().unwrap() < share - 0.02, "{}", near["bytes_share"]);
    let at_ctx = json(at, &["mask", "show", "near.safetensors", "--ctx", "2k"]);
    let saved = at_ctx["kv_saving"].as_f64().unwrap();
    assert!((0.72..0.74).contains(&saved), "{saved}");
}

#[test]
fn masks_and_other_widths_come_from_the_same_sensitivity() {
    let folder = workplace();
    let at = folder.path();
    sensitivity(at);
    let make = "mask make --sensitivity s.safetensors --align 1";
    let mask = json(at, &words(&format!("{make} --bytes 61% --widths 16,0 m.safetensors")));
    assert!(mask["bytes_share"].as_f64().unwrap() <= 0.61);
    assert!(plan(at, "m.safetensors").plan.is_mask());
    json(at, &words(&format!("{make} --bytes 35% --widths 8,4,0 --v-widths 4 x.safetensors")));
    let x = plan(at, "x.safetensors").plan;
    assert_eq!(x.v_histogram(), [0, 0, 6, 0, 0]);
    assert_eq!((x.k_histogram()[1], x.k_histogram()[4]), (0, 0));
    // A plan holds its sensitivity, so it is a source itself, and its widths are used for locks.
    let again = "mask make --sensitivity x.safetensors --align 1 --bytes 30% --lock 1 --lock 2:0=8/2 \
                 --lock 0:0:3=16 --floor 2:1=4 y.safetensors";
    json(at, &words(again));
    let y = plan(at, "y.safetensors").plan;
    assert_eq!((y.k(1, 0), y.k(1, 1)), (x.k(1, 0), x.k(1, 1)));
    assert!(y.k(2, 0).iter().all(|width| width.bits() == 8) && y.v(2, 0).bits() == 2);
    assert_eq!(y.k(0, 0)[3].bits(), 16);
    assert!(y.mask().kept_count(2, 1) >= 4);
    let fit = "mask make --sensitivity s.safetensors --align 1 --fit 60KiB@1k f.safetensors";
    json(at, &words(fit));
    let f = plan(at, "f.safetensors");
    let bytes = kscope::mask::bytes::planned(&f.plan, f.origin.window, 1024, 2).total();
    assert!(bytes <= 60 << 10 && bytes > 58 << 10, "{bytes}");
}

#[test]
fn plans_that_have_a_name_become_files() {
    let folder = workplace();
    let at = folder.path();
    let made = json(at, &words("mask make --plan k8v4 --model tiny-llama n.safetensors"));
    assert_eq!(made["model"], "tiny-llama");
    assert_eq!(made["k_bits_histogram"]["8"], 48);
    assert_eq!(made["v_bits_histogram"]["4"], 6);
    let valid = json(at, &words("mask validate n.safetensors --model tiny-llama"));
    assert_eq!((&valid["bound"], &valid["warnings"]), (&json!(true), &json!([])));
}

#[test]
fn plans_are_shown_compared_and_exported() {
    let folder = workplace();
    let at = folder.path();
    sensitivity(at);
    for (bytes, out) in [("28%", "a"), ("41%", "b")] {
        stdout(
            at,
            &words(&format!(
                "mask make --bytes {bytes} --sensitivity s.safetensors --align 2 {out}.safetensors"
            )),
        );
    }
    let shown = stdout(at, &words("mask show a.safetensors"));
    assert!(shown.contains("of a dense f16 cache in long contexts, scales included"), "{shown}");
    let ascii = stdout(at, &words("mask show a.safetensors --ascii"));
    assert!(ascii.is_ascii() && !ascii.contains('?'), "{ascii}");
    insta::assert_snapshot!("plan", shown);
    insta::assert_snapshot!("plan_ascii", ascii);
    let colour = stdout(at, &words("mask show a.safetensors --color always"));
    assert!(colour.contains("\x1b[0;38;2;") && colour.contains('▀'));

    let diff = json(at, &words("mask diff a.safetensors b.safetensors"));
    let (a, b) = (plan(at, "a.safetensors").plan, plan(at, "b.safetensors").plan);
    let wider = a.k_widths().iter().zip(b.k_widths()).filter(|(a, b)| b > a).count();
    assert!(wider > 0);
    assert_eq!(diff["widths"]["whole"]["wider_k"], wider);
    assert_eq!(
        diff["widths"]["whole"]["bytes_share"],
        json!([a.bytes_share(64), b.bytes_share(64)])
    );
    assert_eq!(diff["widths"]["layers"].as_array().unwrap().len(), 3);
    let text = stdout(at, &words("mask diff a.safetensors b.safetensors"));
    assert!(text.contains(&format!("K channels have other bits in B: {wider} more")), "{text}");
    let with_mask = stdout(at, &words("mask diff a.safetensors mask-f32.pth --kv-heads 2"));
    assert!(with_mask.contains("have other bits in B"), "{with_mask}");

    let copied = json(at, &words("mask export a.safetensors c.safetensors"));
    assert_eq!(copied["kind"], "plan");
    assert_eq!(plan(at, "c.safetensors"), plan(at, "a.safetensors"));
    let bound = json(at, &words("mask import a.safetensors d.safetensors --model tiny-llama"));
    assert_eq!((&bound["kind"], &bound["model"]), (&json!("plan"), &json!("tiny-llama")));
    let scores = json(at, &words("mask import s.safetensors t.safetensors --model tiny-llama"));
    assert_eq!(scores["kind"], "sensitivity");
    // A mask has the same numbers, all of them at 16 or 0 bits.
    let mask = json(at, &words("mask show mask-f32.pth --kv-heads 2"));
    assert_eq!(mask["k_bits_histogram"]["16"], mask["kept"]);
    let both = mask["bytes_share"].as_f64().unwrap() + mask["kv_saving"].as_f64().unwrap();
    assert!((both - 1.0).abs() < 1e-12, "{both}");
}

#[test]
fn refusals_of_plans_are_one_sentence() {
    let folder = workplace();
    let at = folder.path();
    sensitivity(at);
    stdout(at, &words("mask make --bytes 28% --sensitivity s.safetensors a.safetensors"));
    let make = "mask make --sensitivity s.safetensors";
    let cases = [
        ("mask export a.safetensors a.pth".to_owned(), "a.safetensors: a raw array holds"),
        ("mask show s.safetensors".to_owned(), "expected a mask, found sensitivity alone"),
        (
            format!("{make} --bytes 10% --widths 4 --v-widths 4 o.safetensors"),
            "take at least 39.07 % of the middle of a dense f16 cache",
        ),
        (
            format!("{make} --fit 1KiB@32k o.safetensors"),
            "the window of a cache of 32,768 tokens weighs",
        ),
        (
            "mask make --sensitivity mask-f32.pth --bytes 28% o.safetensors".to_owned(),
            "mask-f32.pth: expected sensitivity",
        ),
        (
            format!("{make} --bytes 28% --lock 1 o.safetensors"),
            "--lock 1 without bits: expected --sensitivity with a file that holds a plan",
        ),
        (format!("{make} --bytes 28% --lock 1=3 o.safetensors"), "a width is 0, 2, 4, 8 or 16"),
        (format!("{make} --bytes 28% --lock 1:0:2=8/4 o.safetensors"), "V belongs to the head"),
        (format!("{make} --bytes 28% --lock 1:0:8=4 o.safetensors"), "channel 8: expected one of"),
        (format!("{make} --bytes 28% --align 5 o.safetensors"), "alignment 5"),
        (
            "mask make --plan q4_0 --model tiny-llama o.safetensors".to_owned(),
            "the plan q4_0 needs a head_dim that is a multiple of 32, not 8",
        ),
        (
            "mask make --plan k2v2 --model tiny-llama o.safetensors".to_owned(),
            "no plan has the name k2v2",
        ),
        (
            "mask make --importance alpha-f4.npy --sparsity 0.5 --lock 1=8/4 o.safetensors"
                .to_owned(),
            "bits only with --sensitivity",
        ),
    ];
    for (line, expected) in cases {
        let sentence = refusal(at, &words(&line));
        assert!(
            sentence.starts_with("kscope: ") && sentence.contains(expected),
            "{line}: {sentence}"
        );
        assert_eq!(sentence.trim_end().lines().count(), 1, "{sentence}");
    }
    for line in [
        "mask make --bytes 28 --sensitivity s.safetensors o.safetensors",
        "mask make --bytes 28% --sensitivity s.safetensors --widths 3 o.safetensors",
        "mask make --bytes 28% --importance alpha-f4.npy o.safetensors",
        "mask make --bytes 28% --sparsity .5 --sensitivity s.safetensors o.safetensors",
        "mask make --plan k8v8 o.safetensors",
    ] {
        refusal(at, &words(line));
    }
    assert!(!at.join("o.safetensors").exists(), "a refused command writes nothing");
}
