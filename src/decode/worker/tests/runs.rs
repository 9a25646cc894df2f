//! One run: its events, its end, and what is told of heads.

use super::*;

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
fn a_run_keeps_to_the_pace_that_is_asked_for() {
    let (engine, mut events) = loaded();
    engine.send(EngineOrder::Pace(Some(50))).expect("taken");
    engine.send(start(1, 20, 400)).expect("taken");
    let is_token = |envelope: &Envelope| matches!(envelope.event, Event::Token(_));
    until(&mut events, is_token);
    let began = std::time::Instant::now();
    for _ in 0..5 {
        until(&mut events, is_token);
    }
    // The first of the five may follow at once.
    assert!(began.elapsed().as_millis() >= 4 * 20, "{:?}", began.elapsed());
    engine.send(EngineOrder::Pace(None)).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    assert!(tokens(&seen) > 0);
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

/// An engine on which every token ends the text.
fn ends_at_once(solo: bool) -> (Engine, Receiver<Envelope>) {
    let load = Box::new(move |progress: &mut dyn FnMut(f32) -> crate::Result<()>| {
        let mut setup = loader()(progress)?;
        setup.solo = solo;
        let Some(model) = Arc::get_mut(&mut setup.model) else { panic!("the only one") };
        model.decoder.end_everywhere();
        Ok(setup)
    });
    let (engine, mut events) = Engine::spawn(load).expect("a thread");
    until(&mut events, |envelope| matches!(envelope.event, Event::Loaded(_)));
    (engine, events)
}

#[test]
fn a_text_that_ended_goes_on_past_its_end() {
    for solo in [false, true] {
        let (engine, mut events) = ends_at_once(solo);
        engine.send(start(1, 40, 12)).expect("taken");
        let is_end = |envelope: &Envelope| matches!(envelope.event, Event::Finished(_));
        let seen = until(&mut events, is_end);
        assert_eq!(seen.last().map(|one| &one.event), Some(&Event::Finished(Finish::EndToken)));
        assert_eq!(tokens(&seen), 1);
        engine.send(EngineOrder::GoOn { sampling: None, ignore_end: true }).expect("taken");
        let seen = until(&mut events, is_end);
        assert_eq!(seen.last().map(|one| &one.event), Some(&Event::Finished(Finish::MaxNew)));
        assert_eq!(tokens(&seen), 11, "solo {solo}: the rest of the twelve");
        let went = seen.iter().find_map(|one| match &one.event {
            Event::WentOn { sampling, ignore_end } => Some((sampling.temperature, *ignore_end)),
            _ => None,
        });
        assert_eq!(went, Some((0.0, true)));
    }
}

#[test]
fn sampling_changes_from_the_next_token_on() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 40, 60)).expect("taken");
    engine.send(EngineOrder::Pause).expect("taken");
    until(&mut events, |envelope| envelope.event == Event::Paused);
    let hot = Sampling { temperature: 50.0, ..Sampling::default() };
    let wrong = Sampling { temperature: -1.0, ..Sampling::default() };
    let go_on = |sampling| EngineOrder::GoOn { sampling: Some(sampling), ignore_end: false };
    engine.send(go_on(wrong)).expect("taken");
    assert!(next(&mut events, refusal).contains("temperature"));
    engine.send(go_on(hot.clone())).expect("taken");
    engine.send(EngineOrder::Resume).expect("taken");
    let seen = until(&mut events, |envelope| matches!(envelope.event, Event::Finished(_)));
    assert!(
        seen.iter().any(|one| {
            matches!(&one.event, Event::WentOn { sampling, .. } if *sampling == hot)
        })
    );
    // At such a temperature the likeliest token is hardly ever drawn.
    let greedy = |pair: &crate::decode::worker::event::Pair| {
        pair.a.as_ref().is_some_and(|a| a.top[0].id == a.id)
    };
    let drawn = seen.iter().filter_map(|one| match &one.event {
        Event::Pair(pair) => Some(greedy(pair)),
        _ => None,
    });
    let drawn: Vec<bool> = drawn.collect();
    assert!(
        drawn.len() > 10 && drawn.iter().filter(|is_greedy| **is_greedy).count() <= drawn.len() / 2
    );
}

#[test]
fn measurements_of_equal_length_over_other_tokens_can_be_told_apart() {
    let (engine, mut events) = loaded();
    let is_end = |envelope: &Envelope| matches!(envelope.event, Event::Finished(_));
    let trial = |id| {
        let window = Window { sink: 2, recent: 8, chunk: 2 };
        let plan = even_of("trial", 4).plan;
        EngineOrder::Sweep(vec![super::super::Trial { id, plan, window }])
    };
    let measure = |events: &mut Receiver<Envelope>, id| {
        engine.send(trial(id)).expect("taken");
        next(events, |event| match event {
            Event::Measured(measured)
                if measured.subject == crate::decode::worker::event::Subject::Trial(id) =>
            {
                Some((measured.over, measured.dense_kv))
            }
            _ => None,
        })
    };
    engine.send(start(1, 40, 80)).expect("taken");
    until(&mut events, is_end);
    let first = measure(&mut events, 1);
    assert_eq!(measure(&mut events, 2), first, "the same tokens");
    engine.send(EngineOrder::Rewind(40)).expect("taken");
    until(&mut events, |envelope| envelope.event == Event::Paused);
    let hot = Sampling { temperature: 50.0, ..Sampling::default() };
    engine.send(EngineOrder::GoOn { sampling: Some(hot), ignore_end: false }).expect("taken");
    engine.send(EngineOrder::Resume).expect("taken");
    until(&mut events, is_end);
    let (over, dense_kv) = measure(&mut events, 3);
    assert_eq!(dense_kv, first.1, "as many tokens as before");
    assert_ne!(over, first.0, "but not the same ones");
}
