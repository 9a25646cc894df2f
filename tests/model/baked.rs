//! Masks baked into weights: the files decode as the mask without a window does, `compare --baked`
//! says what they lose, and what cannot be baked is refused.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value as GgufValue;
use kscope::decode::divergence::StepDivergence;
use kscope::element::Dtype;
use kscope::mask::files::{self, Contents, MaskFile, Origin};
use kscope::mask::{CachePlan, ChannelMask, Shape, Window};
use kscope_testing::gguf::{GgufFile, GgufTensor};
use kscope_testing::models::*;
use kscope_testing::{error, kscope, vectors};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

/// Half of the pairs of every head; the first head of a model keeps all, the last one nothing.
/// `shared` gives all heads of a layer the same channels.
fn pairs(shape: Shape, shared: bool) -> ChannelMask {
    let mut random = StdRng::seed_from_u64(20);
    let half = shape.pairs();
    let draws = shape.layers * shape.kv_heads * half;
    let drawn: Vec<bool> = (0..draws).map(|_| random.random_bool(0.5)).collect();
    ChannelMask::from_fn(shape, |layer, head, channel| {
        let at = layer * shape.kv_heads + head;
        match at {
            _ if shape.heads() > 1 && at + 1 == shape.heads() => false,
            0 if !shared && shape.heads() > 1 => true,
            _ if shared => drawn[layer * shape.kv_heads * half + channel % half],
            _ => drawn[at * half + channel % half],
        }
    })
}

fn save(mask: &ChannelMask, path: &Path) {
    let origin = Origin {
        model: String::new(),
        fingerprint: String::new(),
        window: Window::NONE,
        align: 1,
        recipe: serde_json::json!({}),
    };
    let plan = CachePlan::of_mask(mask);
    let file =
        MaskFile { plan, importance: None, sensitivity: None, target_sparsity: None, origin };
    files::save(path, &Contents::Mask(file), false).unwrap();
}

fn bake(model: &Path, mask: &Path, out: &Path) -> Value {
    let output = kscope().args(["mask", "bake"]).args([model, mask, out]).arg("--json").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The sentence of a refusal, which must leave nothing behind in `folder`.
fn refusal(folder: &Path, args: &[&Path]) -> String {
    let before = names(folder);
    let output = kscope().args(["mask", "bake"]).args(args).output().unwrap();
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    assert_eq!(names(folder), before);
    sentence
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn tokens(vocab: usize, count: usize) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(3);
    (0..count).map(|_| random.random_range(3..vocab as u32)).collect()
}

/// After a prompt of one token, whose exact attention no mask changes but by the values of a head
/// dropped in the last layer, which later keys do not depend on.
fn check_decode_without_window(
    what: &str,
    dense_path: &Path,
    baked_path: &Path,
    mask: ChannelMask,
) {
    let [model, baked] = [dense_path, baked_path].map(|path| load(path, Some(Dtype::F32)));
    let fed = tokens(model.config().vocab, 41);
    let whole = dense(&model, Window::NONE, Dtype::F32);
    let masked = masked(&model, Window::NONE, Dtype::F32, mask);
    let logits = |model, spec| {
        let (mut cache, _) = prefill(model, spec, &fed[..1], 64);
        step_logits(model, &mut cache, &fed[1..]).concat()
    };
    let (found, expected) = (logits(&baked, &whole), logits(&model, &masked));
    let off = error(&found, &expected);
    assert!(off < 1e-5, "{what}: logits are off by {off:e}");
    let before = error(&logits(&model, &whole), &expected);
    assert!(before > 1e-3, "{what}: the mask changes logits by {before:e} alone");
}

/// `compare --baked` against the two files.
fn check_compare(what: &str, dense_path: &Path, baked_path: &Path, mask: &Path) {
    let [model, baked] = [dense_path, baked_path].map(|path| load(path, Some(Dtype::F32)));
    let prompt = tokens(model.config().vocab, 70);
    let words: Vec<String> = prompt.iter().map(u32::to_string).collect();
    let mut command = kscope();
    command.args(["compare", "--baked", "--dtype", "f32", "--kv-dtype", "f32", "--max-new", "9"]);
    command.args(["--threads", "1"]);
    command.arg("--model").arg(dense_path).arg("--mask").arg(mask);
    let output = command.args(["--json", "--token-ids", &words.join(",")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();

    let said = ids(&report["tokens"]);
    assert_eq!(said[..70], prompt);
    let spec = dense(&model, SMALL, Dtype::F32);
    let (a, b) = (prompt_logits(&model, &prompt, 512), prompt_logits(&baked, &prompt, 512));
    let kld = |a: &[f32], b: &[f32]| StepDivergence::of(a, b, 0).kld;
    let expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| kld(a, b)).collect();
    let found: Vec<f64> =
        report["prompt_klds"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(found.len(), 70);
    let mean = |klds: &[f64]| klds.iter().sum::<f64>() / klds.len() as f64;
    assert!(mean(&expected) > 1e-4, "{what}: the mask costs nothing");
    assert!((mean(&expected) - report["prompt"]["kld"]["mean"].as_f64().unwrap()).abs() < 1e-7);
    let near = |found: &[f64], expected: &[f64]| {
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6 + 1e-4 * b)
    };
    assert!(near(&found, &expected), "{what}: {found:?} {expected:?}");

    let fed = &said[70..said.len() - 1];
    let logits = |model| step_logits(model, &mut prefill(model, &spec, &prompt, 512).0, fed);
    let (a, b) = (logits(&model), logits(&baked));
    let expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| kld(a, b)).collect();
    let steps = report["steps"].as_array().unwrap();
    let found: Vec<f64> = steps.iter().map(|step| step["kld"].as_f64().unwrap()).collect();
    assert_eq!(found.len(), expected.len());
    assert!(near(&found, &expected), "{what}: {found:?} {expected:?}");
}

#[test]
fn a_baked_folder_decodes_as_its_mask_without_a_window() {
    // Groups of one to seven query heads, biases, shards, a k-norm that all heads share, experts.
    for name in
        ["llama-gqa3", "qwen2", "llama-hd80-gqa7", "mistral", "qwen3", "mixtral-fused", "qwen3-moe"]
    {
        let folder = tiny_folder(name);
        let shape = open(folder.path()).config.mask_shape();
        let mask = pairs(shape, name.starts_with("qwen3"));
        let place = tempfile::tempdir().unwrap();
        let (file, out) = (place.path().join("mask.safetensors"), place.path().join("baked"));
        save(&mask, &file);
        std::fs::write(folder.path().join("pytorch_model.bin"), "old weights").unwrap();
        std::fs::create_dir(folder.path().join("original")).unwrap();
        let report = bake(folder.path(), &file, &out);
        assert_eq!(report["dropped_heads"], usize::from(shape.heads() > 1), "{name}");
        assert_eq!(report["left_out"], serde_json::json!(["original", "pytorch_model.bin"]));
        let written = report["files"].as_array().unwrap().len();
        assert_eq!(names(&out).len(), written);
        assert_eq!(names(folder.path()).len(), written + 2);
        check_decode_without_window(name, folder.path(), &out, mask);
        check_compare(name, folder.path(), &out, &file);
    }
}

#[test]
fn a_baked_gguf_file_of_every_type_decodes_as_its_mask_and_differs_in_zeros_alone() {
    let cases = json(&vectors().join("gguf/cases.json"));
    for case in cases["cases"].as_array().unwrap() {
        let name = case["file"].as_str().unwrap();
        let path = vectors().join("gguf").join(name);
        let mask = pairs(open(&path).config.mask_shape(), false);
        let place = tempfile::tempdir().unwrap();
        let (file, out) = (place.path().join("mask.safetensors"), place.path().join("baked.gguf"));
        save(&mask, &file);
        let report = bake(&path, &file, &out);
        let (before, after) = (std::fs::read(&path).unwrap(), std::fs::read(&out).unwrap());
        assert_eq!(before.len(), after.len());
        let changed: Vec<u8> =
            before.iter().zip(&after).filter(|(a, b)| a != b).map(|(_, &b)| b).collect();
        assert!(changed.iter().all(|&byte| byte == 0), "{name}");
        let zeroed = report["zeroed_bytes"].as_u64().unwrap() as usize;
        assert!(changed.len() <= zeroed && changed.len() > zeroed / 2, "{name}");
        check_decode_without_window(name, &path, &out, mask);
        check_compare(name, &path, &out, &file);
    }
}

#[test]
fn a_split_file_is_baked_part_by_part() {
    let place = tempfile::tempdir().unwrap();
    let whole = GgufFile::open(&vectors().join("gguf/llama-f32.gguf"));
    let sizes = [whole.tensors.len() - 4, 4];
    let path = |stem: &str, number| place.path().join(format!("{stem}-0000{number}-of-00002.gguf"));
    for (number, part) in whole.split(&sizes).iter().enumerate() {
        part.write(&path("model", number + 1));
    }
    let mask = pairs(open(&path("model", 1)).config.mask_shape(), false);
    let file = place.path().join("mask.safetensors");
    save(&mask, &file);
    let report = bake(&path("model", 2), &file, &place.path().join("baked.gguf"));
    let parts: Vec<Value> =
        [1, 2].map(|number| path("baked", number).to_str().unwrap().into()).to_vec();
    assert_eq!(report["files"], Value::Array(parts.clone()));
    // What is there to load.
    assert_eq!(report["output"], parts[0]);
    let output = kscope()
        .args(["mask", "bake"])
        .args([&path("model", 1), &file, &path("again", 1)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(path("again", 1).to_str().unwrap()), "{said}");
    assert!(said.contains(&format!("further parts: {}", path("again", 2).display())), "{said}");
    for number in [1, 2] {
        let [one, two] = ["baked", "again"].map(|stem| std::fs::read(path(stem, number)).unwrap());
        assert!(one == two, "part {number}");
    }
    check_decode_without_window("split", &path("model", 1), &path("baked", 1), mask);
    // A part that is there already stays, and no other is written.
    std::fs::remove_file(path("baked", 1)).unwrap();
    let sentence =
        refusal(place.path(), &[&path("model", 1), &file, &place.path().join("baked.gguf")]);
    assert!(sentence.contains("baked-00002-of-00002.gguf is there already"), "{sentence}");
}

#[test]
fn what_cannot_be_baked_is_refused_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let inside = |name: &str| -> PathBuf { place.path().join(name) };
    let llama = tiny_folder("llama-gqa3");
    let shape = open(llama.path()).config.mask_shape();
    let refused =
        |model: &Path, mask: &Path, out: &str| refusal(place.path(), &[model, mask, &inside(out)]);
    let (half, whole, good) = (inside("half"), inside("whole"), inside("good.safetensors"));
    let (half, whole) = (half.with_extension("safetensors"), whole.with_extension("safetensors"));
    save(&ChannelMask::from_fn(shape, |_, _, channel| channel != 3), &half);
    save(&ChannelMask::full(shape), &whole);
    save(&pairs(shape, false), &good);
    let sentence = refused(llama.path(), &half, "out");
    for word in ["half.safetensors", "layer 0, KV head 0", "channel 3", "--pair-closed"] {
        assert!(sentence.contains(word), "{word}: {sentence}");
    }
    assert!(refused(llama.path(), &whole, "out").contains("keeps every channel"));
    let qwen3 = tiny_folder("qwen3");
    let other = inside("qwen3.safetensors");
    save(&pairs(open(qwen3.path()).config.mask_shape(), false), &other);
    assert!(refused(qwen3.path(), &other, "out").contains("share one k-norm weight"));
    assert!(refused(Path::new("demo"), &inside("nothing.safetensors"), "out").contains("nothing"));
    assert!(refused(llama.path(), &good, "out.gguf").contains("expected the name of a folder"));
    let gguf = vectors().join("gguf/llama-q4_k.gguf");
    let of_gguf = inside("gguf.safetensors");
    save(&pairs(open(&gguf).config.mask_shape(), false), &of_gguf);
    assert!(refused(&gguf, &of_gguf, "out").contains("ends in .gguf"));
    for out in ["missing/out", "missing/out.gguf"] {
        let (model, mask) =
            if out.ends_with("gguf") { (&*gguf, &of_gguf) } else { (llama.path(), &good) };
        let sentence = refused(model, mask, out);
        assert!(
            sentence.contains("expected a folder") && !sentence.contains(".kscope-"),
            "{sentence}"
        );
    }
    // A folder inside the model would become a part of it.
    for out in ["baked", "./baked"] {
        let out = llama.path().join(out);
        let sentence = refusal(llama.path(), &[llama.path(), &good, &out]);
        assert!(sentence.contains("outside of the model's folder"), "{sentence}");
    }
    std::fs::create_dir(inside("taken")).unwrap();
    assert!(refused(llama.path(), &good, "taken").contains("is there already"));

    let plan = inside("plan.safetensors");
    let named = CachePlan::named("k8v8", shape).unwrap();
    let mut file = files::read(&good, &files::Split::of(shape)).unwrap().into_mask("good").unwrap();
    file.plan = named;
    files::save(&plan, &Contents::Mask(file), false).unwrap();
    assert!(refused(llama.path(), &plan, "out").contains("expected a mask, found a plan"));
}

#[test]
fn compare_baked_refuses_what_has_no_meaning() {
    let folder = tiny_folder("llama-gqa3");
    let mask = folder.path().join("pairs.safetensors");
    save(&pairs(open(folder.path()).config.mask_shape(), false), &mask);
    for more in [
        ["--mode", "free"],
        ["--batch", "2"],
        ["--lost", "0:0"],
        ["--sink", "4"],
        ["--recent", "0"],
        ["--max-new", "100k"],
    ] {
        let mut command = kscope();
        command.args(["compare", "--baked", "--token-ids", "5,6,7"]).args(more);
        let output = command.arg("--model").arg(folder.path()).arg("--mask").arg(&mask).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(output.stdout.is_empty());
    }
}

/// An importance matrix of a model of one projection of keys and one of queries per layer.
fn imatrix(layers: usize, sums: &[f32], count: f32) -> GgufFile {
    let number = |n: &f32| n.to_le_bytes();
    let tensor = |name: String, numbers: &[f32]| GgufTensor {
        name,
        kind: 0,
        shape: vec![numbers.len()],
        bytes: numbers.iter().flat_map(number).collect(),
    };
    let mut file = GgufFile::default();
    file.set("general.type", GgufValue::String("imatrix".to_owned()));
    file.set("imatrix.chunk_size", GgufValue::U32(1));
    for layer in 0..layers {
        for part in ["attn_k", "attn_q"] {
            let name = |kind: &str| format!("blk.{layer}.{part}.weight.{kind}");
            file.tensors.push(tensor(name("in_sum2"), sums));
            file.tensors.push(tensor(name("counts"), &[count]));
        }
    }
    file
}

#[test]
fn an_importance_matrix_gives_the_size_of_keys_or_is_refused() {
    let path = vectors().join("gguf/llama-f32.gguf");
    let (layers, hidden, shape) = {
        let opened = open(&path);
        (opened.config.layers, opened.config.hidden, opened.config.mask_shape())
    };
    let place = tempfile::tempdir().unwrap();
    let inside = |name: &str| place.path().join(name);
    let by = |rule: &str, model: &Path, name: &str| {
        let mut command = kscope();
        command.args(["score", "--force", "--rule", rule, "--model"]).arg(model);
        command.arg("--imatrix").arg(inside(name)).arg("--out").arg(inside("scores.safetensors"));
        command.output().unwrap()
    };
    let score = |model: &Path, name: &str| by("key-norm", model, name);
    // One token at position 0, where nothing is rotated: keys are the third column of the weights.
    let mut sums = vec![0.0; hidden];
    sums[2] = 12.0;
    imatrix(layers, &sums, 3.0).write(&inside("good.gguf"));
    let output = score(&path, "good.gguf");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = files::read(&inside("scores.safetensors"), &files::Split::of(shape)).unwrap();
    let recipe = &file.origin().recipe;
    assert_eq!((&recipe["tokens"], &recipe["window"]), (&3.into(), &1.into()), "{recipe}");
    let found = file.importance().unwrap().scores().to_vec();
    let model = load(&path, Some(Dtype::F32));
    let config = model.config();
    let weights = model.decoder.weights().unwrap();
    let expected: Vec<f32> = weights
        .layers
        .iter()
        .flat_map(|layer| {
            let wide = layer.qkv.weight.widened();
            let rows = config.q_width()..config.q_width() + config.kv_width();
            rows.map(move |row| 4.0 * wide[row * hidden + 2].powi(2)).collect::<Vec<_>>()
        })
        .collect();
    let (of_found, of_expected) = (found[0], expected[0]);
    let scaled = |all: &[f32], by: f32| all.iter().map(|x| x / by).collect::<Vec<_>>();
    assert!(error(&scaled(&found, of_found), &scaled(&expected, of_expected)) < 1e-5);

    let refused = |model: &Path, name: &str, word: &str| {
        let output = score(model, name);
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{sentence}");
        assert!(sentence.contains(word), "{sentence}");
    };
    refused(&vectors().join("gguf/qwen2-q8_0.gguf"), "good.gguf", "biases");
    refused(tiny_folder("qwen3").path(), "good.gguf", "norm");
    refused(&path, "../nothing.gguf", "nothing.gguf");
    std::fs::write(inside("old.dat"), [1; 40]).unwrap();
    refused(&path, "old.dat", "expected an importance matrix in GGUF form");
    imatrix(layers + 1, &sums, 3.0).write(&inside("deep.gguf"));
    refused(&path, "deep.gguf", "attn_k");
    imatrix(layers, &sums[1..], 3.0).write(&inside("narrow.gguf"));
    refused(&path, "narrow.gguf", "expected 64");
    imatrix(layers, &vec![0.0; hidden], 3.0).write(&inside("zeros.gguf"));
    refused(&path, "zeros.gguf", "attn_k.weight.in_sum2` has zeros alone");
    // Queries are asked for where a rule reads them.
    let mut keys = imatrix(layers, &sums, 3.0);
    keys.tensors.retain(|tensor| tensor.name.contains("attn_k"));
    keys.write(&inside("keys.gguf"));
    assert!(score(&path, "keys.gguf").status.success());
    let output = by("think", &path, "keys.gguf");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("attn_q.weight.in_sum2` is missing"));
    imatrix(layers, &sums, 0.0).write(&inside("empty.gguf"));
    refused(&path, "empty.gguf", "at least 1 token");
    sums[5] = f32::NAN;
    imatrix(layers, &sums, 3.0).write(&inside("nan.gguf"));
    refused(&path, "nan.gguf", "NaN");
    refused(&path, "../../nothing/good.gguf", "nothing");
}
