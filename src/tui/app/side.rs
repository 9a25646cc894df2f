//! The side panel: the selection, the current screen's own part, memory, speed, and the text as it
//! is generated.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::mask::WidthCounts;
use crate::model::additions::Rotation;
use crate::numbers::rate;
use crate::spread::p99_name;
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::memory::memory_now;
use crate::tui::app::model::ModelView;
use crate::tui::app::shader::{Shader, bar_metric};
use crate::tui::app::state::State;
use crate::tui::app::{strips, text_lines};
use crate::tui::color::Role;
use crate::tui::paint::{number, put, wavelength};
use crate::tui::screen::Screen;
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Chart, Heatmap, meter};

/// Draws the panel: what all screens share, the screen's own part, and a small map of the model
/// unless the screen shows one itself.
pub fn render(
    state: &State,
    area: Rect,
    buffer: &mut Buffer,
    own: fn(&State, &ModelView, &mut Pane<'_>),
    shows_where: bool,
) {
    for y in area.top()..area.bottom() {
        buffer[(area.x, y)].set_symbol("│").set_style(state.theme.style(Role::Border));
    }
    let inner = Rect { x: area.x + 2, width: area.width.saturating_sub(3), ..area };
    let mut pane = Pane::new(inner, &state.theme, buffer);
    let Some(model) = &state.model else {
        pane.title("model", "");
        pane.note("figures come as soon as it is loaded");
        return;
    };
    selection(state, model, &mut pane);
    own(state, model, &mut pane);
    memory_now(state, model, &mut pane);
    speed(state, &mut pane);
    if shows_where {
        minimap(state, model, &mut pane);
    }
    tail(state, &mut pane);
}

/// The selected head, and the channel under the cursor.
fn selection(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    let (layer, head, channel) = (state.at.layer, state.at.head, state.at.channel);
    let shape = model.shape();
    let kept = model.kept(layer, head);
    pane.title(&format!("L{layer} · h{head}"), &head_note(model, head));
    let bits = model.mask.head(layer, head);
    let pairs = (0..shape.pairs())
        .map(|pair| usize::from(bits[pair]) + usize::from(bits[pair + shape.pairs()]));
    let both = pairs.clone().filter(|&n| n == 2).count();
    let one = pairs.filter(|&n| n == 1).count();
    pane.row(
        if model.widths.is_some() { "K bits" } else { "kept" },
        match kept {
            _ if model.widths.is_some() => WidthCounts::of(model.plan().k(layer, head)).to_string(),
            0 => "none: dropped, × on the map".to_owned(),
            _ => format!("{kept}/{} · {both} pairs, {one} halves", shape.head_dim),
        },
    );
    if model.widths.is_some() {
        pane.row("V", format!("{} bits", model.plan().v(layer, head)));
    }
    if let Some(exact) = model.exact.as_ref().filter(|_| model.widths.is_none()) {
        let exact = exact.kept_count(layer, head);
        let align = model.info.mask.as_ref().map_or(1, |mask| mask.align);
        pane.row(
            &format!("align {align}"),
            match kept as i64 - exact as i64 {
                0 => format!("{exact}, as without alignment"),
                more => format!("{more:+} to the {exact} without"),
            },
        );
    }
    let (now, dense) = model.head_bytes(layer, head);
    let [k, v] = now.map(per_token);
    pane.row("bytes", format!("K {k}/{} · V {v}/{} a token", dense.k, dense.v));
    let words = model.info.kind(layer).words();
    if !words.is_empty() {
        pane.rows("layer", &words);
    }
    if let Some((metric, table)) = bar_metric(state, model) {
        let values: Vec<f32> =
            table.head(layer, head).iter().copied().filter(|value| value.is_finite()).collect();
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        let largest = values.iter().copied().fold(0.0, f32::max);
        pane.row(metric.name(), format!("mean {} · max {}", number(mean), number(largest)));
        let pair = channel % shape.pairs();
        let state_of = model.stored_as(layer, head, channel);
        let value = number(table.head(layer, head)[channel]);
        pane.row(
            &format!("ch {channel}"),
            match model.info.kind(layer).rotation {
                Rotation::Usual => {
                    let turn = wavelength(model.info.wavelengths[pair]);
                    format!("{state_of} · {value} · λ {turn}")
                }
                _ => format!("{state_of} · {value}"),
            },
        );
    }
}

/// Bytes of a token; scales of a group of tokens can make it a fraction.
fn per_token(bytes: f64) -> String {
    if bytes.fract() == 0.0 { format!("{bytes}") } else { format!("{bytes:.1}") }
}

fn head_note(model: &ModelView, head: usize) -> String {
    match model.group() {
        1 => String::new(),
        group => format!("query heads {}–{}", head * group, (head + 1) * group - 1),
    }
}

/// Tokens per second with a sparkline.
fn speed(state: &State, pane: &mut Pane<'_>) {
    let run = &state.run;
    pane.title("speed", "measured");
    let Some(now) = run.rate() else {
        pane.note(state.awaited("comes with the next decode steps"));
        return;
    };
    let tpot =
        |quantile| run.tpot(quantile).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}"));
    // The rate is of the last steps, the quantiles below are of all.
    let recent = run.recent_steps();
    let forms = match recent < run.own_steps().len() {
        true => vec![format!("{}, last {recent} steps", rate(now)), rate(now)],
        false => vec![rate(now)],
    };
    pane.row_of("decode", forms);
    let tail = p99_name(run.own_steps().len());
    pane.row("TPOT", format!("p50 {} · {tail} {} ms", tpot(0.5), tpot(0.99)));
    if pane.area.height > 9
        && let Some(area) = pane.take(2)
    {
        let rates: Vec<f64> = run.steps.iter().map(|step| 1e3 / step.ms.total.max(1e-6)).collect();
        Chart::new(&rates, state.theme.style(Role::Speed)).render(area, pane.buffer);
    }
    if let Some(share) = run.attention_share() {
        let Some(area) = pane.take(1) else { return };
        put(pane.buffer, area, 0, 0, Line::styled("attention", state.theme.style(Role::Dim)));
        let bar = Rect { x: area.x + 11, width: area.width.saturating_sub(28), ..area };
        meter(share, state.theme.style(Role::Attention), bar, pane.buffer);
        let note = format!("{:>4.1} % of a step", share * 100.0);
        put(
            pane.buffer,
            area,
            area.width.saturating_sub(16),
            0,
            Line::styled(note, state.theme.style(Role::Text)),
        );
    }
}

/// A small map with one cell per head, which shows the selected place.
fn minimap(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    let Some(shader) = Shader::of(state) else { return };
    let shape = model.shape();
    let rows = (shape.layers as u16).div_ceil(2);
    // In a deep model, the text below gets the rows of the last layers.
    let shown = rows.min(pane.area.height.saturating_sub(8));
    if shown < 2 || shown < rows.min(6) {
        return;
    }
    pane.title("where", "a cell per head, two layers per row");
    let Some(area) = pane.take(shown) else { return };
    let first = strips::window(state.at.layer / 2, usize::from(shown), usize::from(rows)).start;
    let each = (area.width / shape.kv_heads as u16).clamp(1, 6);
    for (line, row) in (first..first + usize::from(shown)).enumerate() {
        for head in 0..shape.kv_heads.min(usize::from(area.width / each)) {
            let cell = Rect {
                x: area.x + head as u16 * each,
                y: area.y + line as u16,
                width: each,
                height: 1,
            };
            let pixel = |_: u16, y: u16| {
                let layer = (row * 2 + usize::from(y)).min(shape.layers - 1);
                shader.pool(layer, head, 0..shape.head_dim)
            };
            Heatmap::new(&state.theme, pixel).render(cell, pane.buffer);
            if row == state.at.layer / 2 && head == state.at.head {
                let middle = (cell.x + cell.width / 2, cell.y);
                let symbol = if state.at.layer.is_multiple_of(2) { "▀" } else { "▄" };
                pane.buffer[middle].set_symbol(symbol).set_fg(state.theme.color(Role::Bad));
            }
        }
    }
}

/// What the words of a screen mean, where there is room for all of them.
pub fn meanings(state: &State, words: &[(&str, &str)], pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let width = usize::from(pane.area.width);
    let lines: Vec<Line<'static>> = (words.iter())
        .flat_map(|(word, meaning)| {
            let meaning = format!(" {meaning}");
            let pieces =
                [(*word, theme.style(Role::Text)), (meaning.as_str(), theme.style(Role::Dim))];
            text_lines::wrap(pieces.into_iter(), width, 4_000)
        })
        .collect();
    if words.is_empty() || usize::from(pane.area.height) < lines.len() + 2 {
        return;
    }
    pane.title("words", "");
    lines.into_iter().for_each(|line| pane.line(line));
}

/// Words below a title, each beside what it means, as many as there is room for in whole.
pub fn defined(
    state: &State,
    (title, note): (&str, &str),
    words: &[(&str, &str)],
    pane: &mut Pane<'_>,
) {
    /// Most columns of the meanings, so that lines can be read.
    const MOST: usize = 120;
    let theme = &state.theme;
    let longest = words.iter().map(|(word, _)| word.chars().count()).max().unwrap_or(0) + 2;
    let room = usize::from(pane.area.width).saturating_sub(longest).min(MOST);
    // A title with nothing below it says nothing.
    if pane.area.height < 4 || room < 16 {
        return;
    }
    let fits = title.chars().count() + note.chars().count() + 3 <= usize::from(pane.area.width);
    pane.title(title, if fits { note } else { "" });
    for (word, meaning) in words {
        let text = std::iter::once((*meaning, theme.style(Role::Dim)));
        let lines = text_lines::wrap(text, room, 4_000);
        if lines.len() > usize::from(pane.area.height) {
            return;
        }
        for (at, mut line) in lines.into_iter().enumerate() {
            let word = if at == 0 { *word } else { "" };
            let name = Span::styled(format!("{word:<longest$}"), theme.style(Role::Text));
            line.spans.insert(0, name);
            pane.line(line);
        }
    }
}

/// The last lines of the text, in what is left of a pane.
pub fn tail(state: &State, pane: &mut Pane<'_>) {
    if pane.area.height < 3 {
        return;
    }
    let key = state.keys.key_of(KeyContext::Global, Command::Show(Screen::Text));
    let note = key.map_or_else(String::new, |key| format!("{key} opens"));
    pane.title("text", &note);
    let area = pane.area;
    for line in text_lines::tail(state, usize::from(area.width), usize::from(area.height)) {
        pane.line(line);
    }
}
