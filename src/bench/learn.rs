//! The cost of an update of learning, next to the prefill of its sample.

use std::time::Instant;

use crate::learn::data::Haystack;
use crate::learn::engine::{CachedContext, Sample};
use crate::learn::run::default_tasks;
use crate::learn::train::{Settings, Trainer, Wanted, tokens_of};
use crate::model::Model;
use crate::spread::median;
use crate::{Error, Result, machine};

/// What to measure.
#[derive(Debug, Clone)]
pub struct LearnBenchOptions {
    /// Filler and ordinary text.
    pub haystack: Haystack,
    /// Shortest and longest context in tokens.
    pub lengths: (usize, usize),
    /// Samples, each prefilled and updated on once.
    pub samples: usize,
    /// Seed of the samples.
    pub seed: u64,
}

/// Medians over the samples; times in milliseconds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LearnBenchReport {
    /// What the model runs on.
    pub device: String,
    /// Samples measured.
    pub samples: usize,
    /// Tokens of a sample's context.
    pub context: f64,
    /// Answer rows of a sample.
    pub rows: f64,
    /// Exact prefill of the context alone.
    pub prefill_ms: f64,
    /// Prefill, questions and the teacher's answer rows: what a sample of the pool costs once.
    pub sample_ms: f64,
    /// One update of stage 1: forward, backward, optimiser.
    pub step_ms: f64,
    /// Median over samples of the update's time over the prefill's.
    pub step_to_prefill: f64,
    /// The largest of these ratios.
    pub worst_step_to_prefill: f64,
    /// Bytes of one sample in the pool.
    pub sample_bytes: f64,
    /// Most host memory that the process had resident, one sample at a time.
    pub peak_bytes: u64,
    /// Threads that were used.
    pub threads: usize,
}

/// Prefills `samples` samples and makes one update of stage 1 on each, one after the other.
pub fn run(
    model: &Model,
    options: &LearnBenchOptions,
    mut say: impl FnMut(usize),
) -> Result<LearnBenchReport> {
    if options.samples == 0 {
        return Err(Error::input("--samples must be at least 1, not 0"));
    }
    let tasks = default_tasks(model);
    let wanted = Wanted {
        haystack: &options.haystack,
        tasks: &tasks,
        lengths: options.lengths,
        samples: options.samples,
        seed: options.seed,
    };
    let settings = Settings { steps: 2, ..Settings::for_sparsity(0.7) };
    let milliseconds = |began: Instant| began.elapsed().as_secs_f64() * 1e3;
    let mut columns: [Vec<f64>; 7] = Default::default();
    for index in 0..options.samples {
        say(index);
        let tokens = tokens_of(model, &wanted, index)?;
        let began = Instant::now();
        let context = CachedContext::prefill(&model.decoder, &tokens.prefix)?;
        let prefill = milliseconds(began);
        drop(context);
        let branches: Vec<_> =
            tokens.questions.iter().map(|q| (q.tail.clone(), q.answer.clone())).collect();
        let began = Instant::now();
        let sample = [Sample::new(&model.decoder, &tokens.prefix, &branches)?];
        let whole = milliseconds(began);
        let mut trainer = Trainer::new(model, &settings, &sample, &sample, None)?;
        let began = Instant::now();
        trainer.step()?;
        let step = milliseconds(began);
        let [sample] = &sample;
        let row = [
            sample.prefix_tokens() as f64,
            sample.rows() as f64,
            prefill,
            whole,
            step,
            step / prefill,
            sample.bytes() as f64,
        ];
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let worst_step_to_prefill = columns[5].iter().copied().fold(0.0, f64::max);
    let [context, rows, prefill_ms, sample_ms, step_ms, step_to_prefill, sample_bytes] =
        columns.map(|mut column| median(&mut column));
    Ok(LearnBenchReport {
        device: model.decoder.device_name().to_owned(),
        samples: options.samples,
        context,
        rows,
        prefill_ms,
        sample_ms,
        step_ms,
        step_to_prefill,
        worst_step_to_prefill,
        sample_bytes,
        peak_bytes: machine::peak_bytes().unwrap_or(0),
        threads: rayon::current_num_threads(),
    })
}
