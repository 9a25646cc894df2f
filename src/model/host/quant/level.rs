//! Which instruction set the products run on.

use pulp::NullaryFnOnce;

use super::lanes::{PlainLanes, TileLanes};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2Tiles, Avx512Tiles, AvxVnniTiles};

/// Work that is compiled once for each kind of lanes.
pub trait LaneWork {
    /// Does it.
    fn run<L: TileLanes>(self, lanes: L);
}

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug)]
pub enum TileLevel {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512Tiles),
    /// AVX2 with AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnniTiles),
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2Tiles),
    /// Plain loops.
    Plain,
}

impl TileLevel {
    /// The best one.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(token) = Avx512Tiles::try_new() {
                return Self::Avx512(token);
            }
            if let Some(token) = AvxVnniTiles::try_new() {
                return Self::AvxVnni(token);
            }
            if let Some(token) = Avx2Tiles::try_new() {
                return Self::Avx2(token);
            }
        }
        Self::Plain
    }

    /// Every one.
    #[cfg(test)]
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let fast = [
                Avx512Tiles::try_new().map(Self::Avx512),
                AvxVnniTiles::try_new().map(Self::AvxVnni),
                Avx2Tiles::try_new().map(Self::Avx2),
            ];
            fast.into_iter().flatten().chain([Self::Plain]).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Self::Plain]
    }

    /// Does the work, compiled for the instruction set.
    pub fn run(self, work: impl LaneWork) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(lanes) => lanes.vectorize(Compiled { lanes, work }),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(lanes) => lanes.vectorize(Compiled { lanes, work }),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => lanes.vectorize(Compiled { lanes, work }),
            Self::Plain => work.run(PlainLanes),
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct Compiled<L, W> {
    lanes: L,
    work: W,
}

#[cfg(target_arch = "x86_64")]
impl<L: TileLanes, W: LaneWork> NullaryFnOnce for Compiled<L, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.work.run(self.lanes);
    }
}
