#![no_main]

use kscope::mask::files::{Split, npy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = npy::parse(bytes, "input") {
        let _ = array.into_contents("input", &Split { kv_heads: Some(2), head_dim: None });
    }
});
