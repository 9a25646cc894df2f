//! A session for tests, without model or engine, and a dump of frames that shows colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::cache::{CacheSpec, KvDtype};
use crate::decode::divergence::{Divergence, Spread, StepDivergence};
use crate::decode::lost::{Asked, Lost, LostToken};
use crate::decode::sampler::Sampling;
use crate::decode::worker::event::{
    Envelope, Event, HeadDetail, Likely, Live, MaskInfo, Measured, Memory, ModelInfo, Pair,
    Retuned, Rules, Started, StepMs, Subject, Token, Voice,
};
use crate::decode::worker::{Command as Order, Prompt, Retune};
use crate::learn::check::{Counts, Row, Rule, Verdict};
use crate::learn::data::Task;
use crate::learn::run::Event as Learned;
use crate::learn::train::{Dense, Stage, Update};
use crate::learn::worker::{Done, Notice, Told};
use crate::mask::files::{MaskFile, Origin};
use crate::mask::select::{self, Options};
use crate::mask::{ChannelMask, Importance, Shape, Window};
use crate::tui::action::{Action, Command, Effect};
use crate::tui::color::{Colormap, Depth, Theme};
use crate::tui::keys::KeyTable;
use crate::tui::log::LogBuffer;
use crate::tui::state::{Beginning, Plan, State};
use crate::tui::update::update;
use crate::tui::view;

/// The demo's axes.
pub const SMALL: Shape = Shape { layers: 5, kv_heads: 2, head_dim: 64 };
/// Llama-3.1-8B's axes.
pub const LARGE: Shape = Shape { layers: 32, kv_heads: 8, head_dim: 128 };

/// A number in 0..1 that depends on `n` alone.
fn noise(n: usize) -> f32 {
    let mut x = n as u64 ^ 0x9e37_79b9_7f4a_7c15;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 40) as f32 / (1 << 24) as f32
}

/// A state before anything happened.
pub fn blank(depth: Depth) -> State {
    let mut state = State::new(Beginning {
        theme: Theme::new(depth, false, Colormap::Viridis),
        keys: KeyTable::new(&Default::default()).expect("the defaults are consistent"),
        loading_name: "demo".to_owned(),
        plan: Plan {
            prompt: Prompt::Text { text: "Say something.".to_owned(), raw: false },
            sampling: Sampling::default(),
            max_new: 256,
        },
        replay: false,
        log: LogBuffer::default(),
        export_folder: "out".into(),
    });
    state.size = (120, 40);
    state
}

/// What a model of this shape tells when it is loaded; one head in seven is dropped.
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
        mask,
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
        wavelengths: (0..shape.pairs())
            .map(|i| 6.25 * 50_000_f64.powf(i as f64 / shape.pairs() as f64))
            .collect(),
        kv_dtype: "f16".to_owned(),
        mask: Some(info("learned-50", mask, Some(importance.scores().to_vec()))),
        other: Some(info("slowest", other, None)),
        window: Window::default(),
        solo: false,
        feed: Default::default(),
        fingerprint: String::new(),
        warnings: Vec::new(),
    }
}

/// Sends one event of the run at hand.
pub fn send(state: &mut State, event: Event) {
    let generation = state.run.generation;
    update(state, Action::Engine(Box::new(Envelope { generation, at_ms: 0.0, dropped: 0, event })));
}

/// What the tokens say.
const WORDS: [&str; 6] = [" the", " light", " was", " quiet", ",", " and"];

/// The `n`-th token of a run over `cached` tokens.
pub fn token(info: &ModelInfo, n: usize, cached: usize) -> Event {
    let mask =
        info.mask.as_ref().map_or_else(|| ChannelMask::full(info.shape), |mask| mask.mask.clone());
    let spec = CacheSpec::new(info.shape, info.window, KvDtype::F16, mask).expect("fits");
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
        logprob: -5.0 * noise(n + 7),
        cached,
        kv: spec.bytes_at(cached),
        step: (n > 1).then_some(step),
    }))
}

/// Both sides at the `n`-th token of a run over `cached` tokens; every seventh token the sides
/// prefer different ones.
pub fn pair(info: &ModelInfo, n: usize, cached: usize) -> Event {
    let Event::Token(token) = token(info, n, cached) else { unreachable!("a token") };
    let dense = CacheSpec::dense(info.shape, info.window, KvDtype::F16)
        .expect("fits")
        .bytes_at(cached)
        .total();
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

/// What a step lost, as the engine would tell it.
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

/// A session that has decoded a while.
pub fn session(shape: Shape, depth: Depth) -> State {
    let mut state = blank(depth);
    let info = info(shape);
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
        })),
    );
    let table = |seed: usize| -> Vec<f32> {
        (0..shape.entries()).map(|i| (noise(i * 31 + seed) * 9.0 - 4.0).exp()).collect()
    };
    send(&mut state, Event::Rules(Box::new(Rules { key_norm: table(1), think: table(2) })));
    for n in 1..=120 {
        send(&mut state, pair(&info, n, 399 + n));
        send(&mut state, token(&info, n, 399 + n));
    }
    send(&mut state, Event::Live(Box::new(Live { activity: table(3), steps: 40, middle: 352 })));
    send(&mut state, head_detail(shape, 0, 0));
    send(
        &mut state,
        Event::Memory(Memory { resident: Some(123 << 20), device: None, kv_allocated: 1_500_000 }),
    );
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

/// Answers changes of the mask as the engine does when nothing is in its way.
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
        a_ms: spread(5.0),
        b_ms: spread(4.0 + kld),
        kv: 1_000_000,
        dense_kv: 1_500_000,
        left,
    }))
}

/// Draws a frame.
pub fn draw(state: &State) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, state.size.0, state.size.1));
    view::render(state, &mut buffer);
    buffer
}

/// The text of a frame, a line per row, without blanks at the ends.
pub fn text(buffer: &Buffer) -> String {
    let rows = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    let lines: Vec<String> = rows
        .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// A frame with its colours: below each row of text the foregrounds (`f`), backgrounds (`b`) and
/// modifiers (`m`) that are not the default. Colours are letters, explained at the end.
pub fn styled(buffer: &Buffer) -> String {
    let mut legend: Vec<Color> = Vec::new();
    let mut out = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
        let plane = |cells: Vec<char>, name: char, out: &mut String| {
            let line: String = cells.into_iter().collect();
            if !line.trim_end().is_empty() {
                out.push_str(&format!("{name}|{}\n", line.trim_end()));
            }
        };
        let symbols: String = row.iter().map(|cell| cell.symbol()).collect();
        out.push_str(&format!(" |{}\n", symbols.trim_end()));
        // The colour of a blank's ink cannot be seen.
        plane(
            row.iter()
                .map(|cell| if cell.symbol() == " " { ' ' } else { letter(&mut legend, cell.fg) })
                .collect(),
            'f',
            &mut out,
        );
        plane(row.iter().map(|cell| letter(&mut legend, cell.bg)).collect(), 'b', &mut out);
        let modifier = |modifier: Modifier| match modifier {
            m if m.contains(Modifier::REVERSED) => 'R',
            m if m.contains(Modifier::BOLD) => 'B',
            m if m.contains(Modifier::DIM) => 'D',
            m if m.contains(Modifier::UNDERLINED) => 'U',
            _ => ' ',
        };
        plane(
            row.iter()
                .map(|cell| {
                    if cell.symbol() == " " && !cell.modifier.contains(Modifier::REVERSED) {
                        ' '
                    } else {
                        modifier(cell.modifier)
                    }
                })
                .collect(),
            'm',
            &mut out,
        );
    }
    for color in legend.clone() {
        let sign = letter(&mut legend, color);
        let name = match color {
            Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
            Color::Indexed(index) => index.to_string(),
            other => other.to_string(),
        };
        out.push_str(&format!("{sign} {name}\n"));
    }
    out
}

/// The letter of a colour; blank for the default. Letters first, then whatever printable signs
/// follow: more than a map's 32 colours and all roles need.
fn letter(legend: &mut Vec<Color>, color: Color) -> char {
    if color == Color::Reset {
        return ' ';
    }
    let at = legend.iter().position(|known| *known == color).unwrap_or_else(|| {
        legend.push(color);
        legend.len() - 1
    });
    ('a'..='z')
        .chain('A'..='Z')
        .chain('0'..='9')
        .chain('\u{100}'..='\u{17f}')
        .nth(at)
        .unwrap_or('?')
}

/// Tells something of the learning at hand.
pub fn tell_learning(state: &mut State, told: Told) {
    let generation = state.learning.generation;
    update(state, Action::Learning(Box::new(Notice { generation, dropped: 0, told })));
}

/// Factors after a share of stage 1: slow channels keep theirs.
pub fn factors(shape: Shape, share: f32) -> Importance {
    let factor = |i: usize| {
        let slow = (i % shape.pairs()) as f32 / shape.pairs() as f32;
        if i / shape.head_dim % 7 == 5 {
            1.0 - share
        } else {
            1.0 - share * (1.0 - slow * slow) * (0.6 + 0.4 * noise(i))
        }
    };
    Importance::new(shape, (0..shape.entries()).map(factor).collect()).expect("finite")
}

/// A learning that has made `updates` updates of stage 1, two a second.
pub fn learning(state: &mut State, updates: usize) {
    let shape = state.model.as_ref().map_or(SMALL, |model| model.shape());
    let began = state.now_ms;
    update(state, Action::Do(Command::ShowLearn));
    update(state, Action::Do(Command::Learn));
    let going = |state: &mut State, event| tell_learning(state, Told::Going(event));
    for done in [0, 60, 104] {
        update(state, Action::Tick(began + 500.0 * done as f64));
        going(state, Learned::Prefill(done, 104));
    }
    let dense = |asked, right| Dense { asked, right };
    going(
        state,
        Learned::Dense(vec![(Task::Codes, dense(60, 44)), (Task::Passkey, dense(14, 11))]),
    );
    for step in 0..updates {
        update(state, Action::Tick(began + 52_000.0 + 500.0 * (step + 1) as f64));
        let mean = (1.0 - 0.004 * step as f64).max(0.3);
        let distill = 0.004 * (1.0 - mean) * (1.0 + f64::from(noise(step)));
        going(
            state,
            Learned::Update(Update {
                stage: Stage::Importance,
                step,
                distill,
                reg: 0.2 * mean,
                mean,
                kept: 0.31,
            }),
        );
        if step % 10 == 9 {
            going(state, Learned::Factors(factors(shape, 1.0 - mean as f32)));
        }
    }
}

/// The learning at hand ends with a verdict.
pub fn learned(state: &mut State) {
    let shape = state.model.as_ref().map_or(SMALL, |model| model.shape());
    tell_learning(state, Told::Going(Learned::Validated { cut: 0.0113, best: 0.0109 }));
    tell_learning(state, Told::Going(Learned::Check(0.5)));
    let importance = factors(shape, 0.7);
    let mask = select::select(&importance, &Options::new(0.7, 8)).expect("a fair budget");
    let row = |(rule, counts, at): (Rule, Counts, f64)| Row {
        rule,
        counts,
        sparsity: if rule == Rule::Dense { 0.0 } else { 0.7 },
        recall: 0.7 - at,
        asked: if at > 0.05 { 120 } else { 420 },
        digit_nll: 0.25 + at,
        kld_mean: at / 3.0,
        texts: Vec::new(),
        answers: Vec::new(),
    };
    let rules = [Rule::Think, Rule::KeyNorm, Rule::Frequency, Rule::Random].into_iter().enumerate();
    let rivals = rules.flat_map(|(i, rule)| {
        [(rule, Counts::Learned, 0.1 * (i + 1) as f64), (rule, Counts::Own, 0.12 * (i + 1) as f64)]
    });
    let rows = [(Rule::Dense, Counts::Own, 0.0), (Rule::Learned, Counts::Learned, 0.01)]
        .into_iter()
        .chain(rivals)
        .map(row);
    let origin = Origin {
        model: "test-model".to_owned(),
        fingerprint: String::new(),
        window: Window::default(),
        align: 8,
        recipe: serde_json::json!({ "rule": "learned" }),
    };
    let file = MaskFile { mask, importance: Some(importance), target_sparsity: Some(0.7), origin };
    let reason = "digit NLL +0.010 against dense, text KLD 0.0033, recall -1.0 points (9 lost, 5 won, p = 0.21)".to_owned();
    tell_learning(
        state,
        Told::Done(Box::new(Done {
            file,
            out: "masks/learned.safetensors".into(),
            rows: rows.collect(),
            verdict: Some(Verdict { ship: true, reason }),
            seconds: 312.0,
        })),
    );
    state.toast = None;
}
