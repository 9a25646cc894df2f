//! What `i` says: the thing under the cursor in about two sentences, with its numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::numbers::count;
use crate::tui::app::model::ModelView;
use crate::tui::app::shader::{bar_metric, rank};
use crate::tui::app::state::State;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::Role;
use crate::tui::paint::{clear, number, put, wavelength};

/// Wavelengths below this many tokens tell positions apart more than they carry meaning.
const SHORT: f64 = 100.0;

/// The selected channel and its head.
pub fn channel(state: &State) -> Option<String> {
    let model = state.model.as_ref()?;
    let (layer, head, channel) = (state.at.layer, state.at.head, state.at.channel);
    let shape = model.shape();
    let (kept, dim) = (model.kept(layer, head), shape.head_dim);
    let place = format!("Channel {channel} of layer {layer}, KV head {head}");
    let what = match kept {
        0 => format!(
            "{place}, is not stored, because the whole head is dropped: of its middle tokens there are neither keys nor values, only those of sink and recent."
        ),
        _ if model.widths.is_some() => format!(
            "{place}, has {} in the middle; the head's V has {} bits.",
            model.stored_as(layer, head, channel),
            model.plan().v(layer, head)
        ),
        _ => format!(
            "{place}, is {}; of middle tokens the head keeps {kept} of {dim} channels.",
            model.stored_as(layer, head, channel)
        ),
    };
    Some(format!("{what} {}{}", turning(model, channel), value(state, model)?))
}

/// What the rotation says of a channel.
fn turning(model: &ModelView, channel: usize) -> String {
    let tokens = model.info.wavelengths[channel % model.shape().pairs()];
    let role = match tokens {
        t if t < SHORT => "so it tells near positions apart",
        _ => "so slowly that it carries meaning more than position",
    };
    format!("With its partner it turns once in {} tokens, {role}", wavelength(tokens))
}

/// The value of the metric shown, and its rank within the head.
fn value(state: &State, model: &ModelView) -> Option<String> {
    let Some((metric, table)) = bar_metric(state, model) else { return Some(".".to_owned()) };
    let values = table.head(state.at.layer, state.at.head);
    let own = *values.get(state.at.channel)?;
    if !own.is_finite() {
        return Some(format!("; it has no {}, because it is not stored.", metric.name()));
    }
    if values.iter().all(|&value| value == own) {
        let value = number(own);
        return Some(format!(
            "; its {} ({}) is {value}, as that of all channels of the head.",
            metric.name(),
            metric.unit()
        ));
    }
    Some(format!(
        "; its {} ({}) is {}, number {} of {} in the head.",
        metric.name(),
        metric.unit(),
        number(own),
        count(rank(values, own)),
        count(values.len())
    ))
}

/// Draws what is explained above the footer, until the next key.
pub fn render(state: &State, above: Rect, buffer: &mut Buffer) {
    let Some(text) = &state.explained else { return };
    let style = state.theme.style(Role::Text);
    let width = usize::from(above.width.saturating_sub(4));
    let lines = wrap(std::iter::once((text.as_str(), style)), width, 4_000);
    let rows = (lines.len() as u16 + 1).min(above.y);
    let area = Rect { y: above.y - rows, height: rows, ..above };
    clear(buffer, area, state.theme.bar());
    for x in area.left()..area.right() {
        buffer[(x, area.y)].set_symbol("─").set_style(state.theme.style(Role::Accent));
    }
    for (line, y) in lines.into_iter().zip(area.y + 1..area.bottom()) {
        put(buffer, Rect { y, height: 1, ..area }, 2, 0, line);
    }
}
