//! How strips of channels are spread over columns, and which part of a long list is shown.

use std::ops::Range;

use crate::mask::Shape;

/// Width of the layer labels.
pub const LABEL: u16 = 5;
/// Fewest columns of a strip before heads are scrolled.
const LEAST_STRIP: u16 = 4;

/// Columns of a strip and how many strips fit. The number of columns divides the number of pairs or
/// is a multiple of it.
pub fn columns(wide: u16, shape: Shape, zoom: i8) -> (u16, usize) {
    let (pairs, heads) = (shape.pairs().max(1) as u16, shape.kv_heads as u16);
    let natural = |room: u16| match room {
        room if room >= pairs => room / pairs * pairs,
        room => {
            let folds =
                (0..8).map(|fold| pairs.div_ceil(1 << fold)).find(|&columns| columns <= room);
            folds.unwrap_or(1)
        }
    };
    let room = (wide / heads).saturating_sub(1).max(LEAST_STRIP.min(pairs));
    let mut strip = natural(room);
    for _ in 0..zoom.max(0) {
        strip = (strip * 2).min(pairs * 8);
    }
    for _ in zoom.min(0)..0 {
        strip = strip.div_ceil(2);
    }
    let strip = strip.clamp(1, wide.saturating_sub(1).max(1));
    (strip, usize::from(((wide + 1) / (strip + 1)).max(1)))
}

/// A range of `fit` out of `all` items, with `at` in the middle where possible.
pub fn window(at: usize, fit: usize, all: usize) -> Range<usize> {
    let fit = fit.clamp(1, all.max(1));
    let start = at.saturating_sub(fit / 2).min(all.saturating_sub(fit));
    start..(start + fit).min(all)
}

/// The pairs in one column when `pairs` are spread over `columns`.
pub fn pairs_at(pairs: usize, columns: u16, column: u16) -> Range<usize> {
    let (columns, column) = (usize::from(columns.max(1)), usize::from(column));
    let start = column * pairs / columns;
    let end = ((column + 1) * pairs / columns).max(start + 1);
    start.min(pairs.saturating_sub(1))..end.min(pairs)
}
