//! Draws the plan: knobs on the left, answers beside them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::capacity;
use crate::capacity::CapacityReport;
use crate::printable::wrapped;
use crate::tui::app::editing::with_bar;
use crate::tui::app::model::ModelView;
use crate::tui::app::side;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::fitting::fitted;
use crate::tui::paint::{placeholder, put};
use crate::tui::screen::map;
use crate::tui::screen::plan::layout;
use crate::tui::screen::plan::state::Knob;
use crate::tui::screen::plan::{cost, outcome};
use crate::tui::widget::pane::Pane;

/// Columns of a knob's mark and name.
const NAMES: usize = 15;

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return placeholder(state, area, buffer) };
    let more = state.screens.plan.more;
    let parts = layout::parts(state, area, more);
    knobs(state, model, parts.knobs, buffer);
    let made = state
        .screens
        .plan
        .request(model)
        .and_then(|request| Ok((capacity::plan(&request)?, request)));
    let mut pane = Pane::new(parts.answers, &state.theme, buffer);
    let (report, request) = match made {
        Ok(made) => made,
        Err(error) => {
            pane.title("no plan", "");
            for line in wrapped(&error.to_string(), usize::from(parts.answers.width)) {
                pane.line(Line::styled(line, state.theme.style(Role::Warn)));
            }
            return;
        }
    };
    match parts.cost {
        Some(area) => {
            outcome::answers(state, &report, &mut pane);
            outcome::grid(state, &request, &mut pane);
            if parts.is_wide {
                map::view::at_work(state, &mut pane);
            } else {
                outcome::assumed(&report, &mut pane);
            }
            let mut pane = Pane::new(area, &state.theme, buffer);
            cost::cost(state, &report, &mut pane);
            if parts.is_wide {
                outcome::assumed(&report, &mut pane);
                let knobs = Knob::ALL.map(|knob| (knob.name(), knob.about()));
                side::defined(state, ("knobs", ""), &knobs, &mut pane);
            } else {
                side::tail(state, &mut pane);
            }
        }
        None if more => {
            outcome::grid(state, &request, &mut pane);
            outcome::assumed(&report, &mut pane);
        }
        None => column(state, &report, parts.answers, buffer),
    }
}

/// Answers and cost in one column. Where there is no room for both, it follows the knobs: the cost is
/// in sight at those that it depends on, and a row says where the rest is.
fn column(state: &State, report: &CapacityReport, area: Rect, buffer: &mut Buffer) {
    /// Rows of the cost, without a chart, and the blank above it.
    const COST: u16 = 6;
    /// More rows than the answers ever take.
    const MANY: u16 = 40;
    let theme = &state.theme;
    let drawn = |height: u16, costs: bool| {
        let whole = Rect { height, ..area };
        let mut beside = Buffer::empty(whole);
        let mut pane = Pane::new(whole, theme, &mut beside);
        outcome::answers(state, report, &mut pane);
        if costs {
            cost::cost(state, report, &mut pane);
        }
        let rows = height - pane.area.height;
        (beside, rows)
    };
    let needed = drawn(MANY, false).1 + COST;
    if needed <= area.height {
        let mut pane = Pane::new(area, theme, buffer);
        outcome::answers(state, report, &mut pane);
        return cost::cost(state, report, &mut pane);
    }
    let Some(shown) = area.height.checked_sub(1) else { return };
    if (state.screens.plan.knob as usize) < Knob::Price as usize {
        outcome::answers(
            state,
            report,
            &mut Pane::new(Rect { height: shown, ..area }, theme, buffer),
        );
        let last = Rect { y: area.y + shown, height: 1, ..area };
        let note = format!("▾ cost: {} and below", Knob::Price.name());
        return Pane::new(last, theme, buffer).note(note);
    }
    Pane::new(area, theme, buffer).note("▲ size and fit: knobs up");
    let (beside, rows) = drawn(needed, true);
    let skipped = rows.saturating_sub(shown);
    for y in 0..shown.min(rows) {
        for x in area.left()..area.right() {
            buffer[(x, area.y + 1 + y)] = beside[(x, area.y + skipped + y)].clone();
        }
    }
}

fn knobs(state: &State, model: &ModelView, area: Rect, buffer: &mut Buffer) {
    let planning = &state.screens.plan;
    let theme = &state.theme;
    let room = usize::from(area.width).saturating_sub(NAMES);
    let mut pane = Pane::new(area, theme, buffer);
    pane.title("plan", "");
    for index in layout::shown(area, planning.knob as usize) {
        let knob = Knob::ALL[index];
        let Some(row) = pane.take(1) else { break };
        let is_selected = knob == planning.knob;
        let value = match planning.typing.as_ref().filter(|_| is_selected) {
            Some(input) => with_bar(input, room),
            None => fitted(planning.value(knob, model, room), room),
        };
        let line = match is_selected {
            true => Line::styled(format!("› {:<12} {value}", knob.name()), theme.selected()),
            false => Line::from(vec![
                Span::styled(format!("  {:<12} ", knob.name()), theme.style(Role::Dim)),
                Span::styled(value, theme.style(Role::Text)),
            ]),
        };
        put(pane.buffer, row, 0, 0, line);
    }
    side::tail(state, &mut pane);
}
