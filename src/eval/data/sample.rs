//! One line of a data set.

use super::answers::{choice, integer};
use crate::Result;
use crate::eval::prompt::{EvalPrompt, PromptText, prompt, tokenizer};
use crate::eval::recall::symbolic_right;
use crate::eval::score::ScoreMetric;
use crate::model::Model;

/// How an answer is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// By a metric.
    Metric(ScoreMetric),
    /// The first letter named as the right choice (LongBench v2).
    Choice,
    /// The names in the answer's first line are exactly these (GSM-Infinite, symbolic).
    Names,
    /// The number of the answer (GSM-Infinite, stories).
    Number,
}

/// A prompt and what answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSample {
    /// The task or data set.
    pub task: String,
    /// Groups besides the task, such as a difficulty.
    pub groups: Vec<String>,
    /// The prompt.
    pub text: PromptText,
    /// What an answer must hold.
    pub references: Vec<String>,
    /// Classes that an answer may name.
    pub classes: Vec<String>,
    /// How it is scored.
    pub scoring: Scoring,
    /// Most tokens of the answer.
    pub new_tokens: usize,
    /// Whether only the answer's first line counts.
    pub first_line: bool,
    /// Whether a line end ends the answer (samsum).
    pub ends_at_line: bool,
    /// Whether a prompt that is too long loses its middle (LongBench).
    pub cuts_middle: bool,
}

impl DataSample {
    /// The metric, where it is one.
    pub fn metric(&self) -> Option<ScoreMetric> {
        match self.scoring {
            Scoring::Metric(metric) => Some(metric),
            Scoring::Choice | Scoring::Names | Scoring::Number => None,
        }
    }

    /// The part of an answer that counts.
    fn counted<'a>(&self, text: &'a str) -> &'a str {
        match self.first_line {
            true => text.trim_start_matches('\n').split('\n').next().unwrap_or_default(),
            false => text,
        }
    }

    /// The score of an answer, 0 to 1.
    pub fn score(&self, text: &str) -> Result<f64> {
        let text = self.counted(text);
        let right = match self.scoring {
            Scoring::Metric(metric) => {
                return metric.score(text, &self.references, &self.classes);
            }
            Scoring::Choice => choice(text).is_some_and(|letter| self.is_first(&letter)),
            Scoring::Names => symbolic_right(text, &self.references),
            Scoring::Number => {
                integer(text).is_some_and(|number| self.is_first(&number.to_string()))
            }
        };
        Ok(f64::from(u8::from(right)))
    }

    /// Whether an answer is the first reference.
    fn is_first(&self, answer: &str) -> bool {
        self.references.first().is_some_and(|right| right == answer)
    }

    /// Whether more tokens cannot change the score.
    pub fn is_enough(&self, text: &str) -> bool {
        let line_ended = text.trim_start_matches('\n').contains('\n');
        let all = match self.scoring {
            Scoring::Metric(ScoreMetric::MatchAll | ScoreMetric::MatchPart) => {
                self.score(text).is_ok_and(|score| score == 1.0)
            }
            _ => false,
        };
        all || (self.first_line || self.ends_at_line) && line_ended
    }

    /// The prompt in tokens, the middle cut out of one that is longer than `ctx` leaves room for.
    ///
    /// # Errors
    /// When it is too long and must stay whole.
    pub fn prompt(&self, model: &Model, ctx: usize) -> Result<EvalPrompt> {
        let room = ctx.saturating_sub(self.new_tokens);
        let found = prompt(model, &self.text)?;
        if found.tokens.len() <= room {
            return Ok(found);
        }
        if !self.cuts_middle {
            return Err(crate::Error::input(format!(
                "{}: a prompt of {} tokens and an answer of {} do not fit --ctx {}",
                self.task,
                found.tokens.len(),
                self.new_tokens,
                ctx
            )));
        }
        let tokenizer = tokenizer(model)?;
        let whole = format!("{}{}", self.text.context, self.text.question);
        let tokens = tokenizer.encode(&whole)?;
        // The template's own tokens come on top.
        let own = found.tokens.len().saturating_sub(tokens.len());
        let half = room.saturating_sub(own + 2) / 2;
        // With long tokens the two halves may be the whole text.
        let begin = tokens.get(..half).unwrap_or(&tokens);
        let end = tokens.get(tokens.len().saturating_sub(half)..).unwrap_or_default();
        let cut = format!("{}{}", tokenizer.decode(begin)?, tokenizer.decode(end)?);
        let context = cut.strip_suffix(&self.text.question);
        let text = PromptText {
            question: context.map_or_else(String::new, |_| self.text.question.clone()),
            context: context.unwrap_or(&cut).to_owned(),
            ..self.text.clone()
        };
        prompt(model, &text)
    }
}
