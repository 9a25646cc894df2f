//! A picture of a screen for reports: what is on it, below a title with the model and the mask.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::Result;
use crate::numbers::count;
use crate::tui::app::areas;
use crate::tui::app::frame;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::{ColorDepth, Role, Theme};
use crate::tui::export::canvas::{Anchor, Bitmap, Canvas, LETTER, Svg, TextLook};
use crate::tui::export::cells::{self, CELL};
use crate::tui::graphics::Graphics;

/// Columns and rows around the frame.
const MARGIN: f32 = 12.0;
/// Sizes of the letters of the title and of what is below it, and the height of their lines.
const TITLE: (f32, f32) = (16.0, 22.0);
const ABOUT: (f32, f32) = (12.0, 17.0);

/// What is drawn.
struct ScreenPicture {
    theme: Theme,
    frame: Buffer,
    /// The part of the frame without header, tabs and keys.
    area: Rect,
    /// Lines above it, and whether each is of the title.
    lines: Vec<(String, bool)>,
}

impl ScreenPicture {
    fn of(state: &State, model: &ModelView) -> Self {
        let mut state = state.clone();
        // Without what is over the screen, and without what only counts for the keyboard.
        (state.overlay, state.toast, state.explained) = (None, None, None);
        (state.story, state.log_open, state.hover, state.playback) = (None, false, None, None);
        state.graphics = Graphics::Cells;
        // Whatever the terminal can show, a file can show all colours.
        let (palette, colormap) = (state.theme.palette.clone(), state.theme.colormap);
        state.theme = Theme::of(ColorDepth::True, palette, colormap);
        let (width, height) = areas::LEAST;
        state.size = (state.size.0.max(width), state.size.1.max(height));
        let mut buffer = Buffer::empty(Rect::new(0, 0, state.size.0, state.size.1));
        frame::render(&state, &mut buffer);
        let parts = areas::areas(&state);
        let area = Rect { x: 0, width: state.size.0, ..parts.main };
        let own = state.screen.parts().crumbs.map_or_else(
            || vec![state.screen.parts().title.to_lowercase()],
            |crumbs| crumbs(&state),
        );
        let columns = |size: f32| (f32::from(area.width - 2) * CELL.0 / (size * LETTER)) as usize;
        let title = format!("{} · {}", title(model), own.join(" › "));
        let mut lines = lines_of(&title, columns(TITLE.0), true);
        lines.extend(lines_of(&about(&state, model), columns(ABOUT.0), false));
        Self { theme: state.theme.clone(), frame: buffer, area, lines }
    }

    /// Where the frame begins.
    fn top(&self) -> f32 {
        let tall = |(_, is_title): &(String, bool)| if *is_title { TITLE.1 } else { ABOUT.1 };
        MARGIN + self.lines.iter().map(tall).sum::<f32>() + MARGIN / 2.0
    }

    fn size(&self) -> (f32, f32) {
        let (width, height) = (f32::from(self.area.width), f32::from(self.area.height));
        (width * CELL.0 + 2.0 * MARGIN, self.top() + height * CELL.1 + MARGIN)
    }

    fn draw(&self, canvas: &mut impl Canvas) {
        let palette = &self.theme.palette;
        let mut y = MARGIN;
        for (line, is_title) in &self.lines {
            let (role, (size, tall)) =
                if *is_title { (Role::Title, TITLE) } else { (Role::Dim, ABOUT) };
            y += tall;
            let color = palette.color(role);
            let look = TextLook { size, color, bold: *is_title, anchor: Anchor::Start };
            canvas.text((MARGIN + CELL.0, y - 5.0), line, look);
        }
        cells::draw(&self.frame, self.area, &self.theme, (MARGIN, self.top()), canvas);
    }
}

/// A text in lines of at most so many columns, with whether they are of the title.
pub fn lines_of(text: &str, columns: usize, is_title: bool) -> Vec<(String, bool)> {
    let style = ratatui::style::Style::new();
    let lines = wrap(std::iter::once((text, style)), columns, 4_000).into_iter();
    let flat = |line: Line<'_>| line.spans.iter().map(|span| span.content.as_ref()).collect();
    lines.map(|line| (flat(line), is_title)).collect()
}

/// The model and what it decodes with.
pub fn title(model: &ModelView) -> String {
    let mask = model.info.mask.as_ref().map_or_else(
        || "dense".to_owned(),
        |mask| format!("{} {}", mask.label, model.stored(true)),
    );
    format!("{} · {mask}", model.info.name)
}

/// The setting of the figures.
fn about(state: &State, model: &ModelView) -> String {
    let info = &model.info;
    let window = &info.window;
    format!(
        "{} tokens in the cache · sink {}, recent {}, chunk {} · {} weights, {} cache · {} · kscope {}",
        count(state.run.cached),
        count(window.sink),
        count(window.recent),
        count(window.chunk),
        info.dtype,
        info.kv_dtype,
        info.device,
        env!("CARGO_PKG_VERSION")
    )
}

/// The screen as SVG.
pub fn svg(state: &State, model: &ModelView) -> String {
    let picture = ScreenPicture::of(state, model);
    let mut canvas = Svg::new(picture.size(), picture.theme.palette.ground);
    picture.draw(&mut canvas);
    canvas.finish()
}

/// The screen as PNG.
///
/// # Errors
/// When it is too large.
pub fn png(state: &State, model: &ModelView) -> Result<Vec<u8>> {
    let picture = ScreenPicture::of(state, model);
    let mut canvas = Bitmap::new(picture.size(), picture.theme.palette.ground)?;
    picture.draw(&mut canvas);
    canvas.finish()
}
