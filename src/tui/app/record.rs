//! Recordings: one event per line as JSON, written during a session and played later.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::decode::worker::{Envelope, Event};
use crate::mask::files::check_writable;
use crate::numbers::count;
use crate::tui::app::action::Playback;
use crate::{Error, Result, error, input_file};

/// Writes events to a file. The file begins with the model: until then nothing on disk is touched,
/// because an argument may still be refused.
pub struct Recorder {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    /// Events before the model.
    before: Vec<Envelope>,
}

impl Recorder {
    /// A recording to this path, which replaces a file that is there.
    ///
    /// # Errors
    /// Where nothing can be written there, or it is one of the files that the session reads.
    pub fn create(path: &Path, read: &[&Path]) -> Result<Self> {
        let real = |path: &Path| path.canonicalize().ok();
        if let Some(own) =
            read.iter().find(|own| real(own).is_some_and(|own| real(path) == Some(own)))
        {
            return Err(Error::input(format!(
                "--record {} would replace {}, which this session reads",
                path.display(),
                own.display()
            )));
        }
        match std::fs::metadata(path) {
            Ok(there) if there.is_file() => {
                let opened = File::options().write(true).open(path);
                opened.map_err(|cause| error::io("recording to", path, &cause))?;
            }
            // A pipe or a device is opened when there is something to write.
            Ok(there) if !there.is_dir() => {}
            _ => check_writable(path)?,
        }
        Ok(Self { path: path.to_owned(), file: None, before: Vec::new() })
    }

    /// Adds an event, and hands it to the system where it is not of many a second.
    pub fn write(&mut self, envelope: &Envelope) -> Result<()> {
        let failed = |cause: std::io::Error| error::io("recording to", &self.path, &cause);
        let begins = matches!(envelope.event, Event::Loaded(_));
        let file = match &mut self.file {
            Some(file) => file,
            None if begins => {
                let mut file = BufWriter::new(File::create(&self.path).map_err(failed)?);
                for envelope in self.before.drain(..) {
                    add(&mut file, &envelope).map_err(failed)?;
                }
                self.file.insert(file)
            }
            None => {
                self.before.push(envelope.clone());
                return Ok(());
            }
        };
        add(file, envelope).map_err(failed)
    }

    /// Makes sure that everything is in the file.
    pub fn flush(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush().map_err(|cause| error::io("recording to", &self.path, &cause))
    }
}

fn add(file: &mut BufWriter<File>, envelope: &Envelope) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, envelope)?;
    file.write_all(b"\n")
}

/// Plays a recording at its original speed, with pause and steps.
#[derive(Debug)]
pub struct Player {
    events: Vec<Envelope>,
    next: usize,
    /// The position in the recording that belongs to `since_ms` of the program's time.
    at_ms: f64,
    since_ms: f64,
    playing: bool,
    is_cut: bool,
    /// Percentage of the original speed.
    speed: u32,
    /// Index of every token's event.
    tokens: Vec<usize>,
}

/// Bytes of the longest line that is read. An event of a large model takes less than a hundredth.
const LONGEST_LINE: u64 = 64 << 20;

/// Longest wait between two events in milliseconds, so that idle time is not replayed.
const LONGEST_GAP_MS: f64 = 2_000.0;

impl Player {
    /// Reads a whole recording. A line that is not an event is refused with its number. A last line
    /// without an end is what a killed program leaves: it is left out.
    pub fn open(path: &Path) -> Result<Self> {
        let file = input_file::open(path, input_file::RECORDING)?;
        let mut lines = BufReader::new(file);
        let (mut events, mut line, mut is_cut) = (Vec::<Envelope>::new(), Vec::new(), false);
        for number in 1.. {
            line.clear();
            let read = lines.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
            if read.map_err(|cause| error::io("reading", path, &cause))? == 0 {
                break;
            }
            let wrong = |cause: String| {
                Error::input(format!(
                    "{}: line {number} is no event of a kscope recording: {cause}",
                    path.display()
                ))
            };
            if line.len() as u64 > LONGEST_LINE {
                return Err(wrong(format!(
                    "it is longer than {} bytes",
                    count(LONGEST_LINE as usize)
                )));
            }
            match serde_json::from_slice(&line) {
                Ok(envelope) => events.push(envelope),
                Err(_) if number > 1 && !line.ends_with(b"\n") => is_cut = true,
                Err(cause) => return Err(wrong(cause.to_string())),
            }
        }
        if !events.iter().any(|envelope| matches!(envelope.event, Event::Loaded(_))) {
            return Err(Error::input(format!(
                "{} is no kscope recording: it never says which model it is",
                path.display()
            )));
        }
        // Idle stretches are cut, and times that run backwards are corrected, before anything is
        // played.
        let (mut played, mut last) = (0.0, 0.0);
        for envelope in &mut events {
            let gap = (envelope.at_ms - last).clamp(0.0, LONGEST_GAP_MS);
            last = envelope.at_ms;
            played += gap;
            envelope.at_ms = played;
        }
        let is_token =
            |(at, event): (usize, &Envelope)| matches!(event.event, Event::Token(_)).then_some(at);
        let tokens = events.iter().enumerate().filter_map(is_token).collect();
        Ok(Self {
            events,
            next: 0,
            at_ms: 0.0,
            since_ms: 0.0,
            playing: true,
            is_cut,
            speed: 100,
            tokens,
        })
    }

    /// Whether the last line was cut off.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// When the next event is due, in the program's time; `None` while paused or at the end.
    pub fn due_ms(&self) -> Option<f64> {
        let envelope = self.events.get(self.next).filter(|_| self.playing)?;
        Some(self.since_ms + (envelope.at_ms - self.at_ms) * 100.0 / f64::from(self.speed))
    }

    /// The events that are due. At its end a recording stands still.
    pub fn take_due(&mut self, now_ms: f64) -> Vec<Envelope> {
        let first = self.next;
        while self.due_ms().is_some_and(|due| due <= now_ms) {
            self.next += 1;
        }
        self.playing &= !self.is_at_end();
        self.events[first..self.next].to_vec()
    }

    /// Whether everything was played.
    pub fn is_at_end(&self) -> bool {
        self.next == self.events.len()
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        !self.playing
    }

    /// Pauses.
    pub fn pause(&mut self) {
        self.playing = false;
    }

    /// Continues from the current position.
    pub fn resume(&mut self, now_ms: f64) {
        self.playing = true;
        self.since_ms = now_ms;
        self.at_ms = self.events[..self.next].last().map_or(0.0, |envelope| envelope.at_ms);
    }

    /// Pauses and returns everything up to and including the next token; without one, all that is
    /// left.
    pub fn forward(&mut self) -> Vec<Envelope> {
        self.pause();
        let first = self.next;
        self.next = self.tokens.get(self.shown()).map_or(self.events.len(), |at| at + 1);
        self.events[first..self.next].to_vec()
    }

    /// Pauses and returns everything from the start up to the token before the last one shown, at
    /// least the first.
    pub fn back(&mut self) -> Vec<Envelope> {
        self.pause();
        let to = self.shown().saturating_sub(1).max(1);
        self.next = self.tokens.get(to - 1).map_or(self.next, |at| at + 1);
        self.events[..self.next].to_vec()
    }

    /// Tokens shown so far.
    fn shown(&self) -> usize {
        self.tokens.partition_point(|&at| at < self.next)
    }

    /// Goes to a token, counted from 1; playing or paused as before. Gives what has to be played for
    /// it: from the start where it lies behind.
    pub fn seek(&mut self, token: usize, now_ms: f64) -> Vec<Envelope> {
        let last = self.tokens.len();
        let to = self.tokens.get(token.clamp(1, last.max(1)) - 1).map_or(0, |at| at + 1);
        self.go(to, now_ms)
    }

    /// Goes so many tokens on, or back.
    pub fn seek_by(&mut self, tokens: isize, now_ms: f64) -> Vec<Envelope> {
        self.seek(self.shown().saturating_add_signed(tokens), now_ms)
    }

    /// Goes to the last event up to this share of the time, 0 to 1.
    pub fn seek_share(&mut self, share: f64, now_ms: f64) -> Vec<Envelope> {
        let until = share * self.length_ms();
        let to = self.events.partition_point(|envelope| envelope.at_ms <= until);
        // Before the model there is nothing to show.
        let model = self.events.iter().position(|one| matches!(one.event, Event::Loaded(_)));
        self.go(to.max(model.map_or(0, |at| at + 1)), now_ms)
    }

    fn go(&mut self, to: usize, now_ms: f64) -> Vec<Envelope> {
        let from = if to >= self.next { self.next } else { 0 };
        self.next = to;
        let playing = self.playing;
        self.resume(now_ms);
        self.playing = playing;
        self.events[from..to].to_vec()
    }

    /// Plays at this percentage of the speed from now on.
    pub fn set_speed(&mut self, percent: u32, now_ms: f64) {
        self.at_ms = self.position_ms(now_ms);
        self.since_ms = now_ms;
        self.speed = percent.clamp(1, 100_000);
    }

    fn length_ms(&self) -> f64 {
        self.events.last().map_or(0.0, |envelope| envelope.at_ms)
    }

    /// The time in the recording.
    fn position_ms(&self, now_ms: f64) -> f64 {
        let shown = self.events[..self.next].last().map_or(0.0, |envelope| envelope.at_ms);
        let next = self.events.get(self.next).map_or(shown, |envelope| envelope.at_ms);
        match self.playing {
            true => {
                let run = (now_ms - self.since_ms) * f64::from(self.speed) / 100.0;
                (self.at_ms + run).clamp(shown, next)
            }
            false => shown,
        }
    }

    /// Where it is.
    pub fn playback(&self, now_ms: f64) -> Playback {
        Playback {
            token: self.shown(),
            tokens: self.tokens.len(),
            at_ms: (self.position_ms(now_ms), self.length_ms()),
            speed: self.speed,
        }
    }

    /// Starts again from the beginning.
    pub fn restart(&mut self, now_ms: f64) {
        self.next = 0;
        self.resume(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{SMALL, info, token};

    fn envelope(at_ms: f64, event: Event) -> Envelope {
        Envelope { generation: 1, at_ms, dropped: 0, event }
    }

    /// Loaded at 0, tokens at 10, 20 and, after an hour, the third and a fourth whose clock ran
    /// backwards.
    fn player() -> Player {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        let model = info(SMALL);
        let mut recorder = Recorder::create(&path, &[]).expect("created");
        recorder.write(&envelope(0.0, Event::Loaded(Box::new(model.clone())))).expect("written");
        for (n, at) in [(1, 10.0), (2, 20.0), (3, 3_600_020.0), (4, 5.0)] {
            recorder.write(&envelope(at, token(&model, n, 100 + n))).expect("written");
        }
        recorder.flush().expect("written");
        Player::open(&path).expect("its own words")
    }

    fn tokens(events: &[Envelope]) -> usize {
        events.iter().filter(|envelope| matches!(envelope.event, Event::Token(_))).count()
    }

    #[test]
    fn a_recording_is_played_in_time_without_its_idle_stretches() {
        let mut player = player();
        assert_eq!(
            (
                tokens(&player.take_due(9.0)),
                tokens(&player.take_due(15.0)),
                tokens(&player.take_due(21.0))
            ),
            (0, 1, 1)
        );
        assert_eq!(player.due_ms(), Some(2_020.0));
        player.pause();
        assert_eq!((player.due_ms(), player.take_due(1e9).len()), (None, 0));
        player.resume(5_000.0);
        assert_eq!(player.due_ms(), Some(7_000.0));
        assert_eq!(tokens(&player.take_due(7_000.0)), 2);
        assert!(player.is_at_end() && player.is_paused());
        player.seek(1, 8_000.0);
        assert_eq!(player.due_ms(), None, "from the end it is gone to and not played");
    }

    #[test]
    fn a_recording_is_begun_with_the_model_and_survives_a_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "an old recording").expect("written");
        let refused = Recorder::create(&path, &[Path::new("none"), &path]);
        let sentence = refused.err().expect("its own input").to_string();
        assert!(sentence.contains("which this session reads"), "{sentence}");
        assert!(Recorder::create(folder.path(), &[]).is_err());
        assert!(Recorder::create(&folder.path().join("no/a.jsonl"), &[]).is_err());
        let model = info(SMALL);
        let mut recorder = Recorder::create(&path, &[]).expect("created");
        recorder.write(&envelope(0.0, Event::Loading(0.5))).expect("kept");
        recorder.flush().expect("nothing to write");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "an old recording");
        recorder.write(&envelope(1.0, Event::Loaded(Box::new(model.clone())))).expect("written");
        recorder.write(&envelope(2.0, token(&model, 1, 100))).expect("written");
        recorder.flush().expect("written");
        let whole = std::fs::read(&path).expect("there");
        assert!(!Player::open(&path).expect("whole").is_cut());
        std::fs::write(&path, &whole[..whole.len() - 9]).expect("written");
        let mut cut = Player::open(&path).expect("all but the last line");
        assert!(cut.is_cut());
        assert_eq!((cut.take_due(1e9).len(), cut.is_at_end()), (2, true));
        // A line in the middle is no accident.
        std::fs::write(&path, [&whole[..40], b"\n", &whole[..]].concat()).expect("written");
        assert!(Player::open(&path).is_err());
    }

    #[test]
    fn steps_go_a_token_forward_and_a_token_back() {
        let mut player = player();
        assert_eq!(tokens(&player.forward()), 1);
        assert_eq!(tokens(&player.forward()), 1);
        assert_eq!(tokens(&player.back()), 1, "everything up to the first token, played anew");
        assert_eq!(tokens(&player.back()), 1, "the first token stays");
        assert_eq!(tokens(&player.forward()), 1);
        player.restart(0.0);
        assert_eq!(tokens(&player.take_due(f64::INFINITY)), 4);
    }

    #[test]
    fn any_token_is_gone_to_and_playing_goes_on_there() {
        let mut player = player();
        assert_eq!(tokens(&player.seek(3, 0.0)), 3);
        assert_eq!(player.playback(0.0).token, 3);
        // Back is played from the model on.
        let again = player.seek(2, 5.0);
        assert!(matches!(again[0].event, Event::Loaded(_)) && tokens(&again) == 2);
        assert_eq!(tokens(&player.seek_by(1, 5.0)), 1, "on is played from here");
        assert_eq!(tokens(&player.seek_by(-10, 5.0)), 1);
        assert_eq!((tokens(&player.seek(99, 5.0)), player.playback(5.0).token), (3, 4));
        assert!(player.is_at_end());
        // It still plays: the second token comes ten milliseconds after the first.
        player.seek(1, 100.0);
        assert_eq!((tokens(&player.take_due(109.0)), tokens(&player.take_due(111.0))), (0, 1));
        // A paused one stays paused.
        player.pause();
        player.seek(1, 200.0);
        assert_eq!(player.due_ms(), None);
        let whole = player.playback(200.0).at_ms.1;
        player.seek_share(0.0, 200.0);
        assert_eq!((player.playback(200.0).token, player.playback(200.0).at_ms.0), (0, 0.0));
        player.seek_share(1.0, 200.0);
        assert_eq!((player.playback(200.0).token, player.playback(200.0).at_ms.0), (4, whole));
    }

    #[test]
    fn a_speed_counts_from_where_it_was_set() {
        let mut player = player();
        assert_eq!(tokens(&player.take_due(5.0)), 0);
        player.set_speed(50, 5.0);
        // Five milliseconds of it are left to the first token, and take ten.
        assert_eq!((tokens(&player.take_due(14.0)), tokens(&player.take_due(15.5))), (0, 1));
        player.set_speed(1000, 15.0);
        assert_eq!(tokens(&player.take_due(16.5)), 1);
        assert_eq!(player.playback(16.5).speed, 1000);
    }
}
