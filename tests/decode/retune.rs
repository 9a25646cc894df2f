//! Another mask during decode: after any change, decode continues as a fresh session would.

use std::sync::Arc;

use kscope::cache::{CacheSpec, SequenceCache};
use kscope::decode::comparison::Mode;
use kscope::decode::sampler::Sampling;
use kscope::decode::session::{Request, Session};
use kscope::mask::Window;
use kscope::model::decoder::{StepBuffers, with_quiet_hooks};
use rand::{Rng, SeedableRng, rngs::StdRng};

use kscope_testing::demo;
use kscope_testing::sides::{WINDOW, compare, prompt, random_spec, spec, steps};

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Prune more, prune less, change sink, recent window and chunk, and change back: B continues as a
/// session that was prefilled with the prompt and A's tokens and decodes under the new mask.
#[test]
fn every_retune_goes_on_as_a_fresh_dense_prefill_does() {
    let model = demo();
    let config = model.config();
    let ids = prompt(&model, 9, 1200);
    let half = spec(&model, WINDOW, |_, _, channel| channel % 2 == 0);
    let path = [
        ("prune more", spec(&model, WINDOW, |_, _, channel| channel % 4 == 0)),
        ("prune less", spec(&model, WINDOW, |_, _, channel| channel % 8 != 1)),
        (
            "smaller sink and recent",
            spec(&model, Window { sink: 0, recent: 5, chunk: 16 }, |_, _, channel| {
                channel % 2 == 0
            }),
        ),
        (
            "larger sink and recent",
            spec(&model, Window { sink: 64, recent: 150, chunk: 16 }, |_, _, channel| {
                channel % 2 == 0
            }),
        ),
        (
            "another chunk",
            spec(&model, Window { sink: 8, recent: 32, chunk: 61 }, |_, head, channel| {
                head == 0 && channel > 20
            }),
        ),
        ("nothing left", spec(&model, WINDOW, |_, _, _| false)),
        ("undo", Arc::clone(&half)),
    ];
    for mode in [Mode::Forced, Mode::Free] {
        let mut comparison = compare(&model, &half, mode, vec![ids.clone()]);
        for (name, to) in &path {
            steps(&mut comparison, 7);
            comparison.retune(to).unwrap();
            let so_far = comparison.a.generated[0].clone();
            let (last, known) = so_far.split_last().unwrap();
            let tokens = [ids.as_slice(), known].concat();
            let mut fresh = SequenceCache::new(Arc::clone(to));
            with_quiet_hooks(|hooks| model.decoder.prefill(&tokens, &mut [&mut fresh], hooks))
                .unwrap();
            let mut buffers = StepBuffers::new(config, 1);
            model
                .decoder
                .step(&[*last], &mut [&mut fresh], &mut buffers, &mut |_, _, _| ())
                .unwrap();
            steps(&mut comparison, 1);
            assert_eq!(
                comparison.b.generated[0][..so_far.len()],
                so_far[..],
                "{name}: B's text is A's"
            );
            assert_eq!(comparison.b.caches[0].bytes(), fresh.bytes(), "{mode:?} {name}");
            // A prefill multiplies in blocks and a step does not, so the results are equal up to
            // rounding.
            let apart = largest_difference(comparison.b.logits(0, config.vocab), &buffers.logits);
            assert!(apart < 2e-3, "{mode:?} {name}: {apart}");
        }
    }
}

#[test]
fn feeding_changes_on_the_way_and_forced_again_means_the_same_text() {
    let model = demo();
    let nothing = spec(&model, WINDOW, |_, _, _| false);
    let mut comparison = compare(&model, &nothing, Mode::Forced, vec![prompt(&model, 9, 1500)]);
    steps(&mut comparison, 4);
    comparison.set_mode(Mode::Free).unwrap();
    steps(&mut comparison, 20);
    assert_ne!(
        comparison.a.generated, comparison.b.generated,
        "without its middle the model cannot know the code"
    );
    comparison.set_mode(Mode::Forced).unwrap();
    assert_eq!(comparison.a.generated, comparison.b.generated);
    assert_eq!(comparison.a.caches[0].tokens(), comparison.b.caches[0].tokens());
    steps(&mut comparison, 2);
    assert!(comparison.steps[0].last().unwrap().is_some(), "divergence counts again");
}

#[test]
fn rewinding_past_the_first_difference_takes_a_s_text() {
    let model = demo();
    let nothing = spec(&model, Window { sink: 8, recent: 4, chunk: 1 }, |_, _, _| false);
    let mut comparison = compare(&model, &nothing, Mode::Free, vec![prompt(&model, 9, 1500)]);
    steps(&mut comparison, 40);
    let first = comparison.first_divergence(0).expect("the texts differ");
    assert!(first < 30, "{first}");
    comparison.rewind(34).unwrap();
    // Pruned tokens needed all their channels again, which only the dense side could provide.
    assert_eq!(comparison.b.generated, comparison.a.generated);
    assert_eq!(comparison.a.generated[0].len(), 34);
    steps(&mut comparison, 3);
}

/// Without a dense side: every mask that prunes further gives the cache that a gather from a dense
/// prefill would give.
#[test]
fn a_session_alone_can_prune_further_and_nothing_else() {
    let model = demo();
    let ids = prompt(&model, 9, 1200);
    let start = |spec: &Arc<CacheSpec>| {
        let request = Request {
            prompts: vec![ids.clone()],
            sampling: Sampling::default(),
            max_new: 64,
            forced: Some((40..60).collect()),
            context: usize::MAX,
            ignore_end: true,
        };
        with_quiet_hooks(|hooks| Session::start(Arc::clone(&model), spec, request, false, hooks))
            .unwrap()
            .0
    };
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..12 {
        let wide = random_spec(&model, &mut random);
        let window = wide.window();
        let narrower =
            Window { sink: window.sink / 2, recent: window.recent.div_ceil(2), chunk: 1 };
        let narrow = spec(&model, narrower, |layer, head, channel| {
            wide.kept(layer, head).binary_search(&channel).is_ok() && random.random_bool(0.6)
        });
        let mut session = start(&wide);
        session.narrow(&narrow).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let mut fresh = start(&narrow);
        assert_eq!(session.sequences()[0].cache.bytes(), fresh.sequences()[0].cache.bytes());
        for _ in 0..4 {
            session.step(&mut |_, _, _| ()).unwrap();
            fresh.step(&mut |_, _, _| ()).unwrap();
            assert_eq!(session.last_logits(0), fresh.last_logits(0), "round {round}: bit for bit");
        }
    }
    let half = spec(&model, WINDOW, |_, _, channel| channel % 2 == 0);
    let mut session = start(&half);
    let more = session
        .narrow(&spec(&model, WINDOW, |_, _, channel| channel % 3 == 0))
        .unwrap_err()
        .to_string();
    assert!(more.contains("channel 3 was dropped"), "{more}");
    let longer = Window { recent: 60, ..WINDOW };
    let longer = session
        .narrow(&spec(&model, longer, |_, _, channel| channel % 4 == 0))
        .unwrap_err()
        .to_string();
    assert!(longer.contains("cannot become whole again"), "{longer}");
    session.step(&mut |_, _, _| ()).expect("a refusal changes nothing");
}
