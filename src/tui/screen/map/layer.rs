//! One layer: a band per KV head with every channel, the mask below it, and what the head keeps.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::mask::WidthCounts;
use crate::tui::app::shader::Shader;
use crate::tui::app::state::State;
use crate::tui::app::{strips, widths};
use crate::tui::color::Role;
use crate::tui::paint::{number, placeholder, put, wavelength};
use crate::tui::screen::map::layout;
use crate::tui::screen::map::layout::{BAND_LABEL, Bands};
use crate::tui::widget::Heatmap;

/// Draws the layer level of the map.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(shader) = Shader::of(state) else { return placeholder(state, area, buffer) };
    let shape = shader.model.shape();
    let layer = state.at.layer.min(shape.layers - 1);
    let bands = layout::bands(state, area, shape);
    put(buffer, area, 0, 0, title(state, &shader, layer, area.width));
    for head in bands.heads.clone() {
        if let Some(band) = bands.band(head) {
            draw_band(state, &shader, &bands, layer, head, band, buffer);
        }
    }
    frequencies(state, &bands, area, buffer);
}

fn title(state: &State, shader: &Shader<'_>, layer: usize, width: u16) -> Line<'static> {
    let statistics = &shader.model.statistics;
    let kept = statistics.kept_per_layer[layer];
    let all = shader.model.shape().kv_heads * shader.model.shape().head_dim;
    let dropped = statistics.dropped_heads_per_layer[layer];
    let mut text =
        format!("keeps {kept} of {all} channels ({:.0} %)", 100.0 * kept as f64 / all as f64);
    if dropped > 0 {
        text += &format!(" · {dropped} dropped");
    }
    if shader.model.widths.is_some() {
        let (plan, head) = (shader.model.plan(), state.at.head);
        let k = (0..plan.shape().kv_heads).flat_map(|head| plan.k(layer, head));
        let (own, v) = (WidthCounts::of(plan.k(layer, head)), plan.v(layer, head));
        text = format!("h{head} V {v} bits · K {own}");
        // All heads come where they fit, rather than cut off.
        let all = format!("   all heads {}", WidthCounts::of(k));
        if text.chars().count() + all.chars().count() + 12 <= usize::from(width) {
            text += &all;
        }
    }
    Line::from(vec![
        Span::styled(format!(" layer {layer}  "), state.theme.style(Role::Title)),
        Span::styled(text, state.theme.style(Role::Dim)),
    ])
}

fn draw_band(
    state: &State,
    shader: &Shader<'_>,
    bands: &Bands,
    layer: usize,
    head: usize,
    band: Rect,
    buffer: &mut Buffer,
) {
    let theme = &state.theme;
    let shape = shader.model.shape();
    let selected = head == state.at.head;
    let style = if selected { theme.style(Role::Accent) } else { theme.style(Role::Dim) };
    let mark = if selected { "▸" } else { " " };
    put(buffer, band, 0, 0, Line::styled(format!("{mark}h{head}"), style));
    let draft = state.screens.tune.as_ref().map(|tuning| tuning.draft());
    if draft.is_some_and(|draft| draft.is_locked(shape, layer, head)) {
        put(buffer, band, BAND_LABEL - 2, 0, Line::styled("■", theme.style(Role::Warn)));
    }
    let kept = shader.model.kept(layer, head);
    put(
        buffer,
        band,
        1,
        1,
        Line::styled(format!("{kept}/{}", shape.head_dim), theme.style(Role::Dim)),
    );
    if let Some(table) = shader.model.table(shader.metric).filter(|_| band.height > 4) {
        let largest =
            table.head(layer, head).iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
        put(buffer, band, 1, 2, Line::styled(number(largest), theme.style(Role::Dim)));
    }
    let table_rows = u16::from(shader.model.table(shader.metric).is_some() && band.height > 4);
    if shader.model.widths.is_some() && band.height > 2 + table_rows {
        let text = format!("V {}", shader.model.plan().v(layer, head));
        put(buffer, band, 1, 2 + table_rows, Line::styled(text, theme.style(Role::Dim)));
    }
    // The picture takes the rows that the mask row and a blank row leave.
    let rows = band.height.saturating_sub(if band.height > 3 { 2 } else { 1 }).max(1);
    let picture = Rect { x: band.x + BAND_LABEL, width: bands.columns, height: rows, ..band };
    let pairs = shape.pairs();
    let of = |x: u16, lower: bool| {
        let offset = if lower { pairs } else { 0 };
        let at = strips::pairs_at(pairs, bands.columns, x);
        at.start + offset..at.end + offset
    };
    let pixel = |x: u16, y: u16| shader.pool(layer, head, of(x, y >= rows));
    Heatmap::new(theme, pixel).crossed(shader.is_dropped(layer, head)).render(picture, buffer);
    if band.height > 2 {
        mask_row(
            state,
            shader,
            layer,
            head,
            Rect { y: picture.bottom(), height: 1, ..picture },
            of,
            buffer,
        );
    }
    if selected {
        let column = (state.at.channel % pairs.max(1)) * usize::from(bands.columns) / pairs.max(1);
        let x = picture.x + column as u16;
        let y =
            if state.at.channel >= pairs && rows > 1 { picture.bottom() - 1 } else { picture.y };
        let cell = &mut buffer[(x, y)];
        // Red, because no colour map contains it.
        cell.set_symbol("◆").set_fg(theme.color(Role::Bad)).modifier.insert(Modifier::BOLD);
    }
}

/// Which channels are kept: both of the pair, one of them, or none. Of a plan with coded widths, the
/// bits of both.
fn mask_row(
    state: &State,
    shader: &Shader<'_>,
    layer: usize,
    head: usize,
    row: Rect,
    of: impl Fn(u16, bool) -> std::ops::Range<usize>,
    buffer: &mut Buffer,
) {
    let kept = shader.model.mask.head(layer, head);
    for x in 0..row.width {
        let share = |lower: bool| of(x, lower).filter(|&channel| kept[channel]).count() > 0;
        let (symbol, role) = match (share(false), share(true)) {
            _ if shader.model.widths.is_some() => {
                let widths = shader.model.plan().k(layer, head);
                let channels = of(x, false).chain(of(x, true));
                (widths::letter(channels.map(|channel| widths[channel])), Role::Dim)
            }
            (true, true) => ("█", Role::Dim),
            (true, false) => ("▀", Role::Dim),
            (false, true) => ("▄", Role::Dim),
            (false, false) => ("·", Role::Border),
        };
        let cell = &mut buffer[(row.x + x, row.y)];
        cell.set_symbol(symbol).set_style(state.theme.style(role));
        let is_edited = |channel: usize| {
            state.screens.tune.as_ref().is_some_and(|tuning| {
                tuning.draft().pin(tuning.sources().shape, layer, head, channel).is_some()
            })
        };
        if of(x, false).chain(of(x, true)).any(is_edited) {
            cell.modifier.insert(Modifier::UNDERLINED);
        }
    }
}

/// Wavelengths below the bands.
fn frequencies(state: &State, bands: &Bands, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return };
    let y = area.height.saturating_sub(1);
    let pairs = model.shape().pairs();
    put(buffer, area, 1, y, Line::styled("λ tok", state.theme.style(Role::Dim)));
    for tick in 0..=4 {
        let pair = (pairs - 1) * tick / 4;
        let text = wavelength(model.info.wavelengths[pair]);
        let column = (pair * usize::from(bands.columns) / pairs) as u16;
        let x = (BAND_LABEL + column).min(area.width.saturating_sub(text.len() as u16 + 1));
        put(buffer, area, x, y, Line::styled(text, state.theme.style(Role::Dim)));
    }
}
