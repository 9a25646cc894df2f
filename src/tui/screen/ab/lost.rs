//! What the step at the cursor lost in one query head: attention mass by part, logits, and tokens
//! that lost rank.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::decode::lost::{Lost, LostToken};
use crate::numbers::{count, nats, plain};
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::app::suffered;
use crate::tui::app::text_lines::visible;
use crate::tui::color::Role;
use crate::tui::fitting::{best, fitted};
use crate::tui::paint::put;
use crate::tui::screen::ab::update::at;
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{BarPart, stacked};

/// Largest number of tokens shown for their attention weight.
const WEIGHTY: usize = 10;

/// Draws the pane.
pub fn render(state: &State, model: &ModelView, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut pane = Pane::new(area, theme, buffer);
    let query = state.at.head * model.group() + state.screens.ab.query.min(model.group() - 1);
    let kept = model.kept(state.at.layer, state.at.head);
    let (layer, head, dim) = (state.at.layer, state.at.head, model.shape().head_dim);
    let note = match area.width {
        60.. => format!("L{layer} q{query} of KV head {head}, keeps {kept}/{dim}"),
        _ => format!("L{layer} q{query} of h{head}"),
    };
    pane.title("what the step lost", &note);
    let n = at(state);
    // While the cursor follows the text, the answer is a few tokens old, and the pane says so.
    let is_wanted = |lost: &&Lost| {
        let same_head = (lost.asked.layer, lost.asked.head) == (layer, query);
        state.replay || same_head && (lost.asked.n == n || state.screens.ab.cursor.is_none())
    };
    let asked = state.run.pairs.lost.as_ref().filter(is_wanted);
    if let Some(why) = why_nothing(state, n) {
        why.iter().for_each(|line| pane.note(*line));
        return worst_tokens(state, &mut pane);
    }
    match asked {
        None if state.replay => pane.note("the recording does not say"),
        None => pane.note("the engine is asked"),
        Some(lost) => {
            if lost.asked.n != n {
                let (own, cursor) = (count(lost.asked.n), count(n));
                let forms = [
                    format!("of token {own}; the cursor is on {cursor}, which is asked next"),
                    format!("of token {own}; {cursor} is asked next"),
                    format!("of token {own}, not {cursor} yet"),
                    format!("of {own}"),
                ];
                pane.note(best(usize::from(area.width), forms));
            }
            masses(state, lost, &mut pane);
            tokens(state, lost, &mut pane);
        }
    }
}

/// Why there is nothing to say of a step, in lines; `None` where there is.
pub(in crate::tui::screen) fn why_nothing(
    state: &State,
    n: usize,
) -> Option<&'static [&'static str]> {
    if n < 2 {
        return Some(&["nothing: the exact prefill gave the first token"]);
    }
    if !state.run.is_step(n) {
        return Some(&[
            "nothing to repeat: reading a turn gave this token,",
            "or it belongs to an earlier answer",
        ]);
    }
    let differ = !state.run.pairs.together_before(n);
    differ.then_some(&["the texts differ before this token", "(f feeds both the same)"])
}

/// In place of a step: the tokens that suffered most, with the text around them.
fn worst_tokens(state: &State, pane: &mut Pane<'_>) {
    if pane.area.height < 4 {
        return;
    }
    let key = state.keys.key_of(KeyContext::Global, Command::Suffered).unwrap_or_default();
    pane.title("suffered most", &format!("{key} lists all"));
    let room = usize::from(pane.area.width).saturating_sub(16);
    for entry in suffered::entries(state).iter().take(usize::from(pane.area.height)) {
        let theme = &state.theme;
        pane.line(Line::from(vec![
            Span::styled(format!("{:>7} ", entry.keys), theme.style(Role::Dim)),
            Span::styled(format!("{:<7} ", entry.title), theme.style(Role::Text)),
            Span::styled(suffered::in_columns(&entry.about, room), theme.style(Role::Dim)),
        ]));
    }
}

/// Attention mass of sink, middle and recent, with all channels and under the mask or plan.
fn masses(state: &State, lost: &Lost, pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let roles = [(Role::Window, "▒"), (Role::Attention, "█"), (Role::Window, "▓")];
    let planned = state.model.as_ref().is_some_and(|model| model.widths.is_some());
    let under = if planned { "plan" } else { "masked" };
    for (name, mass) in [("exact", lost.exact), (under, lost.pruned)] {
        let Some(row) = pane.take(1) else { return };
        put(pane.buffer, row, 0, 0, Line::styled(format!("{name:<7}"), theme.style(Role::Dim)));
        let [sink, middle, recent] = mass.map(|share| plain(share * 100.0, 1));
        let text = format!(" {sink:>4} {middle:>4} {recent:>4} %");
        let width = text.chars().count() as u16;
        let bar = Rect { x: row.x + 7, width: row.width.saturating_sub(7 + width), ..row };
        let part = |(&size, (role, glyph)): (&f64, (Role, &'static str))| BarPart {
            size,
            glyph,
            color: theme.color(role),
        };
        let parts: Vec<BarPart> = mass.iter().zip(roles).map(part).collect();
        stacked(&parts, 1.0, bar, pane.buffer);
        put(
            pane.buffer,
            row,
            row.width.saturating_sub(width),
            0,
            Line::styled(text, theme.style(Role::Text)),
        );
    }
    let kld = lost.kld.map_or_else(
        || "∞: tokens with weight are not seen".to_owned(),
        |kld| format!("{} nats", nats(kld)),
    );
    let legend = Line::from(vec![
        Span::styled("▒ sink ", theme.style(Role::Window)),
        Span::styled("█ middle ", theme.style(Role::Attention)),
        Span::styled("▓ recent  ", theme.style(Role::Window)),
    ]);
    let mut figures = vec![
        Span::styled("KL ", theme.style(Role::Dim)),
        Span::styled(kld, theme.style(Role::Text)),
    ];
    // A dropped head has no logits in the middle that could change.
    if lost.kld.is_some() {
        figures.push(Span::styled("  middle logits ±", theme.style(Role::Dim)));
        figures.push(Span::styled(nats(lost.logit_rms), theme.style(Role::Text)));
    }
    let figures = Line::from(figures);
    // On a narrow pane only the columns of percentages are shown.
    if legend.width() + figures.width() <= usize::from(pane.area.width) {
        pane.line(Line::from_iter(legend.spans.into_iter().chain(figures.spans)));
    } else {
        pane.line(figures);
    }
}

/// Columns of a row with logits, and between two lists of them.
const ROW: u16 = 62;
const BETWEEN: u16 = 4;

/// The names of the columns.
fn head(wide: bool) -> String {
    match wide {
        true => format!("{:<13}{:>7} {:<15}{:<14}rank", "token", "at", "weight", "logit"),
        false => format!("{:<10}{:>7} {:<15}rank", "token", "at", "weight"),
    }
}

/// The tokens by weight, and beside them by what they lost.
fn both_orders(state: &State, lost: &Lost, pane: &mut Pane<'_>) {
    let half = (pane.area.width - BETWEEN) / 2;
    let left = Rect { width: half, ..pane.area };
    let right = Rect { x: left.right() + BETWEEN, ..left };
    let loss = |token: &LostToken| token.exact_weight - token.pruned_weight;
    let mut all: Vec<&LostToken> = lost.tokens.iter().collect();
    for (area, name, by_loss) in [(left, "by weight", false), (right, "by loss", true)] {
        match by_loss {
            true => all.sort_by(|x, y| loss(y).total_cmp(&loss(x))),
            false => all.sort_by_key(|token| token.exact_rank),
        }
        let mut own = Pane::new(area, &state.theme, pane.buffer);
        own.title(name, "");
        own.note(head(true));
        for token in &all {
            let Some(row) = own.take(1) else { break };
            put(own.buffer, row, 0, 0, line(state, token, true));
        }
    }
}

/// The tokens with the largest weights and those that lost the most: exact value → under the mask.
fn tokens(state: &State, lost: &Lost, pane: &mut Pane<'_>) {
    if pane.area.width >= 2 * ROW + BETWEEN && pane.area.height > 4 {
        return both_orders(state, lost, pane);
    }
    let wide = pane.area.width >= ROW;
    pane.note(head(wide));
    // Half of the rows for the tokens with the largest weights, the rest for those that lost the
    // most.
    let rows = usize::from(pane.area.height);
    let mut rest: Vec<&LostToken> = lost.tokens.iter().collect();
    rest.sort_by_key(|token| token.exact_rank);
    let mut shown: Vec<&LostToken> =
        rest.drain(..rest.len().min(rows.div_ceil(2).min(WEIGHTY))).collect();
    let loss = |token: &LostToken| token.exact_weight - token.pruned_weight;
    rest.sort_by(|x, y| loss(y).total_cmp(&loss(x)));
    shown.extend(rest.into_iter().take(rows - shown.len()));
    for token in shown {
        let Some(row) = pane.take(1) else { return };
        put(pane.buffer, row, 0, 0, line(state, token, wide));
    }
}

fn line(state: &State, token: &LostToken, wide: bool) -> Line<'static> {
    let theme = &state.theme;
    let text = fitted(visible(&token.text), if wide { 12 } else { 9 });
    let weight = |w: f64| {
        if w >= 0.0995 { format!("{:.0} %", w * 100.0) } else { format!("{:.1} %", w * 100.0) }
    };
    let pruned_weight = if token.pruned_logit.is_some() {
        weight(token.pruned_weight)
    } else {
        "unseen".to_owned()
    };
    let weights = format!("{:>5} → {:<6}", weight(token.exact_weight), pruned_weight);
    let fell = token.pruned_rank > token.exact_rank;
    // Without spaces ranks of five digits fit a row, and one of six half of 80 columns.
    let ranks = format!("{}→{}", count(token.exact_rank), count(token.pruned_rank));
    let place = if token.middle { Role::Text } else { Role::Dim };
    let mut spans = Vec::new();
    if wide {
        let logit = token.pruned_logit.map_or("–".to_owned(), |logit| plain(logit, 2));
        let logits = format!("{:>6}→{logit:<6}", plain(token.exact_logit, 2));
        spans.push(Span::styled(format!("{text:<13}"), theme.style(Role::Text)));
        spans.push(Span::styled(format!("{:>7} ", count(token.position)), theme.style(place)));
        spans.push(Span::styled(format!("{weights:<15}"), theme.style(Role::Text)));
        spans.push(Span::styled(format!("{logits:<14}"), theme.style(Role::Dim)));
    } else {
        spans.push(Span::styled(format!("{text:<10}"), theme.style(Role::Text)));
        spans.push(Span::styled(format!("{:>7} ", count(token.position)), theme.style(place)));
        spans.push(Span::styled(format!("{weights:<14} "), theme.style(Role::Text)));
    }
    spans.push(Span::styled(ranks, theme.style(if fell { Role::Warn } else { Role::Dim })));
    Line::from(spans)
}
