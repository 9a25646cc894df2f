//! Draws the plan: knobs on the left, answers beside them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::capacity;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::{placeholder, put};
use crate::tui::screen::plan::layout;
use crate::tui::screen::plan::outcome;
use crate::tui::screen::plan::state::Knob;
use crate::tui::widget::pane::Pane;

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return placeholder(state, area, buffer) };
    let parts = layout::parts(area);
    knobs(state, model, parts.knobs, buffer);
    let made = state
        .screens
        .plan
        .request(model)
        .and_then(|request| Ok((capacity::plan(&request)?, request)));
    let mut pane = Pane::new(parts.answers, &state.theme, buffer);
    match made {
        Ok((report, request)) => {
            outcome::answers(state, &report, &mut pane);
            let Some(area) = parts.cost else {
                outcome::cost(state, &report, &mut pane);
                return outcome::grid(state, &request, &mut pane);
            };
            outcome::grid(state, &request, &mut pane);
            let mut pane = Pane::new(area, &state.theme, buffer);
            outcome::cost(state, &report, &mut pane);
            outcome::assumed(&report, &mut pane);
        }
        Err(error) => {
            pane.title("no plan", "");
            let words = error.to_string();
            for line in wrapped(&words, usize::from(parts.answers.width)) {
                pane.line(Line::styled(line, state.theme.style(Role::Warn)));
            }
        }
    }
}

/// Lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn knobs(state: &State, model: &ModelView, area: Rect, buffer: &mut Buffer) {
    let planning = &state.screens.plan;
    let theme = &state.theme;
    let mut pane = Pane::new(area, theme, buffer);
    pane.title("plan", "");
    for index in layout::shown(area, planning.knob as usize) {
        let knob = Knob::ALL[index];
        let Some(row) = pane.take(1) else { break };
        let is_selected = knob == planning.knob;
        let value = planning.value(knob, model);
        let line = match is_selected {
            true => Line::styled(format!("› {:<14} {value}", knob.name()), theme.selected()),
            false => Line::from(vec![
                Span::styled(format!("  {:<14} ", knob.name()), theme.style(Role::Dim)),
                Span::styled(value, theme.style(Role::Text)),
            ]),
        };
        put(pane.buffer, row, 0, 0, line);
    }
}
