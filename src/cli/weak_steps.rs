//! Steps of a comparison that say little of the plan: those before anything was pruned, and those that
//! repeat a loop of the text.

use serde::Serialize;

use super::widths::PlanReport;
use crate::decode::comparison::Comparison;
use crate::decode::divergence::Divergence;
use crate::decode::looping::repeated;
use crate::mask::Window;
use crate::numbers::{count, counted, nats};
use crate::spread::Spread;

/// How many of the compared steps say little, in all sequences.
#[derive(Debug, Serialize)]
pub struct WeakSteps {
    /// Compared steps that saw a middle: in the others nothing was pruned.
    pub steps_with_middle: usize,
    /// Compared steps whose tokens only repeat a loop of the text: the same few steps again and again.
    pub steps_in_loop: usize,
    /// The loss before those; null where there is no loop, or nothing before it.
    pub before_loop: Option<BeforeLoop>,
}

/// What was lost before the text began to loop.
#[derive(Debug, Serialize)]
pub struct BeforeLoop {
    /// Compared steps.
    pub steps: usize,
    /// Per step, in nats.
    pub kld: Spread,
    /// Share of steps where both put the same token first.
    pub top1_agreement: f64,
}

impl WeakSteps {
    /// Counts them.
    pub fn of(comparison: &Comparison) -> Self {
        let (mut all, mut with_middle, mut before) = (0, 0, Vec::new());
        let Comparison { a, b, steps, .. } = comparison;
        for ((steps, text), cache) in steps.iter().zip(&a.generated).zip(&b.caches) {
            let with = cache.spec().window().steps_with_middle(cache.tokens(), steps.len());
            with_middle += steps[steps.len() - with..].iter().flatten().count();
            let own = &steps[..steps.len() - repeated(text, steps.len())];
            before.extend(own.iter().flatten().copied());
            all += steps.iter().flatten().count();
        }
        let (in_loop, divergence) = (all - before.len(), Divergence::of(&before));
        let before_loop = (in_loop > 0 && divergence.steps > 0).then_some(BeforeLoop {
            steps: divergence.steps,
            kld: divergence.kld,
            top1_agreement: divergence.top1_agreement,
        });
        Self { steps_with_middle: with_middle, steps_in_loop: in_loop, before_loop }
    }

    /// A line for each kind of which there are any, each after a line end.
    pub fn words(&self, compared: usize, window: Window, stored: &PlanReport) -> String {
        let mut text = String::new();
        let all = counted(compared, "step", "steps");
        let without = compared.saturating_sub(self.steps_with_middle);
        if without > 0 && stored.bytes_share < 1.0 {
            text += &format!(
                "\nnothing was pruned in {} of {all}: a middle begins with {} tokens; a longer prompt, more --max-new or a smaller --recent measures the plan",
                count(without),
                count(window.first_middle())
            );
        }
        if self.steps_in_loop > 0 {
            let before = self.before_loop.as_ref().map_or_else(String::new, |before| {
                format!(
                    "; before it KLD mean {} ± {} nats, same top token {:.1} % over {}",
                    nats(before.kld.mean),
                    nats(before.kld.stderr),
                    before.top1_agreement * 100.0,
                    counted(before.steps, "step", "steps")
                )
            });
            text += &format!(
                "\n{} of {all} repeat a loop of the text, the same few steps again and again{before}",
                count(self.steps_in_loop)
            );
        }
        text
    }
}
