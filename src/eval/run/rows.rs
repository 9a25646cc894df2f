//! The rows of a table, from the lines of results.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::header::RunHeader;
use super::record::{CONTROL, DENSE, Record};
use super::stream::Results;
use crate::eval::paired::paired;
use crate::eval::score::mean_percent;
use crate::eval::stability::StabilityFigures;
use crate::eval::text::{KlStatistics, ScoredLosses};
use crate::learn::check::McNemar;

/// A task that dense scores less than this in, in per cent, says nothing about a mask.
const INFORMATIVE: f64 = 20.0;

/// Dense against itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ControlFigures {
    /// Samples and scored positions.
    pub n: usize,
    /// Answers that differ; must be 0.
    pub differing_answers: usize,
    /// Largest divergence; must be 0.
    pub largest_kld: f64,
    /// Positions where the next token's probability differs; must be 0.
    pub differing_positions: usize,
}

impl ControlFigures {
    /// Whether nothing differs.
    pub fn is_zero(&self) -> bool {
        self.differing_answers == 0 && self.largest_kld == 0.0 && self.differing_positions == 0
    }
}

/// One mask on one task and length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The suite.
    pub suite: String,
    /// The task, text or data set; `control` in the first row.
    pub task: String,
    /// What kind of text it is, or the data file.
    pub domain: String,
    /// Most tokens.
    pub ctx: usize,
    /// The mask.
    pub mask: String,
    /// Samples; of texts scored positions.
    pub n: usize,
    /// Mean score in per cent; of texts the perplexity.
    pub score: f64,
    /// The dense score; of texts the base's perplexity.
    pub dense_score: f64,
    /// Both scores as they are before rounding.
    #[serde(skip)]
    pub exact: [f64; 2],
    /// Samples with a lower score than dense; of texts chunks with a higher mean loss.
    pub lost: usize,
    /// Samples with a higher score; of texts chunks with a lower mean loss.
    pub won: usize,
    /// One-sided: would an equally good cache lose as much?
    pub p: f64,
    /// Whether dense can do the task at all.
    pub informative: bool,
    /// Bounds of the difference in points, for scores in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Whether these samples are in rows of their tasks as well: a difficulty, a length, all of a
    /// data set. Means leave such rows out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Empty answers, RULER's nulls.
    pub nulls: usize,
    /// Figures of llama-perplexity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<Box<KlStatistics>>,
    /// Mean KLD in eighths of the scored half, first positions first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kld_by_position: Vec<f64>,
}

/// A mask's mean over the tasks that dense can do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Average {
    /// The suite.
    pub suite: String,
    /// Most tokens.
    pub ctx: usize,
    /// The mask.
    pub mask: String,
    /// Tasks that count.
    pub tasks: Vec<String>,
    /// Tasks that dense fails; they do not count.
    pub left_out: Vec<String>,
    /// Mean score in per cent.
    pub score: Option<f64>,
    /// Mean dense score.
    pub dense_score: Option<f64>,
}

/// Scores by depth: a heat map's numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Depths {
    /// The mask.
    pub mask: String,
    /// Most tokens.
    pub ctx: usize,
    /// Samples in each fifth of the context, and their mean score in per cent.
    pub fifths: [(usize, f64); 5],
}

/// Everything that a run's results say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The run.
    pub run: RunHeader,
    /// Results that are here.
    pub results: usize,
    /// Dense against itself.
    pub control: ControlFigures,
    /// The control first, then one row for each suite, task, length and mask.
    pub rows: Vec<Row>,
    /// Means over tasks.
    pub averages: Vec<Average>,
    /// Recall by depth.
    pub depths: Vec<Depths>,
    /// Sentences about rows that agree in everything.
    pub flags: Vec<String>,
    /// Importance and losses by kind of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<StabilityFigures>,
}

type Key<'a> = (&'a str, &'a str, &'a str, usize);

impl Figures {
    /// The figures of results.
    pub fn of(results: &Results) -> Self {
        let mut order: Vec<Key<'_>> = Vec::new();
        let mut groups: BTreeMap<Key<'_>, Vec<&Record>> = BTreeMap::new();
        for record in results.records.iter().filter(|one| one.is_measured()) {
            let key = (&*record.suite, &*record.task, &*record.domain, record.ctx);
            groups
                .entry(key)
                .or_insert_with(|| {
                    order.push(key);
                    Vec::new()
                })
                .push(record);
        }
        let control = control(&results.records);
        let mut rows = vec![control_row(&control, &results.records)];
        for key in &order {
            let records = &groups[key];
            match records[0].losses.is_empty() {
                true => rows.extend(answered(records)),
                false => rows.extend(read(records)),
            }
        }
        rows.extend(grouped(&results.records));
        // What other texts choose is in the tables of the stability suite.
        let is_known = |mask: &str| results.header.masks.iter().any(|known| known.name == mask);
        rows.retain(|row| row.suite != Record::STABILITY || is_known(&row.mask));
        Self {
            results: results.records.len(),
            averages: averages(&rows),
            depths: depths(results, &rows),
            flags: flags(results),
            stability: StabilityFigures::of(results),
            run: results.header.clone(),
            control,
            rows,
        }
    }
}

/// A mean score in per cent.
fn mean(scores: &[f64]) -> f64 {
    100.0 * scores.iter().sum::<f64>() / scores.len().max(1) as f64
}

fn control(records: &[Record]) -> ControlFigures {
    let mut control = ControlFigures::default();
    for record in records {
        if let [dense, again, ..] = &record.answers[..] {
            control.n += 1;
            control.differing_answers += usize::from(dense.text != again.text);
        }
        let again = record.losses.iter().find(|one| one.mask == CONTROL);
        let dense = record.losses.iter().find(|one| one.mask == DENSE);
        if let Some(again) = again {
            control.n += again.kld.len();
            // Beside a file of base logits both dense caches lose the same against it.
            let base_kld = |at: usize| dense.map_or(0.0, |dense| dense.kld[at]);
            let base_nll = dense.map_or(&again.nll_base, |dense| &dense.nll);
            for (at, kld) in again.kld.iter().enumerate() {
                let kld = f64::from((kld - base_kld(at)).abs());
                control.largest_kld = control.largest_kld.max(kld);
                control.differing_positions += usize::from(again.nll[at] != base_nll[at]);
            }
        }
    }
    control
}

fn control_row(control: &ControlFigures, records: &[Record]) -> Row {
    let scores = |at: usize| -> Vec<f64> {
        records.iter().filter_map(|record| Some(record.answers.get(at)?.score)).collect()
    };
    let test = paired(&scores(0), &scores(1));
    Row {
        suite: CONTROL.to_owned(),
        task: CONTROL.to_owned(),
        domain: String::new(),
        ctx: records.iter().map(|record| record.ctx).max().unwrap_or(0),
        mask: CONTROL.to_owned(),
        n: control.n,
        score: mean_percent(&scores(1)),
        dense_score: mean_percent(&scores(0)),
        exact: [mean(&scores(1)), mean(&scores(0))],
        lost: test.lost,
        won: test.won,
        p: if scores(0).is_empty() { 1.0 } else { test.p },
        informative: true,
        interval: None,
        again: false,
        nulls: 0,
        kl: None,
        kld_by_position: Vec::new(),
    }
}

/// Rows of one task's answers: dense, and every mask.
fn answered(records: &[&Record]) -> Vec<Row> {
    let scores =
        |at: usize| -> Vec<f64> { records.iter().map(|record| record.answers[at].score).collect() };
    let dense = scores(0);
    let dense_score = mean_percent(&dense);
    let first = records[0];
    let row = |at: usize| {
        let own = scores(at);
        let test = paired(&dense, &own);
        let nulls = records.iter().filter(|record| record.answers[at].text.trim().is_empty());
        Row {
            suite: first.suite.clone(),
            task: first.task.clone(),
            domain: first.domain.clone(),
            ctx: first.ctx,
            mask: first.answers[at].mask.clone(),
            n: own.len(),
            score: mean_percent(&own),
            dense_score,
            exact: [mean(&own), mean(&dense)],
            lost: test.lost,
            won: test.won,
            p: test.p,
            informative: dense_score >= INFORMATIVE,
            interval: test.interval,
            again: false,
            nulls: nulls.count(),
            kl: None,
            kld_by_position: Vec::new(),
        }
    };
    (0..first.answers.len()).filter(|&at| first.answers[at].mask != CONTROL).map(row).collect()
}

/// Parts that the scored half of a chunk is divided into.
const PARTS: usize = 8;

/// Rows of one text's chunks.
fn read(records: &[&Record]) -> Vec<Row> {
    let first = records[0];
    let row = |at: usize| {
        let mut all = ScoredLosses::default();
        let mut parts = [(0.0, 0_usize); PARTS];
        let (mut lost, mut won) = (0, 0);
        for record in records {
            let chunk = &record.losses[at];
            all.extend(chunk);
            for (place, kld) in chunk.kld.iter().enumerate() {
                let part = &mut parts[place * PARTS / chunk.kld.len()];
                *part = (part.0 + f64::from(*kld), part.1 + 1);
            }
            let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
            let (own, base) = (sum(&chunk.nll), sum(&chunk.nll_base));
            lost += usize::from(own > base);
            won += usize::from(own < base);
        }
        let kl = KlStatistics::of(&all)?;
        // A sign test: equal numbers of chunks would be better and worse.
        let signs = |times: usize, value: bool| std::iter::repeat_n(value, times);
        let base: Vec<bool> = signs(lost, true).chain(signs(won, false)).collect();
        let own: Vec<bool> = signs(lost, false).chain(signs(won, true)).collect();
        Some(Row {
            suite: first.suite.clone(),
            task: first.task.clone(),
            domain: first.domain.clone(),
            ctx: first.ctx,
            mask: first.losses[at].mask.clone(),
            n: kl.positions,
            score: kl.ppl.mean,
            dense_score: kl.ppl_base.mean,
            exact: [kl.ppl.mean, kl.ppl_base.mean],
            lost,
            won,
            p: McNemar::of(&base, &own).p,
            informative: true,
            interval: None,
            again: false,
            nulls: 0,
            kld_by_position: parts.iter().map(|(sum, n)| sum / (*n).max(1) as f64).collect(),
            kl: Some(Box::new(kl)),
        })
    };
    let shown = (0..first.losses.len()).filter(|&at| first.losses[at].mask != CONTROL);
    shown.filter_map(row).collect()
}

/// Rows of the groups that samples name: each is a task of its own.
fn grouped(records: &[Record]) -> Vec<Row> {
    let mut keys: Vec<(&str, &str, usize)> = Vec::new();
    for record in records.iter().filter(|record| record.is_measured()) {
        for group in &record.groups {
            let key = (group.as_str(), &*record.domain, record.ctx);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys.sort_unstable();
    let rows_of = |(group, domain, ctx): (&str, &str, usize)| {
        let own = records.iter().filter(|record| (&*record.domain, record.ctx) == (domain, ctx));
        let own: Vec<&Record> =
            own.filter(|record| record.groups.iter().any(|one| one == group)).collect();
        let again = |row: Row| Row { task: group.to_owned(), again: true, ..row };
        answered(&own).into_iter().map(again).collect::<Vec<_>>()
    };
    keys.into_iter().flat_map(rows_of).collect()
}

fn averages(rows: &[Row]) -> Vec<Average> {
    let scored =
        || rows.iter().filter(|row| row.kl.is_none() && row.suite != CONTROL && !row.again);
    let mut keys: Vec<(&str, usize, &str)> = Vec::new();
    for row in scored() {
        let key = (&*row.suite, row.ctx, &*row.mask);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let average = |(suite, ctx, mask): (&str, usize, &str)| {
        let own =
            || scored().filter(|row| (&*row.suite, row.ctx, &*row.mask) == (suite, ctx, mask));
        let counted: Vec<&Row> = own().filter(|row| row.informative).collect();
        let mean = |value: &dyn Fn(&Row) -> f64| {
            let sum: f64 = counted.iter().map(|row| value(row)).sum();
            (!counted.is_empty()).then(|| sum / counted.len() as f64)
        };
        Average {
            suite: suite.to_owned(),
            ctx,
            mask: mask.to_owned(),
            tasks: counted.iter().map(|row| row.task.clone()).collect(),
            left_out: own().filter(|row| !row.informative).map(|row| row.task.clone()).collect(),
            score: mean(&|row| row.exact[0]),
            dense_score: mean(&|row| row.exact[1]),
        }
    };
    keys.into_iter().map(average).collect()
}

/// Tasks that dense fails would drown the others, and are left out as they are of means.
fn depths(results: &Results, rows: &[Row]) -> Vec<Depths> {
    let counts = |record: &Record| {
        rows.iter().any(|row| {
            (&row.suite, &row.task, row.ctx) == (&record.suite, &record.task, record.ctx)
                && row.informative
        })
    };
    let mut sums: BTreeMap<(usize, usize), [(usize, f64); 5]> = BTreeMap::new();
    let mut names: Vec<&str> = Vec::new();
    for record in results.records.iter().filter(|record| counts(record)) {
        let Some(depth) = record.depth else { continue };
        let fifth = ((depth * 5.0) as usize).min(4);
        for answer in record.answers.iter().filter(|answer| answer.mask != CONTROL) {
            let at = names.iter().position(|name| *name == answer.mask).unwrap_or_else(|| {
                names.push(&answer.mask);
                names.len() - 1
            });
            let cell = &mut sums.entry((at, record.ctx)).or_default()[fifth];
            *cell = (cell.0 + 1, cell.1 + answer.score);
        }
    }
    let depths = sums.into_iter().map(|((at, ctx), fifths)| Depths {
        mask: names[at].to_owned(),
        ctx,
        fifths: fifths.map(|(n, sum)| (n, if n > 0 { 100.0 * sum / n as f64 } else { 0.0 })),
    });
    depths.collect()
}

/// Pairs of caches that agree in every answer and every loss, which asks for a second look.
fn flags(results: &Results) -> Vec<String> {
    let names: Vec<&str> = std::iter::once(DENSE)
        .chain(results.header.masks.iter().map(|mask| mask.name.as_str()))
        .collect();
    let mut apart: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut compared = 0;
    for record in results.records.iter().filter(|one| one.is_measured()) {
        let answer = |name: &str| record.answers.iter().find(|one| one.mask == name);
        let loss = |name: &str| record.losses.iter().find(|one| one.mask == name);
        compared += 1;
        for a in 0..names.len() {
            for b in a + 1..names.len() {
                let texts = [names[a], names[b]].map(|name| answer(name).map(|one| &one.text));
                let losses = [names[a], names[b]].map(|name| match loss(name) {
                    Some(one) => Some((one.kld.clone(), one.nll.clone())),
                    // Dense loses nothing where it is what is compared with.
                    None => record
                        .losses
                        .first()
                        .map(|one| (vec![0.0; one.kld.len()], one.nll_base.clone())),
                });
                if texts[0] != texts[1] || losses[0] != losses[1] {
                    apart.insert((a, b));
                }
            }
        }
    }
    let mut flags = Vec::new();
    for a in 0..names.len() {
        for b in a + 1..names.len() {
            if compared > 0 && !apart.contains(&(a, b)) {
                flags.push(format!(
                    "{} and {} agree in every answer and every figure of this run: the same mask twice, or contexts too short for a middle?",
                    names[a], names[b]
                ));
            }
        }
    }
    flags
}
