//! Colours and glyphs of the printed map, from 24-bit colour down to ASCII.

use std::io::IsTerminal;

use crate::printable::{Breaks, printable};

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum When {
    /// On a terminal that shows colours, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Number of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    None,
    Indexed,
    True,
}

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink {
    pub(super) depth: Depth,
    /// Only ASCII characters.
    pub(super) ascii: bool,
}

/// The meaning of a colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tone {
    /// A share, 0..=1, on the colour scale.
    Share(f64),
    /// Explanatory text.
    Faint,
    /// Important numbers.
    Strong,
    /// A bar.
    Bar,
    /// The mark and the background of a dropped head.
    Dropped,
    DroppedGround,
}

struct Step {
    rgb: (u8, u8, u8),
    indexed: u8,
}

/// Viridis in 16 steps, enough for shares of 16 channels, each with the nearest of the 256 colours
/// whose luminance does not fall.
const SCALE: [Step; 16] = [
    Step { rgb: (71, 1, 85), indexed: 53 },
    Step { rgb: (72, 25, 108), indexed: 53 },
    Step { rgb: (71, 48, 125), indexed: 60 },
    Step { rgb: (66, 68, 136), indexed: 60 },
    Step { rgb: (59, 87, 141), indexed: 60 },
    Step { rgb: (49, 104, 142), indexed: 60 },
    Step { rgb: (40, 120, 142), indexed: 30 },
    Step { rgb: (33, 136, 140), indexed: 30 },
    Step { rgb: (31, 152, 137), indexed: 30 },
    Step { rgb: (37, 168, 132), indexed: 36 },
    Step { rgb: (53, 183, 121), indexed: 72 },
    Step { rgb: (81, 197, 103), indexed: 77 },
    Step { rgb: (120, 209, 78), indexed: 113 },
    Step { rgb: (166, 219, 51), indexed: 149 },
    Step { rgb: (213, 226, 30), indexed: 184 },
    Step { rgb: (252, 231, 33), indexed: 220 },
];

impl Ink {
    /// What standard output can show.
    pub(super) fn of_stdout(when: When, ascii: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self::of(when, ascii, terminal, |name| {
            std::env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    fn of(
        when: When,
        ascii: bool,
        terminal: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let term = variable("TERM").unwrap_or_default();
        let wanted = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && variable("NO_COLOR").is_none() && term != "dumb",
        };
        let many = matches!(variable("COLORTERM").as_deref(), Some("truecolor" | "24bit"));
        let depth = match wanted {
            true if many => Depth::True,
            true if term.contains("256color") || when == When::Always => Depth::Indexed,
            _ => Depth::None,
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(variable)
            .map(|locale| locale.to_ascii_lowercase());
        let utf8 = locale.is_none_or(|locale| locale.contains("utf-8") || locale.contains("utf8"));
        Self { depth, ascii: ascii || !utf8 }
    }

    fn colour(self, tone: Tone, ground: bool) -> String {
        let what = if ground { 48 } else { 38 };
        let ((r, g, b), indexed) = match tone {
            Tone::Share(share) => {
                let step = &SCALE[(share * (SCALE.len() - 1) as f64).round() as usize];
                (step.rgb, step.indexed)
            }
            Tone::Faint => ((138, 138, 148), 245),
            Tone::Strong => ((130, 210, 190), 115),
            Tone::Bar => ((86, 132, 124), 66),
            Tone::Dropped => ((128, 128, 128), 244),
            Tone::DroppedGround => ((38, 38, 38), 235),
        };
        match self.depth {
            Depth::None => String::new(),
            Depth::Indexed => format!("{what};5;{indexed}"),
            Depth::True => format!("{what};2;{r};{g};{b}"),
        }
    }
}

/// Writes text with colours, and emits escape codes only where they change.
pub(super) struct Pen {
    ink: Ink,
    text: String,
    now: (Option<Tone>, Option<Tone>),
}

impl Pen {
    pub(super) fn new(ink: Ink) -> Self {
        Self { ink, text: String::new(), now: (None, None) }
    }

    /// Number of colours.
    pub(super) fn depth(&self) -> Depth {
        self.ink.depth
    }

    /// Writes text in a tone on the terminal's own background.
    pub(super) fn put(&mut self, tone: Option<Tone>, text: &str) {
        self.on(tone, None, text);
    }

    /// Writes text in a tone on a background.
    pub(super) fn on(&mut self, tone: Option<Tone>, ground: Option<Tone>, text: &str) {
        if self.ink.depth != Depth::None && self.now != (tone, ground) {
            let colours = [
                tone.map(|tone| self.ink.colour(tone, false)),
                ground.map(|tone| self.ink.colour(tone, true)),
            ];
            let codes: Vec<String> =
                std::iter::once("0".to_string()).chain(colours.into_iter().flatten()).collect();
            self.text.push_str(&format!("\x1b[{}m", codes.join(";")));
            self.now = (tone, ground);
        }
        // Names and notes of a mask file come through here.
        let text = printable(text, Breaks::Kept);
        match self.ink.ascii {
            true => self.text.extend(text.chars().map(ascii)),
            false => self.text.push_str(&text),
        }
    }

    /// Writes two shares, one above the other, in one cell.
    pub(super) fn pixels(&mut self, upper: f64, lower: f64) {
        let mean = f64::midpoint(upper, lower);
        match (self.ink.depth, self.ink.ascii) {
            (Depth::None, true) => self.put(None, ramp(" .:-=+*#%@", mean)),
            (Depth::None, false) => self.put(None, ramp(" ░▒▓█", mean)),
            (_, true) => self.on(None, Some(Tone::Share(mean)), " "),
            (_, false) => self.on(Some(Tone::Share(upper)), Some(Tone::Share(lower)), "▀"),
        }
    }

    /// Ends the line.
    pub(super) fn line(&mut self) {
        self.put(None, "");
        let kept = self.text.trim_end_matches(' ').len();
        self.text.truncate(kept);
        self.text.push('\n');
    }

    /// Returns everything written.
    pub(super) fn finish(mut self) -> String {
        self.put(None, "");
        self.text
    }
}

/// The glyph of a share: the first is for exactly 0, the last for 1.
fn ramp(glyphs: &'static str, share: f64) -> &'static str {
    let last = glyphs.chars().count() - 1;
    let index =
        if share <= 0.0 { 0 } else { ((share * last as f64).ceil() as usize).clamp(1, last) };
    let mut glyphs = glyphs.char_indices().map(|(at, glyph)| &glyphs[at..at + glyph.len_utf8()]);
    glyphs.nth(index).unwrap_or_default()
}

/// The ASCII replacement for a character.
fn ascii(character: char) -> char {
    match character {
        ' '..='~' | '\n' => character,
        '×' => 'x',
        '·' | '–' | '─' => '-',
        '█' | '▇' | '▆' | '▅' | '▉' | '▊' | '▋' | '▌' => '#',
        '▁' | '▂' | '▃' | '▄' | '▏' | '▎' | '▍' => '.',
        '│' | '┤' => '|',
        '└' => '+',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_goes_from_true_colour_to_ascii() {
        let of = |when, terminal, variables: &[(&str, &str)]| {
            let find = |name: &str| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
            };
            Ink::of(when, false, terminal, find)
        };
        let ink = |depth, ascii| Ink { depth, ascii };
        let xterm = ("TERM", "xterm-256color");
        assert_eq!(
            of(When::Auto, true, &[xterm, ("COLORTERM", "truecolor")]),
            ink(Depth::True, false)
        );
        assert_eq!(of(When::Auto, true, &[xterm]), ink(Depth::Indexed, false));
        assert_eq!(of(When::Auto, true, &[xterm, ("NO_COLOR", "1")]), ink(Depth::None, false));
        assert_eq!(
            of(When::Auto, true, &[("TERM", "dumb"), ("COLORTERM", "truecolor")]),
            ink(Depth::None, false)
        );
        assert_eq!(
            of(When::Auto, false, &[xterm, ("COLORTERM", "truecolor")]),
            ink(Depth::None, false),
            "not a terminal"
        );
        assert_eq!(of(When::Always, false, &[("NO_COLOR", "1")]), ink(Depth::Indexed, false));
        assert_eq!(of(When::Never, true, &[xterm]), ink(Depth::None, false));
        assert_eq!(
            of(When::Auto, true, &[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]),
            ink(Depth::None, true)
        );
        assert_eq!(of(When::Auto, true, &[("LANG", "de_DE.utf8")]), ink(Depth::None, false));
    }

    #[test]
    fn the_scale_never_gets_darker() {
        let luminance = |(r, g, b): (u8, u8, u8)| {
            0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
        };
        let cube = |index: u8| {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            (level((index - 16) / 36), level((index - 16) / 6 % 6), level((index - 16) % 6))
        };
        for pair in SCALE.windows(2) {
            assert!(luminance(pair[0].rgb) < luminance(pair[1].rgb));
            assert!(luminance(cube(pair[0].indexed)) <= luminance(cube(pair[1].indexed)));
        }
    }

    #[test]
    fn nothing_and_everything_have_their_own_glyphs() {
        assert_eq!(
            [0.0, 0.01, 0.5, 0.99, 1.0].map(|share| ramp(" ░▒▓█", share)),
            [" ", "░", "▒", "█", "█"]
        );
        assert!(
            "×·█▃│└"
                .chars()
                .map(ascii)
                .all(|character| character.is_ascii_graphic() && character != '?')
        );
    }
}
