//! Turns of a conversation: read through both caches, stopped, refused, recorded.

use super::*;
use crate::decode::lost::Asked;
use crate::decode::worker::Ask;
use crate::decode::worker::event::{Pair, Turn, Wish};

const QUESTION: &str = "Question: what is the code of the harbour? Answer:";

fn ask(number: u64, text: &str) -> EngineOrder {
    EngineOrder::Ask(Box::new(Ask { number, text: text.to_owned() }))
}

fn turn_of(event: Event) -> Option<Turn> {
    if let Event::Turn(turn) = event { Some(*turn) } else { None }
}

fn pair_of(event: Event) -> Option<Pair> {
    if let Event::Pair(pair) = event { Some(*pair) } else { None }
}

fn finished(events: &mut Receiver<Envelope>) -> Vec<Envelope> {
    until(events, |envelope| matches!(envelope.event, Event::Finished(_)))
}

#[test]
fn a_turn_goes_on_with_both_sides_and_counts_on() {
    let (engine, mut events) = loaded();
    engine.send(start(1, 80, 12)).expect("taken");
    let mut told = tokens(&finished(&mut events));
    let mut earlier = 0;
    for number in 1..=2 {
        engine.send(ask(number, QUESTION)).expect("taken");
        let turn = next(&mut events, turn_of);
        assert_eq!((turn.from, turn.text.as_str()), (told, QUESTION));
        assert!(turn.tokens > 5 && turn.ms > 0.0 && turn.again.is_none());
        let first = next(&mut events, pair_of);
        let step = first.divergence.expect("both caches gave the first token of this answer");
        assert!(step.kld > 0.0, "the pruned side read the turn with half the channels");
        let (a, b) = (first.a.expect("goes on"), first.b.expect("goes on"));
        assert_eq!((first.n, a.id, a.ms), (told + 1, b.id, None));
        assert!(a.kv > b.kv);
        let seen = finished(&mut events);
        (earlier, told) = (told, told + tokens(&seen));
        assert!((3..=12).contains(&(told - earlier)), "max_new counts for every answer: {told}");
        // What the engine says is a recording that can be read again.
        let again = Envelope { event: Event::Turn(Box::new(turn)), ..seen[0].clone() };
        for envelope in seen.iter().chain([&again]) {
            let line = serde_json::to_string(envelope).expect("plain data");
            let read: Envelope = serde_json::from_str(&line).expect("its own words");
            let kind = |envelope: &Envelope| std::mem::discriminant(&envelope.event);
            assert_eq!(kind(&read), kind(envelope));
            if let Event::Turn(turn) = &read.event {
                assert_eq!((turn.text.as_str(), turn.from), (QUESTION, earlier));
            }
        }
    }
    let explain = |n| EngineOrder::Explain(Asked { n, layer: 1, head: 0 });
    for (order, expected) in [
        (EngineOrder::Rewind(earlier), "belongs to an earlier turn"),
        (explain(earlier), "belongs to an earlier turn"),
        (explain(earlier + 1), "the first token of this answer"),
    ] {
        engine.send(order).expect("taken");
        let sentence = next(&mut events, refusal);
        assert!(sentence.contains(expected), "{sentence}");
    }
    engine.send(explain(told)).expect("taken");
    let lost =
        next(&mut events, |event| if let Event::Lost(lost) = event { Some(lost) } else { None });
    assert_eq!(lost.asked.n, told);
    engine.send(EngineOrder::Rewind(told - 1)).expect("taken");
    let now = next(&mut events, |event| if let Event::Rewound(n) = event { Some(n) } else { None });
    assert_eq!(now, told - 1);
    engine.send(EngineOrder::Step(1)).expect("taken");
    assert_eq!(next(&mut events, token_of).n, told);
}

#[test]
fn a_turn_that_does_not_fit_or_is_stopped_leaves_the_run_as_it_was() {
    let (engine, mut events) = loaded();
    engine.send(ask(1, QUESTION)).expect("taken");
    assert!(next(&mut events, refusal).contains("no answer to go on from"));
    engine.send(start(1, 400, 40)).expect("taken");
    next(&mut events, token_of);
    engine.send(EngineOrder::Pause).expect("taken");
    next(&mut events, |event| (event == Event::Paused).then_some(()));
    for (number, text) in [(1, QUESTION.repeat(12)), (2, QUESTION.to_owned())] {
        if number == 2 {
            engine.send(EngineOrder::StopAsk(2)).expect("taken");
        }
        engine.send(ask(number, &text)).expect("taken");
        let refused = next(&mut events, |event| match event {
            Event::Refused { wish: Wish::Ask, sentence } => Some(sentence),
            _ => None,
        });
        let expected = ["leaves no room in the context of 512", "was stopped"][number as usize - 1];
        assert!(refused.contains(expected), "{refused}");
        next(&mut events, |event| (event == Event::Paused).then_some(()));
    }
    // The answer goes on where it was, and a turn can cut it.
    engine.send(EngineOrder::Step(1)).expect("taken");
    let before = next(&mut events, token_of).n;
    engine.send(ask(3, QUESTION)).expect("taken");
    assert_eq!(next(&mut events, turn_of).from, before);
}
