//! GGUF files of every supported element type, made by gguf-py, against transformers on their
//! dequantised weights.

use kscope::element::Dtype;
use kscope::model::config::Config;
use kscope::model::load::hf_config;
use kscope::model::rope::Rope;
use kscope::model::rope_scaling::RopeScaling;
use kscope_testing::models::*;
use kscope_testing::vectors;
use serde_json::Value;

fn cases() -> Vec<Value> {
    json(&vectors().join("gguf/cases.json"))["cases"].as_array().unwrap().clone()
}

fn path(case: &Value) -> std::path::PathBuf {
    vectors().join("gguf").join(case["file"].as_str().unwrap())
}

fn expected(name: &str) -> Expected {
    let file = Vectors::open(&vectors().join("gguf/vectors.safetensors"));
    let cases = json(&vectors().join("gguf/cases.json"));
    Expected {
        prompt: file.ids(&format!("{name}.prompt")),
        positions: ids(&cases["positions"]).into_iter().map(|position| position as usize).collect(),
        logits: file.rows(&format!("{name}.logits")),
        greedy: file.ids(&format!("{name}.greedy")),
        decode_logits: file.rows(&format!("{name}.decode_logits")),
    }
}

#[test]
fn widened_weights_of_every_type_decode_as_their_dequantised_reference() {
    let cases = cases();
    let types: Vec<&str> = cases.iter().map(|case| case["type"].as_str().unwrap()).collect();
    for needed in
        ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
    {
        assert!(types.contains(&needed), "no case of type {needed}");
    }
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let model = load(&path(&case), Some(Dtype::F32));
        check_decode(name, &model, &dense(&model, SMALL, Dtype::F32), &expected(name), 1e-4);
    }
}

#[test]
fn weights_as_loaded_by_default_stay_near_the_reference() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let model = load(&path(&case), None);
        let stored = case["type"].as_str().unwrap();
        let types = model.weight_types().to_string();
        assert!(types.contains(&stored.to_lowercase()), "{name}: {types}");
        // Floats are exact, and so is a prefill. In decode steps quantised weights meet activations
        // of 8 bits, whose errors are up to 1/254 of the largest of 32.
        let (expected, spec) = (expected(name), dense(&model, SMALL, Dtype::F32));
        if !model.weight_types().is_quantised() {
            check_decode(name, &model, &spec, &expected, 1e-4);
            continue;
        }
        let (mut cache, states) = prefill(&model, &spec, &expected.prompt, 512);
        let hidden = model.config().hidden;
        let rows = expected.positions.iter().map(|at| &states[at * hidden..][..hidden]);
        let logits: Vec<_> = rows.map(|row| model.decoder.logits(row).unwrap()).collect();
        let error = rows_error(&logits, &expected.logits);
        assert!(error < 1e-4, "{name}: prefill logits are off by {error:e}");
        let error =
            rows_error(&step_logits(&model, &mut cache, &expected.greedy), &expected.decode_logits);
        println!("{name} ({types}): logits of steps are off by {error:.1e}");
        assert!(error < 6e-2, "{name}: logits of steps are off by {error:e}");
    }
}

#[test]
fn the_metadata_reads_as_the_configuration_that_the_file_was_made_from() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let found = open(&path(&case)).config;
        let (meant, _) = hf_config::parse(&case["config"].to_string(), name).unwrap();
        let rope = |config: &Config| Rope::new(config).unwrap().wavelengths();
        for (found, meant) in rope(&found).iter().zip(rope(&meant)) {
            assert!(
                (found / meant - 1.0).abs() < 1e-6,
                "{name}: a pair turns in {found} tokens, expected {meant}"
            );
        }
        // Besides the token that the file names as its end, control tokens whose names mark an end
        // also end a text.
        assert!(
            found.eos.contains(&(case["eos"].as_u64().unwrap() as u32)),
            "{name}: {:?}",
            found.eos
        );
        assert_eq!(found.bos, Some(case["bos"].as_u64().unwrap() as u32), "{name}");
        // The file stores the llama3 scaling as divisors, and its epsilon and theta as f32.
        let is_divided = name == "llama-rope-freqs";
        assert_eq!(found.rope_divisors.is_some(), is_divided, "{name}");
        let rope_scaling = if is_divided { RopeScaling::None } else { meant.rope_scaling.clone() };
        let rope_divisors = found.rope_divisors.clone();
        assert_eq!(
            found,
            Config {
                eos: found.eos.clone(),
                bos: found.bos,
                context_key: found.context_key,
                rope_scaling,
                rope_divisors,
                ..meant
            },
            "{name}"
        );
    }
}

#[test]
fn every_tokenizer_gives_the_ids_of_llama_cpp_and_a_beginning_token_only_where_the_file_wants_one()
{
    let strings = json(&vectors().join("gguf/cases.json"))["strings"].as_array().unwrap().clone();
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let model = load(&path(&case), None);
        let tokenizer = model.tokenizer.as_ref().unwrap();
        let expected = case["token_ids"].as_array().unwrap();
        assert_eq!(strings.len(), expected.len());
        for (string, expected) in strings.iter().zip(expected) {
            let text = string.as_str().unwrap();
            let found = tokenizer.encode(text).unwrap();
            assert_eq!(found, ids(expected), "{name}: {text:?}");
            let begins = found.first() == model.config().bos.as_ref();
            assert_eq!(
                begins,
                name == "llama-spm",
                "{name}: {text:?} begins with {:?}",
                found.first()
            );
        }
    }
}
