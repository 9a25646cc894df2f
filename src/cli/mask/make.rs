//! `kscope mask make`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::allocate;
use super::geometry::{ModelShapeArgs, NamedGeometry};
use super::report;
use super::split::SplitArgs;
use super::values::{self, Fit, HeadSpec, HeldAt, LockSpec};
use crate::cli::args::ForceArg;
use crate::cli::output;
use crate::cli::values::{DtypeOf, number, rule, tokens, tokens_or_zero};
use crate::element::Dtype;
use crate::mask::files::{self, Contents, DEFAULT_ALIGN, Format, MaskFile, Origin};
use crate::mask::select::{Budget, ByteBudget, Floor, Lock, LockTo, Options, Target, WidthPlace};
use crate::mask::{
    CachePlan, ChannelMask, Given, Importance, Needs, Rule, Shape, Statistics, StatisticsSetting,
    Width, Window, alignment_cost, fingerprint, keep_counts, select,
};
use crate::numbers::{count, percent};
use crate::{Error, Result};

/// Arguments of `kscope mask make`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["rule", "importance", "sensitivity", "plan"]))]
#[command(group = clap::ArgGroup::new("target").required(true).args(["sparsity", "fit", "bytes", "counts_of", "plan"]))]
pub(super) struct MakeArgs {
    /// The mask or plan file to write
    #[arg(value_name = "OUT")]
    pub(super) output: PathBuf,
    /// Give importance by a rule that needs no running model
    #[arg(long, value_parser = rule(|needs| needs == Needs::Nothing))]
    rule: Option<Rule>,
    /// Take importance from this file, or from a mask file that holds it
    #[arg(long, value_name = "FILE")]
    importance: Option<PathBuf>,
    /// Choose bits per K channel and for every head's V by the sensitivity in this file, or in a plan
    /// file that holds it
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["sparsity", "counts_of", "budget", "upstream_ties"])]
    pub(super) sensitivity: Option<PathBuf>,
    /// Write the plan of this name: k8v8, k8v4, k4v8 or k4v4; needs --model or
    /// --random-weights
    #[arg(long, value_name = "NAME",
          conflicts_with_all = ["align", "budget", "upstream_ties", "pair_closed", "floor", "lock"])]
    pub(super) plan: Option<String>,
    #[command(flatten)]
    pub(super) model: ModelShapeArgs,
    /// Share of channels to prune, 0 to 1
    #[arg(long, value_name = "S")]
    sparsity: Option<f64>,
    /// The most that the middle of the cache may weigh, as a share of a dense f16 one: 28% or 0.28
    #[arg(long, value_name = "SHARE", value_parser = values::share,
          conflicts_with_all = ["rule", "importance", "plan"])]
    pub(super) bytes: Option<f64>,
    /// Let --bytes count the whole cache at this context, sink and recent window included; layers with
    /// a window count as if they had none
    #[arg(long, value_name = "TOKENS", value_parser = tokens, requires = "bytes")]
    pub(super) ctx: Option<usize>,
    /// Bits that K channels may have with --sensitivity
    #[arg(long, value_name = "BITS", value_delimiter = ',', value_parser = values::width,
          conflicts_with_all = ["rule", "importance", "plan"], default_value = "16,8,4,2,0")]
    pub(super) widths: Vec<Width>,
    /// Bits that V may have with --sensitivity; 0 lets heads be dropped [default: those of --widths]
    #[arg(long, value_name = "BITS", value_delimiter = ',', value_parser = values::width,
          conflicts_with_all = ["rule", "importance", "plan"])]
    pub(super) v_widths: Vec<Width>,
    /// The most that the K/V cache may weigh at a context, such as 1.5GiB@32k; layers with a window
    /// count as if they had none
    #[arg(long, value_name = "SIZE@CONTEXT", value_parser = values::fit)]
    pub(super) fit: Option<Fit>,
    /// Keep as many channels in each head as this mask does
    #[arg(long, value_name = "MASK",
          conflicts_with_all = ["align", "budget", "upstream_ties", "pair_closed", "floor", "lock"])]
    counts_of: Option<PathBuf>,
    /// Kept channels per head, or those of one width, come in multiples of this: 1, 2, 4, 8, 16 or 32
    #[arg(long, value_name = "N", value_parser = number)]
    align: Option<usize>,
    /// Spread the budget by one global quantile, or reach it exactly
    #[arg(long, value_enum, default_value_t = BudgetMode::Global)]
    budget: BudgetMode,
    /// Count zero scores at the quantile and round full heads, as the LeanK authors do
    #[arg(long, conflicts_with = "budget")]
    upstream_ties: bool,
    /// Keep and prune both channels of a rotation pair together, at one width
    #[arg(long)]
    pub(super) pair_closed: bool,
    /// Heads that keep at least N channels: N, LAYER=N or LAYER:HEAD=N
    #[arg(long, value_name = "SPEC", value_parser = values::floor)]
    pub(super) floor: Vec<HeadSpec>,
    /// Heads left as they are in the mask of --importance (LAYER, LAYER:HEAD) or held at N channels
    /// (LAYER=N, LAYER:HEAD=N). With --sensitivity, N is bits, or K/V bits of K and of V
    /// (3:1=8/4), and LAYER:HEAD:CHANNEL is one channel
    #[arg(long, value_name = "SPEC", value_parser = values::lock)]
    pub(super) lock: Vec<LockSpec>,
    /// First tokens that are never pruned
    #[arg(long, value_name = "TOKENS", value_parser = tokens_or_zero)]
    sink: Option<usize>,
    /// Last tokens that are never pruned. At equal bytes of the whole cache (--ctx), masks lose less
    /// with an eighth of the context, plans of 28% and less do not
    #[arg(long, value_name = "TOKENS", value_parser = tokens_or_zero)]
    recent: Option<usize>,
    /// Tokens that leave the recent window at once
    #[arg(long, value_name = "TOKENS", value_parser = tokens)]
    chunk: Option<usize>,
    /// Seed of --rule random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Element type of the cache, for --fit and the bytes shown
    #[arg(long, default_value_t = Dtype::Bf16, value_parser = DtypeOf::CACHE)]
    pub(super) kv_dtype: Dtype,
    #[command(flatten)]
    pub(super) split: SplitArgs,
    #[command(flatten)]
    pub(super) force: ForceArg,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BudgetMode {
    /// One quantile over all scores; the total may drift from the target
    Global,
    /// The largest aligned total that does not exceed the target
    Exact,
}

/// A setting and where it comes from.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Inherited {
    pub(super) value: usize,
    pub(super) from: &'static str,
}

/// Window and alignment of the new mask.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct MakeSettings {
    pub(super) sink: Inherited,
    pub(super) recent: Inherited,
    pub(super) chunk: Inherited,
    pub(super) align: Inherited,
}

impl MakeSettings {
    /// A flag overrides the file that the mask is made from, which overrides the defaults.
    pub(super) fn resolve(
        args: &MakeArgs,
        file: Option<(&Origin, &'static str)>,
        default: Window,
    ) -> Self {
        let pick = |flag: Option<usize>, of: fn(&Window) -> usize| match (flag, file) {
            (Some(value), _) => Inherited { value, from: "flag" },
            (None, Some((origin, from))) => Inherited { value: of(&origin.window), from },
            (None, None) => Inherited { value: of(&default), from: "default" },
        };
        let align = match (args.align, file) {
            (Some(value), _) => Inherited { value, from: "flag" },
            (None, Some((origin, from))) => Inherited { value: origin.align, from },
            (None, None) => Inherited { value: DEFAULT_ALIGN, from: "default" },
        };
        Self {
            sink: pick(args.sink, |window| window.sink),
            recent: pick(args.recent, |window| window.recent),
            chunk: pick(args.chunk, |window| window.chunk),
            align,
        }
    }

    /// Every setting with where it comes from.
    pub(super) fn text(&self) -> String {
        let named = [
            ("sink", self.sink),
            ("recent", self.recent),
            ("chunk", self.chunk),
            ("align", self.align),
        ];
        let one = |(name, setting): (&str, Inherited)| {
            format!("{name} {} ({})", count(setting.value), setting.from)
        };
        named.map(one).join(" · ")
    }

    /// The origin of a file that is made with these settings.
    pub(super) fn origin(
        &self,
        (model, fingerprint): (String, String),
        recipe: serde_json::Value,
    ) -> Origin {
        let (window, align) = (self.window(), self.align.value);
        Origin { model, fingerprint, window, align, recipe }
    }

    pub(super) fn window(&self) -> Window {
        Window { sink: self.sink.value, recent: self.recent.value, chunk: self.chunk.value }
    }
}

#[derive(Serialize)]
struct Report {
    output: String,
    model: String,
    model_fingerprint: String,
    settings: MakeSettings,
    target_sparsity: Option<f64>,
    alignment_cost: Option<i64>,
    /// Channels with importance above 0, where the target asks for more and the budget stops there.
    importance_reach: Option<usize>,
    #[serde(flatten)]
    statistics: Statistics,
}

/// Runs `kscope mask make`.
pub(super) fn run(args: &MakeArgs) -> Result<()> {
    Format::expect_own(&args.output)?;
    args.force.check(&args.output)?;
    if let Some(path) = &args.sensitivity {
        return allocate::by_sensitivity(args, path);
    }
    if let Some(name) = &args.plan {
        return allocate::by_name(args, name);
    }
    let source = args.importance.as_deref().map(|path| args.split.read(path)).transpose()?;
    let counts = args.counts_of.as_deref().map(|path| args.split.read_mask(path)).transpose()?;
    let model = args.model.geometry()?;
    let shape = agreed_shape(args, source.as_ref(), counts.as_ref(), model.as_ref())?;
    let importance = match (&source, args.rule) {
        (Some(source), _) => source.expect_importance(&shown(args.importance.as_deref()))?.clone(),
        (None, rule) => rule.unwrap_or(Rule::FREQUENCY).scores(Given::nothing(shape, args.seed))?,
    };
    let inherited = match (&source, &counts) {
        (Some(source), _) => Some((source.origin(), "importance file")),
        (None, Some(counts)) => Some((&counts.origin, "counts file")),
        (None, None) => None,
    };
    let mut settings = MakeSettings::resolve(args, inherited, Window::default());
    let (mask, reach) = match &counts {
        Some(counts) => {
            settings.align = Inherited { value: counts.origin.align, from: "counts file" };
            (keep_counts(&importance, &counts.mask().kept_counts()), None)
        }
        None => {
            let options = options(args, &settings, source.as_ref())?;
            let mask = select(&importance, &options)?;
            let reach = reach(args, &importance, &mask, &options)?;
            (mask, reach)
        }
    };

    let binding = binding(args, inherited.map(|(origin, _)| origin), model)?;
    let origin = settings.origin(binding, recipe(args, source.as_ref()));
    let file = MaskFile {
        plan: CachePlan::of_mask(&mask),
        importance: Some(importance),
        sensitivity: None,
        target_sparsity: args.sparsity,
        origin,
    };
    let contents = Contents::Mask(file);
    files::save(&args.output, &contents, false)?;
    let Contents::Mask(file) = contents else { unreachable!("a mask was just made") };
    report::note_nothing(&file.plan);
    print(args, &file, settings, reach)
}

/// A path as shown in errors.
pub(super) fn shown(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

fn agreed_shape(
    args: &MakeArgs,
    source: Option<&Contents>,
    counts: Option<&MaskFile>,
    model: Option<&NamedGeometry>,
) -> Result<Shape> {
    let known = [
        source.map(|source| (shown(args.importance.as_deref()), source.shape())),
        counts.map(|counts| (shown(args.counts_of.as_deref()), counts.plan.shape())),
        model.map(|model| (model.name.clone(), model.geometry.shape())),
    ];
    let mut known = known.into_iter().flatten();
    let (first, shape) = known.next().ok_or_else(|| {
        Error::input(
            "a rule needs sizes: expected --model, --random-weights or --counts-of, found none",
        )
    })?;
    match known.find(|(_, other)| *other != shape) {
        Some((name, other)) => Err(Error::input(format!(
            "{name}: expected shape {shape} as in {first}, found {other}"
        ))),
        None => Ok(shape),
    }
}

fn options(args: &MakeArgs, settings: &MakeSettings, source: Option<&Contents>) -> Result<Options> {
    let target = match (args.sparsity, args.fit) {
        (_, Some(Fit { bytes, tokens })) => Target::Bytes(ByteBudget {
            bytes,
            tokens,
            window: settings.window(),
            element_size: args.kv_dtype.bytes(),
        }),
        (sparsity, None) => Target::Sparsity(sparsity.unwrap_or_default()),
    };
    let base = match source {
        Some(Contents::Mask(file)) => Some(file.mask()),
        _ => None,
    };
    let locks = args.lock.iter().map(|spec| lock(spec, base)).collect::<Result<_>>()?;
    let floors = args
        .floor
        .iter()
        .map(|spec| Floor { heads: spec.heads, channels: spec.channels.unwrap_or_default() })
        .collect();
    let budget = match args.budget {
        _ if args.upstream_ties => Budget::UpstreamTies,
        BudgetMode::Global => Budget::Global,
        BudgetMode::Exact => Budget::Exact,
    };
    Ok(Options {
        target,
        align: settings.align.value,
        budget,
        pair_closed: args.pair_closed,
        floors,
        locks,
    })
}

fn lock(spec: &LockSpec, base: Option<&ChannelMask>) -> Result<Lock> {
    let WidthPlace::Heads(heads) = spec.place else {
        return Err(Error::input(format!(
            "--lock {spec}: a mask's locks hold heads, and channels only with --sensitivity"
        )));
    };
    let to = match (spec.to, base) {
        (HeldAt::Number(channels), _) => LockTo::Count(channels),
        (HeldAt::Widths(..), _) => {
            return Err(Error::input(format!(
                "--lock {spec}: a mask's locks hold numbers of channels, and bits only with --sensitivity"
            )));
        }
        (HeldAt::File, Some(mask)) => LockTo::Mask(mask.clone().into()),
        (HeldAt::File, None) => {
            return Err(Error::input(
                "--lock without a number: expected --importance with a file that holds a mask, found none",
            ));
        }
    };
    Ok(Lock { heads, to })
}

/// The model's name and fingerprint: of `--model`, otherwise of the file that the mask is made
/// from.
pub(super) fn binding(
    args: &MakeArgs,
    inherited: Option<&Origin>,
    model: Option<NamedGeometry>,
) -> Result<(String, String)> {
    let Some(model) = model else {
        return Ok(inherited.map_or_else(Default::default, |origin| {
            (origin.model.clone(), origin.fingerprint.clone())
        }));
    };
    let fingerprint = fingerprint(&model.geometry);
    if let Some(origin) = inherited {
        let file = shown(
            args.importance
                .as_deref()
                .or(args.sensitivity.as_deref())
                .or(args.counts_of.as_deref()),
        );
        origin.expect_model(&file, &model.name, &fingerprint)?;
    }
    Ok((model.name, fingerprint))
}

/// Floors and locks as they were typed.
pub(super) fn texts(specs: &[impl ToString]) -> Vec<String> {
    specs.iter().map(ToString::to_string).collect()
}

/// How the mask was made, to be stored in its file.
fn recipe(args: &MakeArgs, source: Option<&Contents>) -> Value {
    let file = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut recipe = json!({ "tool": concat!("kscope ", env!("CARGO_PKG_VERSION")) });
    match (args.rule, args.importance.as_deref()) {
        (Some(rule), _) => {
            recipe["rule"] = rule.name.into();
            if rule == Rule::RANDOM {
                recipe["seed"] = args.seed.into();
            }
        }
        (None, path) => {
            recipe["importance"] = json!({ "file": path.map(file), "recipe": source.map(|source| &source.origin().recipe) })
        }
    }
    recipe["selection"] = match args.counts_of.as_deref() {
        Some(path) => json!({ "counts_of": file(path) }),
        None => json!({
            "sparsity": args.sparsity,
            "fit": args.fit.map(|fit| json!({ "bytes": fit.bytes, "tokens": fit.tokens, "kv_dtype": args.kv_dtype.name() })),
            "budget": match args.budget {
                _ if args.upstream_ties => "upstream-ties",
                BudgetMode::Global => "global",
                BudgetMode::Exact => "exact",
            },
            "pair_closed": args.pair_closed,
            "floors": texts(&args.floor),
            "locks": texts(&args.lock),
        }),
    };
    recipe
}

/// The channels with importance above 0, where fewer have it than the target asks for and the budget
/// never keeps the others.
fn reach(
    args: &MakeArgs,
    importance: &Importance,
    mask: &ChannelMask,
    options: &Options,
) -> Result<Option<usize>> {
    let (reach, entries) = (importance.reach(), importance.shape().entries());
    if options.budget != Budget::Global || reach == entries {
        return Ok(None);
    }
    let short = match (&options.target, args.sparsity) {
        // The size asks for more where all with importance fit, and others besides.
        (Target::Bytes(_), _) => {
            let largest =
                select(importance, &Options { target: Target::Sparsity(0.0), ..options.clone() })?;
            let exact = select(importance, &Options { budget: Budget::Exact, ..options.clone() })?;
            largest == *mask && exact.kept_ratio() > mask.kept_ratio()
        }
        (_, Some(sparsity)) => reach < ((1.0 - sparsity) * entries as f64).round() as usize,
        (_, None) => false,
    };
    Ok(Some(reach).filter(|_| short))
}

fn print(
    args: &MakeArgs,
    file: &MaskFile,
    settings: MakeSettings,
    reach: Option<usize>,
) -> Result<()> {
    let setting = StatisticsSetting { at: None, element_size: args.kv_dtype.bytes() };
    let entries = file.mask().shape().entries();
    let aimed = reach.map(|reach| 1.0 - reach as f64 / entries as f64).or(file.target_sparsity);
    let report = Report {
        output: args.output.display().to_string(),
        model: file.origin.model.clone(),
        model_fingerprint: file.origin.fingerprint.clone(),
        settings,
        target_sparsity: file.target_sparsity,
        alignment_cost: aimed.map(|sparsity| alignment_cost(file.mask(), sparsity)),
        importance_reach: reach,
        statistics: Statistics::of(file.mask(), &setting),
    };
    if args.json {
        return output::json("mask make", &report);
    }
    let stats = &report.statistics;
    let model = if report.model.is_empty() {
        "bound to no model".to_string()
    } else {
        format!("for {}", report.model)
    };
    output::line(&format!("wrote {}  {} {model}", report.output, file.mask().shape()))?;
    output::line(&format!(
        "keeps {}, {}",
        percent(stats.kept_ratio, 2),
        report::kept(stats, report.target_sparsity, report.alignment_cost)
    ))?;
    if let Some(reach) = reach {
        output::line(&format!(
            "the importance reaches {}: the other {} of {} channels have importance 0, which only --budget exact keeps",
            percent(reach as f64 / entries as f64, 2),
            count(entries - reach),
            count(entries)
        ))?;
    }
    output::line(&format!(
        "fewer bytes in long contexts: K {}, V {}, K+V {}; {} of {} bytes per middle token ({})",
        percent(stats.k_saving, 2),
        percent(stats.v_saving, 2),
        percent(stats.kv_saving, 2),
        count(stats.bytes_per_middle_token as usize),
        count(stats.dense_bytes_per_token as usize),
        args.kv_dtype.name()
    ))?;
    output::line(&settings.text())
}
