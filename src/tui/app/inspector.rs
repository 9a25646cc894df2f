//! One line about a place of the model: layer, head, pair, width, importance, bytes. It follows the
//! cursor, or the mouse where that points at a place.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::model::additions::{LayerKind, Rotation};
use crate::numbers::count;
use crate::tui::app::model::ModelView;
use crate::tui::app::place::Place;
use crate::tui::app::shader::{bar_metric, rank};
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::fitting::facts;
use crate::tui::paint::{number, put, wavelength};

/// Draws the line.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return };
    let shape = model.shape();
    let hover = state.hover.filter(|at| {
        at.layer < shape.layers && at.head < shape.kv_heads && at.channel < shape.head_dim
    });
    let at = hover.unwrap_or(state.at);
    let (mark, role) = if hover.is_some() { ("◇ ", Role::Accent) } else { ("▸ ", Role::Dim) };
    let room = usize::from(area.width).saturating_sub(4);
    let line = Line::from(vec![
        Span::styled(mark, state.theme.style(role)),
        Span::styled(facts(&about(state, model, at), room), state.theme.style(Role::Dim)),
    ]);
    put(buffer, area, 1, 0, line);
}

/// What there is to say, the most important first, in long and short forms.
fn about(state: &State, model: &ModelView, at: Place) -> Vec<Vec<String>> {
    let Place { layer, head, channel } = at;
    let pairs = model.shape().pairs();
    let pair = channel % pairs;
    let mut facts = vec![
        vec![format!("L{layer} h{head}")],
        vec![format!("pair {pair} ch {channel}")],
        vec![match model.kept(layer, head) {
            0 => "head dropped".to_owned(),
            _ => model.stored_as(layer, head, channel).to_string(),
        }],
    ];
    if let Some((metric, table)) = bar_metric(state, model) {
        let values = table.head(layer, head);
        let own = values[channel];
        let of = count(values.len());
        facts.push(match own.is_finite() {
            // A rank among equals says nothing.
            true if values.iter().all(|&value| value == own) => {
                let value = format!("{} {}", metric.name(), number(own));
                vec![format!("{value}, as all of the head"), value]
            }
            true => {
                let value = format!("{} {}", metric.name(), number(own));
                vec![format!("{value} ({} of {of})", rank(values, own)), value]
            }
            false => vec![format!("{} not known", metric.name())],
        });
    }
    let ([k, v], dense) = model.head_bytes(layer, head);
    let short = format!("K {k:.0}/{} V {v:.0}/{} B", dense.k, dense.v);
    facts.push(vec![format!("{short} a token"), short]);
    let kind = model.info.kind(layer);
    if kind.rotation == Rotation::Usual {
        facts.push(vec![format!("λ {} tokens", wavelength(model.info.wavelengths[pair]))]);
    }
    if kind != LayerKind::default() {
        facts.push(vec![kind.words(), kind.short_words()]);
    }
    facts
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::MouseEventKind;

    use super::*;
    use crate::tui::app::areas::areas;
    use crate::tui::color::ColorDepth;
    use crate::tui::screen::Screen;
    use crate::tui::testing::{LARGE, SMALL, draw, mouse, session, text};

    fn line(state: &State) -> String {
        let row = areas(state).inspector.expect("a row of its own").y;
        text(&draw(state)).lines().nth(usize::from(row)).unwrap_or_default().to_owned()
    }

    #[test]
    fn every_screen_says_what_the_cursor_is_on() {
        let mut state = session(SMALL, ColorDepth::None);
        (state.at.layer, state.at.head, state.at.channel) = (2, 1, 40);
        for size in [(80, 24), (120, 40), (200, 60)] {
            for screen in Screen::ALL {
                (state.size, state.screen) = (size, screen);
                if areas(&state).inspector.is_none() {
                    let small = size == (80, 24) && screen >= Screen::Perf;
                    assert!(small, "{screen:?} at {size:?} has no line");
                    continue;
                }
                let line = line(&state);
                let wanted = ["L2 h1", "pair 8 ch 40"];
                assert!(wanted.iter().all(|word| line.contains(word)), "{screen:?}: {line}");
                // In short where there is little room, and whole everywhere.
                let bytes = if size.0 < 120 { " B" } else { " B a token" };
                assert!(line.contains(bytes) && line.contains(" V "), "{screen:?}: {line}");
                assert!(!line.contains('…'), "{screen:?}: {line}");
            }
        }
    }

    /// The head that learning dropped had "importance 0 (1 of 64)".
    #[test]
    fn equal_values_have_no_rank() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (120, 40);
        (state.at.layer, state.at.head) = (2, 1);
        assert!(line(&state).contains("importance 0, as all of the head"), "{}", line(&state));
        let said = crate::tui::app::explain::channel(&state).expect("a channel");
        assert!(
            said.contains("is 0, as that of all channels") && !said.contains("number 1"),
            "{said}"
        );
        state.at.head = 0;
        assert!(line(&state).contains(" of 64)"), "{}", line(&state));
    }

    #[test]
    fn the_mouse_on_the_map_shows_what_it_points_at_and_leaves_the_cursor() {
        let mut state = session(LARGE, ColorDepth::None);
        state.size = (120, 40);
        let before = state.at;
        let main = areas(&state).main;
        mouse(&mut state, MouseEventKind::Moved, (main.x + 20, main.y + 8));
        let place = state.hover.expect("a strip");
        assert_ne!(place, before);
        let shown = line(&state);
        assert!(shown.contains(&format!("◇ L{} h{}", place.layer, place.head)), "{shown}");
        assert_eq!(state.at, before);
        mouse(&mut state, MouseEventKind::Moved, (main.x + 20, 0));
        assert_eq!(state.hover, None);
        assert!(line(&state).contains("▸ L0 h0"), "{}", line(&state));
    }
}
