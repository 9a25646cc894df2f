//! Pictures with real pixels, in the graphics protocol of Kitty: the picture goes to the terminal as
//! a PNG, and the cells that show it hold placeholders, which any program in between passes on like
//! letters.

mod marks;
mod raster;

use std::num::NonZeroU16;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

pub use raster::Raster;

use crate::Result;

/// How pictures get to the terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Graphics {
    /// There are none: cells show everything.
    #[default]
    Cells,
    /// Kitty's protocol.
    Kitty {
        /// Whether tmux is in between, and has to pass the sequences on.
        through_tmux: bool,
    },
}

/// Where a picture is and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedPicture {
    /// Its number: another content has another.
    pub id: u32,
    /// The cells that it covers.
    pub area: Rect,
}

/// The character that stands for a piece of a picture.
const PLACEHOLDER: char = '\u{10eeee}';
/// Most characters of a piece of the data.
const CHUNK: usize = 4096;
/// The question whether the terminal knows the protocol: a picture of one pixel that is not kept.
pub const QUERY: &str = "\u{1b}_Gi=4193,s=1,v=1,a=q,t=d,f=24;AAAA\u{1b}\\";
/// The answer of one that does.
pub const KNOWN: &str = "\u{1b}_Gi=4193;OK\u{1b}\\";

/// Most columns and rows of a picture.
pub const MOST_CELLS: u16 = marks::MARKS.len() as u16;

/// What sends a picture to the terminal, to be shown in `columns` by `rows` cells with placeholders.
///
/// # Errors
/// When the PNG cannot be made, which takes no file.
pub fn transmit(id: u32, raster: &Raster, cells: (u16, u16), graphics: Graphics) -> Result<String> {
    let data = STANDARD.encode(raster.png()?);
    let (columns, rows) = cells;
    let mut sent = String::new();
    let mut rest = data.as_str();
    let mut is_first = true;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(CHUNK));
        let more = u8::from(!after.is_empty());
        let keys = match is_first {
            // Transmitted and placed at once, as a placement that only placeholders show; nothing
            // is answered.
            true => format!("a=T,U=1,f=100,t=d,q=2,i={id},c={columns},r={rows},m={more}"),
            false => format!("q=2,m={more}"),
        };
        sent += &wrapped(&format!("\u{1b}_G{keys};{piece}\u{1b}\\"), graphics);
        if after.is_empty() {
            return Ok(sent);
        }
        (rest, is_first) = (after, false);
    }
}

/// What makes the terminal forget a picture.
pub fn forget(id: u32, graphics: Graphics) -> String {
    wrapped(&format!("\u{1b}_Ga=d,d=I,q=2,i={id}\u{1b}\\"), graphics)
}

/// The sequence as it gets through tmux, which passes on what is wrapped with every escape doubled.
fn wrapped(sequence: &str, graphics: Graphics) -> String {
    match graphics {
        Graphics::Kitty { through_tmux: true } => {
            format!("\u{1b}Ptmux;{}\u{1b}\\", sequence.replace('\u{1b}', "\u{1b}\u{1b}"))
        }
        _ => sequence.to_owned(),
    }
}

/// Puts placeholders into the cells of `part`, of a picture that covers `whole`. The colour of the
/// text is the number of the picture.
pub fn place(id: u32, part: Rect, whole: Rect, buffer: &mut Buffer) {
    let [_, red, green, blue] = id.to_be_bytes();
    let style = Style::new().fg(Color::Rgb(red, green, blue)).bg(Color::Reset);
    let part = part.intersection(buffer.area).intersection(whole);
    for y in part.top()..part.bottom() {
        for x in part.left()..part.right() {
            let (row, column) = (usize::from(y - whole.y), usize::from(x - whole.x));
            let (Some(row), Some(column)) = (marks::MARKS.get(row), marks::MARKS.get(column))
            else {
                continue;
            };
            let cell = &mut buffer[(x, y)];
            cell.set_symbol(&format!("{PLACEHOLDER}{row}{column}")).set_style(style);
            cell.set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
        }
    }
}

/// The number of a picture with this content: from 1 to 2^24 - 1, as the colour of text can say.
pub fn number_of(content: u64) -> u32 {
    ((content ^ (content >> 24) ^ (content >> 48)) as u32 & 0xff_ffff).max(1)
}

/// Whether a terminal of this environment knows placeholders. Others answer the question as well,
/// and would show unknown characters.
pub fn may_know_placeholders(lookup: impl Fn(&str) -> Option<String>) -> bool {
    let has = |name: &str, words: &[&str]| {
        let value = lookup(name).unwrap_or_default().to_lowercase();
        words.iter().any(|word| value.contains(word))
    };
    has("TERM", &["kitty", "ghostty"]) || has("TERM_PROGRAM", &["kitty", "ghostty"])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECT: Graphics = Graphics::Kitty { through_tmux: false };
    const TMUX: Graphics = Graphics::Kitty { through_tmux: true };

    /// What a terminal reads: keys and data of every sequence.
    fn read(sent: &str) -> Vec<(Vec<(String, String)>, String)> {
        let pieces = sent.split("\u{1b}_G").skip(1);
        let one = |piece: &str| {
            let piece = piece.strip_suffix("\u{1b}\\").expect("ended");
            let (keys, data) = piece.split_once(';').expect("keys and data");
            let pair = |key: &str| {
                let (key, value) = key.split_once('=').expect("a pair");
                (key.to_owned(), value.to_owned())
            };
            (keys.split(',').map(pair).collect(), data.to_owned())
        };
        pieces.map(one).collect()
    }

    fn noisy() -> Raster {
        let mut random = crate::random::SplitMix64::new(7);
        Raster::of(200, 90, |_, _| (random.draw() & 0xff_ffff) as u32)
    }

    #[test]
    fn a_picture_arrives_whole_in_pieces_that_the_protocol_allows() {
        let raster = noisy();
        let sent = transmit(0x12_3456, &raster, (40, 12), DIRECT).expect("a PNG");
        let pieces = read(&sent);
        assert!(pieces.len() > 3, "{}", pieces.len());
        let key = |at: usize, name: &str| {
            let found = pieces[at].0.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        for (name, value) in [("a", "T"), ("U", "1"), ("f", "100"), ("t", "d"), ("q", "2")] {
            assert_eq!(key(0, name), Some(value), "{name}");
        }
        assert_eq!((key(0, "c"), key(0, "r")), (Some("40"), Some("12")));
        assert_eq!(key(0, "i"), Some("1193046"));
        let last = pieces.len() - 1;
        for (at, (keys, data)) in pieces.iter().enumerate() {
            assert_eq!(key(at, "m"), Some(if at == last { "0" } else { "1" }));
            assert!(data.len() <= CHUNK && (at == last || data.len().is_multiple_of(4)));
            assert!(at == 0 || keys.len() == 2, "later pieces have m and q alone: {keys:?}");
        }
        let data: String = pieces.iter().map(|(_, data)| data.as_str()).collect();
        let png = STANDARD.decode(data).expect("base64");
        assert_eq!(Raster::from_png(&png), raster);
    }

    #[test]
    fn tmux_gets_every_escape_doubled_within_its_own() {
        let sent = transmit(5, &noisy(), (40, 12), TMUX).expect("a PNG");
        let direct = transmit(5, &noisy(), (40, 12), DIRECT).expect("a PNG");
        let mut unwrapped = String::new();
        for piece in sent.split("\u{1b}Ptmux;").skip(1) {
            let inner = piece.strip_suffix("\u{1b}\\").expect("ended");
            assert_eq!(inner.matches('\u{1b}').count(), 4, "both ends doubled");
            unwrapped += &inner.replace("\u{1b}\u{1b}", "\u{1b}");
        }
        assert_eq!(unwrapped, direct);
        assert_eq!(forget(5, DIRECT), "\u{1b}_Ga=d,d=I,q=2,i=5\u{1b}\\");
    }

    #[test]
    fn placeholders_say_picture_row_and_column() {
        let whole = Rect::new(2, 1, 300, 4);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 310, 6));
        place(0x01_0203, Rect::new(4, 2, 2, 1), whole, &mut buffer);
        assert_eq!(buffer[(4, 2)].symbol(), "\u{10eeee}\u{30d}\u{30e}", "row 1, column 2");
        assert_eq!(buffer[(5, 2)].symbol(), "\u{10eeee}\u{30d}\u{310}");
        assert_eq!(buffer[(4, 2)].fg, Color::Rgb(1, 2, 3));
        assert_eq!(buffer[(6, 2)].symbol(), " ");
        place(1, whole, whole, &mut buffer);
        assert_eq!(buffer[(2 + 297, 1)].symbol(), " ", "more columns than marks");
        assert_eq!(Buffer::empty(buffer.area).diff(&buffer).len(), 4 * 297);
    }

    #[test]
    fn numbers_of_pictures_are_colours_and_never_zero() {
        for content in [0, 1, u64::MAX, 0x0100_0000, 0xdead_beef_dead_beef] {
            assert!((1..=0xff_ffff).contains(&number_of(content)));
        }
        assert_ne!(number_of(1), number_of(2));
        let of = |term: &str| may_know_placeholders(|name| (name == "TERM").then(|| term.into()));
        assert!(of("xterm-kitty") && of("xterm-ghostty") && !of("xterm-256color"));
    }
}
