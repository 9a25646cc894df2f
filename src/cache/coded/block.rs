//! Writing and reading the numbers of a middle block.

use std::ops::Range;

use half::f16;

use super::ggml;
use super::group::Group;
use super::layout::BlockLayout;
use crate::cache::BLOCK;
use crate::element::Element;
use crate::mask::{Coding, Width};

impl BlockLayout {
    /// Codes the keys of `tokens`, whole groups of this block. `keys` are whole keys, channel-major
    /// `[head_dim][tokens]`, as rounded to the element type.
    pub fn write_keys<E: Element>(&self, block: &mut [u8], tokens: Range<usize>, keys: &[f32]) {
        let count = tokens.len();
        assert!(
            tokens.start.is_multiple_of(self.group)
                && count.is_multiple_of(self.group)
                && tokens.end <= BLOCK
                && keys.len() == self.head_dim * count,
            "keys come in whole groups"
        );
        if let Coding::Blocks { rotated } = self.coding {
            let mut row = vec![0.0; self.head_dim];
            for token in tokens.clone() {
                for (channel, x) in row.iter_mut().enumerate() {
                    *x = keys[channel * count + token - tokens.start];
                }
                self.write_row(block, 0, token, (&mut row, rotated));
            }
            return;
        }
        let row_of = |channel: usize| &keys[channel * count..][..count];
        let full: &mut [E] =
            bytemuck::cast_slice_mut(&mut block[..self.full * BLOCK * size_of::<E>()]);
        for (row, &channel) in full.chunks_exact_mut(BLOCK).zip(self.channels()) {
            E::round(row_of(channel), &mut row[tokens.clone()]);
        }
        for run in &self.runs {
            for at in 0..run.channels {
                let row = row_of(self.channels()[self.full + run.first + at]);
                for (index, numbers) in row.chunks_exact(self.group).enumerate() {
                    let group = Group::of(numbers.iter().copied(), run.width);
                    let start = tokens.start + index * self.group;
                    for (token, &x) in (start..).zip(numbers) {
                        put(block, run.place(at, token), run.width, group.code(x, run.width));
                    }
                    let [scales, minima] = self.k_scales(start / self.group);
                    put_f16(block, scales.start + 2 * (run.first + at), group.scale);
                    put_f16(block, minima.start + 2 * (run.first + at), group.minimum);
                }
            }
        }
    }

    /// Codes the value of one token, `[head_dim]`, as rounded to the element type.
    pub fn write_value<E: Element>(&self, block: &mut [u8], token: usize, value: &[f32]) {
        assert!(token < BLOCK && value.len() == self.head_dim, "a value has head_dim channels");
        if let Coding::Blocks { rotated } = self.coding {
            let mut row = value.to_vec();
            self.write_row(block, self.values, token, (&mut row, rotated));
            return;
        }
        let Some(codes) = &self.codes else {
            let row = self.head_dim * size_of::<E>();
            let to = &mut block[self.values + token * row..][..row];
            E::round(value, bytemuck::cast_slice_mut(to));
            return;
        };
        for (index, numbers) in value.chunks_exact(codes.group).enumerate() {
            let group = Group::of(numbers.iter().copied(), codes.width);
            for (channel, &x) in (index * codes.group..).zip(numbers) {
                put(block, codes.place(channel, token), codes.width, group.code(x, codes.width));
            }
            let [scales, minima] = self.v_scales(codes, index);
            put_f16(block, scales.start + 2 * token, group.scale);
            put_f16(block, minima.start + 2 * token, group.minimum);
        }
    }

    /// The stored keys of a block, `[channels][64]` in the order of [`Self::channels`]; of columns
    /// that were never written anything finite.
    pub fn read_keys<E: Element>(&self, block: &[u8], keys: &mut [f32]) {
        assert!(keys.len() == self.channels().len() * BLOCK, "a row per stored channel");
        if let Coding::Blocks { rotated } = self.coding {
            let mut row = vec![0.0; self.head_dim];
            for token in 0..BLOCK {
                self.read_row(block, 0, token, (&mut row, rotated));
                for (channel, x) in row.iter().enumerate() {
                    keys[channel * BLOCK + token] = *x;
                }
            }
            return;
        }
        let full: &[E] = bytemuck::cast_slice(&block[..self.full * BLOCK * size_of::<E>()]);
        for (x, stored) in keys.iter_mut().zip(full) {
            *x = stored.widen();
        }
        for run in &self.runs {
            for at in 0..run.channels {
                let row = &mut keys[(self.full + run.first + at) * BLOCK..][..BLOCK];
                for (index, numbers) in row.chunks_exact_mut(self.group).enumerate() {
                    let [scales, minima] = self.k_scales(index);
                    let group = Group {
                        scale: get_f16(block, scales.start + 2 * (run.first + at)),
                        minimum: get_f16(block, minima.start + 2 * (run.first + at)),
                    };
                    for (token, x) in (index * self.group..).zip(numbers) {
                        *x = group.number(get(block, run.place(at, token), run.width));
                    }
                }
            }
        }
    }

    /// The stored key of one token, `[channels]` in the order of [`Self::channels`].
    pub fn read_key<E: Element>(&self, block: &[u8], token: usize, key: &mut [f32]) {
        assert!(token < BLOCK && key.len() == self.channels().len(), "one number per channel");
        if let Coding::Blocks { rotated } = self.coding {
            self.read_row(block, 0, token, (key, rotated));
            return;
        }
        let full: &[E] = bytemuck::cast_slice(&block[..self.full * BLOCK * size_of::<E>()]);
        for (x, row) in key.iter_mut().zip(full.chunks_exact(BLOCK)) {
            *x = row[token].widen();
        }
        for run in &self.runs {
            let [scales, minima] = self.k_scales(token / self.group);
            for (at, x) in key[self.full + run.first..][..run.channels].iter_mut().enumerate() {
                let group = Group {
                    scale: get_f16(block, scales.start + 2 * (run.first + at)),
                    minimum: get_f16(block, minima.start + 2 * (run.first + at)),
                };
                *x = group.number(get(block, run.place(at, token), run.width));
            }
        }
    }

    /// The stored value of one token, `[head_dim]`.
    pub fn read_value<E: Element>(&self, block: &[u8], token: usize, value: &mut [f32]) {
        assert!(token < BLOCK && value.len() == self.head_dim, "a value has head_dim channels");
        if matches!(self.coding, Coding::Blocks { .. }) {
            self.read_value_row(block, token, value);
            return;
        }
        let Some(codes) = &self.codes else {
            let row = self.head_dim * size_of::<E>();
            let stored: &[E] = bytemuck::cast_slice(&block[self.values + token * row..][..row]);
            value.iter_mut().zip(stored).for_each(|(x, stored)| *x = stored.widen());
            return;
        };
        for (index, numbers) in value.chunks_exact_mut(codes.group).enumerate() {
            let [scales, minima] = self.v_scales(codes, index);
            let group = Group {
                scale: get_f16(block, scales.start + 2 * token),
                minimum: get_f16(block, minima.start + 2 * token),
            };
            for (channel, x) in (index * codes.group..).zip(numbers) {
                *x = group.number(get(block, codes.place(channel, token), codes.width));
            }
        }
    }

    /// The key of one token in a cache of blocks per token as it is stored, rotated where the plan
    /// says so, `[head_dim]`.
    #[inline(always)]
    pub fn read_key_row(&self, block: &[u8], token: usize, row: &mut [f32]) {
        self.read_row(block, 0, token, (row, false));
    }

    /// The value of one token in a cache of blocks per token, `[head_dim]`.
    #[inline(always)]
    pub fn read_value_row(&self, block: &[u8], token: usize, row: &mut [f32]) {
        self.read_row(block, self.values, token, (row, self.is_rotated()));
    }

    /// Rotates a query as the keys of a cache of blocks per token are, `[head_dim]`, so that their
    /// dot products are those of what was rotated.
    pub fn rotate_like_keys(&self, query: &mut [f32]) {
        if self.is_rotated() {
            ggml::rotate(query);
        }
    }

    fn is_rotated(&self) -> bool {
        matches!(self.coding, Coding::Blocks { rotated: true })
    }

    /// Takes over the codes of these tokens, whole groups, wherever `from`, a block of the same
    /// head, has the same width in the same groups. Numbers that were coded once would otherwise be
    /// coded again, which may shift them.
    pub fn keep_codes(
        &self,
        block: &mut [u8],
        tokens: Range<usize>,
        (layout, from): (&Self, &[u8]),
    ) {
        if let (Coding::Blocks { rotated }, Coding::Blocks { rotated: before }) =
            (self.coding, layout.coding)
        {
            for (to, start) in [(0, 0), (self.values, layout.values)] {
                let width = self.row_width(to);
                if rotated == before && width == layout.row_width(start) {
                    let bytes = ggml::row_bytes(self.head_dim, width);
                    block[to..][tokens.start * bytes..tokens.end * bytes]
                        .copy_from_slice(&from[start..][tokens.start * bytes..tokens.end * bytes]);
                }
            }
            return;
        }
        if self.group == layout.group {
            self.keep_keys(block, tokens.clone(), (layout, from));
        }
        let (Some(codes), Some(before)) = (&self.codes, &layout.codes) else { return };
        if (codes.width, codes.group) == (before.width, before.group) {
            for token in tokens {
                for channel in 0..self.head_dim {
                    let code = get(from, before.place(channel, token), codes.width);
                    put(block, codes.place(channel, token), codes.width, code);
                }
                for index in 0..self.head_dim / codes.group {
                    let places = self.v_scales(codes, index);
                    for (to, from_place) in places.iter().zip(layout.v_scales(before, index)) {
                        let number = get_f16(from, from_place.start + 2 * token);
                        put_f16(block, to.start + 2 * token, number);
                    }
                }
            }
        }
    }

    fn keep_keys(&self, block: &mut [u8], tokens: Range<usize>, (layout, from): (&Self, &[u8])) {
        for (run, before) in self.runs.iter().zip(&layout.runs) {
            let had = &layout.channels()[layout.full + before.first..][..before.channels];
            let wants = &self.channels()[self.full + run.first..][..run.channels];
            for (at, channel) in wants.iter().enumerate() {
                let Some(was) = had.iter().position(|had| had == channel) else { continue };
                for token in tokens.clone() {
                    let code = get(from, before.place(was, token), run.width);
                    put(block, run.place(at, token), run.width, code);
                }
                for index in tokens.start / self.group..tokens.end / self.group {
                    let places = self.k_scales(index);
                    for (to, from_place) in places.iter().zip(layout.k_scales(index)) {
                        let number = get_f16(from, from_place.start + 2 * (before.first + was));
                        put_f16(block, to.start + 2 * (run.first + at), number);
                    }
                }
            }
        }
    }

    /// Width of the ggml rows at this offset: those of K are first.
    fn row_width(&self, offset: usize) -> Width {
        match offset {
            0 => {
                self.runs.iter().find(|run| run.channels > 0).map_or(Width::Eight, |run| run.width)
            }
            _ => self.v_width,
        }
    }

    fn write_row(
        &self,
        block: &mut [u8],
        offset: usize,
        token: usize,
        (row, rotated): (&mut [f32], bool),
    ) {
        let width = self.row_width(offset);
        let bytes = ggml::row_bytes(self.head_dim, width);
        if rotated {
            ggml::rotate(row);
        }
        ggml::encode(row, width, &mut block[offset + token * bytes..][..bytes]);
    }

    #[inline(always)]
    fn read_row(
        &self,
        block: &[u8],
        offset: usize,
        token: usize,
        (row, rotated): (&mut [f32], bool),
    ) {
        let width = self.row_width(offset);
        let bytes = ggml::row_bytes(self.head_dim, width);
        ggml::decode(&block[offset + token * bytes..][..bytes], width, row);
        if rotated {
            ggml::rotate(row);
        }
    }
}

pub(super) fn put(block: &mut [u8], (byte, shift): (usize, u32), width: Width, code: u8) {
    let kept = block[byte] & !(width.largest_code() << shift);
    block[byte] = kept | code << shift;
}

fn get(block: &[u8], (byte, shift): (usize, u32), width: Width) -> u8 {
    block[byte] >> shift & width.largest_code()
}

pub(super) fn put_f16(block: &mut [u8], at: usize, number: f16) {
    block[at..at + 2].copy_from_slice(&number.to_le_bytes());
}

fn get_f16(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::HeadBytes;
    use crate::random::SplitMix64;

    /// Random widths of a head, keys `[head_dim][64]` and values `[64][head_dim]`.
    fn head(head_dim: usize, seed: u64) -> (Vec<Width>, Vec<f32>, Vec<f32>) {
        let mut random = SplitMix64::new(seed);
        let mut numbers = |count: usize| -> Vec<f32> {
            (0..count)
                .map(|_| f16::from_f32(random.below(1 << 16) as f32 / 8192.0 - 4.0).to_f32())
                .collect()
        };
        let (keys, values) = (numbers(head_dim * BLOCK), numbers(head_dim * BLOCK));
        let mut widths = vec![Width::Two; head_dim];
        let pick = |x: f32| Width::ALL[((x + 4.0) / 8.0 * 4.99) as usize];
        widths.iter_mut().zip(&keys).for_each(|(width, &x)| *width = pick(x));
        (widths, keys, values)
    }

    /// Everything written group by group, in an order that is not the rows', and read back.
    fn check(
        widths: &[Width],
        v: Width,
        coding: Coding,
        group: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let head_dim = widths.len();
        let layout = BlockLayout::new(widths, v, coding, 2, group);
        let bytes = HeadBytes::of(widths, v, coding, 2);
        let [k, v_bytes] = bytes.at(BLOCK, group);
        assert!(layout.bytes() >= k + v_bytes && layout.bytes() < k + v_bytes + 128);
        let mut block = vec![0; layout.bytes()];
        for start in (0..BLOCK).step_by(group).rev() {
            let part: Vec<f32> =
                keys.chunks(BLOCK).flat_map(|row| row[start..start + group].to_vec()).collect();
            layout.write_keys::<f16>(&mut block, start..start + group, &part);
        }
        for token in (0..BLOCK).rev() {
            layout.write_value::<f16>(&mut block, token, &values[token * head_dim..][..head_dim]);
        }
        let mut stored = vec![0.0; layout.channels().len() * BLOCK];
        layout.read_keys::<f16>(&block, &mut stored);
        for (row, &channel) in stored.chunks(BLOCK).zip(layout.channels()) {
            let exact = &keys[channel * BLOCK..][..BLOCK];
            near(row, exact, widths[channel], group, coding);
        }
        let mut value = vec![0.0; head_dim];
        let v_group = coding.v_group(head_dim);
        for token in 0..BLOCK {
            layout.read_value::<f16>(&block, token, &mut value);
            near(&value, &values[token * head_dim..][..head_dim], v, v_group, coding);
        }
    }

    /// Stored numbers are within half a scale of the exact ones, group by group.
    fn near(stored: &[f32], exact: &[f32], width: Width, group: usize, coding: Coding) {
        for (stored, exact) in stored.chunks(group).zip(exact.chunks(group)) {
            let limit = match (width, coding) {
                (Width::Sixteen, _) => 0.0,
                // A block's scale is of its largest magnitude, below 4; a rotation spreads errors.
                (Width::Eight, Coding::Blocks { .. }) => 0.1,
                (_, Coding::Blocks { .. }) => 1.5,
                _ => Group::of(exact.iter().copied(), width).scale.to_f32() / 2.0 * 1.0001 + 1e-6,
            };
            for (x, y) in stored.iter().zip(exact) {
                assert!((x - y).abs() <= limit, "{width} bits: {y} became {x}, limit {limit}");
            }
        }
    }

    #[test]
    fn any_mixture_of_widths_is_read_back_within_half_a_scale() {
        for (seed, head_dim) in [1, 3, 4, 7, 16, 31, 32, 64, 80, 96, 128].into_iter().enumerate() {
            let (widths, keys, values) = head(head_dim, seed as u64);
            for group in [1, 2, 16, 32, 64] {
                for v in [Width::Two, Width::Four, Width::Eight, Width::Sixteen] {
                    for coding in [Coding::Channels { v_group: 32 }, Coding::best(head_dim)] {
                        check(&widths, v, coding, group, &keys, &values);
                    }
                }
            }
        }
    }

    #[test]
    fn uniform_widths_fill_interleaved_fours() {
        for width in Width::ALL[1..].iter().copied() {
            let (_, keys, values) = head(64, 11);
            check(&[width; 64], width, Coding::best(64), 64, &keys, &values);
        }
    }

    #[test]
    fn blocks_per_token_hold_keys_and_values() {
        let (_, keys, values) = head(64, 12);
        for rotated in [false, true] {
            for (k, v) in [(Width::Eight, Width::Four), (Width::Four, Width::Eight)] {
                check(&[k; 64], v, Coding::Blocks { rotated }, 64, &keys, &values);
            }
        }
    }

    #[test]
    fn writing_a_group_again_leaves_the_others() {
        let (_, keys, _) = head(8, 13);
        let layout = BlockLayout::new(&[Width::Two; 8], Width::Two, Coding::best(8), 2, 32);
        let mut block = vec![0; layout.bytes()];
        let part = |start: usize| -> Vec<f32> {
            keys.chunks(BLOCK).flat_map(|row| row[start..start + 32].to_vec()).collect()
        };
        layout.write_keys::<f16>(&mut block, 0..32, &part(0));
        layout.write_keys::<f16>(&mut block, 32..64, &part(32));
        let before = block.clone();
        layout.write_keys::<f16>(&mut block, 32..64, &part(0));
        assert_ne!(block, before);
        layout.write_keys::<f16>(&mut block, 32..64, &part(32));
        assert_eq!(block, before);
    }
}
