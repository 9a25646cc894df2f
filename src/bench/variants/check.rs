//! The held-out check: windows of text and recall prompts, each of which is one unit of work.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::learn::check::{self, CheckPlan};
use crate::learn::data::{self, Haystack, HaystackPart, SENTENCES};
use crate::model::Model;
use crate::numbers::{count, hex};
use crate::{Error, Result};

/// What masks are checked on. No learning and no measurement reads the last sixth of a text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VariantCheck {
    /// Names or paths of texts; empty for those that are learned from.
    pub texts: Vec<String>,
    /// Which part of a text's last sixth is read, so that variants can be chosen on one part and
    /// confirmed on another.
    pub part: (f64, f64),
    /// Windows, shared evenly among the texts.
    pub windows: usize,
    /// Tokens of a window.
    pub window_tokens: usize,
    /// Last tokens of a window that decode is forced through.
    pub rows: usize,
    /// Recall prompts, seven questions each.
    pub prompts: usize,
    /// Tokens of a prompt.
    pub prompt_tokens: usize,
    /// Seed of the prompts.
    pub seed: u64,
}

impl Default for VariantCheck {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            part: (0.0, 1.0),
            windows: 10,
            window_tokens: 1536,
            rows: 128,
            prompts: 30,
            prompt_tokens: 1024,
            seed: 0,
        }
    }
}

/// A window of text or a prompt.
pub(super) struct CheckItem {
    /// Sha256 of its tokens, and of where they are forced or asked.
    pub(super) id: String,
    /// The text's name; `None` for a prompt.
    pub(super) text: Option<String>,
    /// The plan of this one item.
    pub(super) plan: CheckPlan,
}

impl VariantCheck {
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::input(format!("[check]: {what}")));
        if self.windows == 0 && self.prompts == 0 {
            return wrong("neither windows nor prompts are asked for".to_owned());
        }
        if self.windows > 0 && (self.rows < 2 || self.rows >= self.window_tokens) {
            return wrong(format!(
                "`rows` must be from 2 to less than `window_tokens` {}, not {}",
                count(self.window_tokens),
                count(self.rows)
            ));
        }
        let (from, to) = self.part;
        if !(0.0 <= from && from < to && to <= 1.0) {
            return wrong(format!(
                "`part` is a beginning and an end from 0 to 1, not {from} and {to}"
            ));
        }
        Ok(())
    }

    /// The windows and prompts of a model, in order.
    pub(super) fn items(&self, model: &Model, learned: &[String]) -> Result<Vec<CheckItem>> {
        for (key, tokens, is_used) in [
            ("window_tokens", self.window_tokens, self.windows > 0),
            ("prompt_tokens", self.prompt_tokens, self.prompts > 0),
        ] {
            let most = model.config().max_context;
            if is_used && tokens > most {
                return Err(Error::input(format!(
                    "[check]: `{key}` {} is more than the model's context of {}",
                    count(tokens),
                    count(most)
                )));
            }
        }
        let names = if self.texts.is_empty() { learned } else { &self.texts };
        let sources = names.iter().map(|name| data::source(name)).collect::<Result<Vec<_>>>()?;
        let mut items = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let more = usize::from(index < self.windows % sources.len());
            let own = self.windows / sources.len() + more;
            if own == 0 {
                continue;
            }
            let held_out = source.part(HaystackPart::HeldOut);
            let at =
                |share: f64| held_out.floor_char_boundary((share * held_out.len() as f64) as usize);
            let text = &held_out[at(self.part.0)..at(self.part.1)];
            let name = format!("{} (its last sixth)", source.name);
            let windows = check::spread_windows(model, (&name, text), own, self.window_tokens)?;
            items.extend(windows.into_iter().map(|window| self.window(&source.name, window)));
        }
        // Sentences are what recall prompts are filled with where there is no natural text.
        let natural = sources.into_iter().filter(|source| source.name != SENTENCES);
        let haystack = Haystack { pieces: natural.collect() };
        let prompts =
            check::recall_prompts(model, &haystack, self.prompts, self.prompt_tokens, self.seed)?;
        items.extend(prompts.into_iter().map(|prompt| {
            let mut hash = Sha256::new();
            hash.update("prompt");
            let questions = prompt.questions.iter().flat_map(|q| [&q.tail, &q.answer]);
            for tokens in std::iter::once(&prompt.prefix).chain(questions) {
                hash.update((tokens.len() as u64).to_le_bytes());
                hash.update(bytemuck::cast_slice(tokens));
            }
            let plan = CheckPlan {
                prompts: vec![prompt],
                texts: Vec::new(),
                forced: self.rows,
                rule_questions: usize::MAX,
            };
            CheckItem { id: hex(&hash.finalize()), text: None, plan }
        }));
        Ok(items)
    }

    fn window(&self, text: &str, window: Vec<u32>) -> CheckItem {
        let mut hash = Sha256::new();
        hash.update("window");
        hash.update((self.rows as u64).to_le_bytes());
        hash.update(bytemuck::cast_slice(&window));
        let plan = CheckPlan {
            prompts: Vec::new(),
            texts: vec![(text.to_owned(), vec![window])],
            forced: self.rows,
            rule_questions: usize::MAX,
        };
        CheckItem { id: hex(&hash.finalize()), text: Some(text.to_owned()), plan }
    }
}
