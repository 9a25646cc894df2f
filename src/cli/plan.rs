//! `kscope plan`: what a K/V cache takes on which GPU, how fast a step can be, what that costs, and
//! when a mask is paid back.

mod lists;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::output;
use super::values::{self, DtypeOf};
use crate::capacity::{
    self, Assumptions, Calibration, CapacityRequest, GpuPrice, Load, PlanGpu, Project, StoredMiddle,
};
use crate::element::Dtype;
use crate::mask::files::{self, Split};
use crate::mask::{CachePlan, Window, fingerprint};
use crate::model::load;
use crate::model::served::ServedModel;
use crate::{Error, Result, machine, numbers};

/// Arguments of `kscope plan`.
///
/// A capacity plan is arithmetic: nothing is loaded or run. A cache plan (--plan) is another thing:
/// how many bits each channel of the cache has.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "A capacity plan (this command) says what fits, how fast it is and what it costs. A cache plan \
(--plan) says how many bits each channel of the cache has; it is one input of a capacity plan.\n\n\
Examples:\n  kscope plan --model llama-3.1-8b --sparsity 0.7 --ctx 32k --batch 16\n  \
kscope plan --model llama-3.1-8b --mask llama.pth --ctx 4k,32k,128k --batch 1,64 --gpu h100-sxm --html > plan.html\n  \
kscope plan --model config.json --plan k8v4 --gpu l40s,gpus.toml --load \"50000, 8000, 400\" --integration-hours 80 --hourly-rate 120"
)]
pub struct PlanArgs {
    /// Model: a published shape such as llama-3.1-8b (`kscope plan --models` lists them), a
    /// config.json or a folder with one, a GGUF file, or what `kscope fetch` knows
    #[arg(long, short, value_name = "MODEL|GEOMETRY|config.json", required_unless_present_any = ["models", "gpus"])]
    model: Option<String>,
    /// Channel mask or cache plan from a file; the LeanK authors' .pth is one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "sparsity"])]
    mask: Option<PathBuf>,
    /// Cache plan (bits per channel): a name such as k8v4 or q8_0, or a file
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "sparsity")]
    plan: Option<String>,
    /// Share of K channels to drop, 0 to 1, at equal counts in every head: a mask that is not made yet
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    sparsity: Option<f64>,
    /// First tokens that keep every channel [default: the file's own; 16]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    sink: Option<usize>,
    /// Last tokens that keep every channel [default: the file's own; 128]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    recent: Option<usize>,
    /// Tokens that are pruned or coded at once [default: the file's own; 64 with a named cache plan,
    /// otherwise 32]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    chunk: Option<usize>,
    /// Element type of cached keys and values
    #[arg(long, default_value = "f16", value_name = "f32|f16|bf16",
          value_parser = DtypeOf::CACHE, hide_possible_values = true)]
    kv_dtype: Dtype,
    /// Tokens of each sequence; several, with commas [default: 4k, 32k and 128k, as far as the model
    /// goes]
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', value_parser = values::tokens)]
    ctx: Vec<usize>,
    /// Sequences decoded together; several, with commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,16,64",
          value_parser = sequences, allow_hyphen_values = true)]
    batch: Vec<usize>,
    /// GPUs by name (`kscope plan --gpus` lists them), and .toml files with [[gpu]] tables: name,
    /// memory_gib, bandwidth_gbps, tflops, price, price_date, price_source
    #[arg(long, value_name = "NAME|FILE.toml", value_delimiter = ',', default_value = "h100-sxm")]
    gpu: Vec<String>,
    /// GPUs that serve one copy of the model together (tensor parallel)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::number)]
    gpus_per_model: usize,
    /// What the weights weigh in memory [default: by the headers of their files, or by their number]
    #[arg(long, value_name = "SIZE", conflicts_with = "weight_bits")]
    weights: Option<String>,
    /// The same as bits a weight, such as 4.5
    #[arg(long, value_name = "BITS", allow_negative_numbers = true)]
    weight_bits: Option<f64>,
    /// Measured steps: the output of `kscope bench decode --json` of this model; several files of
    /// one device are taken together
    #[arg(long, value_name = "BENCH.json")]
    measured: Vec<PathBuf>,
    /// The GPU on which they were measured, by the name that --gpu has for it [default: a row of its
    /// own, called as the device]
    #[arg(long, value_name = "GPU", requires = "measured")]
    measured_on: Option<String>,
    /// Price of a GPU-hour in US dollars, for all GPUs or for one, as of the day of the plan
    #[arg(long, value_name = "[GPU=]USD", value_delimiter = ',', allow_hyphen_values = true)]
    price: Vec<String>,
    /// What is to be served: requests a day, tokens in and tokens out of each
    #[arg(long, value_name = "REQUESTS, IN, OUT", value_parser = load_of, allow_hyphen_values = true)]
    load: Option<Load>,
    /// Hours of work until the mask serves
    #[arg(
        long,
        value_name = "H",
        requires = "hourly_rate",
        requires = "load",
        allow_negative_numbers = true
    )]
    integration_hours: Option<f64>,
    /// What an hour of work costs, in US dollars
    #[arg(long, value_name = "USD", requires = "integration_hours", allow_negative_numbers = true)]
    hourly_rate: Option<f64>,
    /// Change an assumption, such as reach=0.8; every plan prints all of them
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    assume: Vec<String>,
    /// The day of the plan, YYYY-MM-DD, which prices are compared with [default: today]
    #[arg(long, value_name = "DAY")]
    as_of: Option<String>,
    /// List the published shapes that every command knows by name
    #[arg(long, exclusive = true)]
    models: bool,
    /// List the GPUs that are known by name, with prices, dates and sources
    #[arg(long, exclusive = true)]
    gpus: bool,
    /// Print one JSON object
    #[arg(long, group = "form")]
    json: bool,
    /// Print a Markdown document
    #[arg(long, group = "form")]
    md: bool,
    /// Print one HTML page that needs nothing else
    #[arg(long, group = "form")]
    html: bool,
}

/// Runs `kscope plan`.
pub fn run(args: &PlanArgs) -> Result<()> {
    if args.models {
        return output::line(&lists::models());
    }
    if args.gpus {
        return output::line(&lists::gpus());
    }
    let request = args.request()?;
    let report = capacity::plan(&request)?;
    if args.json {
        return output::json("plan", &report);
    }
    if args.html {
        return output::line(&capacity::html(&report));
    }
    if args.md {
        return output::line(&capacity::markdown(&report));
    }
    let columns = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    let columns = columns.and_then(|size| Some(usize::from(size.ok()?.0))).filter(|&n| n > 0);
    output::line(&capacity::text(&report, columns))
}

impl PlanArgs {
    fn request(&self) -> Result<CapacityRequest> {
        let model = self.model()?;
        let (stored, window, warnings) = self.stored(&model)?;
        let mut model = model;
        model.warnings.extend(warnings);
        let date = self.date()?;
        let mut gpus = self.gpus()?;
        let calibration = self.calibration(&model, &mut gpus)?;
        self.set_prices(&mut gpus, date)?;
        let assumptions = self.assumptions()?;
        let ctx = match self.ctx.as_slice() {
            [] => usual_contexts(model.max_context),
            given => given.to_vec(),
        };
        let project = self.integration_hours.zip(self.hourly_rate);
        Ok(CapacityRequest {
            model,
            dtype: self.kv_dtype,
            stored,
            window,
            ctx,
            batch: self.batch.clone(),
            gpus,
            gpus_per_model: self.gpus_per_model,
            assumptions,
            calibration,
            load: self.load,
            project: project.map(|(hours, hourly_rate)| Project { hours, hourly_rate }),
            date,
        })
    }

    fn assumptions(&self) -> Result<Assumptions> {
        let mut assumptions = Assumptions::default();
        let name = |text: &str| text.split('=').next().unwrap_or_default().trim().to_owned();
        for (index, text) in self.assume.iter().enumerate() {
            if self.assume[..index].iter().any(|other| name(other) == name(text)) {
                return Err(Error::input(format!("--assume gives `{}` twice", name(text))));
            }
            assumptions.set_by_text(text)?;
        }
        Ok(assumptions)
    }

    fn model(&self) -> Result<ServedModel> {
        let model = load::served(self.model.as_deref().unwrap_or_default())?;
        let bytes = match (&self.weights, self.weight_bits) {
            (Some(text), _) => {
                let bytes = numbers::parse_size(text).ok_or_else(|| {
                    Error::input(format!(
                        "--weights {text}: expected a size such as 16GB or 4.5GiB"
                    ))
                })?;
                Some((bytes as f64, "--weights"))
            }
            (None, Some(bits)) if !(0.5..=64.0).contains(&bits) => {
                return Err(Error::input(format!("--weight-bits must be 0.5 to 64, not {bits}")));
            }
            (None, Some(bits)) => {
                Some((model.weights.parameters as f64 * bits / 8.0, "--weight-bits"))
            }
            (None, None) => None,
        };
        let weights = model.weights.clone();
        Ok(match bytes {
            None => model,
            Some((bytes, from)) => {
                let bits = 8.0 * bytes / weights.parameters as f64;
                if !(0.5..=64.0).contains(&bits) {
                    return Err(Error::input(format!(
                        "{from}: {} for the {} weights of {} are {bits:.2} bits a weight: expected 0.5 to 64",
                        numbers::bytes(bytes as u64),
                        numbers::count(weights.parameters as usize),
                        model.name
                    )));
                }
                ServedModel { weights: weights.in_bytes(bytes, from), ..model }
            }
        })
    }

    /// What the middle stores, the window, and what a user should know.
    fn stored(&self, model: &ServedModel) -> Result<(StoredMiddle, Window, Vec<String>)> {
        let named = self
            .plan
            .as_deref()
            .filter(|text| CachePlan::NAMES.iter().any(|named| named.name == *text));
        let file = self.mask.as_deref().or(self.plan.as_deref().map(Path::new));
        let (stored, window, warnings) = match (named, file, self.sparsity) {
            (Some(name), ..) => (StoredMiddle::Named(name.to_owned()), Window::CODED, Vec::new()),
            (None, Some(path), _) => {
                let (geometry, name) = (model.geometry()?, path.display().to_string());
                let shape = geometry.shape();
                let file = files::read(path, &Split::of(shape))?.into_mask(&name)?;
                let binding = files::check(&file, &name, shape, &fingerprint(&geometry))?;
                let window = file.origin.window;
                (StoredMiddle::Plan { name, plan: file.plan }, window, binding.warnings)
            }
            (None, None, Some(share)) => {
                (StoredMiddle::Sparsity(share), Window::default(), Vec::new())
            }
            (None, None, None) => (StoredMiddle::Dense, Window::default(), Vec::new()),
        };
        if stored == StoredMiddle::Dense
            && let Some(flag) = self.window_flag()
        {
            return Err(Error::input(format!(
                "{flag} says which tokens are pruned or coded, and without --mask, --plan or --sparsity none is"
            )));
        }
        let window = Window {
            sink: self.sink.unwrap_or(window.sink),
            recent: self.recent.unwrap_or(window.recent),
            chunk: self.chunk.unwrap_or(window.chunk),
        };
        Ok((stored, window, warnings))
    }

    /// A flag of the window that was given.
    fn window_flag(&self) -> Option<&'static str> {
        [("--sink", self.sink), ("--recent", self.recent), ("--chunk", self.chunk)]
            .into_iter()
            .find_map(|(flag, value)| value.map(|_| flag))
    }

    fn date(&self) -> Result<NaiveDate> {
        match &self.as_of {
            Some(text) => {
                capacity::date(text).map_err(|what| Error::input(format!("--as-of {what}")))
            }
            None => Ok(chrono::Local::now().date_naive()),
        }
    }

    /// The GPUs to plan for. Those of a file are all planned for, unless --gpu names some of them.
    fn gpus(&self) -> Result<Vec<PlanGpu>> {
        let is_file = |text: &&String| text.ends_with(".toml");
        let files =
            self.gpu.iter().filter(is_file).map(|path| capacity::read_gpus(Path::new(path)));
        let of_files: Vec<PlanGpu> = files.collect::<Result<Vec<_>>>()?.concat();
        let names: Vec<&String> = self.gpu.iter().filter(|text| !is_file(text)).collect();
        let mut gpus: Vec<PlanGpu> = names
            .iter()
            .map(|name| capacity::gpus_named(name, &of_files))
            .collect::<Result<_>>()?;
        let is_new = |gpu: &PlanGpu| !names.iter().any(|name| name.eq_ignore_ascii_case(&gpu.name));
        gpus.extend(of_files.iter().filter(|gpu| is_new(gpu)).cloned());
        Ok(gpus)
    }

    /// The measured steps and the name of their GPU, which is added where it is not planned for.
    fn calibration(
        &self,
        model: &ServedModel,
        gpus: &mut Vec<PlanGpu>,
    ) -> Result<Option<(String, Calibration)>> {
        if self.measured.is_empty() {
            return Ok(None);
        }
        let paths: Vec<&Path> = self.measured.iter().map(PathBuf::as_path).collect();
        let steps = capacity::read_measured(&paths, &model.name, self.kv_dtype.name())?;
        if let Some(name) = &self.measured_on {
            let Some(gpu) = gpus.iter().find(|gpu| gpu.name.eq_ignore_ascii_case(name)) else {
                return Err(Error::input(format!(
                    "--measured-on {name}: --gpu does not name it, only {}",
                    gpus.iter().map(|gpu| gpu.name.as_str()).collect::<Vec<_>>().join(", ")
                )));
            };
            return Ok(Some((gpu.name.clone(), steps)));
        }
        let (name, bytes) = match (steps.memory_bytes, steps.threads) {
            (Some(bytes), _) => (steps.device.clone(), bytes),
            (None, _) if steps.device.starts_with("cuda") => {
                return Err(Error::input(format!(
                    "{}: it does not say how much memory {} has: name the GPU with --gpu and --measured-on",
                    steps.origin, steps.device
                )));
            }
            (None, threads) => {
                let threads = numbers::counted(threads, "thread", "threads");
                let free = machine::available_bytes().unwrap_or(0);
                (format!("{} ({threads})", steps.device), free)
            }
        };
        let free = bytes as f64 / f64::from(1 << 30);
        gpus.push(PlanGpu {
            name: name.clone(),
            memory_gib: free,
            bandwidth_gbps: 0.0,
            tflops: None,
            price: None,
        });
        Ok(Some((name, steps)))
    }

    /// Sets the given prices: one for all GPUs first, then those of single ones.
    fn set_prices(&self, gpus: &mut [PlanGpu], date: NaiveDate) -> Result<()> {
        let mut set: Vec<Option<&str>> = Vec::new();
        for text in &self.price {
            let (name, usd) = match text.rsplit_once('=') {
                Some((name, usd)) => (Some(name.trim()), usd),
                None => (None, text.as_str()),
            };
            if set.contains(&name) {
                return Err(Error::input(format!(
                    "--price {text}: {} is given twice",
                    name.map_or_else(
                        || "the price of all GPUs".to_owned(),
                        |name| format!("the price of {name}")
                    )
                )));
            }
            let usd = usd.trim().trim_start_matches('$').parse().ok();
            let Some(usd) = usd.filter(|usd: &f64| *usd > 0.0 && *usd <= 1e5) else {
                return Err(Error::input(format!(
                    "--price {text}: expected US dollars an hour such as 2.50, or GPU=2.50"
                )));
            };
            let mut priced = 0;
            let is_meant = |gpu: &&mut PlanGpu| match name {
                Some(name) => name.eq_ignore_ascii_case(&gpu.name),
                // A price of its own counts, wherever it stands.
                None => !set.iter().flatten().any(|set| set.eq_ignore_ascii_case(&gpu.name)),
            };
            for gpu in gpus.iter_mut().filter(is_meant) {
                gpu.price = Some(GpuPrice {
                    usd_per_hour: usd,
                    as_of: date.to_string(),
                    source: "--price".to_owned(),
                });
                priced += 1;
            }
            set.push(name);
            if priced == 0 && name.is_some() {
                return Err(Error::input(format!(
                    "--price {text}: the plan has no GPU called `{}`",
                    name.unwrap_or_default()
                )));
            }
        }
        Ok(())
    }
}

/// The contexts of a plan that names none.
fn usual_contexts(most: usize) -> Vec<usize> {
    let usual: Vec<usize> =
        [4 << 10, 32 << 10, 128 << 10].into_iter().filter(|&ctx| ctx <= most).collect();
    if usual.is_empty() { vec![most] } else { usual }
}

/// A number of sequences; whether it makes sense is for the plan to say.
fn sequences(text: &str) -> std::result::Result<usize, String> {
    let expected = || "expected a number of sequences such as 16".to_owned();
    text.trim().replace(',', "").parse().map_err(|_| expected())
}

/// `50000, 8000, 400`
fn load_of(text: &str) -> std::result::Result<Load, String> {
    let expected = || {
        "expected requests a day, tokens in and tokens out, such as \"50000, 8000, 400\"".to_owned()
    };
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let [requests, tokens_in, tokens_out] = fields[..] else { return Err(expected()) };
    Ok(Load {
        requests_per_day: requests.parse().map_err(|_| expected())?,
        tokens_in: numbers::parse_tokens(tokens_in).ok_or_else(expected)?,
        tokens_out: numbers::parse_tokens(tokens_out).ok_or_else(expected)?,
    })
}
