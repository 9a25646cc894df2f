//! SmolLM2-135M as published, against transformers and llama.cpp.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use kscope::decode::sampler::argmax;
use kscope::decode::session::{Request, Session};
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope::model::Model;
use kscope_testing::models::*;
use kscope_testing::needs::smollm2;
use kscope_testing::{require, vectors};
use serde_json::Value;
use sha2::{Digest, Sha256};

const ENGINES: [&str; 4] =
    ["transformers_f32_shipped", "transformers_f32", "llama_cpp_f32_kv", "llama_cpp_f16_kv"];

/// The model with the weights of the published file; loaded once for all tests.
#[track_caller]
fn shipped() -> Option<Arc<Model>> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let load = || load(&smollm2().unwrap(), None);
    require("model").then(|| Arc::clone(MODEL.get_or_init(load)))
}

/// The same with weights that are widened when they are read.
#[track_caller]
fn widened() -> Option<Arc<Model>> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let load = || load(&smollm2().unwrap(), Some(Dtype::F16));
    require("model").then(|| Arc::clone(MODEL.get_or_init(load)))
}

fn reference() -> Value {
    json(&vectors().join("smollm2.json"))
}

fn text() -> String {
    std::fs::read_to_string(vectors().join("smollm2_text.txt")).unwrap()
}

fn prompt_ids(prompt: &Value) -> Vec<u32> {
    ids(&prompt["ids"])
}

/// The session's greedy tokens equal the engine's, or first differ where the engine's two largest
/// logits are at most 0.1 apart.
fn check_greedy(found: &[u32], engine: &Value, what: &str) {
    let expected = ids(&engine["tokens"]);
    assert_eq!((found.len(), expected.len()), (48, 48));
    let Some(at) = (0..48).find(|&at| found[at] != expected[at]) else { return };
    let top2: Vec<(u64, f64)> = engine["top2"][at]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e[0].as_u64().unwrap(), e[1].as_f64().unwrap()))
        .collect();
    let apart = top2[0].1 - top2[1].1;
    assert!(
        apart < 0.1,
        "{what}: token {at} is {}, expected {}; the two largest are {apart} apart",
        found[at],
        expected[at]
    );
    assert_eq!(u64::from(found[at]), top2[1].0, "{what}: token {at} is neither of the two largest");
}

#[test]
fn greedy_text_of_three_prompts_equals_transformers_and_llama_cpp() {
    let Some(model) = shipped() else { return };
    assert_eq!(model.weight_types().to_string(), "q4_1 + q8_0");
    let reference = reference();
    let prompts = reference["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 3);
    let spec = dense(&model, Window::default(), Dtype::F16);
    let session =
        run(&model, &spec, greedy(&model, prompts.iter().map(prompt_ids).collect(), 48)).unwrap();
    for (prompt, sequence) in prompts.iter().zip(session.sequences()) {
        for engine in ENGINES {
            check_greedy(
                sequence.generated(),
                &prompt[engine],
                &format!("{} against {engine}", prompt["name"]),
            );
        }
    }
}

#[test]
fn logits_along_the_greedy_text_equal_the_references() {
    let Some(model) = widened() else { return };
    for prompt in reference()["prompts"].as_array().unwrap() {
        let engine = &prompt["transformers_f32"];
        let ids = prompt_ids(prompt);
        let (mut cache, states) =
            prefill(&model, &dense(&model, Window::default(), Dtype::F32), &ids, 512);
        let mut logits =
            vec![model.decoder.logits(&states[states.len() - model.config().hidden..]).unwrap()];
        logits.extend(step_logits(
            &model,
            &mut cache,
            &kscope_testing::models::ids(&engine["tokens"])[..20],
        ));
        for (at, (logits, top2)) in
            logits.iter().zip(engine["top2"].as_array().unwrap()).enumerate()
        {
            for entry in top2.as_array().unwrap() {
                let (id, expected) =
                    (entry[0].as_u64().unwrap() as usize, entry[1].as_f64().unwrap() as f32);
                let off = (logits[id] - expected).abs();
                assert!(
                    off < 5e-3,
                    "{}: logit {id} at step {at} is {}, expected {expected}",
                    prompt["name"],
                    logits[id]
                );
            }
        }
    }
}

#[test]
fn perplexity_of_2000_tokens_is_that_of_transformers_and_llama_cpp() {
    let Some(model) = shipped() else { return };
    let reference = &reference()["text"];
    assert_eq!(
        hex(&Sha256::digest(text())),
        reference["sha256"].as_str().unwrap(),
        "another text than the reference's"
    );
    let tokens = model.tokenizer.as_ref().unwrap().encode(&text()).unwrap();
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    assert_eq!(tokens.len() as u64, reference["tokens"].as_u64().unwrap());
    assert_eq!(hex(&Sha256::digest(bytes)), reference["token_ids_sha256"].as_str().unwrap());

    let spec = dense(&model, Window::default(), Dtype::F16);
    let session = run(&model, &spec, greedy(&model, vec![tokens], 0)).unwrap();
    let nll: Vec<f64> =
        session.prompt_logprobs[0].iter().map(|logprob| -f64::from(*logprob)).collect();
    assert_eq!(nll.len(), 2030);
    let perplexity = (nll.iter().sum::<f64>() / nll.len() as f64).exp();
    for engine in ENGINES {
        let engine = &reference[engine];
        let expected = engine["perplexity"].as_f64().unwrap();
        assert!(
            (perplexity / expected - 1.0).abs() < 1e-3,
            "perplexity {perplexity}, expected {expected}"
        );
        // The sums over blocks of 64 tokens show where a difference starts.
        for (at, (found, expected)) in
            nll.chunks(64).zip(engine["nll_by_64"].as_array().unwrap()).enumerate()
        {
            let (found, expected) = (found.iter().sum::<f64>(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() < 0.5,
                "tokens from {}: NLL {found}, expected {expected}",
                at * 64 + 1
            );
        }
    }
}

/// KL of two distributions given by logits, in nats.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let logs = |logits: &[f32]| -> Vec<f64> {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = logits.iter().map(|&logit| f64::from(logit - largest));
        let sum = shifted.clone().map(f64::exp).sum::<f64>().ln();
        shifted.map(|logit| logit - sum).collect()
    };
    let (p, q) = (logs(p), logs(q));
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
}

#[test]
fn steps_over_quantised_weights_stay_near_those_over_widened_ones() {
    let Some(kept) = shipped() else { return };
    let wide = load(&smollm2().unwrap(), Some(Dtype::F32));
    let tokens = kept.tokenizer.as_ref().unwrap().encode(&text()).unwrap();
    let (from, to) = (200, 328);
    let steps = |model: &Model| {
        let spec = dense(model, Window::default(), Dtype::F16);
        let (mut cache, states) = prefill(model, &spec, &tokens[..from], 512);
        let last = &states[states.len() - model.config().hidden..];
        (model.decoder.logits(last).unwrap(), step_logits(model, &mut cache, &tokens[from..to]))
    };
    let ((kept_first, kept), (wide_first, wide)) = (steps(&kept), steps(&wide));
    // A prefill widens the weights.
    assert_eq!(kept_first, wide_first);
    let klds: Vec<f64> = wide.iter().zip(&kept).map(|(p, q)| divergence(p, q)).collect();
    assert_eq!(klds.len(), 128);
    let mean = klds.iter().sum::<f64>() / klds.len() as f64;
    let worst = klds.iter().copied().fold(0.0, f64::max);
    let same = wide.iter().zip(&kept).filter(|(p, q)| argmax(p) == argmax(q)).count();
    println!("KLD of 128 steps: mean {mean:.2e}, largest {worst:.2e}; same top token in {same}");
    // Whole-number products must not drown what is measured over them: a cache of 8 bits costs 1e-5.
    assert!(mean < 2e-6, "KLD {mean:e} over 128 steps");
    assert_ne!(kept, wide, "the steps are those over widened weights");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn log_probabilities_through_decode_equal_those_through_prefill() {
    let Some(model) = widened() else { return };
    let tokens = model.tokenizer.as_ref().unwrap().encode(&text()).unwrap();
    let (from, to) = (100, 180);
    // A window that moves chunks while the tokens are fed; nothing is pruned.
    for (kv, tolerance) in [(Dtype::F32, 2e-3), (Dtype::F16, 2e-2)] {
        let spec = dense(&model, Window { sink: 16, recent: 32, chunk: 16 }, kv);
        let whole = run(&model, &spec, greedy(&model, vec![tokens[..to].to_vec()], 0)).unwrap();
        let forced = Some(tokens[from..to].to_vec());
        let request =
            Request { forced, ..greedy(&model, vec![tokens[..from].to_vec()], to - from) };
        let fed: Session = run(&model, &spec, request).unwrap();
        assert_eq!(fed.sequences()[0].generated(), &tokens[from..to]);
        let (fed, whole) = (&fed.sequences()[0].logprobs, &whole.prompt_logprobs[0][from - 1..]);
        assert_eq!(fed.len(), whole.len());
        let worst = fed.iter().zip(whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < tolerance, "{kv} cache: log-probabilities differ by {worst:e}");
        let sum =
            |logprobs: &[f32]| -logprobs.iter().map(|&logprob| f64::from(logprob)).sum::<f64>();
        assert!(
            (sum(fed) / sum(whole) - 1.0).abs() < 1e-4,
            "{kv} cache: NLL {} and {}",
            sum(fed),
            sum(whole)
        );
    }
}

#[test]
fn every_string_gives_the_ids_of_transformers_and_comes_back() {
    let Some(model) = shipped() else { return };
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let strings = reference()["strings"].as_array().unwrap().clone();
    assert!(strings.len() > 30);
    for string in strings {
        let text = string["text"].as_str().unwrap();
        let found = tokenizer.encode(text).unwrap();
        assert_eq!(found, ids(&string["ids"]), "{text:?}");
        if string.get("ids_without_special").is_none() {
            assert_eq!(
                tokenizer.decode(&found).unwrap(),
                text,
                "special tokens apart, decoding undoes encoding"
            );
        }
    }
}

#[test]
fn chats_render_as_the_template_says_and_give_the_ids_of_transformers() {
    let Some(model) = shipped() else { return };
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let chats = reference()["chats"].as_array().unwrap().clone();
    assert_eq!(chats.len(), 3);
    for chat in chats {
        let message = |message: &Value| {
            (
                message["role"].as_str().unwrap().to_owned(),
                message["content"].as_str().unwrap().to_owned(),
            )
        };
        let messages: Vec<_> = chat["messages"].as_array().unwrap().iter().map(message).collect();
        let messages: Vec<(&str, &str)> =
            messages.iter().map(|(role, content)| (role.as_str(), content.as_str())).collect();
        let rendered = tokenizer.template().unwrap().render(&messages).unwrap();
        assert_eq!(rendered, chat["text"].as_str().unwrap());
        assert_eq!(tokenizer.encode(&rendered).unwrap(), ids(&chat["ids"]));
        if let [("user", content)] = messages[..] {
            assert_eq!(tokenizer.encode_chat(content).unwrap(), ids(&chat["ids"]));
        }
    }
}

#[test]
fn it_has_the_shape_and_the_end_tokens_that_it_was_published_with() {
    let Some(model) = shipped() else { return };
    let config = model.config();
    assert_eq!((config.layers, config.heads, config.kv_heads, config.head_dim), (30, 9, 3, 64));
    assert_eq!(
        (config.hidden, config.intermediate, config.vocab, config.max_context),
        (576, 1536, 49_152, 8192)
    );
    assert_eq!(config.parameters(), 134_515_008);
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let ends: Vec<String> = config.eos.iter().map(|&id| tokenizer.token_text(id)).collect();
    // The first two are published. llama.cpp ends at the third by its name as well.
    assert_eq!(ends, ["<|endoftext|>", "<|im_end|>", "<reponame>"]);
    assert!(Path::new(&smollm2().unwrap()).ends_with("SmolLM2-135M-Instruct.Q4_1.gguf"));
}
