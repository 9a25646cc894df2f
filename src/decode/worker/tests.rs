//! The engine on the embedded model.

use std::sync::Arc;

use tokio::sync::mpsc::Receiver;

use super::{Engine, EngineOrder, Envelope, Event, Loader, Prompt, Retune, Setup, Start};
use crate::decode::sampler::Sampling;
use crate::decode::session::Finish;
use crate::element::Dtype;
use crate::mask::{ChannelMask, Rule, Window};
use crate::model::load::{Opened, Source};

fn loader() -> Loader {
    Box::new(|progress| {
        let model = Arc::new(Opened::open(&Source::Demo)?.load(None, progress)?);
        let shape = model.config().mask_shape();
        let mask = super::event::MaskInfo {
            label: "even".to_owned(),
            mask: ChannelMask::from_fn(shape, |_, _, channel| channel % 2 == 0),
            importance: None,
            rule: "test".to_owned(),
            align: 1,
            sparsity: None,
        };
        let window = Window { sink: 2, recent: 8, chunk: 2 };
        let (kv_dtype, context) = (Dtype::F32, 512);
        let (solo, feed) = (false, Default::default());
        Ok(Setup {
            model,
            mask: Some(mask),
            other: None,
            window,
            kv_dtype,
            context,
            solo,
            feed,
            warnings: Vec::new(),
        })
    })
}

fn start(generation: u64, tokens: u32, max_new: usize) -> EngineOrder {
    let prompt = Prompt::Tokens((10..10 + tokens).collect());
    EngineOrder::Start(Box::new(Start {
        generation,
        prompt,
        sampling: Sampling::default(),
        max_new,
    }))
}

/// Events up to the first that `last` holds for.
fn until(events: &mut Receiver<Envelope>, last: impl Fn(&Envelope) -> bool) -> Vec<Envelope> {
    let mut seen = Vec::new();
    loop {
        let envelope = events.blocking_recv().expect("the engine goes on");
        let done = last(&envelope);
        seen.push(envelope);
        if done {
            return seen;
        }
    }
}

fn loaded() -> (Engine, Receiver<Envelope>) {
    let (engine, mut events) = Engine::spawn(loader()).expect("a thread");
    until(&mut events, |envelope| matches!(envelope.event, Event::Loaded(_)));
    (engine, events)
}

fn tokens(events: &[Envelope]) -> usize {
    events.iter().filter(|envelope| matches!(envelope.event, Event::Token(_))).count()
}

#[test]
fn a_run_tells_its_beginning_its_tokens_and_its_end() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 40, 12)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    assert!(seen.iter().all(|envelope| envelope.generation == 1));
    let Some(Event::Started(started)) =
        seen.iter().map(|e| &e.event).find(|event| matches!(event, Event::Started(_)))
    else {
        panic!("{seen:?}")
    };
    assert_eq!((started.prompt_tokens, started.max_new), (40, 12));
    let rules = seen.iter().find_map(|envelope| match &envelope.event {
        Event::Rules(rules) => Some(rules),
        _ => None,
    });
    let rules = rules.expect("the prompt gives rules their scores");
    for rule in [Rule::KEY_NORM, Rule::THINK] {
        let scores = rules.scores(rule).unwrap();
        assert!(scores.iter().all(|score| *score > 0.0), "{rule:?}");
    }
    let last = seen.iter().rev().find_map(|envelope| match &envelope.event {
        Event::Token(token) => Some(token),
        _ => None,
    });
    let last = last.expect("tokens");
    assert_eq!((last.n, tokens(&seen)), (last.n, last.n));
    assert_eq!(last.cached, 40 + last.n - 1);
    assert!(last.step.is_some_and(|step| step.total >= step.attention) && last.kv.middle_k > 0);
}

#[test]
fn a_paused_run_makes_the_steps_it_is_told_to() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 20, 400)).expect("taken");
    engine.send(EngineOrder::Pause).expect("taken");
    until(&mut events, |envelope| envelope.event == Event::Paused);
    engine.send(EngineOrder::Step(3)).expect("taken");
    let seen =
        until(&mut events, |envelope| matches!(envelope.event, Event::Paused | Event::Finished(_)));
    assert!(
        tokens(&seen) == 3 || matches!(seen.last().map(|e| &e.event), Some(Event::Finished(_)))
    );
    engine.send(EngineOrder::Resume).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    assert!(matches!(
        seen.last().map(|e| &e.event),
        Some(Event::Finished(Finish::MaxNew | Finish::EndToken))
    ));
}

#[test]
fn a_new_run_ends_the_one_before_at_once() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 400, 100)).expect("taken");
    engine.send(start(2, 20, 4)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    assert_eq!(seen.last().map(|envelope| envelope.generation), Some(2));
    assert!(
        seen.iter().filter(|e| e.generation == 1).all(|e| !matches!(e.event, Event::Failed { .. })),
        "{seen:?}"
    );
}

#[test]
fn a_prompt_that_cannot_be_is_a_sentence_and_the_engine_lives() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 600, 4)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Failed { .. }));
    assert!(
        matches!(&seen.last().expect("one").event, Event::Failed { code: 2, sentence } if sentence.contains("600 tokens"))
    );
    engine.send(start(2, 20, 2)).expect("taken");
    until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
}

#[test]
fn live_statistics_come_and_follow_the_watched_head() {
    let (engine, mut events) = loaded();
    engine.send(EngineOrder::Watch { layer: 3, head: 1 }).expect("taken");
    for generation in 1.. {
        assert!(generation < 200, "the statistics never came");
        engine.send(start(generation, 100, 400)).expect("taken");
        let seen = until(&mut events, |envelope| {
            matches!(envelope.event, Event::Head(_) | Event::Finished(_))
        });
        let Some(Event::Head(detail)) = seen.last().map(|envelope| &envelope.event) else {
            continue;
        };
        assert_eq!((detail.layer, detail.head, detail.mass.len()), (3, 1, 2));
        for mass in &detail.mass {
            assert!((mass.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{mass:?}");
        }
        let Some(Event::Live(live)) =
            seen.iter().map(|e| &e.event).find(|event| matches!(event, Event::Live(_)))
        else {
            panic!("live importance comes with the head")
        };
        // Odd channels are pruned: nothing of them is left to measure.
        assert!(
            live.activity
                .iter()
                .enumerate()
                .all(|(channel, value)| (channel % 2 == 0) == (*value > 0.0))
        );
        return;
    }
}

#[test]
fn a_panic_becomes_an_event_and_a_failed_load_a_sentence() {
    let (_engine, mut events) = Engine::spawn(Box::new(|_| panic!("poisoned"))).expect("a thread");
    assert_eq!(events.blocking_recv().expect("told").event, Event::Panicked("poisoned".to_owned()));
    assert!(events.blocking_recv().is_none(), "the thread has ended");
    let failing: Loader = Box::new(|_| Err(crate::Error::input("no such model")));
    let (_engine, mut events) = Engine::spawn(failing).expect("a thread");
    assert_eq!(
        events.blocking_recv().expect("told").event,
        Event::Failed { sentence: "no such model".into(), code: 2 }
    );
}

#[test]
fn dropping_the_engine_ends_its_thread() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 400, 100)).expect("taken");
    drop(engine);
    while events.blocking_recv().is_some() {}
}

#[test]
fn events_survive_the_way_through_json() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 40, 4)).expect("taken");
    for envelope in until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_))) {
        let line = serde_json::to_string(&envelope).expect("plain data");
        assert_eq!(serde_json::from_str::<Envelope>(&line).expect("its own words"), envelope);
    }
}

#[test]
fn a_head_can_be_looked_at_after_the_end() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 60, 20)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    assert!(tokens(&seen) > 1, "a step is needed for queries");
    for place in [(4, 1), (2, 0), (90, 90)] {
        engine.send(EngineOrder::Watch { layer: place.0, head: place.1 }).expect("taken");
        let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Head(_)));
        let Some(Event::Head(detail)) = seen.last().map(|envelope| &envelope.event) else {
            panic!("{seen:?}")
        };
        assert_eq!(
            (detail.layer, detail.head),
            (place.0.min(4), place.1.min(1)),
            "places outside are brought inside"
        );
        assert!(detail.q_energy.iter().all(|energy| *energy > 0.0));
    }
}

fn even_of(label: &str, every: usize) -> super::event::MaskInfo {
    let shape = crate::mask::Shape { layers: 5, kv_heads: 2, head_dim: 64 };
    super::event::MaskInfo {
        label: label.to_owned(),
        mask: ChannelMask::from_fn(shape, |_, _, channel| channel % every == 0),
        importance: None,
        rule: "test".to_owned(),
        align: 1,
        sparsity: None,
    }
}

fn retune(revision: u64, every: usize) -> EngineOrder {
    let window = Window { sink: 2, recent: 8, chunk: 2 };
    EngineOrder::Retune(Box::new(Retune { revision, mask: even_of("sparser", every), window }))
}

/// The first event that `pick` takes.
fn next<T>(events: &mut Receiver<Envelope>, pick: impl Fn(Event) -> Option<T>) -> T {
    loop {
        let event = events.blocking_recv().expect("the engine goes on").event;
        assert!(!matches!(event, Event::Failed { .. } | Event::Panicked(_)), "{event:?}");
        if let Some(found) = pick(event) {
            return found;
        }
    }
}

fn token_of(event: Event) -> Option<super::event::Token> {
    if let Event::Token(token) = event { Some(*token) } else { None }
}

fn refusal(event: Event) -> Option<String> {
    if let Event::Refused { sentence, .. } = event { Some(sentence) } else { None }
}

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
    let shape = retuned.mask.mask.shape();
    let spec = crate::cache::CacheSpec::new(shape, retuned.window, Dtype::F32, retuned.mask.mask)
        .expect("fits");
    assert_eq!(token.kv, spec.bytes_at(token.cached));
    let measured = next(&mut events, |event| {
        if let Event::Measured(measured) = event { Some(*measured) } else { None }
    });
    assert_eq!(measured.subject, super::event::Subject::Now(7));
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
    let spec = crate::cache::CacheSpec::new(
        last.unwrap().mask.mask.shape(),
        last.unwrap().window,
        Dtype::F32,
        last.unwrap().mask.mask.clone(),
    );
    assert_eq!(token.kv, spec.expect("fits").bytes_at(token.cached));
    // The next run begins with it.
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
    let trial = |id: u64| super::Trial {
        id,
        mask: even_of("trial", 1 << id).mask,
        window: Window { sink: 2, recent: 8, chunk: 2 },
    };
    let measured =
        |event| if let Event::Measured(measured) = event { Some(*measured) } else { None };
    let now = next(&mut events, measured);
    assert_eq!(now.subject, super::event::Subject::Now(0));
    engine.send(EngineOrder::Sweep((0..5).map(trial).collect())).expect("taken");
    let points: Vec<_> = (0..5).map(|_| next(&mut events, measured)).collect();
    for (id, point) in points.iter().enumerate() {
        assert_eq!((point.subject, point.left), (super::event::Subject::Trial(id as u64), 4 - id));
    }
    assert!(points[0].divergence.kld.max < 1e-9, "a mask of ones loses nothing");
    // Trial 1 is the mask at work, over the same steps.
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
        engine.send(EngineOrder::Explain(super::Asked { n, layer, head })).expect("taken")
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
    let id = |voice: &Option<super::event::Voice>| voice.as_ref().map(|voice| voice.id);
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
