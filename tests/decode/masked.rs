//! Decode over a pruned cache against a slow reference that multiplies full keys by the mask.

use std::sync::Arc;

use kscope::cache::SequenceCache;
use kscope::decode::session::Session;
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope::model::Model;
use kscope::model::decoder::PrefillHooks;
use kscope_testing::models::*;
use kscope_testing::needs::smollm2;
use kscope_testing::plain::Plain;
use kscope_testing::{require, vectors};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// A mask that prunes half to 70 % of the channels at random: any number per head, with every
/// seventh head dropped.
fn random_mask(model: &Model, seed: u64) -> ChannelMask {
    let mut rng = StdRng::seed_from_u64(seed);
    let shape = model.config().mask_shape();
    let mut bits = Vec::with_capacity(shape.entries());
    for head in 0..shape.heads() {
        let share = rng.random_range(0.3..0.6);
        let keep: Vec<bool> =
            (0..shape.head_dim).map(|_| head % 7 != 5 && rng.random_bool(share)).collect();
        bits.extend(keep);
    }
    ChannelMask::new(shape, bits).unwrap()
}

fn argmax(logits: &[f64]) -> u32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
}

fn logprob(logits: &[f64], token: u32) -> f64 {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits[token as usize] - max - logits.iter().map(|logit| (logit - max).exp()).sum::<f64>().ln()
}

/// Decodes `count` tokens after `prompt` with a session; the plain code speaks for itself, from the
/// same first token. Returns the largest difference of the log-probabilities, and the tokens.
fn speak(
    model: &Arc<Model>,
    window: Window,
    mask: &ChannelMask,
    prompt: &[u32],
    count: usize,
) -> (f64, Vec<u32>) {
    let mut plain = Plain::new(model, window, mask);
    let spec = masked(model, window, Dtype::F32, mask.clone());
    let request = greedy(model, vec![prompt.to_vec()], count);
    let hooks = PrefillHooks {
        chunk: PrefillHooks::CHUNK,
        progress: &mut |_| Ok(()),
        keep_going: &|| Ok(()),
        observe: &mut |view| plain.observe(&view),
    };
    let (mut session, first) =
        Session::start(Arc::clone(model), &spec, request, false, hooks).unwrap();
    let (mut token, mut worst, mut tokens) = (first[0].id, 0.0_f64, vec![first[0].id]);
    while !session.is_finished() {
        let new = session.step(&mut |_, _, _| ()).unwrap()[0];
        let logits = plain.step(token);
        token = argmax(&logits);
        assert_eq!(
            new.id,
            token,
            "token {} of {:?}",
            tokens.len(),
            session.sequences()[0].generated()
        );
        worst = worst.max((f64::from(new.logprob) - logprob(&logits, token)).abs());
        tokens.push(token);
    }
    (worst, tokens)
}

#[test]
fn masked_decode_of_2000_tokens_of_smollm2_equals_full_keys_multiplied_by_the_mask_token_for_token()
{
    if !require("model") {
        return;
    }
    let model = load(&smollm2().unwrap(), Some(Dtype::F16));
    let text = std::fs::read_to_string(vectors().join("smollm2_text.txt")).unwrap();
    let prompt = &model.tokenizer.as_ref().unwrap().encode(&text).unwrap()[..2000];
    let mask = random_mask(&model, 1);
    assert!((0.3..=0.5).contains(&mask.kept_ratio()), "{}", mask.kept_ratio());
    assert!(
        mask.kept_counts().contains(&0) && mask.kept_counts().iter().any(|count| count % 8 != 0)
    );

    let (worst, tokens) = speak(&model, Window::default(), &mask, prompt, 16);
    assert!(
        tokens.len() == 16 && worst < 1e-3,
        "{} tokens, log-probabilities differ by {worst:e}",
        tokens.len()
    );
    let dense = dense(&model, Window::default(), Dtype::F32);
    let session = run(&model, &dense, greedy(&model, vec![prompt.to_vec()], 16)).unwrap();
    assert_ne!(session.sequences()[0].generated(), tokens, "this mask is meant to change the text");
}

#[test]
fn masked_decode_equals_full_keys_multiplied_by_the_mask_for_every_architecture() {
    for name in [
        "llama",
        "llama-gqa3",
        "llama-hd80-gqa7",
        "llama-hd256",
        "llama3",
        "mistral",
        "qwen2",
        "qwen2-yarn-type",
        "qwen3",
        "olmo2",
        "granite",
        "smollm3",
        "phi3-partial",
        "phi3-longrope-short",
        "mistral-window",
        "ministral",
        "qwen2-window",
        "gemma2",
        "gemma3",
        "mixtral",
        "mixtral-window",
        "qwen3-moe",
        "qwen3-moe-mixed",
    ] {
        let model = tiny(name);
        let prompt = Vectors::open(&vectors().join("tiny").join(name).join("vectors.safetensors"))
            .ids("prompt");
        for (seed, window) in [
            SMALL,
            Window { sink: 0, recent: 1, chunk: 1 },
            Window { sink: 3, recent: 0, chunk: 5 },
        ]
        .into_iter()
        .enumerate()
        {
            let mask = random_mask(&model, seed as u64);
            let count = 40.min(model.config().max_context - prompt.len());
            let (worst, _) = speak(&model, window, &mask, &prompt, count);
            assert!(worst < 1e-4, "{name}: log-probabilities differ by {worst:e}");
        }
    }
}

#[test]
fn a_mask_changes_nothing_before_the_first_chunk_moves_and_something_right_after() {
    let model = tiny("llama");
    let mask = random_mask(&model, 3);
    let prompt = Vectors::open(&vectors().join("tiny/llama/vectors.safetensors")).ids("prompt");
    let until = SMALL.sink + SMALL.recent + SMALL.chunk;
    let logits = |mask: &ChannelMask| {
        let spec = masked(&model, SMALL, Dtype::F32, mask.clone());
        let mut cache = SequenceCache::new(spec);
        step_logits(&model, &mut cache, &prompt[..until])
    };
    let (pruned, whole) = (logits(&mask), logits(&ChannelMask::full(model.config().mask_shape())));
    assert_eq!(pruned[..until - 1], whole[..until - 1]);
    assert_ne!(pruned[until - 1], whole[until - 1]);
}

#[test]
fn the_first_token_of_a_masked_run_is_the_dense_one() {
    let model = tiny("qwen3");
    let prompt = Vectors::open(&vectors().join("tiny/qwen3/vectors.safetensors")).ids("prompt");
    let nothing = ChannelMask::from_fn(model.config().mask_shape(), |_, _, _| false);
    let logprobs = |spec| {
        run(&model, &spec, greedy(&model, vec![prompt.clone()], 4)).unwrap().sequences()[0]
            .logprobs
            .clone()
    };
    let pruned = logprobs(masked(&model, SMALL, Dtype::F32, nothing));
    let whole = logprobs(dense(&model, SMALL, Dtype::F32));
    assert_eq!(pruned[0], whole[0]);
    assert_ne!(pruned[1], whole[1]);
}
