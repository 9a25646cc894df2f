//! The measurement on a thread of its own, for the inspector: the same texts and settings as
//! `kscope score --rule sensitivity` where texts were fetched, and otherwise what is on screen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{Receiver, channel};

use super::{SensitivitySettings, measure};
use crate::learn::data::{self, Haystack, HaystackPart, HaystackPiece};
use crate::mask::Sensitivity;
use crate::model::Model;
use crate::{Error, Result, error};

/// News from a measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum Sensed {
    /// The share that is done, 0 to 1.
    Going(f32),
    /// The sensitivity, and what it was measured on.
    Done(Arc<Sensitivity>, String),
    /// It failed, for this reason.
    Failed(String),
}

/// Capacity of the channel; progress is dropped when it is full.
const NEWS: usize = 16;

/// A running measurement. Dropping it stops the thread after the current sample.
#[derive(Debug)]
pub struct Sensing {
    cancelled: Arc<AtomicBool>,
}

impl Sensing {
    /// Starts the thread. `shown` is the text on screen.
    pub fn spawn(model: Arc<Model>, shown: String) -> Result<(Self, Receiver<Sensed>)> {
        let (sender, news) = channel(NEWS);
        let cancelled = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&cancelled);
        let body = move || {
            let _shared = model.decoder.share();
            let mut going = |share| {
                // A full channel drops progress only.
                let _ = sender.try_send(Sensed::Going(share));
                if stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
            };
            let end = match catch_unwind(AssertUnwindSafe(|| sense(&model, shown, &mut going))) {
                Ok(Ok((sensitivity, on))) => Sensed::Done(Arc::new(sensitivity), on),
                Ok(Err(error)) => Sensed::Failed(error.to_string()),
                Err(panic) => Sensed::Failed(error::panic_message(&*panic)),
            };
            // Fails once the receiver is gone, when nobody waits for it.
            let _ = sender.blocking_send(end);
        };
        let spawned = std::thread::Builder::new().name("sensitivity".into()).spawn(body);
        spawned.map_err(|cause| Error::run(format!("starting the measurement: {cause}")))?;
        Ok((Self { cancelled }, news))
    }
}

impl Drop for Sensing {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

fn sense(
    model: &Model,
    shown: String,
    going: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<(Sensitivity, String)> {
    let (haystack, settings) = material(model, shown)?;
    let names: Vec<&str> = haystack.pieces.iter().map(|piece| piece.name.as_str()).collect();
    let measured = measure(model, &haystack, &settings, &mut |step| going(step.share))?;
    Ok((measured.sensitivity, names.join(" and ")))
}

/// Texts and settings. The demo model knows one language, that of its prompt.
fn material(model: &Model, shown: String) -> Result<(Haystack, SensitivitySettings)> {
    let usual = SensitivitySettings::new(model.config());
    match data::load(&[], "text") {
        Ok(texts) if model.name != "demo" && !texts.pieces.is_empty() => Ok((texts, usual)),
        _ => of_shown(model, shown, usual),
    }
}

/// One window: as much of the text on screen as measurements may see.
fn of_shown(
    model: &Model,
    shown: String,
    usual: SensitivitySettings,
) -> Result<(Haystack, SensitivitySettings)> {
    let piece = HaystackPiece::new("the text on screen".to_owned(), shown);
    let tokenizer = model.tokenizer.as_ref().ok_or_else(|| {
        Error::input("sensitivity is measured on text, and this model has no tokenizer")
    })?;
    let tokens = tokenizer.encode(piece.part(HaystackPart::Training))?.len();
    let window_tokens = usual.window_tokens.min(tokens);
    let settings = SensitivitySettings {
        windows: 1,
        window_tokens,
        rows: usual.rows.min(window_tokens / 4).max(1),
        recall_weight: 0.0,
        ..usual
    };
    Ok((Haystack { pieces: vec![piece] }, settings))
}
