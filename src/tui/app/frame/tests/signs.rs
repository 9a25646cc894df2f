//! No figure that rounds to nothing has a sign.

use crate::decode::divergence::StepDivergence;
use crate::decode::lost::Asked;
use crate::decode::worker::event::Event;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::testing::{SMALL, draw, info, lost, pair, send, session, text, token};

/// The first number of nothing but noughts that has a minus.
fn signed_nothing(frame: &str) -> Option<&str> {
    let mut signs = frame.char_indices().filter(|(_, c)| matches!(c, '-' | '−'));
    signs.find_map(|(at, sign)| {
        let (before, rest) = (&frame[..at], &frame[at + sign.len_utf8()..]);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let digits = &rest[..end];
        let is_nothing = digits.contains('0') && digits.chars().all(|c| matches!(c, '0' | '.'));
        // Names and dates have hyphens.
        (is_nothing && !before.ends_with(char::is_alphanumeric))
            .then(|| &frame[at..at + sign.len_utf8() + end])
    })
}

/// A run whose figures are a little below 0, all of them.
fn a_little_below() -> State {
    let mut state = session(SMALL, ColorDepth::None);
    let (model, started) = (info(SMALL), state.run.started.clone());
    state.rerun();
    (state.run.started, state.phase) = (started, Phase::Running);
    for n in 1..120 {
        let Event::Token(mut said) = token(&model, n, 300 + n) else { panic!("a token") };
        said.logprob = -1e-5;
        send(&mut state, Event::Token(said));
        let Event::Pair(mut both) = pair(&model, n, 300 + n) else { panic!("a pair") };
        both.divergence = both.divergence.map(|step| StepDivergence {
            kld: -0.0,
            delta_logprob: -1e-7,
            delta_p: -1e-9,
            ..step
        });
        send(&mut state, Event::Pair(both));
    }
    let head = state.at.head * state.model.as_ref().map_or(1, |model| model.group());
    let asked = Asked { n: state.run.pairs.len(), layer: state.at.layer, head };
    let Event::Lost(mut step) = lost(asked) else { panic!("a loss") };
    for token in &mut step.tokens {
        (token.exact_logit, token.pruned_logit) = (-0.001, Some(-0.002));
    }
    send(&mut state, Event::Lost(step));
    state
}

#[test]
fn a_sign_is_seen() {
    assert_eq!(signed_nothing("a -0.000 b"), Some("-0.000"));
    assert_eq!(signed_nothing("(−0 %)"), Some("−0"));
    assert_eq!(signed_nothing("-0.001 0.00 k-0 2026-00 1.0e-9 –0"), None);
}

#[test]
fn no_screen_shows_nothing_with_a_sign() {
    let state = a_little_below();
    for screen in Screen::ALL {
        for size in [(80, 24), (120, 40), (200, 60)] {
            let mut state = state.clone();
            (state.screen, state.size) = (screen, size);
            let frame = text(&draw(&state));
            assert_eq!(signed_nothing(&frame), None, "{screen:?} {size:?}: {frame}");
        }
    }
    // The figures are there.
    let mut state = state;
    (state.screen, state.size) = (Screen::Ab, (200, 60));
    assert!(text(&draw(&state)).contains("0.00→0.00"), "{}", text(&draw(&state)));
}
