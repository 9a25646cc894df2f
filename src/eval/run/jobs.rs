//! The jobs of a run in their order, and which of them a part does.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::eval::recall::RecallTask;

/// One sample or one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// A recall sample.
    Recall {
        /// The task.
        task: RecallTask,
        /// Most tokens.
        ctx: usize,
        /// The sample's number.
        index: usize,
    },
    /// A chunk of a text.
    Text {
        /// The text's place in the plan.
        text: usize,
        /// Tokens of the chunk.
        ctx: usize,
        /// The chunk's number.
        index: usize,
    },
    /// A line of a data file.
    Data {
        /// The file's place in the plan.
        file: usize,
        /// Most tokens.
        ctx: usize,
        /// The line's number.
        index: usize,
    },
    /// Importance on one half of a text of the stability suite.
    Importance {
        /// The text's place in the suite.
        domain: usize,
        /// 0 or 1.
        half: usize,
    },
    /// What the texts of the stability suite choose for a mask.
    Choice {
        /// The mask's place in the plan.
        mask: usize,
    },
    /// A chunk of a text of the stability suite, with the channels that every text chooses.
    Stability {
        /// The text's place in the suite.
        domain: usize,
        /// The chunk's number.
        index: usize,
    },
}

/// A part of a run: jobs are dealt out one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which part, from 1.
    pub part: usize,
    /// How many parts there are.
    pub of: usize,
}

impl Shard {
    /// Whether a job belongs to this part.
    pub fn holds(self, job: usize) -> bool {
        job % self.of == self.part - 1
    }

    /// How many of a run's jobs belong to this part.
    pub fn count(self, jobs: usize) -> usize {
        jobs / self.of + usize::from(jobs % self.of >= self.part)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(part, of)| Some(Self { part: part.parse().ok()?, of: of.parse().ok()? }));
        numbers
            .filter(|shard| (1..=shard.of).contains(&shard.part))
            .ok_or_else(|| "expected a part such as 2/8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_deal_out_every_job_once() {
        let parts: Vec<Shard> = (1..=3).map(|part| Shard { part, of: 3 }).collect();
        for job in 0..20 {
            assert_eq!(parts.iter().filter(|part| part.holds(job)).count(), 1);
            for part in &parts {
                assert_eq!(part.count(job), (0..job).filter(|&job| part.holds(job)).count());
            }
        }
        assert_eq!("2/8".parse(), Ok(Shard { part: 2, of: 8 }));
        for wrong in ["", "0/8", "9/8", "2", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
