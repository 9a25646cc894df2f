//! What all fuzz targets share.

pub use kscope_testing::readers::by_name;
pub use libfuzzer_sys::fuzz_target;

/// A target that gives its bytes to the reader of that name. Panics that the program itself catches
/// are none of the fuzzer's: the hook that ends the process at once is put back to the usual one.
#[macro_export]
macro_rules! fuzz_reader {
    ($name:literal) => {
        $crate::fuzz_target!(
            init: drop(std::panic::take_hook()),
            |bytes: &[u8]| {
                ($crate::by_name($name).read)(bytes);
            }
        );
    };
}
