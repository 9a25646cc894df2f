//! The four groups of arguments that every decoding command takes, and the objects made from them.

use std::sync::Arc;

use super::cache::{CacheArgs, PlanChoice};
use super::model::ModelArgs;
use super::prompt::PromptArgs;
use super::sampling::SamplingArgs;
use crate::cache::CacheSpec;
use crate::model::Model;
use crate::{Result, machine};

/// Model, cache, prompt and sampling.
#[derive(Debug, Clone, clap::Args)]
pub struct SessionArgs {
    #[command(flatten)]
    pub(in crate::cli) model: ModelArgs,
    #[command(flatten)]
    pub(in crate::cli) cache: CacheArgs,
    #[command(flatten)]
    pub(in crate::cli) prompt: PromptArgs,
    #[command(flatten)]
    pub(in crate::cli) sampling: SamplingArgs,
}

/// A loaded model and what to decode with it.
#[derive(Debug)]
pub struct Ready {
    /// The model.
    pub model: Arc<Model>,
    /// The plan and its window; its warnings have been printed.
    pub choice: PlanChoice,
    /// The cache with the plan; dense without one.
    pub pruned: Arc<CacheSpec>,
    /// The cache with every channel.
    pub dense: Arc<CacheSpec>,
    /// Largest context in tokens.
    pub context: usize,
    /// Token ids, each prompt repeated as often as the batch asks.
    pub prompts: Vec<Vec<u32>>,
}

impl SessionArgs {
    /// Loads the model, prepares plan and caches, and reads the prompts, each repeated `batch`
    /// times.
    pub fn open(&self, batch: usize) -> Result<Ready> {
        self.open_with(batch, |model| self.prompt.tokens(model))
    }

    /// The same with prompts from elsewhere.
    pub fn open_with(
        &self,
        batch: usize,
        prompts: impl FnOnce(&Model) -> Result<Vec<Vec<u32>>>,
    ) -> Result<Ready> {
        let model = self.model.load()?;
        let config = model.config();
        let choice = self.cache.choice(config, self.model.device)?;
        choice.warn();
        let (pruned, dense) = self.cache.specs(config, &choice)?;
        let context = self.cache.context(config)?;
        let prompts = prompts(&model)?;
        let bytes: usize = prompts.iter().map(|prompt| size_of_val(&prompt[..]) + 64).sum();
        let all = (bytes as u64).saturating_mul(batch as u64);
        machine::check_memory(&format!("a batch of {batch} prompts"), all)?;
        let prompts = prompts.into_iter();
        let prompts = prompts.flat_map(|prompt| std::iter::repeat_n(prompt, batch)).collect();
        Ok(Ready { model, choice, pruned, dense, context, prompts })
    }
}
