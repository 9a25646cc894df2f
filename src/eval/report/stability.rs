//! Tables of the stability suite, as rows of cells.

use crate::eval::stability::{MaskStability, RuleChoice, RuleStability, StabilityFigures};
use crate::numbers::{nats, percent};

fn head(first: &str, columns: &[String]) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(columns.iter().cloned()).collect()
}

/// Rank correlation between every two texts by one rule.
pub fn correlations(figures: &StabilityFigures) -> Vec<Vec<Vec<String>>> {
    let rule = |rule: &RuleStability| {
        let mut rows = vec![head(&format!("rank correlation, {}", rule.rule), &figures.domains)];
        for (domain, line) in figures.domains.iter().zip(&rule.correlation) {
            let cells: Vec<String> = line.iter().map(|value| format!("{value:.3}")).collect();
            rows.push(head(domain, &cells));
        }
        rows
    };
    figures.rules.iter().map(rule).collect()
}

/// The heads whose order changes most from text to text.
pub fn heads(figures: &StabilityFigures) -> Vec<Vec<String>> {
    let titles = ["head", "between texts", "within a text"].map(str::to_owned);
    let mut rows = vec![head("texts disagree most on", &titles)];
    for rule in &figures.rules {
        for one in &rule.heads {
            let cells = [
                format!("L{} h{}", one.layer, one.kv_head),
                format!("{:.3}", one.correlation),
                format!("{:.3}", one.within),
            ];
            rows.push(head(&rule.rule, &cells));
        }
    }
    rows
}

/// How much importance a mask keeps on each text, and how much the text's own choice would.
pub fn kept(mask: &MaskStability) -> Option<Vec<Vec<String>>> {
    let choice = mask.choice.as_ref()?;
    let mut rows = vec![head(&format!("importance kept, {}", mask.mask), &choice.domains)];
    for rule in &choice.rules {
        for (whose, shares) in [("this mask", &rule.kept), ("its own choice", &rule.own_kept)] {
            let shares: Vec<String> =
                shares.iter().map(|share| percent(f64::from(*share), 1)).collect();
            rows.push(head(&format!("{}, {whose}", rule.rule), &shares));
        }
    }
    Some(rows)
}

/// Overlap of the channels that the texts choose by each rule, and of this mask with them.
pub fn overlaps(mask: &MaskStability) -> Vec<Vec<Vec<String>>> {
    let Some(choice) = &mask.choice else { return Vec::new() };
    let cells = |values: &[f32]| -> Vec<String> {
        values.iter().map(|value| percent(f64::from(*value), 1)).collect()
    };
    let table = |rule: &RuleChoice| {
        let title = format!("overlap of choices, {}, {}", mask.mask, rule.rule);
        let mut rows = vec![head(&title, &choice.domains)];
        rows.push(head("this mask", &cells(&rule.overlap_with_mask)));
        for (domain, values) in choice.domains.iter().zip(&rule.overlap) {
            rows.push(head(domain, &cells(values)));
        }
        rows
    };
    choice.rules.iter().map(table).collect()
}

/// Mean KLD by the text that is read (rows) and the text that chose the channels (columns).
pub fn cross(figures: &StabilityFigures, mask: &MaskStability) -> Vec<Vec<String>> {
    let chosen = mask.cross.first().map_or(&[][..], |_| &figures.domains[..]);
    let columns: Vec<String> = ["this mask".to_owned(), "±".to_owned()]
        .into_iter()
        .chain(chosen.iter().map(|domain| format!("of {domain}")))
        .collect();
    let mut rows = vec![head(&format!("mean KLD, {}", mask.mask), &columns)];
    for (at, domain) in figures.domains.iter().enumerate() {
        let own = mask.kld[at].iter();
        let others = mask.cross.get(at).into_iter().flatten();
        let cells: Vec<String> = own.chain(others).map(|kld| nats(*kld)).collect();
        rows.push(head(domain, &cells));
    }
    rows
}

/// A verdict for each text.
pub fn verdicts(mask: &MaskStability) -> Vec<Vec<String>> {
    let titles = ["KLD", "its own choice", "verdict"].map(str::to_owned);
    let mut rows = vec![head(&format!("verdict, {}", mask.mask), &titles)];
    for verdict in &mask.verdicts {
        let cells = [
            nats(verdict.kld),
            verdict.own_kld.map_or_else(|| "-".to_owned(), nats),
            verdict.sentence.clone(),
        ];
        rows.push(head(&verdict.domain, &cells));
    }
    rows
}

/// All tables in order.
pub fn all(figures: &StabilityFigures) -> Vec<Vec<Vec<String>>> {
    let mut tables = correlations(figures);
    tables.push(heads(figures));
    for mask in &figures.masks {
        tables.extend(kept(mask));
        tables.extend(overlaps(mask));
        tables.push(cross(figures, mask));
        tables.push(verdicts(mask));
    }
    tables
}

/// What the tables show, in one sentence for each rule.
pub fn sentences(figures: &StabilityFigures) -> Vec<String> {
    let sentence = |rule: &RuleStability| {
        format!(
            "importance by {}: texts agree to {:.3}, two halves of one text to {:.3} (Spearman, mean over heads)",
            rule.rule, rule.between, rule.within
        )
    };
    figures.rules.iter().map(sentence).collect()
}
