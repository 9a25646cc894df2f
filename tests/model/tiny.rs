//! Tiny random models of every architecture, rope variant and stored element type against
//! transformers.

use kscope::element::Dtype;
use kscope::mask::Window;
use kscope::model::load::hf_config;
use kscope_testing::models::*;
use kscope_testing::vectors;
use serde_json::Value;

fn cases() -> Vec<Value> {
    json(&vectors().join("tiny/cases.json"))["cases"].as_array().unwrap().clone()
}

pub(crate) fn expected(name: &str) -> Expected {
    let file = Vectors::open(&vectors().join("tiny").join(name).join("vectors.safetensors"));
    Expected {
        prompt: file.ids("prompt"),
        positions: file.ids("positions").into_iter().map(|position| position as usize).collect(),
        logits: file.rows("logits"),
        greedy: file.ids("greedy"),
        decode_logits: file.rows("decode_logits"),
    }
}

#[test]
fn prefill_and_decode_equal_transformers_for_every_case() {
    let cases = cases();
    assert_eq!(cases.len(), 40);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (model, expected) = (tiny(name), expected(name));
        assert_eq!((expected.prompt.len(), expected.greedy.len()), (200, 16));
        check_decode(name, &model, &dense(&model, Window::default(), Dtype::F32), &expected, 1e-4);
    }
}

#[test]
fn decode_equals_transformers_while_chunks_move_under_a_full_mask() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let model = tiny(name);
        for window in [SMALL, Window { sink: 0, recent: 1, chunk: 1 }] {
            let spec = dense(&model, window, Dtype::F32);
            check_decode(name, &model, &spec, &expected(name), 1e-4);
        }
    }
}

#[test]
fn sixteen_bit_caches_stay_near_transformers() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let model = tiny(name);
        // Keys and values have 11 and 8 significant bits. The softmax averages their rounding
        // errors, so the error of the logits is about one such step, and two in deeper models. The
        // weights of experts are steep functions of the residual stream.
        let layers = match model.config() {
            config if config.additions.experts.is_some() => 3.0,
            config if config.layers > 3 => 2.0,
            _ => 1.0,
        };
        let spec = dense(&model, SMALL, Dtype::F16);
        check_decode(name, &model, &spec, &expected(name), layers * 2e-3);
        let mut cache =
            prefill(&model, &dense(&model, SMALL, Dtype::Bf16), &expected(name).prompt, 512).0;
        let found = step_logits(&model, &mut cache, &expected(name).greedy);
        let error = rows_error(&found, &expected(name).decode_logits);
        assert!(error < layers * 2e-2, "{name}: {error:e}");
    }
}

#[test]
fn weights_keep_their_stored_type_and_widening_them_changes_nothing() {
    let mut types = Vec::new();
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let stored = match case["stored"].as_str().unwrap() {
            "float32" => Dtype::F32,
            "float16" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            other => panic!("{other}"),
        };
        types.push(stored);
        let folder = tiny_folder(name);
        assert_eq!(load(folder.path(), None).weight_types().to_string(), stored.name(), "{name}");
        let wide = load(folder.path(), Some(Dtype::F32));
        assert_eq!(wide.weight_types().to_string(), "f32");
        check_decode(name, &wide, &dense(&wide, SMALL, Dtype::F32), &expected(name), 1e-4);
    }
    assert!(Dtype::ALL.iter().all(|dtype| types.contains(dtype)), "the cases store {types:?}");
}

#[test]
fn weights_rounded_to_sixteen_bits_stay_near_transformers() {
    for (name, dtype, tolerance) in
        [("llama", Dtype::F16, 3e-3), ("qwen2", Dtype::Bf16, 3e-2), ("qwen3", Dtype::F16, 3e-3)]
    {
        let model = load(tiny_folder(name).path(), Some(dtype));
        assert_eq!(model.weight_types().to_string(), dtype.name());
        let logits = prompt_logits(&model, &expected(name).prompt, 512);
        let found: Vec<_> =
            expected(name).positions.iter().map(|&position| logits[position].clone()).collect();
        let error = rows_error(&found, &expected(name).logits);
        assert!(error > 1e-5 && error < tolerance, "{name}: {error:e}");
    }
}

#[test]
fn every_spelling_of_a_configuration_reads_as_the_same_model() {
    let config = |name: &str| {
        let path = vectors().join("tiny").join(name).join("config.json");
        hf_config::open(&path).unwrap().0
    };
    for spellings in [
        &["llama", "llama-rope-parameters", "llama-sparse-config"][..],
        &["llama-linear", "llama-linear-rope-type"],
        &["smollm3", "smollm3-interval"],
        &["gemma3", "gemma3-rope-parameters"],
        &["llama3", "llama3-rope-parameters"],
        &["qwen2-yarn-type", "qwen2-yarn-rope-type", "qwen2-yarn-rope-parameters"],
        &["mistral", "mistral-null-head-dim", "mistral-no-head-dim"],
    ] {
        for other in &spellings[1..] {
            assert_eq!(config(other), config(spellings[0]), "{other}");
        }
    }
    assert_ne!(config("qwen2-yarn-options"), config("qwen2-yarn-type"));
}

#[test]
fn rotation_speeds_and_temperature_are_those_of_transformers() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let model = tiny(name);
        let rope = model.decoder.rope();
        let mut turns = rope.wavelengths().into_iter().filter(|wavelength| wavelength.is_finite());
        let slowest = 2.0 * std::f64::consts::PI / turns.next_back().unwrap();
        let expected = case["rope"]["slowest_inv_freq"].as_f64().unwrap();
        assert!(
            (slowest / expected - 1.0).abs() < 1e-6,
            "{name}: slowest {slowest:e}, expected {expected:e}"
        );
        let half = model.config().head_dim / 2;
        let (mut cos, mut sin) = (vec![0.0; half], vec![0.0; half]);
        rope.angles(0, 0, &mut cos, &mut sin);
        let factor = case["rope"]["attention_factor"].as_f64().unwrap();
        assert!(
            (f64::from(cos[0]) / factor - 1.0).abs() < 1e-6,
            "{name}: cos {}, expected {factor}",
            cos[0]
        );
    }
}

#[test]
fn yarn_widens_the_usable_context_and_the_others_do_not() {
    let context = |name: &str| tiny(name).config().max_context;
    assert_eq!(
        context("qwen2-yarn-type"),
        256,
        "4 x the original 64, although max_position_embeddings says 64"
    );
    assert_eq!(context("qwen2"), 512);
    assert_eq!(context("llama3"), 512);
    assert_eq!(context("llama-linear"), 512);
}

#[test]
fn the_tokenizer_and_the_chat_template_of_a_folder_are_read() {
    let model = tiny("llama3");
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let strings = json(&vectors().join("tiny/cases.json"))["tokenizer"].as_array().unwrap().clone();
    assert_eq!(strings.len(), 4);
    for string in &strings {
        assert_eq!(
            tokenizer.encode(string["text"].as_str().unwrap()).unwrap(),
            ids(&string["ids"]),
            "{string}"
        );
    }
    let rendered = tokenizer.template().unwrap().render(&[("user", "hi")]).unwrap();
    assert_eq!(rendered, "<s>user: hi</s><s>assistant: ");
    assert_eq!(tokenizer.encode_chat("hi").unwrap(), ids(&strings[2]["ids"]));
    assert_eq!(model.config().eos, [2, 3, 4], "all end tokens of config.json");
}
