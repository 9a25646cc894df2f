//! A model's file that is cut short or replaced while the program loads it.

use std::fs::{File, OpenOptions};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kscope::random::SplitMix64;
use kscope_testing::needs::smollm2;
use kscope_testing::require;

use super::{figure, program, text, times};

#[test]
fn a_model_that_is_cut_short_while_it_loads_is_named() {
    if !require("model") {
        return;
    }
    let original = smollm2().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let run = || {
        let mut command = program(folder.path());
        command.args(["run", "--model", "model.gguf", "--token-ids", "1,2,3", "--max-new", "1"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    std::fs::copy(&original, &path).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    let began = Instant::now();
    assert!(run().output().unwrap().status.success());
    let all = began.elapsed();
    let mut random = SplitMix64::new(4);
    let (mut refused, mut done) = (0, 0);
    for _ in 0..times(8, 60) {
        // Written anew in place: a copy onto a shorter file is a longer one.
        let mut whole = File::open(&original).unwrap();
        std::io::copy(&mut whole, &mut File::create(&path).unwrap()).unwrap();
        let child = run().spawn().unwrap();
        std::thread::sleep(
            all.mul_f64(random.below(900) as f64 / 1000.0) + Duration::from_millis(1),
        );
        let cut = size * random.below(1000) as u64 / 1000;
        OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = text(&ended.stderr);
        match ended.status.code() {
            Some(0) => done += 1,
            Some(1 | 2) => {
                assert!(said.contains("model.gguf") && !said.contains("panicked"), "{said}");
                refused += 1;
            }
            other => panic!("cut to {cut} of {size} bytes: {other:?}: {said}"),
        }
    }
    figure("model files cut short while they load", format!("{refused} refused, {done} were read"));
    assert!(refused > 0, "no file was cut in time");
}
