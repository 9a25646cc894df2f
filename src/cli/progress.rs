//! The progress that commands show on standard error: a bar, or JSON lines for programs.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::output;
use crate::model::decoder::PrefillHooks;
use crate::printable::{Breaks, printable};
use crate::schema;

/// Steps of a bar.
const STEPS: usize = 1000;
/// Shortest time between two JSON lines of one piece of work.
const EVERY: Duration = Duration::from_millis(500);

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressForm {
    /// A bar, where standard error is a terminal that draws.
    #[default]
    Bar,
    /// A line of JSON for every half second, on standard error.
    Json,
    /// Nothing.
    None,
}

/// How a long command shows its progress.
#[derive(Debug, Clone, clap::Args)]
pub struct ProgressArgs {
    /// Progress on standard error: a bar, a line of JSON every half second, or none
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    progress: ProgressForm,
}

static FORM: OnceLock<ProgressForm> = OnceLock::new();

impl ProgressArgs {
    /// Shows all progress of the program in this form.
    pub fn choose(&self) {
        let _ = FORM.set(self.progress);
    }
}

/// The form of all progress.
pub fn form() -> ProgressForm {
    FORM.get().copied().unwrap_or_default()
}

/// Progress of one piece of work.
pub struct ProgressLine {
    /// Hidden where progress is not a bar, or standard error is no terminal that draws.
    bar: ProgressBar,
    lines: Option<Mutex<Lines>>,
}

impl ProgressLine {
    /// Progress of what the message says.
    pub fn new(what: &str) -> Self {
        let (bar, lines) = match form() {
            ProgressForm::Bar if output::terminal_draws() => (ProgressBar::new(STEPS as u64), None),
            ProgressForm::Json => (ProgressBar::hidden(), Some(Mutex::new(Lines::new(what)))),
            ProgressForm::Bar | ProgressForm::None => (ProgressBar::hidden(), None),
        };
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %") {
            bar.set_style(style);
        }
        bar.set_message(printable(what, Breaks::Shown).into_owned());
        let line = Self { bar, lines };
        line.tell(|lines| lines.share(0.0));
        line
    }

    fn tell(&self, line: impl FnOnce(&mut Lines) -> Option<Value>) {
        let Some(lines) = &self.lines else { return };
        if let Some(said) = line(&mut lines.lock().unwrap_or_else(PoisonError::into_inner)) {
            output::note_json(&said);
        }
    }

    /// Changes the message.
    pub fn say(&self, what: String) {
        self.bar.set_message(printable(&what, Breaks::Shown).into_owned());
        self.tell(|lines| {
            lines.what = what;
            None
        });
    }

    /// Moves to a share, 0 to 1.
    pub fn share(&self, share: f32) {
        self.bar.set_position((share * STEPS as f32) as u64);
        self.tell(|lines| lines.share(f64::from(share)));
    }

    /// Moves to `done` of `all`.
    pub fn count(&self, done: usize, all: usize) {
        self.bar.set_position((done * STEPS / all.max(1)) as u64);
        self.tell(|lines| lines.count(done, all));
    }

    /// Runs `f` with prefill hooks that show progress and never cancel.
    pub fn prefill<T>(&self, chunk: usize, f: impl FnOnce(PrefillHooks<'_>) -> T) -> T {
        let mut progress = |share: f32| {
            self.share(share);
            Ok(())
        };
        f(PrefillHooks {
            chunk,
            progress: &mut progress,
            keep_going: &|| Ok(()),
            observe: &mut |_| (),
        })
    }

    /// Writes a line to standard error, above the bar.
    pub fn line(&self, text: &str) {
        match &self.lines {
            Some(_) => self.tell(|lines| Some(lines.event("note", json!(text)))),
            None => self.bar.suspend(|| output::note(text)),
        }
    }

    /// Ends it.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        self.tell(|lines| Some(lines.event("done", json!(true))));
    }
}

/// Progress as JSON objects, `kscope.progress`: `what` is at work, `elapsed_s` since it began, and
/// one of `share` (0 to 1; with `completed` of `all` where these are known), `bytes`, `note`, `done`.
#[derive(Debug)]
pub(super) struct Lines {
    what: String,
    began: Instant,
    /// When the last line came.
    last: Option<Instant>,
}

impl Lines {
    pub fn new(what: &str) -> Self {
        Self { what: what.to_owned(), began: Instant::now(), last: None }
    }

    /// Another piece of work begins.
    pub fn begin(&mut self, what: &str) {
        *self = Self::new(what);
    }

    /// One line with a fact of its own.
    pub fn event(&self, key: &str, value: Value) -> Value {
        let mut line = Map::new();
        line.insert("schema".to_owned(), json!(schema::name_of("progress")));
        line.insert("schema_version".to_owned(), json!(schema::SCHEMA_VERSION));
        line.insert("what".to_owned(), json!(self.what));
        let elapsed = (self.began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        line.insert("elapsed_s".to_owned(), json!(elapsed));
        line.insert(key.to_owned(), value);
        Value::Object(line)
    }

    /// Whether the time for another line has come.
    fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= EVERY);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }

    fn share(&mut self, share: f64) -> Option<Value> {
        self.is_due().then(|| self.event("share", json!((share * 1e4).round() / 1e4)))
    }

    fn count(&mut self, done: usize, all: usize) -> Option<Value> {
        self.is_due().then(|| {
            let share = done as f64 / all.max(1) as f64;
            let mut line = self.event("share", json!((share * 1e4).round() / 1e4));
            line["completed"] = json!(done);
            line["all"] = json!(all);
            line
        })
    }

    /// Bytes of a download; the whole is not always known.
    pub fn bytes(&mut self, done: u64, all: Option<u64>) -> Option<Value> {
        self.is_due().then(|| {
            let mut line = self.event("bytes", json!(done));
            line["all_bytes"] = json!(all);
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_are_and_come_at_most_twice_a_second() {
        let mut lines = Lines::new("measuring");
        let first = lines.count(3, 12).expect("the first comes at once");
        assert_eq!(
            (&first["schema"], &first["schema_version"], &first["what"]),
            (&json!("kscope.progress"), &json!(1), &json!("measuring"))
        );
        assert_eq!(
            (&first["share"], &first["completed"], &first["all"]),
            (&json!(0.25), &json!(3), &json!(12))
        );
        assert_eq!((lines.share(0.5), lines.bytes(7, None)), (None, None));
        assert_eq!(lines.event("done", json!(true))["done"], true);
        lines.begin("fetching");
        let bytes = lines.bytes(7, Some(9)).expect("another piece of work");
        assert_eq!((&bytes["bytes"], &bytes["all_bytes"]), (&json!(7), &json!(9)));
        assert!(!bytes.to_string().contains('\n'));
    }
}
