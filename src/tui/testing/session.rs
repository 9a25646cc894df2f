//! A session for tests, without model or engine.

use std::cell::RefCell;
use std::sync::Arc;

use crate::cache::{CacheBytes, CacheSpec};
use crate::decode::divergence::{Divergence, StepDivergence};
use crate::decode::lost::{Asked, Lost, LostToken};
use crate::decode::sampler::Sampling;
use crate::decode::worker::event::{
    Bandwidth, Envelope, Event, HeadDetail, Likely, Live, MaskInfo, Measured, Memory, ModelInfo,
    Pair, Retuned, Rules, Started, StepMs, Subject, Token, Voice,
};
use crate::decode::worker::{EngineOrder as Order, Prompt, Retune};
use crate::element::Dtype;
use crate::mask::select::Options;
use crate::mask::{
    CachePlan, ChannelMask, Coding, Importance, Rule, Sensitivity, Shape, Width, Window, select,
};
use crate::random::scrambled;
use crate::spread::{MedianInterval, Spread};
use crate::tui::app::action::{Action, Effect};
use crate::tui::app::keys::KeyTable;
use crate::tui::app::log::LogBuffer;
use crate::tui::app::run::NextRun;
use crate::tui::app::state::{Beginning, State};
use crate::tui::app::update::update;
use crate::tui::color::{ColorDepth, Colormap, Theme};

/// The demo's axes.
pub const SMALL: Shape = Shape { layers: 5, kv_heads: 2, head_dim: 64 };
/// Llama-3.1-8B's axes.
pub const LARGE: Shape = Shape { layers: 32, kv_heads: 8, head_dim: 128 };

/// A number in 0..1 that depends on `n` alone.
pub fn noise(n: usize) -> f32 {
    (scrambled(n as u64 ^ 0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32
}

/// The initial state.
pub fn blank(depth: ColorDepth) -> State {
    let mut state = State::new(Beginning {
        theme: Theme::new(depth, false, Colormap::Viridis),
        terminal_light: false,
        keys: KeyTable::new(&Default::default()).expect("the defaults are consistent"),
        loading_name: "demo".to_owned(),
        plan: NextRun {
            prompt: Prompt::Text { text: "Say something.".to_owned(), raw: false },
            sampling: Sampling::default(),
            max_new: 256,
            ignore_end: false,
        },
        replay: false,
        log: LogBuffer::default(),
        export_folder: "out".into(),
    });
    state.size = (120, 40);
    state
}

/// What a loaded model of this shape reports; one head in seven is dropped.
pub fn info(shape: Shape) -> ModelInfo {
    let score = |i: usize| {
        let (head, channel) = (i / shape.head_dim, i % shape.head_dim);
        let slow = (channel % shape.pairs()) as f32 / shape.pairs() as f32;
        if head % 7 == 5 { 0.0 } else { (0.2 + slow * slow) * noise(i) }
    };
    let importance =
        Importance::new(shape, (0..shape.entries()).map(score).collect()).expect("finite");
    let mask = select::select(&importance, &Options::new(0.5, 8)).expect("a fair budget");
    let other =
        ChannelMask::from_fn(shape, |_, _, channel| channel % shape.pairs() >= shape.pairs() / 2);
    let info = |label: &str, mask: ChannelMask, importance: Option<Vec<f32>>| MaskInfo {
        label: label.to_owned(),
        plan: CachePlan::of_mask(&mask),
        importance,
        rule: "test".to_owned(),
        align: 8,
        sparsity: Some(0.5),
    };
    ModelInfo {
        name: "test-model".to_owned(),
        architecture: "llama".to_owned(),
        device: "cpu".to_owned(),
        dtype: "f16".to_owned(),
        weight_bytes: 5_210_112,
        shape,
        heads: shape.kv_heads * 2,
        parameters: 2_605_056,
        max_context: 32_768,
        context: 8_192,
        kinds: Vec::new(),
        wavelengths: (0..shape.pairs())
            .map(|i| 6.25 * 50_000_f64.powf(i as f64 / shape.pairs() as f64))
            .collect(),
        kv_dtype: Dtype::F16,
        mask: Some(info("learned-50", mask, Some(importance.scores().to_vec()))),
        other: Some(info("slowest", other, None)),
        window: Window::default(),
        solo: false,
        feed: Default::default(),
        fingerprint: String::new(),
        sensitivity: None,
        served: None,
        warnings: Vec::new(),
    }
}

/// A sensitivity: the fewer bits, the more damage, and some channels far more than others.
pub fn sensitivity(shape: Shape) -> Arc<Sensitivity> {
    let table = |rows: usize, seed: usize| -> Vec<f32> {
        let row = |row: usize| {
            let scale = (noise(row * 17 + seed) * 8.0 - 12.0).exp();
            [1.0, 0.2, 0.01, 0.0004].map(|part| part * scale)
        };
        (0..rows).flat_map(row).collect()
    };
    let (k, v) = (table(shape.entries(), 5), table(shape.heads(), 6));
    Arc::new(Sensitivity::new(shape, k, v).expect("finite"))
}

/// Sends one event of the current run.
pub fn send(state: &mut State, event: Event) {
    let generation = state.run.generation;
    update(state, Action::Engine(Box::new(Envelope { generation, at_ms: 0.0, dropped: 0, event })));
}

/// Texts of the tokens.
const WORDS: [&str; 6] = [" the", " light", " was", " quiet", ",", " and"];

/// The `n`-th token of a run over `cached` tokens.
pub fn token(info: &ModelInfo, n: usize, cached: usize) -> Event {
    let total = 4.0 + f64::from(noise(n));
    let step = StepMs {
        total,
        attention: total * 0.3,
        projections: total * 0.55,
        logits: total * 0.1,
        rest: total * 0.05,
    };
    Event::Token(Box::new(Token {
        n,
        id: n as u32,
        text: WORDS[n % WORDS.len()].to_owned(),
        special: None,
        logprob: -5.0 * noise(n + 7),
        cached,
        kv: cache_bytes(info, cached),
        step: (n > 1).then_some(step),
    }))
}

/// What a model's cache of this length takes. The specification of the last model is kept: making one
/// for every token of a session took most of the time of the tests.
fn cache_bytes(info: &ModelInfo, cached: usize) -> CacheBytes {
    thread_local! {
        static LAST: RefCell<Option<CacheSpec>> = const { RefCell::new(None) };
    }
    let plan = info.mask.as_ref().map(|mask| &mask.plan);
    LAST.with_borrow_mut(|last| {
        let fits = last.as_ref().is_some_and(|spec| {
            let same = plan.map_or_else(|| spec.plan().is_full(), |plan| plan == spec.plan());
            same && spec.shape() == info.shape && spec.window() == info.window
        });
        if !fits {
            let plan = plan.cloned().unwrap_or_else(|| CachePlan::full(info.shape));
            *last = Some(CacheSpec::planned(info.window, Dtype::F16, plan).expect("fits"));
        }
        last.as_ref().expect("just made").bytes_at(cached)
    })
}

/// Both sides at the `n`-th token of a run over `cached` tokens; every seventh token the sides
/// prefer different ones.
pub fn pair(info: &ModelInfo, n: usize, cached: usize) -> Event {
    let Event::Token(token) = token(info, n, cached) else { unreachable!("a token") };
    let dense = 2 * Dtype::F16.bytes() * info.shape.entries() * cached;
    let parts = n % 7 == 3;
    let top = |first: usize| -> Vec<Likely> {
        let of = |place: usize| Likely {
            id: (first + place) as u32,
            text: WORDS[(first + place) % WORDS.len()].to_owned(),
            p: 0.6 / (1 << place) as f32,
        };
        (0..5).map(of).collect()
    };
    let voice = |ms: f64, kv: usize, first: usize| Voice {
        id: token.id,
        text: token.text.clone(),
        special: token.special.clone(),
        ms: (n > 1).then_some(ms * (1.0 + f64::from(noise(n)) / 10.0)),
        kv,
        top: top(first),
    };
    let divergence = (n > 1).then(|| StepDivergence {
        kld: f64::from((noise(n + 3) * 8.0 - 9.0).exp()),
        same_top: !parts,
        delta_logprob: f64::from(noise(n + 5) - 0.5) / 10.0,
        delta_p: f64::from(noise(n + 6) - 0.5) / 20.0,
    });
    Event::Pair(Box::new(Pair {
        n,
        a: Some(voice(5.2, dense, n)),
        b: Some(voice(4.4, token.kv.total(), n + usize::from(parts))),
        divergence,
    }))
}

/// What a step lost, as the engine would report it.
pub fn lost(asked: Asked) -> Event {
    let token = |rank: usize| LostToken {
        position: 17 * rank,
        text: WORDS[rank % WORDS.len()].to_owned(),
        middle: rank > 2,
        exact_logit: 9.0 - rank as f64 / 2.0,
        pruned_logit: (rank != 4).then_some(8.5 - rank as f64 / 2.0),
        exact_weight: 0.3 / rank as f64,
        pruned_weight: if rank == 4 { 0.0 } else { 0.31 / rank as f64 },
        exact_rank: rank,
        pruned_rank: if rank == 4 { 380 } else { rank },
    };
    Event::Lost(Box::new(Lost {
        asked,
        exact: [0.2, 0.5, 0.3],
        pruned: [0.22, 0.45, 0.33],
        kld: Some(0.0123),
        logit_rms: 0.31,
        tokens: (1..14).map(token).collect(),
    }))
}

/// A session that has decoded for a while.
pub fn session(shape: Shape, depth: ColorDepth) -> State {
    session_of(info(shape), depth)
}

/// The same with a plan of all widths: the slower a pair, the more bits. Head 1 of layer 1 is
/// dropped, and V has 4 bits in the even layers and 8 in the odd ones.
pub fn planned(shape: Shape, depth: ColorDepth) -> State {
    let mut info = info(shape);
    let dropped = |head: usize| head == shape.kv_heads + 1;
    let k = |i: usize| match i / shape.head_dim {
        head if dropped(head) => Width::Zero,
        _ => Width::ALL[i % shape.pairs() * 5 / shape.pairs()],
    };
    let v = |head: usize| match head / shape.kv_heads % 2 {
        _ if dropped(head) => Width::Zero,
        0 => Width::Four,
        _ => Width::Eight,
    };
    let (k, v) = ((0..shape.entries()).map(k).collect(), (0..shape.heads()).map(v).collect());
    let plan = CachePlan::new(shape, k, v, Coding::best(shape.head_dim)).expect("a fair plan");
    info.mask = info.mask.map(|mask| MaskInfo { plan, sparsity: None, ..mask });
    info.window = Window::CODED;
    session_of(info, depth)
}

/// A session that has decoded for a while, with a model of this kind.
pub fn session_of(info: ModelInfo, depth: ColorDepth) -> State {
    let shape = info.shape;
    let mut state = blank(depth);
    send(&mut state, Event::Loaded(Box::new(info.clone())));
    send(
        &mut state,
        Event::Started(Box::new(Started {
            prompt: "The harbour was quiet that morning. What did the keeper do?".to_owned(),
            prompt_tokens: 400,
            max_new: 256,
            sampling: Sampling::default(),
            prefill_ms: 81.5,
            ttft_ms: 83.25,
            kept: false,
        })),
    );
    let table = |seed: usize| -> Vec<f32> {
        (0..shape.entries()).map(|i| (noise(i * 31 + seed) * 9.0 - 4.0).exp()).collect()
    };
    send(
        &mut state,
        Event::Rules(Box::new(Rules::new([(Rule::KEY_NORM, table(1)), (Rule::THINK, table(2))]))),
    );
    for n in 1..=120 {
        send(&mut state, pair(&info, n, 399 + n));
        send(&mut state, token(&info, n, 399 + n));
    }
    send(&mut state, Event::Live(Box::new(Live { activity: table(3), steps: 40, middle: 352 })));
    send(&mut state, head_detail(shape, 0, 0));
    send(
        &mut state,
        Event::Memory(Memory {
            resident: Some(123 << 20),
            device: None,
            kv_allocated: 1_500_000,
            kv_stored: Some(1_064_000),
        }),
    );
    let machine = Bandwidth { gbps: 12.5, threads: 2, weights: 4_000_000, ms: 310.0 };
    send(&mut state, Event::Bandwidth(Box::new(machine)));
    state.toast = None;
    state
}

/// Live detail of a head.
pub fn head_detail(shape: Shape, layer: usize, head: usize) -> Event {
    let energy = |seed: usize| (0..shape.head_dim).map(|i| noise(i + seed)).collect();
    Event::Head(Box::new(HeadDetail {
        layer,
        head,
        mass: vec![[0.1, 0.6, 0.3], [0.05, 0.15, 0.8]],
        q_energy: energy(11),
        k_energy: energy(13),
    }))
}

/// Answers changes of the mask as the engine does when it accepts them.
pub fn answer(state: &mut State, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Engine(Order::Retune(retune)) = effect {
            let Retune { revision, mask, window } = (**retune).clone();
            send(
                state,
                Event::Retuned(Box::new(Retuned {
                    revision,
                    mask,
                    window,
                    from: Some(120),
                    ms: 2.5,
                })),
            );
        }
    }
}

/// What a mask lost over 64 steps, with this mean.
pub fn measured(subject: Subject, kld: f64, left: usize) -> Event {
    let spread = |mean: f64| Spread {
        mean,
        stderr: mean / 8.0,
        p50: mean * 0.9,
        p99: mean * 3.0,
        p999: mean * 3.5,
        max: mean * 4.0,
    };
    let divergence = Divergence {
        steps: 64,
        kld: spread(kld),
        top1_agreement: 0.984375,
        mean_delta_logprob: -kld,
        rms_delta_p: kld,
    };
    Event::Measured(Box::new(Measured {
        subject,
        divergence,
        // The same steps are hard for every mask.
        klds: (0..64).map(|step| kld as f32 * (0.5 + step as f32 / 63.0)).collect(),
        a_ms: spread(5.0),
        b_ms: spread(4.0 + kld),
        beside: Some(MedianInterval { median: 0.8 + kld, low: 0.78 + kld, high: 0.83 + kld }),
        kv: 1_000_000,
        dense_kv: 1_500_000,
        left,
        over: 0x5eed,
        cached: 1_664,
        repeats: 0,
        with_middle: Some(64),
    }))
}
