//! The arguments of `kscope learn`, and its run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::args::{ForceArg, ModelArgs};
use crate::cli::output;
use crate::cli::progress::{ProgressArgs, ProgressLine};
use crate::cli::stop::asked_to_stop;
use crate::cli::values;
use crate::learn::data::Task;
use crate::learn::run::{
    self, CheckpointFolder, LearnEvent, LearnMethod, LearnRequest, LearnStart, Outcome,
};
use crate::learn::train::{Settings, Stage, Variant};
use crate::mask::files::{self, Contents, Format, Split};
use crate::mask::{Window, fingerprint};
use crate::model::Model;
use crate::model::load::ZeroRows;
use crate::{Error, Result};

/// Options that mean something by the paper's method alone.
const LEANK: &str = "With --method leank";

/// Arguments of `kscope learn`.
#[derive(Debug, clap::Args)]
pub struct LearnArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    /// The mask file to write
    #[arg(long, value_name = "FILE", required_unless_present = "estimate")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArg,
    /// How channels are chosen
    #[arg(long, value_enum, value_name = "METHOD", default_value_t)]
    pub(super) method: LearnMethod,
    /// Texts to hide facts in and to learn from: files of text, Markdown or JSON lines, and folders
    /// of them; without, what `kscope fetch texts` brought
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1..)]
    haystack: Vec<PathBuf>,
    /// Field of JSON lines that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    haystack_field: String,
    /// Shortest and longest context
    #[arg(long, value_name = "MIN..MAX", default_value = "512..2048", value_parser = values::lengths)]
    ctx: (usize, usize),
    /// Share of channels to prune, between 0 and 1
    #[arg(long, value_name = "S", default_value_t = 0.7)]
    pub(super) sparsity: f64,
    /// Kept channels per head come in multiples of this: 1, 2, 4, 8, 16 or 32
    #[arg(long, value_name = "N", default_value_t = files::DEFAULT_ALIGN, value_parser = values::number)]
    align: usize,
    /// With --method sensitivity: windows of text that are looked at besides eight recall prompts, of
    /// 1,536 tokens or the longest context [default: 12]
    #[arg(long, value_name = "N", value_parser = values::number)]
    windows: Option<usize>,
    /// Updates of stage 1 [default: 150 up to sparsity 0.5, 250 above]
    #[arg(help_heading = LEANK, long, value_name = "N", value_parser = values::number)]
    steps: Option<usize>,
    /// Weight of the mean factor in the loss [default: follows the sparsity]
    #[arg(help_heading = LEANK, long, value_name = "W")]
    reg: Option<f64>,
    /// Learning rate of stage 1
    #[arg(help_heading = LEANK, long, value_name = "LR")]
    lr: Option<f64>,
    /// Updates of stage 2, four samples each [default: 0: they gained nothing where it was measured]
    #[arg(help_heading = LEANK, long, value_name = "N", value_parser = values::number)]
    mask_steps: Option<usize>,
    /// Learning rate of stage 2
    #[arg(help_heading = LEANK, long, value_name = "LR")]
    mask_lr: Option<f64>,
    /// Samples whose gradients are averaged in one update of stage 2
    #[arg(help_heading = LEANK, long, value_name = "N", value_parser = values::number)]
    accumulate: Option<usize>,
    /// Take importance from this file (or a mask file that holds it) instead of stage 1; with
    /// --mask-steps 0 its cut is checked as it is
    #[arg(help_heading = LEANK, long, value_name = "FILE", conflicts_with_all = ["steps", "reg", "lr"])]
    importance: Option<PathBuf>,
    /// Keep and prune both channels of a rotation pair together
    #[arg(long)]
    pair_closed: bool,
    /// Learn a mask to bake into weights (`kscope mask bake`): pairs kept or pruned whole, and no
    /// window
    #[arg(help_heading = LEANK, long, conflicts_with_all = ["sink", "recent", "chunk"])]
    pub(super) baked: bool,
    /// For comparison: round factors to bf16 after each update
    #[arg(help_heading = LEANK, long, hide_short_help = true)]
    bf16_factors: bool,
    /// For comparison: stage 2 as the LeanK authors have it (kept channels weigh their factor,
    /// dropped heads see zero scores, the last mask wins)
    #[arg(help_heading = LEANK, long, hide_short_help = true)]
    authors_masks: bool,
    /// Prefilled samples to learn from, kept in memory [default: 96]
    #[arg(help_heading = LEANK, long, value_name = "N", value_parser = values::number)]
    pool: Option<usize>,
    /// Kinds of samples, taken in turn [default: all; for the demo model codes and text]
    #[arg(help_heading = LEANK, long, value_enum, value_delimiter = ',', value_name = "TASKS")]
    tasks: Vec<Task>,
    /// First tokens that keep every channel
    #[arg(long, value_name = "TOKENS", default_value_t = Window::default().sink,
          value_parser = values::tokens_or_zero)]
    sink: usize,
    /// Last tokens that keep every channel
    #[arg(long, value_name = "TOKENS", default_value_t = Window::default().recent,
          value_parser = values::tokens_or_zero)]
    recent: usize,
    /// Tokens that are pruned at once
    #[arg(long, value_name = "TOKENS", default_value_t = Window::default().chunk,
          value_parser = values::tokens_or_zero)]
    chunk: usize,
    /// Seed of data and order
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folder for checkpoints [default: beside --out, with the ending .learning]
    #[arg(help_heading = LEANK, long, value_name = "DIR", conflicts_with = "resume")]
    checkpoints: Option<PathBuf>,
    /// Go on from the checkpoint in this folder
    #[arg(help_heading = LEANK, long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Prompts of the held-out check, seven questions each; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = run::CHECK_PROMPTS, value_parser = values::number)]
    check_prompts: usize,
    /// Leave the training-free rules out of the check
    #[arg(long)]
    no_rivals: bool,
    /// Print what Llama-3.1-8B would cost on one 80 GB GPU, and stop
    #[arg(long)]
    estimate: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `kscope learn`.
pub fn run(args: &LearnArgs) -> Result<()> {
    args.progress.choose();
    if args.estimate {
        return super::estimate::print(args.pool, args.json);
    }
    let Some(out) = &args.out else {
        return Err(Error::input("--out FILE says where the mask goes"));
    };
    Format::expect_own(out)?;
    files::check_writable(out)?;
    args.force.check(out)?;
    expect_options_of_the_method(args)?;
    let settings = settings(args);
    settings.check()?;
    let model = args.model.load()?;
    let config = model.config();
    if args.baked && config.qk_norm && config.kv_heads > 1 {
        return Err(Error::input(format!(
            "--baked: the {} KV heads of a layer of {} share one k-norm weight, so a mask that is baked keeps the same channels in all of them, and learning makes a mask for each head",
            config.kv_heads, model.name
        )));
    }
    let texts = run::texts(&model, &args.haystack, &args.haystack_field)?;
    let lacks_text = texts.0.pieces.is_empty();
    let mut request = LearnRequest::new(&model, texts, settings, args.ctx)?;
    if !args.tasks.is_empty() {
        request.tasks.clone_from(&args.tasks);
    }
    request.method = args.method;
    request.windows = args.windows.unwrap_or(request.windows);
    request.pool = args.pool.unwrap_or(request.pool);
    request.check_prompts = args.check_prompts;
    request.rivals = !args.no_rivals;
    request.baked = args.baked;
    request.start = args.importance.as_deref().map(|path| start(path, &model)).transpose()?;
    let folder = args
        .resume
        .as_ref()
        .or(args.checkpoints.as_ref())
        .cloned()
        .unwrap_or_else(|| out.with_extension("learning"));
    let stop = asked_to_stop();
    let place = CheckpointFolder::claim(&folder)?;
    let mut outcome = learn((&model, lacks_text), &request, &place, args.resume.is_some(), &stop)?;
    if args.baked && !outcome.rows.is_empty() && !outcome.file.mask().is_full() {
        let rows = ZeroRows::new(config, outcome.file.mask())?;
        let baked = args.model.load_with_zero_rows(rows)?;
        let bar = ProgressLine::new("checking the mask in the weights");
        run::check_baked(&model, &baked, &request, &mut outcome, &mut |share| {
            bar.share(share);
            Ok(())
        })?;
        bar.finish();
    }
    files::save(out, &Contents::Mask(outcome.file.clone()), false)
        .map_err(|error| request.method.survives(&place, error))?;
    if args.json {
        output::json("learn", &super::report::json(args, &outcome))
    } else {
        output::line(&super::report::table(args, &out.display().to_string(), &outcome))
    }
}

/// Refuses options that mean nothing by the method that was chosen.
fn expect_options_of_the_method(args: &LearnArgs) -> Result<()> {
    let of_leank = [
        ("--steps", args.steps.is_some()),
        ("--reg", args.reg.is_some()),
        ("--lr", args.lr.is_some()),
        ("--mask-steps", args.mask_steps.is_some()),
        ("--mask-lr", args.mask_lr.is_some()),
        ("--accumulate", args.accumulate.is_some()),
        ("--importance", args.importance.is_some()),
        ("--baked", args.baked),
        ("--bf16-factors", args.bf16_factors),
        ("--authors-masks", args.authors_masks),
        ("--pool", args.pool.is_some()),
        ("--tasks", !args.tasks.is_empty()),
        ("--checkpoints", args.checkpoints.is_some()),
        ("--resume", args.resume.is_some()),
    ];
    let of_sensitivity = [("--windows", args.windows.is_some())];
    let (others, right) = match args.method {
        LearnMethod::Sensitivity => (&of_leank[..], LearnMethod::Leank),
        LearnMethod::Leank => (&of_sensitivity[..], LearnMethod::Sensitivity),
    };
    match others.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::input(format!(
            "{name} is an option of --method {}, and the method here is {}",
            right.name(),
            args.method.name()
        ))),
        None => Ok(()),
    }
}

/// Learns until the end, or until the program is asked to stop: then what was learned is saved.
fn learn(
    (model, mut lacks_text): (&Arc<Model>, bool),
    request: &LearnRequest,
    place: &CheckpointFolder,
    resume: bool,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let bar = ProgressLine::new(match request.method {
        LearnMethod::Sensitivity => "measuring",
        LearnMethod::Leank => "prefilling",
    });
    let mut has_learned = resume;
    let outcome = run::learn(model, request, place, resume, &mut |event| {
        has_learned |= matches!(event, LearnEvent::Update(_));
        // Said once the request is known to be one that can be learned.
        if std::mem::take(&mut lacks_text) {
            output::note(
                "kscope: no natural text is used, only generated sentences; --haystack FILE or `kscope fetch texts` gives some",
            );
        }
        show(&bar, &request.settings, event);
        if stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    });
    bar.finish();
    outcome.map_err(|error| match error {
        Error::Cancelled if request.method == LearnMethod::Sensitivity => Error::run(
            "stopped: no mask is written, and a measurement leaves nothing to go on from",
        ),
        Error::Cancelled if has_learned => place.survives(&Error::run("learning was stopped")),
        Error::Cancelled => Error::run(
            "learning was stopped before its first update: there is nothing to go on from",
        ),
        error => error,
    })
}

fn settings(args: &LearnArgs) -> Settings {
    let base = Settings::for_sparsity(args.sparsity);
    Settings {
        align: args.align,
        window: match args.baked {
            true => Window::NONE,
            false => Window { sink: args.sink, recent: args.recent, chunk: args.chunk },
        },
        seed: args.seed,
        steps: if args.importance.is_some() { 0 } else { args.steps.unwrap_or(base.steps) },
        lr: args.lr.unwrap_or(base.lr),
        reg: args.reg.unwrap_or(base.reg),
        mask_steps: args.mask_steps.unwrap_or(base.mask_steps),
        mask_lr: args.mask_lr.unwrap_or(base.mask_lr),
        accumulate: args.accumulate.unwrap_or(base.accumulate),
        variant: Variant {
            pair_closed: args.pair_closed || args.baked,
            bf16: args.bf16_factors,
            authors: args.authors_masks,
            ..Variant::default()
        },
        ..base
    }
}

/// Importance to start from, refused where it is of another model.
fn start(path: &Path, model: &Model) -> Result<LearnStart> {
    let name = path.display().to_string();
    let config = model.config();
    let contents = files::read(path, &Split::of(config.mask_shape()))?;
    contents.origin().expect_model(&name, &model.name, &fingerprint(&config.geometry()))?;
    let importance = contents.expect_importance(&name)?.clone();
    let file = path.file_name().map_or(name, |name| name.to_string_lossy().into_owned());
    Ok(LearnStart { importance, file, recipe: contents.origin().recipe.clone() })
}

/// Shows progress on a bar, and lasting facts as lines on standard error.
fn show(bar: &ProgressLine, settings: &Settings, event: &LearnEvent) {
    match event {
        LearnEvent::Prefill(done, all) => bar.count(*done, *all),
        LearnEvent::Dense(tasks) => {
            for (task, dense) in tasks {
                output::note(&format!(
                    "kscope: dense recall on {task:?}: {} of {}",
                    dense.right, dense.asked
                ));
            }
        }
        LearnEvent::Update(update) => {
            let all =
                if update.stage == Stage::Mask { settings.mask_steps } else { settings.steps };
            let losses = format!(
                "{:?} {}/{all}: distill {:.5}, reg {:.5}, mean {:.3}, kept {:.1} %",
                update.stage,
                update.step + 1,
                update.distill,
                update.reg,
                update.mean,
                update.kept * 100.0
            );
            if update.stage == Stage::Mask || (update.step + 1).is_multiple_of(10) {
                bar.line(&format!("kscope: {losses}"));
            }
            bar.say(losses);
            bar.count(update.step + 1, all);
        }
        LearnEvent::Unsaved(cause) => {
            output::note(&format!("kscope: learning goes on without a checkpoint: {cause}"));
        }
        LearnEvent::Factors(_) => {}
        LearnEvent::Validated { cut, best } => {
            output::note(&format!(
                "kscope: validation loss {cut:.5} of the stage-1 cut, {best:.5} of the mask that is kept"
            ));
        }
        LearnEvent::Check(share) => {
            bar.say("checking".to_owned());
            bar.share(*share);
        }
    }
}
