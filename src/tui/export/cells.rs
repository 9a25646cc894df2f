//! The cells of a frame on a canvas: grounds, blocks and lines as shapes, everything else as text.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::tui::color::{Rgb, Theme, of_256};
use crate::tui::export::canvas::{Anchor, Canvas, LETTER, TextLook};

/// Width and height of a cell.
pub const CELL: (f32, f32) = (9.0, 18.0);
/// Size of the letters, whose width is that of a cell.
const SIZE: f32 = CELL.0 / LETTER;
/// Where letters stand, below the upper edge of a cell.
const STANDS: f32 = 14.0;
/// Thickness of lines.
const THIN: f32 = 1.0;

/// Draws a part of a frame with its corner at a place.
pub fn draw(
    buffer: &Buffer,
    area: Rect,
    theme: &Theme,
    place: (f32, f32),
    canvas: &mut impl Canvas,
) {
    for y in area.top()..area.bottom() {
        let top = place.1 + f32::from(y - area.y) * CELL.1;
        let left = |x: u16| place.0 + f32::from(x - area.x) * CELL.0;
        // Grounds first: letters may reach over the edge of a cell.
        let mut x = area.left();
        while x < area.right() {
            let (_, back) = colors(&buffer[(x, y)], theme);
            let from = x;
            while x < area.right() && colors(&buffer[(x, y)], theme).1 == back {
                x += 1;
            }
            if back != theme.palette.ground {
                canvas.rect((left(from), top), (f32::from(x - from) * CELL.0, CELL.1), back);
            }
        }
        let mut run = Run::default();
        for x in area.left()..area.right() {
            let cell = &buffer[(x, y)];
            let (ink, back) = colors(cell, theme);
            let bold = cell.modifier.contains(Modifier::BOLD);
            if cell.modifier.contains(Modifier::UNDERLINED) {
                canvas.rect((left(x), top + CELL.1 - 2.0), (CELL.0, THIN), ink);
            }
            let symbol = cell.symbol();
            let is_shape = shape((left(x), top), symbol, ink, back, canvas);
            if is_shape || symbol == " " || run.look != Some((ink, bold)) {
                run.flush(top, canvas);
            }
            if !is_shape && symbol != " " {
                run.add(left(x), symbol, (ink, bold));
            }
        }
        run.flush(top, canvas);
    }
}

/// Letters of one look beside one another.
#[derive(Default)]
struct Run {
    text: String,
    from: f32,
    look: Option<(Rgb, bool)>,
}

impl Run {
    fn add(&mut self, x: f32, symbol: &str, look: (Rgb, bool)) {
        if self.text.is_empty() {
            (self.from, self.look) = (x, Some(look));
        }
        self.text.push_str(symbol);
    }

    fn flush(&mut self, top: f32, canvas: &mut impl Canvas) {
        if let (Some((color, bold)), false) = (self.look, self.text.is_empty()) {
            let look = TextLook { size: SIZE, color, bold, anchor: Anchor::Start };
            canvas.text((self.from, top + STANDS), &self.text, look);
        }
        self.text.clear();
        self.look = None;
    }
}

/// The colours of a cell: of what is on it, and its ground.
fn colors(cell: &Cell, theme: &Theme) -> (Rgb, Rgb) {
    let value = |color: Color, other: Rgb| match color {
        Color::Rgb(red, green, blue) => {
            u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue)
        }
        Color::Indexed(index) => {
            let [red, green, blue] = of_256(index).map(u32::from);
            red << 16 | green << 8 | blue
        }
        _ => other,
    };
    let text = theme.palette.color(crate::tui::color::Role::Text);
    let (ink, back) = (value(cell.fg, text), value(cell.bg, theme.palette.ground));
    if cell.modifier.contains(Modifier::REVERSED) { (back, ink) } else { (ink, back) }
}

/// A colour between two.
fn between(ground: Rgb, ink: Rgb, share: f32) -> Rgb {
    let of = |shift: u32| {
        let part = |color: Rgb| ((color >> shift) & 0xff) as f32;
        ((part(ground) + (part(ink) - part(ground)) * share).round() as u32) << shift
    };
    of(16) | of(8) | of(0)
}

/// Draws a block, a line or dots as shapes, so that they meet; whether the symbol is one.
fn shape((x, y): (f32, f32), symbol: &str, ink: Rgb, back: Rgb, canvas: &mut impl Canvas) -> bool {
    let mut chars = symbol.chars();
    let (Some(c), None) = (chars.next(), chars.next()) else { return false };
    let (width, height) = CELL;
    let eighth = |from: char| (c as u32 - from as u32 + 1) as f32 / 8.0;
    match c {
        '▀' => canvas.rect((x, y), (width, height / 2.0), ink),
        '▐' => canvas.rect((x + width / 2.0, y), (width / 2.0, height), ink),
        '▁'..='█' => {
            let tall = height * eighth('▁');
            canvas.rect((x, y + height - tall), (width, tall), ink);
        }
        '▉'..='▏' => {
            let wide = width * (1.0 - eighth('▉'));
            canvas.rect((x, y), (wide, height), ink);
        }
        '░' | '▒' | '▓' => {
            let share = eighth('░') * 2.0;
            canvas.rect((x, y), (width, height), between(back, ink, share));
        }
        '\u{2800}'..='\u{28ff}' => dots((x, y), c as u32 - 0x2800, ink, canvas),
        _ => return lines((x, y), c, ink, canvas),
    }
    true
}

/// The dots of a braille character.
fn dots((x, y): (f32, f32), bits: u32, ink: Rgb, canvas: &mut impl Canvas) {
    // Column and row of each bit.
    const PLACES: [(f32, f32); 8] = [
        (0.0, 0.0),
        (0.0, 1.0),
        (0.0, 2.0),
        (1.0, 0.0),
        (1.0, 1.0),
        (1.0, 2.0),
        (0.0, 3.0),
        (1.0, 3.0),
    ];
    const DOT: f32 = 2.0;
    let (wide, tall) = (CELL.0 / 2.0, CELL.1 / 4.0);
    for (bit, (column, row)) in PLACES.into_iter().enumerate() {
        if bits >> bit & 1 == 1 {
            let at = (x + (column + 0.5) * wide - DOT / 2.0, y + (row + 0.5) * tall - DOT / 2.0);
            canvas.rect(at, (DOT, DOT), ink);
        }
    }
}

/// The lines of a box, from the middle of a cell to its edges; whether the character is one.
fn lines((x, y): (f32, f32), c: char, ink: Rgb, canvas: &mut impl Canvas) -> bool {
    // Left, right, up, down.
    let arms = match c {
        '─' | '━' | '╌' | '┄' => [true, true, false, false],
        '│' | '┃' | '┆' | '┊' => [false, false, true, true],
        '┌' | '╭' => [false, true, false, true],
        '┐' | '╮' => [true, false, false, true],
        '└' | '╰' => [false, true, true, false],
        '┘' | '╯' => [true, false, true, false],
        '├' => [false, true, true, true],
        '┤' => [true, false, true, true],
        '┬' => [true, true, false, true],
        '┴' => [true, true, true, false],
        '┼' => [true, true, true, true],
        _ => return false,
    };
    let thick = if matches!(c, '━' | '┃') { 2.0 * THIN } else { THIN };
    let (width, height) = CELL;
    let (middle, centre) = (x + (width - thick) / 2.0, y + (height - thick) / 2.0);
    match c {
        '╌' | '┄' => {
            for part in [0.0, 0.5] {
                canvas.rect((x + part * width, centre), (width / 3.0, thick), ink);
            }
            return true;
        }
        '┆' | '┊' => {
            for part in [0.0, 0.25, 0.5, 0.75] {
                canvas.rect((middle, y + part * height), (thick, height / 7.0), ink);
            }
            return true;
        }
        _ => {}
    }
    let [left, right, up, down] = arms;
    let from = if left { x } else { middle };
    let to = if right { x + width } else { middle + thick };
    if left || right {
        canvas.rect((from, centre), (to - from, thick), ink);
    }
    let from = if up { y } else { centre };
    let to = if down { y + height } else { centre + thick };
    if up || down {
        canvas.rect((middle, from), (thick, to - from), ink);
    }
    true
}
