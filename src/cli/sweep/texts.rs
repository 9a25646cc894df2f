//! Plans over windows of texts: one prefill a window, all plans in one batch beside dense decode,
//! forced on the text's last tokens; and recall prompts, answered by every plan.

use std::sync::Arc;

use serde::Serialize;

use super::command::{SweepArgs, SweepPoint};
use crate::cache::CacheSpec;
use crate::cli::args::stem;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::table::Style;
use crate::cli::values;
use crate::cli::widths::PlanReport;
use crate::learn::check::{self, Answers, CheckPlan, Cost, Evidence, Losses, Thresholds, Verdict};
use crate::learn::data::{self, Haystack, HaystackPart, HaystackPiece, SENTENCES};
use crate::mask::{CachePlan, Window};
use crate::model::Model;
use crate::numbers::{self, count, nats, percent};
use crate::spread::Spread;
use crate::{Error, Result};

/// Which texts, and how much of them.
#[derive(Debug, clap::Args)]
pub(super) struct TextArgs {
    /// Measure over windows of a text instead of a prompt: a file, the name of a fetched text
    /// (moby-dick, debian-policy, shakespeare, python), or `sentences`, which are generated; may be
    /// given several times
    #[arg(long, value_name = "FILE|NAME",
          conflicts_with_all = ["prompt", "prompt_file", "token_ids"])]
    text: Vec<String>,
    /// With --text: windows, shared evenly among the texts
    #[arg(long, default_value_t = 10, value_name = "N", requires = "text", value_parser = values::number)]
    windows: usize,
    /// With --text: tokens of a window
    #[arg(long, default_value = "1536", value_name = "TOKENS", requires = "text",
          value_parser = values::tokens)]
    window_tokens: usize,
    /// With --text: tokens at the end of each window that decode is forced through; everything
    /// before them is prefilled
    #[arg(long, default_value_t = 128, value_name = "N", requires = "text", value_parser = values::number)]
    rows: usize,
    /// With --text: windows from all of a text, not only from its last sixth, which learning never
    /// sees
    #[arg(long, requires = "text")]
    whole_text: bool,
    /// With --text: then ask about hidden codes in this many prompts, seven questions each
    #[arg(long, default_value_t = 0, value_name = "N", requires = "text", value_parser = values::number)]
    recall: usize,
    /// With --recall: tokens of a prompt
    #[arg(long, default_value = "1024", value_name = "TOKENS", requires = "recall",
          value_parser = values::tokens)]
    recall_tokens: usize,
    /// With --text: the plan that the others are paired with, window by window [default: the first]
    #[arg(long, value_name = "PLAN", requires = "text")]
    against: Option<String>,
}

impl TextArgs {
    /// Whether texts are to be measured over.
    pub(super) fn is_asked(&self) -> bool {
        !self.text.is_empty()
    }

    /// Refuses sizes that measure nothing.
    pub(super) fn check(&self) -> Result<()> {
        if self.windows == 0 || self.rows < 2 || self.rows >= self.window_tokens {
            return Err(Error::input(format!(
                "--windows must be at least 1 and --rows from 2 to less than --window-tokens {}, not {} and {}",
                count(self.window_tokens),
                count(self.windows),
                count(self.rows)
            )));
        }
        Ok(())
    }

    /// The windows of every text and the recall prompts.
    fn plan(&self, model: &Model, seed: u64) -> Result<CheckPlan> {
        let most = model.config().max_context;
        if self.window_tokens > most {
            return Err(Error::input(format!(
                "--window-tokens {} is more than the model's context of {}",
                count(self.window_tokens),
                count(most)
            )));
        }
        let sources = self
            .text
            .iter()
            .map(|text| data::source(text))
            .collect::<Result<Vec<HaystackPiece>>>()?;
        let mut texts = Vec::with_capacity(sources.len());
        for (index, source) in sources.iter().enumerate() {
            let more = usize::from(index < self.windows % sources.len());
            let own = self.windows / sources.len() + more;
            let part = |part| source.part(part);
            let text = match self.whole_text {
                true => [part(HaystackPart::Training), part(HaystackPart::HeldOut)].concat(),
                false => part(HaystackPart::HeldOut).to_owned(),
            };
            let name = match self.whole_text {
                true => source.name.clone(),
                false => format!("{} (its last sixth)", source.name),
            };
            let windows = match own {
                0 => Vec::new(),
                own => check::spread_windows(model, (&name, &text), own, self.window_tokens)?,
            };
            texts.push((source.name.clone(), windows));
        }
        // Sentences are what recall prompts are filled with where there is no natural text.
        let natural = sources.into_iter().filter(|source| source.name != SENTENCES);
        let haystack = Haystack { pieces: natural.collect() };
        let prompts =
            check::recall_prompts(model, &haystack, self.recall, self.recall_tokens, seed)?;
        Ok(CheckPlan { prompts, texts, forced: self.rows, rule_questions: usize::MAX })
    }
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    texts: Vec<Source>,
    windows: usize,
    window_tokens: usize,
    /// Compared steps of each window: one less than `--rows`, because the first row comes from the
    /// exact prefill.
    steps_per_window: usize,
    recall_prompts: usize,
    kv_dtype: String,
    threads: usize,
    /// Mean over windows, at their end.
    kv_bytes_dense: f64,
    against: String,
    dense_recall: Option<f64>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Source {
    name: String,
    windows: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    plan: String,
    window: Window,
    #[serde(flatten)]
    stored: PlanReport,
    /// Mean over windows, at their end.
    kv_bytes: f64,
    kv_bytes_dense: f64,
    /// Over all steps; its standard error is that of the windows' means.
    kld: Spread,
    top1_agreement: f64,
    /// Mean KLD of each window, in the order of the texts.
    window_kld: Vec<f64>,
    paired: Paired,
    recall: Option<Answers>,
    /// Beside the plain caches of this run; null for those, and where there are none.
    verdict: Option<Judged>,
}

/// Whether a plan may be used.
#[derive(Debug, Serialize)]
struct Judged {
    verdict: &'static str,
    /// One sentence.
    reason: String,
}

/// Window by window beside another plan.
#[derive(Debug, Serialize)]
struct Paired {
    /// Windows where this plan loses less.
    won: usize,
    /// Windows where it loses more.
    lost: usize,
    windows: usize,
    /// The other plan's mean KLD over this one's; null where this one loses nothing.
    times_less: Option<f64>,
}

impl Paired {
    fn of(own: &[f64], other: &[f64]) -> Self {
        let mean = |means: &[f64]| means.iter().sum::<f64>() / means.len() as f64;
        let pairs = || own.iter().zip(other);
        Self {
            won: pairs().filter(|(own, other)| own < other).count(),
            lost: pairs().filter(|(own, other)| own > other).count(),
            windows: own.len(),
            times_less: Some(mean(other) / mean(own)).filter(|ratio| ratio.is_finite()),
        }
    }
}

/// Measures every point over the windows, and prints the table.
pub(super) fn run(args: &SweepArgs, model: &Arc<Model>, points: &[SweepPoint]) -> Result<()> {
    let against = match &args.texts.against {
        None => 0,
        Some(name) => (points.iter().position(|point| point.name == *name))
            .or_else(|| points.iter().position(|point| point.name == stem(name)))
            .ok_or_else(|| {
                let names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
                Error::input(format!("--against {name}: the plans are {}", names.join("; ")))
            })?,
    };
    note_windows(points);
    let plan = args.texts.plan(model, args.session.sampling.seed)?;
    let kv_dtype = args.session.cache.kv_dtype;
    let shape = model.config().mask_shape();
    let dense = CacheSpec::dense(shape, points[0].spec.window(), kv_dtype)?;
    let dense = Arc::new(dense.with_sight(model.config().sight()));
    let specs: Vec<Arc<CacheSpec>> = std::iter::once(&dense)
        .chain(points.iter().map(|point| &point.spec))
        .map(Arc::clone)
        .collect();
    let longest = args.texts.window_tokens.max(match args.texts.recall {
        0 => 0,
        _ => args.texts.recall_tokens,
    });
    let bytes = specs.iter().map(|spec| spec.bytes_at(longest).total()).sum();
    model.check_cache_memory(&format!("caches of {} plans and dense", points.len()), bytes)?;
    let bar = ProgressLine::new("measuring");
    let losses = check::measure(model, &specs, &plan, specs.len(), &mut |share| {
        bar.share(share);
        Ok(())
    })?;
    bar.finish();
    let report = report(args, (model, &plan), points, &losses, against);
    match args.markdown {
        true => output::line(&table(&report, &Style::MARKDOWN)),
        false => {
            output::report("sweep texts", args.json, &report, |report| table(report, &Style::PLAIN))
        }
    }
}

/// Says so where plans have different windows, because then not only their widths differ.
fn note_windows(points: &[SweepPoint]) {
    let window = |point: &SweepPoint| point.spec.window();
    if points.iter().any(|point| window(point) != window(&points[0])) {
        output::note(
            "kscope: the plans have windows of their own, which differ; --sink, --recent and --chunk make them equal",
        );
    }
}

fn report(
    args: &SweepArgs,
    (model, plan): (&Model, &CheckPlan),
    points: &[SweepPoint],
    losses: &[Losses],
    against: usize,
) -> Report {
    let mean_bytes = |losses: &Losses| {
        losses.kv_bytes.iter().sum::<usize>() as f64 / losses.kv_bytes.len().max(1) as f64
    };
    let (dense, plans) = (&losses[0], &losses[1..]);
    let texts = plan.texts.len();
    let baseline = plans[against].window_means(texts);
    let dense_right = dense.right();
    let row = |(point, losses): (&SweepPoint, &Losses)| {
        let divergence = losses.divergence(texts);
        let window_kld = losses.window_means(texts);
        let over_windows = Spread::of(window_kld.iter().copied());
        Row {
            plan: point.name.clone(),
            window: point.spec.window(),
            stored: PlanReport::of(&point.spec, args.texts.window_tokens),
            kv_bytes: mean_bytes(losses),
            kv_bytes_dense: mean_bytes(dense),
            kld: Spread { stderr: over_windows.stderr, ..divergence.kld },
            top1_agreement: divergence.top1_agreement,
            paired: Paired::of(&window_kld, &baseline),
            window_kld,
            recall: Answers::of(&dense_right, &losses.right()),
            verdict: None,
        }
    };
    let source = |(name, windows): &(String, Vec<Vec<u32>>)| Source {
        name: name.clone(),
        windows: windows.len(),
    };
    Report {
        model: model.name.clone(),
        texts: plan.texts.iter().map(source).collect(),
        windows: plan.texts.iter().map(|(_, windows)| windows.len()).sum(),
        window_tokens: args.texts.window_tokens,
        steps_per_window: args.texts.rows - 1,
        recall_prompts: plan.prompts.len(),
        kv_dtype: args.session.cache.kv_dtype.to_string(),
        threads: rayon::current_num_threads(),
        kv_bytes_dense: mean_bytes(dense),
        against: points[against].name.clone(),
        dense_recall: (!dense.answers.is_empty()).then(|| dense.recall()),
        rows: judged(points, points.iter().zip(plans).map(row).collect(), args.texts.window_tokens),
    }
}

/// The rows with their verdicts: a plan is judged beside the plans of this run that have a name, at
/// the length of the windows' end.
fn judged(points: &[SweepPoint], mut rows: Vec<Row>, tokens: usize) -> Vec<Row> {
    let is_plain = |point: &SweepPoint| {
        let named = CachePlan::named(&point.name, point.spec.shape());
        named.is_ok_and(|named| named == *point.spec.plan())
    };
    let cost = |(point, row): (&SweepPoint, &Row)| {
        let recall = row.recall.map(|recall| recall.own);
        let spec = (&*point.spec, Arc::clone(point.spec.sight()));
        Cost::of(&point.name, spec, tokens, row.kld.mean, recall)
    };
    let costs: Vec<Cost> = points.iter().zip(&rows).map(cost).collect();
    let plain: Vec<Cost> = (points.iter().zip(&costs))
        .filter(|(point, _)| is_plain(point))
        .map(|(_, cost)| cost.clone())
        .collect();
    let limits = Thresholds::default();
    for ((point, own), row) in points.iter().zip(&costs).zip(&mut rows) {
        if plain.is_empty() || is_plain(point) {
            continue;
        }
        let evidence = Evidence {
            digit_nll: None,
            kld: own.kld_mean,
            windows: row.window_kld.clone(),
            answers: row.recall,
        };
        let verdict = Verdict::of(&evidence, &limits).beside(own, &plain, &limits);
        row.verdict = Some(Judged { verdict: verdict.word(), reason: verdict.reason });
    }
    rows
}

fn table(report: &Report, style: &Style) -> String {
    let has_recall = report.dense_recall.is_some();
    let mut rows = vec![
        [
            "plan",
            "bytes",
            "measured",
            "KLD mean",
            "± windows",
            "median",
            "99 %",
            "99.9 %",
            "same top",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows[0].push(format!("beats {}", report.against));
    if has_recall {
        rows[0].extend(["recall", "lost / won (p)"].map(str::to_owned));
    }
    rows.extend(report.rows.iter().map(cells));
    let texts: Vec<String> =
        report.texts.iter().map(|text| format!("{} of {}", text.windows, text.name)).collect();
    let mut lines = vec![format!(
        "{}, {} windows of {} tokens ({}), {} compared steps each, dense {} at their end{}",
        report.model,
        count(report.windows),
        count(report.window_tokens),
        texts.join(", "),
        count(report.steps_per_window),
        numbers::bytes(report.kv_bytes_dense.round() as u64),
        report.dense_recall.map_or_else(String::new, |recall| format!(
            "; recall over {} prompts, dense {}",
            count(report.recall_prompts),
            percent(recall, 1)
        ))
    )];
    if !style.padded() {
        lines.push(String::new());
    }
    lines.extend(style.lines(&rows));
    for row in &report.rows {
        if let Some(Judged { verdict, reason }) = &row.verdict {
            lines.push(format!("\n{}: {verdict}: {reason}", row.plan));
        }
    }
    lines.join("\n")
}

fn cells(row: &Row) -> Vec<String> {
    let Paired { won, windows, times_less, .. } = row.paired;
    let times = times_less.map_or_else(String::new, |times| format!(" ({times:.2}x)"));
    let mut cells = vec![
        row.plan.clone(),
        percent(row.stored.bytes_share, 1),
        percent(row.kv_bytes / row.kv_bytes_dense, 1),
        nats(row.kld.mean),
        nats(row.kld.stderr),
        nats(row.kld.p50),
        nats(row.kld.p99),
        nats(row.kld.p999),
        percent(row.top1_agreement, 1),
        format!("{won} of {windows}{times}"),
    ];
    if let Some(Answers { own: right, test, .. }) = &row.recall {
        cells.push(percent(*right, 1));
        cells.push(format!("{} / {} ({:.2})", test.lost, test.won, test.p));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_paired_one_by_one() {
        let paired = Paired::of(&[0.1, 0.2, 0.3], &[0.2, 0.2, 0.2]);
        assert_eq!((paired.won, paired.lost, paired.windows), (1, 1, 3));
        assert!((paired.times_less.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(Paired::of(&[0.0], &[0.1]).times_less, None);
    }
}
