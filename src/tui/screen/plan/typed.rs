//! Values of knobs as they are typed.

use crate::capacity::{GPUS, MOST_BATCH, StoredMiddle};
use crate::numbers::{count, parse_tokens};
use crate::tui::app::model::ModelView;
use crate::tui::screen::plan::knobs::{choices, models};
use crate::tui::screen::plan::state::{Knob, Planning};

impl Planning {
    /// Sets a knob to what was typed.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub(super) fn set_by_text(
        &mut self,
        knob: Knob,
        text: &str,
        view: &ModelView,
    ) -> Result<(), String> {
        let (model, of) = self.served(view);
        let number = |least: usize, most: usize| {
            parse_tokens(text).filter(|number| (least..=most).contains(number)).ok_or_else(|| {
                format!(
                    "{}: expected {} to {}, not `{text}`",
                    knob.name(),
                    count(least),
                    count(most)
                )
            })
        };
        match knob {
            Knob::Model => {
                let names: Vec<&str> =
                    std::iter::once(view.info.name.as_str()).chain(models()).collect();
                self.model = named(knob, text, &names)?;
                self.stored = 0;
            }
            Knob::Stored => {
                let own = choices(of);
                let names: Vec<String> = own.iter().map(StoredMiddle::name).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let at = named(knob, text, &names)?;
                self.stored = (at + own.len() - Self::first_choice(&own)) % own.len();
            }
            Knob::Gpu => {
                let names: Vec<&str> = GPUS.iter().map(|gpu| gpu.name).collect();
                self.gpu = named(knob, text, &names)?;
                self.cents = None;
            }
            Knob::Context => self.ctx = number(1, model.max_context)?,
            Knob::Batch => self.batch = number(1, MOST_BATCH)?,
            Knob::Shared => self.shared = number(1, 64)?,
            Knob::Price => {
                let usd = text.trim_start_matches('$').parse().ok();
                let usd = usd.filter(|usd: &f64| (0.01..=1000.0).contains(usd));
                let usd = usd.ok_or_else(|| {
                    format!("{}: expected dollars, 0.01 to 1,000, not `{text}`", knob.name())
                })?;
                self.cents = Some((usd * 100.0).round() as u32);
            }
            Knob::Reach => self.reach = number(5, 100)? as u32,
            Knob::Requests => self.requests = number(1, u32::MAX as usize)?,
            Knob::TokensIn => self.tokens_in = number(1, 1 << 22)?,
            Knob::TokensOut => self.tokens_out = number(1, 1 << 20)?,
            Knob::Hours => self.hours = number(0, 100_000)?,
            Knob::Rate => self.rate = number(0, 10_000)?,
        }
        Ok(())
    }
}

/// The one name that is typed, or that begins as it is typed.
fn named(knob: Knob, text: &str, names: &[&str]) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let is_same = |name: &&str| name.eq_ignore_ascii_case(text);
    if let Some(at) = names.iter().position(is_same) {
        return Ok(at);
    }
    let begins = |name: &&&str| name.to_ascii_lowercase().starts_with(&lower);
    let found: Vec<&str> = names.iter().filter(begins).copied().collect();
    match found[..] {
        [one] => Ok(names.iter().position(|name| *name == one).unwrap_or(0)),
        [] => Err(format!("{}: no name begins with `{text}`", knob.name())),
        [first, second, ..] => {
            Err(format!("{}: `{text}` may be {first}, {second} or more", knob.name()))
        }
    }
}
