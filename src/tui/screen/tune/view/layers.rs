//! Kept share per layer, and per head where there is space.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;

use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::put;
use crate::tui::screen::tune::layout;
use crate::tui::screen::tune::state::Tuning;
use crate::tui::widget::meter;
use crate::tui::widget::pane::Pane;

/// Columns left and right of the bars.
const LEFT: u16 = 6;
const RIGHT: u16 = 5;

/// Draws the bars.
pub fn render(state: &State, model: &ModelView, tuning: &Tuning, area: Rect, buffer: &mut Buffer) {
    let shape = model.shape();
    let counts = tuning.proposal().mask().kept_counts();
    let now = model.mask.kept_counts();
    let mut pane = Pane::new(area, &state.theme, buffer);
    pane.title("kept", "■ locked ┆ floor");
    for (layer, head) in layout::tune_layers(area, shape, state.at.layer) {
        let Some(row) = pane.take(1) else { return };
        let heads = match head {
            None => layer * shape.kv_heads..(layer + 1) * shape.kv_heads,
            Some(head) => layer * shape.kv_heads + head..layer * shape.kv_heads + head + 1,
        };
        let all = (heads.len() * shape.head_dim) as f64;
        let share = |counts: &[usize]| counts[heads.clone()].iter().sum::<usize>() as f64 / all;
        let shares = (share(&counts), share(&now));
        draw(state, tuning, (layer, head), shares, row, pane.buffer);
    }
}

/// One bar: label, lock, bar with marks for the floor and the mask in use, share.
fn draw(
    state: &State,
    tuning: &Tuning,
    (layer, head): layout::LayerRow,
    (share, now): (f64, f64),
    row: Rect,
    buffer: &mut Buffer,
) {
    let theme = &state.theme;
    let (draft, shape) = (tuning.draft(), tuning.sources().shape);
    let selected = layer == state.at.layer && head.is_none_or(|head| head == state.at.head);
    let label = match head {
        None => format!("L{layer:02}"),
        Some(head) => format!(" h{head}"),
    };
    let style = theme.style(if selected { Role::Accent } else { Role::Dim });
    put(
        buffer,
        row,
        0,
        0,
        Line::styled(format!("{}{label}", if selected { "▸" } else { " " }), style),
    );
    let is_locked = |head| draft.is_locked(shape, layer, head);
    let locked = match head {
        Some(head) => usize::from(is_locked(head)) * shape.kv_heads,
        None => (0..shape.kv_heads).filter(|&head| is_locked(head)).count(),
    };
    let lock = match locked {
        0 => " ",
        n if n == shape.kv_heads => "■",
        _ => "□",
    };
    put(buffer, row, LEFT - 1, 0, Line::styled(lock, theme.style(Role::Warn)));
    let bar = Rect { x: row.x + LEFT, width: row.width.saturating_sub(LEFT + RIGHT), ..row };
    meter(share, theme.style(if head.is_none() { Role::First } else { Role::Second }), bar, buffer);
    let mut tick = |share: f64, symbol: &str, role| {
        let x = bar.x
            + (share * f64::from(bar.width)).floor().min(f64::from(bar.width.saturating_sub(1)))
                as u16;
        if bar.width > 0 && buffer.area.contains((x, bar.y).into()) {
            buffer[(x, bar.y)].set_symbol(symbol).set_fg(theme.color(role));
        }
    };
    let floor = draft.floor_of(layer);
    if floor > 0 {
        tick(floor as f64 / shape.head_dim as f64, "┆", Role::Warn);
    }
    if (share - now).abs() > 1e-9 {
        tick(now, "│", Role::Text);
    }
    let edited = head.is_some_and(|head| draft.pinned(shape, layer, head) > 0);
    let style = theme.style(Role::Text).add_modifier(if edited {
        Modifier::UNDERLINED
    } else {
        Modifier::empty()
    });
    let text = format!("{:>3.0}%", share * 100.0);
    put(buffer, row, row.width.saturating_sub(RIGHT - 1), 0, Line::styled(text, style));
}
