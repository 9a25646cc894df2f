//! Seeded random numbers that are the same on every machine and in every version.

/// splitmix64: small, fast, and written down draw by draw in `demo/SPEC.md`.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

/// What the state grows by with every draw.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl SplitMix64 {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scrambled(self.0)
    }

    /// A number from `0..n`: the high half of the product of the next 64 bits and `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.draw()) * n as u128) >> 64) as usize
    }

    /// Puts `count` drawn entries first, in drawn order; with the whole length, all of them are in
    /// random order.
    pub fn shuffle<T>(&mut self, list: &mut [T], count: usize) {
        for at in 0..count.min(list.len()) {
            let other = at + self.below(list.len() - at);
            list.swap(at, other);
        }
    }

    /// Draws one of these.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &'a [Box<T>]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Bits that look random and depend on `z` alone.
pub fn scrambled(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
