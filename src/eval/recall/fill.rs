//! How much filling a context takes: RULER's way, by the model's own tokens.

use super::needle::{Hay, hay};
use super::sample::{RecallSample, sampled};
use super::{Essay, RecallTask};
use crate::numbers::count;
use crate::{Error, Result};

/// Tokens of a sample's whole prompt, the beginning of the answer included.
pub type Measure<'a> = dyn Fn(&RecallSample) -> Result<usize> + 'a;

/// The least filling.
const LEAST: usize = 1;

/// What samples of one task and length are drawn with.
pub struct HayFilling<'a> {
    /// The task.
    pub task: RecallTask,
    /// The prose.
    pub essay: &'a Essay,
    /// Seed of the run.
    pub seed: u64,
    /// Most tokens, those of the answer included.
    pub ctx: usize,
    /// Counts tokens.
    pub measure: &'a Measure<'a>,
}

impl HayFilling<'_> {
    /// The step in which filling shrinks where one sample is too long.
    fn step(&self) -> usize {
        let short = self.ctx < 4096;
        match self.task {
            RecallTask::Vt if !short => 10,
            RecallTask::Vt => 5,
            RecallTask::Cwe => 10,
            RecallTask::Fwe => (self.room() / 32).max(1),
            RecallTask::GsmSymbolic => 5,
            RecallTask::Codes => 5,
            needles => match (hay(needles), short) {
                (Hay::Essay, false) => 500,
                (Hay::Essay, true) => 50,
                (_, false) => 25,
                (_, true) => 5,
            },
        }
    }

    fn room(&self) -> usize {
        self.ctx.saturating_sub(self.task.new_tokens())
    }

    fn tokens(&self, index: usize, units: usize) -> Result<usize> {
        (self.measure)(&sampled(self.task, self.essay, (self.seed, self.ctx, index), units)?)
    }

    /// Why not even the shortest prompt fits; `None` where it does.
    pub fn does_not_fit(&self) -> Result<Option<String>> {
        let tokens = self.tokens(0, LEAST)?;
        let why = || {
            format!(
                "{} does not fit {} tokens: its shortest prompt has {}, and the answer takes {}",
                self.task.name(),
                count(self.ctx),
                count(tokens),
                count(self.task.new_tokens())
            )
        };
        Ok((tokens > self.room()).then(why))
    }

    /// The largest filling with which the first sample fits.
    ///
    /// # Errors
    /// When not even the smallest one fits.
    pub fn units(&self) -> Result<usize> {
        let room = self.room();
        let fits = |units: usize| Ok::<_, Error>(self.tokens(0, units)? <= room);
        if let Some(why) = self.does_not_fit()? {
            return Err(Error::input(why));
        }
        if self.task == RecallTask::Fwe {
            return self.grown(room);
        }
        let (mut low, mut high) = (LEAST, self.step());
        while fits(high)? {
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = low.midpoint(high);
            match fits(middle)? {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// Coded words grow from a sixth of the room by a step until they no longer fit.
    fn grown(&self, room: usize) -> Result<usize> {
        let mut units = room / 6;
        while units > self.step() && self.tokens(0, units)? > room {
            units -= self.step();
        }
        while self.tokens(0, units + self.step())? <= room {
            units += self.step();
        }
        Ok(units)
    }
}

/// A sample with `units` of filling, or with less where that is too long.
pub fn filled(filling: &HayFilling<'_>, units: usize, index: usize) -> Result<RecallSample> {
    let mut units = units;
    loop {
        let place = (filling.seed, filling.ctx, index);
        let sample = sampled(filling.task, filling.essay, place, units)?;
        if (filling.measure)(&sample)? <= filling.room() || units <= 1 {
            return Ok(sample);
        }
        units = units.saturating_sub(filling.step()).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::data::Haystack;

    #[test]
    fn samples_fill_the_context_and_never_exceed_it() {
        let essay = Essay::of(&Haystack::default());
        // A token for about every four bytes.
        let measure = |sample: &RecallSample| {
            Ok((sample.context.len() + sample.question.len() + sample.lead.len()) / 4)
        };
        for ctx in [2048, 8192] {
            for task in RecallTask::ALL {
                let filling = HayFilling { task, essay: &essay, seed: 3, ctx, measure: &measure };
                let units = filling.units().unwrap();
                for index in 0..4 {
                    let sample = filled(&filling, units, index).unwrap();
                    let tokens = measure(&sample).unwrap() + task.new_tokens();
                    assert!(tokens <= ctx, "{task:?} {tokens}");
                    // The symbolic task has up to nine statements more in one sample than another.
                    assert!(tokens * 10 >= ctx * 8, "{task:?} {tokens} of {ctx}");
                    assert_eq!(filled(&filling, units, index).unwrap(), sample);
                }
            }
        }
        let tiny = HayFilling {
            task: RecallTask::Cwe,
            essay: &essay,
            seed: 3,
            ctx: 128,
            measure: &measure,
        };
        let refused = tiny.units().unwrap_err().to_string();
        assert!(refused.starts_with("cwe does not fit 128 tokens"), "{refused}");
    }
}
