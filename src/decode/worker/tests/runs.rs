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
