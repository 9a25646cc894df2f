//! The map as a picture with a pixel or more per channel, for terminals that show pictures.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::tui::app::areas::areas;
use crate::tui::app::pictures;
use crate::tui::app::pictures::CELL;
use crate::tui::app::shader::Shader;
use crate::tui::app::state::State;
use crate::tui::color::{Rgb, Role, STEPS, Shade, paint};
use crate::tui::graphics::{PlacedPicture, Raster, number_of};
use crate::tui::screen::Screen;
use crate::tui::screen::map::layout;
use crate::tui::screen::map::layout::Grid;
use crate::tui::screen::map::state::Level;

/// The picture of the map, where that is the current screen; `None` where cells show everything.
pub fn picture(state: &State) -> Option<PlacedPicture> {
    let is_map = state.screen == Screen::Map && state.screens.map.level == Level::Model;
    if !is_map || !pictures::are_shown(state) {
        return None;
    }
    let shader = Shader::of(state)?;
    let grid = layout::grid(state, areas(state).main, shader.model.shape());
    of_grid(state, &shader, &grid)
}

/// The picture of a grid.
fn of_grid(state: &State, shader: &Shader<'_>, grid: &Grid) -> Option<PlacedPicture> {
    let area = grid.area;
    if !pictures::fits(area) {
        return None;
    }
    let mut content = DefaultHasher::new();
    (area.x, area.y, area.width, area.height, grid.strip, grid.rows).hash(&mut content);
    (grid.lines.len(), grid.heads.start, state.theme.light).hash(&mut content);
    state.theme.colormap.name().hash(&mut content);
    state.theme.palette.color(Role::Neutral).hash(&mut content);
    for layer in grid.layers() {
        for head in grid.heads.clone() {
            shader.is_dropped(layer, head).hash(&mut content);
            for channel in 0..grid.shape.head_dim {
                step(shader.pool(layer, head, std::iter::once(channel))).hash(&mut content);
            }
        }
    }
    Some(PlacedPicture { id: number_of(content.finish()), area })
}

/// A shade in as few numbers as it has colours.
fn step(shade: Shade) -> u8 {
    let of = |share: f32| ((share.clamp(0.0, 1.0) * STEPS as f32) as u8).min(STEPS as u8 - 1);
    match shade {
        Shade::Share(share) => of(share),
        Shade::Difference(share) => 64 + of(share),
        Shade::Absent => 255,
    }
}

/// The pixels of the picture.
pub fn raster(state: &State) -> Option<Raster> {
    let shader = Shader::of(state)?;
    let grid = layout::grid(state, areas(state).main, shader.model.shape());
    Some(of_pixels(state, &shader, &grid))
}

fn of_pixels(state: &State, shader: &Shader<'_>, grid: &Grid) -> Raster {
    let pairs = grid.shape.pairs();
    // Every channel has a pixel.
    let wide = CELL.0.max(pairs.div_ceil(usize::from(grid.strip).max(1)));
    let size = (usize::from(grid.area.width) * wide, usize::from(grid.area.height) * CELL.1);
    let ground = state.theme.palette.ground;
    let mut pixels = vec![ground; size.0 * size.1];
    for layers in &grid.lines {
        for head in grid.heads.clone() {
            let Some(strip) = grid.strip_of(layers.start, head) else { continue };
            let origin = (
                usize::from(strip.x - grid.area.x) * wide,
                usize::from(strip.y - grid.area.y) * CELL.1,
            );
            let (width, height) =
                (usize::from(strip.width) * wide, usize::from(strip.height) * CELL.1);
            for half in 0..2 {
                // The upper half has the first channels of the pairs, or the first of two layers.
                let rows = half * height / 2..(half + 1) * height / 2;
                let layer = if layers.len() > 1 { layers.start + half } else { layers.start };
                for x in 0..width {
                    let own =
                        x * pairs / width..((x + 1) * pairs / width).max(x * pairs / width + 1);
                    let shade = match layers.len() {
                        1 => shader.pool(layer, head, own.map(|pair| pair + half * pairs)),
                        _ => shader.pool(layer, head, own.flat_map(|pair| [pair, pair + pairs])),
                    };
                    let color = paint(shade, &state.theme);
                    let dropped = shader.is_dropped(layer, head);
                    for y in rows.clone() {
                        let at = (origin.1 + y) * size.0 + origin.0 + x;
                        pixels[at] = if dropped { crossed(state, x, y) } else { color };
                    }
                }
            }
        }
    }
    Raster::of(size.0, size.1, |x, y| pixels[y * size.0 + x])
}

/// Crossing lines on the ground of what is not stored.
fn crossed(state: &State, x: usize, y: usize) -> Rgb {
    const EVERY: usize = 8;
    let line = (x + y).is_multiple_of(EVERY) || (x + EVERY - y % EVERY).is_multiple_of(EVERY);
    state.theme.palette.color(if line { Role::Cross } else { Role::Neutral })
}

#[cfg(test)]
mod tests {
    use ratatui::style::Color;

    use super::*;
    use crate::mask::Shape;
    use crate::tui::color::{ColorDepth, rgb};
    use crate::tui::graphics::{Graphics, transmit};
    use crate::tui::testing::{LARGE, SMALL, act, draw, session};

    const KITTY: Graphics = Graphics::Kitty { through_tmux: false };

    fn shown(shape: Shape) -> State {
        let mut state = session(shape, ColorDepth::True);
        state.size = (200, 60);
        state
    }

    /// What the terminal gets, decoded.
    fn received(state: &State, picture: PlacedPicture) -> Raster {
        use base64::Engine;
        let raster = raster(state).expect("pixels");
        let cells = (picture.area.width, picture.area.height);
        let sent = transmit(picture.id, &raster, cells, KITTY).expect("a PNG");
        let data: String = (sent.split("\u{1b}_G").skip(1))
            .filter_map(|piece| piece.split_once(';')?.1.strip_suffix("\u{1b}\\"))
            .collect();
        let png = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        Raster::from_png(&png)
    }

    #[test]
    fn the_transmitted_picture_shows_what_the_cells_show() {
        for shape in [SMALL, LARGE] {
            let mut state = shown(shape);
            let cells = draw(&state);
            state.graphics = KITTY;
            let picture = picture(&state).expect("a picture");
            let pixels = received(&state, picture);
            let wide = pixels.width / usize::from(picture.area.width);
            assert_eq!(pixels.height, usize::from(picture.area.height) * CELL.1);
            let grid = layout::grid(&state, areas(&state).main, shape);
            let shader = Shader::of(&state).expect("a model");
            let mut compared = 0;
            for layer in 0..shape.layers {
                for head in grid.heads.clone() {
                    let strip = grid.strip_of(layer, head).expect("shown");
                    if shader.is_dropped(layer, head) || grid.pairs_at(0).len() > 1 {
                        continue;
                    }
                    for (x, y) in (0..strip.width).flat_map(|x| [(x, 0), (x, strip.height - 1)]) {
                        let at = (strip.x + x, strip.y + y);
                        let cell = &cells[at];
                        // Brackets and underlines are drawn over the map.
                        let (upper, lower) = match cell.symbol() {
                            "▀" => (cell.fg, cell.bg),
                            _ => (cell.bg, cell.bg),
                        };
                        for (color, half) in [(upper, 0), (lower, 1)] {
                            let px = usize::from(at.0 - picture.area.x) * wide + wide / 2;
                            let py = usize::from(at.1 - picture.area.y) * CELL.1
                                + half * CELL.1 / 2
                                + CELL.1 / 4;
                            assert_eq!(rgb(pixels.at(px, py)), color, "L{layer} h{head} {x},{y}");
                            compared += 1;
                        }
                    }
                }
            }
            assert!(compared > 100 || grid.pairs_at(0).len() > 1, "{shape}: {compared}");
        }
    }

    #[test]
    fn every_channel_has_a_pixel_of_its_own_colour() {
        let mut state = shown(LARGE);
        state.graphics = KITTY;
        let picture = picture(&state).expect("a picture");
        let pixels = received(&state, picture);
        let wide = pixels.width / usize::from(picture.area.width);
        let grid = layout::grid(&state, areas(&state).main, LARGE);
        let shader = Shader::of(&state).expect("a model");
        let (layer, head) = (0..LARGE.layers)
            .flat_map(|layer| (0..LARGE.kv_heads).map(move |head| (layer, head)))
            .find(|&(layer, head)| {
                !shader.is_dropped(layer, head) && grid.strip_of(layer, head).is_some()
            })
            .expect("a head that is kept");
        let strip = grid.strip_of(layer, head).expect("shown");
        let width = usize::from(strip.width) * wide;
        assert!(width >= LARGE.pairs());
        for pair in 0..LARGE.pairs() {
            let x = usize::from(strip.x - picture.area.x) * wide
                + (pair * width).div_ceil(LARGE.pairs());
            let y = usize::from(strip.y - picture.area.y) * CELL.1 + 1;
            let shade = shader.pool(layer, head, std::iter::once(pair));
            assert_eq!(pixels.at(x, y), paint(shade, &state.theme), "pair {pair}");
        }
    }

    #[test]
    fn placeholders_stand_where_the_strips_are_and_the_number_follows_the_content() {
        use crate::tui::app::action::Command;
        let mut state = shown(SMALL);
        state.graphics = KITTY;
        let first = picture(&state).expect("a picture");
        let frame = draw(&state);
        let grid = layout::grid(&state, areas(&state).main, SMALL);
        let strip = grid.strip_of(1, 1).expect("shown");
        let cell = &frame[(strip.x + 2, strip.y)];
        assert!(cell.symbol().starts_with('\u{10eeee}'), "{:?}", cell.symbol());
        let [_, red, green, blue] = first.id.to_be_bytes();
        assert_eq!(cell.fg, Color::Rgb(red, green, blue));
        act(&mut state, Command::Right);
        assert_eq!(picture(&state), Some(first), "the cursor is drawn in cells");
        act(&mut state, Command::Metric);
        assert_ne!(picture(&state).expect("a picture").id, first.id);
        act(&mut state, Command::Palette);
        assert_eq!(picture(&state), None, "a list covers the map");
        state.overlay = None;
        state.theme = crate::tui::color::Theme::new(ColorDepth::None, false, state.theme.colormap);
        assert_eq!(picture(&state), None, "without colour there is no picture");
    }
}
