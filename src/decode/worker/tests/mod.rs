//! The engine on the embedded model.

mod kept;
mod runs;
mod sides;
mod turns;

use std::sync::Arc;

use tokio::sync::mpsc::Receiver;

use super::{Engine, EngineOrder, Envelope, Event, Loader, Prompt, Retune, Setup, Start};
use crate::decode::sampler::Sampling;
use crate::decode::session::Finish;
use crate::element::Dtype;
use crate::mask::{CachePlan, ChannelMask, Rule, Window};
use crate::model::load::{Opened, Source};

fn loader() -> Loader {
    Box::new(|progress| {
        let model = Arc::new(Opened::open(&Source::Demo)?.load(None, progress)?);
        let shape = model.config().mask_shape();
        let mask = crate::decode::worker::event::MaskInfo {
            label: "even".to_owned(),
            plan: CachePlan::of_mask(&ChannelMask::from_fn(shape, |_, _, channel| {
                channel % 2 == 0
            })),
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
            sensitivity: None,
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
        ignore_end: false,
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

fn even_of(label: &str, every: usize) -> crate::decode::worker::event::MaskInfo {
    let shape = crate::mask::Shape { layers: 5, kv_heads: 2, head_dim: 64 };
    crate::decode::worker::event::MaskInfo {
        label: label.to_owned(),
        plan: CachePlan::of_mask(&ChannelMask::from_fn(shape, |_, _, channel| {
            channel % every == 0
        })),
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

fn token_of(event: Event) -> Option<crate::decode::worker::event::Token> {
    if let Event::Token(token) = event { Some(*token) } else { None }
}

fn refusal(event: Event) -> Option<String> {
    if let Event::Refused { sentence, .. } = event { Some(sentence) } else { None }
}
