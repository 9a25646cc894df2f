//! A picture of what a mask cuts: every channel of every KV head, by its bits.

use std::fmt::Write;

use crate::mask::{CachePlan, Width};

/// A plan with its name and how it was made.
#[derive(Debug, Clone)]
pub struct MapPicture {
    /// Its name.
    pub name: String,
    /// The plan.
    pub plan: CachePlan,
    /// How it was made, as its file says.
    pub recipe: String,
}

/// Pixels of a channel, and between heads and layers.
const CELL: (usize, usize) = (4, 7);
const GAP: usize = 6;
const LEFT: usize = 40;
const TOP: usize = 18;

/// The picture as SVG. Layers go down, KV heads to the right; in a head, channels go from fast
/// frequencies to slow ones, the first of each pair above the second. The page's style colours the
/// widths.
pub(super) fn svg(picture: &MapPicture) -> String {
    let plan = &picture.plan;
    let shape = plan.shape();
    let pairs = shape.head_dim.div_ceil(2);
    let (wide, tall) = (pairs * CELL.0 + GAP, 2 * CELL.1 + GAP);
    let (width, height) = (LEFT + wide * shape.kv_heads, TOP + tall * shape.layers);
    let mut paths = [const { String::new() }; 5];
    let mut crosses = String::new();
    let widths = [Width::Zero, Width::Two, Width::Four, Width::Eight, Width::Sixteen];
    for (layer, head) in shape.each_head() {
        let (x, y) = (LEFT + head * wide, TOP + layer * tall);
        for (channel, bits) in plan.k(layer, head).iter().enumerate() {
            let at = widths.iter().position(|width| width == bits).expect("all are listed");
            let left = x + channel % pairs * CELL.0;
            let top = y + channel / pairs * CELL.1;
            let _ = write!(paths[at], "M{left} {top}h{}v{}h-{}z", CELL.0, CELL.1, CELL.0);
        }
        if plan.k(layer, head).iter().all(|bits| *bits == Width::Zero) {
            let (w, h) = (pairs * CELL.0, 2 * CELL.1);
            let _ = write!(crosses, "M{x} {y}l{w} {h}M{x} {}l{w} -{h}", y + h);
        }
    }
    let mut out = format!(
        "<svg class=\"map\" role=\"img\" aria-label=\"Stored bits of every key channel\" viewBox=\"0 0 {width} {height}\" width=\"{width}\">"
    );
    for (width, path) in widths.iter().zip(&paths) {
        let _ = write!(out, "<path class=\"w{width}\" d=\"{path}\"/>");
    }
    let _ = write!(out, "<path class=\"cross\" d=\"{crosses}\"/>");
    for layer in (0..shape.layers).step_by(if shape.layers > 12 { 5 } else { 1 }) {
        let y = TOP + layer * tall + CELL.1 + 4;
        let _ = write!(out, "<text x=\"0\" y=\"{y}\">L{layer}</text>");
    }
    for head in 0..shape.kv_heads {
        let _ = write!(out, "<text x=\"{}\" y=\"12\">KV head {head}</text>", LEFT + head * wide);
    }
    out.push_str("</svg>");
    out
}
