//! What the results of the suite say: correlations between texts, choices, losses and verdicts.

use serde::Serialize;

use super::choice::{MaskChoice, dealt_name};
use super::importance::DomainImportance;
use super::verdict::DomainVerdict;
use crate::Result;
use crate::eval::run::{Record, Results};
use crate::eval::text::{MeanError, ScoredLosses};
use crate::mask::{Importance, rank_correlations};

/// Heads that are named for each rule.
const HEADS: usize = 5;

/// A head whose channels the texts rank differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnstableHead {
    /// Its layer.
    pub layer: usize,
    /// Its KV head.
    pub kv_head: usize,
    /// Mean rank correlation between texts.
    pub correlation: f64,
    /// Mean rank correlation between the halves of each text.
    pub within: f64,
}

/// How stable importance by one rule is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleStability {
    /// The rule.
    pub rule: String,
    /// Rank correlation of channels between every two texts, the mean over heads and over the four
    /// pairs of a half of each. On the diagonal between the two halves of one text: as much as
    /// measuring twice agrees.
    pub correlation: Vec<Vec<f64>>,
    /// Mean over every two texts.
    pub between: f64,
    /// Mean over the halves of each text.
    pub within: f64,
    /// The heads whose order changes most from text to text.
    pub heads: Vec<UnstableHead>,
}

/// A mask on every text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskStability {
    /// Kept importance and overlaps; none for a plan with one width per head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<MaskChoice>,
    /// The mask.
    pub mask: String,
    /// Mean KLD on each text and its standard error, nats.
    pub kld: Vec<[f64; 2]>,
    /// Mean KLD by the text that is read, then by the text that chose the channels; none for a plan
    /// with one width per head.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cross: Vec<Vec<f64>>,
    /// A verdict for each text.
    pub verdicts: Vec<DomainVerdict>,
}

/// Everything that the suite says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StabilityFigures {
    /// Tokens of a chunk.
    pub ctx: usize,
    /// The texts, in the order of all lists.
    pub domains: Vec<String>,
    /// Importance by rule.
    pub rules: Vec<RuleStability>,
    /// Masks in the order of the run; those whose results are here.
    pub masks: Vec<MaskStability>,
}

impl StabilityFigures {
    /// The figures of results; `None` where the suite was not run or importance is not complete yet.
    pub fn of(results: &Results) -> Option<Self> {
        let records = &results.records;
        let mut domains: Vec<String> = Vec::new();
        let mut halves: Vec<[Option<&DomainImportance>; 2]> = Vec::new();
        for record in records {
            let Some(importance) = &record.importance else { continue };
            let at = domains.iter().position(|name| *name == record.task).unwrap_or_else(|| {
                domains.push(record.task.clone());
                halves.push([None, None]);
                domains.len() - 1
            });
            *halves[at].get_mut(record.index)? = Some(importance);
        }
        let halves: Option<Vec<[&DomainImportance; 2]>> =
            halves.into_iter().map(|[first, second]| Some([first?, second?])).collect();
        let halves = halves.filter(|halves| halves.len() > 1)?;
        let ctx = records.iter().find(|record| record.importance.is_some())?.ctx;
        let names = halves[0][0].rules.iter().map(|one| one.rule.as_str());
        let rules = names.map(|rule| rule_stability(rule, &halves)).collect::<Result<_>>().ok()?;
        let masks = results.header.masks.iter();
        let masks = masks.filter_map(|mask| mask_stability(&mask.name, &domains, records));
        Some(Self { ctx, masks: masks.collect(), rules, domains })
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    sum / n.max(1) as f64
}

fn rule_stability(rule: &str, halves: &[[&DomainImportance; 2]]) -> Result<RuleStability> {
    let of = |half: &&DomainImportance| half.of(rule);
    let scores: Vec<[Importance; 2]> = halves
        .iter()
        .map(|[first, second]| Ok([of(first)?, of(second)?]))
        .collect::<Result<_>>()?;
    let (number, shape) = (halves.len(), scores[0][0].shape());
    let mut correlation = vec![vec![1.0; number]; number];
    let heads = shape.heads();
    // Sums and numbers by head: between texts, and within.
    let mut sums = [vec![(0.0, 0_usize); heads], vec![(0.0, 0_usize); heads]];
    for a in 0..number {
        for b in a..number {
            let compared: &[(usize, usize)] = match a == b {
                true => &[(0, 1)],
                false => &[(0, 0), (0, 1), (1, 0), (1, 1)],
            };
            let mut by_head = Vec::new();
            for &(one, other) in compared {
                by_head.extend(rank_correlations(&scores[a][one], &scores[b][other])?);
            }
            for (at, found) in by_head.iter().enumerate() {
                if let Some(found) = found {
                    let sum = &mut sums[usize::from(a == b)][at % heads];
                    *sum = (sum.0 + found, sum.1 + 1);
                }
            }
            let all = mean(by_head.into_iter().flatten());
            (correlation[a][b], correlation[b][a]) = (all, all);
        }
    }
    let pairs = || (0..number).flat_map(|a| (0..number).map(move |b| (a, b)));
    let mean_where = |diagonal: bool| {
        let chosen = pairs().filter(|(a, b)| (a == b) == diagonal);
        mean(chosen.map(|(a, b)| correlation[a][b]))
    };
    let mut unstable: Vec<UnstableHead> = shape
        .each_head()
        .enumerate()
        .filter(|(at, _)| sums[0][*at].1 > 0)
        .map(|(at, (layer, kv_head))| {
            let share = |(sum, n): (f64, usize)| sum / n.max(1) as f64;
            let (correlation, within) = (share(sums[0][at]), share(sums[1][at]));
            UnstableHead { layer, kv_head, correlation, within }
        })
        .collect();
    unstable.sort_by(|a, b| a.correlation.total_cmp(&b.correlation));
    unstable.truncate(HEADS);
    Ok(RuleStability {
        rule: rule.to_owned(),
        between: mean_where(false),
        within: mean_where(true),
        correlation,
        heads: unstable,
    })
}

/// Losses of one cache on one text.
fn losses(records: &[Record], domain: &str, cache: &str) -> Option<ScoredLosses> {
    let mut all = ScoredLosses::default();
    let own = records.iter().filter(|one| one.suite == Record::STABILITY && one.task == domain);
    for record in own {
        if let Some(chunk) = record.losses.iter().find(|one| one.mask == cache) {
            all.extend(chunk);
        }
    }
    (!all.kld.is_empty()).then_some(all)
}

/// `None` while a text has no losses yet.
fn mask_stability(mask: &str, domains: &[String], records: &[Record]) -> Option<MaskStability> {
    let mut choices = records.iter().filter_map(|record| record.choice.as_ref());
    let choice = choices.find(|choice| choice.mask == mask).cloned();
    let (mut kld, mut cross, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for domain in domains {
        let own = losses(records, domain, mask)?;
        let MeanError { mean, error } = MeanError::of(&own.kld);
        kld.push([mean, error]);
        let dealt: Vec<ScoredLosses> = domains
            .iter()
            .filter_map(|chose| losses(records, domain, &dealt_name(mask, chose)))
            .collect();
        let at = verdicts.len();
        let of_domain = dealt.get(at).filter(|_| dealt.len() == domains.len());
        verdicts.push(DomainVerdict::of(domain, &own, of_domain));
        if of_domain.is_some() {
            cross.push(dealt.iter().map(|one| MeanError::of(&one.kld).mean).collect());
        }
    }
    Some(MaskStability { mask: mask.to_owned(), choice, kld, cross, verdicts })
}
