//! The current message, in whole above the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::tui::app::action::Command;
use crate::tui::app::areas::Areas;
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
        let more = format!("… in whole in the log ({})", state.key(Command::Log));
        lines.push(Line::styled(more, state.theme.style(Role::Dim)));
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

/// The row of a message: that of the inspector line, or else the last one of the screen's own. Rows
/// with keys, of the footer and of the story, are never covered.
fn last_row(areas: &Areas) -> u16 {
    let body = match areas.side {
        Some(side) if areas.main.width == 0 => side,
        _ => areas.main,
    };
    areas.inspector.map_or(body.bottom(), |line| line.bottom())
}

/// Draws the message above what has keys, in whole.
pub fn render(state: &State, areas: &Areas, buffer: &mut Buffer) {
    let Some((sentence, failed)) = said(state) else { return };
    // What is explained is drawn in the same place, and was asked for by the last key.
    if state.explained.is_some() {
        return;
    }
    let role = if failed { Role::Bad } else { Role::Warn };
    let style = state.theme.style(role).add_modifier(Modifier::BOLD);
    let (whole, bottom) = (areas.footer, last_row(areas));
    let width = usize::from(whole.width.saturating_sub(2));
    let mut lines = wrap(std::iter::once((sentence, style)), width, 4_000);
    // A line keeps several rows apart from what is above them.
    let is_apart = lines.len() > 1;
    let most = MOST_ROWS.min(bottom);
    lines.truncate(usize::from(most - u16::from(is_apart)));
    let rows = lines.len() as u16 + u16::from(is_apart);
    let area = Rect { y: bottom - rows, height: rows, ..whole };
    clear(buffer, area, state.theme.bar());
    if is_apart {
        for x in area.left()..area.right() {
            buffer[(x, area.y)].set_symbol("─").set_style(state.theme.style(role));
        }
    }
    for (line, y) in lines.into_iter().zip(area.y + u16::from(is_apart)..area.bottom()) {
        let row = Rect { x: area.x + 1, y, width: width as u16, height: 1 };
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        put(buffer, row, 0, 0, line);
        link_path(state, &text, row, buffer);
    }
}

/// Makes the path in a shown text a link, where all of it is shown. `area` is where the text is.
fn link_path(state: &State, text: &str, area: Rect, buffer: &mut Buffer) {
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
    use ratatui::crossterm::event::KeyCode;

    use crate::decode::session::Finish;
    use crate::decode::worker::event::Event;
    use crate::tui::app::action::{Action, Command};
    use crate::tui::app::areas::areas;
    use crate::tui::app::run::Phase;
    use crate::tui::app::state::State;
    use crate::tui::app::update::update;
    use crate::tui::color::ColorDepth;
    use crate::tui::screen::Screen;
    use crate::tui::testing::{SMALL, act, draw, key, letters, send, session, text};

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

    /// Messages once hid the keys of the footer and of the story for as long as they were shown.
    #[test]
    fn a_message_covers_no_row_with_keys() {
        for size in [(60, 16), (80, 24), (120, 40), (200, 60)] {
            for screen in Screen::ALL {
                let mut state = session(SMALL, ColorDepth::None);
                (state.size, state.screen) = (size, screen);
                let rows = |state: &State| {
                    let areas = areas(state);
                    let frame = text(&draw(state));
                    let lines: Vec<String> = frame.lines().map(str::to_owned).collect();
                    let from = areas.inspector.map_or(areas.footer.y, |line| line.bottom());
                    lines[usize::from(from)..].to_vec()
                };
                let before = rows(&state);
                for sentence in ["wrote a file", LONG] {
                    state.tell(sentence, false);
                    assert_eq!(rows(&state), before, "{screen:?} {size:?}");
                }
            }
        }
    }

    #[test]
    fn a_message_goes_when_it_is_no_longer_true_or_was_read() {
        let mut state = session(SMALL, ColorDepth::None);
        state.phase = Phase::Finished(Finish::EndToken);
        act(&mut state, Command::Pause);
        let told = |state: &State| state.toast.as_ref().map(|toast| toast.sentence.clone());
        assert!(told(&state).is_some_and(|told| told.contains("r runs it again")));
        send(&mut state, Event::Resumed);
        assert_eq!(told(&state), None, "it runs again");
        // A key takes away what there was time to read, and nothing else.
        state.tell("wrote a file", false);
        letters(&mut state, "?");
        assert!(told(&state).is_some());
        let later = state.now_ms + 1_700.0;
        update(&mut state, Action::Tick(later));
        assert!(told(&state).is_some(), "nobody pressed a key");
        key(&mut state, KeyCode::Esc);
        assert_eq!(told(&state), None);
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
