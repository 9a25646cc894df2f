//! The lines between parts of a screen, which keys and the mouse move, and the file that remembers
//! where they were.

use std::collections::BTreeMap;
use std::path::Path;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use serde::{Deserialize, Serialize};

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::areas::PANEL_FROM;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::{Error, Result, input_file};

/// Fewest columns and rows of a part: fewer columns hold no label with its value.
const LEAST: (u16, u16) = (20, 6);
/// Columns and rows that a key moves a line by.
const STEP: (i32, i32) = (2, 1);

/// A line between two parts of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divider {
    /// Its name in the file: the screen and the part before the line.
    pub name: &'static str,
    /// The cells that the mouse takes it by.
    pub line: Rect,
    /// First column or row of what it divides, and how many there are.
    pub whole: (u16, u16),
    /// Whether it stands upright, between a left and a right part.
    pub is_upright: bool,
}

impl Divider {
    /// A line that stands upright right of `left`, before `right`.
    pub fn upright(name: &'static str, left: Rect, right: Rect) -> Self {
        let line = Rect {
            x: left.right(),
            width: right.x.saturating_sub(left.right()).max(1),
            height: left.height.min(right.height),
            ..left
        };
        Self { name, line, whole: (left.x, right.right() - left.x), is_upright: true }
    }

    /// A line that lies below `upper`; `lower` begins with a title, which is taken as the line.
    pub fn lying(name: &'static str, upper: Rect, lower: Rect) -> Self {
        let line = Rect { height: 1, ..lower };
        Self { name, line, whole: (upper.y, lower.bottom() - upper.y), is_upright: false }
    }
}

/// Where the lines are, as far as they were moved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Splits {
    /// The share of the part before each line.
    shares: BTreeMap<String, f64>,
    /// The line that keys move, by its place on the screen.
    selected: usize,
    /// Whether that line is shown in colour: keys have just moved it.
    pub is_lit: bool,
    /// The line that the mouse holds.
    held: Option<&'static str>,
}

impl Splits {
    fn part(&self, name: &str, whole: u16, default: u16, least: u16) -> u16 {
        let Some(share) = self.shares.get(name) else { return default };
        let wanted = (share * f64::from(whole)).round() as u16;
        let least = least.min(whole / 2);
        wanted.clamp(least, whole - least)
    }

    /// Puts a line at a column or row, under the name that it is remembered by.
    fn put(&mut self, name: String, split: &Divider, at: i32) {
        let (start, length) = (i32::from(split.whole.0), i32::from(split.whole.1));
        let least = if split.is_upright { LEAST.0 } else { LEAST.1 };
        let least = i32::from(least).min(length / 2);
        let first = (at - start).clamp(least, (length - least).max(least));
        self.shares.insert(name, f64::from(first) / f64::from(length.max(1)));
    }
}

/// Columns and rows from which on a terminal is a large one. Smaller ones have a layout of their own:
/// there is no room in them for what a large one was divided into.
const LARGE: (u16, u16) = (PANEL_FROM, 28);

impl State {
    /// Columns of the part left of a line, of `whole`: where it was moved to, or else `default`.
    pub fn split_columns(&self, name: &str, whole: u16, default: u16) -> u16 {
        self.splits.part(&self.split_name(name), whole, default, LEAST.0)
    }

    /// The same for rows of the part above a line.
    pub fn split_rows(&self, name: &str, whole: u16, default: u16) -> u16 {
        self.splits.part(&self.split_name(name), whole, default, LEAST.1)
    }

    /// The name that a line is remembered by at this size of the terminal.
    fn split_name(&self, name: &str) -> String {
        let is_large = self.size.0 >= LARGE.0 && self.size.1 >= LARGE.1;
        if is_large { name.to_owned() } else { format!("{name}.small") }
    }

    /// Whether the panel is shown, where `default` says so unless the user has said otherwise.
    pub fn shows_panel(&self, default: bool) -> bool {
        let said = if self.size.0 >= LARGE.0 { self.panel } else { self.small_panel };
        said.unwrap_or(default)
    }

    /// Shows the panel, or hides it.
    pub fn show_panel(&mut self, shown: bool) {
        match self.size.0 >= LARGE.0 {
            true => self.panel = Some(shown),
            false => self.small_panel = Some(shown),
        }
    }
}

/// The lines of the current screen: that of the side panel first.
pub fn of(state: &State) -> Vec<Divider> {
    let areas = areas::areas(state);
    let side = areas.side.filter(|_| areas.main.width > 0).map(|side| {
        let line = Rect { width: 1, ..side };
        let whole = (areas.main.x, side.right() - areas.main.x);
        Divider { name: state.screen.side_name(), line, whole, is_upright: true }
    });
    side.into_iter().chain((state.screen.parts().splits)(state, areas.main)).collect()
}

/// Commands that move lines; `None` for others.
pub fn run(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    let by = match command {
        Command::SplitLess => -1,
        Command::SplitMore => 1,
        Command::SplitNext => 0,
        Command::SplitReset => {
            let lines = of(state);
            let names: Vec<String> =
                lines.iter().map(|split| state.split_name(split.name)).collect();
            state.splits.shares.retain(|name, _| !names.contains(name));
            state.splits.is_lit = false;
            return Some(vec![remember(state)]);
        }
        _ => return None,
    };
    let all = of(state);
    if all.is_empty() {
        state.tell("this screen has one part at this size: nothing to resize", false);
        return Some(Vec::new());
    }
    let lit = state.splits.is_lit;
    let next = usize::from(by == 0 && lit);
    let selected = (state.splits.selected + next) % all.len();
    (state.splits.selected, state.splits.is_lit) = (selected, true);
    if by == 0 {
        return Some(Vec::new());
    }
    let split = all[selected];
    let (at, step) = match split.is_upright {
        true => (split.line.x, STEP.0),
        false => (split.line.y, STEP.1),
    };
    let name = state.split_name(split.name);
    state.splits.put(name, &split, i32::from(at) + by * step);
    Some(vec![remember(state)])
}

/// Takes the line under the mouse; gives whether there is one.
pub fn grab(state: &mut State, x: u16, y: u16) -> bool {
    let hit = of(state).into_iter().find(|split| split.line.contains((x, y).into()));
    state.splits.held = hit.map(|split| split.name);
    hit.is_some()
}

/// Moves the line that the mouse holds; gives whether it holds one.
pub fn drag(state: &mut State, x: u16, y: u16) -> bool {
    let Some(held) = state.splits.held else { return false };
    if let Some(split) = of(state).into_iter().find(|split| split.name == held) {
        let name = state.split_name(split.name);
        state.splits.put(name, &split, i32::from(if split.is_upright { x } else { y }));
    }
    true
}

/// Lets the line go, and remembers where it is.
pub fn release(state: &mut State) -> Vec<Effect> {
    match state.splits.held.take() {
        Some(_) => vec![remember(state)],
        None => Vec::new(),
    }
}

/// Shows the line that keys move.
pub fn render(state: &State, buffer: &mut Buffer) {
    if !state.splits.is_lit {
        return;
    }
    let all = of(state);
    let Some(split) = all.get(state.splits.selected) else { return };
    let style = state.theme.style(Role::Accent).add_modifier(Modifier::REVERSED);
    let line = split.line.intersection(buffer.area);
    for y in line.top()..line.bottom() {
        for x in line.left()..line.right() {
            buffer[(x, y)].set_style(style);
        }
    }
}

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Remembered {
    /// Whether the side panel is shown, where the user has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    panel: Option<bool>,
    /// The share of the part before each line.
    splits: BTreeMap<String, f64>,
}

/// The effect that writes the layout down.
pub fn remember(state: &State) -> Effect {
    let kept = Remembered { panel: state.panel, splits: state.splits.shares.clone() };
    Effect::Remember(toml::to_string(&kept).expect("a map of numbers is TOML"))
}

/// The file of the layout, in the state folder.
pub const FILE: &str = "layout.toml";

/// Puts the parts where they were. A file that cannot be read, or says what cannot be, changes
/// nothing but the log.
pub fn recall(state: &mut State, path: &Path) {
    match read(path) {
        Ok(kept) => (state.panel, state.splits.shares) = (kept.panel, kept.splits),
        Err(error) => tracing::warn!("the layout is not remembered: {error}"),
    }
}

fn read(path: &Path) -> Result<Remembered> {
    let found = input_file::if_there(path, input_file::SETTINGS, input_file::read_text)?;
    let Some(text) = found else { return Ok(Remembered::default()) };
    let wrong = |what: String| Error::input(format!("{}: {what}", path.display()));
    let kept: Remembered =
        toml::from_str(&text).map_err(|cause| wrong(cause.message().to_owned()))?;
    match kept.splits.iter().find(|(_, share)| !(0.0..=1.0).contains(*share)) {
        Some((name, share)) => {
            Err(wrong(format!("{name}: expected a share from 0 to 1, found {share}")))
        }
        None => Ok(kept),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{MouseButton, MouseEventKind};

    use super::*;
    use crate::tui::color::ColorDepth;
    use crate::tui::screen::Screen;
    use crate::tui::testing::{SMALL, act, draw, mouse, session, text};

    fn on(screen: Screen, size: (u16, u16)) -> State {
        let mut state = session(SMALL, ColorDepth::None);
        (state.screen, state.size) = (screen, size);
        // The screen's own questions to the engine are asked before the test begins.
        crate::tui::app::update::update(&mut state, crate::tui::app::action::Action::Tick(0.0));
        state
    }

    #[test]
    fn every_line_of_every_screen_moves_with_the_mouse_to_the_cell_it_is_dragged_to() {
        let mut seen = 0;
        for screen in Screen::ALL {
            for size in [(120, 40), (200, 60)] {
                for number in 0..of(&on(screen, size)).len() {
                    let mut state = on(screen, size);
                    let split = of(&state)[number];
                    let from = (split.line.x, split.line.y + split.line.height / 2);
                    let to = match split.is_upright {
                        true => (from.0 - 3, from.1),
                        false => (from.0, from.1 + 2),
                    };
                    let press = MouseEventKind::Down(MouseButton::Left);
                    assert_eq!(mouse(&mut state, press, from), [], "{split:?}");
                    mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), to);
                    let moved = of(&state)[number];
                    let at = (moved.line.x, moved.line.y);
                    match split.is_upright {
                        true => assert_eq!(at.0, to.0, "{screen:?} {size:?} {split:?}"),
                        false => assert_eq!(at.1, to.1, "{screen:?} {size:?} {split:?}"),
                    }
                    let effects = mouse(&mut state, MouseEventKind::Up(MouseButton::Left), to);
                    assert!(
                        matches!(&effects[..], [Effect::Remember(text)]
                        if text.contains(split.name)),
                        "{effects:?}"
                    );
                    assert!(
                        mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), from).is_empty()
                    );
                    assert_eq!(of(&state)[number], moved, "what is let go stays");
                    text(&draw(&state));
                    seen += 1;
                }
            }
        }
        assert!(seen > 10, "{seen}");
    }

    #[test]
    fn keys_move_the_line_at_hand_and_another_key_takes_the_next() {
        let mut state = on(Screen::Ab, (120, 40));
        let before = of(&state);
        assert!(before.len() > 1);
        let effects = act(&mut state, Command::SplitLess);
        assert!(matches!(&effects[..], [Effect::Remember(_)]));
        let after = of(&state);
        assert_ne!(after[0], before[0]);
        act(&mut state, Command::SplitNext);
        act(&mut state, Command::SplitMore);
        assert_ne!(of(&state)[1], after[1]);
        act(&mut state, Command::SplitReset);
        assert_eq!(of(&state), before);
    }

    /// Neither the mouse nor a file makes a part too narrow to read, on any screen.
    #[test]
    fn every_part_of_every_screen_stays_readable() {
        for screen in Screen::ALL {
            for size in [(120, 40), (200, 60)] {
                for number in 0..of(&on(screen, size)).len() {
                    for end in [0.0, 1.0] {
                        let mut state = on(screen, size);
                        let split = of(&state)[number];
                        state.splits.shares.insert(split.name.to_owned(), end);
                        let moved = of(&state)[number];
                        let at = if moved.is_upright { moved.line.x } else { moved.line.y };
                        let least = if moved.is_upright { LEAST.0 } else { LEAST.1 };
                        let (before, after) =
                            (at - moved.whole.0, moved.whole.0 + moved.whole.1 - at);
                        // The blank columns between two parts belong to neither.
                        assert!(before + 2 >= least && after + 2 >= least, "{screen:?} {moved:?}");
                        text(&draw(&state));
                    }
                }
            }
        }
    }

    /// A panel opened on a large terminal once took the whole map at 60x16, and a line moved there left
    /// no room for words.
    #[test]
    fn what_a_large_terminal_was_divided_into_leaves_small_ones_alone_and_stays() {
        for screen in Screen::ALL {
            for size in [(60, 16), (80, 24), (99, 40), (120, 20)] {
                let fresh = text(&draw(&on(screen, size)));
                for end in [0.0, 1.0] {
                    let mut state = on(screen, (200, 60));
                    for split in of(&state) {
                        state.splits.shares.insert(split.name.to_owned(), end);
                    }
                    state.show_panel(true);
                    let (large, kept) = (text(&draw(&state)), state.splits.shares.clone());
                    state.size = size;
                    // From 100 columns on there is room for the panel, however low the terminal is.
                    if size.0 < LARGE.0 {
                        assert_eq!(text(&draw(&state)), fresh, "{screen:?} {size:?}");
                    }
                    // A line that is moved here is another one.
                    act(&mut state, Command::SplitMore);
                    for (name, share) in &kept {
                        assert_eq!(state.splits.shares.get(name), Some(share), "{name}");
                    }
                    (state.size, state.splits.is_lit) = ((200, 60), false);
                    state.toast = None;
                    assert_eq!(text(&draw(&state)), large, "{screen:?} {size:?}");
                }
            }
        }
    }

    #[test]
    fn no_part_is_dragged_away() {
        let mut state = on(Screen::Map, (120, 40));
        let split = of(&state)[0];
        for x in [0, 119] {
            let from = of(&state)[0].line;
            mouse(&mut state, MouseEventKind::Down(MouseButton::Left), (from.x, from.y + 3));
            mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), (x, split.line.y + 3));
            mouse(&mut state, MouseEventKind::Up(MouseButton::Left), (x, split.line.y + 3));
            let areas = areas::areas(&state);
            let side = areas.side.expect("shown");
            assert!(areas.main.width >= LEAST.0 && side.width >= LEAST.0, "{areas:?}");
            // What is said in the panel is still said.
            let shown = text(&draw(&state));
            assert!(shown.contains("stored") && shown.contains("dense"), "{shown}");
        }
    }

    #[test]
    fn the_layout_is_read_back_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("layout.toml");
        let mut state = on(Screen::Map, (120, 40));
        act(&mut state, Command::SplitLess);
        let moved = of(&state);
        let Effect::Remember(text) = remember(&state) else { panic!("the effect") };
        std::fs::write(&path, text).expect("written");
        let mut again = on(Screen::Map, (120, 40));
        recall(&mut again, &path);
        assert_eq!(of(&again), moved);
        let fresh = on(Screen::Map, (120, 40));
        for broken in ["splits = 3", "[splits]\n\"map.side\" = 7.5", "\u{1}", "panel = [1]"] {
            std::fs::write(&path, broken).expect("written");
            let mut state = on(Screen::Map, (120, 40));
            recall(&mut state, &path);
            assert_eq!((&state.splits, state.panel), (&fresh.splits, None), "{broken}");
        }
        let mut state = on(Screen::Map, (120, 40));
        recall(&mut state, &folder.path().join("missing"));
        assert_eq!(of(&state), of(&fresh));
    }
}
