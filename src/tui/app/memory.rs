//! What the cache stores next to what dense decode would store, as bars by part.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::cache::CacheBytes;
use crate::numbers::{self, count};
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::fitting::best;
use crate::tui::paint::put;
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{BarPart, stacked};

/// The cache as it is, next to what dense decode would store.
pub fn memory_now(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    pane.title("KV cache now", &format!("{} tokens", count(state.run.cached)));
    let dense = model.bytes_at(state.run.cached).1;
    bar_row(state, pane, "stored", state.run.kv, dense.total());
    if model.is_masked() {
        bar_row(state, pane, "dense", dense, dense.total());
        less(state, pane, state.run.kv, dense);
    }
    by_width(model, state.run.kv, pane);
    parts_legend(state, pane);
}

/// Bytes of the middle by width where there is space, for plans with coded widths.
fn by_width(model: &ModelView, now: CacheBytes, pane: &mut Pane<'_>) {
    let Some(widths) = &model.widths else { return };
    if pane.area.height > 12 && now.middle_k + now.middle_v > 0 {
        pane.row("K by bits", widths.divided(0, now.middle_k));
        pane.row("V by bits", widths.divided(1, now.middle_v));
    }
    if pane.area.height > 8 {
        pane.row("middle", format!("{:.1} % of dense f16", widths.share * 100.0));
    }
}

/// Label, bar by part, and total.
pub fn bar_row(state: &State, pane: &mut Pane<'_>, label: &str, bytes: CacheBytes, whole: usize) {
    let Some(area) = pane.take(1) else { return };
    let theme = &state.theme;
    put(pane.buffer, area, 0, 0, Line::styled(format!("{label:<8}"), theme.style(Role::Dim)));
    let bar = Rect { x: area.x + 8, width: area.width.saturating_sub(19), ..area };
    let part =
        |size: usize, glyph, role| BarPart { size: size as f64, glyph, color: theme.color(role) };
    let parts = [
        part(bytes.middle_k, "█", Role::Keys),
        part(bytes.middle_v, "▓", Role::Values),
        part(bytes.window_k + bytes.window_v, "▒", Role::Window),
    ];
    stacked(&parts, whole as f64, bar, pane.buffer);
    let total = numbers::bytes(bytes.total() as u64);
    put(
        pane.buffer,
        area,
        area.width.saturating_sub(10),
        0,
        Line::styled(format!("{total:>10}"), theme.style(Role::Text)),
    );
}

fn parts_legend(state: &State, pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let (k, v) = match pane.area.width {
        0..37 => ("█ K  ", "▓ V  "),
        _ => ("█ K middle  ", "▓ V middle  "),
    };
    pane.line(Line::from(vec![
        Span::styled(k, theme.style(Role::Keys)),
        Span::styled(v, theme.style(Role::Values)),
        Span::styled("▒ sink+recent", theme.style(Role::Window)),
    ]));
}

/// How much less than the dense cache it is, as a sentence.
pub fn less(state: &State, pane: &mut Pane<'_>, now: CacheBytes, dense: CacheBytes) {
    let less = dense.total().saturating_sub(now.total());
    let share = 100.0 * less as f64 / dense.total().max(1) as f64;
    let text = match less {
        0 => "no fewer bytes: no middle token yet".to_owned(),
        _ => {
            let bytes = numbers::bytes(less as u64);
            let forms = [
                format!("{bytes} = {share:.1} % fewer bytes"),
                format!("{share:.1} % fewer bytes"),
            ];
            best(usize::from(pane.area.width), forms)
        }
    };
    let role = if less > 0 { Role::Good } else { Role::Dim };
    pane.line(Line::styled(text, state.theme.style(role)));
}
