//! Frames as text, and a text dump of their colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::mask::Shape;
use crate::tui::app::frame;
use crate::tui::app::state::State;
use crate::tui::color::ColorDepth;
use crate::tui::testing::session;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];
const DEPTHS: [ColorDepth; 3] = [ColorDepth::True, ColorDepth::Ansi256, ColorDepth::None];

/// Frames of a prepared session, at every tested size and colour depth, by name.
pub fn frames(name: &str, shape: Shape, prepare: impl Fn(&mut State)) -> Vec<(String, String)> {
    let frame = |depth: ColorDepth, size: (u16, u16)| {
        let mut state = session(shape, depth);
        prepare(&mut state);
        state.size = size;
        let frame = draw(&state);
        let dump = if depth == ColorDepth::None { text(&frame) } else { styled(&frame) };
        (format!("{name}_{}x{}_{}", size.0, size.1, depth.name()), dump)
    };
    DEPTHS.into_iter().flat_map(|depth| SIZES.map(|size| frame(depth, size))).collect()
}

/// Draws a frame.
pub fn draw(state: &State) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, state.size.0, state.size.1));
    frame::render(state, &mut buffer);
    buffer
}

/// The text of a frame, one line per row, without trailing blanks.
pub fn text(buffer: &Buffer) -> String {
    let rows = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    let lines: Vec<String> = rows
        .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// A frame with its colours: below each row of text the foregrounds (`f`), backgrounds (`b`) and
/// modifiers (`m`) that are not the default. Colours are letters, explained at the end.
pub fn styled(buffer: &Buffer) -> String {
    let mut legend: Vec<Color> = Vec::new();
    let mut out = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
        let plane = |cells: Vec<char>, name: char, out: &mut String| {
            let line: String = cells.into_iter().collect();
            if !line.trim_end().is_empty() {
                out.push_str(&format!("{name}|{}\n", line.trim_end()));
            }
        };
        let symbols: String = row.iter().map(|cell| cell.symbol()).collect();
        out.push_str(&format!(" |{}\n", symbols.trim_end()));
        // The foreground colour of a blank is invisible.
        plane(
            row.iter()
                .map(|cell| if cell.symbol() == " " { ' ' } else { letter(&mut legend, cell.fg) })
                .collect(),
            'f',
            &mut out,
        );
        plane(row.iter().map(|cell| letter(&mut legend, cell.bg)).collect(), 'b', &mut out);
        let modifier = |modifier: Modifier| match modifier {
            m if m.contains(Modifier::REVERSED) => 'R',
            m if m.contains(Modifier::BOLD) => 'B',
            m if m.contains(Modifier::DIM) => 'D',
            m if m.contains(Modifier::UNDERLINED) => 'U',
            _ => ' ',
        };
        plane(
            row.iter()
                .map(|cell| {
                    if cell.symbol() == " " && !cell.modifier.contains(Modifier::REVERSED) {
                        ' '
                    } else {
                        modifier(cell.modifier)
                    }
                })
                .collect(),
            'm',
            &mut out,
        );
    }
    for color in legend.clone() {
        let sign = letter(&mut legend, color);
        let name = match color {
            Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
            Color::Indexed(index) => index.to_string(),
            other => other.to_string(),
        };
        out.push_str(&format!("{sign} {name}\n"));
    }
    out
}

/// The letter of a colour; blank for the default. After the letters other printable characters
/// follow: more than the 32 colours of a map and all roles need.
fn letter(legend: &mut Vec<Color>, color: Color) -> char {
    if color == Color::Reset {
        return ' ';
    }
    let at = legend.iter().position(|known| *known == color).unwrap_or_else(|| {
        legend.push(color);
        legend.len() - 1
    });
    ('a'..='z')
        .chain('A'..='Z')
        .chain('0'..='9')
        .chain('\u{100}'..='\u{17f}')
        .nth(at)
        .unwrap_or('?')
}
