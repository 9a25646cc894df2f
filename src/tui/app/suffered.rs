//! Which tokens suffered: those of the run by how far dense and pruned are apart there, with the
//! text around each.

use ratatui::text::Span;

use crate::numbers::{count, nats};
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::pairs::{ComparedSide, voice};
use crate::tui::app::palette::{Does, Entry};
use crate::tui::app::run::RunView;
use crate::tui::app::state::State;
use crate::tui::app::text_lines;
use crate::tui::fitting::{fitted, tail};
use crate::tui::screen::Screen;

/// Before the token in the text around it.
const MARK: char = '▸';

/// Most tokens of the list.
const MOST: usize = 200;
/// Tokens before and after that are shown with each.
const BEFORE: usize = 10;
const AFTER: usize = 5;

/// The tokens measured under the mask at work with their divergence in nats, the largest first;
/// tokens that nobody compared are not among them. Where no token lost anything there are none.
pub fn ranked(run: &RunView) -> Vec<(usize, f64)> {
    let pairs = &run.pairs;
    let measured = (pairs.since + 1..=pairs.len())
        .filter_map(|n| Some((n, pairs.get(n)?.divergence?.kld)))
        .filter(|(_, kld)| kld.is_finite());
    let mut all: Vec<(usize, f64)> = measured.collect();
    if all.iter().all(|(_, kld)| *kld == 0.0) {
        all.clear();
    }
    all.sort_by(|x, y| y.1.total_cmp(&x.1));
    all
}

/// The list: token, KLD, what each side would have said, and the text around it.
pub fn entries(state: &State) -> Vec<Entry> {
    let all = ranked(&state.run);
    let entry = |&(n, kld): &(usize, f64)| Entry {
        title: nats(kld),
        about: format!("{} · {}", choices(state, n), around(&state.run, n)),
        keys: count(n),
        does: Does::Token(n),
    };
    all.iter().take(MOST).map(entry).collect()
}

/// What the list covers.
pub fn about(state: &State) -> String {
    let pairs = &state.run.pairs;
    let all = ranked(&state.run).len();
    let of = if all > MOST { format!("{} of ", count(MOST)) } else { String::new() };
    let since = match pairs.since {
        0 => String::new(),
        since => format!(" since token {}", count(since)),
    };
    let shows = state.key_in(KeyContext::List, Command::Open);
    format!("KLD in nats · {of}{} measured tokens{since} · {shows} shows one in A/B", count(all))
}

/// Why the list is empty.
pub fn nothing(state: &State) -> &'static str {
    match &state.model {
        Some(model) if model.info.solo => "the cache runs alone: nothing is compared",
        _ if state.run.pairs.divergence().steps > 0 => {
            "no token lost anything: both sides are equal"
        }
        _ if state.is_over() => "no token is compared under this mask: the run is over",
        _ => "no token is compared under this mask yet",
    }
}

/// Shows a token on A/B.
pub fn show(state: &mut State, n: usize) {
    state.screen = Screen::Ab;
    state.screens.ab.cursor = Some(n);
}

/// The likeliest token of either side.
pub fn choices(state: &State, n: usize) -> String {
    let pair = state.run.pairs.get(n);
    let own = |side| {
        let first = pair.and_then(|pair| voice(pair, side)?.top.first());
        first.map_or_else(|| "–".to_owned(), |top| text_lines::visible(&top.text))
    };
    let (a, b) = (own(ComparedSide::A), own(ComparedSide::B));
    if a == b { format!("both «{a}»") } else { format!("A «{a}» B «{b}»") }
}

/// The dense side's text around a token, on one line, with the token marked.
fn around(run: &RunView, n: usize) -> String {
    let text = |at: usize| {
        let pair = run.pairs.get(at)?;
        let said = voice(pair, ComparedSide::A).or_else(|| voice(pair, ComparedSide::B))?;
        Some(said.shown().replace('\n', "↵"))
    };
    let joined =
        |range: std::ops::RangeInclusive<usize>| range.filter_map(text).collect::<String>();
    let first = n.saturating_sub(BEFORE).max(1);
    let before = joined(first..=n - 1);
    let more = if first > 1 { "…" } else { "" };
    format!("{more}{before}{MARK}{}◂{}", joined(n..=n), joined(n + 1..=n + AFTER))
}

/// What is said of a token in at most `width` columns: of the text around it stays what is next to
/// the token.
pub fn in_columns(about: &str, width: usize) -> String {
    let Some((choices, around)) = about.split_once(" · ") else {
        return fitted(about.to_owned(), width);
    };
    let before = format!("{choices} · ");
    let room = width.saturating_sub(columns(&before));
    match room {
        0..MARKED => fitted(choices.to_owned(), width),
        _ => before + &near_mark(around, room),
    }
}

/// Fewest columns of a text around a token that say anything.
const MARKED: usize = 10;

fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text in at most `width` columns, cut so that its mark stays, with more of what is before it.
fn near_mark(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (before, after) = text.split_once(MARK).unwrap_or(("", text));
    let after = format!("{MARK}{after}");
    let told = columns(&after).min(width / 2).max(width.saturating_sub(columns(before)));
    // A cut at the end has a sign; what is before it brings its own.
    let mut end = after.clone();
    while columns(&end) + usize::from(end.len() < after.len()) > told {
        end.pop();
    }
    if end.len() < after.len() {
        end.push('…');
    }
    tail(before, width.saturating_sub(columns(&end))) + &end
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::decode::worker::event::Event;
    use crate::mask::Window;
    use crate::tui::app::action::{Action, Command};
    use crate::tui::app::pairs::AtWork;
    use crate::tui::app::update::update;
    use crate::tui::color::ColorDepth;
    use crate::tui::testing::{SMALL, act, draw, session, text};

    #[test]
    fn the_worst_token_is_first_and_enter_shows_it() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (120, 40);
        let all = ranked(&state.run);
        let (n, worst) = all[0];
        assert!(all.len() > 2 && all.iter().all(|(_, kld)| *kld <= worst));
        let measured =
            state.run.pairs.all().iter().filter(|pair| pair.divergence.is_some()).count();
        assert_eq!(all.len(), measured, "the first token has no divergence and is not listed");
        let key = KeyEvent::new(KeyCode::Char('W'), KeyModifiers::SHIFT);
        update(&mut state, Action::Key(key));
        let list = text(&draw(&state));
        assert!(list.contains("tokens that suffered") && list.contains(&nats(worst)), "{list}");
        act(&mut state, Command::Open);
        assert_eq!((state.screen, state.screens.ab.cursor), (Screen::Ab, Some(n)));
        assert!(state.overlay.is_none());
    }

    #[test]
    fn a_changed_mask_empties_the_list_of_what_it_did_not_measure() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (120, 40);
        let model = state.model.as_ref().expect("a session");
        let was = AtWork { plan: model.plan().clone(), window: model.info.window };
        let now = AtWork { window: Window { sink: 4, ..was.window }, ..was.clone() };
        state.run.pairs.retuned(was, &now);
        assert!(ranked(&state.run).is_empty());
        act(&mut state, Command::Suffered);
        let list = text(&draw(&state));
        let why = "no token is compared under this mask yet";
        assert!(list.contains(why), "{list}");
        act(&mut state, Command::Open);
        assert!(state.toast.as_ref().is_some_and(|told| told.sentence == why), "{:?}", state.toast);
    }

    /// Dense beside dense once listed its tokens as those that suffered most.
    #[test]
    fn where_nothing_is_lost_no_token_suffered() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (120, 40);
        let model = crate::tui::testing::info(SMALL);
        let mut pairs = crate::tui::app::pairs::Pairs::default();
        for n in 1..=20 {
            let Event::Pair(mut pair) = crate::tui::testing::pair(&model, n, 399 + n) else {
                panic!("a pair")
            };
            if let Some(step) = &mut pair.divergence {
                step.kld = 0.0;
            }
            pairs.take(*pair);
        }
        state.run.pairs = pairs;
        assert!(ranked(&state.run).is_empty());
        assert_eq!(nothing(&state), "no token lost anything: both sides are equal");
    }

    #[test]
    fn every_row_shows_the_token_in_its_text_on_every_terminal() {
        for size in [(60, 16), (80, 24), (120, 40)] {
            let mut state = session(SMALL, ColorDepth::None);
            state.size = size;
            act(&mut state, Command::Suffered);
            let list = text(&draw(&state));
            // Below the rows the selected one stands in whole.
            let is_row =
                |row: &&str| row.contains('«') && !row.contains(": both") && !row.contains(": A ");
            let rows: Vec<&str> = list.lines().filter(is_row).collect();
            assert!(rows.len() > 3, "{list}");
            for row in rows {
                assert!(row.contains('▸'), "{size:?}: {row}");
            }
        }
        let around = "A «one» B «two» · …a long text before it ▸token◂ and a long one after";
        for width in 30..80 {
            let cut = in_columns(around, width);
            assert!(columns(&cut) <= width && cut.contains("▸tok"), "{width}: {cut}");
        }
        assert!(in_columns(around, 60).contains("it ▸token◂ and"));
    }

    #[test]
    fn what_is_typed_filters_by_text() {
        let mut state = session(SMALL, ColorDepth::None);
        act(&mut state, Command::Suffered);
        let all = crate::tui::app::palette::entries(&state).len();
        let list = state.list_mut().expect("open");
        list.input = tui_input::Input::from("no such text anywhere".to_owned());
        assert!(all > 0 && crate::tui::app::palette::entries(&state).is_empty());
        // A list that is open while the run goes back still has only tokens that are there.
        crate::tui::testing::send(&mut state, Event::Rewound(3));
        assert!(ranked(&state.run).iter().all(|(n, _)| *n <= 3));
    }
}
