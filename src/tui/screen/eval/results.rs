//! The rows of the table: recall beside dense, losses on texts, verdicts.

use crate::eval::run::{CONTROL, DENSE, Record, Row};
use crate::numbers::{count, nats};
use crate::tui::color::Role;
use crate::tui::screen::eval::state::Evaluation;

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TableRow {
    /// What was evaluated.
    pub name: String,
    /// Tokens.
    pub ctx: usize,
    /// The mask.
    pub mask: String,
    /// Its figures, in words.
    pub figures: String,
    /// The same in a narrow column.
    pub short: String,
    /// The same in the fewest columns, without the mask: the second where the first has no room.
    pub least: [String; 2],
    /// Colour.
    pub role: Role,
}

/// The rows so far, in the order of the run.
pub(super) fn rows(eval: &Evaluation) -> Vec<TableRow> {
    let Some(figures) = &eval.figures else { return Vec::new() };
    let shown = figures.rows.iter().filter(|row| row.suite != CONTROL && row.mask != DENSE);
    let mut rows: Vec<TableRow> =
        shown.filter(|row| row.suite != Record::STABILITY).map(scored).collect();
    if let Some(stability) = &figures.stability {
        for rule in &stability.rules {
            let figures =
                format!("agree to {:.3}, halves of one to {:.3}", rule.between, rule.within);
            rows.push(TableRow {
                name: format!("texts, {}", rule.rule),
                ctx: stability.ctx,
                mask: String::new(),
                short: figures.clone(),
                least: [
                    format!("{:.3}, {:.3}", rule.between, rule.within),
                    format!("{:.3}", rule.between),
                ],
                figures,
                role: Role::Text,
            });
        }
        for mask in &stability.masks {
            rows.extend(mask.verdicts.iter().map(|verdict| TableRow {
                name: verdict.domain.clone(),
                ctx: stability.ctx,
                mask: mask.mask.clone(),
                figures: format!("KLD {}: {}", nats(verdict.kld), verdict.sentence),
                short: verdict.sentence.clone(),
                least: [format!("KLD {}", nats(verdict.kld)), verdict.sentence.clone()],
                role: Role::Text,
            }));
        }
    }
    rows
}

fn scored(row: &Row) -> TableRow {
    let figures = match &row.kl {
        Some(kl) => format!(
            "KLD {} · 99.9 % {} · top {:.1} % · PPL {:.3}, dense {:.3}",
            nats(kl.kld.mean),
            nats(kl.kld_percentiles[0]),
            kl.same_top.mean,
            row.score,
            row.dense_score
        ),
        None if row.informative => format!(
            "{:>5.1} of {:>5.1} · −{} +{} of {} · p {:.3}",
            row.score,
            row.dense_score,
            row.lost,
            row.won,
            count(row.n),
            row.p
        ),
        // What dense fails a mask may still win: a score above dense's needs its count beside it.
        None => format!(
            "{:>5.1} of {:>5.1} · −{} +{} of {} · dense fails",
            row.score,
            row.dense_score,
            row.lost,
            row.won,
            count(row.n)
        ),
    };
    let role = match (&row.kl, row.informative) {
        (None, false) => Role::Dim,
        (None, true) if row.lost > row.won && row.p < 0.05 => Role::Bad,
        _ => Role::Text,
    };
    let short = match &row.kl {
        Some(kl) => format!("KLD {} top {:.1} %", nats(kl.kld.mean), kl.same_top.mean),
        None if row.informative => format!(
            "{:.0}/{:.0} −{} +{} p {:.3}",
            row.score, row.dense_score, row.lost, row.won, row.p
        ),
        None => format!(
            "{:.0}/{:.0} −{} +{} dense fails",
            row.score, row.dense_score, row.lost, row.won
        ),
    };
    let least = match &row.kl {
        Some(kl) => [format!("KLD {}", nats(kl.kld.mean)), nats(kl.kld.mean)],
        None => {
            let end = match row.informative {
                true => {
                    let p = format!("{:.3}", row.p);
                    p.strip_prefix('0').unwrap_or(&p).to_owned()
                }
                false => "fails".to_owned(),
            };
            let counts = format!("−{}+{} {end}", row.lost, row.won);
            [format!("{:.0}/{:.0} {counts}", row.score, row.dense_score), counts]
        }
    };
    let (name, mask) = (row.task.clone(), row.mask.clone());
    TableRow { name, ctx: row.ctx, mask, figures, short, least, role }
}

/// The name of a task in few columns: `mkey1` for `niah_multikey_1`.
pub(super) fn short_name(task: &str) -> String {
    match task.strip_prefix("niah_") {
        Some(own) => own.replace("multi", "m").replace('_', ""),
        None => task.to_owned(),
    }
}

/// A length in few columns: `32k` for 32,768.
pub(super) fn short_ctx(ctx: usize) -> String {
    match ctx >= 1024 && ctx.is_multiple_of(1024) {
        true => format!("{}k", ctx / 1024),
        false => ctx.to_string(),
    }
}
