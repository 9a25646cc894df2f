//! A key that is pressed while the terminal changes its size.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const PAIRS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(30);
/// How a copy to the clipboard begins: the answer to `y`, whatever is drawn around it.
const COPIED: &[u8] = b"\x1b]52;c;";

fn resize(terminal: &File, columns: u16) {
    let size = Winsize { ws_row: 30, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

/// Waits until so many copies were made since the start; how many were when patience ended.
fn wait_for_copies(output: &Receiver<Vec<u8>>, seen: &mut Vec<u8>, wanted: usize) -> usize {
    let count = |seen: &[u8]| seen.windows(COPIED.len()).filter(|&bytes| bytes == COPIED).count();
    let end = Instant::now() + PATIENCE;
    let mut copies = count(seen);
    while copies < wanted {
        let Ok(bytes) = output.recv_timeout(end.saturating_duration_since(Instant::now())) else {
            break;
        };
        seen.extend_from_slice(&bytes);
        copies = count(seen);
    }
    copies
}

#[test]
fn a_key_at_the_moment_of_a_resize_does_not_wait_for_the_next_key() {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).and_then(|()| unlockpt(&controller)).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let mut keyboard = File::from(controller);
    resize(&keyboard, 100);
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let end = || Stdio::from(terminal.try_clone().unwrap());
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new("setsid")
        .args(["--ctty", env!("CARGO_BIN_EXE_kscope"), "--max-new", "4", "--color", "ascii"])
        .env("HOME", home.path())
        .env("TERM", "xterm")
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    let (sender, output) = channel();
    let mut screen = keyboard.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    // The model is loaded and its few tokens are made once a key is answered with a copy.
    let mut seen = Vec::new();
    let began = Instant::now();
    while !seen.windows(4).any(|bytes| bytes == b"DONE") {
        assert!(began.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&seen));
        if let Ok(bytes) = output.recv_timeout(Duration::from_secs(1)) {
            seen.extend_from_slice(&bytes);
        }
    }
    for pair in 0..PAIRS {
        seen.clear();
        resize(&keyboard, 90 + (pair % 2) as u16);
        keyboard.write_all(b"y").unwrap();
        assert_eq!(wait_for_copies(&output, &mut seen, 1), 1, "the key of resize {pair} waits");
    }
    keyboard.write_all(b"q").unwrap();
    assert!(child.wait().unwrap().success());
}
