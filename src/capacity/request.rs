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
const MOST_BATCH: usize = 1 << 20;

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
        for (index, gpu) in self.gpus.iter().enumerate() {
            if self.gpus[..index].iter().any(|other| other.name == gpu.name) {
                return Err(Error::input(format!("the GPU {} is given twice", gpu.name)));
            }
        }
        self.window.check()?;
        self.check_sharing()?;
        if let Some(load) = &self.load {
            load.check(most)?;
        }
        self.project.as_ref().map_or(Ok(()), Project::check)
    }

    /// Refuses numbers of GPUs that cannot share the KV heads.
    fn check_sharing(&self) -> Result<()> {
        let gpus = self.gpus_per_model;
        if !(1..=64).contains(&gpus) {
            return Err(Error::input(format!("1 to 64 GPUs share a model, not {gpus}")));
        }
        let uneven = self.model.layers.iter().find_map(|layer| match *layer {
            KvLayer::Heads { kv_heads, .. } if !kv_heads.is_multiple_of(gpus) => Some(kv_heads),
            _ => None,
        });
        match uneven {
            Some(heads) => Err(Error::input(format!(
                "{gpus} GPUs cannot share the {heads} KV heads of {} evenly",
                self.model.name
            ))),
            None => Ok(()),
        }
    }
}
