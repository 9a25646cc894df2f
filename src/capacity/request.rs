//! What a plan is asked for.

use chrono::NaiveDate;

use super::assumptions::Assumptions;
use super::cost::{Load, Project};
use super::gpu::PlanGpu;
use super::measured::Calibration;
use super::store::KvStore;
use crate::element::Dtype;
use crate::mask::{CachePlan, Window};
use crate::model::served::{KvLayer, ServedModel};
use crate::numbers::count;
use crate::{Error, Result};

/// What the middle of the cache stores.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredMiddle {
    /// Everything.
    Dense,
    /// What a mask or a cache plan says.
    Plan {
        /// The file, or what it is called.
        name: String,
        /// Its widths.
        plan: CachePlan,
    },
    /// A cache plan that is known by its name.
    Named(String),
    /// This share of the K channels is dropped, at equal counts in every head.
    Sparsity(f64),
}

impl StoredMiddle {
    /// What reports call it.
    pub fn name(&self) -> String {
        match self {
            Self::Dense => "dense".to_owned(),
            // Reports tell a cache that stores everything by this word.
            Self::Plan { name, .. } if name == "dense" => "./dense".to_owned(),
            Self::Plan { name, .. } | Self::Named(name) => name.clone(),
            Self::Sparsity(share) => {
                format!("{} of K channels dropped", crate::numbers::percent(*share, 1))
            }
        }
    }

    /// What one sequence stores.
    pub fn store(&self, model: &ServedModel, dtype: Dtype, window: Window) -> Result<KvStore> {
        match self {
            Self::Dense => KvStore::dense(model, dtype),
            Self::Plan { plan, .. } => KvStore::planned(model, dtype, window, plan.clone()),
            Self::Named(name) => KvStore::named(model, dtype, window, name),
            Self::Sparsity(share) => KvStore::sparse(model, dtype, window, *share),
        }
    }
}

/// Everything that a plan is made from.
#[derive(Debug, Clone)]
pub struct CapacityRequest {
    /// The model.
    pub model: ServedModel,
    /// Element type of the cache.
    pub dtype: Dtype,
    /// What the middle stores.
    pub stored: StoredMiddle,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Tokens of each sequence.
    pub ctx: Vec<usize>,
    /// Sequences decoded together.
    pub batch: Vec<usize>,
    /// GPUs to plan for.
    pub gpus: Vec<PlanGpu>,
    /// GPUs that serve one copy of the model together.
    pub gpus_per_model: usize,
    /// What is assumed.
    pub assumptions: Assumptions,
    /// Measured steps, and the GPU on which they were measured.
    pub calibration: Option<(String, Calibration)>,
    /// Requests to serve.
    pub load: Option<Load>,
    /// What bringing the mask into service takes.
    pub project: Option<Project>,
    /// The day of the plan.
    pub date: NaiveDate,
}

/// Most sequences that are planned for.
pub const MOST_BATCH: usize = 1 << 20;

impl CapacityRequest {
    /// Refuses what contradicts itself or the model.
    pub fn check(&self) -> Result<()> {
        for (what, is_empty) in [
            ("context", self.ctx.is_empty()),
            ("batch", self.batch.is_empty()),
            ("GPU", self.gpus.is_empty()),
        ] {
            if is_empty {
                return Err(Error::input(format!("a plan needs at least one {what}")));
            }
        }
        if self.ctx.contains(&0) || self.batch.contains(&0) {
            return Err(Error::input("contexts and batches are at least 1, not 0"));
        }
        let most = self.model.max_context;
        if let Some(ctx) = self.ctx.iter().find(|ctx| **ctx > most) {
            return Err(Error::input(format!(
                "a context of {} is more than the {} tokens of {}",
                count(*ctx),
                count(most),
                self.model.name
            )));
        }
        if let Some(batch) = self.batch.iter().find(|batch| **batch > MOST_BATCH) {
            return Err(Error::input(format!(
                "a batch of {} is more than the {} sequences that are planned for",
                count(*batch),
                count(MOST_BATCH)
            )));
        }
        if let StoredMiddle::Sparsity(share) = self.stored
            && !(0.0..=1.0).contains(&share)
        {
            return Err(Error::input(format!("a sparsity is 0 to 1, not {share}")));
        }
        let names: Vec<String> = self.gpus.iter().map(|gpu| gpu.name.clone()).collect();
        let counts = |list: &[usize]| list.iter().map(|&number| count(number)).collect::<Vec<_>>();
        for (what, given) in
            [("context", counts(&self.ctx)), ("batch", counts(&self.batch)), ("GPU", names)]
        {
            let is_repeated = |(index, one): &(usize, &String)| given[..*index].contains(one);
            if let Some((_, twice)) = given.iter().enumerate().find(is_repeated) {
                return Err(Error::input(format!("the {what} {twice} is given twice")));
            }
        }
        self.window.check()?;
        self.check_sharing()?;
        self.check_bytes()?;
        if let Some(load) = &self.load {
            load.check(most)?;
        }
        self.project.as_ref().map_or(Ok(()), Project::check)
    }

    /// Refuses caches whose bytes no integer holds.
    fn check_bytes(&self) -> Result<()> {
        const MOST: f64 = (1_u64 << 60) as f64;
        let numbers = self.model.layers.iter().map(|layer| match *layer {
            KvLayer::Heads { kv_heads, head_dim, .. } => 2.0 * kv_heads as f64 * head_dim as f64,
            KvLayer::Latent { width } => width as f64,
        });
        let token = numbers.sum::<f64>() * Dtype::F32.bytes() as f64;
        let largest = |list: &[usize]| list.iter().copied().max().unwrap_or(0) as f64;
        let sequences = largest(&self.ctx) * largest(&self.batch);
        // The longest context that fits is looked for up to the model's own.
        match token * sequences.max(self.model.max_context as f64) <= MOST {
            true => Ok(()),
            false => Err(Error::input(format!(
                "{} sequences of {} tokens of {} are more bytes than any machine has",
                count(largest(&self.batch) as usize),
                count(largest(&self.ctx) as usize),
                self.model.name
            ))),
        }
    }

    /// GPUs that share one sequence's cache. Each holds whole KV heads, so those that are more than
    /// the KV heads hold some of them again; a latent is needed by all heads, so every GPU holds it.
    pub(super) fn kv_shards(&self) -> usize {
        let sharing = |layer: &KvLayer| match *layer {
            KvLayer::Heads { kv_heads, .. } => kv_heads.min(self.gpus_per_model),
            KvLayer::Latent { .. } => 1,
        };
        self.model.layers.iter().map(sharing).min().unwrap_or(1).max(1)
    }

    /// Refuses numbers of GPUs that cannot share the heads.
    fn check_sharing(&self) -> Result<()> {
        let gpus = self.gpus_per_model;
        if !(1..=64).contains(&gpus) {
            return Err(Error::input(format!("1 to 64 GPUs share a model, not {gpus}")));
        }
        let shares = |heads: usize| heads.is_multiple_of(gpus) || gpus.is_multiple_of(heads);
        let uneven = self.model.layers.iter().find_map(|layer| match *layer {
            KvLayer::Heads { kv_heads, .. } if !shares(kv_heads) => Some((kv_heads, "KV")),
            _ => None,
        });
        let queries = self.model.heads;
        let uneven =
            uneven.or_else(|| (!queries.is_multiple_of(gpus)).then_some((queries, "query")));
        match uneven {
            Some((heads, kind)) => Err(Error::input(format!(
                "{gpus} GPUs cannot share the {heads} {kind} heads of {} evenly",
                self.model.name
            ))),
            None => Ok(()),
        }
    }
}
