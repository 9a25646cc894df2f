//! A learning run for tests, without a model.

use crate::learn::check::{CheckRow, Counts, Verdict};
use crate::learn::data::Task;
use crate::learn::run::{LearnEvent as Learned, LearnMethod};
use crate::learn::train::{Dense, Stage, Update};
use crate::learn::worker::{Done, Notice, Told};
use crate::mask::files::{MaskFile, Origin};
use crate::mask::select::Options;
use crate::mask::{CachePlan, Importance, Rule, Shape, Window, select};
use crate::tui::app::action::{Action, Command};
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::screen::Screen;
use crate::tui::testing::{SMALL, noise};

/// Sends a notice of the current learning run.
pub fn tell_learning(state: &mut State, told: Told) {
    let generation = state.screens.learn.generation;
    update(state, Action::Learning(Box::new(Notice { generation, dropped: 0, told })));
}

/// Factors after a share of stage 1: those of slow channels stay large.
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

/// A learning run by the paper's method after `updates` updates of stage 1, two per second.
pub fn learning(state: &mut State, updates: usize) {
    let shape = state.model.as_ref().map_or(SMALL, |model| model.shape());
    let began = state.now_ms;
    update(state, Action::Do(Command::Show(Screen::Learn)));
    state.screens.learn.form.method = LearnMethod::Leank;
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

/// Ends the current learning run with a verdict.
pub fn learned(state: &mut State) {
    let shape = state.model.as_ref().map_or(SMALL, |model| model.shape());
    tell_learning(state, Told::Going(Learned::Validated { cut: 0.0113, best: 0.0109 }));
    tell_learning(state, Told::Going(Learned::Check(0.5)));
    let importance = factors(shape, 0.7);
    let mask = select::select(&importance, &Options::new(0.7, 8)).expect("a fair budget");
    let row = |(rule, counts, at): (Rule, Counts, f64)| CheckRow {
        rule,
        counts,
        sparsity: if rule == Rule::DENSE { 0.0 } else { 0.7 },
        recall: 0.7 - at,
        asked: if at > 0.05 { 120 } else { 420 },
        digit_nll: 0.25 + at,
        kld_mean: at / 3.0,
        kld_windows: vec![at / 3.0],
        texts: Vec::new(),
        answers: Vec::new(),
    };
    let rules =
        [Rule::THINK, Rule::KEY_NORM, Rule::FREQUENCY, Rule::RANDOM].into_iter().enumerate();
    let rivals = rules.flat_map(|(i, rule)| {
        [(rule, Counts::Learned, 0.1 * (i + 1) as f64), (rule, Counts::Own, 0.12 * (i + 1) as f64)]
    });
    let rows = [(Rule::DENSE, Counts::Own, 0.0), (Rule::LEARNED, Counts::Learned, 0.01)]
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
    let file = MaskFile {
        plan: CachePlan::of_mask(&mask),
        importance: Some(importance),
        sensitivity: None,
        target_sparsity: Some(0.7),
        origin,
    };
    let reason = "digit NLL +0.010 against dense, text KLD 0.0033, recall -1.0 points (9 lost, 5 won, p = 0.21)".to_owned();
    tell_learning(
        state,
        Told::Done(Box::new(Done {
            file,
            out: "masks/learned.safetensors".into(),
            rows: rows.collect(),
            verdict: Some(Verdict { ship: true, has_evidence: true, reason }),
            seconds: 312.0,
        })),
    );
    state.toast = None;
}
