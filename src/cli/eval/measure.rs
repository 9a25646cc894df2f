//! `kscope eval`: from arguments to a plan, and its results.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::tables::{PrintArgs, print};
use crate::cache::CacheSpec;
use crate::cli::args::{CacheArgs, ForceArg, ModelArgs, short_names, stem};
use crate::cli::output;
use crate::cli::progress::{ProgressArgs, ProgressLine};
use crate::cli::values::{self, DtypeOf};
use crate::element::Dtype;
use crate::error::shortened;
use crate::eval::data::{DataFile, Templates};
use crate::eval::prompt::Protocol;
use crate::eval::recall::RecallTask;
use crate::eval::run::{
    EvalPlan, Figures, Mask, Record, RunHeader, Shard, SourceHeader, Suite, TextPlan,
    run as run_plan,
};
use crate::eval::sources::{essay, texts as read_texts};
use crate::eval::stability::StabilityPlan;
use crate::eval::text::{BaseFile, BaseWriter, EvalText};
use crate::mask::Window;
use crate::model::Model;
use crate::numbers::count;
use crate::{Error, Result, input_file};

/// Arguments of `kscope eval`.
#[derive(Debug, Clone, clap::Args)]
pub struct MeasureArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    /// Masks or plans from files; may be given several times
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) mask: Vec<String>,
    /// Plans by name (k8v8, q8_0, ...) or from files; may be given several times
    #[arg(long, value_name = "NAME|FILE", num_args = 1..)]
    pub(super) plan: Vec<String>,
    /// First tokens that keep every channel [default: each file's own; 16]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub(super) sink: Option<usize>,
    /// Last tokens that keep every channel [default: each file's own; 128]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub(super) recent: Option<usize>,
    /// Tokens that are pruned or coded at once [default: each file's own]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub(super) chunk: Option<usize>,
    /// Element type of cached keys and values
    #[arg(long, default_value = "f16", value_name = "f32|f16|bf16",
          value_parser = DtypeOf::CACHE, hide_possible_values = true)]
    pub(super) kv_dtype: Dtype,
    /// What is evaluated
    #[arg(long, value_enum, default_value = "all")]
    pub(super) suite: Suite,
    /// Recall tasks [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub(super) tasks: Vec<RecallTask>,
    /// Tokens of recall prompts with their answers, and of chunks of text: a list 1k,2k,4k. Data
    /// sets have at most the largest
    #[arg(long, value_delimiter = ',', default_value = "1k", value_name = "LIST",
          value_parser = values::tokens)]
    pub(super) ctx: Vec<usize>,
    /// Samples of each recall task and length, and most lines of a data file
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = values::number)]
    pub(super) samples: usize,
    /// Chunks of each text; for the stability suite of each of its three parts
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = values::number)]
    pub(super) chunks: usize,
    /// When the question comes: after the context was cut (kvpress), or in the prompt (RULER)
    #[arg(long, value_enum, default_value = "after")]
    pub(super) protocol: Protocol,
    /// Texts to read, which needles in prose are hidden in too: files, folders, or names of fetched
    /// texts; without any, all fetched texts that are here
    #[arg(long, value_name = "FILE|DIR|NAME", num_args = 1..)]
    pub(super) text: Vec<String>,
    /// Data sets: JSON lines of RULER, kvpress, LongBench or GSM-Infinite
    #[arg(long, value_name = "FILE.jsonl", num_args = 1..)]
    pub(super) data: Vec<PathBuf>,
    /// LongBench's prompts, its dataset2prompt.json
    #[arg(long, value_name = "FILE.json")]
    pub(super) prompts: Option<PathBuf>,
    /// Compare with base logits that llama-perplexity wrote, and on its chunks, instead of with
    /// dense decode
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "save_base"])]
    pub(super) base: Option<PathBuf>,
    /// Write dense decode's logits of one text as llama-perplexity does
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "shard"])]
    pub(super) save_base: Option<PathBuf>,
    #[command(flatten)]
    pub(super) force: ForceArg,
    /// Seed of all draws
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub(super) seed: u64,
    /// Folder for the results, one JSON line each; a run that was interrupted goes on from there
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Do one part of the run, such as 2/8; `kscope eval merge` puts parts together
    #[arg(long, value_name = "I/N", requires = "out")]
    pub(super) shard: Option<Shard>,
    #[command(flatten)]
    pub(super) print: PrintArgs,
}

/// Runs `kscope eval`.
pub fn run(args: &MeasureArgs) -> Result<()> {
    args.progress.choose();
    let args = args.checked()?;
    let began = Instant::now();
    let model = args.model.load()?;
    let (plan, header) = args.plan(&model)?;
    let bar = ProgressLine::new("evaluating");
    let started = Instant::now();
    let mut held = None;
    let results = run_plan(plan, header, args.out.as_deref(), &mut |done, all, newest| {
        let before = *held.get_or_insert(done);
        bar.count(done, all);
        let own = newest.filter(|newest| !newest.is_held);
        bar.say(said(done, all, before, started, own.map(|newest| newest.record)));
        Ok(())
    })?;
    bar.finish();
    let figures = Figures::of(&results);
    let masks: Vec<PathBuf> = args.mask.iter().map(PathBuf::from).collect();
    print(&args.print, &results, &figures, &masks)?;
    output::note(&format!(
        "kscope: {} results in {} s",
        count(results.records.len()),
        count(began.elapsed().as_secs() as usize)
    ));
    if !figures.control.is_zero() {
        return Err(Error::run(format!(
            "the control row is not 0: dense against itself differs in {} answers and {} positions, KLD up to {:e}",
            figures.control.differing_answers,
            figures.control.differing_positions,
            figures.control.largest_kld
        )));
    }
    Ok(())
}

/// What the bar says: the newest result, and the time left at the pace so far.
fn said(done: usize, all: usize, before: usize, began: Instant, newest: Option<&Record>) -> String {
    let Some(newest) = newest else {
        return format!("{} of {} results are here", count(done), count(all));
    };
    let each = began.elapsed().as_secs_f64() / (done - before).max(1) as f64;
    let left = each * (all - done) as f64;
    let left = match left {
        left if left < 90.0 => format!("{left:.0} s"),
        left => format!("{:.0} min", left / 60.0),
    };
    format!(
        "{} {} at {}: {} of {}, {left} left",
        newest.suite,
        newest.task,
        count(newest.ctx),
        count(done),
        count(all)
    )
}

impl MeasureArgs {
    /// The arguments, sorted, refused where they measure nothing.
    fn checked(&self) -> Result<Self> {
        let mut args = self.clone();
        args.ctx.sort_unstable();
        args.ctx.dedup();
        let mut tasks: Vec<RecallTask> = Vec::new();
        for task in std::mem::take(&mut args.tasks) {
            if !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        args.tasks = tasks;
        if args.mask.is_empty() && args.plan.is_empty() {
            return Err(Error::input(
                "eval needs something to evaluate: give it --mask FILE or --plan NAME|FILE, once or more",
            ));
        }
        if args.samples == 0 || args.chunks == 0 {
            return Err(Error::input("--samples and --chunks must be at least 1, not 0"));
        }
        if args.suite == Suite::Data && args.data.is_empty() {
            return Err(Error::input("--suite data needs files: give it --data FILE.jsonl"));
        }
        if !args.data.is_empty() && !args.has(Suite::Data) {
            return Err(Error::input("--data is read by --suite data and --suite all"));
        }
        if let Some(path) = &args.save_base {
            args.force.check(path)?;
        }
        let with_text = [("--base", &args.base), ("--save-base", &args.save_base)];
        if let Some((flag, _)) =
            with_text.iter().find(|(_, path)| path.is_some() && args.suite != Suite::Text)
        {
            return Err(Error::input(format!("{flag} goes with --suite text")));
        }
        Ok(args)
    }

    fn has(&self, suite: Suite) -> bool {
        self.suite == suite || self.suite == Suite::All
    }

    fn masks(&self, model: &Model) -> Result<Vec<Mask>> {
        // A file in this folder may be called as a plan is.
        let file = |path: &String| match path.contains(['/', '\\']) {
            true => path.clone(),
            false => format!("./{path}"),
        };
        let cache = CacheArgs {
            mask: None,
            plan: self.mask.iter().map(file).chain(self.plan.iter().cloned()).collect(),
            sink: self.sink,
            recent: self.recent,
            chunk: self.chunk,
            kv_dtype: self.kv_dtype,
            ctx: None,
        };
        let given = cache.choices(model.config(), self.model.device)?;
        for warning in given.iter().flat_map(|one| &one.warnings) {
            output::note(&format!("kscope: {warning}"));
        }
        let names = short_names(&given);
        let mask = |(given, name): (crate::cli::args::GivenPlan, String)| {
            let spec = CacheSpec::planned(given.window, self.kv_dtype, given.plan)?;
            Ok(Mask { name, spec: Arc::new(spec.with_sight(model.config().sight())) })
        };
        let masks: Vec<Mask> = given.into_iter().zip(names).map(mask).collect::<Result<_>>()?;
        for (at, mask) in masks.iter().enumerate() {
            if masks[..at].iter().any(|other| other.name == mask.name) {
                return Err(Error::input(format!("{} is given twice", mask.name)));
            }
        }
        Ok(masks)
    }

    /// The plan and what its results are headed by.
    fn plan(&self, model: &Arc<Model>) -> Result<(EvalPlan, RunHeader)> {
        let config = model.config();
        let masks = self.masks(model)?;
        let window = masks.first().map_or(Window::default(), |mask| mask.spec.window());
        let dense = CacheSpec::dense(config.mask_shape(), window, self.kv_dtype)?;
        let dense = Arc::new(dense.with_sight(config.sight()));
        let base = self.base.as_deref().map(BaseFile::open).transpose()?;
        let mut lengths = self.ctx.clone();
        if let Some(base) = &base {
            base.check_vocab(config.vocab)?;
            lengths = vec![base.chunks[0].len()];
        }
        let longest = lengths.last().copied().unwrap_or(0);
        if longest > config.max_context {
            return Err(Error::input(format!(
                "--ctx {} is more than the model's context of {}",
                count(longest),
                config.longest()
            )));
        }
        let all = [&dense; 2].into_iter().chain(masks.iter().map(|mask| &mask.spec));
        let bytes = all.map(|spec| spec.bytes_at(longest).total()).sum();
        model.check_cache_memory(&format!("caches of {} masks and dense", masks.len()), bytes)?;
        let mut sources = Vec::new();
        let (texts, too_short, save_base) = match self.has(Suite::Text) {
            true => self.texts(model, base.as_ref(), &mut sources)?,
            false => (Vec::new(), Vec::new(), None),
        };
        let (essay, haystack) = essay(&self.text)?;
        let data = match self.has(Suite::Data) {
            true => self.data(&mut sources)?,
            false => Vec::new(),
        };
        let recall = self.has(Suite::Recall);
        let tasks = match (recall, &self.tasks[..]) {
            (false, _) => Vec::new(),
            (true, []) => RecallTask::ALL.to_vec(),
            (true, tasks) => tasks.to_vec(),
        };
        let pairs = self.ctx.iter().flat_map(|&ctx| tasks.iter().map(move |&task| (task, ctx)));
        let mut plan = EvalPlan {
            model: Arc::clone(model),
            dense,
            masks,
            recall: pairs.collect(),
            samples: self.samples,
            protocol: self.protocol,
            seed: self.seed,
            essay,
            texts,
            base,
            save_base,
            data,
            data_ctx: longest,
            stability: None,
        };
        let mut does_not_fit = plan.leave_out(!self.tasks.is_empty())?;
        does_not_fit.extend(too_short);
        if self.has(Suite::Stability) {
            let asked = self.suite == Suite::Stability;
            let size = (longest, self.chunks);
            let found = StabilityPlan::of_texts(&plan, read_texts(&self.text)?, size, asked)?;
            plan.stability = found.plan;
            does_not_fit.extend(found.left_out);
            found.sources.into_iter().for_each(|source| {
                if !sources.contains(&source) {
                    sources.push(source);
                }
            });
        }
        for why in &does_not_fit {
            output::note(&format!("kscope: left out: {why}"));
        }
        let texts = (recall.then_some(haystack), sources);
        let header = RunHeader {
            does_not_fit,
            shard: self.shard,
            ..RunHeader::of(&plan, &lengths, self.command(), texts)
        };
        Ok((plan, header))
    }

    /// Texts in chunks of every length, and the file that base logits go to.
    fn texts(
        &self,
        model: &Model,
        base: Option<&BaseFile>,
        sources: &mut Vec<SourceHeader>,
    ) -> Result<(Vec<TextPlan>, Vec<String>, Option<BaseWriter>)> {
        if let (Some(base), Some(path)) = (base, &self.base) {
            let name = stem(&path.display().to_string());
            let tokens: Vec<u8> =
                base.chunks.iter().flatten().flat_map(|token| token.to_le_bytes()).collect();
            sources.push(SourceHeader {
                name: name.clone(),
                domain: name.clone(),
                sha256: crate::eval::run::sha256(tokens),
            });
            let ctx = base.chunks[0].len();
            let chunks = base.chunks.iter().take(self.chunks).cloned().collect();
            let plan = TextPlan { domain: name.clone(), name, ctx, chunks };
            return Ok((vec![plan], Vec::new(), None));
        }
        let pieces = read_texts(&self.text)?;
        let (plans, left_out) = TextPlan::of_texts(model, &pieces, &self.ctx, self.chunks)?;
        let is_read = |piece: &&EvalText| plans.iter().any(|plan| plan.name == piece.name);
        sources.extend(pieces.iter().filter(is_read).map(SourceHeader::of));
        let writer = match &self.save_base {
            None => None,
            Some(path) => {
                let [only] = &plans[..] else {
                    return Err(Error::input("--save-base takes one text and one length"));
                };
                Some(BaseWriter::create(path, model.config().vocab, &only.chunks)?)
            }
        };
        Ok((plans, left_out, writer))
    }

    fn data(&self, sources: &mut Vec<SourceHeader>) -> Result<Vec<DataFile>> {
        let templates: Templates = match &self.prompts {
            None => Templates::new(),
            Some(path) => {
                let text = input_file::read_json(path, input_file::SETTINGS)?;
                serde_json::from_str(&text).map_err(|cause| {
                    Error::input(format!(
                        "{}: expected an object of prompts by data set, found {cause}",
                        path.display()
                    ))
                })?
            }
        };
        let mut files: Vec<DataFile> = Vec::new();
        for path in &self.data {
            let file = DataFile::read(path, &templates, self.samples)?;
            let is_again =
                |other: &DataFile| other.name == file.name || other.sha256 == file.sha256;
            if let Some(other) = files.iter().find(|other| is_again(other)) {
                return Err(Error::input(format!(
                    "--data: {} and {} have one name or the same lines, and their samples would be counted as one set",
                    shortened(&other.name),
                    path.display()
                )));
            }
            sources.push(SourceHeader {
                name: file.name.clone(),
                domain: "data".to_owned(),
                sha256: file.sha256.clone(),
            });
            files.push(file);
        }
        Ok(files)
    }
}
