//! The progress bar that commands show on standard error.

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use crate::model::decoder::PrefillHooks;
use crate::printable::{Breaks, printable};

/// Steps of a bar.
const STEPS: usize = 1000;

/// A progress bar; hidden where standard error is no terminal that draws.
pub struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// A bar with a message.
    pub fn new(what: &str) -> Self {
        let bar = match output::terminal_draws() {
            true => ProgressBar::new(STEPS as u64),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %") {
            bar.set_style(style);
        }
        bar.set_message(printable(what, Breaks::Shown).into_owned());
        Self(bar)
    }

    /// Changes the message.
    pub fn say(&self, what: String) {
        self.0.set_message(printable(&what, Breaks::Shown).into_owned());
    }

    /// Moves the bar to a share, 0 to 1.
    pub fn share(&self, share: f32) {
        self.0.set_position((share * STEPS as f32) as u64);
    }

    /// Moves the bar to `done` of `all`.
    pub fn count(&self, done: usize, all: usize) {
        self.0.set_position((done * STEPS / all.max(1)) as u64);
    }

    /// Runs `f` with prefill hooks that move the bar and never cancel.
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
        self.0.suspend(|| output::note(text));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
