//! Dense against pruned over one prefill: the results of the comparison and the sweep equal those
//! of separate runs.

use std::sync::Arc;

use kscope::cache::{CacheSpec, SequenceCache};
use kscope::decode::comparison::{Mode, Sides};
use kscope::decode::divergence::StepDivergence;
use kscope::decode::sampler::Sampling;
use kscope::decode::sweep::Reference;
use kscope::mask::Window;
use kscope::model::decoder::{StepBuffers, with_quiet_hooks};
use kscope::spread::MedianInterval;

use kscope_testing::demo;
use kscope_testing::sides::{WINDOW, compare, prompt, spec, steps};

#[test]
fn a_mask_of_ones_diverges_by_nothing() {
    let model = demo();
    let full = spec(&model, WINDOW, |_, _, _| true);
    let mut comparison =
        compare(&model, &full, Mode::Free, vec![prompt(&model, 5, 1200), prompt(&model, 5, 300)]);
    steps(&mut comparison, 12);
    for (i, steps) in comparison.steps.iter().enumerate() {
        assert_eq!(
            steps.iter().flatten().count(),
            12,
            "sides that agree are compared at every step"
        );
        assert!(steps.iter().flatten().all(|step| step.kld < 1e-9 && step.same_top), "{steps:?}");
        assert_eq!(comparison.first_divergence(i), None);
    }
    assert_eq!(comparison.a.kv_bytes(), comparison.b.kv_bytes());
}

#[test]
fn forced_divergence_equals_two_separate_runs() {
    let model = demo();
    let pruned = spec(&model, WINDOW, |layer, _, channel| (channel + layer) % 3 == 0);
    let ids = prompt(&model, 5, 1200);
    let mut comparison = compare(&model, &pruned, Mode::Forced, vec![ids.clone()]);
    steps(&mut comparison, 10);
    assert!(
        comparison.steps[0].iter().flatten().any(|step| step.kld > 1e-6),
        "a third of the channels cannot be free"
    );

    // Each side alone: its own prefill, its own cache, the same tokens.
    let fed = &comparison.a.generated[0];
    let logits = |spec: &Arc<CacheSpec>| -> Vec<Vec<f32>> {
        let mut cache = SequenceCache::new(Arc::clone(spec));
        with_quiet_hooks(|hooks| model.decoder.prefill(&ids, &mut [&mut cache], hooks)).unwrap();
        let mut buffers = StepBuffers::new(model.config(), 1);
        let step = |&token: &u32| {
            model
                .decoder
                .step(&[token], &mut [&mut cache], &mut buffers, &mut |_, _, _| ())
                .unwrap();
            buffers.logits.clone()
        };
        fed[..10].iter().map(step).collect()
    };
    let (dense, masked) = (logits(&spec(&model, WINDOW, |_, _, _| true)), logits(&pruned));
    for (i, step) in comparison.steps[0].iter().enumerate() {
        assert_eq!(*step, Some(StepDivergence::of(&dense[i], &masked[i], fed[i + 1])), "step {i}");
    }
}

#[test]
fn free_mode_marks_exactly_the_first_token_that_differs() {
    let model = demo();
    let nothing = spec(&model, WINDOW, |_, _, _| false);
    let mut comparison = compare(&model, &nothing, Mode::Free, vec![prompt(&model, 5, 1500)]);
    steps(&mut comparison, 24);
    let (a, b) = (&comparison.a.generated[0], &comparison.b.generated[0]);
    let first = (0..a.len()).find(|&i| a[i] != b[i]);
    assert!(first.is_some(), "without its middle the model cannot know the code");
    assert_eq!(comparison.first_divergence(0), first);
    let compared = comparison.steps[0].iter().take_while(|step| step.is_some()).count();
    assert_eq!(
        Some(compared),
        first,
        "steps are compared while the texts agree, the differing choice included"
    );
}

#[test]
fn a_retuned_session_goes_on_as_a_fresh_one_over_the_same_tokens() {
    let model = demo();
    let ids = prompt(&model, 5, 1200);
    let first = spec(&model, WINDOW, |_, _, channel| channel % 2 == 0);
    let others = [
        spec(&model, WINDOW, |_, _, channel| channel % 4 == 0),
        spec(&model, WINDOW, |_, _, channel| channel % 2 == 0 || channel > 40),
        spec(&model, Window { sink: 3, recent: 70, chunk: 5 }, |_, head, channel| {
            head == 0 && channel > 20
        }),
        Arc::clone(&first),
    ];
    for other in &others {
        let mut comparison = compare(&model, &first, Mode::Free, vec![ids.clone()]);
        steps(&mut comparison, 8);
        comparison.retune(other).unwrap();
        // Fresh: A's cache of prompt and tokens so far, gathered under the new mask and fed A's
        // last token.
        let mut fresh = comparison.a.caches[0].retuned(Arc::clone(other)).unwrap();
        let mut buffers = StepBuffers::new(model.config(), 1);
        let last = *comparison.a.generated[0].last().unwrap();
        model.decoder.step(&[last], &mut [&mut fresh], &mut buffers, &mut |_, _, _| ()).unwrap();
        comparison.step(Sides::Both, &mut |_, _, _| ()).unwrap();
        assert_eq!(comparison.b.logits(0, model.config().vocab), &buffers.logits[..]);
        assert_eq!(comparison.b.caches[0].bytes(), other.bytes_at(ids.len() + 9));
    }
}

#[test]
fn rewinding_goes_on_as_if_the_tokens_had_never_been() {
    let model = demo();
    let pruned = spec(&model, WINDOW, |layer, _, channel| (channel + layer) % 3 == 0);
    let ids = prompt(&model, 5, 1200);
    let mut rewound = compare(&model, &pruned, Mode::Forced, vec![ids.clone()]);
    steps(&mut rewound, 30);
    let tokens = rewound.a.generated[0].clone();
    rewound.rewind(5).unwrap();
    assert_eq!(rewound.a.generated[0], tokens[..5]);
    assert_eq!(rewound.steps[0].len(), 4);
    steps(&mut rewound, 26);
    assert_eq!(rewound.a.generated[0], tokens, "the dense side repeats itself");

    // Pruned tokens need all their channels again, so B is gathered from A, as after a retune at
    // that token.
    let mut fresh = compare(&model, &pruned, Mode::Forced, vec![ids]);
    steps(&mut fresh, 4);
    fresh.retune(&pruned).unwrap();
    steps(&mut fresh, 26);
    assert_eq!(rewound.steps[0][4..], fresh.steps[0][4..]);
}

#[test]
fn a_sweep_measures_what_a_comparison_measures() {
    let model = demo();
    let ids = prompt(&model, 5, 1200);
    let dense = spec(&model, WINDOW, |_, _, _| true);
    let pruned = spec(&model, WINDOW, |_, _, channel| channel % 3 == 0);
    let greedy = Sampling::default();
    let reference = with_quiet_hooks(|hooks| {
        Reference::run(Arc::clone(&model), &dense, &ids, &greedy, 10, hooks)
    })
    .unwrap();
    let measured = reference.measure(&pruned, &|| Ok(())).unwrap();
    let mut comparison = compare(&model, &pruned, Mode::Forced, vec![ids]);
    steps(&mut comparison, 10);
    let mean = comparison.steps[0].iter().flatten().map(|step| step.kld).sum::<f64>() / 10.0;
    assert!((measured.divergence.kld.mean - mean).abs() < 1e-12);
    assert_eq!(measured.kv_bytes, comparison.b.kv_bytes());
    assert!(reference.kv_bytes() > measured.kv_bytes);
    // Every step has a dense one beside it, and the ratio is of these.
    let (own, beside) = (&measured.step_times, &measured.dense_step_times);
    assert_eq!((own.len(), beside.len()), (10, 10));
    let shares = own.iter().zip(beside).map(|(own, dense)| own.as_secs_f64() / dense.as_secs_f64());
    assert_eq!(measured.beside, MedianInterval::of(shares));
    assert!(measured.beside.is_some());
    // Dense beside dense loses nothing.
    let control = reference.measure(&dense, &|| Ok(())).unwrap();
    assert!(control.divergence.kld.max.abs() < 1e-9, "{}", control.divergence.kld.max);
    assert_eq!(control.kv_bytes, reference.kv_bytes());
    // A sweep that is cancelled ends between two steps.
    let asked = std::cell::Cell::new(0);
    let cancels = || {
        asked.set(asked.get() + 1);
        if asked.get() < 4 { Ok(()) } else { Err(kscope::Error::Cancelled) }
    };
    assert!(reference.measure(&pruned, &cancels).is_err());
    assert_eq!(asked.get(), 4);
}
