//! The first two rows and the last one: what is running, the current place, and the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::decode::session::Finish;
use crate::numbers::{count, rate};
use crate::tui::app::action::Command;
use crate::tui::app::chord::Chord;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::tabs::tab_places;
use crate::tui::app::{steer, story};
use crate::tui::color::Role;
use crate::tui::paint::{clear, put};

/// From this width on, the header uses its long forms.
const WIDE: u16 = 100;

/// Model, device, element types, context, mask and badge at the left; state and speed at the right.
pub fn header(state: &State, area: Rect, buffer: &mut Buffer) {
    clear(buffer, area, state.theme.bar());
    let theme = &state.theme;
    let wide = area.width >= WIDE;
    let right = status(state, wide);
    let right_width = right.width() as u16;
    let mut spans = vec![Span::styled(" kscope ", theme.style(Role::Accent))];
    let room = usize::from(area.width.saturating_sub(right_width + 1));
    let mut used = 8;
    for (forms, role) in facts(state, wide) {
        let gap = if used == 8 { "" } else { " · " };
        let width = |text: &String| gap.chars().count() + text.chars().count();
        // A fact that does not fit in its shortest form makes room for shorter ones after it.
        let Some(text) = forms.iter().find(|text| used + width(text) <= room) else { continue };
        used += width(text);
        spans.push(Span::styled(format!("{gap}{text}"), theme.style(role)));
    }
    put(buffer, area, 0, 0, Line::from(spans));
    put(buffer, area, area.width.saturating_sub(right_width), 0, right);
}

/// What is known of the session, the most important facts first, each in its forms from long to
/// short: those that do not fit are left out.
fn facts(state: &State, wide: bool) -> Vec<(Vec<String>, Role)> {
    let Some(model) = &state.model else {
        return vec![(vec![state.loading_name.clone()], Role::Text)];
    };
    let info = &model.info;
    let mut facts = vec![(vec![info.name.clone()], Role::Title)];
    let (cached, context) = (count(state.run.cached), count(info.context));
    let ctx = (vec![format!("ctx {cached}/{context}"), format!("ctx {cached}")], Role::Text);
    match &info.mask {
        Some(mask) => {
            let stored = model.stored(wide);
            let mut forms = vec![format!("{} {stored}", mask.label)];
            forms.extend([stored, model.stored(false)]);
            facts.push((forms, Role::Text));
            // Beside a long badge neither the mask nor the context would have a place.
            facts.push(ctx);
            facts.push((badge(state, wide), Role::Good));
        }
        None => facts.extend([(vec!["dense".to_owned()], Role::Text), ctx]),
    }
    facts.push((vec![info.device.clone()], Role::Dim));
    facts.push((vec![format!("{} weights, {} cache", info.dtype, info.kv_dtype)], Role::Dim));
    facts
}

/// The badge: that channels are not stored, and how many fewer bytes that is now.
fn badge(state: &State, wide: bool) -> Vec<String> {
    let Some(model) = &state.model else { return Vec::new() };
    let (masked, dense) = (state.run.kv.total(), model.bytes_at(state.run.cached).1.total());
    match dense.checked_sub(masked) {
        Some(saved) if saved > 0 => {
            let bytes = crate::numbers::bytes(saved as u64);
            let share = format!("{:.0} %", 100.0 * saved as f64 / dense as f64);
            let mut forms = vec![format!("[compacted −{bytes} = {share}]")];
            if !wide {
                forms.clear();
            }
            forms.extend([format!("[compacted −{bytes}]"), format!("[−{share}]")]);
            forms
        }
        _ => vec!["[compacted, no bytes less yet]".to_owned(), "[no bytes less]".to_owned()],
    }
}

fn status(state: &State, wide: bool) -> Line<'static> {
    let theme = &state.theme;
    let mut spans = Vec::new();
    if let Some((name, share)) = &state.loading {
        let what = if wide { format!("loading {name}") } else { "loading".to_owned() };
        let stops = state.key(Command::Back);
        let text = format!("{what} {:.0} %, {stops} stops  ", share * 100.0);
        spans.push(Span::styled(text, theme.style(Role::Warn)));
    }
    if let Some(looping) = state.run.looping().filter(|_| state.loading.is_none()) {
        let text = match wide {
            true => {
                let key = steer::key_out_of_loop(state);
                let samples = key.map(|key| format!(", {key} samples")).unwrap_or_default();
                format!("loops every {}{samples}  ", looping.period)
            }
            false => "loops  ".to_owned(),
        };
        spans.push(Span::styled(text, theme.style(Role::Warn)));
    }
    if state.dropped > 0 {
        spans.push(Span::styled(format!("{} dropped  ", state.dropped), theme.style(Role::Warn)));
    }
    // Next to a dense side, this is the masked side's own speed.
    let side = if state.run.pairs.is_empty() { "" } else { "B " };
    let speed = state.run.rate().map(|r| format!("{side}{}", rate(r)));
    let replay = if state.replay { "REPLAY" } else { "LIVE" };
    let (mark, role) = match &state.phase {
        Phase::Loading(share) => (format!("loading {:.0} %", share * 100.0), Role::Warn),
        Phase::Prefill(share) => (format!("prefill {:.0} %", share * 100.0), Role::Warn),
        Phase::Running => (format!("● {replay}"), Role::Good),
        Phase::Paused => ("▮▮ PAUSED".to_owned(), Role::Warn),
        Phase::Finished(Finish::EndToken) if wide && !state.replay => {
            (format!("■ DONE (end of text, {} goes on)", state.key(Command::GoOn)), Role::Dim)
        }
        Phase::Finished(finish) if wide && !state.replay => {
            let (words, rerun) = (finish_words(*finish), state.key(Command::Rerun));
            (format!("■ DONE ({words}, {rerun} runs it again)"), Role::Dim)
        }
        Phase::Finished(finish) if wide => {
            (format!("■ DONE ({})", finish_words(*finish)), Role::Dim)
        }
        Phase::Finished(_) => ("■ DONE".to_owned(), Role::Dim),
        Phase::Failed(_) => ("■ FAILED".to_owned(), Role::Bad),
    };
    spans.push(Span::styled(mark, theme.style(role).add_modifier(Modifier::BOLD)));
    if let Some(speed) = speed {
        spans.push(Span::styled(format!(" {speed}"), theme.style(Role::Text)));
    }
    if let Some(pace) = state.pace.filter(|_| state.phase == Phase::Running) {
        let faster = match state.keys.key_of(KeyContext::Global, Command::Faster) {
            Some(key) if wide => format!(" ({key} faster)"),
            _ => String::new(),
        };
        let text = format!(", held to {pace}/s{faster}");
        spans.push(Span::styled(text, theme.style(Role::Warn)));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// Why a run ended.
pub fn finish_words(finish: Finish) -> &'static str {
    match finish {
        Finish::EndToken => "end of text",
        Finish::MaxNew => "token limit",
        Finish::Context => "context full",
    }
}

/// Tabs at the left, breadcrumbs at the right.
pub fn tabs(state: &State, area: Rect, buffer: &mut Buffer) {
    for (x, title, screen) in tab_places(state) {
        let style = if screen == state.screen {
            state.theme.selected()
        } else {
            state.theme.style(Role::Dim)
        };
        put(buffer, area, x, 0, Line::styled(title, style));
    }
    let Some(model) = &state.model else { return };
    let title = |state: &State| vec![state.screen.parts().title.to_lowercase()];
    let own = state.screen.parts().crumbs.map_or_else(|| title(state), |crumbs| crumbs(state));
    let crumbs: Vec<String> = std::iter::once(model.info.name.clone()).chain(own).collect();
    let last = tab_places(state).last().map_or(0, |(x, title, _)| x + title.chars().count() as u16);
    let unsaved = if !state.replay
        && !story::sets_mask(state)
        && state.screens.tune.as_ref().is_some_and(|tuning| tuning.is_unsaved())
    {
        " * unsaved "
    } else {
        ""
    };
    let text = format!("{} ", crumbs.join(" › "));
    let (width, marked) = (text.chars().count() as u16, unsaved.chars().count() as u16);
    if last + width + marked < area.width {
        put(buffer, area, area.width - width, 0, Line::styled(text, state.theme.style(Role::Dim)));
        put(
            buffer,
            area,
            area.width - width - marked,
            0,
            Line::styled(unsaved, state.theme.style(Role::Warn)),
        );
    } else if last + marked < area.width {
        // A warning about an unsaved mask is more important than the breadcrumbs.
        put(
            buffer,
            area,
            area.width - marked,
            0,
            Line::styled(unsaved, state.theme.style(Role::Warn)),
        );
    } else if marked > 0 && last + 3 < area.width {
        // Its sign alone, where all tabs and the word have no space.
        let sign = Line::styled(" * ", state.theme.style(Role::Warn));
        put(buffer, area, area.width - 3, 0, sign);
    }
}

/// Keys of the focused part.
pub fn footer(state: &State, area: Rect, buffer: &mut Buffer) {
    clear(buffer, area, state.theme.bar());
    let theme = &state.theme;
    let context = state.context();
    let room = usize::from(area.width);
    // Help is always shown. The other keys follow in the order of the table, as far as they fit.
    // A key that the story takes is not the screen's.
    let of_story = |key: &Chord| {
        let mut rows = state.keys.rows().iter().filter(|row| row.context == KeyContext::Story);
        story::is_here(state) && rows.any(|row| row.keys.contains(key))
    };
    let labelled = state.keys.of(context).filter(|row| {
        !row.label.is_empty()
            && !row.keys.first().is_some_and(of_story)
            && (!state.replay || row.works_in_recording())
    });
    let hints: Vec<(String, &str, bool)> = labelled
        .filter_map(|row| {
            let is_help = row.command == Command::Help;
            Some((row.shown().next()?, row.label, is_help))
        })
        .collect();
    let width =
        |(keys, label, _): &(String, &str, bool)| keys.chars().count() + label.chars().count() + 3;
    let mut left =
        room.saturating_sub(1 + hints.iter().filter(|hint| hint.2).map(width).sum::<usize>());
    let mut spans = vec![Span::raw(" ")];
    for hint in &hints {
        if !hint.2 {
            if width(hint) > left {
                continue;
            }
            left -= width(hint);
        }
        spans.push(Span::styled(hint.0.clone(), theme.style(Role::Accent)));
        spans.push(Span::styled(format!(" {}  ", hint.1), theme.style(Role::Dim)));
    }
    put(buffer, area, 0, 0, Line::from(spans));
}
