//! Byte accounting: the one definition of how large a cache is.

/// Bytes of stored elements by part. The window is everything outside the middle: sink, recent, and
/// tokens that have not moved to the middle yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CacheBytes {
    /// Kept key channels of the middle.
    pub middle_k: usize,
    /// Values of the middle, of heads that keep something.
    pub middle_v: usize,
    /// Whole keys of the window.
    pub window_k: usize,
    /// Values of the window.
    pub window_v: usize,
}

impl CacheBytes {
    /// All keys.
    pub fn k(&self) -> usize {
        self.middle_k + self.window_k
    }

    /// All values.
    pub fn v(&self) -> usize {
        self.middle_v + self.window_v
    }

    /// Keys and values.
    pub fn total(&self) -> usize {
        self.k() + self.v()
    }
}

impl std::ops::Add for CacheBytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            middle_k: self.middle_k + other.middle_k,
            middle_v: self.middle_v + other.middle_v,
            window_k: self.window_k + other.window_k,
            window_v: self.window_v + other.window_v,
        }
    }
}

impl std::iter::Sum for CacheBytes {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}
