#![no_main]

kscope_fuzz::fuzz_reader!("pth");
