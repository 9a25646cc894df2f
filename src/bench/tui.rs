//! `kscope bench tui`: the inspector in a pseudo-terminal, driven as a user's terminal would.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::numbers::count;
use crate::spread::median;
use crate::{Error, Result};

/// The frame's first and last bytes: a synchronized update.
const FRAME_START: &[u8] = b"\x1b[?2026h";
const FRAME_END: &[u8] = b"\x1b[?2026l";
/// Text in the last event of a run in a recording.
const FINISHED: &str = "\"finished\"";
/// Longest wait for any event.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two key presses; not a multiple of the time between statistics frames.
const KEY_EVERY: Duration = Duration::from_millis(73);

/// A prompt of about fifty tokens whose continuation has no natural end.
const PROMPT: &str = "The keeper counted the ships that passed the light and wrote each of them down. On some days there were many, on \
    others none at all, and the book told of both with the same care. When the wind rose she climbed the stairs again. ";

/// What to measure with.
#[derive(Debug, Clone)]
pub struct TuiOptions {
    /// The model's name or path.
    pub model: String,
    /// Tokens to decode per round.
    pub tokens: usize,
    /// Rounds with and without a screen, taking turns.
    pub rounds: usize,
    /// Columns and rows.
    pub size: (u16, u16),
}

/// The measurements. Times in milliseconds, shares in percent.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TuiReport {
    /// Model.
    pub model: String,
    /// From the start of the process to the end of its first frame, median.
    pub first_frame_ms: f64,
    /// From a key press to the end of the next frame while decoding, median.
    pub key_p50_ms: f64,
    /// From a key press to the end of the next frame while decoding, 99th percentile.
    pub key_p99_ms: f64,
    /// Key presses that were timed.
    pub keys: usize,
    /// Processor time over three seconds after the run ended.
    pub idle_cpu_percent: f64,
    /// Time per decode step without a screen: `kscope run`, median of rounds.
    pub plain_step_ms: f64,
    /// Time per decode step with the screen, from token to token.
    pub screen_step_ms: f64,
    /// Slowdown by the screen, median over rounds that take turns. On a busy machine this is mostly
    /// noise.
    pub decode_loss_percent: f64,
    /// The part of the slowdown that the engine's own thread spends on statistics and events
    /// instead of steps, measured in one process with one clock.
    pub engine_share_percent: f64,
}

/// Arrival times of the start and end of a frame.
struct Frame {
    start: Instant,
    end: Instant,
}

/// The inspector in a pseudo-terminal.
struct Session {
    child: Child,
    keyboard: File,
    frames: Receiver<Frame>,
    started: Instant,
}

fn os(cause: impl std::fmt::Display) -> Error {
    Error::run(format!("running the inspector in a pseudo-terminal: {cause}"))
}

impl Session {
    fn start(options: &TuiOptions, prompt: &Path, record: &Path, max_new: usize) -> Result<Self> {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(os)?;
        grantpt(&controller).and_then(|()| unlockpt(&controller)).map_err(os)?;
        let name = ptsname(&controller, Vec::new()).map_err(os)?;
        let (columns, rows) = options.size;
        let size =
            rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&controller, size).map_err(os)?;
        let path = name.to_str().map_err(os)?;
        let mut terminal = File::options();
        // Without a terminal of its own (setsid, a service), this program would get this one, and
        // the signal that comes when it closes.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut terminal, libc::O_NOCTTY);
        let terminal = terminal.read(true).write(true).open(path).map_err(os)?;
        let handle = |file: &File| file.try_clone().map(Stdio::from).map_err(os);
        let started = Instant::now();
        let child = Command::new(std::env::current_exe().map_err(os)?)
            // One dense side, as `kscope run` decodes: a model with a shipped mask would open with both.
            .args(["--mask", "none", "--solo"])
            .args(["--model", &options.model, "--raw", "--color", "truecolor", "--prompt-file"])
            .arg(prompt)
            // Every session but the first replaces the recording of the one before.
            .args(["--force", "--record"])
            .arg(record)
            .args(["--max-new", &max_new.to_string()])
            .stdin(handle(&terminal)?)
            .stdout(handle(&terminal)?)
            .stderr(handle(&terminal)?)
            .spawn()
            .map_err(os)?;
        let keyboard = File::from(controller);
        let mut screen = keyboard.try_clone().map_err(os)?;
        let (sender, frames) = channel();
        std::thread::spawn(move || {
            let mut pending = Vec::new();
            let mut start = None;
            let mut bytes = vec![0; 1 << 16];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                let now = Instant::now();
                pending.extend_from_slice(&bytes[..count]);
                loop {
                    let mark = if start.is_none() { FRAME_START } else { FRAME_END };
                    let Some(at) = pending.windows(mark.len()).position(|window| window == mark)
                    else {
                        break;
                    };
                    pending.drain(..at + mark.len());
                    start = match start {
                        None => Some(now),
                        Some(start) => {
                            if sender.send(Frame { start, end: now }).is_err() {
                                return;
                            }
                            None
                        }
                    };
                }
            }
        });
        Ok(Self { child, keyboard, frames, started })
    }

    fn first_frame(&self) -> Result<f64> {
        let frame = self.frames.recv_timeout(PATIENCE).map_err(os)?;
        Ok((frame.end - self.started).as_secs_f64() * 1e3)
    }

    /// Presses a key and waits for a frame that began after it; `None` if none comes.
    fn press(&mut self, key: &str) -> Result<Option<f64>> {
        while self.frames.try_recv().is_ok() {}
        let pressed = Instant::now();
        self.keyboard.write_all(key.as_bytes()).map_err(os)?;
        while let Ok(frame) = self.frames.recv_timeout(Duration::from_secs(2)) {
            if frame.start >= pressed {
                return Ok(Some((frame.end - pressed).as_secs_f64() * 1e3));
            }
        }
        Ok(None)
    }

    /// Processor seconds that the process has used.
    fn cpu_seconds(&self) -> Result<f64> {
        match self.scheduled_seconds() {
            Some(seconds) => Ok(seconds),
            None => self.ticked_seconds(),
        }
    }

    /// Processor seconds of its threads to the nanosecond, where the kernel counts them.
    fn scheduled_seconds(&self) -> Option<f64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let mut all = 0.0;
        for task in tasks {
            let counts = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            all += counts.split_whitespace().next()?.parse::<f64>().ok()?;
        }
        Some(all / 1e9)
    }

    /// Processor seconds to a hundredth of a second.
    fn ticked_seconds(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path).map_err(os)?;
        // The fields after the process name, which ends with the last parenthesis; user and system
        // time are the 12th and 13th.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 =
            fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }

    fn quit(mut self) -> Result<()> {
        self.keyboard.write_all(b"q").map_err(os)?;
        self.child.wait().map_err(os)?;
        Ok(())
    }
}

/// Runs the measurements; `note` gets one sentence per round.
pub fn run(options: &TuiOptions, mut note: impl FnMut(&str)) -> Result<TuiReport> {
    let folder = tempfile::tempdir().map_err(os)?;
    let record = folder.path().join("session.jsonl");
    let (mut first, mut keys, mut losses, mut shares) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut plain, mut screen) = (Vec::new(), Vec::new());
    let prompt = folder.path().join("prompt.txt");
    std::fs::write(&prompt, PROMPT.repeat(8)).map_err(os)?;
    let mut idle = 0.0;
    for round in 0..options.rounds.max(1) {
        // The end of the round before would be taken for that of this one.
        if record.exists() {
            std::fs::remove_file(&record).map_err(os)?;
        }
        // The slowdown is measured without key presses, so that it is that of watching alone.
        let session = Session::start(options, &prompt, &record, options.tokens)?;
        first.push(session.first_frame()?);
        let (with, share) = wait_for_end(&record, options.tokens)?;
        shares.push(100.0 * share);
        if round == 0 {
            std::thread::sleep(Duration::from_secs(1));
            let before = session.cpu_seconds()?;
            std::thread::sleep(Duration::from_secs(3));
            idle = 100.0 * (session.cpu_seconds()? - before) / 3.0;
        }
        session.quit()?;
        let without = plain_step(options, &prompt)?;
        note(&format!(
            "round {}: {without:.3} ms a step without a screen, {with:.3} ms with",
            round + 1
        ));
        losses.push(100.0 * (with / without - 1.0));
        plain.push(without);
        screen.push(with);
    }
    std::fs::remove_file(&record).map_err(os)?;
    let mut session = Session::start(options, &prompt, &record, options.tokens * 4)?;
    session.first_frame()?;
    wait_for(&record, "\"token\"", "decode")?;
    let end = Instant::now() + Duration::from_secs(10);
    for key in ["j", "c", "k", "v", "l", "C", "h"].into_iter().cycle() {
        if Instant::now() > end || ended(&record)? {
            break;
        }
        std::thread::sleep(KEY_EVERY);
        keys.extend(session.press(key)?);
    }
    session.quit()?;
    if keys.is_empty() {
        return Err(Error::run(
            "the run ended before a key could be timed: more --tokens are needed",
        ));
    }
    keys.sort_by(f64::total_cmp);
    let at = |quantile: f64| keys[((keys.len() - 1) as f64 * quantile).round() as usize];
    Ok(TuiReport {
        model: options.model.clone(),
        first_frame_ms: median(&mut first),
        key_p50_ms: at(0.5),
        key_p99_ms: at(0.99),
        keys: keys.len(),
        idle_cpu_percent: idle,
        plain_step_ms: median(&mut plain),
        screen_step_ms: median(&mut screen),
        decode_loss_percent: median(&mut losses),
        engine_share_percent: median(&mut shares),
    })
}

/// Lines of the recording so far that are complete.
fn events(record: &Path) -> Result<Vec<serde_json::Value>> {
    let Ok(file) = File::open(record) else { return Ok(Vec::new()) };
    let lines = BufReader::new(file).lines().map_while(std::io::Result::ok);
    Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()).collect())
}

fn kind<'a>(event: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    event.get("event")?.get(name)
}

/// Waits until a word appears near the end of the recording. Only the last bytes are read, because
/// parsing the whole file again and again would slow down the decode that is measured.
fn wait_for(record: &Path, word: &str, what: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !tail_has(record, word)? {
        if Instant::now() > end {
            return Err(Error::run(format!(
                "the inspector did not {what} within {} s",
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn tail_has(record: &Path, word: &str) -> Result<bool> {
    const TAIL: u64 = 2048;
    let Ok(mut file) = File::open(record) else { return Ok(false) };
    let length = file.metadata().map_err(os)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).map_err(os)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(os)?;
    Ok(bytes.windows(word.len()).any(|window| window == word.as_bytes()))
}

fn ended(record: &Path) -> Result<bool> {
    tail_has(record, FINISHED)
}

/// Waits for the end of the run. Returns the time from token to token on the engine's own clock,
/// and the share of it that was not spent in steps.
fn wait_for_end(record: &Path, tokens: usize) -> Result<(f64, f64)> {
    wait_for(record, FINISHED, "finish")?;
    let events = events(record)?;
    let times: Vec<f64> = events
        .iter()
        .filter(|event| kind(event, "token").is_some())
        .filter_map(|event| event.get("at_ms")?.as_f64())
        .collect();
    if times.len() < tokens.min(8) {
        return Err(Error::run(format!(
            "the model stopped after {} of {} tokens: too few to measure",
            count(times.len()),
            count(tokens)
        )));
    }
    let steps: f64 = (events.iter())
        .filter_map(|event| kind(event, "token")?.get("step")?.get("total")?.as_f64())
        .sum();
    let all = times[times.len() - 1] - times[0];
    Ok((all / (times.len() - 1) as f64, 1.0 - steps / all))
}

/// Time per step of `kscope run` on the same prompt.
fn plain_step(options: &TuiOptions, prompt: &Path) -> Result<f64> {
    let output = Command::new(std::env::current_exe().map_err(os)?)
        .args(["run", "--json", "--raw", "--model", &options.model, "--prompt-file"])
        .arg(prompt)
        .args(["--max-new", &options.tokens.to_string()])
        .output()
        .map_err(os)?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(os)?;
    let rate = report.get("tokens_per_s").and_then(serde_json::Value::as_f64);
    rate.map(|rate| 1e3 / rate).ok_or_else(|| Error::run("kscope run gave no decode speed"))
}
