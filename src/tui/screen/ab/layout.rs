//! Tokens laid out as running text: shared by the A/B screen, which draws them, and by the mouse,
//! which looks up the token under a cell.

use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::decode::comparison::Mode;
use crate::decode::worker::event::Pair;
use crate::tui::app::pairs::{ComparedSide, voice};
use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;
use crate::tui::app::text_lines::wrap;

/// Tokens before and after the cursor that are laid out: more than any screen shows.
const BEFORE: usize = 3_000;
const AFTER: usize = 1_500;

/// The parts of the A/B screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbAreas {
    /// How the sides are fed.
    pub mode: Rect,
    /// The left pane, title included.
    pub left: Rect,
    /// The right pane, title included.
    pub right: Rect,
    /// Divergence in figures.
    pub figures: Rect,
    /// Divergence per step.
    pub strip: Rect,
    /// Cursor and changes of the mask below the strip.
    pub marks: Rect,
    /// Likeliest tokens at the cursor.
    pub top: Rect,
    /// What the step lost.
    pub lost: Rect,
}

/// The lines above the lower panes, and between them.
const LOWER: &str = "ab.texts";
const TOP: &str = "ab.likeliest";

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let areas = ab(state, main);
    if areas.top.height == 0 || state.model.as_ref().is_none_or(|model| model.info.solo) {
        return Vec::new();
    }
    let lower = Rect { width: main.width, ..areas.top };
    let upper = Rect { height: areas.top.y - main.y, ..main };
    vec![Divider::lying(LOWER, upper, lower), Divider::upright(TOP, areas.top, areas.lost)]
}

/// Divides the screen's main area.
pub fn ab(state: &State, main: Rect) -> AbAreas {
    let main = Rect { x: main.x + 1, width: main.width.saturating_sub(2), ..main };
    let strip_rows = match main.height {
        30.. => 4,
        20.. => 2,
        _ => 1,
    };
    let rest = main.height.saturating_sub(3 + strip_rows);
    let lower = if rest >= 12 { (rest / 2).clamp(8, 18) } else { 0 };
    // The line between them is moved on the whole height, so the strip's rows count above it.
    let above = main.height - lower;
    let above = if lower > 0 { state.split_rows(LOWER, main.height, above) } else { above };
    let lower = main.height - above.clamp((main.height - rest + 3).min(main.height), main.height);
    let panes = rest - lower.min(rest);
    let half = main.width / 2;
    let row = |y: u16, height: u16| Rect { y: main.y + y, height, ..main };
    let pane = row(1, panes);
    let bottom = row(main.height - lower, lower);
    let top_width = if main.width >= 110 { main.width / 3 } else { 34.min(half) };
    let top_width =
        state.split_columns(TOP, main.width, top_width).min(main.width.saturating_sub(2));
    AbAreas {
        mode: row(0, 1.min(main.height)),
        left: Rect { width: half.saturating_sub(1), ..pane },
        right: Rect { x: main.x + half + 1, width: main.width - half - 1, ..pane },
        figures: row(1 + panes, 1),
        strip: row(2 + panes, strip_rows),
        marks: row(2 + panes + strip_rows, 1),
        top: Rect { width: top_width, ..bottom },
        lost: Rect {
            x: bottom.x + top_width + 2,
            width: bottom.width.saturating_sub(top_width + 2),
            ..bottom
        },
    }
}

/// A token and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Generated token, counted from 1.
    pub n: usize,
    /// Row and column within the pane.
    pub at: (u16, u16),
    /// Width in columns.
    pub width: u16,
    /// What is drawn.
    pub text: String,
    /// Whether the sides differ here.
    pub parts: bool,
    /// Whether it is the turn before the token, and not the token.
    pub asked: bool,
}

/// The tokens that one side's pane shows within `area`, the pane without its title.
pub fn words(state: &State, side: ComparedSide, area: Rect) -> Vec<Word> {
    let pairs = &state.run.pairs;
    let mode = state.feed();
    let cursor = state.screens.ab.cursor.unwrap_or(pairs.len());
    let shown = cursor.saturating_sub(BEFORE)..pairs.len().min(cursor + AFTER);
    let mut placed = Vec::new();
    let (mut row, mut x) = (0_u16, 0_u16);
    for (pair, n) in pairs.all()[shown.clone()].iter().zip(shown.start + 1..) {
        let parts = pairs.parts_at(n, mode);
        if let Some(turn) = state.run.turn_at(n) {
            row += u16::from(x > 0);
            for line in asked_lines(&turn.text, area.width) {
                let width = line.width() as u16;
                placed.push(Word { n, at: (row, 0), width, text: line, parts: false, asked: true });
                row += 1;
            }
            x = 0;
        }
        let Some((text, breaks)) = shown_text(pair, side, parts, mode) else { continue };
        let width =
            |text: &str| text.chars().filter_map(UnicodeWidthChar::width).sum::<usize>() as u16;
        if x > 0 && x + width(&text) > area.width {
            (row, x) = (row + 1, 0);
        }
        let text = if x == 0 { text.trim_start().to_owned() } else { text };
        let width = width(&text).min(area.width);
        placed.push(Word { n, at: (row, x), width, text, parts, asked: false });
        x += width;
        if breaks {
            (row, x) = (row + 1, 0);
        }
    }
    // The cursor's row is always shown: at the bottom while the cursor follows the text, else in
    // the middle.
    let rows = area.height.max(1);
    let at = placed.iter().rev().find(|word| word.n <= cursor).map_or(0, |word| word.at.0);
    let last = placed.last().map_or(0, |word| word.at.0);
    let top = match state.screens.ab.cursor {
        None => (last + 1).saturating_sub(rows),
        Some(_) => at.saturating_sub(rows / 2).min((last + 1).saturating_sub(rows)),
    };
    placed.retain(|word| (top..top + rows).contains(&word.at.0));
    placed.iter_mut().for_each(|word| word.at.0 -= top);
    placed
}

/// A turn in lines of a pane, at most four.
fn asked_lines(text: &str, width: u16) -> Vec<String> {
    const MOST: usize = 4;
    let text = format!("› {}", text.replace(char::is_control, " "));
    let lines =
        wrap(std::iter::once((text.as_str(), Style::new())), usize::from(width), text.len());
    let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    if lines.len() > MOST {
        lines.truncate(MOST - 1);
        lines.push("…".to_owned());
    }
    lines
}

/// The text shown for a token in a side's pane, and whether the line ends after it.
fn shown_text(pair: &Pair, side: ComparedSide, parts: bool, mode: Mode) -> Option<(String, bool)> {
    let own = voice(pair, side)?;
    // A side in forced mode is fed tokens it did not choose. Its pane shows its own first choice.
    let text = match (parts, mode, side) {
        (true, Mode::Forced, ComparedSide::B) => {
            own.top.first().map_or(own.shown(), |top| top.text.as_str())
        }
        _ => own.shown(),
    };
    let breaks = text.contains('\n');
    let text: String =
        text.chars().map(|c| if c == '\n' { '↵' } else { c }).filter(|c| !c.is_control()).collect();
    let text = match (parts, text.strip_prefix(' ')) {
        (false, _) => text,
        (true, Some(rest)) => format!(" ‹{rest}›"),
        (true, None) => format!("‹{text}›"),
    };
    Some((text, breaks))
}

/// The token under a cell of the A/B screen, in its panes or its strip.
pub fn ab_hit(state: &State, main: Rect, x: u16, y: u16) -> Option<usize> {
    let areas = ab(state, main);
    let [left, right] = if state.screens.ab.swapped {
        [ComparedSide::B, ComparedSide::A]
    } else {
        [ComparedSide::A, ComparedSide::B]
    };
    for (area, side) in [(areas.left, left), (areas.right, right)] {
        let inner = below_title(area);
        if inner.contains((x, y).into()) {
            let (row, column) = (y - inner.y, x - inner.x);
            let hit = |word: &&Word| {
                word.at.0 == row && (word.at.1..word.at.1 + word.width).contains(&column)
            };
            return words(state, side, inner).iter().find(hit).map(|word| word.n);
        }
    }
    let strip = Rect { height: areas.strip.height + areas.marks.height, ..areas.strip };
    let in_strip = strip.contains((x, y).into()) && !state.run.pairs.is_empty();
    in_strip.then(|| *columns_of(state.run.pairs.len(), strip.width, x - strip.x).start())
}

/// A pane without its title.
pub fn below_title(area: Rect) -> Rect {
    Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area }
}

/// The tokens, counted from 1, in one column of the strip: one per column while they fit, otherwise
/// evenly spread.
pub fn columns_of(tokens: usize, width: u16, column: u16) -> std::ops::RangeInclusive<usize> {
    let (width, column) = (usize::from(width.max(1)), usize::from(column));
    if tokens <= width {
        let n = (column + 1).min(tokens.max(1));
        return n..=n;
    }
    let start = column * tokens / width;
    start + 1..=((column + 1) * tokens / width).max(start + 1)
}

/// The column of the strip that holds token `n`.
pub fn column_of(tokens: usize, width: u16, n: usize) -> u16 {
    let last = width.saturating_sub(1);
    (0..=last).find(|&column| columns_of(tokens, width, column).contains(&n)).unwrap_or(last)
}
