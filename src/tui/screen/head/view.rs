//! One head: its pairs on the frequency axis, what the mask keeps, and the energy of queries and
//! keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::mask::WidthCounts;
use crate::tui::app::model::ModelView;
use crate::tui::app::shader::head_metric;
use crate::tui::app::state::State;
use crate::tui::app::table::{Metric, Table};
use crate::tui::app::widths;
use crate::tui::color::{ColorDepth, Role};
use crate::tui::fitting::{best, facts};
use crate::tui::paint::{number, placeholder, put, wavelength};
use crate::tui::screen::Screen;
use crate::tui::screen::head::layout::{HEAD_LABEL, HeadChart};
use crate::tui::screen::head::{attention, layout};
use crate::tui::widget::{Bar, columns};

/// Draws the head screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return placeholder(state, area, buffer) };
    if state.screens.head.is_open() && state.screen == Screen::Head {
        put(buffer, area, 0, 0, title(state, model, area.width));
        return attention::render(state, model, area, buffer);
    }
    let chart = layout::head_chart(state, area, model.shape());
    put(buffer, area, 0, 0, title(state, model, area.width));
    match head_metric(state, model) {
        Some((metric, table)) => {
            put(buffer, area, 1, 1, subtitle(state, metric, area.width.saturating_sub(2)));
            // The bars have this head's own scale: heads differ by orders of magnitude.
            if let Some(own) = table.of_head(state.at.layer, state.at.head) {
                bars(state, model, metric, &own, &chart, buffer);
            }
        }
        None => put(
            buffer,
            area,
            1,
            1,
            Line::styled("no figures yet: they come with the prompt", state.theme.style(Role::Dim)),
        ),
    }
    let mut y = chart.bars.bottom();
    axis(state, model, &chart, y, buffer);
    y += 2;
    mask_rows(state, model, &chart, y, buffer);
    y += 2;
    if chart.energy > 0 {
        energies(state, model, &chart, y, buffer);
    }
    cursor(state, model, &chart, area, buffer);
}

/// Breadcrumbs of the selected place.
pub fn crumbs(state: &State) -> Vec<String> {
    let at = state.at;
    vec![format!("L{}", at.layer), format!("h{}", at.head), format!("ch {}", at.channel)]
}

/// File name of an export.
pub fn file_stem(state: &State) -> String {
    format!("l{}h{}", state.at.layer, state.at.head)
}

fn title(state: &State, model: &ModelView, width: u16) -> Line<'static> {
    let (layer, head, group) = (state.at.layer, state.at.head, model.group());
    let kept = model.kept(layer, head);
    let serves = match group {
        1 => vec![format!("serves query head {head}"), format!("q {head}")],
        _ => {
            let heads = format!("{}–{}", head * group, (head + 1) * group - 1);
            vec![format!("serves query heads {heads}"), format!("q {heads}")]
        }
    };
    let keeps = match kept {
        0 => vec!["dropped: nothing of its middle is stored".to_owned(), "dropped".to_owned()],
        _ if model.widths.is_some() => {
            let plan = model.plan();
            let k = WidthCounts::of(plan.k(layer, head));
            vec![format!("K bits {k} · V {} bits", plan.v(layer, head))]
        }
        kept => vec![
            format!("keeps {kept} of {} channels", model.shape().head_dim),
            format!("keeps {kept}/{}", model.shape().head_dim),
        ],
    };
    let mut marks = Vec::new();
    if let Some(draft) = state.screens.tune.as_ref().map(|tuning| tuning.draft()) {
        if draft.is_locked(model.shape(), layer, head) {
            marks.push(Span::styled(" · ■ locked", state.theme.style(Role::Warn)));
        }
        let edited = draft.pinned(model.shape(), layer, head);
        if edited > 0 {
            let style = state.theme.style(Role::Warn).add_modifier(Modifier::UNDERLINED);
            marks.extend([Span::raw(" · "), Span::styled(format!("{edited} edited"), style)]);
        }
    }
    let place = format!(" L{layer} · h{head}  ");
    let taken = place.chars().count() + Line::from(marks.clone()).width();
    let about = facts(&[keeps, serves], usize::from(width).saturating_sub(taken));
    let mut spans = vec![
        Span::styled(place, state.theme.style(Role::Title)),
        Span::styled(about, state.theme.style(Role::Dim)),
    ];
    spans.extend(marks);
    Line::from(spans)
}

/// The legend of the bars, and what they show in as many words as fit.
fn subtitle(state: &State, metric: Metric, width: u16) -> Line<'static> {
    let theme = &state.theme;
    let scale = state.scales[metric as usize].name();
    let dim = theme.style(Role::Dim);
    let [long, short] =
        [[" channel i  ", " partner  ", " pruned   "], [" i ", " partner ", " pruned  "]];
    let shown = [
        format!("{} ({scale}): {}", metric.name(), metric.unit()),
        format!("{} ({scale})", metric.name()),
    ];
    // Each legend has three signs.
    let taken = |legend: &[&str; 3]| 3 + legend.concat().chars().count();
    let room = |legend: &[&str; 3]| usize::from(width).saturating_sub(taken(legend));
    let legend = if shown[0].chars().count() <= room(&long) { long } else { short };
    let shown = best(room(&legend), shown);
    let [own, partner, dropped] = legend;
    let pruned_mark = if theme.depth <= ColorDepth::None { "░" } else { "█" };
    Line::from(vec![
        Span::styled("█", theme.style(Role::Keys)),
        Span::styled(own, dim),
        Span::styled("█", theme.style(Role::Partner)),
        Span::styled(partner, dim),
        Span::styled(pruned_mark, pruned(state)),
        Span::styled(format!("{dropped}{shown}"), dim),
    ])
}

/// Pruned channels are dim, whatever their colour was.
fn pruned(state: &State) -> Style {
    state.theme.style(Role::Border)
}

/// Bars of every pair: side by side where a pair has two columns or more, otherwise the larger one.
fn bars(
    state: &State,
    model: &ModelView,
    metric: Metric,
    table: &Table,
    chart: &HeadChart,
    buffer: &mut Buffer,
) {
    let (layer, head) = (state.at.layer, state.at.head);
    let (values, kept) = (table.values(), model.mask.head(layer, head));
    let scale = state.scales[metric as usize];
    let (per_pair, pairs) = (chart.per_pair(), chart.pairs);
    columns(chart.bars, buffer, |x| {
        let pair = chart.pairs_of(x).start;
        let within = x - chart.column_of(pair);
        // From three columns on, the last one is a gap.
        let half = match per_pair {
            1 => None,
            n if n >= 3 && within == n - 1 => return None,
            n => Some(within >= n.div_ceil(2) - u16::from(n >= 3 && n % 2 == 1)),
        };
        let channels = chart.pairs_of(x).flat_map(|pair| [pair, pair + pairs]);
        let of_half = |channel: &usize| half.is_none_or(|second| (*channel >= pairs) == second);
        let largest = channels
            .filter(of_half)
            .filter(|&c| values[c].is_finite())
            .max_by(|&a, &b| values[a].total_cmp(&values[b]))?;
        let style = match (kept[largest], largest >= pairs) {
            (false, _) => pruned(state),
            (true, false) => state.theme.style(Role::Keys),
            (true, true) => state.theme.style(Role::Partner),
        };
        let shaded = !kept[largest] && state.theme.depth <= ColorDepth::None;
        Some(Bar { share: table.share(values[largest], scale), style, shaded })
    });
    scale_labels(state, metric, table, chart, buffer);
    threshold(state, model, metric, table, chart, buffer);
}

fn scale_labels(
    state: &State,
    metric: Metric,
    table: &Table,
    chart: &HeadChart,
    buffer: &mut Buffer,
) {
    let scale = state.scales[metric as usize];
    let labels = Rect { x: chart.bars.x - HEAD_LABEL, width: HEAD_LABEL, ..chart.bars };
    for (share, y) in
        [(1.0, 0), (0.5, chart.bars.height / 2), (0.0, chart.bars.height.saturating_sub(1))]
    {
        let text = format!("{:>6} ┤", number(table.at(share, scale)));
        put(buffer, labels, 0, y, Line::styled(text, state.theme.style(Role::Dim)));
    }
}

/// The lowest score that this head keeps, where the bars show what the mask was selected by.
fn threshold(
    state: &State,
    model: &ModelView,
    metric: Metric,
    table: &Table,
    chart: &HeadChart,
    buffer: &mut Buffer,
) {
    if metric != Metric::Importance || chart.bars.height == 0 {
        return;
    }
    let (layer, head) = (state.at.layer, state.at.head);
    let scores = table.values().iter().zip(model.mask.head(layer, head));
    let Some(lowest) =
        scores.filter(|(_, kept)| **kept).map(|(score, _)| *score).min_by(f32::total_cmp)
    else {
        return;
    };
    let share = table.share(lowest, state.scales[metric as usize]);
    let up = (share * f32::from(chart.bars.height)) as u16;
    let y = chart.bars.bottom() - 1 - up.min(chart.bars.height - 1);
    let style = state.theme.style(Role::Warn);
    for x in chart.bars.left()..chart.bars.right() {
        if buffer[(x, y)].symbol() == " " {
            buffer[(x, y)].set_symbol("╌").set_style(style);
        }
    }
    let label = Rect { x: chart.bars.x - HEAD_LABEL, y, width: HEAD_LABEL, height: 1 };
    put(buffer, label, 0, 0, Line::styled(format!("{:>6} ┤", number(lowest)), style));
}

/// Pair numbers, with their wavelengths below.
fn axis(state: &State, model: &ModelView, chart: &HeadChart, y: u16, buffer: &mut Buffer) {
    let dim = state.theme.style(Role::Dim);
    let row = |y: u16| Rect {
        x: chart.bars.x - HEAD_LABEL,
        y,
        width: chart.bars.width + HEAD_LABEL + 4,
        height: 1,
    };
    put(buffer, row(y), 0, 0, Line::styled("   pair ", dim));
    put(buffer, row(y + 1), 0, 0, Line::styled(" λ tok  ", dim));
    let ticks = if chart.columns >= 60 { 8 } else { 4 };
    let mut free = 0;
    for tick in 0..=ticks {
        let pair = (chart.pairs - 1) * tick / ticks;
        let length = wavelength(model.info.wavelengths[pair]);
        let x = HEAD_LABEL + chart.column_of(pair);
        if x < free {
            continue;
        }
        free = x + length.len().max(3) as u16 + 1;
        put(buffer, row(y), x, 0, Line::styled(pair.to_string(), dim));
        put(buffer, row(y + 1), x, 0, Line::styled(length, dim));
    }
}

/// One row per half: a block for a kept channel, a dot for a pruned one, or the bits of a channel.
fn mask_rows(state: &State, model: &ModelView, chart: &HeadChart, y: u16, buffer: &mut Buffer) {
    let (layer, head) = (state.at.layer, state.at.head);
    let kept = model.mask.head(layer, head);
    let first = if model.widths.is_some() { "bits  i " } else { "kept  i " };
    for (half, label) in [first, "partner "].into_iter().enumerate() {
        let area =
            Rect { x: chart.bars.x - HEAD_LABEL, y: y + half as u16, width: HEAD_LABEL, height: 1 };
        put(buffer, area, 0, 0, Line::styled(label, state.theme.style(Role::Dim)));
        for x in 0..chart.columns {
            let edited = state.screens.tune.as_ref().is_some_and(|tuning| {
                let is_edited = |pair: usize| {
                    tuning
                        .draft()
                        .pin(model.shape(), layer, head, pair + half * chart.pairs)
                        .is_some()
                };
                chart.pairs_of(x).any(is_edited)
            });
            let all = chart.pairs_of(x).len();
            let count = chart.pairs_of(x).filter(|pair| kept[pair + half * chart.pairs]).count();
            let (symbol, role) = match count {
                _ if model.widths.is_some() => {
                    let channels = chart.pairs_of(x).map(|pair| pair + half * chart.pairs);
                    let widths = model.plan().k(layer, head);
                    let role = if half == 0 { Role::Keys } else { Role::Partner };
                    (widths::letter(channels.map(|channel| widths[channel])), role)
                }
                0 => ("·", Role::Border),
                n if n == all => ("█", if half == 0 { Role::Keys } else { Role::Partner }),
                _ => ("▄", if half == 0 { Role::Keys } else { Role::Partner }),
            };
            let place = (chart.bars.x + x, y + half as u16);
            if buffer.area.contains(place.into()) {
                buffer[place].set_symbol(symbol).set_style(state.theme.style(role));
                if edited {
                    buffer[place].modifier.insert(Modifier::UNDERLINED);
                }
            }
        }
    }
}

/// Energy of queries and keys per pair, each on its own scale.
fn energies(state: &State, model: &ModelView, chart: &HeadChart, y: u16, buffer: &mut Buffer) {
    let detail = state
        .run
        .head
        .as_ref()
        .filter(|head| (head.layer, head.head) == (state.at.layer, state.at.head));
    let pairs = chart.pairs;
    for (index, label) in ["live q²", "live k²"].into_iter().enumerate() {
        let top = y + 1 + index as u16 * chart.energy;
        let area = Rect { y: top, height: chart.energy, ..chart.bars };
        let text = Rect {
            x: chart.bars.x - HEAD_LABEL,
            y: area.bottom() - 1,
            width: HEAD_LABEL,
            height: 1,
        };
        put(buffer, text, 0, 0, Line::styled(label, state.theme.style(Role::Dim)));
        let energy =
            detail.map(|detail| if index == 0 { &detail.q_energy } else { &detail.k_energy });
        let Some(energy) = energy.filter(|energy| energy.len() == model.shape().head_dim) else {
            continue;
        };
        let of = |x: u16| {
            chart.pairs_of(x).map(|pair| energy[pair] + energy[pair + pairs]).fold(0.0, f32::max)
        };
        let largest = (0..chart.columns).map(of).fold(0.0, f32::max);
        let style = state.theme.style(if index == 0 { Role::Attention } else { Role::Keys });
        columns(area, buffer, |x| {
            (largest > 0.0).then(|| Bar { share: of(x) / largest, style, shaded: false })
        });
    }
}

/// A mark above and below the selected pair.
fn cursor(state: &State, model: &ModelView, chart: &HeadChart, area: Rect, buffer: &mut Buffer) {
    let pair = state.at.channel % model.shape().pairs();
    let style = state.theme.style(Role::Accent).add_modifier(Modifier::REVERSED);
    let y = chart.bars.bottom();
    let (x, width) = (chart.bars.x + chart.column_of(pair), chart.per_pair());
    let text = format!("{pair}");
    let label = Rect {
        x,
        y,
        width: (text.len() as u16).max(width).min(area.right().saturating_sub(x)),
        height: 1,
    };
    put(
        buffer,
        label,
        0,
        0,
        Line::styled(format!("{text:<width$}", width = usize::from(width)), style),
    );
}
