//! A shell in a real terminal: tmux is the terminal emulator.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kscope_testing::require;

pub const PATIENCE: Duration = Duration::from_secs(60);

static SOCKETS: AtomicU32 = AtomicU32::new(0);

/// A shell in its own terminal.
pub struct Terminal {
    pub socket: String,
    pub home: tempfile::TempDir,
}

impl Terminal {
    /// `None` without tmux.
    #[track_caller]
    pub fn new(columns: u16, rows: u16) -> Option<Self> {
        if !require("tmux") {
            return None;
        }
        let socket = format!(
            "kscope-test-{}-{}",
            std::process::id(),
            SOCKETS.fetch_add(1, Ordering::Relaxed)
        );
        let terminal = Self { socket, home: tempfile::tempdir().expect("a folder") };
        let home = terminal.home.path().display();
        // The shell does not read the user's own configuration.
        let shell = format!(
            "cd {home} && exec env -i PATH=/usr/bin:/bin HOME={home} TERM=screen-256color COLORTERM=truecolor LANG=C.UTF-8 PS1='ready$ ' \
             bash --norc --noprofile"
        );
        let (columns, rows) = (columns.to_string(), rows.to_string());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            &columns,
            "-y",
            &rows,
            &shell,
        ]);
        terminal.wait("the shell", |screen| screen.contains("ready$"));
        terminal.tells_story("story = false");
        Some(terminal)
    }

    /// Writes the configuration; without a line, `kscope` alone tells its story.
    pub fn tells_story(&self, line: &str) {
        let folder = self.home.path().join(".config/kscope");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("config.toml"), line).expect("written");
    }

    pub fn tmux(&self, args: &[&str]) -> Output {
        let output =
            Command::new("tmux").args(["-L", &self.socket]).args(args).output().expect("tmux runs");
        assert!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-t", "t"]).stdout).into_owned()
    }

    pub fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "t"], keys].concat());
    }

    /// Types a line into the shell.
    pub fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "t", "-l", text]);
        self.keys(&["Enter"]);
    }

    /// Starts the inspector and waits for the first generated text.
    pub fn start(&self, args: &str) {
        self.line(&format!("{} {args}; echo code=$?", env!("CARGO_BIN_EXE_kscope")));
        self.wait("the first tokens", |screen| {
            screen.contains("tok/s") && screen.contains("1 Map")
        });
    }

    pub fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "waited for {what}; the screen is\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Id of the process that runs in the shell.
    pub fn child(&self) -> u32 {
        let output = self.tmux(&["display-message", "-p", "-t", "t", "#{pane_pid}"]);
        let shell = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let children =
            std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("linux");
        children.split_whitespace().next().expect("a child").parse().expect("a number")
    }

    /// Checks that the shell works and that no mode of the inspector is left.
    pub fn assert_sane(&self) {
        self.line(
            "clear; stty -a | tr ';' '\\n' | tr ' ' '\\n' | grep -xE -- '-?(echo|icanon|isig|opost)' | tr '\\n' ' '; echo s'a'ne",
        );
        let screen = self.wait("the shell", |screen| screen.contains("sane"));
        for mode in ["echo", "icanon", "isig", "opost"] {
            assert!(screen.contains(mode) && !screen.contains(&format!("-{mode}")), "{screen}");
        }
        let flags = self.tmux(&[
            "display-message",
            "-p",
            "-t",
            "t",
            "#{alternate_on} #{mouse_any_flag} #{cursor_flag}",
        ]);
        assert_eq!(
            String::from_utf8_lossy(&flags.stdout).trim(),
            "0 0 1",
            "alternate screen, mouse, cursor"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The server may already have ended with its only session.
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}
