//! What the bench shows before anything is measured: what can be pinned, or the rows that are, with
//! their bytes as bars; and beside it the map of what decodes now.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::decode::worker::STRETCH;
use crate::mask::{CachePlan, Rule, Window};
use crate::numbers;
use crate::numbers::count;
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::app::strips::{LABEL, columns};
use crate::tui::app::text_lines;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::Role;
use crate::tui::fitting::{best, fitted, named};
use crate::tui::paint::put;
use crate::tui::screen::bench::notes;
use crate::tui::screen::tune::state::{RIVALS, Tally, Tuning};
use crate::tui::screen::{Screen, map};
use crate::tui::widget::meter;
use crate::tui::widget::pane::Pane;

/// A line of the comparison of bytes.
struct Candidate {
    /// The key that pins it; empty for one that is pinned, and for dense.
    key: String,
    name: String,
    bytes: Tally,
}

/// Columns of the key, the name and the three sizes.
const KEY: usize = 2;
const NAME: usize = 16;
/// Most columns of the names, where there is room for more.
const WIDEST_NAME: usize = 32;
const SIZE: usize = 10;
/// Fewest columns that show a bar.
const BAR: u16 = 8;
/// Fewest columns for the map beside the list.
const BESIDE: u16 = 100;

/// What a pin is, and the keys that pin.
pub(super) fn keys(state: &State, tuning: &Tuning, pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let about = "A pin is a mask or plan that stays in this table. All pins are measured over the same tokens, so that their losses can be compared: learned against ThinK at equal bytes, say, or a mask against what other programs offer.";
    let width = usize::from(pane.area.width);
    for line in wrap(std::iter::once((about, theme.style(Role::Text))), width, 4_000) {
        pane.line(line);
    }
    let set = tuning.mask_info().label;
    let sources = tuning.sources();
    let rules: Vec<&str> =
        Rule::ALL.into_iter().filter(|&rule| sources.has(rule)).map(|rule| rule.words).collect();
    let by_rule = best(
        width.saturating_sub(KEY),
        [
            format!("pins every rule at these bytes: {}", rules.join(", ")),
            format!("pins a mask of each of {} rules at these bytes", rules.len()),
        ],
    );
    for (command, does) in [
        (Command::Pin, format!("pins what is set in Tune: {set}")),
        (Command::PinRules, by_rule),
        (Command::PinNamed, "pins the plans that other programs offer".to_owned()),
        (Command::PinSweep, "pins the points of Tune's sweep".to_owned()),
        (Command::Sweep, format!("then measures all rows over the last {STRETCH} steps")),
    ] {
        let why = steer::measures_nothing(state)
            .filter(|_| matches!(command, Command::PinSweep | Command::Sweep));
        let does = why.map_or_else(|| does.clone(), |why| format!("{does}: {why}"));
        let room = width.saturating_sub(KEY);
        pane.line(Line::from(vec![
            Span::styled(format!("{:<KEY$}", key(state, command)), theme.style(Role::Accent)),
            Span::styled(fitted(does, room), theme.style(Role::Dim)),
        ]));
    }
}

fn key(state: &State, command: Command) -> String {
    state.keys.key_of(KeyContext::Screen(Screen::Bench), command).unwrap_or_default()
}

/// Draws the list, and the map where there is room beside it.
pub(super) fn render(state: &State, tuning: &Tuning, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return };
    let mut list = area;
    if area.width >= BESIDE {
        // The map has a width of its own; the bars take what it leaves.
        let (strip, heads) = columns((area.width / 2).saturating_sub(LABEL), model.shape(), 0);
        let shown = heads.min(model.shape().kv_heads) as u16;
        let wide = (LABEL + shown * (strip + 1)).min(area.width / 2);
        let beside = Rect { x: area.right() - wide, width: wide, ..area };
        list.width = area.width - wide - 2;
        map::view::at_work(state, &mut Pane::new(beside, &state.theme, buffer));
    }
    let used = bars(state, tuning, list, buffer);
    let below = Rect { y: list.y + used, height: list.height - used, ..list };
    let mut pane = Pane::new(below, &state.theme, buffer);
    match area.width < BESIDE {
        true => map::view::at_work(state, &mut pane),
        false => tokens(state, &mut pane),
    }
}

/// The text so far, over the end of which the rows are measured.
fn tokens(state: &State, pane: &mut Pane<'_>) {
    if pane.area.height < 3 {
        return;
    }
    let steps = state.run.pairs.len();
    let mut so_far = match steps.saturating_sub(1) > STRETCH {
        true => format!("the last {STRETCH} steps of {} so far", count(steps - 1)),
        false => format!("the {} so far", numbers::counted(steps, "token", "tokens")),
    };
    if let Some(looping) = state.run.looping() {
        so_far = format!("{so_far}, {} in a loop", count(looping.repeats(STRETCH)));
    }
    if notes::too_few(state).is_some() {
        so_far = format!("{so_far}, too few to rank: {}", notes::more_tokens(state));
    }
    pane.title("measured over", &so_far);
    let (width, rows) = (usize::from(pane.area.width), usize::from(pane.area.height));
    let said = text_lines::tail(state, width, rows);
    // Before them comes the end of what they answer.
    let prompt = state.run.started.as_ref().map_or("", |started| started.prompt.as_str());
    let asked = wrap(std::iter::once((prompt, state.theme.style(Role::Dim))), width, 24_000);
    let skip = (asked.len() + said.len()).saturating_sub(rows).min(asked.len());
    for line in asked.into_iter().skip(skip).chain(said) {
        pane.line(line);
    }
}

/// What there is to compare, dense last.
fn candidates(state: &State, tuning: &Tuning) -> Vec<Candidate> {
    let tokens = state.target_context;
    let tally = |plan: &CachePlan, window: Window| tuning.tally(plan, window, None, tokens);
    let window = tuning.draft().window;
    let Some(shape) = state.shape() else { return Vec::new() };
    let pins = state.screens.bench.pins();
    let mut all: Vec<Candidate> = pins
        .iter()
        .map(|pin| Candidate {
            key: String::new(),
            name: pin.name.clone(),
            bytes: tally(&pin.plan, pin.draft.window),
        })
        .collect();
    if all.is_empty() {
        all.push(Candidate {
            key: key(state, Command::Pin),
            name: tuning.mask_info().label,
            bytes: tally(&tuning.proposal().plan, window),
        });
        for name in RIVALS {
            let Ok(plan) = CachePlan::named(name, shape) else { continue };
            all.push(Candidate {
                key: key(state, Command::PinNamed),
                name: name.to_owned(),
                bytes: tally(&plan, window),
            });
        }
    }
    all.push(Candidate {
        key: String::new(),
        name: "dense".to_owned(),
        bytes: tally(&CachePlan::full(shape), window),
    });
    all
}

/// The list with bars of bytes; gives the rows that it took.
fn bars(state: &State, tuning: &Tuning, area: Rect, buffer: &mut Buffer) -> u16 {
    let theme = &state.theme;
    let before = area.height;
    let mut pane = Pane::new(area, theme, buffer);
    let is_pinned = !state.screens.bench.pins().is_empty();
    let title = if is_pinned { "bytes of the rows" } else { "what can be pinned" };
    pane.title(title, &format!("at {} tokens", count(state.target_context)));
    let titles = ["K+V", "K", "V"].map(|title| format!("{title:>SIZE$}")).concat();
    let all = candidates(state, tuning);
    let longest = all.iter().map(|one| one.name.chars().count() + 1).max().unwrap_or(NAME);
    // A whole name comes before a bar.
    let rest = KEY + 3 * SIZE + 9;
    let wide = usize::from(area.width).saturating_sub(rest).min(WIDEST_NAME);
    let name = longest.min(wide).max(NAME);
    pane.note(format!("{:KEY$}{:name$}{titles} {:>8}", "", "", "of cache"));
    let dense = all.last().map_or(1, |last| last.bytes.bytes.total().max(1));
    for one in all {
        let Some(line) = pane.take(1) else { break };
        let tally = &one.bytes.bytes;
        let sizes = [tally.total(), tally.k, tally.v]
            .map(|bytes| format!("{:>SIZE$}", numbers::bytes(bytes)));
        let share = tally.total() as f64 / dense as f64;
        let text = format!(
            "{:<name$}{} {:>6.1} %",
            named(&one.name, name - 1),
            sizes.concat(),
            share * 100.0
        );
        let wide = KEY as u16 + Span::raw(&text).width() as u16 + 2;
        put(
            pane.buffer,
            line,
            0,
            0,
            Line::from(vec![
                Span::styled(format!("{:<KEY$}", one.key), theme.style(Role::Accent)),
                Span::styled(text, theme.style(Role::Text)),
            ]),
        );
        if line.width >= wide + BAR {
            let bar = Rect { x: line.x + wide, width: line.width - wide, ..line };
            ground(bar, theme.style(Role::Border), pane.buffer);
            meter(share, theme.style(Role::Keys), bar, pane.buffer);
        }
    }
    pane.take(1);
    before - pane.area.height
}

/// A thin line for what a bar does not reach.
fn ground(area: Rect, style: Style, buffer: &mut Buffer) {
    for x in area.left()..area.right() {
        buffer[(x, area.y)].set_symbol("─").set_style(style);
    }
}
