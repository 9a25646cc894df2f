//! How each kind is packed: records of sixteen rows by one block, a header of scales and then planes
//! of codes; and the product of a record with activations.

use half::f16;

use super::activations::{STEPS, UnitActivations};
use super::block::BlockParts;
use super::lanes::{ROWS, TileLanes, half_power};
use super::planes::CodePlanes;

/// A kind as packed.
pub trait TileFormat {
    /// Its codes.
    type Planes: CodePlanes;
    /// Its scales.
    type Scales: TileScales;
    /// What stands for zero among the levels of the codes.
    const ZERO: i32;
    /// Bytes of a record.
    const RECORD: usize = Self::Scales::HEADER + Self::Scales::UNITS * Self::Planes::BYTES;
}

/// The scales of a record.
pub trait TileScales {
    /// Units of 32 columns in a record.
    const UNITS: usize;
    /// Bytes of the header.
    const HEADER: usize;
    /// Those at its beginning that are numbers of two bytes, sixteen rows after one another; the
    /// others have one byte.
    const HALF_BYTES: usize;

    /// Writes one row's scales into a header.
    fn pack(parts: &BlockParts, row: usize, header: &mut [u8]);

    /// Writes what one header has of a row as another row of another header.
    fn copy_row(from: &[u8], row: usize, to: &mut [u8], place: usize) {
        let (halves, bytes) = from.split_at(Self::HALF_BYTES);
        let (to_halves, to_bytes) = to.split_at_mut(Self::HALF_BYTES);
        let pairs = halves.chunks_exact(2 * ROWS).zip(to_halves.chunks_exact_mut(2 * ROWS));
        for (from, to) in pairs {
            to[2 * place..2 * place + 2].copy_from_slice(&from[2 * row..2 * row + 2]);
        }
        for (from, to) in bytes.chunks_exact(ROWS).zip(to_bytes.chunks_exact_mut(ROWS)) {
            to[place] = from[row];
        }
    }

    /// Whether a row's values are finite numbers.
    fn is_finite(header: &[u8], row: usize) -> bool;

    /// Makes a row's values zero; false where no scale can.
    fn zero(row: usize, header: &mut [u8]) -> bool;

    /// One row's factor and what is added after it, for the columns `16 j ..` of the block.
    fn of_row(header: &[u8], row: usize, sixteen: usize) -> (f32, f32);

    /// Adds the products of a record to the totals of `B` rows of activations.
    fn add_products<L: TileLanes, F: TileFormat<Scales = Self>, const B: usize>(
        lanes: L,
        record: &[u8],
        x: &[&[UnitActivations]; B],
        totals: &mut [L::Floats; B],
    );
}

/// Each sixteen columns' products with `B` rows of activations, before scales. The sum of each term
/// is a whole number.
#[inline(always)]
fn products<L: TileLanes, F: TileFormat, const B: usize>(
    lanes: L,
    codes: &[u8],
    x: [&UnitActivations; B],
) -> [[L::Floats; 2]; B] {
    let vectors = F::Planes::vectors(lanes, codes);
    let mut sums = [[lanes.splat(0.0); 2]; B];
    let mut b = 0;
    while b < B {
        let mut half = 0;
        while half < 2 {
            let mut terms = [lanes.ints(0); 2];
            let mut term = 0;
            while term < 2 {
                let mut sum = lanes.ints(-F::ZERO * x[b].sums[term][half]);
                let mut g = 4 * half;
                while g < 4 * half + 4 {
                    let four = x[b].words[term][g];
                    sum = match F::Planes::WIDE {
                        true => lanes.dot::<true>(sum, vectors[g], four),
                        false => lanes.dot::<false>(sum, vectors[g], four),
                    };
                    g += 1;
                }
                terms[term] = sum;
                term += 1;
            }
            let first = lanes.mul(lanes.floats(terms[0]), lanes.splat(STEPS));
            sums[b][half] = lanes.add(first, lanes.floats(terms[1]));
            half += 1;
        }
        b += 1;
    }
    sums
}

/// The products of both sixteen columns, each times its scale of the activations.
#[inline(always)]
fn of_both<L: TileLanes>(lanes: L, sums: [L::Floats; 2], scales: [f32; 2]) -> L::Floats {
    let first = lanes.mul(sums[0], lanes.splat(scales[0]));
    let second = lanes.mul(sums[1], lanes.splat(scales[1]));
    lanes.add(first, second)
}

/// Adds the products of a record of one unit, whose rows have these scales.
#[inline(always)]
fn add_unit<L: TileLanes, F: TileFormat, const B: usize>(
    lanes: L,
    codes: &[u8],
    scale: L::Floats,
    x: &[&[UnitActivations]; B],
    totals: &mut [L::Floats; B],
) {
    let x = x.map(|units| &units[0]);
    let sums = products::<L, F, B>(lanes, codes, x);
    let mut b = 0;
    while b < B {
        let product = of_both(lanes, sums[b], x[b].scales);
        totals[b] = lanes.add(totals[b], lanes.mul(scale, product));
        b += 1;
    }
}

fn put_half(header: &mut [u8], at: usize, bits: u16) {
    header[at..at + 2].copy_from_slice(&bits.to_le_bytes());
}

#[inline(always)]
fn half_at(header: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([header[at], header[at + 1]]).to_f32()
}

/// An f16 for each 32 values, and where `MINIMUM` another one that is added.
pub struct HalfScales<const MINIMUM: bool>;

impl<const MINIMUM: bool> TileScales for HalfScales<MINIMUM> {
    const UNITS: usize = 1;
    const HEADER: usize = if MINIMUM { 64 } else { 32 };
    const HALF_BYTES: usize = Self::HEADER;

    fn pack(parts: &BlockParts, row: usize, header: &mut [u8]) {
        put_half(header, 2 * row, parts.scale);
        if MINIMUM {
            put_half(header, 32 + 2 * row, parts.minimum);
        }
    }

    fn is_finite(header: &[u8], row: usize) -> bool {
        half_at(header, 2 * row).is_finite()
            && (!MINIMUM || half_at(header, 32 + 2 * row).is_finite())
    }

    fn zero(row: usize, header: &mut [u8]) -> bool {
        put_half(header, 2 * row, 0);
        if MINIMUM {
            put_half(header, 32 + 2 * row, 0);
        }
        true
    }

    #[inline(always)]
    fn of_row(header: &[u8], row: usize, _: usize) -> (f32, f32) {
        let minimum = if MINIMUM { half_at(header, 32 + 2 * row) } else { 0.0 };
        (half_at(header, 2 * row), minimum)
    }

    #[inline(always)]
    fn add_products<L: TileLanes, F: TileFormat<Scales = Self>, const B: usize>(
        lanes: L,
        record: &[u8],
        x: &[&[UnitActivations]; B],
        totals: &mut [L::Floats; B],
    ) {
        let codes = &record[Self::HEADER..];
        add_unit::<L, F, B>(lanes, codes, lanes.halves(record), x, totals);
        if MINIMUM {
            let minimum = lanes.halves(&record[32..]);
            let mut b = 0;
            while b < B {
                let added = lanes.mul(minimum, lanes.splat(x[b][0].scaled_sum));
                totals[b] = lanes.add(totals[b], added);
                b += 1;
            }
        }
    }
}

/// An exponent of two for each 32 values.
pub struct PowerScales;

impl TileScales for PowerScales {
    const UNITS: usize = 1;
    const HEADER: usize = ROWS;
    const HALF_BYTES: usize = 0;

    fn pack(parts: &BlockParts, row: usize, header: &mut [u8]) {
        header[row] = parts.scale as u8;
    }

    fn is_finite(header: &[u8], row: usize) -> bool {
        // Half of this power of two, less 127, times the largest doubled level, 12.
        header[row] < 253
    }

    fn zero(_: usize, _: &mut [u8]) -> bool {
        false
    }

    #[inline(always)]
    fn of_row(header: &[u8], row: usize, _: usize) -> (f32, f32) {
        (half_power(header[row]), 0.0)
    }

    #[inline(always)]
    fn add_products<L: TileLanes, F: TileFormat<Scales = Self>, const B: usize>(
        lanes: L,
        record: &[u8],
        x: &[&[UnitActivations]; B],
        totals: &mut [L::Floats; B],
    ) {
        let codes = &record[Self::HEADER..];
        add_unit::<L, F, B>(lanes, codes, lanes.half_powers(record), x, totals);
    }
}

/// The factors of a block of 256, one for each 16 or 32 columns.
pub trait BlockFactors {
    /// Columns that share a factor.
    const COLUMNS: usize;
    /// Whether there is a minimum, with an offset beside each factor.
    const MINIMUM: bool;
    /// Bytes of the factors of sixteen rows.
    const BYTES: usize;

    /// Writes one row's.
    fn pack(parts: &BlockParts, row: usize, to: &mut [u8]);
    /// One row's factor and offset.
    fn of_row(from: &[u8], row: usize, at: usize) -> [f32; 2];
    /// The factors of all rows.
    fn factors<L: TileLanes>(lanes: L, from: &[u8], at: usize) -> L::Floats;
    /// The offsets of all rows.
    fn offsets<L: TileLanes>(lanes: L, from: &[u8], at: usize) -> L::Floats;
}

/// Signed bytes: all factors, then all offsets.
pub struct SignedBytes<const COLUMNS: usize, const MINIMUM: bool>;

impl<const COLUMNS: usize, const MINIMUM: bool> BlockFactors for SignedBytes<COLUMNS, MINIMUM> {
    const COLUMNS: usize = COLUMNS;
    const MINIMUM: bool = MINIMUM;
    const BYTES: usize = ROWS * 256 / COLUMNS * if MINIMUM { 2 } else { 1 };

    fn pack(parts: &BlockParts, row: usize, to: &mut [u8]) {
        for at in 0..256 / COLUMNS {
            to[ROWS * at + row] = parts.factors[at] as u8;
            if MINIMUM {
                to[ROWS * (256 / COLUMNS + at) + row] = parts.offsets[at] as u8;
            }
        }
    }

    #[inline(always)]
    fn of_row(from: &[u8], row: usize, at: usize) -> [f32; 2] {
        let offset = match MINIMUM {
            true => from[ROWS * (256 / COLUMNS + at) + row],
            false => 0,
        };
        [from[ROWS * at + row], offset].map(|byte| f32::from(byte as i8))
    }

    #[inline(always)]
    fn factors<L: TileLanes>(lanes: L, from: &[u8], at: usize) -> L::Floats {
        lanes.signed(&from[ROWS * at..ROWS * at + ROWS])
    }

    #[inline(always)]
    fn offsets<L: TileLanes>(lanes: L, from: &[u8], at: usize) -> L::Floats {
        lanes.signed(&from[ROWS * (256 / COLUMNS + at)..][..ROWS])
    }
}

/// Factor and offset in the halves of one byte.
pub struct JoinedHalves;

impl BlockFactors for JoinedHalves {
    const COLUMNS: usize = 16;
    const MINIMUM: bool = true;
    const BYTES: usize = ROWS * 16;

    fn pack(parts: &BlockParts, row: usize, to: &mut [u8]) {
        for at in 0..16 {
            to[ROWS * at + row] = parts.factors[at] as u8 | (parts.offsets[at] as u8) << 4;
        }
    }

    #[inline(always)]
    fn of_row(from: &[u8], row: usize, at: usize) -> [f32; 2] {
        let both = from[ROWS * at + row];
        [both & 15, both >> 4].map(f32::from)
    }

    #[inline(always)]
    fn factors<L: TileLanes>(lanes: L, from: &[u8], at: usize) -> L::Floats {
        lanes.low_halves(&from[ROWS * at..ROWS * at + ROWS])
    }

    #[inline(always)]
    fn offsets<L: TileLanes>(lanes: L, from: &[u8], at: usize) -> L::Floats {
        lanes.high_halves(&from[ROWS * at..ROWS * at + ROWS])
    }
}

/// An f16 for 256 values, and another for the minimum where there is one, both times factors.
pub struct NestedScales<F>(std::marker::PhantomData<F>);

impl<N: BlockFactors> NestedScales<N> {
    const HALVES: usize = if N::MINIMUM { 64 } else { 32 };
}

impl<N: BlockFactors> TileScales for NestedScales<N> {
    const UNITS: usize = 8;
    const HEADER: usize = Self::HALVES + N::BYTES;
    const HALF_BYTES: usize = Self::HALVES;

    fn pack(parts: &BlockParts, row: usize, header: &mut [u8]) {
        put_half(header, 2 * row, parts.scale);
        if N::MINIMUM {
            put_half(header, 32 + 2 * row, parts.minimum);
        }
        N::pack(parts, row, &mut header[Self::HALVES..]);
    }

    fn is_finite(header: &[u8], row: usize) -> bool {
        half_at(header, 2 * row).is_finite()
            && (!N::MINIMUM || half_at(header, 32 + 2 * row).is_finite())
    }

    fn zero(row: usize, header: &mut [u8]) -> bool {
        put_half(header, 2 * row, 0);
        if N::MINIMUM {
            put_half(header, 32 + 2 * row, 0);
        }
        true
    }

    #[inline(always)]
    fn of_row(header: &[u8], row: usize, sixteen: usize) -> (f32, f32) {
        let at = 16 * sixteen / N::COLUMNS;
        let [factor, offset] = N::of_row(&header[Self::HALVES..], row, at);
        let minimum = if N::MINIMUM { half_at(header, 32 + 2 * row) } else { 0.0 };
        (half_at(header, 2 * row) * factor, -(minimum * offset))
    }

    #[inline(always)]
    fn add_products<L: TileLanes, F: TileFormat<Scales = Self>, const B: usize>(
        lanes: L,
        record: &[u8],
        x: &[&[UnitActivations]; B],
        totals: &mut [L::Floats; B],
    ) {
        let factors = &record[Self::HALVES..Self::HEADER];
        let mut scaled = [lanes.splat(0.0); B];
        let mut minima = [lanes.splat(0.0); B];
        for unit in 0..Self::UNITS {
            let codes = &record[Self::HEADER + unit * F::Planes::BYTES..][..F::Planes::BYTES];
            let mut here = [&x[0][unit]; B];
            let mut b = 0;
            while b < B {
                here[b] = &x[b][unit];
                b += 1;
            }
            let sums = products::<L, F, B>(lanes, codes, here);
            if N::COLUMNS == 32 {
                let factor = N::factors(lanes, factors, unit);
                let mut b = 0;
                while b < B {
                    let product = of_both(lanes, sums[b], here[b].scales);
                    scaled[b] = lanes.add(scaled[b], lanes.mul(factor, product));
                    if N::MINIMUM {
                        let offset = N::offsets(lanes, factors, unit);
                        let sum = lanes.splat(here[b].scaled_sum);
                        minima[b] = lanes.add(minima[b], lanes.mul(offset, sum));
                    }
                    b += 1;
                }
            } else {
                let mut half = 0;
                while half < 2 {
                    let factor = N::factors(lanes, factors, 2 * unit + half);
                    let mut b = 0;
                    while b < B {
                        let scale = lanes.splat(here[b].scales[half]);
                        let product = lanes.mul(sums[b][half], scale);
                        scaled[b] = lanes.add(scaled[b], lanes.mul(factor, product));
                        if N::MINIMUM {
                            let offset = N::offsets(lanes, factors, 2 * unit + half);
                            let sum = lanes.splat(here[b].scaled[half]);
                            minima[b] = lanes.add(minima[b], lanes.mul(offset, sum));
                        }
                        b += 1;
                    }
                    half += 1;
                }
            }
        }
        let scale = lanes.halves(record);
        let mut b = 0;
        while b < B {
            totals[b] = lanes.add(totals[b], lanes.mul(scale, scaled[b]));
            if N::MINIMUM {
                let minimum = lanes.halves(&record[32..]);
                totals[b] = lanes.sub(totals[b], lanes.mul(minimum, minima[b]));
            }
            b += 1;
        }
    }
}
