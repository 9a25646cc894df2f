//! Runs the jobs of a plan.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::header::RunHeader;
use super::jobs::Job;
use super::record::{CONTROL, DENSE, GivenAnswer, Record};
use super::stream::{Results, Stream};
use crate::cache::CacheSpec;
use crate::error::shortened;
use crate::eval::answer::{Ending, answers};
use crate::eval::data::DataFile;
use crate::eval::prompt::{EvalPrompt, PromptText, Protocol, prompt};
use crate::eval::recall::{Essay, HayFilling, RecallSample, RecallTask, filled, symbolic_right};
use crate::eval::score::ScoreMetric;
use crate::eval::stability::StabilityPlan;
use crate::eval::text::{self, BaseFile, BaseWriter, ChunkReference, EvalText};
use crate::model::Model;
use crate::numbers::count;
use crate::{Error, Result};

/// A mask or plan with its name.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Its name in tables.
    pub name: String,
    /// Its cache.
    pub spec: Arc<CacheSpec>,
}

/// What is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Recall tasks by length and depth
    Recall,
    /// Losses over chunks of text
    Text,
    /// Data sets, with --data
    Data,
    /// Importance and losses by kind of text, with the channels that the other texts choose
    Stability,
    /// All of these; data sets where --data names some
    All,
}

/// Texts of the text suite.
#[derive(Debug)]
pub struct TextPlan {
    /// Its name.
    pub name: String,
    /// What kind of text it is.
    pub domain: String,
    /// Tokens of a chunk.
    pub ctx: usize,
    /// Chunks of tokens.
    pub chunks: Vec<Vec<u32>>,
}

impl TextPlan {
    /// Texts in chunks of every length, and why some were left out.
    ///
    /// # Errors
    /// When every text is too short.
    pub fn of_texts(
        model: &Model,
        texts: &[EvalText],
        ctx: &[usize],
        most: usize,
    ) -> Result<(Vec<Self>, Vec<String>)> {
        let (mut plans, mut left_out) = (Vec::new(), Vec::new());
        for (text, &ctx) in texts.iter().flat_map(|text| ctx.iter().map(move |ctx| (text, ctx))) {
            match text::chunks(model, text, ctx, most) {
                Ok(chunks) => {
                    if chunks.len() < most {
                        left_out.push(format!(
                            "chunks {} to {} of {} at {} tokens: the text has ended",
                            count(chunks.len() + 1),
                            count(most),
                            shortened(&text.name),
                            count(ctx)
                        ));
                    }
                    let (name, domain) = (text.name.clone(), text.domain.clone());
                    plans.push(Self { name, domain, ctx, chunks });
                }
                Err(Error::Input(why)) => left_out.push(why),
                Err(error) => return Err(error),
            }
        }
        match left_out.first() {
            Some(why) if plans.is_empty() => Err(Error::input(why)),
            _ => Ok((plans, left_out)),
        }
    }
}

/// Everything that a run does.
pub struct EvalPlan {
    /// The model.
    pub model: Arc<Model>,
    /// The dense cache.
    pub dense: Arc<CacheSpec>,
    /// Masks and plans.
    pub masks: Vec<Mask>,
    /// Recall tasks, each with the most tokens of its prompt and answer.
    pub recall: Vec<(RecallTask, usize)>,
    /// Samples of each task and length.
    pub samples: usize,
    /// When the question comes.
    pub protocol: Protocol,
    /// Seed of all draws.
    pub seed: u64,
    /// The prose of needles.
    pub essay: Essay,
    /// Texts in chunks.
    pub texts: Vec<TextPlan>,
    /// A file of base logits that stands for the dense cache; its chunks are those of the only text.
    pub base: Option<BaseFile>,
    /// Where the dense logits are written; the plan has one text.
    pub save_base: Option<BaseWriter>,
    /// Data files.
    pub data: Vec<DataFile>,
    /// Most tokens of a data set's prompt and answer.
    pub data_ctx: usize,
    /// The stability suite.
    pub stability: Option<StabilityPlan>,
}

impl EvalPlan {
    /// All jobs in order.
    pub fn jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        for &(task, ctx) in &self.recall {
            jobs.extend((0..self.samples).map(|index| Job::Recall { task, ctx, index }));
        }
        for (at, text) in self.texts.iter().enumerate() {
            let chunks = 0..text.chunks.len();
            jobs.extend(chunks.map(|index| Job::Text { text: at, ctx: text.ctx, index }));
        }
        for (at, file) in self.data.iter().enumerate() {
            let samples = 0..file.samples.len();
            jobs.extend(samples.map(|index| Job::Data { file: at, ctx: self.data_ctx, index }));
        }
        jobs.extend(self.stability_jobs());
        jobs
    }

    /// Dense, dense again, and the masks.
    pub(super) fn caches(&self) -> (Vec<String>, Vec<Arc<CacheSpec>>) {
        let names = [DENSE, CONTROL].map(str::to_owned).into_iter();
        let names = names.chain(self.masks.iter().map(|mask| mask.name.clone()));
        let specs = [&self.dense, &self.dense].into_iter();
        let specs = specs.chain(self.masks.iter().map(|mask| &mask.spec)).map(Arc::clone);
        (names.collect(), specs.collect())
    }
}

/// The newest result.
#[derive(Debug, Clone, Copy)]
pub struct Newest<'a> {
    /// Its record.
    pub record: &'a Record,
    /// Tokens of its prompt; none for chunks of text.
    pub prompt: &'a [u32],
    /// Whether an earlier run left it in the folder. Only samples that a mask lost are told so.
    pub is_held: bool,
}

/// Takes the jobs done, all jobs and the newest result; an error cancels the run.
pub type JobProgress<'a> = &'a mut dyn FnMut(usize, usize, Option<Newest<'_>>) -> Result<()>;

/// Runs the jobs that are not in the folder's results yet, and gives all of them.
pub fn run(
    mut plan: EvalPlan,
    header: RunHeader,
    folder: Option<&Path>,
    progress: JobProgress<'_>,
) -> Result<Results> {
    let jobs = plan.jobs();
    let own: Vec<usize> = header.own_jobs().collect();
    let (mut stream, mut records) = Stream::open(folder, &header, &own)?;
    plan.know(&jobs, &records);
    let mut fillings = HashMap::new();
    progress(records.len(), own.len(), None)?;
    for record in records.iter().filter(|record| record.is_lost()) {
        let prompt = plan.prompt_of(jobs[record.job], &mut fillings)?;
        let held = Newest { record, prompt: &prompt, is_held: true };
        progress(records.len(), own.len(), Some(held))?;
    }
    for &job in &own[records.len()..] {
        let (record, prompt) = plan.record(job, jobs[job], &mut fillings)?;
        stream.push(&record)?;
        let newest = Newest { record: &record, prompt: &prompt, is_held: false };
        progress(records.len() + 1, own.len(), Some(newest))?;
        records.push(record);
    }
    if let Some(writer) = plan.save_base.take() {
        writer.finish()?;
    }
    Ok(Results { header, records })
}

/// How much filling each task and length takes, once it is known.
type Fillings = HashMap<(&'static str, usize), usize>;

impl EvalPlan {
    /// A job's result, and the tokens of its prompt.
    fn record(
        &mut self,
        number: usize,
        job: Job,
        fillings: &mut Fillings,
    ) -> Result<(Record, Vec<u32>)> {
        let without = |record: Record| (record, Vec::new());
        match job {
            Job::Recall { task, ctx, index } => {
                let (sample, tokens) = self.sample(task, ctx, index, fillings)?;
                let enough = |text: &str| {
                    task.metric().is_some() && score(task.metric(), text, &sample.references) == 1.0
                };
                let given = self.answers(
                    &tokens,
                    &Ending { new_tokens: task.new_tokens(), enough: &enough },
                    &|text| score(task.metric(), text, &sample.references),
                )?;
                let record = Record {
                    job: number,
                    suite: "recall".to_owned(),
                    task: task.name().to_owned(),
                    ctx,
                    index,
                    tokens: tokens.tokens.len(),
                    depth: sample.depth,
                    metric: task.metric(),
                    references: sample.references.clone(),
                    answers: given,
                    ..Record::default()
                };
                Ok((record, tokens.tokens))
            }
            Job::Text { text, ctx, index } => self.chunk(number, text, ctx, index).map(without),
            Job::Data { file, ctx, index } => {
                let file = &self.data[file];
                let sample = &file.samples[index];
                let prompt = self.data_prompt((file, index), ctx)?;
                let ending = Ending {
                    new_tokens: sample.new_tokens,
                    enough: &|text| sample.is_enough(text),
                };
                // What a bad line lacks was refused when the file was read.
                let score = |text: &str| sample.score(text).unwrap_or(0.0);
                let answers = self.answers(&prompt, &ending, &score)?;
                let record = Record {
                    job: number,
                    suite: "data".to_owned(),
                    task: sample.task.clone(),
                    domain: file.name.clone(),
                    groups: sample.groups.clone(),
                    ctx,
                    index,
                    tokens: prompt.tokens.len(),
                    metric: sample.metric(),
                    references: sample.references.clone(),
                    answers,
                    ..Record::default()
                };
                Ok((record, prompt.tokens))
            }
            Job::Importance { domain, half } => self.importance(number, domain, half).map(without),
            Job::Choice { mask } => self.choice(number, mask).map(without),
            Job::Stability { domain, index } => {
                self.stability_chunk(number, domain, index).map(without)
            }
        }
    }

    /// The prompt of a data file's sample.
    fn data_prompt(&self, (file, index): (&DataFile, usize), ctx: usize) -> Result<EvalPrompt> {
        file.samples[index].prompt(&self.model, ctx).map_err(|error| match error {
            Error::Input(why) => {
                Error::input(format!("{}, sample {}: {why}", file.name, index + 1))
            }
            error => error,
        })
    }

    /// The prompt of a job; none for what reads text.
    fn prompt_of(&self, job: Job, fillings: &mut Fillings) -> Result<Vec<u32>> {
        Ok(match job {
            Job::Recall { task, ctx, index } => self.sample(task, ctx, index, fillings)?.1.tokens,
            Job::Data { file, ctx, index } => {
                self.data_prompt((&self.data[file], index), ctx)?.tokens
            }
            _ => Vec::new(),
        })
    }

    fn tokens(&self, sample: &RecallSample) -> Result<EvalPrompt> {
        prompt(&self.model, &PromptText::of(&self.model, sample)?)
    }

    /// Takes off the recall tasks that do not fit a length and says why; refuses one that fits none
    /// where tasks were asked for by name.
    pub fn leave_out(&mut self, by_name: bool) -> Result<Vec<String>> {
        let mut left_out = Vec::new();
        for (task, ctx) in std::mem::take(&mut self.recall) {
            match self.does_not_fit(task, ctx)? {
                None => self.recall.push((task, ctx)),
                Some(why) => left_out.push((task, why)),
            }
        }
        let fits = |task: RecallTask| self.recall.iter().any(|(other, _)| *other == task);
        match left_out.iter().find(|(task, _)| by_name && !fits(*task)) {
            Some((_, why)) => Err(Error::input(why)),
            None => Ok(left_out.into_iter().map(|(_, why)| why).collect()),
        }
    }

    /// Why the shortest prompt of a task does not fit a length; `None` where it does.
    fn does_not_fit(&self, task: RecallTask, ctx: usize) -> Result<Option<String>> {
        let measure = |sample: &RecallSample| Ok(self.tokens(sample)?.tokens.len());
        let essay = &self.essay;
        HayFilling { task, essay, seed: self.seed, ctx, measure: &measure }.does_not_fit()
    }

    fn sample(
        &self,
        task: RecallTask,
        ctx: usize,
        index: usize,
        fillings: &mut Fillings,
    ) -> Result<(RecallSample, EvalPrompt)> {
        let tokens = |sample: &RecallSample| self.tokens(sample);
        let measure = |sample: &RecallSample| Ok(tokens(sample)?.tokens.len());
        let filling =
            HayFilling { task, essay: &self.essay, seed: self.seed, ctx, measure: &measure };
        let units = match fillings.get(&(task.name(), ctx)) {
            Some(&units) => units,
            None => *fillings.entry((task.name(), ctx)).or_insert(filling.units()?),
        };
        let sample = filled(&filling, units, index)?;
        let tokens = tokens(&sample)?;
        Ok((sample, tokens))
    }

    fn answers(
        &self,
        prompt: &EvalPrompt,
        ending: &Ending<'_>,
        score: &dyn Fn(&str) -> f64,
    ) -> Result<Vec<GivenAnswer>> {
        let (names, specs) = self.caches();
        let texts = answers(&self.model, &specs, (prompt, self.protocol), ending)?;
        let given =
            |(mask, text): (String, String)| GivenAnswer { score: score(&text), mask, text };
        Ok(names.into_iter().zip(texts).map(given).collect())
    }

    fn chunk(&mut self, number: usize, text: usize, ctx: usize, index: usize) -> Result<Record> {
        let (names, specs) = self.caches();
        let Self { model, texts, base, save_base, .. } = self;
        let text = &texts[text];
        let chunk = &text.chunks[index];
        let begin = text::begins(model)?;
        let mut see = |logits: &[f32]| match save_base {
            Some(writer) => writer.push(logits),
            None => Ok(()),
        };
        let mut row;
        // Without a file, the dense cache is what is compared with, and has nothing to lose.
        let from_file = base.is_some();
        let reference = match base {
            Some(base) => {
                row = |at: usize| base.row(index, at);
                ChunkReference::File(&mut row)
            }
            None => ChunkReference::Dense,
        };
        let mut losses =
            text::measure(model, (&names, &specs), (chunk, begin), reference, &mut see)?;
        losses.retain(|one| from_file || one.mask != DENSE);
        Ok(Record {
            job: number,
            suite: "text".to_owned(),
            task: text.name.clone(),
            domain: text.domain.clone(),
            ctx,
            index,
            tokens: ctx,
            losses,
            ..Record::default()
        })
    }
}

/// The score of a recall answer.
fn score(metric: Option<ScoreMetric>, text: &str, references: &[String]) -> f64 {
    match metric {
        Some(metric) => metric.score(text, references, &[]).unwrap_or(0.0),
        None => f64::from(u8::from(symbolic_right(text, references))),
    }
}
