//! The kinds as packed.

use super::format::{HalfScales, JoinedHalves, NestedScales, PowerScales, SignedBytes, TileFormat};
use super::planes::{
    DoubledE2m1, EightBits, FiveBits, FourBits, Iq4Levels, LevelCodes, SixBits, ThreeBits, TwoBits,
};

/// Planes of codes, scales, and the zero among the codes, of a kind's name.
macro_rules! formats {
    ($($kind:ident: $planes:ty, $scales:ty, $zero:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($kind), "` as packed.")]
            pub struct $kind;

            impl TileFormat for $kind {
                type Planes = $planes;
                type Scales = $scales;
                const ZERO: i32 = $zero;
            }
        )*
    };
}

formats! {
    Q4_0: FourBits, HalfScales<false>, 8;
    Q4_1: FourBits, HalfScales<true>, 0;
    Q5_0: FiveBits, HalfScales<false>, 16;
    Q5_1: FiveBits, HalfScales<true>, 0;
    Q8_0: EightBits, HalfScales<false>, 128;
    Q2K: TwoBits, NestedScales<JoinedHalves>, 0;
    Q3K: ThreeBits, NestedScales<SignedBytes<16, false>>, 4;
    Q4K: FourBits, NestedScales<SignedBytes<32, true>>, 0;
    Q5K: FiveBits, NestedScales<SignedBytes<32, true>>, 0;
    Q6K: SixBits, NestedScales<SignedBytes<16, false>>, 32;
    Iq4Nl: LevelCodes<Iq4Levels>, HalfScales<false>, 128;
    Iq4Xs: LevelCodes<Iq4Levels>, NestedScales<SignedBytes<32, false>>, 128;
    Mxfp4: LevelCodes<DoubledE2m1>, PowerScales, 12;
}

/// Runs `$body` with the type name `$format` standing for the format of a kind.
macro_rules! with_format {
    ($of:expr, $format:ident => $body:expr) => {
        with_format!(@ $of, $format, $body; Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2K Q3K Q4K Q5K Q6K Iq4Nl Iq4Xs Mxfp4)
    };
    (@ $of:expr, $format:ident, $body:expr; $($kind:ident)*) => {
        match $of {
            $($crate::model::host::quant::QuantKind::$kind => {
                type $format = $crate::model::host::quant::formats::$kind;
                $body
            })*
        }
    };
}
pub(super) use with_format;
