//! The map as a picture for reports: every channel of every head, axes, legend and caption.

use crate::mask::Shape;
use crate::tui::app::model::ModelView;
use crate::tui::app::shader::Shader;
use crate::tui::app::state::State;
use crate::tui::color::{Role, STEPS, Shade, paint};
use crate::tui::export::canvas::{Anchor, Bitmap, Canvas, LETTER, Svg, TextLook};
use crate::tui::export::screen;
use crate::{Error, Result};

/// Size of a channel in pixels.
const CELL: usize = 4;
/// Pixels between strips and between layers.
const GAP: usize = 4;

/// Positions of the channels: the upper half of a strip holds the first channels of the pairs, the
/// lower half the second.
struct PictureGrid {
    shape: Shape,
    cell: (usize, usize),
}

impl PictureGrid {
    fn new(shape: Shape) -> Self {
        // Small models get taller rows, so that the picture is not too flat.
        let tall = (320 / (shape.layers * 2)).clamp(CELL, 24);
        let wide = (640 / (shape.kv_heads * shape.pairs().max(1))).clamp(CELL, 10);
        Self { shape, cell: (wide, tall) }
    }

    fn strip(&self) -> (usize, usize) {
        (self.shape.pairs() * self.cell.0, 2 * self.cell.1)
    }

    fn size(&self) -> (usize, usize) {
        let (width, height) = self.strip();
        ((width + GAP) * self.shape.kv_heads - GAP, (height + GAP) * self.shape.layers - GAP)
    }

    /// Calls `draw` with the position and shade of every channel.
    fn each(&self, shader: &Shader<'_>, mut draw: impl FnMut((usize, usize), Shade)) {
        let (width, height) = self.strip();
        for layer in 0..self.shape.layers {
            for head in 0..self.shape.kv_heads {
                let (x, y) = (head * (width + GAP), layer * (height + GAP));
                for channel in 0..self.shape.pairs() * 2 {
                    let (pair, half) = (channel % self.shape.pairs(), channel / self.shape.pairs());
                    let shade = shader.pool(layer, head, std::iter::once(channel));
                    draw((x + pair * self.cell.0, y + half * self.cell.1), shade);
                }
            }
        }
    }

    /// Calls `draw` with the position of every head that keeps no channels.
    fn each_dropped(&self, shader: &Shader<'_>, mut draw: impl FnMut((usize, usize))) {
        let (width, height) = self.strip();
        for layer in 0..self.shape.layers {
            for head in (0..self.shape.kv_heads).filter(|&head| shader.is_dropped(layer, head)) {
                draw((head * (width + GAP), layer * (height + GAP)));
            }
        }
    }
}

/// Columns left of the strips, rows above them, and what is below and at the right.
const LEFT: f32 = 56.0;
const RIGHT: f32 = 24.0;
/// Height of a line of small letters, and their size.
const LINE: f32 = 15.0;
const SMALL: f32 = 11.0;
const LARGE: f32 = 15.0;
/// The legend: its width and the rows that it takes.
const LEGEND: f32 = 256.0;
const BELOW: f32 = 64.0;
/// The least width of a picture, in which its texts have few lines.
const LEAST: f32 = 560.0;

/// The map with its texts, and where each is.
struct MapPicture<'a> {
    state: &'a State,
    model: &'a ModelView,
    shader: Shader<'a>,
    grid: PictureGrid,
    /// Lines above the strips, and whether each is of the title.
    lines: Vec<(String, bool)>,
    width: f32,
}

impl<'a> MapPicture<'a> {
    fn of(state: &'a State, model: &'a ModelView) -> Result<Self> {
        let shader =
            Shader::of(state).ok_or_else(|| Error::run("there is no map to export yet"))?;
        let grid = PictureGrid::new(model.shape());
        let width = (grid.size().0 as f32 + LEFT + RIGHT).max(LEAST);
        let shape = model.shape();
        let title = format!("{} · {}", screen::title(model), shader.title());
        let caption = format!(
            "{}, {} scale · {} layers from top to bottom, {} KV heads from left to right · in a strip fast rotation is left, slow right · upper half: channels 0–{}, lower half: their partners",
            shader.unit(),
            shader.scale.name(),
            shape.layers,
            shape.kv_heads,
            shape.pairs().saturating_sub(1)
        );
        let columns = |size: f32| ((width - LEFT - RIGHT) / (size * LETTER)) as usize;
        let mut lines = screen::lines_of(&title, columns(LARGE), true);
        lines.extend(screen::lines_of(&caption, columns(SMALL), false));
        Ok(Self { state, model, shader, grid, lines, width })
    }

    /// Rows above the strips: the texts, and the names of the heads.
    fn top(&self) -> f32 {
        let tall = |(_, is_title): &(String, bool)| if *is_title { LARGE + 5.0 } else { LINE };
        12.0 + self.lines.iter().map(tall).sum::<f32>() + LINE + 8.0
    }

    fn size(&self) -> (f32, f32) {
        (self.width, self.top() + self.grid.size().1 as f32 + BELOW)
    }

    fn draw(&self, canvas: &mut impl Canvas) {
        let palette = &self.state.theme.palette;
        let look = |role: Role, anchor| TextLook {
            size: SMALL,
            color: palette.color(role),
            bold: false,
            anchor,
        };
        let mut y = 12.0;
        for (line, is_title) in &self.lines {
            let (size, bold) = if *is_title { (LARGE, true) } else { (SMALL, false) };
            y += if *is_title { LARGE + 5.0 } else { LINE };
            let role = if *is_title { Role::Title } else { Role::Dim };
            canvas.text(
                (LEFT, y - 3.0),
                line,
                TextLook { size, bold, ..look(role, Anchor::Start) },
            );
        }
        let (shape, top) = (self.model.shape(), self.top());
        let (wide, tall) = self.grid.strip();
        for head in 0..shape.kv_heads {
            let x = LEFT + (head * (wide + GAP)) as f32;
            canvas.text((x, top - 6.0), &format!("h{head}"), look(Role::Dim, Anchor::Start));
        }
        // Layers whose labels would touch have one every few rows.
        let every = (LINE / (tall + GAP) as f32).ceil().max(1.0) as usize;
        for layer in (0..shape.layers).step_by(every) {
            let y = top + (layer * (tall + GAP)) as f32 + tall as f32 / 2.0 + 4.0;
            canvas.text((LEFT - 6.0, y), &format!("L{layer}"), look(Role::Dim, Anchor::End));
        }
        let (cell_wide, cell_tall) = self.grid.cell;
        self.grid.each(&self.shader, |(x, y), shade| {
            canvas.rect(
                (LEFT + x as f32, top + y as f32),
                (cell_wide as f32, cell_tall as f32),
                paint(shade, &self.state.theme),
            );
        });
        let ink = palette.color(Role::Text);
        self.grid.each_dropped(&self.shader, |(x, y)| {
            let (left, upper) = (LEFT + x as f32, top + y as f32);
            let (right, lower) = (left + wide as f32, upper + tall as f32);
            canvas.line((left, upper), (right, lower), ink);
            canvas.line((left, lower), (right, upper), ink);
        });
        self.legend(top + self.grid.size().1 as f32 + 20.0, canvas);
    }

    fn legend(&self, y: f32, canvas: &mut impl Canvas) {
        let theme = &self.state.theme;
        let color = theme.palette.color(Role::Text);
        let look = |anchor| TextLook { size: SMALL, color, bold: false, anchor };
        let each = LEGEND / STEPS as f32;
        for step in 0..STEPS {
            let share = (step as f32 + 0.5) / STEPS as f32;
            let shade = match self.shader.other.is_some() {
                true => Shade::Difference(share),
                false => Shade::Share(share),
            };
            canvas.rect((LEFT + step as f32 * each, y), (each, 12.0), paint(shade, theme));
        }
        for (share, anchor) in [(0.0, Anchor::Start), (0.5, Anchor::Middle), (1.0, Anchor::End)] {
            let x = LEFT + share * LEGEND;
            canvas.text((x, y + 26.0), &self.shader.legend(share), look(anchor));
        }
        let x = LEFT + LEGEND + 20.0;
        canvas.line((x, y), (x + 12.0, y + 12.0), color);
        canvas.line((x, y + 12.0), (x + 12.0, y), color);
        canvas.text((x + 20.0, y + 10.0), "dropped head", look(Anchor::Start));
    }
}

/// The map as SVG.
///
/// # Errors
/// Before there is a map.
pub fn svg(state: &State, model: &ModelView) -> Result<String> {
    let picture = MapPicture::of(state, model)?;
    let mut canvas = Svg::new(picture.size(), state.theme.palette.ground);
    picture.draw(&mut canvas);
    Ok(canvas.finish())
}

/// The map as PNG.
///
/// # Errors
/// Before there is a map, and when it is too large.
pub fn png(state: &State, model: &ModelView) -> Result<Vec<u8>> {
    let picture = MapPicture::of(state, model)?;
    let mut canvas = Bitmap::new(picture.size(), state.theme.palette.ground)?;
    picture.draw(&mut canvas);
    canvas.finish()
}
