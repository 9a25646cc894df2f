//! The kept prompt: how many tokens prefill reads over several runs.

use std::sync::Mutex;

use super::*;
use crate::model::Model;

type Shared = Arc<Mutex<Option<Arc<Model>>>>;

/// An engine whose model's own count of prefilled tokens can be read.
fn counted(change: impl Fn(&mut Setup) + Send + 'static) -> (Engine, Receiver<Envelope>, Shared) {
    let shared = Shared::default();
    let of_loader = Arc::clone(&shared);
    let load = Box::new(move |progress: &mut dyn FnMut(f32) -> crate::Result<()>| {
        let mut setup = loader()(progress)?;
        change(&mut setup);
        *of_loader.lock().expect("no panic") = Some(Arc::clone(&setup.model));
        Ok(setup)
    });
    let (engine, mut events) = Engine::spawn(load).expect("a thread");
    until(&mut events, |envelope| matches!(envelope.event, Event::Loaded(_)));
    (engine, events, shared)
}

fn prefilled(shared: &Shared) -> u64 {
    shared.lock().expect("no panic").as_ref().expect("a model").decoder.prefilled()
}

/// Ids, log-probabilities and stored bytes of every token of the pruned side, and whether the
/// prompt was kept.
fn run(
    engine: &Engine,
    events: &mut Receiver<Envelope>,
    order: EngineOrder,
) -> (Vec<(u32, f32, usize)>, Started) {
    let EngineOrder::Start(start) = &order else { panic!("{order:?}") };
    let generation = start.generation;
    engine.send(order).expect("taken");
    let seen = until(events, |envelope| {
        envelope.generation == generation && matches!(envelope.event, Event::Finished(_))
    });
    let mut told = Vec::new();
    let mut started = None;
    for envelope in seen {
        match envelope.event {
            Event::Token(token) => told.push((token.id, token.logprob, token.kv.total())),
            Event::Started(event) => {
                told.clear();
                started = Some(*event);
            }
            Event::Failed { .. } | Event::Refused { .. } => panic!("{:?}", envelope.event),
            _ => {}
        }
    }
    (told, started.expect("a start"))
}

use crate::decode::worker::event::Started;

#[test]
fn the_same_prompt_is_read_once_whatever_changes_around_it() {
    let (engine, mut events, shared) = counted(|_| ());
    let (first, started) = run(&engine, &mut events, start(1, 120, 40));
    assert_eq!((prefilled(&shared), started.kept), (120, false));
    let (again, kept) = run(&engine, &mut events, start(2, 120, 40));
    assert_eq!(again, first, "bit for bit what the prefill gave");
    assert!(kept.kept && kept.prefill_ms == started.prefill_ms, "the time is that of the reading");

    // Another mask, a sweep, other sampling, the other feed: nothing of it reads the prompt.
    engine.send(retune(1, 4)).expect("taken");
    next(&mut events, |event| matches!(event, Event::Retuned(_)).then_some(()));
    let plan = even_of("trial", 8).plan;
    let window = Window { sink: 2, recent: 8, chunk: 2 };
    let trials = vec![super::super::Trial { id: 7, plan, window }];
    engine.send(EngineOrder::Sweep(trials)).expect("taken");
    let is_trial = |event| match event {
        Event::Measured(measured) => Some(measured.subject),
        _ => None,
    };
    while next(&mut events, is_trial) != crate::decode::worker::event::Subject::Trial(7) {}
    engine.send(EngineOrder::Feed(crate::decode::comparison::Mode::Free)).expect("taken");
    let (sparser, _) = run(&engine, &mut events, start(3, 120, 40));
    assert_eq!(prefilled(&shared), 120);

    // A fresh engine with that mask and feed says the same.
    let (fresh, mut of_fresh, count) = counted(|setup| {
        setup.mask = Some(even_of("sparser", 4));
        setup.feed = crate::decode::comparison::Mode::Free;
    });
    assert_eq!(run(&fresh, &mut of_fresh, start(1, 120, 40)).0, sparser);
    assert_eq!(prefilled(&count), 120);
}

#[test]
fn another_prompt_is_read_and_takes_the_place_of_the_kept_one() {
    let (engine, mut events, shared) = counted(|_| ());
    run(&engine, &mut events, start(1, 120, 10));
    run(&engine, &mut events, start(2, 60, 10));
    assert_eq!(prefilled(&shared), 180);
    run(&engine, &mut events, start(3, 120, 10));
    assert_eq!(prefilled(&shared), 300, "one prompt is kept, the last");
    // A prompt that is refused before it is read takes nobody's place.
    engine.send(start(4, 600, 4)).expect("taken");
    until(&mut events, |envelope| matches!(envelope.event, Event::Failed { .. }));
    run(&engine, &mut events, start(5, 120, 10));
    assert_eq!(prefilled(&shared), 300);
}

#[test]
fn a_pruned_side_alone_keeps_its_prompt_as_far_as_it_can() {
    let (engine, mut events, shared) = counted(|setup| setup.solo = true);
    let (first, _) = run(&engine, &mut events, start(1, 120, 40));
    let (again, _) = run(&engine, &mut events, start(2, 120, 40));
    assert_eq!((again, prefilled(&shared)), (first, 120));
    // Every fourth channel is among every second one: it can be pruned from what is kept.
    engine.send(retune(1, 4)).expect("taken");
    next(&mut events, |event| matches!(event, Event::Retuned(_)).then_some(()));
    let (sparser, _) = run(&engine, &mut events, start(3, 120, 40));
    assert_eq!(prefilled(&shared), 120);
    let (fresh, mut of_fresh, _) = counted(|setup| {
        (setup.solo, setup.mask) = (true, Some(even_of("sparser", 4)));
    });
    assert_eq!(run(&fresh, &mut of_fresh, start(1, 120, 40)).0, sparser);
    // Channels that are gone have to be computed again.
    engine.send(retune(2, 2)).expect("taken");
    next(&mut events, |event| refusal(event).map(|_| ()));
    run(&engine, &mut events, start(4, 120, 40));
    assert_eq!(prefilled(&shared), 240);
}

#[test]
fn after_turns_and_rewinds_the_first_prompt_is_still_at_hand() {
    let (engine, mut events, shared) = counted(|_| ());
    let (first, _) = run(&engine, &mut events, start(1, 120, 20));
    engine.send(EngineOrder::Rewind(5)).expect("taken");
    next(&mut events, |event| matches!(event, Event::Rewound(_)).then_some(()));
    let ask = crate::decode::worker::Ask { number: 1, text: "And then?".to_owned() };
    engine.send(EngineOrder::Ask(Box::new(ask))).expect("taken");
    next(&mut events, |event| matches!(event, Event::Turn(_)).then_some(()));
    let (again, _) = run(&engine, &mut events, start(2, 120, 20));
    assert_eq!((again, prefilled(&shared)), (first, 120));
}
