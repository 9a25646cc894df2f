//! The engine and the long jobs on their threads: starts, stops and cancels at every stage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kscope::decode::sampler::Sampling;
use kscope::decode::session::Finish;
use kscope::decode::worker::event::MaskInfo;
use kscope::decode::worker::{
    Engine, EngineOrder, Envelope, Event, Loader, Prompt, Retune, Setup, Start, Trial,
};
use kscope::element::Dtype;
use kscope::learn::data;
use kscope::learn::run::{LearnEvent, LearnMethod};
use kscope::learn::sensitivity::worker::{Sensed, Sensing};
use kscope::learn::train::{Settings, Stage};
use kscope::learn::worker::{Learner, Order, Told};
use kscope::mask::{CachePlan, ChannelMask, Window};
use kscope::model::Model;
use kscope::random::SplitMix64;
use kscope_testing::demo;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::{figure, is_long, times};

const PATIENCE: Duration = Duration::from_secs(120);
const WINDOW: Window = Window { sink: 2, recent: 8, chunk: 2 };

fn even(model: &Model, every: usize) -> CachePlan {
    let shape = model.config().mask_shape();
    CachePlan::of_mask(&ChannelMask::from_fn(shape, |_, _, channel| channel % every == 0))
}

/// Loads in steps, so that there is time to stop it.
fn loader(model: Arc<Model>) -> Loader {
    Box::new(move |progress| {
        for step in 0..5_u8 {
            progress(f32::from(step) / 5.0)?;
        }
        Ok(Setup {
            mask: Some(MaskInfo::named("even", even(&model, 2))),
            other: None,
            window: WINDOW,
            kv_dtype: Dtype::F32,
            context: 512,
            solo: false,
            feed: Default::default(),
            sensitivity: None,
            warnings: Vec::new(),
            model,
        })
    })
}

fn start(generation: u64, tokens: u32, max_new: usize) -> EngineOrder {
    let prompt = Prompt::Tokens((10..10 + tokens).collect());
    let sampling = Sampling::default();
    EngineOrder::Start(Box::new(Start { generation, prompt, sampling, max_new, ignore_end: false }))
}

/// The next event, within a while.
#[track_caller]
fn next<T>(events: &mut Receiver<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match events.try_recv() {
            Ok(event) => return Some(event),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {
                assert!(Instant::now() < end, "nothing was heard for {PATIENCE:?}");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

/// The tokens of a run from here to its end.
fn tokens_of(events: &mut Receiver<Envelope>, generation: u64) -> Vec<u32> {
    let mut tokens = Vec::new();
    loop {
        let envelope = next(events).expect("the engine goes on");
        match envelope.event {
            Event::Token(token) if envelope.generation == generation => tokens.push(token.id),
            Event::Finished(finish) if envelope.generation == generation => {
                assert!(matches!(finish, Finish::MaxNew | Finish::EndToken));
                return tokens;
            }
            _ => {}
        }
    }
}

#[test]
fn runs_start_and_stop_at_any_moment() {
    let model = demo();
    let began = Instant::now();
    let (mut engine, mut events) = Engine::spawn(loader(Arc::clone(&model))).unwrap();
    let mut random = SplitMix64::new(7);
    let (mut starts, mut engines, mut last) = (0, 1, 0);
    let (mut heard, mut finished, mut over) = (0_usize, 0, 0);
    let all = times(300, 10_000);
    while starts < all {
        starts += 1;
        let generation = starts as u64;
        let tokens = 1 + random.below(120) as u32;
        engine.send(start(generation, tokens, 1 + random.below(12))).expect("taken");
        for _ in 0..random.below(4) {
            let order = match random.below(7) {
                0 => EngineOrder::Pause,
                1 => EngineOrder::Resume,
                2 => EngineOrder::Step(random.below(5) as u32),
                3 => EngineOrder::Rewind(random.below(5)),
                4 => {
                    let mask = MaskInfo::named("other", even(&model, 2 + random.below(6)));
                    let retune = Retune { revision: generation, mask, window: WINDOW };
                    EngineOrder::Retune(Box::new(retune))
                }
                5 => {
                    let plan = even(&model, 3);
                    EngineOrder::Sweep(vec![Trial { id: generation, plan, window: WINDOW }])
                }
                _ => EngineOrder::Time,
            };
            engine.send(order).expect("taken");
        }
        // Heard out for any while, or not at all; what comes is never of a run that is over.
        for _ in 0..random.below(40) {
            let Ok(envelope) = events.try_recv() else {
                std::thread::sleep(Duration::from_micros(random.below(500) as u64));
                continue;
            };
            heard += 1;
            assert!(envelope.generation >= last, "{} after {last}", envelope.generation);
            last = envelope.generation;
            match envelope.event {
                Event::Failed { sentence, .. } => panic!("{sentence}"),
                Event::Panicked(message) => panic!("{message}"),
                Event::Finished(_) => (finished, over) = (finished + 1, envelope.generation),
                _ => {}
            }
        }
        // Commands wait in a queue that is never full if it is emptied now and then.
        if starts.is_multiple_of(8) && over != generation {
            engine.send(EngineOrder::Resume).expect("taken");
            tokens_of(&mut events, generation);
        }
        if starts.is_multiple_of(40) {
            engines += 1;
            // The old one ends by being dropped, in whatever it is doing.
            (engine, events) = Engine::spawn(loader(Arc::clone(&model))).unwrap();
            last = 0;
        }
    }
    // After all that, a run says what it says on an engine of its own.
    engine.send(start(u64::MAX - 1, 60, 20)).expect("taken");
    let found = tokens_of(&mut events, u64::MAX - 1);
    let (fresh, mut of_fresh) = Engine::spawn(loader(model)).unwrap();
    fresh.send(start(1, 60, 20)).expect("taken");
    assert_eq!(found, tokens_of(&mut of_fresh, 1));
    let seconds = began.elapsed().as_secs_f64();
    figure(
        "starts and stops of a run",
        format!(
            "{starts} on {engines} engines, {finished} heard to their end, {heard} events, {seconds:.0} s"
        ),
    );
}

/// The stage of a learning that a notice tells of.
fn stage(told: &Told) -> Option<&'static str> {
    match told {
        Told::Going(LearnEvent::Prefill(0, _)) => Some("before the first prefill"),
        Told::Going(LearnEvent::Prefill(..)) => Some("prefill"),
        Told::Going(LearnEvent::Dense(_)) => Some("dense recall"),
        Told::Going(LearnEvent::Update(update)) if update.stage == Stage::Importance => {
            Some("stage 1")
        }
        Told::Going(LearnEvent::Update(_)) => Some("stage 2"),
        Told::Going(LearnEvent::Validated { .. }) => Some("validation"),
        Told::Going(LearnEvent::Check(_)) => Some("check"),
        _ => None,
    }
}

#[test]
fn a_learning_is_cancelled_in_every_stage_and_goes_on() {
    let model = demo();
    let folder = tempfile::tempdir().unwrap();
    let order = |name: &str, resume| Order {
        generation: 1,
        method: LearnMethod::Leank,
        haystack: Vec::new(),
        settings: Settings {
            steps: 3,
            mask_steps: 2,
            accumulate: 1,
            ..Settings::for_sparsity(0.5)
        },
        lengths: (220, 260),
        windows: 2,
        pool: 2,
        check_prompts: 1,
        resume,
        out: folder.path().join(name).with_extension("safetensors"),
    };
    let stages = [
        "before the first prefill",
        "prefill",
        "dense recall",
        "stage 1",
        "stage 2",
        "validation",
        "check",
    ];
    let mut cancelled = 0;
    for wanted in stages {
        let name = wanted.replace(' ', "-");
        let begun = Learner::spawn(Arc::clone(&model), order(&name, false)).unwrap();
        let (learner, mut notices) = begun;
        let mut end = None;
        while let Some(notice) = next(&mut notices) {
            if stage(&notice.told) == Some(wanted) {
                learner.cancel();
            }
            end = Some(notice.told);
        }
        let resumes = match end.unwrap() {
            Told::Cancelled { resumes } => resumes,
            // The last thing that a check tells may be its end.
            Told::Done(_) if wanted == "check" => continue,
            other => panic!("{wanted}: {other:?}"),
        };
        assert!(!resumes || wanted != stages[0], "nothing was learned yet");
        assert!(resumes || !["stage 1", "stage 2", "check"].contains(&wanted), "{wanted}");
        cancelled += 1;
        let folder = order(&name, false).checkpoint_folder();
        assert_eq!(folder.is_dir(), resumes, "{wanted}: a folder where there is something in it");
        assert_eq!(folder.join("state.safetensors").is_file(), resumes, "{wanted}");
        if resumes && (is_long() || wanted == "stage 1") {
            let begun = Learner::spawn(Arc::clone(&model), order(&name, true)).unwrap();
            let (_learner, mut notices) = begun;
            let last = std::iter::from_fn(|| next(&mut notices)).last().unwrap();
            assert!(matches!(last.told, Told::Done(_)), "{wanted}: {:?}", last.told);
        }
    }
    figure("stages in which a learning was cancelled", cancelled);
}

#[test]
fn measurements_of_sensitivity_are_stopped_at_any_moment() {
    let model = demo();
    let mut random = SplitMix64::new(9);
    for round in 0..times(4, 40) {
        let text = data::source(data::SENTENCES).unwrap().text()[..3_000].to_owned();
        let (sensing, mut news) = Sensing::spawn(Arc::clone(&model), text).unwrap();
        for _ in 0..random.below(3) {
            if let Some(Sensed::Failed(sentence)) = next(&mut news) {
                panic!("{sentence}");
            }
        }
        let began = Instant::now();
        drop(sensing);
        let last = std::iter::from_fn(|| next(&mut news)).last();
        let ended = matches!(&last, None | Some(Sensed::Going(_) | Sensed::Done(..)))
            || matches!(&last, Some(Sensed::Failed(sentence)) if sentence == "cancelled");
        assert!(ended, "round {round}: {last:?}");
        assert!(began.elapsed() < PATIENCE);
    }
}
