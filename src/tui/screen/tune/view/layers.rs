//! Per layer, and per head where there is space: the kept share of a mask, or the bytes of a plan by
//! width.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;

use crate::mask::Width;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::app::widths;
use crate::tui::color::Role;
use crate::tui::paint::put;
use crate::tui::screen::map;
use crate::tui::screen::tune::layout;
use crate::tui::screen::tune::state::Tuning;
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{BarPart, meter, stacked};

/// Columns left and right of the bars.
const LEFT: u16 = 6;
const RIGHT: u16 = 5;

/// Draws the bars.
pub fn render(state: &State, model: &ModelView, tuning: &Tuning, area: Rect, buffer: &mut Buffer) {
    let shape = model.shape();
    let counts = tuning.proposal().mask().kept_counts();
    let now = model.mask.kept_counts();
    let plans = [&tuning.proposal().plan, model.plan()];
    let coded = plans.iter().any(|plan| !plan.is_mask());
    let mut pane = Pane::new(area, &state.theme, buffer);
    if coded {
        pane.title("bytes", "█16▓8▒4░2 bits");
    } else {
        pane.title("kept", "■ locked ┆ floor");
    }
    for (layer, head) in layout::tune_layers(area, shape, state.at.layer) {
        let Some(row) = pane.take(1) else { return };
        let heads = match head {
            None => layer * shape.kv_heads..(layer + 1) * shape.kv_heads,
            Some(head) => layer * shape.kv_heads + head..layer * shape.kv_heads + head + 1,
        };
        let all = (heads.len() * shape.head_dim) as f64;
        let share = |counts: &[usize]| counts[heads.clone()].iter().sum::<usize>() as f64 / all;
        if coded {
            let heads = || heads.clone().map(|head| (head / shape.kv_heads, head % shape.kv_heads));
            let windows = [tuning.draft().window, model.info.window];
            let bytes = |at: usize| plans[at].bytes_by_width_of(heads(), windows[at].chunk, 2);
            // Of a dense f16 cache: keys and values of two bytes, 64 tokens.
            draw_bytes(
                state,
                tuning,
                (layer, head),
                [bytes(0), bytes(1)],
                64.0 * 4.0 * all,
                row,
                pane.buffer,
            );
            continue;
        }
        let shares = (share(&counts), share(&now));
        draw(state, tuning, (layer, head), shares, row, pane.buffer);
    }
    map::view::at_work(state, &mut pane);
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
    label(state, tuning, (layer, head), row, buffer);
    let bar = Rect { x: row.x + LEFT, width: row.width.saturating_sub(LEFT + RIGHT), ..row };
    meter(share, theme.style(if head.is_none() { Role::Keys } else { Role::Partner }), bar, buffer);
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
    written(state, tuning, (layer, head), share, row, buffer);
}

/// One bar of a plan: the bytes of its widths, widest first, and a mark for the plan in use.
fn draw_bytes(
    state: &State,
    tuning: &Tuning,
    at: layout::LayerRow,
    bytes: [[[usize; 5]; 2]; 2],
    dense: f64,
    row: Rect,
    buffer: &mut Buffer,
) {
    let theme = &state.theme;
    label(state, tuning, at, row, buffer);
    let bar = Rect { x: row.x + LEFT, width: row.width.saturating_sub(LEFT + RIGHT), ..row };
    let by_width = |at: usize| {
        Width::ALL.map(|width| {
            let [k, v] = bytes[at].map(|kind| kind[width.index()]);
            (k + v) as f64
        })
    };
    let share = |at: usize| by_width(at).iter().sum::<f64>() / dense;
    let parts: Vec<BarPart> = Width::ALL
        .into_iter()
        .zip(by_width(0))
        .rev()
        .map(|(width, size)| {
            let color = theme.ramp(widths::share_of(f32::from(width.bits())));
            BarPart { size, glyph: widths::shade(width), color }
        })
        .collect();
    stacked(&parts, dense, bar, buffer);
    let (set, now) = (share(0), share(1));
    if (set - now).abs() > 1e-9 && bar.width > 0 {
        let x = (now * f64::from(bar.width)).floor().clamp(0.0, f64::from(bar.width - 1)) as u16;
        let place = (bar.x + x, bar.y);
        if buffer.area.contains(place.into()) {
            buffer[place].set_symbol("│").set_fg(theme.color(Role::Text));
        }
    }
    written(state, tuning, at, set, row, buffer);
}

/// The name of a row, with a sign of its locks.
fn label(
    state: &State,
    tuning: &Tuning,
    (layer, head): layout::LayerRow,
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
}

/// The share at the right; underlined where something is set by hand.
fn written(
    state: &State,
    tuning: &Tuning,
    (layer, head): layout::LayerRow,
    share: f64,
    row: Rect,
    buffer: &mut Buffer,
) {
    let theme = &state.theme;
    let (draft, shape) = (tuning.draft(), tuning.sources().shape);
    let edited = head.is_some_and(|head| draft.pinned(shape, layer, head) > 0);
    let style = theme.style(Role::Text).add_modifier(if edited {
        Modifier::UNDERLINED
    } else {
        Modifier::empty()
    });
    let text = format!("{:>3.0}%", share * 100.0);
    put(buffer, row, row.width.saturating_sub(RIGHT - 1), 0, Line::styled(text, style));
}
