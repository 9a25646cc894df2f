//! Decode steps on the simulated GPU: recorded and repeated, what the self test does with them, and
//! memory that is refused before it is taken.

use std::sync::Arc;

use kscope::attention::cuda::params::SequenceState;
use kscope::bench::verify::{compare_models, compare_recording};
use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope::model::decoder::{StepBuffers, with_quiet_hooks};
use kscope::model::load::{Opened, Source};
use kscope_sim::Schedule;
use kscope_testing::models::SMALL;

use crate::decoder::{
    compare, decode, loaded, on_gpu, on_simulator, prompts, random, simulator, third,
};
use crate::simulator::{Operation, Simulator, Traffic};

/// Everything that differs between steps is in memory that does not move, so the launches stay the
/// same, also where a slab is full and the work is divided anew.
#[test]
fn cuda_sim_a_step_is_recorded_once_and_repeated() {
    let gpu = simulator();
    let (plain, tensors) = (random(64, 4, 2, None), random(64, 4, 2, Some(on_gpu(&gpu))));
    for mask in [third(&plain), ChannelMask::full(plain.config().mask_shape())] {
        let before = gpu.repeated();
        // The first sequence gets its second slab in the fourth step: 4 of the sink, 256 of the
        // slab, 24 recent, and a chunk.
        let steps = 18;
        let spec = CacheSpec::new(plain.config().mask_shape(), SMALL, Dtype::F16, mask).unwrap();
        compare("recorded", &plain, &tensors, spec, &[288, 150], steps, 2e-3);
        // The first step goes launch by launch, unless a cache that was freed left its launches.
        let repeated = gpu.repeated() - before;
        assert!((steps - 1..=steps).contains(&repeated), "{repeated} of {steps} steps repeated");
    }
    let before = gpu.repeated();
    let shared = tensors.decoder.share();
    assert!(shared.is_some() && plain.decoder.share().is_none());
    let spec =
        || CacheSpec::new(plain.config().mask_shape(), SMALL, Dtype::F16, third(&plain)).unwrap();
    compare("shared", &plain, &tensors, spec(), &[40], 6, 2e-3);
    assert_eq!(
        gpu.repeated(),
        before,
        "nothing is recorded while another thread may ask for something"
    );
    drop(shared);
    compare("alone again", &plain, &tensors, spec(), &[41], 6, 2e-3);
    assert!((5..=6).contains(&(gpu.repeated() - before)), "repeated again");
}

/// What a token costs besides arithmetic: operations that a GPU starts one by one, and bytes between
/// it and the host. Memory is the same in every step: a repeated step asks for the recorded
/// operations over the recorded addresses, which the simulator compares.
#[test]
fn cuda_sim_a_token_takes_ten_operations_a_layer_and_little_of_the_bus() {
    let (head_dim, vocab) = (64, 300);
    for batch in [1, 3] {
        let gpu = simulator();
        let model = random(head_dim, 4, 2, Some(on_gpu(&gpu)));
        let shape = model.config().mask_shape();
        let spec = Arc::new(CacheSpec::new(shape, SMALL, Dtype::F16, third(&model)).unwrap());
        let steps = |from: usize, count: usize| -> Vec<Vec<u32>> {
            (from..from + count).map(|step| vec![step as u32 % 300; batch]).collect()
        };
        let lengths = vec![60; batch];
        let (_, mut caches) = decode(&model, &spec, &prompts(&model, &lengths), &steps(0, 4));
        assert_eq!(gpu.repeated(), 3);
        let operations = gpu.recorded();
        let products = operations.iter().filter(|of| matches!(of, Operation::Product(_))).count();
        let layers = shape.layers;
        println!(
            "batch {batch}: {} operations for {layers} layers, {products} of them products",
            operations.len()
        );
        // Four products, rotation with the append, attention and its merge, the gate, and what lies
        // between two branches, twice. Beside the layers the embedding and the logits.
        assert_eq!((operations.len(), products), (10 * layers + 2, 4 * layers + 1));

        let mut buffers = StepBuffers::new(model.config(), batch);
        gpu.take_traffic();
        for tokens in steps(4, 3) {
            let mut all: Vec<&mut SequenceCache> = caches.iter_mut().collect();
            model.decoder.step(&tokens, &mut all, &mut buffers, &mut |_, _, _| ()).unwrap();
            let [into, out] = gpu.take_traffic();
            // In: states, then angles and token ids together. Out: logits, then states.
            let states = batch * size_of::<SequenceState>();
            assert_eq!(into, Traffic { copies: 2, bytes: states + batch * (head_dim * 4 + 4) });
            assert_eq!(out, Traffic { copies: 2, bytes: states + batch * vocab * 4 });
            assert!(into.bytes / batch < 8 << 10 && states / batch < 8 << 10);
        }
    }
}

/// What `kscope selftest` does with the demo on a GPU, and that it can fail.
#[test]
fn cuda_sim_the_self_test_compares_whole_models() {
    let demo = |placement| loaded(Opened::open(&Source::Demo).unwrap(), None, placement);
    let gpu = simulator();
    let (here, there) = (demo(None), demo(Some(on_gpu(&gpu))));
    let outcome = compare_models(&here, &there).unwrap();
    println!("the demo: logits differ by {:.1e} of {:.0e}", outcome.error, outcome.allowed);
    assert!(
        outcome.error > 0.0 && outcome.error < outcome.allowed && gpu.repeated() > 60,
        "{outcome:?}"
    );
    let other = compare_models(&random(64, 4, 2, None), &random(64, 4, 4, Some(on_simulator())));
    assert!(other.is_err(), "another model is no pass");
}

/// What `kscope selftest` does with recorded steps, and that it can fail.
#[test]
fn cuda_sim_the_self_test_compares_recorded_steps_with_launched_ones() {
    let on = |gpu: &Arc<Simulator>| random(64, 4, 2, Some(on_gpu(gpu)));
    let (gpu, repeats) = (simulator(), simulator());
    let outcome = compare_recording(&on(&gpu), &on(&repeats)).unwrap();
    assert_eq!(gpu.repeated(), 0, "one model goes launch by launch");
    assert!(repeats.repeated() > 35 && outcome.compared > 10_000, "{outcome:?}");
    assert_eq!(outcome.error, 0.0, "the same launches over the same numbers");
    let mut forgetful = Simulator::new("kscope", &[Schedule::Forward]);
    forgetful.forgets = true;
    let forgetful = Arc::new(forgetful);
    let failed = compare_recording(&on(&simulator()), &on(&forgetful)).unwrap_err().to_string();
    // The key that is not appended is read as a NaN.
    assert!(failed.contains("NaN"), "{failed}");
}

/// A device that cannot record gives the same results, says why, and passes no comparison of recorded
/// steps.
#[test]
fn cuda_sim_steps_that_are_not_recorded_say_so() {
    let mut gpu = Simulator::new("kscope", &[Schedule::Forward]);
    gpu.unrecorded = Some("capturing a decode step: no");
    let gpu = Arc::new(gpu);
    let (plain, tensors) = (random(64, 4, 2, None), random(64, 4, 2, Some(on_gpu(&gpu))));
    let shape = plain.config().mask_shape();
    let spec = CacheSpec::new(shape, SMALL, Dtype::F16, third(&plain)).unwrap();
    compare("launch by launch", &plain, &tensors, spec, &[60], 5, 2e-3);
    let steps = tensors.decoder.device_steps().unwrap();
    assert_eq!((steps.steps, steps.repeated), (5, 0));
    assert_eq!(steps.not_recorded.as_deref(), gpu.unrecorded);
    assert!(plain.decoder.device_steps().is_none());
    let failed = compare_recording(&random(64, 4, 2, Some(on_simulator())), &tensors);
    let failed = failed.unwrap_err().to_string();
    assert!(
        failed.contains("0 of 45 steps repeated a recording: capturing a decode step: no"),
        "{failed}"
    );
}

/// A cache that does not fit is refused with sizes before anything of it is taken: the simulated
/// GPU panics where memory is taken that is not there.
#[test]
fn cuda_sim_memory_is_refused_with_sizes_before_it_is_taken() {
    let gpu = Arc::new(Simulator::new("kscope", &[Schedule::Forward]));
    gpu.limit(8 << 20);
    let model = random(64, 4, 2, Some(on_gpu(&gpu)));
    let sentence =
        model.check_cache_memory("a cache of 9 sequences", 9 << 20).unwrap_err().to_string();
    assert_eq!(
        sentence,
        "a cache of 9 sequences needs 9.00 MiB on the GPU, which has 8.00 MiB left of 8.00 MiB: a shorter context, fewer sequences or quantised weights take less"
    );
    model.check_cache_memory("a cache", 1 << 20).unwrap();
    // Sequence after sequence, until one does not fit. A slab is 256 KiB.
    let spec = Arc::new(CacheSpec::dense(model.config().mask_shape(), SMALL, Dtype::F16).unwrap());
    let mut caches = Vec::new();
    let refused = (0..32).find_map(|_| {
        let mut cache = SequenceCache::new(Arc::clone(&spec));
        let prompt = prompts(&model, &[300]).remove(0);
        let filled =
            with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [&mut cache], hooks));
        caches.push(cache);
        filled.err()
    });
    let sentence = refused.expect("32 sequences do not fit").to_string();
    assert!(
        sentence.contains("on the GPU, which has") && sentence.contains("left of 8.00 MiB"),
        "{sentence}"
    );
    assert!(caches.len() > 2, "some fit");
}

/// What a step takes besides the caches is asked for as well, each part by its name.
#[test]
fn cuda_sim_working_memory_is_refused_with_sizes_before_it_is_taken() {
    let gpu = Arc::new(Simulator::new("kscope", &[Schedule::Forward]));
    let model = random(64, 4, 2, Some(on_gpu(&gpu)));
    let spec = Arc::new(CacheSpec::dense(model.config().mask_shape(), SMALL, Dtype::F16).unwrap());
    let mut cache = SequenceCache::new(spec);
    let prompt = prompts(&model, &[60]).remove(0);
    with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [&mut cache], hooks)).unwrap();
    let mut buffers = StepBuffers::new(model.config(), 1);
    let mut refusals = Vec::new();
    for left in (9..24).map(|bits| 1 << bits) {
        gpu.limit(gpu.taken() + left);
        let step = model.decoder.step(&[5], &mut [&mut cache], &mut buffers, &mut |_, _, _| ());
        match step {
            Ok(()) => break,
            Err(refused) => refusals.push(refused.to_string()),
        }
    }
    assert_eq!(cache.tokens(), 61, "with enough memory the step is made");
    assert!(
        refusals.iter().all(|refused| refused.contains("on the GPU, which has")),
        "{refusals:?}"
    );
    for part in ["working memory of decode attention", "working memory of steps of 1 sequence"] {
        assert!(refusals.iter().any(|refused| refused.contains(part)), "{part}: {refusals:?}");
    }
}

/// A ragged batch plans anew again and again, and repeats one recording all the same.
#[test]
fn cuda_sim_a_ragged_batch_repeats_one_recording() {
    let gpu = simulator();
    let model = random(64, 4, 2, Some(on_gpu(&gpu)));
    let shape = model.config().mask_shape();
    let window = Window { sink: 4, recent: 8, chunk: 4 };
    let spec = Arc::new(CacheSpec::new(shape, window, Dtype::F16, third(&model)).unwrap());
    // Their slabs fill, and their windows grow, at different steps.
    let lengths = [258, 3, 262, 60, 265, 270, 40, 255];
    let steps = 40;
    let fed: Vec<Vec<u32>> =
        (0..steps).map(|step| vec![step as u32 % 300; lengths.len()]).collect();
    decode(&model, &spec, &prompts(&model, &lengths), &fed);
    let repeated = gpu.repeated();
    println!("{repeated} of {steps} steps of a ragged batch repeat a recording");
    assert!(20 * repeated >= 19 * (steps - 1), "{repeated} of {steps} steps");
}
