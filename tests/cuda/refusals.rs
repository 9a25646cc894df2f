//! Keys, values and queries that a type cannot hold: refused on the simulated GPU as on the host.

use std::path::Path;
use std::sync::Arc;

use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::ChannelMask;
use kscope::model::Model;
use kscope::model::decoder::{StepBuffers, with_quiet_hooks};
use kscope::model::device::Placement;
use kscope::model::observed::ObservedRows;
use kscope_testing::models::{SMALL, change_numbers, changed_number, open};

use crate::decoder::{loaded, on_simulator, prompts};

/// An f16 cache whose mask drops every channel, so that no score ever shows the key of a middle token.
fn blind_cache(model: &Model) -> SequenceCache {
    let shape = model.config().mask_shape();
    let mask = ChannelMask::from_fn(shape, |_, _, _| false);
    SequenceCache::new(Arc::new(CacheSpec::new(shape, SMALL, Dtype::F16, mask).unwrap()))
}

/// A prompt of 50 tokens into an f16 cache.
fn prompt_into_f16(
    folder: &Path,
    dtype: Dtype,
    placement: Option<Placement>,
) -> Result<(), String> {
    let model = loaded(open(folder), Some(dtype), placement);
    let prompt = prompts(&model, &[50]).remove(0);
    let mut cache = blind_cache(&model);
    let filled = with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [&mut cache], hooks));
    filled.map(|_| ()).map_err(|error| error.to_string())
}

/// A refusal without its number, whose last digits may differ, or which may have become infinity.
fn around_number(text: &str) -> (String, String) {
    let (before, after) = text.split_once(" is ").unwrap_or_else(|| panic!("{text}"));
    let after = after.split_once(", and ").unwrap_or_else(|| panic!("{text}")).1;
    (before.to_owned(), after.to_owned())
}

#[test]
fn cuda_sim_a_prompt_that_a_cache_cannot_hold_is_refused_as_on_the_host() {
    for (part, number) in [("k", 1e6), ("k", -1e6), ("v", 1e6)] {
        let tensor = format!("model.layers.0.self_attn.{part}_proj.weight");
        let folder = changed_number("llama-hd256", &tensor, 5 * 32 + 3, number);
        let refusal = |placement| {
            prompt_into_f16(folder.path(), Dtype::F32, placement)
                .expect_err("a cache of this type cannot hold that")
        };
        let (here, there) = (refusal(None), refusal(Some(on_simulator())));
        assert_eq!(around_number(&here), around_number(&there), "{here}\n{there}");
        assert!(here.contains("layer 0") && here.contains("--kv-dtype"), "{here}");
    }
}

#[test]
fn cuda_sim_a_prompt_that_16_bits_cannot_hold_is_refused() {
    let refusal = |part: &str, placement: Option<Placement>| {
        let tensor = format!("model.layers.0.self_attn.{part}_proj.weight");
        let folder = changed_number("llama-hd256", &tensor, 5 * 32 + 3, 1e6);
        prompt_into_f16(folder.path(), Dtype::Bf16, placement)
    };
    for part in ["k", "v"] {
        let here = refusal(part, None).expect_err("f16 cannot hold that");
        let there = refusal(part, Some(on_simulator())).expect_err("f16 cannot hold that");
        assert_eq!(around_number(&here), around_number(&there), "{here}\n{there}");
    }
    // The CPU multiplies queries in f32.
    refusal("q", None).expect("queries are not stored");
    let there = refusal("q", Some(on_simulator())).expect_err("f16 cannot hold that");
    assert!(there.contains("layer 0: a query") && there.contains("f16"), "{there}");
}

#[test]
fn cuda_sim_a_step_that_a_cache_cannot_hold_is_refused_as_on_the_host() {
    const HIDDEN: usize = 32;
    const CHANNEL: usize = 3;
    for (part, number) in [("k", 1e6), ("k", -1e6), ("v", 1e6)] {
        let tensor = format!("model.layers.0.self_attn.{part}_proj.weight");
        let folder = changed_number("llama-hd256", &tensor, 5 * HIDDEN + CHANNEL, number);
        let model = loaded(open(folder.path()), Some(Dtype::F32), None);
        let vocab = model.config().vocab;
        let prompt = prompts(&model, &[50]).remove(0);
        let token = (0..vocab as u32).find(|id| !prompt.contains(id)).unwrap();
        // No token but that one has anything in the channel that is made so large.
        let others = (0..vocab).filter(|&id| id != token as usize);
        change_numbers(
            folder.path(),
            "model.embed_tokens.weight",
            others.map(|id| (id * HIDDEN + CHANNEL, 0.0)),
        );
        // The first step that holds it is made launch by launch, or repeated from a recording.
        for before in [0, 3] {
            let refusal = |placement| {
                let model = loaded(open(folder.path()), Some(Dtype::F32), placement);
                let mut cache = blind_cache(&model);
                with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [&mut cache], hooks))
                    .expect("the prompt fits");
                let mut buffers = StepBuffers::new(model.config(), 1);
                let mut step = |token: u32| {
                    let observe =
                        &mut |_: usize, _: &ObservedRows<'_>, _: &[&mut SequenceCache]| {};
                    model.decoder.step(&[token], &mut [&mut cache], &mut buffers, observe)
                };
                for &id in &prompt[..before] {
                    step(id).expect("these fit as in the prompt");
                }
                let refused = step(token).expect_err("a cache of this type cannot hold that");
                // The cache is what it was, and goes on with another token.
                step(prompt[before]).expect("this one fits");
                (refused.to_string(), cache.tokens(), buffers.logits)
            };
            let [(here, len, logits), (there, len_there, logits_there)] =
                [refusal(None), refusal(Some(on_simulator()))];
            assert_eq!((len, len_there), (prompt.len() + before + 1, len));
            let largest = logits.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
            for (here, there) in logits.iter().zip(&logits_there) {
                assert!((here - there).abs() < 2e-2 * largest, "logits {here} and {there}");
            }
            // A device has rounded the number already.
            assert_eq!(around_number(&here), around_number(&there), "{here}\n{there}");
            let place = format!("position {}", prompt.len() + before);
            assert!(
                here.contains("layer 0, KV head 0, channel") && here.contains(&place),
                "{here}"
            );
        }
    }
}
