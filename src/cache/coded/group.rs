//! A group of numbers that share a scale and a minimum.

use half::f16;

use crate::mask::Width;

/// Scale and minimum of a group: the number of a code is `minimum + scale * code`.
///
/// Asymmetric rounding as KIVI has it (arXiv 2402.02750). The minimum is rounded down and the scale
/// up to f16, so that every number lies between the first and the last code and is off by at most
/// half a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Distance of two codes; 0 where all numbers are equal.
    pub scale: f16,
    /// The number of code 0; NaN where the group has a number that is not finite.
    pub minimum: f16,
}

impl Group {
    /// The group of these numbers for codes of `width`.
    ///
    /// Numbers beyond ±65,504 do not fit; the cache refuses them before they are coded.
    pub fn of(numbers: impl Iterator<Item = f32>, width: Width) -> Self {
        let (mut low, mut high, mut finite) = (f32::INFINITY, f32::NEG_INFINITY, true);
        for number in numbers {
            low = low.min(number);
            high = high.max(number);
            finite &= number.is_finite();
        }
        if !finite || low > high {
            return Self { scale: f16::ZERO, minimum: f16::NAN };
        }
        if low == high {
            return Self { scale: f16::ZERO, minimum: f16::from_f32(low) };
        }
        let minimum = down(low);
        let codes = f32::from(width.largest_code());
        Self { scale: up((high - minimum.to_f32()) / codes), minimum }
    }

    /// The code of a number, rounded to nearest even.
    pub fn code(self, number: f32, width: Width) -> u8 {
        let scale = self.scale.to_f32();
        if scale == 0.0 {
            return 0;
        }
        let code = ((number - self.minimum.to_f32()) / scale).round_ties_even();
        code.clamp(0.0, f32::from(width.largest_code())) as u8
    }

    /// The number of a code.
    pub fn number(self, code: u8) -> f32 {
        self.scale.to_f32().mul_add(f32::from(code), self.minimum.to_f32())
    }
}

/// The largest f16 that is not above `number`.
fn down(number: f32) -> f16 {
    let nearest = f16::from_f32(number);
    if nearest.to_f32() <= number { nearest } else { -above(-nearest) }
}

/// The smallest f16 that is not below `number`.
fn up(number: f32) -> f16 {
    let nearest = f16::from_f32(number);
    if nearest.to_f32() >= number { nearest } else { above(nearest) }
}

/// The next larger f16.
fn above(number: f16) -> f16 {
    let bits = number.to_bits();
    match bits {
        // From either zero to the smallest positive number.
        0 | 0x8000 => f16::from_bits(1),
        positive if positive < 0x8000 => f16::from_bits(bits + 1),
        _ => f16::from_bits(bits - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// The largest error of a group, in scales.
    fn error(numbers: &[f32], width: Width) -> (f32, Group) {
        let group = Group::of(numbers.iter().copied(), width);
        let off = |&x: &f32| (group.number(group.code(x, width)) - x).abs();
        (numbers.iter().map(off).fold(0.0, f32::max), group)
    }

    #[test]
    fn no_number_is_off_by_more_than_half_a_scale() {
        let mut random = SplitMix64::new(7);
        for round in 0..3_000 {
            let size = 10f32.powi(round % 9 - 4);
            let middle = if round % 2 == 0 { 0.0 } else { 50.0 * size };
            let number =
                |_| (random.below(1 << 20) as f32 / (1 << 20) as f32 - 0.5) * size + middle;
            let numbers: Vec<f32> = (0..1 + round as usize % 64).map(number).collect();
            for width in Width::CODED {
                let (error, group) = error(&numbers, width);
                let scale = group.scale.to_f32();
                // The rounding of the number itself to f32, and of a constant to f16.
                let rounding = 66.0 * size * if scale == 0.0 { 4.9e-4 } else { 2e-7 };
                assert!(
                    error <= scale / 2.0 + rounding,
                    "{width} bits of {numbers:?}: off by {error}, scale {scale}"
                );
            }
        }
    }

    #[test]
    fn constant_huge_and_denormal_numbers() {
        for width in Width::CODED {
            for constant in [0.0, -0.0, 3.5, -65_504.0, 65_504.0, 5.960_464_5e-8] {
                let (error, group) = error(&[constant; 5], width);
                assert_eq!((error, group.scale), (0.0, f16::ZERO), "{constant}");
            }
            let (error, group) = error(&[-65_504.0, 65_504.0, 0.25], width);
            assert!(group.scale.is_finite() && error <= group.scale.to_f32() / 2.0);
            let (error, _) = self::error(&[1e-9, -3e-8, 5.9e-8], width);
            assert!(error <= 6e-8, "{error}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_visible() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let group = Group::of([1.0, wrong, 2.0].into_iter(), Width::Four);
            assert!(group.number(group.code(1.0, Width::Four)).is_nan());
        }
    }

    #[test]
    fn rounding_is_directed() {
        for bits in 0..=u16::MAX {
            let number = f16::from_bits(bits);
            if !number.is_finite() || number.to_f32().abs() > 65_000.0 {
                continue;
            }
            for nudge in [-1e-3, 0.0, 1e-3] {
                let exact = number.to_f32() * (1.0 + nudge) + nudge * 1e-7;
                assert!(down(exact).to_f32() <= exact && up(exact).to_f32() >= exact);
                assert!(above(down(exact)).to_f32() > exact || down(exact).to_f32() == exact);
            }
        }
    }
}
