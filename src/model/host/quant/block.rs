//! Blocks as files store them, taken apart.

use super::kind::QuantKind;

/// Values of the longest block.
pub const LONGEST: usize = 256;

/// A block's parts. A value is `scale * factors[j] * (level(code) - zero) - minimum * offsets[j]`,
/// with one `j` for each 16 or 32 values; what a kind does not have is 1 or 0.
pub struct BlockParts {
    /// One code for each value, below 256.
    pub codes: [u8; LONGEST],
    /// The scale as stored: bits of an f16, or an exponent of two.
    pub scale: u16,
    /// Bits of the f16 that is added (kinds of 32 values) or subtracted times an offset (256).
    pub minimum: u16,
    /// What the scale is multiplied by.
    pub factors: [i8; 16],
    /// What the minimum is multiplied by.
    pub offsets: [i8; 16],
}

impl BlockParts {
    /// Takes a block apart; its length must be that of its kind.
    pub fn of(kind: QuantKind, block: &[u8]) -> Self {
        debug_assert_eq!(block.len(), kind.block_bytes());
        let mut parts =
            Self { codes: [0; LONGEST], scale: 0, minimum: 0, factors: [0; 16], offsets: [0; 16] };
        let word = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        match kind {
            QuantKind::Q4_0 | QuantKind::Iq4Nl => {
                parts.scale = word(0);
                parts.nibbles(0, &block[2..18]);
            }
            QuantKind::Q4_1 => {
                (parts.scale, parts.minimum) = (word(0), word(2));
                parts.nibbles(0, &block[4..20]);
            }
            QuantKind::Q5_0 => {
                parts.scale = word(0);
                parts.nibbles(0, &block[6..22]);
                parts.fifth_bits(&block[2..6]);
            }
            QuantKind::Q5_1 => {
                (parts.scale, parts.minimum) = (word(0), word(2));
                parts.nibbles(0, &block[8..24]);
                parts.fifth_bits(&block[4..8]);
            }
            QuantKind::Q8_0 => {
                parts.scale = word(0);
                // Signed bytes become codes around 128.
                for (code, byte) in parts.codes.iter_mut().zip(&block[2..34]) {
                    *code = byte ^ 0x80;
                }
            }
            QuantKind::Mxfp4 => {
                parts.scale = u16::from(block[0]);
                parts.nibbles(0, &block[1..17]);
            }
            QuantKind::Q4K | QuantKind::Q5K => {
                (parts.scale, parts.minimum) = (word(0), word(2));
                parts.sixes(&block[4..16]);
                let (high, low) = block[16..].split_at(block.len() - 144);
                for (pair, bytes) in low.chunks_exact(32).enumerate() {
                    for (at, byte) in bytes.iter().enumerate() {
                        let fifth = |bit: usize| {
                            high.get(at).map_or(0, |high| (high >> (2 * pair + bit) & 1) << 4)
                        };
                        parts.codes[64 * pair + at] = byte & 15 | fifth(0);
                        parts.codes[64 * pair + 32 + at] = byte >> 4 | fifth(1);
                    }
                }
            }
            QuantKind::Q6K => {
                parts.scale = word(208);
                for (half, codes) in parts.codes.chunks_exact_mut(128).enumerate() {
                    let (low, high) = (&block[64 * half..][..64], &block[128 + 32 * half..][..32]);
                    for at in 0..32 {
                        codes[at] = low[at] & 15 | (high[at] & 3) << 4;
                        codes[32 + at] = low[32 + at] & 15 | (high[at] >> 2 & 3) << 4;
                        codes[64 + at] = low[at] >> 4 | (high[at] >> 4 & 3) << 4;
                        codes[96 + at] = low[32 + at] >> 4 | (high[at] >> 6) << 4;
                    }
                }
                for (factor, byte) in parts.factors.iter_mut().zip(&block[192..208]) {
                    *factor = *byte as i8;
                }
            }
            QuantKind::Q2K => {
                (parts.scale, parts.minimum) = (word(80), word(82));
                for (at, byte) in block[..16].iter().enumerate() {
                    parts.factors[at] = (byte & 15) as i8;
                    parts.offsets[at] = (byte >> 4) as i8;
                }
                parts.twos(&block[16..80]);
            }
            QuantKind::Q3K => {
                parts.scale = word(108);
                parts.twos(&block[32..96]);
                for (half, codes) in parts.codes.chunks_exact_mut(128).enumerate() {
                    for (group, codes) in codes.chunks_exact_mut(32).enumerate() {
                        for (code, high) in codes.iter_mut().zip(&block[..32]) {
                            *code |= (high >> (4 * half + group) & 1) << 2;
                        }
                    }
                }
                // Four bits of each, then two more of four groups in one byte.
                let sixes = &block[96..108];
                for at in 0..16 {
                    let low = sixes[at % 8] >> (4 * (at / 8)) & 15;
                    let high = sixes[8 + at % 4] >> (2 * (at / 4)) & 3;
                    parts.factors[at] = (low | high << 4) as i8 - 32;
                }
            }
            QuantKind::Iq4Xs => {
                parts.scale = word(0);
                let high = word(2);
                for group in 0..8 {
                    let low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
                    let six = low | ((high >> (2 * group) & 3) as u8) << 4;
                    parts.factors[group] = six as i8 - 32;
                    parts.nibbles(32 * group, &block[8 + 16 * group..][..16]);
                }
            }
        }
        parts
    }

    /// 32 codes from 16 bytes: the low halves of all, then the high ones.
    fn nibbles(&mut self, at: usize, bytes: &[u8]) {
        let (low, high) = self.codes[at..at + 32].split_at_mut(16);
        for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
            (*low, *high) = (byte & 15, byte >> 4);
        }
    }

    /// One more bit for each of 32 codes.
    fn fifth_bits(&mut self, bytes: &[u8]) {
        for (at, code) in self.codes[..32].iter_mut().enumerate() {
            *code |= (bytes[at / 8] >> (at % 8) & 1) << 4;
        }
    }

    /// 256 codes of two bits: four groups of 32 in 32 bytes, twice.
    fn twos(&mut self, bytes: &[u8]) {
        for (codes, bytes) in self.codes.chunks_exact_mut(128).zip(bytes.chunks_exact(32)) {
            for (group, codes) in codes.chunks_exact_mut(32).enumerate() {
                for (code, byte) in codes.iter_mut().zip(bytes) {
                    *code = byte >> (2 * group) & 3;
                }
            }
        }
    }

    /// Eight factors and offsets of six bits in twelve bytes.
    fn sixes(&mut self, bytes: &[u8]) {
        for at in 0..4 {
            let [factor, offset, both] = [bytes[at], bytes[at + 4], bytes[at + 8]];
            self.factors[at] = (factor & 63) as i8;
            self.offsets[at] = (offset & 63) as i8;
            self.factors[at + 4] = (both & 15 | factor >> 6 << 4) as i8;
            self.offsets[at + 4] = (both >> 4 | offset >> 6 << 4) as i8;
        }
    }
}
