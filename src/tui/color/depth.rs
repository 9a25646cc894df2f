//! What a terminal can show, and the conversion of a finished frame to it: the one place where
//! colours are converted.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use crate::tui::color::lut::Rgb;
use crate::{Error, Result};

/// Colour support of a terminal, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColorDepth {
    /// Seven-bit characters, no colour.
    Ascii,
    /// Unicode, no colour (`NO_COLOR`).
    None,
    /// Sixteen colours.
    Ansi16,
    /// The 256-colour palette.
    Ansi256,
    /// 24-bit colour.
    True,
}

impl ColorDepth {
    /// All depths, best first.
    pub const ALL: [Self; 5] = [Self::True, Self::Ansi256, Self::Ansi16, Self::None, Self::Ascii];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "truecolor",
            Self::Ansi256 => "256",
            Self::Ansi16 => "16",
            Self::None => "none",
            Self::Ascii => "ascii",
        }
    }

    /// Detects what the terminal can show from the environment; `lookup` reads a variable.
    pub fn detect(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let locale =
            variable("LC_ALL").or_else(|| variable("LC_CTYPE")).or_else(|| variable("LANG"));
        // Without a locale the terminal is assumed to be a modern one. With a locale that is not
        // UTF-8 it is assumed to lack Unicode.
        let unicode = locale.is_none_or(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8")
                || locale.contains("utf8")
                || locale == "c"
                || locale == "posix"
        });
        let term = variable("TERM").unwrap_or_default();
        if !unicode || term == "dumb" {
            return Self::Ascii;
        }
        if variable("NO_COLOR").is_some() {
            return Self::None;
        }
        let colour = variable("COLORTERM").unwrap_or_default();
        if colour == "truecolor" || colour == "24bit" || term.ends_with("-direct") {
            Self::True
        } else if term.contains("256color") || term.contains("kitty") || term.contains("alacritty")
        {
            Self::Ansi256
        } else {
            Self::Ansi16
        }
    }

    /// Whether a map can be drawn in colour. Otherwise it is drawn in glyphs of growing weight.
    pub fn has_map_colours(self) -> bool {
        self >= Self::Ansi256
    }

    /// Glyphs of growing weight.
    pub fn ramp(self) -> &'static [&'static str] {
        match self {
            Self::Ascii => &[" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"],
            _ => &[" ", "░", "▒", "▓", "█"],
        }
    }

    /// Converts every cell of a frame to what the terminal can show.
    pub fn convert(self, frame: &mut Buffer) {
        if self == Self::True {
            return;
        }
        if self == Self::Ascii {
            lengthen(frame);
        }
        for cell in &mut frame.content {
            match self {
                Self::Ansi256 => {
                    (cell.fg, cell.bg) = (map(cell.fg, nearest_256), map(cell.bg, nearest_256))
                }
                Self::Ansi16 => {
                    (cell.fg, cell.bg) = (map(cell.fg, nearest_16), map(cell.bg, |_| Color::Reset))
                }
                _ => {
                    // A background colour marks a selection or an overlay. Without colour, reverse
                    // video marks it.
                    (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
                }
            }
            if self == Self::Ascii {
                if let Some(plain) = ascii(cell.symbol()) {
                    cell.set_symbol(plain);
                }
                cell.modifier.remove(Modifier::DIM);
            }
        }
    }
}

impl std::str::FromStr for ColorDepth {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|depth| depth.name() == text);
        known.ok_or_else(|| {
            Error::input(format!(
                "--color must be auto, truecolor, 256, 16, none or ascii, not `{text}`"
            ))
        })
    }
}

fn map(color: Color, convert: impl Fn(Rgb) -> Color) -> Color {
    match color {
        Color::Rgb(r, g, b) => convert(u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b)),
        other => other,
    }
}

/// Red, green and blue.
pub fn parts(rgb: Rgb) -> [u8; 3] {
    [(rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8]
}

/// The colour of entry 16 or higher of the 256-colour palette.
pub fn of_256(index: u8) -> [u8; 3] {
    let level = |v: u8| if v == 0 { 0 } else { 55 + 40 * v };
    match index {
        16..=231 => [(index - 16) / 36, (index - 16) / 6 % 6, (index - 16) % 6].map(level),
        _ => [8 + 10 * index.saturating_sub(232); 3],
    }
}

/// Relative luminance, 0 to 255.
pub fn luminance([r, g, b]: [u8; 3]) -> f32 {
    0.2126 * f32::from(r) + 0.7152 * f32::from(g) + 0.0722 * f32::from(b)
}

fn distance(a: [u8; 3], b: [u8; 3]) -> i32 {
    // Rough weights for the eye's sensitivity.
    let d = |i: usize, weight: i32| weight * (i32::from(a[i]) - i32::from(b[i])).pow(2);
    d(0, 3) + d(1, 6) + d(2, 2)
}

/// The entry of the 256-colour palette nearest to a colour.
pub fn nearest_256(rgb: Rgb) -> Color {
    let wanted = parts(rgb);
    Color::Indexed((16..=255).min_by_key(|&index| distance(of_256(index), wanted)).unwrap_or(16))
}

fn nearest_16(rgb: Rgb) -> Color {
    let [r, g, b] = parts(rgb);
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    if high - low < 40 {
        return match high {
            0..70 => Color::DarkGray,
            70..150 => Color::DarkGray,
            150..215 => Color::Gray,
            _ => Color::White,
        };
    }
    let on = |v: u8| u16::from(v) * 2 > u16::from(high) + u16::from(low);
    match (on(r), on(g), on(b)) {
        (true, true, _) => Color::Yellow,
        (true, false, true) => Color::Magenta,
        (true, false, false) => Color::Red,
        (false, true, true) => Color::Cyan,
        (false, true, false) => Color::Green,
        _ => Color::Blue,
    }
}

/// The ASCII replacement of several characters for a symbol that no single one stands for.
fn several(symbol: &str) -> Option<&'static str> {
    Some(match symbol {
        "±" => "+-",
        "≤" => "<=",
        "≥" => ">=",
        "≠" => "!=",
        "∞" => "inf",
        "↵" => "\\n",
        _ => return None,
    })
}

/// Writes the symbols that take several characters, where blanks on their row make room. Others
/// stay, and become a single character.
fn lengthen(frame: &mut Buffer) {
    let width = usize::from(frame.area.width).max(1);
    for row in frame.content.chunks_mut(width) {
        for x in 0..row.len() {
            let Some(text) = several(row[x].symbol()) else { continue };
            let Some(start) = room_for(row, x, text.len() - 1) else { continue };
            let own = row[x].clone();
            for (cell, at) in row[start..].iter_mut().zip(0..text.len()) {
                *cell = own.clone();
                cell.set_symbol(&text[at..=at]);
            }
        }
    }
}

/// Where a symbol at `x` begins once it has `more` columns: blanks after it are used up, at least one
/// of which stays between words and columns, or else those before it. What is drawn stays in place.
fn room_for(row: &mut [Cell], x: usize, more: usize) -> Option<usize> {
    let is_blank = |cell: &Cell| cell.symbol() == " ";
    let is_drawn = |cell: &Cell| {
        cell.symbol()
            .starts_with(|c| matches!(c, '\u{2500}'..='\u{259f}' | '\u{2800}'..='\u{28ff}'))
    };
    let mut at = x + 1;
    while at < row.len() && !is_drawn(&row[at]) {
        let run = row[at..].iter().take_while(|cell| is_blank(cell)).count();
        let is_last = at + run == row.len();
        if run > more || (run == more && (is_last || at == x + 1)) {
            row[x + 1..at + more].rotate_right(more);
            return Some(x);
        }
        at += run.max(1);
    }
    let before = x.checked_sub(more)?;
    row[before..x].iter().all(is_blank).then_some(before)
}

/// The ASCII replacement for a symbol that needs one. Marks that stand for different things in one
/// place differ.
fn ascii(symbol: &str) -> Option<&'static str> {
    let first = symbol.chars().next().filter(|first| !first.is_ascii())?;
    Some(match first {
        '│' | '┃' | '▏' | '▎' | '┆' | '┊' | '▌' | '▐' => "|",
        '─' | '━' | '—' | '–' | '−' | '╌' | '┄' => "-",
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => {
            "+"
        }
        '█' | '▇' | '▆' | '■' | '▉' | '▊' => "#",
        '▅' | '▄' | '▋' | '▀' => "=",
        '▃' | '▂' | '▍' => "-",
        '▁' => "_",
        '·' | '•' | '…' => ".",
        '●' => "*",
        '◆' => "&",
        '◐' | '★' => "@",
        '○' => "o",
        '□' => "=",
        '△' => "$",
        '◇' => "%",
        'Δ' => "d",
        '±' => "+",
        '≈' => "~",
        '≠' => "!",
        '∞' => "I",
        '↵' => "\\",
        'µ' => "u",
        '«' | '»' => "\"",
        '⟳' => "@",
        '×' => "x",
        'ˣ' => "'",
        'ₓ' => ",",
        '→' | '▸' | '›' | '▶' => ">",
        '←' | '◀' | '‹' | '◂' => "<",
        '↑' | '▲' => "^",
        '↓' | '▼' | '▾' => "v",
        '≥' => ">",
        '≤' => "<",
        'λ' => "w",
        '²' => "2",
        '\u{2800}' => " ",
        '\u{2801}'..='\u{28ff}' => ":",
        '░' => ".",
        '▒' => ":",
        '▓' => "%",
        '␣' => "_",
        '▮' => "|",
        _ => "?",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> ColorDepth {
        ColorDepth::detect(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_decides() {
        assert_eq!(
            detect(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]),
            ColorDepth::True
        );
        assert_eq!(detect(&[("TERM", "tmux-256color"), ("LANG", "C.UTF-8")]), ColorDepth::Ansi256);
        assert_eq!(detect(&[("TERM", "xterm")]), ColorDepth::Ansi16);
        assert_eq!(detect(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), ColorDepth::None);
        assert_eq!(
            detect(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]),
            ColorDepth::Ansi256,
            "an empty NO_COLOR does not count"
        );
        assert_eq!(
            detect(&[("TERM", "xterm-256color"), ("LC_ALL", "de_DE.ISO-8859-1")]),
            ColorDepth::Ascii
        );
        assert_eq!(detect(&[("TERM", "dumb")]), ColorDepth::Ascii);
    }

    /// `±` was once `~`, as if it were "about", and `≈` a question.
    #[test]
    fn signs_without_a_character_of_their_own_are_written_out() {
        let shown = |lines: &[&str]| -> Vec<String> {
            let mut frame = Buffer::with_lines(lines.iter().copied());
            ColorDepth::Ascii.convert(&mut frame);
            let width = usize::from(frame.area.width);
            let row = |row: &[Cell]| row.iter().map(Cell::symbol).collect();
            frame.content.chunks(width).map(row).collect()
        };
        for (line, wanted) in [
            ("0.64 ±.02  1.2 |", "0.64 +-.02 1.2 |"),
            // Columns stay where they are, and borders too.
            ("0.64 ±.02 1.2", "0.64+-.02 1.2"),
            ("a ±.02│  b", "a+-.02|  b"),
            ("KLD ± err", "KLD +-err"),
            ("≈0.99", "~0.99"),
            ("x ≤ 5  ", "x <=5  "),
            ("∞: none   ", "inf: none "),
            ("a↵b  ", "a\\nb "),
            ("≠ ≥1  ", "!=>=1 "),
            // Without any room a single character stands for it, and never that of another.
            ("±1", "+1"),
            ("\"a\"↵", "\"a\"\\"),
        ] {
            assert_eq!(shown(&[line]), [wanted], "{line}");
        }
        let marks = ["●", "◆", "▲", "■", "+", "×", "○", "◇", "△", "□", "▼", "★"];
        let mut own: Vec<&str> = marks.iter().map(|mark| ascii(mark).unwrap_or(mark)).collect();
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), marks.len(), "{own:?}");
        let plan = ["●", "◐", "○", "8", "·"].map(|mark| ascii(mark).unwrap_or(mark));
        assert_eq!(plan, ["*", "@", "o", "8", "."]);
    }

    #[test]
    fn the_palette_s_own_colours_are_found() {
        for index in [16, 21, 123, 196, 231, 240, 255] {
            let [r, g, b] = of_256(index);
            let found = nearest_256(u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b));
            let Color::Indexed(found) = found else { panic!("{found:?}") };
            assert_eq!(of_256(found), of_256(index));
        }
    }
}
