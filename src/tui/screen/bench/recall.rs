//! What the Eval screen knows of the rows: their recall, and what that rests on.

use crate::eval::run::{Average, Figures, Row};
use crate::numbers::{count, counted};
use crate::tui::app::state::State;
use crate::tui::screen::bench::state::Pinned;

/// The recall of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recall {
    /// Mean score in per cent, over the tasks that dense can do at the longest context that has any.
    pub score: f64,
    /// Answers that it is the mean of.
    pub answers: usize,
    /// Tasks that these are of.
    pub tasks: usize,
    /// Tasks that dense fails, which the mean leaves out.
    pub failed: usize,
    /// Tokens of the prompts, at most.
    pub ctx: usize,
    /// Samples that the evaluation has, and all of them, where some are missing: it still runs, or was
    /// stopped.
    pub partial: Option<(usize, usize)>,
}

/// Before a recall that is of a part of an evaluation.
pub(super) const PARTIAL: &str = "~";

impl Recall {
    /// The score, with a sign where it is of a part.
    pub fn shown(&self) -> String {
        format!("{}{:.1} %", if self.partial.is_some() { PARTIAL } else { "" }, self.score)
    }

    /// What it rests on.
    pub fn basis(&self) -> String {
        let partial = self.partial.map_or_else(String::new, |(done, all)| {
            format!(", partial: the evaluation has {} of {} samples", count(done), count(all))
        });
        let failed = match self.failed {
            0 => String::new(),
            n => format!(", without {} that dense fails", counted(n, "task", "tasks")),
        };
        format!(
            "the mean of {} to {} at {} tokens{failed}{partial}",
            counted(self.answers, "answer", "answers"),
            counted(self.tasks, "task", "tasks"),
            count(self.ctx)
        )
    }
}

/// The recall of this plan with its window, where the Eval screen has one.
pub(super) fn recall(state: &State, pin: &Pinned) -> Option<Recall> {
    let figures = state.screens.eval.figures.as_ref()?;
    let is_own = |window| window == pin.draft.window;
    let mut masks = figures.run.masks.iter();
    let mask = masks.find(|mask| mask.fingerprint == pin.fingerprint && is_own(mask.window))?;
    let of_mask = |one: &&Average| one.mask == mask.name && one.suite == "recall";
    let scored = figures.averages.iter().filter(of_mask).filter(|one| one.score.is_some());
    let average = scored.max_by_key(|one| one.ctx)?;
    let (done, all) = (figures.results, figures.run.jobs);
    Some(Recall {
        score: average.score?,
        answers: answers(figures, average),
        tasks: average.tasks.len(),
        failed: rows_of(figures, average).filter(|row| !row.informative).count(),
        ctx: average.ctx,
        partial: (done < all).then_some((done, all)),
    })
}

/// Answers that a mean is of.
fn answers(figures: &Figures, average: &Average) -> usize {
    rows_of(figures, average).filter(|row| row.informative).map(|row| row.n).sum()
}

/// The tasks of its mask at its length.
fn rows_of<'a>(figures: &'a Figures, average: &'a Average) -> impl Iterator<Item = &'a Row> {
    figures.rows.iter().filter(|row| {
        (&row.suite, row.ctx, &row.mask) == (&average.suite, average.ctx, &average.mask)
            && !row.again
    })
}

/// The recall of a row in a sentence: its basis, or that it has none. `None` before anything was
/// evaluated.
pub(super) fn sentence(state: &State, pin: &Pinned) -> Option<String> {
    state.screens.eval.figures.as_ref()?;
    Some(match recall(state, pin) {
        Some(recall) => format!("Its recall is {:.1} %, {}.", recall.score, recall.basis()),
        None => {
            "Its recall is not measured: Eval has none of this mask with this window.".to_owned()
        }
    })
}
