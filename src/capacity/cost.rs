//! What serving costs: per million tokens, for a load, and over the months of a project.

use super::assumptions::Assumed;
use super::gpu::PlanGpu;
use super::memory::GpuMemory;
use super::request::CapacityRequest;
use super::speed::Label;
use super::store::KvStore;
use crate::numbers::count;
use crate::{Error, Result};

/// Requests to serve.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Load {
    /// Requests a day.
    pub requests_per_day: f64,
    /// Tokens of a prompt.
    pub tokens_in: usize,
    /// Tokens of an answer.
    pub tokens_out: usize,
}

impl Load {
    pub(super) fn check(&self, most: usize) -> Result<()> {
        let requests = self.requests_per_day;
        if !(requests > 0.0 && requests <= 1e12) {
            return Err(Error::input(format!(
                "a load has 1 to 10^12 requests a day, not {requests}"
            )));
        }
        if self.tokens_out == 0 || self.tokens_in == 0 {
            return Err(Error::input("a request has tokens in and tokens out, at least 1 each"));
        }
        match self.tokens_in.saturating_add(self.tokens_out) {
            tokens if tokens > most => Err(Error::input(format!(
                "a request of {} tokens in and {} out is longer than the model's context of {}",
                count(self.tokens_in),
                count(self.tokens_out),
                count(most)
            ))),
            _ => Ok(()),
        }
    }
}

/// What bringing a mask into service takes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Project {
    /// Hours of work.
    pub hours: f64,
    /// US dollars an hour.
    pub hourly_rate: f64,
}

impl Project {
    pub(super) fn check(&self) -> Result<()> {
        let is_sane = |x: f64| (0.0..=1e7).contains(&x);
        if is_sane(self.hours) && is_sane(self.hourly_rate) {
            return Ok(());
        }
        Err(Error::input(format!(
            "an integration takes 0 to 10^7 hours at 0 to 10^7 dollars, not {} at {}",
            self.hours, self.hourly_rate
        )))
    }

    /// US dollars.
    pub fn cost(&self) -> f64 {
        self.hours * self.hourly_rate
    }
}

/// A load on a kind of GPU with one kind of cache.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LoadRow {
    /// The GPU.
    pub gpu: String,
    /// The cache.
    pub stored: String,
    /// Sequences decoded together: as many as fit, up to the assumed most.
    pub batch: usize,
    /// Time of a step at the mean context, in ms.
    pub step_ms: f64,
    /// Where that time comes from.
    pub label: Label,
    /// Output tokens per second of one copy of the model while it decodes.
    pub tokens_per_s: f64,
    /// GPUs that the busiest hour keeps busy, in parts.
    pub busy_gpus: f64,
    /// GPUs to rent.
    pub gpus: usize,
    /// US dollars a month; `None` without a price.
    pub usd_per_month: Option<f64>,
}

/// One scenario: another load and another price.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Scenario {
    /// `low`, `mid` or `high`.
    pub name: &'static str,
    /// The GPU.
    pub gpu: String,
    /// The load over the given one.
    pub load: f64,
    /// The price over the given one.
    pub price: f64,
    /// GPUs to rent, dense.
    pub gpus_dense: usize,
    /// GPUs to rent as stored.
    pub gpus: usize,
    /// US dollars a month, dense.
    pub usd_per_month_dense: f64,
    /// US dollars a month as stored.
    pub usd_per_month: f64,
    /// US dollars saved a month.
    pub saving_per_month: f64,
    /// Months until the integration is paid back; `None` where nothing is saved.
    pub payback_months: Option<f64>,
    /// US dollars saved so far less the integration, at the end of each month from 0 on.
    pub net: Vec<f64>,
}

impl CapacityRequest {
    /// US dollars for a million output tokens of full batches; `None` without a price.
    pub(super) fn usd_per_million(&self, gpu: &PlanGpu, step_ms: f64, batch: usize) -> Option<f64> {
        let per_second = gpu.price.as_ref()?.usd_per_hour * self.gpus_per_model as f64 / 3600.0;
        Some(per_second * step_ms / 1e3 / batch as f64 * 1e6)
    }

    /// GPUs for `load`; `None` where not even one request fits.
    pub(super) fn serve(
        &self,
        load: &Load,
        gpu: &PlanGpu,
        (name, store, is_dense): (&str, &KvStore, bool),
    ) -> Option<LoadRow> {
        let assumed = |assumed| self.assumptions.get(assumed);
        let longest = load.tokens_in + load.tokens_out;
        let fitting = GpuMemory::of(self, gpu).max_batch(store, longest);
        let batch = fitting.min(assumed(Assumed::MostBatch) as usize);
        if batch == 0 {
            return None;
        }
        let mean = load.tokens_in + load.tokens_out / 2;
        let step = self.step(gpu, store, is_dense, mean, batch);
        let decode = load.tokens_out as f64 * step.ms / batch as f64;
        let prefill = self.prefill_ms(gpu, load.tokens_in).unwrap_or(0.0);
        let busy_copies =
            load.requests_per_day / 86_400.0 * assumed(Assumed::Peak) * (decode + prefill)
                / 1e3
                / assumed(Assumed::Utilisation);
        let gpus = busy_copies.ceil().max(1.0) as usize * self.gpus_per_model;
        let hours = assumed(Assumed::Hours);
        Some(LoadRow {
            gpu: gpu.name.clone(),
            stored: name.to_owned(),
            batch,
            step_ms: step.ms,
            label: step.label,
            tokens_per_s: batch as f64 / step.ms * 1e3,
            busy_gpus: busy_copies * self.gpus_per_model as f64,
            gpus,
            usd_per_month: gpu.price.as_ref().map(|price| gpus as f64 * price.usd_per_hour * hours),
        })
    }

    /// The three scenarios on a GPU; none where one side cannot serve the load or has no price.
    pub(super) fn scenarios(
        &self,
        load: &Load,
        gpu: &PlanGpu,
        dense: &KvStore,
        store: &KvStore,
    ) -> Vec<Scenario> {
        let assumed = |assumed| self.assumptions.get(assumed);
        let factors = [
            ("low", assumed(Assumed::LowLoad), assumed(Assumed::LowPrice)),
            ("mid", 1.0, 1.0),
            ("high", assumed(Assumed::HighLoad), assumed(Assumed::HighPrice)),
        ];
        let scenario = |(name, factor, price)| {
            let load = Load { requests_per_day: load.requests_per_day * factor, ..*load };
            let whole = self.serve(&load, gpu, ("dense", dense, true))?;
            let own = self.serve(&load, gpu, ("stored", store, false))?;
            let (usd_dense, usd) = (whole.usd_per_month? * price, own.usd_per_month? * price);
            let saving = usd_dense - usd;
            let invested = self.project.map(|project| project.cost());
            let months = assumed(Assumed::Months) as usize;
            Some(Scenario {
                name,
                gpu: gpu.name.clone(),
                load: factor,
                price,
                gpus_dense: whole.gpus,
                gpus: own.gpus,
                usd_per_month_dense: usd_dense,
                usd_per_month: usd,
                saving_per_month: saving,
                payback_months: invested.filter(|_| saving > 0.0).map(|usd| usd / saving),
                net: (0..=months)
                    .map(|month| month as f64 * saving - invested.unwrap_or(0.0))
                    .collect(),
            })
        };
        factors.into_iter().filter_map(scenario).collect()
    }
}
