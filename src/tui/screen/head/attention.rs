//! The attention of the last steps in one query head, tokens against tokens: exact at the left,
//! under the mask at the right.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::decode::attended::Attended;
use crate::numbers::{count, percent};
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::color::{Role, Shade};
use crate::tui::paint::put;
use crate::tui::widget::Heatmap;

/// The smallest weight that has a colour of its own; the scale is logarithmic up to 1.
const LOW: f32 = 1e-4;

/// The weights of one side of a step.
type Weights = fn(&Attended) -> &[f32];

/// Draws both pictures and what they cover, below the title of the head.
pub fn render(state: &State, model: &ModelView, area: Rect, buffer: &mut Buffer) {
    let view = &state.screens.head;
    let dim = state.theme.style(Role::Dim);
    let Some(asked) = view.asked() else {
        let why = match () {
            () if model.info.solo => "the cache runs alone: there is no exact side",
            () if state.replay => "a recording takes no questions",
            () => "comes with the first decode steps",
        };
        put(buffer, area, 1, 1, Line::styled(why, dim));
        return;
    };
    let (from, to) = asked.steps;
    let done = match view.rows().len() {
        n if n == to - from + 1 => String::new(),
        n => format!(" · {n} of {} so far", to - from + 1),
    };
    let range = format!(
        " attention of query head {} · steps of tokens {}–{}{done}",
        asked.head,
        count(from),
        count(to)
    );
    put(buffer, area, 0, 1, Line::styled(range, dim));
    if let Some(sentence) = view.refused() {
        put(buffer, area, 1, 2, Line::styled(sentence.to_owned(), state.theme.style(Role::Warn)));
        return;
    }
    let Some(newest) = view.rows().first() else { return };
    let elsewhere = format!(
        "at least {} of the weight is elsewhere under the mask",
        percent(moved(view.rows()), 1)
    );
    put(buffer, area, 1, 2, Line::styled(elsewhere, state.theme.style(Role::Text)));
    let planned = model.widths.is_some();
    let half = area.width.saturating_sub(4) / 2;
    let rows = area.height.saturating_sub(6);
    let left = Rect { x: area.x + 1, y: area.y + 4, width: half, height: rows };
    let right = Rect { x: area.x + 3 + half, ..left };
    let name = if planned { "under the plan" } else { "under the mask" };
    let sides: [(&str, Rect, Weights); 2] =
        [("exact", left, |row| &row.exact), (name, right, |row| &row.pruned)];
    for (title, place, weights) in sides {
        let head = Rect { y: area.y + 3, height: 1, ..place };
        put(buffer, head, 0, 0, Line::styled(title.to_owned(), state.theme.style(Role::Title)));
        picture(state, view.rows(), newest, place, weights, buffer);
        axis(state, newest, Rect { y: place.bottom(), height: 1, ..place }, buffer);
    }
    let foot = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    put(buffer, foot, 1, 0, legend(state, view.rows()));
}

/// One picture: a step in every half row or more, the newest at the bottom.
fn picture(
    state: &State,
    rows: &[Attended],
    newest: &Attended,
    area: Rect,
    weights: Weights,
    buffer: &mut Buffer,
) {
    let pixels = usize::from(area.height) * 2;
    let Some((from, to)) = state.screens.head.asked().map(|asked| asked.steps) else { return };
    let steps = to - from + 1;
    // Fewer steps than half rows: every step gets several. More: the newest ones are shown.
    let tall = (pixels / steps).max(1);
    let used = (steps.min(pixels) * tall).min(pixels);
    let columns = weights(newest).len();
    let pixel = |x: u16, y: u16| {
        let Some(y) = usize::from(y).checked_sub(pixels - used) else { return Shade::Absent };
        let Some(row) = rows.get((used - 1 - y) / tall) else { return Shade::Absent };
        let own = weights(row);
        let at = |x: usize| x * columns / usize::from(area.width.max(1));
        let (first, last) = (at(usize::from(x)), at(usize::from(x) + 1));
        // The largest of several: a sum would depend on the width of the screen.
        let values = own.get(first..last.max(first + 1).min(own.len()));
        match values.filter(|values| !values.is_empty()) {
            Some(values) => Shade::Share(share(values.iter().copied().fold(0.0, f32::max))),
            // The step did not see these tokens yet.
            None => Shade::Absent,
        }
    };
    Heatmap::new(&state.theme, pixel).render(area, buffer);
}

/// The place of a weight on the scale, 0 to 1.
fn share(weight: f32) -> f32 {
    if weight <= LOW { 0.0 } else { 1.0 - weight.ln() / LOW.ln() }
}

/// Positions below a picture, and where the middle begins and ends.
fn axis(state: &State, newest: &Attended, area: Rect, buffer: &mut Buffer) {
    let dim = state.theme.style(Role::Dim);
    let last = count(newest.tokens - 1);
    let x = area.width.saturating_sub(last.chars().count() as u16);
    put(buffer, area, 0, 0, Line::styled("0", dim));
    put(buffer, area, x, 0, Line::styled(last, dim));
    let (start, end) = newest.middle;
    if start < end {
        let at =
            |position: usize| (position * usize::from(area.width) / newest.tokens.max(1)) as u16;
        let text = format!("▸{} middle {}◂", count(start), count(end));
        let from = at(start).max(2);
        if from + (text.chars().count() as u16) + 2 < x {
            put(buffer, area, from, 0, Line::styled(text, state.theme.style(Role::Attention)));
        }
    }
}

/// The scale.
fn legend(state: &State, rows: &[Attended]) -> Line<'static> {
    let dim = state.theme.style(Role::Dim);
    let mut spans = vec![Span::styled("weight 1e-4 ", dim)];
    for step in 0..8 {
        let level = (step as f32 + 0.5) / 8.0;
        let ramp = state.theme.depth.ramp();
        let glyph = match state.theme.depth.has_map_colours() {
            true => "█",
            false => ramp[(level * ramp.len() as f32) as usize],
        };
        spans.push(Span::styled(glyph, ratatui::style::Style::new().fg(state.theme.ramp(level))));
    }
    let each = rows.first().map_or(1, |row| row.each);
    let column = match each {
        1 => "a token a column".to_owned(),
        n => format!("{} tokens a column", count(n)),
    };
    spans.push(Span::styled(format!(" 1, log, {column}"), dim));
    Line::from(spans)
}

/// The share of weight that lies in another column under the mask, mean over the steps: half of the
/// sum of all differences.
fn moved(rows: &[Attended]) -> f64 {
    let of = |row: &Attended| {
        let differences = row
            .exact
            .iter()
            .zip(&row.pruned)
            .map(|(exact, pruned)| f64::from(exact - pruned).abs());
        differences.sum::<f64>() / 2.0
    };
    rows.iter().map(of).sum::<f64>() / rows.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::lost::Asked;
    use crate::decode::worker::EngineOrder;
    use crate::decode::worker::event::{Event, Wish};
    use crate::tui::app::action::{Command, Effect};
    use crate::tui::color::ColorDepth;
    use crate::tui::screen::Screen;
    use crate::tui::testing::{SMALL, act, draw, send, session, text};

    fn row(asked: Asked, tokens: usize) -> Attended {
        // Exact looks at the first token alone, the mask half at the last.
        let mut exact = vec![0.0; tokens.div_ceil(2)];
        exact[0] = 1.0;
        let mut pruned = exact.clone();
        (pruned[0], *pruned.last_mut().expect("tokens")) = (0.5, 0.5);
        Attended { asked, each: 2, tokens, middle: (16, 300), exact, pruned }
    }

    fn opened(depth: ColorDepth) -> (State, crate::decode::attended::AskedRange) {
        let mut state = session(SMALL, depth);
        (state.size, state.screen) = ((120, 40), Screen::Head);
        let effects = act(&mut state, Command::Open);
        let [Effect::Engine(EngineOrder::Attend(asked))] = effects[..] else {
            panic!("{effects:?}")
        };
        (state, asked)
    }

    #[test]
    fn the_picture_asks_for_the_last_steps_and_shows_both_sides() {
        let (mut state, asked) = opened(ColorDepth::None);
        let (from, to) = asked.steps;
        assert_eq!((to, to - from + 1), (state.run.pairs.len(), 48));
        for n in (from..=to).rev() {
            let step = Asked { n, layer: asked.layer, head: asked.head };
            send(&mut state, Event::Attended(Box::new(row(step, 400 + n))));
        }
        assert_eq!(state.screens.head.rows().len(), 48);
        let frame = text(&draw(&state));
        assert!(frame.contains(&format!("steps of tokens {from}–{to}")), "{frame}");
        assert!(frame.contains("at least 50.0 % of the weight is elsewhere"), "{frame}");
        let lines: Vec<&str> = frame.lines().collect();
        let bottom = lines.iter().rposition(|line| line.contains('█') && !line.contains("weight"));
        let line: Vec<char> = lines[bottom.expect("drawn")].chars().collect();
        assert_eq!(line[1], '█', "all exact weight is on the first token: {frame}");
        act(&mut state, Command::Back);
        assert_eq!(state.screen, Screen::Head, "the picture closes first");
        assert!(!text(&draw(&state)).contains("steps of tokens"));
    }

    #[test]
    fn another_head_is_asked_for_and_late_answers_are_dropped() {
        let (mut state, asked) = opened(ColorDepth::None);
        let effects = act(&mut state, Command::NextLayer);
        assert!(
            effects.iter().any(|effect| matches!(effect, Effect::Engine(EngineOrder::Attend(next))
                if next.layer == asked.layer + 1)),
            "{effects:?}"
        );
        let late = Asked { n: asked.steps.1, layer: asked.layer, head: asked.head };
        send(&mut state, Event::Attended(Box::new(row(late, 500))));
        assert!(state.screens.head.rows().is_empty());
        let effects = act(&mut state, Command::More);
        assert!(
            matches!(&effects[..], [Effect::Engine(EngineOrder::Attend(next))]
            if next.head == asked.head + 1),
            "{effects:?}"
        );
        let sentence = "the two texts differ before this token".to_owned();
        send(&mut state, Event::Refused { wish: Wish::Attend, sentence: sentence.clone() });
        assert!(text(&draw(&state)).contains(&sentence));
    }

    #[test]
    fn a_picture_of_few_steps_grows_until_it_is_full() {
        let range = |to| crate::decode::attended::AskedRange { layer: 0, head: 0, steps: (2, to) };
        let mut view = crate::tui::screen::head::state::HeadLook::default();
        assert!(!view.ask(range(3)), "it is closed");
        view.open();
        assert!(view.ask(range(3)));
        assert!(!view.ask(range(30)), "the answers are still to come");
        for n in [3, 2] {
            view.take(row(Asked { n, layer: 0, head: 0 }, 100));
        }
        assert!(!view.ask(range(6)), "too little is new");
        assert!(view.ask(range(30)));
        assert_eq!(view.rows().len(), 0);
    }

    #[test]
    fn the_scale_is_logarithmic_between_its_ends() {
        assert_eq!((share(0.0), share(LOW), share(1.0)), (0.0, 0.0, 1.0));
        assert!((share(1e-2) - 0.5).abs() < 1e-6);
    }
}
