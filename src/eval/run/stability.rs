//! The jobs of the stability suite: importance on each half of each text, the choices of all texts
//! for each mask, then losses with them.

use std::sync::Arc;

use super::jobs::Job;
use super::record::{DENSE, Record};
use super::runner::EvalPlan;
use crate::Result;
use crate::cache::CacheSpec;
use crate::error::Error;
use crate::eval::stability::StabilityPlan;
use crate::eval::text::{self, ChunkReference};
use crate::model::Model;

impl EvalPlan {
    /// The suite's jobs in order.
    pub(super) fn stability_jobs(&self) -> Vec<Job> {
        let Some(stability) = &self.stability else { return Vec::new() };
        let domains = || stability.domains.iter().enumerate();
        let mut jobs: Vec<Job> = domains()
            .flat_map(|(domain, _)| [0, 1].map(|half| Job::Importance { domain, half }))
            .collect();
        let choosing = self.masks.iter().enumerate();
        let choosing = choosing.filter(|(_, mask)| StabilityPlan::chooses(&mask.spec));
        jobs.extend(choosing.map(|(mask, _)| Job::Choice { mask }));
        for (domain, own) in domains() {
            let chunks = 0..own.chunks.len();
            jobs.extend(chunks.map(|index| Job::Stability { domain, index }));
        }
        jobs
    }

    /// Takes over the importance that results hold already.
    pub(super) fn know(&mut self, jobs: &[Job], records: &[Record]) {
        let Some(stability) = &mut self.stability else { return };
        for record in records {
            if let (Some(Job::Importance { domain, half }), Some(importance)) =
                (jobs.get(record.job), &record.importance)
            {
                stability.know(*domain, *half, importance.clone());
            }
        }
    }

    /// The suite and the model.
    fn stability(&mut self) -> Result<(&mut StabilityPlan, &Model)> {
        let Self { stability, model, .. } = self;
        let suite = stability.as_mut();
        let suite = suite.ok_or_else(|| Error::run("the plan has no stability suite"))?;
        Ok((suite, model))
    }

    pub(super) fn importance(
        &mut self,
        number: usize,
        domain: usize,
        half: usize,
    ) -> Result<Record> {
        let (suite, model) = self.stability()?;
        let importance = suite.importance(model, domain, half)?.clone();
        let own = &suite.domains[domain];
        Ok(Record {
            job: number,
            suite: Record::STABILITY.to_owned(),
            task: own.name.clone(),
            ctx: suite.ctx,
            index: half,
            tokens: own.halves[half].chunks.iter().map(Vec::len).sum(),
            importance: Some(importance),
            ..Record::default()
        })
    }

    pub(super) fn choice(&mut self, number: usize, mask: usize) -> Result<Record> {
        let own = self.masks[mask].clone();
        let (suite, model) = self.stability()?;
        let choice = suite.choice(model, (&own.name, &own.spec))?;
        Ok(Record {
            job: number,
            suite: Record::STABILITY.to_owned(),
            task: own.name,
            ctx: suite.ctx,
            index: mask,
            choice: Some(choice),
            ..Record::default()
        })
    }

    pub(super) fn stability_chunk(
        &mut self,
        number: usize,
        domain: usize,
        index: usize,
    ) -> Result<Record> {
        let (mut names, mut specs) = self.caches();
        let masks = self.masks.clone();
        let (suite, model) = self.stability()?;
        for mask in &masks {
            let dealt: Vec<(String, Arc<CacheSpec>)> =
                suite.dealt(model, (&mask.name, &mask.spec))?;
            for (name, spec) in dealt {
                names.push(name);
                specs.push(spec);
            }
        }
        let own = &suite.domains[domain];
        let chunk = (&own.chunks[index][..], text::begins(model)?);
        let mut losses =
            text::measure(model, (&names, &specs), chunk, ChunkReference::Dense, &mut |_| Ok(()))?;
        losses.retain(|one| one.mask != DENSE);
        Ok(Record {
            job: number,
            suite: Record::STABILITY.to_owned(),
            task: own.name.clone(),
            ctx: suite.ctx,
            index,
            tokens: suite.ctx,
            losses,
            ..Record::default()
        })
    }
}
