//! What can be pinned: what is set, a mask of every rule with its bytes, named plans, a sweep.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attention::cuda::check_codes;
use crate::decode::worker::event::MaskInfo;
use crate::mask::select::{ALIGNMENTS, Budget};
use crate::mask::{CachePlan, Needs, Rule};
use crate::numbers::percent;
use crate::tui::app::model::ModelView;
use crate::tui::screen::bench::state::{Added, Aim, LeftOut, MOST, MaskBench};
use crate::tui::screen::tune::state::{
    Draft, Goal, HeadWidths, PointKind, RIVALS, Set, Sources, Tuning, propose,
};

/// The rule of plans that other programs offer by name.
pub const NAMED: &str = "named";

/// Pins what is set in Tune. Gives the number of new rows, as all of these.
pub fn set(bench: &mut MaskBench, tuning: &Tuning) -> usize {
    let info = tuning.mask_info();
    let rule = if info.rule.is_empty() { "as it is".to_owned() } else { info.rule.clone() };
    let draft = tuning.draft().clone();
    usize::from(bench.add(info.label, rule, draft, info.plan) == Added::New)
}

/// Pins a mask of every rule, of the bytes that what is set takes at a context, and what is set
/// itself. The bench keeps which rules gave no row, and why; `sense` is Tune's key that measures the
/// sensitivity.
pub fn rules(bench: &mut MaskBench, tuning: &Tuning, tokens: usize, sense: &str) -> usize {
    let mut added = set(bench, tuning);
    let aim = Aim { bytes: tuning.proposed_tally(tokens).bytes.total(), tokens };
    bench.left_out.clear();
    for rule in Rule::ALL {
        let made = of_rule(tuning, rule, aim, sense)
            .map(|(draft, plan)| bench.add_at(aim, rule.name, draft, plan));
        let why = match made {
            Ok(Added::New) => {
                added += 1;
                continue;
            }
            Ok(Added::Known(name)) if name == rule.name => continue,
            Ok(Added::Known(name)) => format!("the same channels as {name}"),
            Ok(Added::Full) => format!("{MOST} rows are there already"),
            Err(why) => why,
        };
        bench.left_out.push(LeftOut { rule: rule.name, why });
    }
    added
}

/// The largest mask of a rule that takes no more than these bytes: with the settings of Tune if that
/// comes near enough, or else with the exact budget, in finer steps. The reason, where there is none.
fn of_rule(
    tuning: &Tuning,
    rule: Rule,
    aim: Aim,
    sense: &str,
) -> Result<(Draft, CachePlan), String> {
    let sources = tuning.sources();
    if !sources.has(rule) {
        return Err(match rule.needs {
            Needs::File => "no mask file with importance".to_owned(),
            Needs::Gradient => format!("no sensitivity: {sense} in Tune measures it"),
            Needs::Text | Needs::Nothing => "no figures of this prompt".to_owned(),
        });
    }
    let mut set = tuning.draft().clone();
    set.set(Set::Rule(rule));
    set.set(Set::Fit(aim.bytes, aim.tokens));
    // What is locked in Tune stays; what is set by hand is no rule's doing.
    set.pins = Default::default();
    let mut best: Option<(u64, Draft, CachePlan)> = None;
    let mut weigh = |draft: Draft| {
        let plan = propose(&draft, sources).ok()?.plan;
        let bytes = tuning.tally(&plan, draft.window, None, aim.tokens).bytes.total();
        // Where two are as large, the settings of Tune stay.
        if bytes <= aim.bytes && best.as_ref().is_none_or(|(most, ..)| bytes > *most) {
            best = Some((bytes, draft, plan.clone()));
        }
        Some((bytes, plan))
    };
    let is_near =
        |found: Option<(u64, CachePlan)>| found.is_some_and(|found| is_equal(found.0, aim));
    let finer = ALIGNMENTS.into_iter().rev().filter(|&align| align < set.align);
    for align in std::iter::once(set.align).chain(finer) {
        let set = Draft { align, ..set.clone() };
        if is_near(weigh(set.clone())) {
            break;
        }
        // One cut through scores that many heads share, as those of frequency, takes all of them or
        // none.
        let exact = Draft { split: Budget::Exact, ..set };
        let Some((bytes, plan)) = weigh(exact.clone()) else { continue };
        if is_equal(bytes, aim) {
            break;
        }
        // The next step would bring back a head, whose V takes more than is left: what is left goes
        // to the heads that are there.
        if let Some(draft) = there_only(exact, &plan, sources)
            && is_near(weigh(draft))
        {
            break;
        }
    }
    let best = best.ok_or_else(|| "no mask of it is so small".to_owned())?;
    Ok((best.1, best.2))
}

/// The same settings with what is left going to the heads that a plan stores: as it is, because no
/// setting but locks would make it, and locks that nobody set would stay when it is used.
fn there_only(exact: Draft, plan: &CachePlan, sources: &Sources) -> Option<Draft> {
    let (rule, window, locks) = (exact.rule, exact.window, exact.locks.clone());
    let mut held = dropped(plan);
    held.extend(locks.clone());
    let made = propose(&Draft { locks: held, ..exact.clone() }, sources).ok()?;
    let info = MaskInfo {
        importance: made.importance.map(|importance| importance.scores().to_vec()),
        rule: rule.name.to_owned(),
        align: exact.align,
        ..MaskInfo::named(rule.name, made.plan)
    };
    let (split, pairs) = (exact.split, exact.pairs);
    let (floor, layer_floors) = (exact.floor, exact.layer_floors);
    let as_it_is = Draft::verbatim(Arc::new(info), window);
    Some(Draft { rule, split, pairs, floor, layer_floors, locks, ..as_it_is })
}

/// Whether bytes are those that a row was made to take: within a hundredth, because channels are
/// kept in whole numbers.
pub fn is_equal(bytes: u64, aim: Aim) -> bool {
    bytes.abs_diff(aim.bytes) * 100 <= aim.bytes
}

/// Locks that leave the dropped heads of a plan dropped.
fn dropped(plan: &CachePlan) -> BTreeMap<usize, HeadWidths> {
    let counts = plan.mask().kept_counts();
    let heads = counts.iter().enumerate().filter(|(_, kept)| **kept == 0).map(|(head, _)| head);
    let kv_heads = plan.shape().kv_heads;
    heads.map(|head| (head, HeadWidths::of(plan, head / kv_heads, head % kv_heads))).collect()
}

/// Pins the plans that other programs offer, where the cache can hold them.
pub fn named(bench: &mut MaskBench, tuning: &Tuning, model: &ModelView) -> usize {
    let window = tuning.draft().window;
    let added = RIVALS.into_iter().filter(|&name| {
        CachePlan::named(name, model.shape()).is_ok_and(|plan| {
            if model.is_on_gpu() && check_codes(&plan, window.chunk).is_err() {
                return false;
            }
            let info = Arc::new(MaskInfo::named(name, plan.clone()));
            let draft = Draft::verbatim(info, window);
            bench.add(name.to_owned(), NAMED.to_owned(), draft, plan) == Added::New
        })
    });
    added.count()
}

/// What became of the measured points of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepPinned {
    /// Points that are new rows.
    pub added: usize,
    /// Points whose plan has a row already: low and high settings often give one mask.
    pub known: usize,
}

/// Pins the measured points of Tune's sweep, each named by what it keeps: what was asked for may be
/// more than the importance reaches.
pub fn swept(bench: &mut MaskBench, tuning: &Tuning) -> SweepPinned {
    let mut pinned = SweepPinned::default();
    for (point, _) in tuning.sweep.measured() {
        let rule = point.draft.rule_words();
        let (name, rule) = match (point.kind, point.draft.goal) {
            (PointKind::Rival(name), _) => (name.to_owned(), NAMED.to_owned()),
            (PointKind::Plan, Goal::Bytes(_)) => {
                let share = point.plan.bytes_share(point.draft.window.chunk);
                (format!("plan {}", percent(share, 1)), rule)
            }
            (PointKind::Mask(align), Goal::Keep(_)) => {
                let kept = percent(point.plan.mask().kept_ratio(), 1);
                let rule = format!("{rule} align {align}");
                (format!("{} {kept} align {align}", point.draft.rule_words()), rule)
            }
            _ => continue,
        };
        match bench.add(name, rule, point.draft.clone(), point.plan.clone()) {
            Added::New => pinned.added += 1,
            Added::Known(_) => pinned.known += 1,
            Added::Full => {}
        }
    }
    pinned
}
