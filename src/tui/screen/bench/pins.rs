//! What can be pinned: what is set, a mask of every rule with its bytes, named plans, a sweep.

use std::sync::Arc;

use crate::Error;
use crate::attention::cuda::check_codes;
use crate::decode::worker::event::MaskInfo;
use crate::mask::select::Budget;
use crate::mask::{CachePlan, Rule};
use crate::tui::app::model::ModelView;
use crate::tui::screen::bench::state::MaskBench;
use crate::tui::screen::tune::state::{Draft, Goal, PointKind, RIVALS, Set, Tuning, propose};

/// The rule of plans that other programs offer by name.
pub const NAMED: &str = "named";

/// Pins what is set in Tune. Gives the number of new rows, as all of these.
pub fn set(bench: &mut MaskBench, tuning: &Tuning) -> usize {
    let info = tuning.mask_info();
    let rule = if info.rule.is_empty() { "as it is".to_owned() } else { info.rule.clone() };
    let draft = tuning.draft().clone();
    usize::from(bench.add(info.label, rule, draft, info.plan))
}

/// Pins a mask of every rule that has importance, of at most the bytes that what is set takes at a
/// context, and what is set itself. Also gives the rules that cannot reach the size.
pub fn rules(bench: &mut MaskBench, tuning: &Tuning, tokens: usize) -> (usize, Vec<&'static str>) {
    let own = set(bench, tuning);
    let bytes = tuning.proposed_tally(tokens).bytes.total();
    let made = Rule::ALL.into_iter().filter(|&rule| tuning.sources().has(rule)).map(|rule| {
        let mut draft = tuning.draft().clone();
        draft.set(Set::Rule(rule));
        draft.set(Set::Fit(bytes, tokens));
        (draft.locks, draft.pins) = Default::default();
        (rule.name, draft)
    });
    let (mut added, mut too_large) = (own, Vec::new());
    for (name, draft) in made {
        // One cut through scores that many heads share, as those of frequency, takes all of them or
        // none: the exact budget comes nearer to the size.
        let exact = Draft { split: Budget::Exact, ..draft.clone() };
        let weighed = [draft, exact].map(|draft| {
            let proposal = propose(&draft, tuning.sources())?;
            let size = tuning.tally(&proposal.plan, draft.window, None, tokens).bytes.total();
            Ok::<_, Error>((size, draft, proposal))
        });
        let largest = match weighed {
            // Where both are as large, the split that is set stays.
            [Ok(set), Ok(exact)] => Ok(if exact.0 > set.0 { exact } else { set }),
            [set, exact] => set.or(exact),
        };
        match largest {
            Ok((_, draft, proposal)) => {
                let rule = name.to_owned();
                added += usize::from(bench.add(rule.clone(), rule, draft, proposal.plan));
            }
            Err(_) => too_large.push(name),
        }
    }
    (added, too_large)
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
            bench.add(name.to_owned(), NAMED.to_owned(), Draft::verbatim(info, window), plan)
        })
    });
    added.count()
}

/// Pins the measured points of Tune's sweep.
pub fn swept(bench: &mut MaskBench, tuning: &Tuning) -> usize {
    let added = tuning.sweep.measured().filter(|(point, _)| {
        let (name, rule) = match (point.kind, point.draft.goal) {
            (PointKind::Rival(name), _) => (name.to_owned(), NAMED.to_owned()),
            (PointKind::Plan, Goal::Bytes(share)) => {
                (format!("plan {:.0} %", f64::from(share) / 10.0), "sensitivity".to_owned())
            }
            (PointKind::Mask(align), Goal::Keep(keep)) => (
                format!("{} {:.0} %", point.draft.rule_words(), f64::from(keep) / 10.0),
                format!("{} align {align}", point.draft.rule_words()),
            ),
            _ => return false,
        };
        bench.add(name, rule, point.draft.clone(), point.plan.clone())
    });
    added.count()
}
