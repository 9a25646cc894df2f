//! Prompts of 16-bit models through the device's own attention, on the simulated GPU, against the
//! plain forward pass.

use std::sync::Arc;

use kscope::cache::CacheSpec;
use kscope::element::Dtype;
use kscope::mask::ChannelMask;
use kscope::model::Model;
use kscope::model::decoder::{PrefillHooks, with_quiet_hooks};
use kscope::model::device::Placement;
use kscope::model::load::{Opened, Source};
use kscope_sim::Schedule;
use kscope_testing::models::SMALL;

use crate::decoder::{compare, loaded, on_gpu, prompts, simulator, third};
use crate::simulator::Simulator;

/// A configuration with heads that the kernels know, in a folder.
fn written([head_dim, heads, kv_heads, layers]: [usize; 4], folder: &tempfile::TempDir) -> String {
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": 300, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 4096, "tie_word_embeddings": true
    });
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Random weights of this type.
fn random(shape: [usize; 4], dtype: Dtype, placement: Option<Placement>) -> Arc<Model> {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::random(&written(shape, &folder), None, 11).unwrap();
    loaded(Opened::open(&source).unwrap(), Some(dtype), placement)
}

/// The states after a prompt's tokens, and what an observer saw of each layer.
fn states(model: &Model, prompt: &[u32], chunk: usize) -> (Vec<f32>, Vec<[Vec<f32>; 3]>) {
    let mut seen = Vec::new();
    let hooks = PrefillHooks {
        chunk,
        progress: &mut |_| Ok(()),
        keep_going: &|| Ok(()),
        observe: &mut |view| {
            assert_eq!(view.layer, seen.len());
            seen.push([view.q.to_vec(), view.k.to_vec(), view.v.to_vec()]);
        },
    };
    let states = model.decoder.prefill(prompt, &mut [], hooks);
    (states.unwrap().rows(0..prompt.len()).unwrap(), seen)
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.iter().chain(b).all(|x| x.is_finite()));
    worst / largest
}

#[test]
fn cuda_sim_prompts_of_16_bit_models_take_the_kernel_and_give_the_plain_states() {
    for (shape, dtype) in [
        ([64, 6, 2, 2], Dtype::F16),
        ([128, 4, 1, 2], Dtype::Bf16),
        ([80, 3, 3, 1], Dtype::Bf16),
        ([256, 2, 1, 1], Dtype::F16),
    ] {
        let gpu = simulator();
        let plain = random(shape, dtype, None);
        let there = random(shape, dtype, Some(on_gpu(&gpu)));
        let allowed = if dtype == Dtype::F16 { 3e-3 } else { 2e-2 };
        for tokens in [1, 70, 150] {
            let prompt = prompts(&plain, &[tokens]).remove(0);
            let before = gpu.launches();
            let (expected, plain_views) = states(&plain, &prompt, 64);
            let (found, views) = states(&there, &prompt, 64);
            assert_eq!(gpu.launches() - before, shape[3], "one launch a layer");
            let apart_by = apart(&expected, &found);
            println!("{dtype} {shape:?} {tokens} tokens: states differ by {apart_by:.1e}");
            assert!(apart_by < allowed, "{dtype} {shape:?} {tokens}: {apart_by:e}");
            assert_eq!(views.len(), plain_views.len());
            for (view, plain) in views.iter().flatten().zip(plain_views.iter().flatten()) {
                assert!(apart(plain, view) < allowed, "{dtype} {shape:?} {tokens}");
            }
        }
        let spec = |mask| CacheSpec::new(plain.config().mask_shape(), SMALL, dtype, mask).unwrap();
        let name = format!("{dtype} {shape:?}");
        let all = ChannelMask::full(plain.config().mask_shape());
        compare(&format!("{name}, dense"), &plain, &there, spec(all), &[60, 9], 5, allowed);
        let pruned = spec(third(&plain));
        compare(&format!("{name}, pruned"), &plain, &there, pruned, &[60, 9], 10, allowed);
    }
}

#[test]
fn cuda_sim_a_prompt_in_parts_is_the_prompt_in_one() {
    let gpu = simulator();
    let shape = [64, 2, 1, 2];
    let there = random(shape, Dtype::F16, Some(on_gpu(&gpu)));
    let plain = random(shape, Dtype::F16, None);
    // A part has at least 2,048 tokens.
    let prompt = prompts(&there, &[2100]).remove(0);
    let launches = |chunk: usize| {
        let before = gpu.launches();
        let (states, _) = states(&there, &prompt, chunk);
        (states, gpu.launches() - before)
    };
    let ((parts, of_parts), (whole, of_whole)) = (launches(512), launches(4096));
    assert_eq!((of_parts, of_whole), (2 * shape[3], shape[3]));
    assert!(apart(&whole, &parts) < 1e-5, "{:e}", apart(&whole, &parts));
    let (expected, _) = states(&plain, &prompt, 512);
    let apart_by = apart(&expected, &parts);
    println!("2,100 tokens in two parts: states differ from the CPU's by {apart_by:.1e}");
    assert!(apart_by < 3e-3, "{apart_by:e}");
}

#[test]
fn cuda_sim_an_f32_model_keeps_attention_in_f32() {
    let gpu = simulator();
    let there = random([64, 2, 1, 2], Dtype::F32, Some(on_gpu(&gpu)));
    let plain = random([64, 2, 1, 2], Dtype::F32, None);
    let prompt = prompts(&there, &[90]).remove(0);
    let (expected, _) = states(&plain, &prompt, 64);
    let (found, _) = states(&there, &prompt, 64);
    assert_eq!(gpu.launches(), 0);
    assert!(apart(&expected, &found) < 1e-5);
}

/// A GPU with so many bytes.
fn small_gpu(bytes: u64) -> Placement {
    let gpu = Arc::new(Simulator::new("kscope", &[Schedule::Forward]));
    gpu.limit(bytes);
    on_gpu(&gpu)
}

#[test]
fn cuda_sim_weights_for_which_there_is_no_memory_are_refused_with_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let path = written([64, 2, 1, 2], &folder);
    let opened = Opened::open(&Source::random(&path, None, 11).unwrap()).unwrap();
    let refused = opened.load_on(Some(Dtype::F16), Some(small_gpu(100 << 10)), &mut |_| Ok(()));
    let sentence = refused.map(|_| ()).expect_err("they do not fit").to_string();
    assert!(
        sentence.starts_with("the weights of ")
            && sentence.contains("on the GPU, which has 100 KiB left of 100 KiB"),
        "{sentence}"
    );
}

#[test]
fn cuda_sim_a_prompt_for_which_there_is_no_memory_is_refused_with_sizes() {
    let model = random([64, 2, 1, 2], Dtype::F16, Some(small_gpu(1 << 20)));
    let prompt = prompts(&model, &[2000]).remove(0);
    let refused = with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [], hooks));
    let sentence = refused.expect_err("it does not fit").to_string();
    assert!(
        sentence.starts_with("the prefill of 2,000 tokens needs ")
            && sentence.contains("on the GPU, which has 1.00 MiB left of 1.00 MiB"),
        "{sentence}"
    );
}
