//! A session that goes on for long: new prompts, pauses, retunes, other plans, both feeds, sweeps,
//! rewinds, every screen in changing sizes, engines that end and begin. Memory, threads and open
//! files stay as they are, and the dense side says what a fresh dense run says. In its own process,
//! because it measures memory.
//!
//! `KSCOPE_SOAK=SECONDS` sets how long (docs/RELIABILITY.md).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kscope::cache::CacheSpec;
use kscope::decode::comparison::Mode;
use kscope::decode::lost::Asked;
use kscope::decode::sampler::Sampling;
use kscope::decode::session::{Request, Session};
use kscope::decode::worker::event::{MaskInfo, Pair};
use kscope::decode::worker::{
    Engine, EngineOrder as Order, Envelope, Event, Loader, Prompt, Retune, Setup, Trial,
};
use kscope::element::Dtype;
use kscope::machine;
use kscope::mask::{CachePlan, ChannelMask, Window};
use kscope::model::Model;
use kscope::model::decoder::with_quiet_hooks;
use kscope::model::demo::generator::{DemoSpec, DemoText};
use kscope::random::SplitMix64;
use kscope::tui::app::action::{Action, Command, Effect};
use kscope::tui::app::frame;
use kscope::tui::app::keys::KeyTable;
use kscope::tui::app::log::LogBuffer;
use kscope::tui::app::run::{NextRun, Phase};
use kscope::tui::app::state::{Beginning, State};
use kscope::tui::app::update::update;
use kscope::tui::color::{ColorDepth, Colormap, Theme};
use kscope::tui::screen::Screen;
use kscope_testing::demo;
use kscope_testing::plans::random_plan;
use peak_alloc::PeakAlloc;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Growth of the least live bytes that the short form allows: runs are of different lengths. The
/// caches of a few runs would be more than that.
const SHORT_GROWTH: f64 = 1.5;
/// Events between two things that a user does.
const MEDDLE: usize = 150;
/// Seconds of the short form.
const SHORT: u64 = 20;
/// Seconds of a session whose resident memory is judged too.
const LONG: u64 = 1_800;
/// Share of the time that is left out of the comparison: caches and buffers grow to their size.
const WARM_UP: f64 = 0.3;
const WINDOW: Window = Window { sink: 8, recent: 32, chunk: 16 };
/// Characters of the longest prompt.
const LONGEST: usize = 2_000;
const SIZES: [(u16, u16); 6] = [(80, 24), (120, 40), (200, 60), (64, 20), (300, 90), (30, 8)];

/// What is measured once in a while.
struct Reading {
    at: f64,
    resident: u64,
    /// Bytes allocated and not freed.
    live: usize,
    threads: usize,
    files: usize,
    /// Median and slowest frame since the reading before, milliseconds.
    frames: (f64, f64),
}

/// How often everything was done.
#[derive(Debug, Default)]
struct Counts {
    steps: usize,
    runs: usize,
    engines: usize,
    retunes: usize,
    measured: usize,
    rewinds: usize,
    pauses: usize,
    resizes: usize,
    frames: usize,
    compared: usize,
    refused: usize,
}

impl Counts {
    /// Whether there was something to judge: a busy machine takes longer for it.
    fn are_enough(&self) -> bool {
        self.compared > 0 && self.retunes > 5 && self.runs > 3
    }
}

struct Soak {
    model: Arc<Model>,
    state: State,
    engine: Engine,
    events: Receiver<Envelope>,
    solo: bool,
    random: SplitMix64,
    revision: u64,
    prompt: Vec<u32>,
    counts: Counts,
    frames: Vec<f64>,
    pending: VecDeque<Effect>,
}

fn count_in(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| entries.count())
}

fn loader(model: Arc<Model>, solo: bool) -> Loader {
    Box::new(move |_| {
        let shape = model.config().mask_shape();
        let half = ChannelMask::from_fn(shape, |_, _, channel| channel % 2 == 0);
        Ok(Setup {
            mask: Some(MaskInfo::named("half", CachePlan::of_mask(&half))),
            other: None,
            window: WINDOW,
            kv_dtype: Dtype::F32,
            context: model.config().max_context,
            solo,
            feed: Mode::Forced,
            sensitivity: None,
            warnings: Vec::new(),
            model,
        })
    })
}

impl Soak {
    fn new() -> Self {
        let model = demo();
        let (engine, events) = Engine::spawn(loader(Arc::clone(&model), false)).unwrap();
        let plan = NextRun {
            prompt: Prompt::Tokens(vec![1]),
            sampling: Sampling::default(),
            max_new: 1,
            ignore_end: false,
        };
        let state = State::new(Beginning {
            terminal_light: false,
            theme: Theme::new(ColorDepth::True, false, Colormap::Viridis),
            keys: KeyTable::new(&Default::default()).unwrap(),
            loading_name: "demo".to_owned(),
            plan,
            replay: false,
            log: LogBuffer::default(),
            export_folder: ".".into(),
        });
        let mut soak = Self {
            model,
            state,
            engine,
            events,
            solo: false,
            random: SplitMix64::new(20),
            revision: 0,
            prompt: Vec::new(),
            counts: Counts { engines: 1, ..Counts::default() },
            frames: Vec::new(),
            pending: VecDeque::new(),
        };
        soak.next_prompt();
        soak
    }

    /// Another prompt for the next run, of any length that leaves room for an answer.
    fn next_prompt(&mut self) {
        let seed = self.random.draw();
        // The first runs are the longest, so that buffers have their size early.
        let (chars, most) = match self.counts.runs < 2 {
            true => (LONGEST, 800),
            false => (600 + self.random.below(LONGEST - 600), 200 + self.random.below(600)),
        };
        let spec = DemoSpec { seed, target_chars: chars, facts: 4, ..DemoSpec::default() };
        let text = DemoText::draw(&spec).unwrap().prompt();
        self.prompt = self.model.tokenizer.as_ref().unwrap().encode(&text).unwrap();
        let room = self.model.config().max_context - self.prompt.len();
        let (prompt, max_new) = (Prompt::Facts { text }, most.min(room));
        self.state.plan =
            NextRun { prompt, sampling: Sampling::default(), max_new, ignore_end: false };
    }

    fn act(&mut self, action: Action) {
        let effects = update(&mut self.state, action);
        self.pending.extend(effects);
        while let Some(effect) = self.pending.pop_front() {
            match effect {
                Effect::Engine(order) => self.engine.send(order).expect("the engine takes it"),
                Effect::Fail(error) => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn take(&mut self, envelope: Envelope) {
        match &envelope.event {
            Event::Token(_) => self.counts.steps += 1,
            Event::Retuned(_) => self.counts.retunes += 1,
            Event::Measured(_) => self.counts.measured += 1,
            Event::Rewound(_) => self.counts.rewinds += 1,
            Event::Paused => self.counts.pauses += 1,
            Event::Refused { .. } => self.counts.refused += 1,
            Event::Panicked(message) => panic!("{message}"),
            Event::Failed { sentence, .. } => panic!("{sentence}"),
            _ => {}
        }
        self.act(Action::Engine(Box::new(envelope)));
    }

    fn draw(&mut self) {
        let began = Instant::now();
        let (width, height) = self.state.size;
        frame::render(&self.state, &mut Buffer::empty(Rect::new(0, 0, width, height)));
        self.frames.push(began.elapsed().as_secs_f64() * 1e3);
        self.counts.frames += 1;
    }

    /// One thing that a user might do.
    fn meddle(&mut self) {
        let (revision, window) = (self.revision + 1, self.window());
        match self.random.below(12) {
            0 | 1 => {
                self.revision = revision;
                let mask = MaskInfo::named("soak", self.plan());
                let retune = Order::Retune(Box::new(Retune { revision, mask, window }));
                self.engine.send(retune).unwrap();
            }
            2 => self.act(Action::Do(Command::Pause)),
            3 if !self.solo => self.act(Action::Do(Command::Feed)),
            4 if !self.solo => {
                let trials = (0..3).map(|id| Trial { id, plan: self.plan(), window }).collect();
                self.engine.send(Order::Sweep(trials)).unwrap();
            }
            5 if !self.solo => self.engine.send(Order::Time).unwrap(),
            6 if !self.solo => {
                let to = self.state.run.generated().saturating_sub(self.random.below(20)).max(1);
                self.engine.send(Order::Rewind(to)).unwrap();
            }
            7 => {
                let size = SIZES[self.random.below(SIZES.len())];
                self.counts.resizes += 1;
                self.act(Action::Resize(size.0, size.1));
            }
            8 | 9 => {
                let screen = Screen::ALL[self.random.below(Screen::ALL.len())];
                self.act(Action::Do(Command::Show(screen)));
            }
            10 => {
                let head = self.random.below(2);
                self.engine.send(Order::Watch { layer: self.random.below(5), head }).unwrap();
                let step = self.random.below(self.state.run.generated().max(1));
                self.engine.send(Order::Explain(Asked { n: step, layer: 1, head })).unwrap();
            }
            _ => self.act(Action::Do(Command::Metric)),
        }
    }

    fn window(&mut self) -> Window {
        let (sink, recent) = (self.random.below(40), 1 + self.random.below(80));
        Window { sink, recent, chunk: 1 + self.random.below(40) }
    }

    fn plan(&mut self) -> CachePlan {
        let shape = self.model.config().mask_shape();
        match self.random.below(3) {
            0 => CachePlan::named(["k8v8", "k4v4", "q8_0"][self.random.below(3)], shape).unwrap(),
            1 => random_plan(shape, self.random.draw()),
            _ => {
                let every = 2 + self.random.below(6);
                let mask = ChannelMask::from_fn(shape, |_, _, channel| channel % every == 0);
                CachePlan::of_mask(&mask)
            }
        }
    }

    /// The run is over: now and then its dense side is compared with a run of its own, then
    /// another begins, now and then on another engine, with and without a dense side.
    fn next_run(&mut self) {
        self.counts.runs += 1;
        if !self.solo && self.counts.runs.is_multiple_of(4) {
            self.compare();
        }
        self.next_prompt();
        if self.counts.runs.is_multiple_of(10) {
            self.solo = !self.solo;
            self.counts.engines += 1;
            let began = Engine::spawn(loader(Arc::clone(&self.model), self.solo)).unwrap();
            (self.engine, self.events) = began;
            self.revision = 0;
            self.state.run.generation = 0;
        } else {
            self.act(Action::Do(Command::Rerun));
        }
    }

    /// What the dense side said in this run, against a dense run of its own.
    fn compare(&mut self) {
        let said: Vec<&Pair> = self.state.run.pairs.all().iter().collect();
        let shape = self.model.config().mask_shape();
        let dense = Arc::new(CacheSpec::dense(shape, WINDOW, Dtype::F32).unwrap());
        let request = Request {
            prompts: vec![self.prompt.clone()],
            sampling: Sampling::default(),
            max_new: said.len(),
            forced: None,
            context: self.model.config().max_context,
            ignore_end: true,
        };
        let model = Arc::clone(&self.model);
        let (mut session, _) =
            with_quiet_hooks(|hooks| Session::start(model, &dense, request, false, hooks)).unwrap();
        while !session.is_finished() {
            session.step(&mut |_, _, _| ()).unwrap();
        }
        let sequence = &session.sequences()[0];
        for (n, pair) in said.iter().enumerate() {
            let Some(voice) = &pair.a else { continue };
            assert_eq!(voice.id, sequence.generated()[n], "token {n} of the dense side");
            let fresh = f64::from(sequence.logprobs[n]);
            let found = f64::from(voice.top[0].p).ln();
            assert!((found - fresh).abs() < 1e-5, "token {n}: {found} in the session, {fresh} new");
            self.counts.compared += 1;
        }
    }

    fn read(&mut self, at: f64) -> Reading {
        self.frames.sort_by(f64::total_cmp);
        let middle = self.frames.get(self.frames.len() / 2).copied().unwrap_or(0.0);
        let slowest = self.frames.last().copied().unwrap_or(0.0);
        self.frames.clear();
        Reading {
            at,
            resident: machine::resident_bytes().expect("linux tells"),
            live: MEMORY.current_usage(),
            threads: count_in("/proc/self/task"),
            files: count_in("/proc/self/fd"),
            frames: (middle, slowest),
        }
    }
}

/// Medians of the first and the last third of what is left after the warm-up.
fn ends(readings: &[Reading], of: impl Fn(&Reading) -> f64) -> (f64, f64) {
    let third = readings.len() / 3;
    let median = |part: &[Reading]| {
        let mut values: Vec<f64> = part.iter().map(&of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (median(&readings[..third]), median(&readings[readings.len() - third..]))
}

#[test]
#[cfg(target_os = "linux")]
fn a_long_session_stays_as_it_is() {
    let asked: Option<u64> = std::env::var("KSCOPE_SOAK").ok().map(|text| text.parse().unwrap());
    let seconds = asked.unwrap_or(SHORT);
    let mut soak = Soak::new();
    let began = Instant::now();
    let mut readings: Vec<Reading> = Vec::new();
    let every = Duration::from_secs_f64(seconds as f64 / 200.0);
    let (mut next_reading, mut last_frame) = (every, Instant::now());
    let (mut events, mut goes_on) = (0_usize, false);
    loop {
        let elapsed = began.elapsed();
        if elapsed.as_secs() >= seconds && soak.counts.are_enough() {
            break;
        }
        let envelope = match soak.events.try_recv() {
            Ok(envelope) => envelope,
            Err(TryRecvError::Empty) => {
                // Everything that was asked for while it was paused is done.
                if soak.state.phase == Phase::Paused && !std::mem::replace(&mut goes_on, true) {
                    soak.act(Action::Do(Command::Pause));
                }
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            Err(TryRecvError::Disconnected) => panic!("the engine has ended"),
        };
        let loaded = matches!(envelope.event, Event::Loaded(_));
        soak.take(envelope);
        (goes_on, events) = (false, events + 1);
        if !loaded && matches!(soak.state.phase, Phase::Finished(_)) {
            soak.next_run();
        } else if events.is_multiple_of(MEDDLE) {
            soak.meddle();
        }
        if last_frame.elapsed() > Duration::from_millis(33) {
            last_frame = Instant::now();
            soak.act(Action::Tick(elapsed.as_secs_f64() * 1e3));
            soak.draw();
        }
        if elapsed >= next_reading {
            next_reading += every;
            let reading = soak.read(elapsed.as_secs_f64());
            if asked.is_some() {
                println!(
                    "{:>6.0} s  {:>9} steps  {:>6.1} MB  {} threads  {} files  frames {:.2} ms, slowest {:.1}",
                    reading.at,
                    soak.counts.steps,
                    reading.resident as f64 / 1e6,
                    reading.threads,
                    reading.files,
                    reading.frames.0,
                    reading.frames.1
                );
            }
            readings.push(reading);
        }
    }
    let warm: Vec<Reading> =
        readings.into_iter().filter(|reading| reading.at > WARM_UP * seconds as f64).collect();
    let (before, after) = ends(&warm, |reading| reading.resident as f64);
    // The least of a third is what stays between two runs, whatever the allocator keeps for the next.
    let third = warm.len() / 3;
    let least = |part: &[Reading]| part.iter().map(|reading| reading.live).min().unwrap() as f64;
    let (live_before, live_after) = (least(&warm[..third]), least(&warm[warm.len() - third..]));
    let (frame_before, frame_after) = ends(&warm, |reading| reading.frames.0);
    let spread = |of: fn(&Reading) -> usize| {
        let values = || warm.iter().map(of);
        (values().min().unwrap(), values().max().unwrap())
    };
    println!("figure\tsoak\t{:.0} s, {:?}", began.elapsed().as_secs_f64(), soak.counts);
    println!(
        "figure\tsoak\tresident {:.1} MB, then {:.1} MB ({:+.2} %); least live {:.1} MB, then {:.1} MB ({:+.2} %); threads {:?}, files {:?}; frames {frame_before:.2} ms, then {frame_after:.2} ms",
        before / 1e6,
        after / 1e6,
        100.0 * (after / before - 1.0),
        live_before / 1e6,
        live_after / 1e6,
        100.0 * (live_after / live_before - 1.0),
        spread(|reading| reading.threads),
        spread(|reading| reading.files),
    );
    let counts = &soak.counts;
    assert!(counts.are_enough(), "{counts:?}");
    // Resident memory is judged once the allocator has seen everything: within minutes its pools still
    // grow by a tenth and more, in the first seconds by a third.
    if seconds >= LONG {
        assert!(after < 1.02 * before, "resident memory grew from {before} to {after} bytes");
    }
    let flat = if asked.is_some() { 1.1 } else { SHORT_GROWTH };
    assert!(
        live_after < flat * live_before,
        "live memory grew from {live_before} to {live_after} bytes"
    );
    // An engine that ends may still be there when the next one begins.
    let (least, most) = spread(|reading| reading.threads);
    assert!(most <= least + 1, "{least} to {most} threads");
    let (least, most) = spread(|reading| reading.files);
    assert!(most <= least + 1, "{least} to {most} open files: one is the reading itself");
    assert!(frame_after < 3.0 * frame_before + 1.0, "{frame_before} ms, then {frame_after} ms");
}
