//! The pool of prefilled samples, kept in memory in f16, and the dense model's recall on it.

use std::time::{Duration, Instant};

use crate::decode::sampler::{argmax, logprob};
use crate::learn::data::{Draw, Haystack, HaystackPart, Question, Task, Tokens, draw_of_length};
use crate::learn::engine::Sample;
use crate::model::Model;
use crate::random::SplitMix64;
use crate::{Error, Result};

/// What a pool is drawn from.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Filler and text.
    pub haystack: &'a Haystack,
    /// Kinds of samples, taken in turn.
    pub tasks: &'a [Task],
    /// Shortest and longest context in tokens.
    pub lengths: (usize, usize),
    /// Samples in all.
    pub samples: usize,
    /// Seed of all draws.
    pub seed: u64,
}

/// The dense model's answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Dense {
    /// Questions asked.
    pub asked: usize,
    /// Questions answered with every digit right.
    pub right: usize,
}

impl Dense {
    /// Share answered right; 0 where nothing was asked.
    pub fn recall(&self) -> f64 {
        self.right as f64 / self.asked.max(1) as f64
    }
}

/// Prefilled samples.
pub struct Pool {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Dense answers per task, for tasks with questions.
    pub dense: Vec<(Task, Dense)>,
    /// Time spent in prefills.
    pub prefill: Duration,
    /// Tokens prefilled; shared prefixes count once.
    pub tokens: usize,
}

/// The tokens of sample `index`. Lengths are spread evenly over the range, in random order.
pub fn tokens_of(model: &Model, wanted: &Wanted<'_>, index: usize) -> Result<Tokens> {
    let mut rng = SplitMix64::new(wanted.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ index as u64);
    let (least, most) = wanted.lengths;
    let length = least + rng.below(most - least + 1);
    let draw = Draw {
        haystack: wanted.haystack,
        part: HaystackPart::Training,
        tokens: length,
        codes: 4,
        seed: rng.draw(),
    };
    draw_of_length(model, wanted.tasks[index % wanted.tasks.len()], &draw)
}

impl Pool {
    /// Draws and prefills all samples. `progress` gets the number done and may cancel.
    pub fn fill(
        model: &Model,
        wanted: &Wanted<'_>,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let mut pool =
            Self { samples: Vec::new(), dense: Vec::new(), prefill: Duration::ZERO, tokens: 0 };
        // What cannot be made of these texts is said before the first prefill.
        let drawn = (0..wanted.samples).map(|index| {
            progress(0)?;
            tokens_of(model, wanted, index)
        });
        let drawn: Vec<Tokens> = drawn.collect::<Result<_>>()?;
        for (index, tokens) in drawn.into_iter().enumerate() {
            progress(index)?;
            let branches: Vec<_> =
                tokens.questions.iter().map(|q| (q.tail.clone(), q.answer.clone())).collect();
            let began = Instant::now();
            let sample = Sample::new(&model.decoder, &tokens.prefix, &branches)?;
            pool.prefill += began.elapsed();
            pool.tokens +=
                tokens.prefix.len() + tokens.questions.iter().map(|q| q.tail.len()).sum::<usize>();
            pool.ask(model, &tokens, &sample)?;
            pool.samples.push(sample);
        }
        Ok(pool)
    }

    fn ask(&mut self, model: &Model, tokens: &Tokens, sample: &Sample) -> Result<()> {
        if tokens.task == Task::Text {
            return Ok(());
        }
        let at =
            self.dense.iter().position(|(task, _)| *task == tokens.task).unwrap_or_else(|| {
                self.dense.push((tokens.task, Dense::default()));
                self.dense.len() - 1
            });
        for (question, branch) in tokens.questions.iter().zip(sample.branches()) {
            let logits = model.decoder.logits(branch.target())?;
            self.dense[at].1.asked += 1;
            self.dense[at].1.right +=
                usize::from(Answer::of(question, logits.chunks_exact(model.config().vocab)).right);
        }
        Ok(())
    }

    /// Bytes of all samples.
    pub fn bytes(&self) -> usize {
        self.samples.iter().map(Sample::bytes).sum()
    }

    /// Refuses a model that cannot do any of the tasks: a mask learned on it would be meaningless.
    pub fn check_dense(&self, least: f64) -> Result<()> {
        let best = self
            .dense
            .iter()
            .map(|(_, dense)| dense.recall())
            .fold(None, |best: Option<f64>, x| Some(best.map_or(x, |b| b.max(x))));
        match best {
            Some(best) if best < least => Err(Error::run(format!(
                "dense recall is {:.0} % on the best task: a mask learned on this would mean nothing",
                best * 100.0
            ))),
            _ => Ok(()),
        }
    }
}

/// The result of an answer whose own tokens are fed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// Whether every digit was the likeliest token, so that greedy decode gives the value.
    pub right: bool,
    /// Mean negative log-probability of the digits, nats.
    pub nll: f64,
}

impl Answer {
    /// Computed from the logits after each answer token; the row of token `i` predicts token `i +
    /// 1`.
    pub fn of<'l>(question: &Question, logits: impl Iterator<Item = &'l [f32]>) -> Self {
        let (mut right, mut nll, mut count) = (true, 0.0, 0);
        let next = question.answer.iter().zip(&question.scored).skip(1);
        for ((&token, _), logits) in next.zip(logits).filter(|((_, scored), _)| **scored) {
            right &= argmax(logits) == token;
            nll -= f64::from(logprob(logits, token));
            count += 1;
        }
        Self { right, nll: nll / f64::from(count.max(1)) }
    }
}
