//! The demo model's task: one of eight codes among plain sentences.

use super::RecallSample;
use crate::Result;
use crate::model::demo::generator::{DemoSpec, DemoText};
use crate::random::SplitMix64;

/// Codes in a text.
const FACTS: usize = 8;

/// A sample of about `units` tens of characters.
pub(super) fn sample(units: usize, rng: &mut SplitMix64) -> Result<RecallSample> {
    let spec = DemoSpec {
        seed: rng.draw(),
        target_chars: units * 10,
        facts: FACTS,
        ..DemoSpec::default()
    };
    let drawn = DemoText::draw(&spec)?;
    let (key, value) = &drawn.facts[drawn.ask];
    Ok(RecallSample {
        question: format!("What is the code for {key}?"),
        lead: format!("The code for {key} is"),
        references: vec![value.clone()],
        depth: Some(drawn.depths[drawn.ask] as f64 / 1000.0),
        context: drawn.text,
    })
}
