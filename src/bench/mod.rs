//! Measurements of the program itself: one clock, medians of interleaved runs, the machine's limit
//! beside them.

pub mod attention;
mod bandwidth;
pub mod decode;
mod fill;
#[cfg(feature = "cuda-types")]
pub mod gpu_attention;
pub mod gpu_forecast;
pub mod learn;
pub mod masks;
mod threads;
#[cfg(unix)]
pub mod tui;
pub mod variants;
pub mod verify;

pub use bandwidth::read_bandwidth;

/// The middle value (the mean of the two middle ones), reordering `values`.
///
/// # Panics
/// When there are none, or one is not a number.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(|a, b| a.partial_cmp(b).expect("times are numbers"));
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[half - 1] + values[half]) / 2.0
    } else {
        values[half]
    }
}
