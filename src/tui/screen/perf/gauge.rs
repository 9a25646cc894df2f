//! The bandwidth gauge: what a step reads, how fast it reads it, what the machine could, and the
//! ceiling of speed that follows.

use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::decode::worker::EngineOrder;
use crate::decode::worker::event::Bandwidth;
use crate::numbers::{self, rate};
use crate::tui::app::action::Effect;
use crate::tui::app::model::ModelView;
use crate::tui::app::run::{Phase, RunView};
use crate::tui::app::state::{Gauge, State};
use crate::tui::color::Role;
use crate::tui::paint::put;
use crate::tui::widget::meter;
use crate::tui::widget::pane::Pane;

/// How often the bandwidth is measured again where steps read faster: the first time, something else
/// may have been at work.
const MOST_AGAIN: u8 = 3;
/// Least time between two measurements, in milliseconds; it doubles.
const BETWEEN_MS: f64 = 5_000.0;

/// Asks the engine for the machine's bandwidth, as soon as there are steps to compare with it, and
/// again where they are faster.
pub fn ask(state: &mut State) -> Vec<Effect> {
    let Some(model) = state.model.as_ref().filter(|model| is_cpu(model)) else { return Vec::new() };
    let stands = matches!(state.phase, Phase::Running | Phase::Paused | Phase::Finished(_));
    if state.replay || !stands || state.run.rate().is_none() {
        return Vec::new();
    }
    state.bandwidth = match &state.bandwidth {
        Gauge::Unknown => Gauge::Asked,
        Gauge::Known(machine) => {
            let dense = model.bytes_at(state.run.cached).1.total();
            let is_over =
                reached(&state.run, dense, machine).is_some_and(|now| now.share.is_none());
            let again = &mut state.bandwidth_again;
            if !is_over || again.times >= MOST_AGAIN || state.now_ms < again.from_ms {
                return Vec::new();
            }
            again.from_ms = state.now_ms + BETWEEN_MS * f64::from(1_u32 << again.times);
            again.times += 1;
            Gauge::Again(machine.clone())
        }
        Gauge::Asked | Gauge::Again(_) | Gauge::Refused(_) => return Vec::new(),
    };
    vec![Effect::Engine(EngineOrder::Bandwidth)]
}

/// Takes a measurement: the fastest is the machine's, because other work only slows it down.
pub fn take(state: &mut State, measured: Bandwidth) {
    let before = match std::mem::take(&mut state.bandwidth) {
        Gauge::Known(machine) | Gauge::Again(machine) => Some(machine),
        Gauge::Unknown | Gauge::Asked | Gauge::Refused(_) => None,
    };
    let machine = before.filter(|before| before.gbps > measured.gbps).unwrap_or(measured);
    state.bandwidth = Gauge::Known(machine);
}

/// Takes that the engine does not measure; what is known stays.
pub fn refuse(state: &mut State, sentence: String) {
    state.bandwidth = match std::mem::take(&mut state.bandwidth) {
        Gauge::Known(machine) | Gauge::Again(machine) => Gauge::Known(machine),
        Gauge::Unknown | Gauge::Asked | Gauge::Refused(_) => Gauge::Refused(sentence),
    };
}

fn is_cpu(model: &ModelView) -> bool {
    !model.is_on_gpu()
}

/// What the last steps read, and how that compares with the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// Bytes that a step reads: weights, and the cache as it is now.
    pub bytes: f64,
    /// 1e9 bytes a second over the last steps.
    pub gbps: f64,
    /// Of what the machine can read, 1 is all; `None` where it is more: then what the steps read
    /// stays in the processor's caches, or other work slowed the measurement down.
    pub share: Option<f64>,
    /// Tokens a second if steps read at the machine's speed and did nothing else. `None` where a
    /// step was faster: then what it reads stays in the processor's caches, and memory sets no
    /// ceiling.
    pub ceiling: Option<f64>,
    /// The same with a dense cache.
    pub dense_ceiling: Option<f64>,
}

/// Compares the last steps with the machine; `None` before the first step.
pub fn reached(run: &RunView, dense_kv: usize, machine: &Bandwidth) -> Option<Reached> {
    let bytes = machine.weights as f64 + run.kv.total() as f64;
    let gbps = bytes * run.rate()? / 1e9;
    let of = |bytes: f64| machine.gbps * 1e9 / bytes.max(1.0);
    let holds = run.fastest()? <= of(bytes);
    let ceiling = |bytes: f64| holds.then(|| of(bytes));
    Some(Reached {
        bytes,
        gbps,
        share: Some(gbps / machine.gbps.max(1e-9)).filter(|share| *share <= 1.0),
        ceiling: ceiling(bytes),
        dense_ceiling: ceiling(machine.weights as f64 + dense_kv as f64),
    })
}

/// Draws the gauge.
pub fn render(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    let machine = match &state.bandwidth {
        Gauge::Known(machine) | Gauge::Again(machine) => machine,
        other => {
            pane.title("memory bandwidth", "");
            pane.note(match other {
                Gauge::Refused(sentence) => sentence.clone(),
                Gauge::Asked => "measuring; decode waits a moment".to_owned(),
                _ if !is_cpu(model) => "measured on the CPU only".to_owned(),
                _ if state.replay => "the recording does not say".to_owned(),
                _ => state.awaited("measured with the first decode steps"),
            });
            return;
        }
    };
    let threads = match machine.threads {
        1 => "1 thread".to_owned(),
        n => format!("{n} threads"),
    };
    pane.title("memory bandwidth", &format!("measured · {threads}"));
    let speed = format!("{:.1} GB/s", machine.gbps);
    pane.row_of("machine", [format!("{speed} read"), speed]);
    let dense = model.bytes_at(state.run.cached).1.total();
    let Some(now) = reached(&state.run, dense, machine) else { return };
    let speed = format!("{:.1} GB/s", now.gbps);
    let forms = match (now.share, &state.bandwidth) {
        (Some(share), _) => {
            bar(state, pane, share);
            let share = format!("{:.0} %", 100.0 * share);
            vec![format!("{speed} · {share}"), share]
        }
        (None, Gauge::Again(_)) => vec![format!("{speed}, faster: measuring again"), speed],
        (None, _) => vec![
            format!("{speed}: faster than memory, from CPU caches"),
            format!("{speed}, from CPU caches"),
            speed,
        ],
    };
    pane.row_of("this step", forms);
    let weights = numbers::bytes(machine.weights);
    let kv = numbers::bytes(state.run.kv.total() as u64);
    let forms = [
        format!("{weights} weights + {kv} K/V"),
        format!("{weights} + {kv} K/V"),
        format!("{weights} + {kv}"),
        numbers::bytes(machine.weights + state.run.kv.total() as u64),
    ];
    pane.row_of("reads", forms);
    let (Some(ceiling), Some(dense)) = (now.ceiling, now.dense_ceiling) else {
        let forms = ["none by memory: it stays in CPU caches", "none: from CPU caches"];
        return pane.row_of("ceiling", forms.map(str::to_owned));
    };
    let ceiling = rate(ceiling);
    let forms =
        [format!("{ceiling} for these bytes, computed"), format!("{ceiling}, computed"), ceiling];
    pane.row_of("ceiling", forms);
    if model.is_masked() {
        let dense = rate(dense);
        pane.row_of("dense", [format!("{dense} at most"), dense]);
    }
}

fn bar(state: &State, pane: &mut Pane<'_>, share: f64) {
    let Some(area) = pane.take(1) else { return };
    let theme = &state.theme;
    let bar = Rect { x: area.x + 11, width: area.width.saturating_sub(11), ..area };
    for x in bar.left()..bar.right() {
        pane.buffer[(x, bar.y)].set_symbol("─").set_style(theme.style(Role::Border));
    }
    put(pane.buffer, area, 0, 0, Line::styled("reached", theme.style(Role::Dim)));
    meter(share, theme.style(Role::Speed), bar, pane.buffer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::worker::event::{Event, Wish};
    use crate::tui::app::action::Command;
    use crate::tui::color::ColorDepth;
    use crate::tui::screen::Screen;
    use crate::tui::testing::{SMALL, act, draw, send, session, text};

    fn machine() -> Bandwidth {
        Bandwidth { gbps: 200.0, threads: 2, weights: 300_000_000, ms: 400.0 }
    }

    #[test]
    fn the_engine_is_asked_once_and_only_where_the_gauge_is() {
        let mut state = session(SMALL, ColorDepth::None);
        state.bandwidth = Gauge::Unknown;
        assert_eq!(act(&mut state, Command::Show(Screen::Ab)).len(), 1, "a step is explained");
        let asked = Effect::Engine(EngineOrder::Bandwidth);
        assert_eq!(act(&mut state, Command::Show(Screen::Perf)), [asked]);
        assert_eq!(act(&mut state, Command::More), []);
        send(&mut state, Event::Bandwidth(Box::new(machine())));
        assert_eq!(act(&mut state, Command::More), []);
        let mut replay = session(SMALL, ColorDepth::None);
        (replay.bandwidth, replay.replay) = (Gauge::Unknown, true);
        assert_eq!(act(&mut replay, Command::Show(Screen::Perf)), []);
    }

    #[test]
    fn the_ceiling_follows_from_bytes_and_bandwidth() {
        let mut state = session(SMALL, ColorDepth::None);
        let kv = state.run.kv.total() as f64;
        let now = reached(&state.run, 100_000_000, &machine()).expect("steps");
        assert_eq!(now.bytes, 3e8 + kv);
        let (ceiling, dense) = (now.ceiling.expect("slow steps"), now.dense_ceiling);
        assert!((ceiling - 200e9 / (3e8 + kv)).abs() < 1e-6);
        assert!((dense.expect("slow steps") - 500.0).abs() < 1e-9);
        let speed = state.run.rate().expect("steps");
        assert!((now.gbps - (3e8 + kv) * speed / 1e9).abs() < 1e-9);
        let share = now.share.expect("slow steps");
        assert!((share - now.gbps / 200.0).abs() < 1e-12);
        assert!((speed / ceiling - share).abs() < 1e-12, "one share, either way");
        state.run.steps.clear();
        assert_eq!(reached(&state.run, 1, &machine()), None);
    }

    /// A ceiling below what was measured is none.
    #[test]
    fn steps_faster_than_memory_have_no_ceiling_by_memory() {
        let mut state = session(SMALL, ColorDepth::None);
        (state.size, state.screen) = ((120, 40), Screen::Perf);
        let slow = Bandwidth { gbps: 0.01, weights: 4_900_000, ..machine() };
        state.bandwidth = Gauge::Known(slow.clone());
        let now = reached(&state.run, 1, &slow).expect("steps");
        assert!(now.share.is_none() && now.ceiling.is_none() && now.dense_ceiling.is_none());
        let frame = text(&draw(&state));
        assert!(frame.contains("none by memory") && frame.contains("from CPU caches"), "{frame}");
        let said = super::super::sheet::explained(&state).expect("a session");
        assert!(said.contains("stays in the processor's caches") && !said.contains("ceiling of"));
        // One step is enough: memory that is read faster once is no limit.
        let fast = state.run.fastest().expect("steps");
        let bytes = 4_900_000.0 + state.run.kv.total() as f64;
        let between =
            Bandwidth { gbps: 0.999 * fast * bytes / 1e9, weights: 4_900_000, ..machine() };
        assert_eq!(reached(&state.run, 1, &between).expect("steps").ceiling, None);
        let above = Bandwidth { gbps: 1.001 * fast * bytes / 1e9, ..between };
        let ceiling = reached(&state.run, 1, &above).expect("steps").ceiling.expect("it holds");
        assert!(ceiling >= fast);
    }

    /// Measured once while something else was at work, the gauge said 1,226 %.
    #[test]
    fn what_steps_exceed_is_measured_again_and_no_share_is_above_all() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (120, 40);
        let ask = Effect::Engine(EngineOrder::Bandwidth);
        let slow = Bandwidth { gbps: 0.05, weights: 4_000_000, ..machine() };
        state.bandwidth = Gauge::Known(slow.clone());
        state.now_ms = 10_000.0;
        assert_eq!(act(&mut state, Command::Show(Screen::Perf)), std::slice::from_ref(&ask));
        let frame = text(&draw(&state));
        assert!(frame.contains("measuring again") && !frame.contains("reached"), "{frame}");
        assert_eq!(act(&mut state, Command::More), [], "not twice at once");
        // As slow as before: after a while once more, and in the end no more.
        let mut asked = 1;
        for _ in 0..100 {
            send(&mut state, Event::Bandwidth(Box::new(slow.clone())));
            state.now_ms += 1_000.0;
            asked += act(&mut state, Command::More).len();
        }
        assert_eq!(asked, usize::from(MOST_AGAIN));
        for line in text(&draw(&state)).lines().filter(|line| line.contains("this step")) {
            assert!(!line.contains('%'), "{line}");
        }
        // A slower one does not replace a faster one.
        send(&mut state, Event::Bandwidth(Box::new(machine())));
        send(&mut state, Event::Bandwidth(Box::new(slow)));
        assert_eq!(state.bandwidth, Gauge::Known(machine()));
        let frame = text(&draw(&state));
        assert!(frame.contains("reached") && frame.contains(" %"), "{frame}");
        let sentence = "no memory".to_owned();
        send(&mut state, Event::Refused { wish: Wish::Bandwidth, sentence });
        assert_eq!(state.bandwidth, Gauge::Known(machine()));
    }

    #[test]
    fn a_refusal_is_shown_in_place_of_numbers() {
        let mut state = session(SMALL, ColorDepth::None);
        (state.size, state.screen) = ((120, 40), Screen::Perf);
        state.bandwidth = Gauge::Asked;
        let sentence = "measuring the bandwidth needs 512 MiB".to_owned();
        send(&mut state, Event::Refused { wish: Wish::Bandwidth, sentence: sentence.clone() });
        let frame = text(&draw(&state));
        assert!(frame.contains(&sentence) && !frame.contains("ceiling"), "{frame}");
    }
}
