//! Where everything of one head is inside a block of 64 middle tokens.

use std::ops::Range;

use super::ggml;
use crate::cache::BLOCK;
use crate::mask::{Coding, HeadBytes, Width};

/// Alignment of a block and of its values, in bytes: a cache line.
const LINE: usize = 64;

/// The layout of one head's middle block: keys, then values, each with their scales.
///
/// Keys, channel by channel in the order of [`Self::channels`] (16 bits first, then 8, 4 and 2):
/// rows of 64 elements for 16 bits; for each coded width a [`CodedRun`]; then scales `[64 / group]
/// [coded channels]` in f16, then minima likewise. Values: rows of head_dim elements for 16 bits;
/// otherwise [`ValueCodes`], then scales `[groups of channels][64]` in f16, then minima.
///
/// With blocks per token (the rivals), keys and values are 64 ggml rows each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockLayout {
    pub(super) head_dim: usize,
    pub(super) coding: Coding,
    /// Tokens of a K channel that share a scale.
    pub(super) group: usize,
    channels: Box<[usize]>,
    /// Channels of 16 bits.
    pub(super) full: usize,
    pub(super) runs: [CodedRun; 3],
    /// Offset of the scales of K; the minima follow.
    pub(super) k_scales: usize,
    pub(super) v_width: Width,
    /// Offset of the values.
    pub(super) values: usize,
    pub(super) codes: Option<ValueCodes>,
    bytes: usize,
}

/// The channels of one coded width. Whole fours of channels are interleaved, byte by byte, so that
/// an integer dot product takes four channels of 16 tokens at once; what is left follows row by
/// row.
///
/// A row of 64 codes takes `8 * bits` bytes: with 8 bits byte `t` is token `t`; with 4 bits byte `t`
/// holds tokens `t` (low) and `t + 32`; with 2 bits byte `t` holds tokens `t`, `t + 16`, `t + 32`
/// and `t + 48`, from the lowest bits up. In a four, byte `4 t + j` belongs to channel `j`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodedRun {
    /// Bits of a code.
    pub width: Width,
    /// Offset of the first four in the block, in bytes.
    pub offset: usize,
    /// Number of channels; the first `channels / 4` fours are interleaved.
    pub channels: usize,
    /// The first channel's place among the coded channels of the head, which is its place in a row
    /// of scales.
    pub first: usize,
}

impl CodedRun {
    /// Bytes of a row of 64 codes.
    pub fn row_bytes(&self) -> usize {
        BLOCK * usize::from(self.width.bits()) / 8
    }

    /// Byte in the block and shift of a code.
    pub(crate) fn place(&self, channel: usize, token: usize) -> (usize, u32) {
        let bits = usize::from(self.width.bits());
        let in_row = self.row_bytes();
        let (byte, shift) = (token % in_row, token / in_row * bits);
        let interleaved = self.channels / 4 * 4;
        let byte = match channel < interleaved {
            true => channel / 4 * 4 * in_row + byte * 4 + channel % 4,
            false => channel * in_row + byte,
        };
        (self.offset + byte, shift as u32)
    }
}

/// Where the codes of the values are.
///
/// Interleaved where head_dim allows: four tokens after the other, in them `128 / bits` channels at
/// a time, of which byte `4 c + j` belongs to token `j` and, from the lowest bits up, to channels
/// `c`, `c + 16`, ... Otherwise each token's row stands for itself, from the lowest bits of its
/// first byte up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueCodes {
    /// Bits of a code.
    pub width: Width,
    /// Offset of the codes in the block, in bytes.
    pub offset: usize,
    /// Bytes of one token's codes.
    pub row_bytes: usize,
    /// Whether tokens are interleaved by four.
    pub interleaved: bool,
    /// Channels that share a scale.
    pub group: usize,
    /// Offset of the scales; the minima follow.
    pub scales: usize,
}

impl ValueCodes {
    /// Byte in the block and shift of a code.
    pub(crate) fn place(&self, channel: usize, token: usize) -> (usize, u32) {
        let bits = usize::from(self.width.bits());
        if !self.interleaved {
            let bit = channel * bits;
            return (self.offset + token * self.row_bytes + bit / 8, (bit % 8) as u32);
        }
        let tile = 128 / bits;
        let byte = (channel / tile * 16 + channel % 16) * 4 + token % 4;
        (self.offset + token / 4 * 4 * self.row_bytes + byte, (channel % tile / 16 * bits) as u32)
    }
}

impl BlockLayout {
    /// The layout of a head with these K widths, one per channel, and this V width, for a cache of
    /// elements of `element` bytes and groups of `group` tokens.
    pub fn new(k: &[Width], v: Width, coding: Coding, element: usize, group: usize) -> Self {
        let head_dim = k.len();
        let of = |width: Width| (0..head_dim).filter(move |&channel| k[channel] == width);
        let order = [Width::Sixteen, Width::Eight, Width::Four, Width::Two];
        let channels: Box<[usize]> = order.into_iter().flat_map(of).collect();
        let full = of(Width::Sixteen).count();

        let (mut offset, mut first) = (full * BLOCK * element, 0);
        let runs = [Width::Eight, Width::Four, Width::Two].map(|width| {
            let run = CodedRun { width, offset, channels: of(width).count(), first };
            offset += run.channels * run.row_bytes();
            first += run.channels;
            run
        });
        let blocks = matches!(coding, Coding::Blocks { .. });
        let keys = match blocks {
            true => BLOCK * ggml::row_bytes(head_dim, k[0]),
            false => offset + BLOCK / group * first * 4,
        };
        let values = keys.next_multiple_of(LINE);
        let bytes = HeadBytes::of(k, v, coding, element);
        let codes = (v.is_coded() && !blocks).then(|| {
            let row_bytes = (head_dim * usize::from(v.bits())).div_ceil(8);
            ValueCodes {
                width: v,
                offset: values,
                row_bytes,
                interleaved: head_dim.is_multiple_of(128 / usize::from(v.bits())),
                group: coding.v_group(head_dim),
                scales: values + BLOCK * row_bytes,
            }
        });
        Self {
            head_dim,
            coding,
            group,
            channels,
            full,
            runs,
            k_scales: offset,
            v_width: v,
            values,
            codes,
            bytes: (values + BLOCK * bytes.v_token).next_multiple_of(LINE),
        }
    }

    /// The channels that are stored, in the order in which a block holds them.
    pub fn channels(&self) -> &[usize] {
        &self.channels
    }

    /// Bytes of a block, a multiple of a cache line.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Channels of a whole key and of a value.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// How coded numbers share scales.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Channels of 16 bits: the first rows of a block, `[channel][64]` elements.
    pub fn full_channels(&self) -> usize {
        self.full
    }

    /// The channels of 8, 4 and 2 bits.
    pub fn runs(&self) -> &[CodedRun; 3] {
        &self.runs
    }

    /// Coded channels of K.
    pub fn coded_channels(&self) -> usize {
        self.runs.iter().map(|run| run.channels).sum()
    }

    /// Tokens of a K channel that share a scale.
    pub fn group_tokens(&self) -> usize {
        self.group
    }

    /// Bytes of the scales of K of the tokens `group * index ..`, one f16 per coded channel, and of
    /// their minima.
    pub fn k_scales(&self, index: usize) -> [Range<usize>; 2] {
        let row = self.coded_channels() * 2;
        let scales = self.k_scales + index * row;
        let minima = scales + BLOCK / self.group * row;
        [scales..scales + row, minima..minima + row]
    }

    /// Offset of the values; rows of elements where [`Self::value_codes`] is none.
    pub fn values_offset(&self) -> usize {
        self.values
    }

    /// Where coded values are; none with 16 bits and with blocks per token.
    pub fn value_codes(&self) -> Option<&ValueCodes> {
        self.codes.as_ref()
    }

    /// Bytes of the scales of V of one group of channels, one f16 per token, and of their minima.
    pub fn v_scales(&self, codes: &ValueCodes, index: usize) -> [Range<usize>; 2] {
        let scales = codes.scales + index * BLOCK * 2;
        let minima = scales + self.head_dim / codes.group * BLOCK * 2;
        [scales..scales + BLOCK * 2, minima..minima + BLOCK * 2]
    }
}
