//! The map as a picture for reports: every channel of every head, axes, legend and caption.

use std::fmt::Write;

use crate::mask::Shape;
use crate::printable::without_markup;
use crate::tui::app::model::ModelView;
use crate::tui::app::shader::Shader;
use crate::tui::app::state::State;
use crate::tui::color::{STEPS, Shade, paint, parts};
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

fn shader<'a>(state: &'a State) -> Result<Shader<'a>> {
    Shader::of(state).ok_or_else(|| Error::run("there is no map to export yet"))
}

/// The map as SVG.
pub fn svg(state: &State, model: &ModelView) -> Result<String> {
    const LEFT: usize = 48;
    const TOP: usize = 64;
    let shader = shader(state)?;
    let plan = PictureGrid::new(model.shape());
    let ((width, height), (strip_width, strip_height)) = (plan.size(), plan.strip());
    let (back, ink) =
        if state.theme.light { ("#ffffff", "#24292f") } else { ("#101014", "#d8dee9") };
    let (whole_width, whole_height) = ((width + LEFT + 24).max(420), height + TOP + 72);
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{whole_width}" height="{whole_height}" font-family="sans-serif" font-size="11" fill="{ink}" shape-rendering="crispEdges">"#
    ));
    line(format_args!(r#"<rect width="100%" height="100%" fill="{back}"/>"#));
    let mask = model.info.mask.as_ref().map_or("no mask", |mask| mask.label.as_str());
    line(format_args!(
        r#"<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{}</text>"#,
        without_markup(&format!("{} · {mask} · {}", model.info.name, shader.title()))
    ));
    let caption = format!(
        "{}, {} scale · a row per layer, a strip per KV head · left: fast rotation, right: slow · upper half: channels 0–{}, lower: their partners",
        shader.unit(),
        shader.scale.name(),
        model.shape().pairs().saturating_sub(1)
    );
    line(format_args!(r#"<text x="{LEFT}" y="36">{}</text>"#, without_markup(&caption)));
    for head in 0..model.shape().kv_heads {
        line(format_args!(
            r#"<text x="{}" y="{}">h{head}</text>"#,
            LEFT + head * (strip_width + GAP),
            TOP - 6
        ));
    }
    for layer in 0..model.shape().layers {
        let y = TOP + layer * (strip_height + GAP) + strip_height.min(14).max(strip_height / 2 + 4);
        line(format_args!(r#"<text x="{}" y="{y}" text-anchor="end">L{layer}</text>"#, LEFT - 6));
    }
    let (cell_width, cell_height) = plan.cell;
    plan.each(&shader, |(x, y), shade| {
        line(format_args!(
            r##"<rect x="{}" y="{}" width="{cell_width}" height="{cell_height}" fill="#{:06x}"/>"##,
            LEFT + x,
            TOP + y,
            paint(shade, &state.theme)
        ));
    });
    plan.each_dropped(&shader, |(x, y)| {
        let (x, y) = (LEFT + x, TOP + y);
        line(format_args!(
            r#"<path d="M{x} {y}l{strip_width} {strip_height}m0 -{strip_height}l-{strip_width} {strip_height}" stroke="{ink}" stroke-width="1.5" fill="none"/>"#
        ));
    });
    let y = TOP + height + 24;
    for step in 0..STEPS {
        let share = (step as f32 + 0.5) / STEPS as f32;
        let shade =
            if shader.other.is_some() { Shade::Difference(share) } else { Shade::Share(share) };
        line(format_args!(
            r##"<rect x="{}" y="{y}" width="8" height="12" fill="#{:06x}"/>"##,
            LEFT + step * 8,
            paint(shade, &state.theme)
        ));
    }
    for (share, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let x = LEFT as f32 + share * (STEPS * 8) as f32;
        line(format_args!(
            r#"<text x="{x}" y="{}" text-anchor="{anchor}">{}</text>"#,
            y + 26,
            without_markup(&shader.legend(share))
        ));
    }
    line(format_args!(
        r#"<text x="{}" y="{}">✕ dropped head</text>"#,
        LEFT + STEPS * 8 + 16,
        y + 10
    ));
    line(format_args!("</svg>"));
    Ok(out)
}

/// The map as PNG: the pixels alone, with a margin.
pub fn png(state: &State, model: &ModelView) -> Result<Vec<u8>> {
    const MARGIN: usize = 12;
    let shader = shader(state)?;
    let plan = PictureGrid::new(model.shape());
    let (width, height) = plan.size();
    let (width, height) = (width + 2 * MARGIN, height + 2 * MARGIN);
    let back = parts(if state.theme.light { 0xffffff } else { 0x101014 });
    let mut pixels: Vec<u8> = back.iter().copied().cycle().take(width * height * 3).collect();
    let mut fill = |x: usize, y: usize, (wide, tall): (usize, usize), color: [u8; 3]| {
        for row in y..y + tall {
            for pixel in
                pixels[(row * width + x) * 3..(row * width + x + wide) * 3].chunks_exact_mut(3)
            {
                pixel.copy_from_slice(&color);
            }
        }
    };
    plan.each(&shader, |(x, y), shade| {
        fill(MARGIN + x, MARGIN + y, plan.cell, parts(paint(shade, &state.theme)))
    });
    let (strip_width, strip_height) = plan.strip();
    let ink = parts(if state.theme.light { 0x24292f } else { 0xd8dee9 });
    plan.each_dropped(&shader, |(x, y)| {
        for column in 0..strip_width {
            let down = column * (strip_height - 1) / strip_width.max(1);
            for row in [down, strip_height - 1 - down] {
                fill(MARGIN + x + column, MARGIN + y + row, (1, 1), ink);
            }
        }
    });
    let fail = |cause: png::EncodingError| Error::run(format!("writing PNG: {cause}"));
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&pixels).map_err(fail)?;
    writer.finish().map_err(fail)?;
    Ok(out)
}
