//! The attention of the last steps in one query head, tokens against tokens: exact at the left,
//! under the mask at the right.

use std::hash::{DefaultHasher, Hash, Hasher};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::decode::attended::Attended;
use crate::numbers::{count, percent};
use crate::tui::app::action::Command;
use crate::tui::app::areas::areas;
use crate::tui::app::explain;
use crate::tui::app::model::ModelView;
use crate::tui::app::pictures;
use crate::tui::app::pictures::CELL;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::color::{Role, Shade, paint};
use crate::tui::fitting::best;
use crate::tui::graphics;
use crate::tui::graphics::{PlacedPicture, Raster, number_of};
use crate::tui::paint::put;
use crate::tui::screen::Screen;
use crate::tui::screen::ab::lost;
use crate::tui::screen::head::update::last_token;
use crate::tui::widget::Heatmap;

/// The smallest weight that has a colour of its own; the scale is logarithmic up to 1.
const LOW: f32 = 1e-4;

/// The weights of one side of a step.
type Weights = fn(&Attended) -> &[f32];
const EXACT: Weights = |row| &row.exact;
const PRUNED: Weights = |row| &row.pruned;

/// Draws both pictures and what they cover, below the title of the head.
pub fn render(state: &State, model: &ModelView, area: Rect, buffer: &mut Buffer) {
    let view = &state.screens.head;
    let dim = state.theme.style(Role::Dim);
    let Some(asked) = view.asked() else {
        let n = last_token(state);
        let nothing = lost::why_nothing(state, n).filter(|_| n < state.run.pairs.len());
        let key = state.key_on(Screen::Head, Command::Open);
        let why = match nothing {
            _ if model.info.solo => vec!["the cache runs alone: there is no exact side".to_owned()],
            _ if state.replay => vec![steer::no_model("ask for it")],
            None => vec![state.awaited("comes with the first decode steps")],
            Some(lines) => {
                let newest = format!("({key} shows the newest steps)");
                lines.iter().map(|line| (*line).to_owned()).chain([newest]).collect()
            }
        };
        for (line, y) in why.into_iter().zip(1..) {
            put(buffer, area, 1, y, Line::styled(line, dim));
        }
        return;
    };
    let (from, to) = asked.steps;
    let done = match view.rows().len() {
        n if n == to - from + 1 => String::new(),
        n => format!(" · {n} of {} so far", to - from + 1),
    };
    let (head, from, to) = (asked.head, count(from), count(to));
    let forms = [
        format!("attention of query head {head} · steps of tokens {from}–{to}{done}"),
        format!("query head {head} · steps of tokens {from}–{to}{done}"),
        format!("q{head} · tokens {from}–{to}{done}"),
    ];
    let range = best(usize::from(area.width.saturating_sub(1)), forms);
    put(buffer, area, 1, 1, Line::styled(range, dim));
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
    let name = if model.widths.is_some() { "under the plan" } else { "under the mask" };
    let [left, right] = sides(area);
    let shown = pictures(state);
    for (title, place, weights) in [("exact", left, EXACT), (name, right, PRUNED)] {
        let head = Rect { y: area.y + 3, height: 1, ..place };
        put(buffer, head, 0, 0, Line::styled(title.to_owned(), state.theme.style(Role::Title)));
        let room = usize::from(place.width).saturating_sub(title.chars().count() + 2);
        let rows = best(room, rows_in_words(asked.steps, place.height));
        let x = (title.chars().count() + 2) as u16;
        put(buffer, head, x, 0, Line::styled(rows, dim));
        match shown.iter().find(|picture| picture.area == place) {
            Some(picture) => graphics::place(picture.id, place, place, buffer),
            None => in_cells(state, view.rows(), place, weights, buffer),
        }
        axis(state, newest, Rect { y: place.bottom(), height: 1, ..place }, buffer);
    }
    let foot = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    let width = usize::from(foot.width.saturating_sub(1));
    put(buffer, foot, 1, 0, legend(state, view.rows(), width));
}

/// Which steps the upper and the lower end of a picture of so many rows show.
fn rows_in_words((from, to): (usize, usize), rows: u16) -> [String; 3] {
    let shown = (to + 1 - from).min(usize::from(rows) * 2);
    let (top, bottom) = (count(to + 1 - shown.max(1)), count(to));
    [
        format!("rows: token {top} above to {bottom} below"),
        format!("rows: {top} to {bottom}"),
        String::new(),
    ]
}

/// The picture in words where it is open, or else the selected channel.
pub fn explained(state: &State) -> Option<String> {
    picture_in_words(state).or_else(|| explain::channel(state))
}

/// The picture in words, where it is open and there is one.
fn picture_in_words(state: &State) -> Option<String> {
    let view = &state.screens.head;
    let (asked, newest) = (view.asked()?, view.rows().first()?);
    if !view.is_open() {
        return None;
    }
    let each = match newest.each {
        1 => "a column a token".to_owned(),
        n => format!("a column {} tokens", count(n)),
    };
    let middle = match newest.middle {
        (start, end) if start < end => {
            format!(" The middle, where the mask counts, is {} to {}.", count(start), count(end))
        }
        _ => String::new(),
    };
    Some(format!(
        "What query head {} looks at: a row is a decode step, the newest below, {each} of the {} that it sees, and the brighter, the more weight, from 1e-4 to 1 on a logarithmic scale. Left is exact attention, right the same step under the mask: at least {} of the weight is elsewhere there.{middle} Grey: there was no such step, or the token was not in the cache yet.",
        asked.head,
        count(newest.tokens),
        percent(moved(view.rows()), 1)
    ))
}

/// Where the two pictures are in the area of the screen.
fn sides(area: Rect) -> [Rect; 2] {
    let half = area.width.saturating_sub(4) / 2;
    let rows = area.height.saturating_sub(6);
    let left = Rect { x: area.x + 1, y: area.y + 4, width: half, height: rows };
    [left, Rect { x: area.x + 3 + half, ..left }]
}

/// The pictures with real pixels, once all their steps are there; none where cells show them.
pub fn pictures(state: &State) -> Vec<PlacedPicture> {
    let view = &state.screens.head;
    let is_whole = view.asked().is_some_and(|asked| {
        view.rows().len() == asked.steps.1 + 1 - asked.steps.0 && view.refused().is_none()
    });
    let is_open = view.is_open() && state.screen == Screen::Head && state.model.is_some();
    if !is_open || !is_whole || !pictures::are_shown(state) {
        return Vec::new();
    }
    let one = |(area, weights): (Rect, Weights)| {
        let mut content = DefaultHasher::new();
        (area.x, area.y, area.width, area.height, state.theme.light).hash(&mut content);
        state.theme.colormap.name().hash(&mut content);
        for row in view.rows() {
            weights(row).iter().for_each(|weight| weight.to_bits().hash(&mut content));
        }
        PlacedPicture { id: number_of(content.finish()), area }
    };
    let places = sides(areas(state).main).into_iter().zip([EXACT, PRUNED]);
    places.filter(|(area, _)| pictures::fits(*area)).map(one).collect()
}

/// The pixels of one of them.
pub fn raster(state: &State, picture: PlacedPicture) -> Option<Raster> {
    let places = sides(areas(state).main).into_iter().zip([EXACT, PRUNED]);
    let (area, weights) = places.into_iter().find(|(area, _)| *area == picture.area)?;
    let size = (usize::from(area.width) * CELL.0, usize::from(area.height) * CELL.1);
    let steps = steps(state)?;
    let rows = state.screens.head.rows();
    let pixel = |x, y| paint(shade(rows, steps, weights, size, (x, y)), &state.theme);
    Some(Raster::of(size.0, size.1, pixel))
}

/// Steps that were asked for.
fn steps(state: &State) -> Option<usize> {
    let (from, to) = state.screens.head.asked()?.steps;
    Some(to + 1 - from)
}

/// One picture in cells: a step in every half row or more, the newest at the bottom.
fn in_cells(state: &State, rows: &[Attended], area: Rect, weights: Weights, buffer: &mut Buffer) {
    let Some(steps) = steps(state) else { return };
    let size = (usize::from(area.width), usize::from(area.height) * 2);
    let pixel =
        |x: u16, y: u16| shade(rows, steps, weights, size, (usize::from(x), usize::from(y)));
    Heatmap::new(&state.theme, pixel).render(area, buffer);
}

/// A pixel of a picture of this size.
fn shade(
    rows: &[Attended],
    steps: usize,
    weights: Weights,
    size: (usize, usize),
    (x, y): (usize, usize),
) -> Shade {
    let (width, height) = size;
    // Fewer steps than pixels: every step gets several. More: the newest ones are shown.
    let tall = (height / steps.max(1)).max(1);
    let used = (steps.min(height) * tall).min(height);
    let Some(y) = y.checked_sub(height - used) else { return Shade::Absent };
    let Some(row) = rows.get((used - 1 - y) / tall) else { return Shade::Absent };
    let columns = rows.first().map_or(0, |newest| weights(newest).len());
    let own = weights(row);
    let at = |x: usize| x * columns / width.max(1);
    let (first, last) = (at(x), at(x + 1));
    // The largest of several: a sum would depend on the width of the screen.
    let values = own.get(first..last.max(first + 1).min(own.len()));
    match values.filter(|values| !values.is_empty()) {
        Some(values) => Shade::Share(share(values.iter().copied().fold(0.0, f32::max))),
        // The step did not see these tokens yet.
        None => Shade::Absent,
    }
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
fn legend(state: &State, rows: &[Attended], width: usize) -> Line<'static> {
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
    // A step that is not there, or a token that the step did not see.
    let absent = if state.theme.depth.has_map_colours() { "grey" } else { "·" };
    let more = format!(", {absent}: not there yet");
    let wide = spans.iter().map(Span::width).sum::<usize>() + more.chars().count();
    if wide <= width {
        spans.push(Span::styled(more, dim));
    }
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
    use crate::decode::worker::event::{Event, Turn, Wish};
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
        assert!(frame.contains(&format!("rows: {from} to {to}")), "{frame}");
        assert!(frame.contains("·: not there yet"), "{frame}");
        act(&mut state, Command::Explain);
        let said = state.explained.take().expect("the picture is explained");
        assert!(said.contains(&format!("query head {}", asked.head)), "{said}");
        assert!(
            said.contains("at least 50.0 % of the weight") && said.contains("16 to 300"),
            "{said}"
        );
        act(&mut state, Command::Back);
        act(&mut state, Command::Explain);
        assert!(state.explained.take().is_some_and(|text| text.starts_with("Channel")));
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

    /// The picture of a token of an earlier answer once waited for ever, and the key for the newest
    /// steps asked for the cursor's.
    #[test]
    fn a_token_that_no_step_gave_says_so_and_the_key_shows_the_newest() {
        let mut state = session(SMALL, ColorDepth::None);
        (state.size, state.screen) = ((120, 40), Screen::Head);
        let from = state.run.pairs.len() - 20;
        let turn = Turn { from, text: "and?".to_owned(), tokens: 9, ms: 2.0, again: None };
        state.run.turns.push(turn);
        state.screens.ab.cursor = Some(from - 2);
        assert_eq!(act(&mut state, Command::Open), []);
        let frame = text(&draw(&state));
        assert!(frame.contains("belongs to an earlier answer"), "{frame}");
        assert!(!frame.contains("comes with"), "{frame}");
        let effects = act(&mut state, Command::Open);
        let [Effect::Engine(EngineOrder::Attend(asked))] = effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!(asked.steps, (from + 2, state.run.pairs.len()));
        // Closed and opened again it is of the cursor once more.
        act(&mut state, Command::Back);
        assert_eq!(act(&mut state, Command::Open), []);
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
    fn whole_pictures_are_shown_in_pixels_where_the_terminal_has_them() {
        let (mut state, asked) = opened(ColorDepth::True);
        state.graphics = crate::tui::graphics::Graphics::Kitty { through_tmux: false };
        let (from, to) = asked.steps;
        for n in (from..=to).rev() {
            assert_eq!(pictures(&state), [], "the steps are still coming");
            let step = Asked { n, layer: asked.layer, head: asked.head };
            send(&mut state, Event::Attended(Box::new(row(step, 400 + n))));
        }
        let cells = {
            let mut state = state.clone();
            state.graphics = crate::tui::graphics::Graphics::Cells;
            draw(&state)
        };
        let shown = pictures(&state);
        assert_eq!(shown.len(), 2);
        assert_ne!(shown[0].id, shown[1].id, "both sides have their own");
        assert_eq!(crate::tui::app::pictures::placed(&state), shown);
        let frame = draw(&state);
        for picture in shown {
            let area = picture.area;
            assert!(frame[(area.x, area.y)].symbol().starts_with('\u{10eeee}'));
            let pixels = raster(&state, picture).expect("pixels");
            let size = (usize::from(area.width) * CELL.0, usize::from(area.height) * CELL.1);
            assert_eq!((pixels.width, pixels.height), size);
            // All exact weight is on the first token, half of the pruned on the last.
            let color = |x: usize| crate::tui::color::rgb(pixels.at(x, size.1 - 1));
            let bottom = |x: u16| cells[(area.x + x, area.bottom() - 1)].bg;
            assert_eq!(color(0), bottom(0));
            assert_eq!(color(size.0 - 1), bottom(area.width - 1));
        }
        act(&mut state, Command::Back);
        assert_eq!(pictures(&state), [], "the picture is closed");
    }

    #[test]
    fn the_scale_is_logarithmic_between_its_ends() {
        assert_eq!((share(0.0), share(LOW), share(1.0)), (0.0, 0.0, 1.0));
        assert!((share(1e-2) - 0.5).abs() < 1e-6);
    }
}
