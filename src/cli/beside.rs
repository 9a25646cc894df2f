//! What plain caches would cost and lose beside the plan of a comparison, over the same steps.

use std::sync::Arc;

use serde::Serialize;

use crate::Result;
use crate::cache::CacheSpec;
use crate::decode::comparison::Comparison;
use crate::decode::divergence::Divergence;
use crate::decode::replay::{Recent, Replay, Stretch};
use crate::learn::check::{self, Cost, Evidence, Thresholds, Verdict};

/// A plan and plain caches over the last steps of the first sequence, forced on the dense side's
/// tokens, and the verdict that follows.
#[derive(Debug, Serialize)]
pub struct Beside {
    /// Steps that every cache was measured over.
    pub steps: usize,
    /// Of them, those whose tokens only repeat a loop of the text: the same few steps again and again.
    pub steps_in_loop: usize,
    /// The plan itself.
    pub plan: Cost,
    /// 8 and 4 bits everywhere.
    pub plain: Vec<Cost>,
    /// `do not ship` by the loss on this text or by what is plainer; else `not enough evidence`,
    /// because one passage without questions is no check.
    pub verdict: &'static str,
    /// One sentence.
    pub reason: String,
}

/// Measures the plan, called `name`, and plain caches, on a GPU those that it can store; `None`
/// where nothing was decoded yet, or nothing pruned in any of the steps.
pub fn beside(name: &str, comparison: &Comparison, recent: &Recent) -> Result<Option<Beside>> {
    let model = comparison.model();
    if recent.is_empty() {
        return Ok(None);
    }
    let dense = &comparison.a.caches[0];
    let stretch = Stretch::new(dense, recent)?.of_text(&comparison.a.generated[0]);
    let stretch = Arc::new(stretch);
    let spec = comparison.b.caches[0].spec();
    if stretch.with_middle(spec) == 0 {
        return Ok(None);
    }
    let measure = |name: &str, spec: &Arc<CacheSpec>| {
        let mut replay = Replay::new(model, Arc::clone(&stretch), spec)?;
        while replay.step(model)? {}
        let kld = Divergence::of(&replay.steps).kld.mean;
        Ok(Cost::of(name, (spec, model.config().sight()), dense.tokens(), kld, None))
    };
    let plan = measure(name, spec)?;
    let caches =
        check::plain_caches(spec.shape(), spec.window(), spec.dtype(), model.decoder.is_on_host())?;
    let plain = caches
        .iter()
        .filter(|cache| cache.spec.plan() != spec.plan())
        .map(|cache| measure(cache.name, &cache.spec))
        .collect::<Result<Vec<_>>>()?;
    let limits = Thresholds::default();
    let evidence = Evidence::of_passage(plan.kld_mean);
    let verdict = Verdict::of(&evidence, &limits).beside(&plan, &plain, &limits);
    Ok(Some(Beside {
        steps: stretch.steps().len(),
        steps_in_loop: stretch.repeats(),
        plan,
        plain,
        verdict: verdict.word(),
        reason: verdict.reason,
    }))
}
