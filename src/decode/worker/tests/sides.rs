//! Two sides: retunes, sweeps, timing, what a step lost, going back.

use super::*;
use crate::decode::attended::AskedRange;
use crate::decode::worker::event::MaskInfo;
use crate::mask::{Shape, Width};

#[test]
fn both_sides_are_told_step_by_step() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 60, 20)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let pairs = seen.iter().filter_map(|envelope| {
        if let Event::Pair(pair) = &envelope.event { Some(pair) } else { None }
    });
    let pairs: Vec<_> = pairs.collect();
    assert_eq!(pairs.len(), tokens(&seen));
    for (index, pair) in pairs.iter().enumerate() {
        let (a, b) = (pair.a.as_ref().expect("goes on"), pair.b.as_ref().expect("goes on"));
        assert_eq!(
            (pair.n, a.id, pair.divergence.is_some(), a.ms.is_some()),
            (index + 1, b.id, index > 0, index > 0)
        );
        assert!(a.kv >= b.kv && a.top.len() == 5 && a.top[0].p >= a.top[4].p);
        if let Some(step) = pair.divergence {
            assert_eq!(step.same_top, a.top[0].id == b.top[0].id);
        }
    }
    assert!(
        pairs.last().is_some_and(|pair| pair.a.as_ref().unwrap().kv > pair.b.as_ref().unwrap().kv)
    );
}

#[test]
fn a_retune_counts_from_the_next_token_and_is_measured() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 200, 300)).expect("taken");
    (0..5).for_each(|_| drop(next(&mut events, token_of)));
    engine.send(retune(7, 4)).expect("taken");
    let retuned =
        next(
            &mut events,
            |event| if let Event::Retuned(retuned) = event { Some(*retuned) } else { None },
        );
    assert_eq!((retuned.revision, retuned.mask.label.as_str()), (7, "sparser"));
    let token = next(&mut events, token_of);
    assert_eq!(token.n, retuned.from.expect("a run is under way") + 1);
    let spec = crate::cache::CacheSpec::planned(retuned.window, Dtype::F32, retuned.mask.plan)
        .expect("fits");
    assert_eq!(token.kv, spec.bytes_at(token.cached));
    let measured = next(&mut events, |event| {
        if let Event::Measured(measured) = event { Some(*measured) } else { None }
    });
    assert_eq!(measured.subject, crate::decode::worker::event::Subject::Now(7));
    assert!(
        measured.divergence.steps > 0
            && measured.divergence.kld.mean > 0.0
            && measured.b_ms.p50 > 0.0
    );
    assert!(measured.kv < measured.dense_kv);
}

#[test]
fn a_retune_during_the_prefill_counts_from_its_end_and_the_newest_wins() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 480, 8)).expect("taken");
    for revision in 1..200 {
        engine.send(retune(revision, 2 + revision as usize % 30)).expect("the mailbox never fills");
    }
    engine.send(retune(200, 16)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let last = seen
        .iter()
        .rev()
        .find_map(|e| if let Event::Retuned(retuned) = &e.event { Some(retuned) } else { None });
    assert_eq!(last.expect("applied").revision, 200);
    let token = seen.iter().rev().find_map(|e| token_of(e.event.clone())).expect("tokens");
    let spec = crate::cache::CacheSpec::planned(
        last.unwrap().window,
        Dtype::F32,
        last.unwrap().mask.plan.clone(),
    );
    assert_eq!(token.kv, spec.expect("fits").bytes_at(token.cached));
    // The next run begins with the change.
    engine.send(start(2, 100, 4)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let token = seen.iter().rev().find_map(|e| token_of(e.event.clone())).expect("tokens");
    assert_eq!(token.kv.middle_k, (token.cached - 10) / 2 * 2 * 4 * 5 * 2 * 4);
}

#[test]
fn sweeps_are_measured_trial_by_trial_and_can_be_called_off() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 200, 24)).expect("taken");
    until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let trial = |id: u64| crate::decode::worker::Trial {
        id,
        plan: even_of("trial", 1 << id).plan,
        window: Window { sink: 2, recent: 8, chunk: 2 },
    };
    let measured =
        |event| if let Event::Measured(measured) = event { Some(*measured) } else { None };
    let now = next(&mut events, measured);
    assert_eq!(now.subject, crate::decode::worker::event::Subject::Now(0));
    engine.send(EngineOrder::Sweep((0..5).map(trial).collect())).expect("taken");
    let points: Vec<_> = (0..5).map(|_| next(&mut events, measured)).collect();
    for (id, point) in points.iter().enumerate() {
        assert_eq!(
            (point.subject, point.left),
            (crate::decode::worker::event::Subject::Trial(id as u64), 4 - id)
        );
    }
    assert!(points[0].divergence.kld.max < 1e-9, "a mask of ones loses nothing");
    // A dense step is made beside every step of a mask.
    for point in &points {
        let beside = point.beside.expect("enough steps");
        assert!(beside.low <= beside.median && beside.median <= beside.high, "{beside:?}");
        assert!(point.a_ms.p50 > 0.0);
    }
    // All of them saw a middle; behind a window that is longer than the text nothing is pruned.
    assert!(points.iter().all(|point| point.with_middle == Some(point.divergence.steps)));
    let long = Window { sink: 2, recent: 4_000, chunk: 2 };
    let behind = crate::decode::worker::Trial { window: long, ..trial(1) };
    engine.send(EngineOrder::Sweep(vec![behind])).expect("taken");
    let behind = next(&mut events, measured);
    assert!(behind.is_before_middle() && behind.divergence.kld.max < 1e-9, "{behind:?}");
    // Trial 1 is the current mask, over the same steps.
    assert_eq!(points[1].divergence, now.divergence);
    assert!(points.windows(2).all(|pair| pair[0].kv > pair[1].kv));
    engine.send(EngineOrder::Sweep((0..60).map(|id| trial(id % 5)).collect())).expect("taken");
    engine.send(EngineOrder::Sweep(Vec::new())).expect("taken");
    engine.send(start(2, 20, 4)).expect("taken");
    let rest = until(&mut events, |envelope| {
        envelope.generation == 2 && matches!(envelope.event, Event::Finished(_))
    });
    assert!(
        rest.iter().filter(|e| matches!(e.event, Event::Measured(_))).count() < 10,
        "called off"
    );
}

#[test]
fn both_sides_are_timed_alone() {
    let (engine, mut events) = loaded();
    engine.send(EngineOrder::Time).expect("taken: there is nothing to time yet, and nobody minds");
    engine.send(start(1, 200, 90)).expect("taken");
    (0..70).for_each(|_| drop(next(&mut events, token_of)));
    engine.send(EngineOrder::Time).expect("taken");
    let timed =
        next(
            &mut events,
            |event| if let Event::Timed(timed) = event { Some(*timed) } else { None },
        );
    assert_eq!(timed.steps, 128);
    assert!(timed.a_ms.p50 > 0.0 && timed.b_ms.p50 > 0.0);
}

#[test]
fn what_a_step_lost_is_told_for_any_step_and_head() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 120, 20)).expect("taken");
    until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let ask = |n, layer, head| {
        engine
            .send(EngineOrder::Explain(crate::decode::worker::Asked { n, layer, head }))
            .expect("taken")
    };
    for (n, layer, head) in [(2, 0, 0), (20, 4, 3), (11, 2, 1)] {
        ask(n, layer, head);
        let lost =
            next(
                &mut events,
                |event| if let Event::Lost(lost) = event { Some(*lost) } else { None },
            );
        assert_eq!((lost.asked.n, lost.asked.layer, lost.asked.head), (n, layer, head));
        assert!(
            (lost.exact.iter().sum::<f64>() - 1.0).abs() < 1e-9
                && (lost.pruned.iter().sum::<f64>() - 1.0).abs() < 1e-9
        );
        assert!(
            lost.kld.is_some_and(|kld| kld > 0.0)
                && lost.logit_rms > 0.0
                && lost.tokens.len() >= 10
        );
        for token in &lost.tokens {
            assert!(token.position < 120 + n - 1 && token.exact_weight >= 0.0);
            assert!(
                token.middle || (token.pruned_logit.unwrap() - token.exact_logit).abs() < 1e-9,
                "whole keys lose nothing"
            );
        }
        assert!(lost.tokens[..10].iter().map(|token| token.exact_rank).eq(1..=10));
    }
    ask(1, 0, 0);
    assert!(next(&mut events, refusal).contains("exact prefill"));
    ask(21, 0, 0);
    assert!(next(&mut events, refusal).contains("no such step"));
}

#[test]
fn going_back_repeats_the_dense_side_and_stands_still() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 100, 30)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let ids: Vec<u32> =
        seen.iter().filter_map(|e| token_of(e.event.clone())).map(|token| token.id).collect();
    engine.send(EngineOrder::Rewind(12)).expect("taken");
    assert_eq!(
        next(&mut events, |event| if let Event::Rewound(n) = event { Some(n) } else { None }),
        12
    );
    assert_eq!(next(&mut events, |event| (event == Event::Paused).then_some(())), ());
    engine.send(EngineOrder::Resume).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let again: Vec<u32> =
        seen.iter().filter_map(|e| token_of(e.event.clone())).map(|token| token.id).collect();
    assert_eq!(again, ids[12..]);
}

#[test]
fn free_sides_end_each_by_itself_and_forcing_brings_them_together() {
    let (engine, mut events) = loaded();
    engine.send(EngineOrder::Feed(crate::decode::comparison::Mode::Free)).expect("taken");
    engine.send(retune(1, 64)).expect("taken");
    engine.send(start(1, 300, 60)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let pairs: Vec<_> = seen
        .iter()
        .filter_map(
            |e| if let Event::Pair(pair) = &e.event { Some((**pair).clone()) } else { None },
        )
        .collect();
    let id =
        |voice: &Option<crate::decode::worker::event::Voice>| voice.as_ref().map(|voice| voice.id);
    let first = pairs
        .iter()
        .position(|pair| id(&pair.a) != id(&pair.b))
        .expect("one channel in 64 is not enough");
    assert!(pairs[..first].iter().skip(1).all(|pair| pair.divergence.is_some()));
    assert!(
        pairs[first].divergence.is_some()
            && pairs[first + 1..].iter().all(|pair| pair.divergence.is_none())
    );
    engine.send(EngineOrder::Feed(crate::decode::comparison::Mode::Forced)).expect("taken");
    next(&mut events, |event| {
        (event == Event::Fed(crate::decode::comparison::Mode::Forced)).then_some(())
    });
}

#[test]
fn alone_there_is_nothing_to_compare_with_and_only_further_pruning() {
    let solo: Loader = Box::new(|progress| Ok(Setup { solo: true, ..loader()(progress)? }));
    let (engine, mut events) = Engine::spawn(solo).expect("a thread");
    until(&mut events, |envelope| matches!(envelope.event, Event::Loaded(_)));
    engine.send(start(1, 200, 400)).expect("taken");
    next(&mut events, token_of);
    engine.send(retune(1, 4)).expect("taken");
    next(
        &mut events,
        |event| if let Event::Retuned(retuned) = event { Some(retuned) } else { None },
    );
    engine.send(retune(2, 3)).expect("taken");
    assert!(next(&mut events, refusal).contains("was dropped and is gone"));
    for command in [EngineOrder::Time, EngineOrder::Rewind(1), EngineOrder::Sweep(Vec::new())] {
        engine.send(command).expect("taken");
        assert!(next(&mut events, refusal).contains("--solo"));
    }
    // What had to be refused counts from the next prompt on.
    engine.send(start(2, 100, 3)).expect("taken");
    let retuned =
        next(
            &mut events,
            |event| if let Event::Retuned(retuned) = event { Some(retuned) } else { None },
        );
    assert_eq!((retuned.revision, retuned.from), (2, None));
}

/// A plan of `k` bits on every `every`-th channel and V of 4 bits.
fn coded(k: Width, every: usize) -> MaskInfo {
    let plan = even_of("coded", every).plan;
    let widths = plan.mask().bits().iter().map(|&kept| if kept { k } else { Width::Zero });
    let v = vec![Width::Four; plan.shape().heads()];
    let plan = CachePlan::new(plan.shape(), widths.collect(), v, plan.coding()).expect("a plan");
    MaskInfo { plan, ..even_of("coded", every) }
}

fn retuned_of(event: Event) -> Option<crate::decode::worker::event::Retuned> {
    if let Event::Retuned(retuned) = event { Some(*retuned) } else { None }
}

#[test]
fn a_plan_that_is_set_under_way_stores_its_widths_with_and_without_a_dense_side() {
    for solo in [false, true] {
        let loader: Loader = Box::new(move |progress| Ok(Setup { solo, ..loader()(progress)? }));
        let (engine, mut events) = Engine::spawn(loader).expect("a thread");
        until(&mut events, |envelope| matches!(envelope.event, Event::Loaded(_)));
        engine.send(start(1, 200, 400)).expect("taken");
        next(&mut events, token_of);
        let window = Window { sink: 2, recent: 8, chunk: 2 };
        // Ever fewer bits: what a cache alone can do too.
        for (revision, mask) in [(1, coded(Width::Eight, 2)), (2, coded(Width::Four, 4))] {
            let change = Retune { revision, mask: mask.clone(), window };
            engine.send(EngineOrder::Retune(Box::new(change))).expect("taken");
            let retuned = next(&mut events, retuned_of);
            assert_eq!((retuned.revision, &retuned.mask), (revision, &mask), "solo: {solo}");
            let spec = crate::cache::CacheSpec::planned(window, Dtype::F32, mask.plan);
            let token = next(&mut events, token_of);
            assert_eq!(token.kv, spec.expect("fits").bytes_at(token.cached), "solo: {solo}");
        }
    }
}

#[test]
fn a_plan_of_another_shape_is_refused_and_changes_nothing() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 50, 100)).expect("taken");
    next(&mut events, token_of);
    let shape = Shape { layers: 4, kv_heads: 2, head_dim: 64 };
    let mask = MaskInfo::named("k8v8", CachePlan::named("k8v8", shape).expect("a name"));
    let change = Retune { revision: 1, mask, window: Window::CODED };
    engine.send(EngineOrder::Retune(Box::new(change))).expect("taken");
    let sentence = next(&mut events, refusal);
    assert!(sentence.contains("the plan has shape"), "{sentence}");
    next(&mut events, token_of);
}

#[test]
fn without_a_dense_side_codes_cannot_get_their_bits_back() {
    let solo: Loader = Box::new(|progress| Ok(Setup { solo: true, ..loader()(progress)? }));
    let (engine, mut events) = Engine::spawn(solo).expect("a thread");
    until(&mut events, |envelope| matches!(envelope.event, Event::Loaded(_)));
    engine.send(start(1, 200, 400)).expect("taken");
    next(&mut events, token_of);
    let window = Window { sink: 2, recent: 8, chunk: 2 };
    let set = |revision: u64, k: Width| {
        let change = Retune { revision, mask: coded(k, 2), window };
        engine.send(EngineOrder::Retune(Box::new(change))).expect("taken");
    };
    set(1, Width::Four);
    next(&mut events, retuned_of);
    set(2, Width::Eight);
    let sentence = next(&mut events, refusal);
    assert!(sentence.contains("has 4 bits and cannot have 8 again"), "{sentence}");
    next(&mut events, token_of);
}

#[test]
fn the_attention_of_steps_is_told_newest_first_and_agrees_with_what_a_step_lost() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 120, 20)).expect("taken");
    until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    let asked = AskedRange { layer: 2, head: 1, steps: (9, 20) };
    engine.send(EngineOrder::Attend(asked)).expect("taken");
    let row = |event| if let Event::Attended(row) = event { Some(*row) } else { None };
    for n in (9..=20).rev() {
        let row = next(&mut events, row);
        assert_eq!((row.asked.n, row.asked.layer, row.asked.head), (n, 2, 1));
        assert_eq!((row.each, row.tokens, row.exact.len()), (1, 120 + n - 1, 120 + n - 1));
        for weights in [&row.exact, &row.pruned] {
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        }
        if n == 15 {
            let one = crate::decode::worker::Asked { n, layer: 2, head: 1 };
            engine.send(EngineOrder::Explain(one)).expect("taken");
        }
        if n == 9 {
            assert!(row.middle.0 < row.middle.1 && row.middle.1 < row.tokens);
        }
    }
    let one = crate::decode::worker::Asked { n: 20, layer: 2, head: 1 };
    engine.send(EngineOrder::Attend(AskedRange { steps: (20, 20), ..asked })).expect("taken");
    let row = next(&mut events, row);
    engine.send(EngineOrder::Explain(one)).expect("taken");
    let lost = next(&mut events, |event| match event {
        Event::Lost(lost) if lost.asked == one => Some(*lost),
        _ => None,
    });
    for token in &lost.tokens {
        let (exact, pruned) = (row.exact[token.position], row.pruned[token.position]);
        assert!((f64::from(exact) - token.exact_weight).abs() < 1e-6);
        assert!((f64::from(pruned) - token.pruned_weight).abs() < 1e-6);
    }
    for steps in [(1, 3), (20, 21), (3, 2), (1, 100)] {
        engine.send(EngineOrder::Attend(AskedRange { steps, ..asked })).expect("taken");
        let sentence = next(&mut events, refusal);
        assert!(
            ["exact prefill", "no such step", "expected up to 48 steps"]
                .iter()
                .any(|words| sentence.contains(words)),
            "{steps:?}: {sentence}"
        );
    }
}

#[test]
fn the_bandwidth_is_measured_when_asked_for() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 120, 4)).expect("taken");
    engine.send(EngineOrder::Bandwidth).expect("taken");
    let found = next(&mut events, |event| match event {
        Event::Bandwidth(found) => Some(*found),
        _ => None,
    });
    assert!(found.gbps > 0.1 && found.gbps.is_finite() && found.threads >= 1, "{found:?}");
    assert!(found.weights > 0 && found.ms > 0.0, "{found:?}");
}
