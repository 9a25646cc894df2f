//! The order of q and k rows in Llama files, and in everything here.

#[expect(clippy::indexing_slicing, reason = "the caller has as many rows as it says")]
/// Rows of each head from interleaved (0, d/2, 1, d/2+1, ...) to rotate-half order, whole rows at a
/// time.
pub(super) fn rotate_half_rows<T: Copy>(
    stored: &[T],
    row_len: usize,
    rows: usize,
    head_dim: usize,
) -> Vec<T> {
    let mut out = Vec::with_capacity(stored.len());
    for row in 0..rows {
        let from = interleaved_row(row, head_dim);
        out.extend_from_slice(&stored[from * row_len..][..row_len]);
    }
    out
}

/// Where a row in rotate-half order is stored in interleaved order.
pub(super) fn interleaved_row(row: usize, head_dim: usize) -> usize {
    let (head, channel, half) = (row / head_dim, row % head_dim, head_dim / 2);
    head * head_dim + if channel < half { 2 * channel } else { 2 * (channel - half) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_move_from_interleaved_to_rotate_half_order() {
        // One byte a row, two heads of four channels; interleaved rows hold pairs (0, 2), (1, 3) of
        // each head.
        let stored = [0_u8, 2, 1, 3, 10, 12, 11, 13];
        assert_eq!(rotate_half_rows(&stored, 1, 8, 4), [0, 1, 2, 3, 10, 11, 12, 13]);
    }
}
