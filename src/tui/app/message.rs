//! The current message: in the footer where it fits there, otherwise in whole above it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::tui::app::link;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::{ColorDepth, Role};
use crate::tui::paint::{clear, put};

/// Most rows of a message above the footer.
const MOST_ROWS: u16 = 8;

/// What is said, and whether it failed.
fn said(state: &State) -> Option<(&str, bool)> {
    state.toast.as_ref().map(|toast| (toast.sentence.as_str(), toast.failed))
}

/// Why the run failed, in lines. It stays, so it has rows of its own: the keys stay in the footer.
fn reason(state: &State) -> Vec<Line<'static>> {
    let Phase::Failed(sentence) = &state.phase else { return Vec::new() };
    let style = state.theme.style(Role::Bad).add_modifier(Modifier::BOLD);
    let width = usize::from(state.size.0.saturating_sub(2));
    let mut lines = wrap(std::iter::once((sentence.as_str(), style)), width, 4_000);
    let most = usize::from(MOST_ROWS.min(state.size.1 / 3)).max(1);
    if lines.len() > most {
        lines.truncate(most - 1);
        lines.push(Line::styled("… in whole in the log (f12)", state.theme.style(Role::Dim)));
    }
    lines
}

/// Rows of the reason of a failed run.
pub fn reason_rows(state: &State) -> u16 {
    reason(state).len() as u16
}

/// Draws the reason of a failed run.
pub fn render_reason(state: &State, area: Rect, buffer: &mut Buffer) {
    clear(buffer, area, state.theme.bar());
    for (line, y) in reason(state).into_iter().zip(0..area.height) {
        put(buffer, area, 1, y, line);
    }
}

/// The message as the footer shows it; `None` where there is none, or where it takes more than this
/// many columns and is shown above.
pub fn in_footer(state: &State, room: u16) -> Option<Line<'static>> {
    let (sentence, failed) = said(state)?;
    let role = if failed { Role::Bad } else { Role::Warn };
    let style = state.theme.style(role).add_modifier(Modifier::BOLD);
    let line = Line::styled(format!(" {sentence} "), style);
    (line.width() <= usize::from(room)).then_some(line)
}

/// Draws a message that does not fit the footer in whole above it. `room` are the columns that the
/// footer has for it.
pub fn render(state: &State, footer: Rect, room: u16, buffer: &mut Buffer) {
    let Some((sentence, failed)) = said(state) else { return };
    // What is explained is drawn in the same place, and was asked for by the last key.
    if in_footer(state, room).is_some() || state.explained.is_some() {
        return;
    }
    let role = if failed { Role::Bad } else { Role::Warn };
    let style = state.theme.style(role).add_modifier(Modifier::BOLD);
    let width = usize::from(footer.width.saturating_sub(4));
    let lines = wrap(std::iter::once((sentence, style)), width, 4_000);
    let rows = (lines.len() as u16 + 1).min(footer.y).min(MOST_ROWS);
    let area = Rect { y: footer.y - rows, height: rows, ..footer };
    clear(buffer, area, state.theme.bar());
    for x in area.left()..area.right() {
        buffer[(x, area.y)].set_symbol("─").set_style(state.theme.style(role));
    }
    for (line, y) in lines.into_iter().zip(area.y + 1..area.bottom()) {
        let row = Rect { x: area.x + 2, y, width: area.width.saturating_sub(4), height: 1 };
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        put(buffer, row, 0, 0, line);
        link_path(state, &text, row, buffer);
    }
}

/// Makes the path in a shown text a link, where all of it is shown. `area` is where the text is.
pub fn link_path(state: &State, text: &str, area: Rect, buffer: &mut Buffer) {
    let Some(path) = state.toast.as_ref().and_then(|toast| toast.link.as_ref()) else { return };
    let shown = path.display().to_string();
    let Some((before, _)) = text.split_once(&shown) else { return };
    let (from, width) = (Span::raw(before).width(), Span::raw(&shown).width());
    if from + width <= usize::from(area.width) && state.theme.depth > ColorDepth::Ascii {
        let place = Rect { x: area.x + from as u16, width: width as u16, height: 1, ..area };
        link::mark(path, place, buffer);
    }
}

#[cfg(test)]
mod tests {
    use crate::decode::worker::event::Event;
    use crate::tui::app::action::Action;
    use crate::tui::app::state::State;
    use crate::tui::app::update::update;
    use crate::tui::color::ColorDepth;
    use crate::tui::testing::{SMALL, draw, send, session, text};

    const LONG: &str = "/home/somebody/a/folder/far/away/masks/learned-on-everything.safetensors: expected a mask for the model test-model with the shape 5x2x64, found one for another model with the shape 32x8x128 of which nothing can be used";

    /// The text of a frame as one line: what is wrapped is whole again.
    fn flat(frame: &str) -> String {
        frame.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_message_of_any_length_is_shown_in_whole_beside_the_keys() {
        for size in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            for sentence in ["wrote a file", LONG] {
                let mut state = session(SMALL, ColorDepth::None);
                state.size = size;
                state.tell(sentence, true);
                let frame = text(&draw(&state));
                // A path breaks anywhere.
                let shown = flat(&frame).replace(' ', "");
                assert!(shown.contains(&sentence.replace(' ', "")), "{size:?}: {frame}");
                assert!(frame.contains("? help"), "{size:?}: {frame}");
            }
        }
    }

    #[test]
    fn why_a_run_failed_is_read_in_whole_as_well() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (80, 24);
        let footer = |state: &State| text(&draw(state)).lines().last().map(str::to_owned);
        state.toast = None;
        let before = footer(&state);
        send(&mut state, Event::Failed { sentence: LONG.to_owned(), code: 1 });
        assert_eq!(footer(&state), before, "the keys stay, because it stays");
        let shown = flat(&text(&draw(&state))).replace(' ', "");
        assert!(shown.contains(&LONG.replace(' ', "")), "{}", text(&draw(&state)));
    }

    #[test]
    fn a_long_message_stays_long_enough_to_be_read() {
        let mut state = session(SMALL, ColorDepth::None);
        let mut gone_after = |sentence: &str| {
            state.tell(sentence, true);
            let began = state.now_ms;
            while state.toast.is_some() {
                let next = state.now_ms + 100.0;
                update(&mut state, Action::Tick(next));
            }
            state.now_ms - began
        };
        let (short, long) = (gone_after("wrote a file"), gone_after(LONG));
        assert!(short < 4_200.0, "{short}");
        // A fast reader reads 25 letters a second.
        assert!(long > LONG.len() as f64 * 40.0, "{long}");
    }

    #[test]
    fn the_log_shows_long_lines_in_whole() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (80, 24);
        use std::io::Write;
        writeln!(state.log, "ERROR {LONG}").expect("in memory");
        state.log_open = true;
        let shown = flat(&text(&draw(&state))).replace(' ', "");
        assert!(shown.contains(&LONG.replace(' ', "")), "{}", text(&draw(&state)));
    }
}
