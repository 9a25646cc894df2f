//! The list of controls, and the status below it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::app::action::Command;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::app::text_lines;
use crate::tui::color::Role;
use crate::tui::fitting::best;
use crate::tui::paint::put;
use crate::tui::screen::Screen;
use crate::tui::screen::tune::layout;
use crate::tui::screen::tune::state::{Base, Control, Tally, Tuning, VERBATIM};
use crate::tui::widget::pane::Pane;

/// Columns of the names, and of values that a slider follows.
const NAME: usize = 11;
const VALUE: usize = 15;

/// Draws the controls.
pub fn render(state: &State, model: &ModelView, tuning: &Tuning, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut pane = Pane::new(area, theme, buffer);
    let what = if tuning.proposal().plan.is_mask() { "mask" } else { "plan" };
    pane.title(what, if tuning.is_unsaved() { "* unsaved" } else { "saved" });
    let verbatim = Base::Verbatim(tuning.saved().mask.clone());
    let around = tuning.around(&verbatim, model, &state.keys, state.at.layer, state.target_context);
    for index in layout::tune_controls(area, tuning.control as usize, Control::ALL.len()) {
        let control = Control::ALL[index];
        let (value, counts) = control.value(tuning.draft(), &around);
        let selected = control == tuning.control && tuning.cursor.is_none();
        let style = match (selected, counts) {
            (true, _) => theme.selected(),
            (false, true) => theme.style(Role::Text),
            (false, false) => theme.style(Role::Dim),
        };
        let Some(row) = pane.take(1) else { return };
        let mark = if selected { "▸" } else { " " };
        let width = usize::from(row.width);
        // A name that is used as it is says so where there is room.
        let plain = value.strip_prefix(VERBATIM).unwrap_or(&value).to_owned();
        let value = best(width.saturating_sub(1 + NAME), [value, plain]);
        let text = format!("{mark}{:<NAME$}{value}", control.name(state.at.layer));
        put(pane.buffer, row, 0, 0, Line::styled(format!("{text:<width$}"), style));
        if let Some(share) = share(control, tuning, &around.proposed) {
            let slider = Rect {
                x: row.x + (1 + NAME + VALUE) as u16,
                width: row.width.saturating_sub(2 + (NAME + VALUE) as u16),
                ..row
            };
            slide(state, share, slider, pane.buffer);
        }
    }
    pane.line(standing(state, model, tuning));
    if let Some(reach) = tuning.reach() {
        pane.line(Line::styled(
            format!("importance is above 0 for {:.1} %", reach * 100.0),
            theme.style(Role::Warn),
        ));
        let words = [
            "and no others are kept: split exact adds channels at 0",
            "no others are kept: split exact adds some",
            "split exact adds others",
        ];
        pane.note(best(usize::from(pane.area.width), words.map(str::to_owned)));
    }
    let (back, forward) = tuning.steps();
    pane.note(format!("history: {back} back · {forward} forward"));
    // The generated text fills the remaining rows.
    if pane.area.height >= 4 {
        pane.title("text", "");
        let room = pane.area;
        for line in text_lines::tail(state, usize::from(room.width), usize::from(room.height)) {
            pane.line(line);
        }
    }
}

/// The share that the slider next to a value shows.
fn share(control: Control, tuning: &Tuning, proposed: &Tally) -> Option<f64> {
    match control {
        Control::Keep => Some(proposed.share),
        Control::Bytes => Some(proposed.middle),
        Control::Weight => tuning.draft().blend.map(|_| f64::from(tuning.draft().weight) / 100.0),
        _ => None,
    }
}

fn slide(state: &State, share: f64, area: Rect, buffer: &mut Buffer) {
    if area.width < 4 {
        return;
    }
    let knob = (share.clamp(0.0, 1.0) * f64::from(area.width - 1)).round() as u16;
    for x in 0..area.width {
        let (symbol, role) = match x {
            x if x == knob => ("●", Role::Accent),
            x if x < knob => ("━", Role::Accent),
            _ => ("─", Role::Border),
        };
        buffer[(area.x + x, area.y)].set_symbol(symbol).set_fg(state.theme.color(role));
    }
}

/// Whether the set mask is in use, and if not, why.
fn standing(state: &State, model: &ModelView, tuning: &Tuning) -> Line<'static> {
    let theme = &state.theme;
    let (text, role) = match &tuning.refused {
        Some(sentence) => (sentence.clone(), Role::Bad),
        None if tuning.is_waiting() => ("waiting for the engine".to_owned(), Role::Warn),
        None if !tuning.is_applied(model) && state.replay => {
            ("a proposal: nothing runs here".to_owned(), Role::Warn)
        }
        None if !tuning.is_applied(model) => {
            let applies = state.key_on(Screen::Tune, Command::Open);
            (format!("a proposal: {applies} applies it"), Role::Warn)
        }
        None => match tuning.applied_ms {
            Some(ms) => (format!("at work, applied in {ms:.1} ms"), Role::Good),
            None => ("at work".to_owned(), Role::Good),
        },
    };
    Line::from(Span::styled(text, theme.style(role)))
}
