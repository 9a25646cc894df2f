#![no_main]

use kscope::mask::files::{self, Format, Split, native};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A file that is accepted must survive a round trip.
    if let Ok(contents) = native::parse(bytes, "input") {
        let written = files::encode(&contents, Format::Safetensors, false)
            .expect("accepted contents can be written");
        assert_eq!(files::parse(&written, "output", &Split::default()).as_ref(), Ok(&contents));
    }
});
