//! What the cache stores: the plan, its window, element type and context.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::device::DeviceChoice;
use crate::attention::cuda::check_codes;
use crate::cache::CacheSpec;
use crate::cli::output;
use crate::cli::values::{self, DtypeOf};
use crate::decode::worker::event::MaskInfo;
use crate::element::Dtype;
use crate::mask::files::{self, Contents, MaskFile, Split};
use crate::mask::{CachePlan, Window, fingerprint, group_tokens};
use crate::model::config::Config;
use crate::model::load::ZeroRows;
use crate::numbers::{count, percent};
use crate::{Error, Result};

/// What the cache stores.
#[derive(Debug, Clone, clap::Args)]
pub struct CacheArgs {
    /// Channel mask or cache plan from a file; without one, or with `none`, decode is dense. The
    /// inspector opens a model for which it has a mask with that one unless `none` is given
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Cache plan, which says how many bits each channel has: a name (k8v8, k8v4, k4v8, k4v4, q8_0,
    /// q4_0, q8_0/q4_0, q8_0-hadamard, q4_0-hadamard) or a file, ./k8v8 where it is called like a
    /// name. FILE*k8v4 is what a mask or plan file keeps, at the widths of that name. `sweep` and
    /// `bench` take several
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "mask")]
    pub plan: Vec<String>,
    /// First tokens that keep every channel [default: the file's own; 16]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub sink: Option<usize>,
    /// Last tokens that keep every channel [default: the file's own; 128]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub recent: Option<usize>,
    /// Tokens that are pruned or coded at once [default: the file's own; 64 with a named plan,
    /// otherwise 32]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub chunk: Option<usize>,
    /// Element type of cached keys and values
    #[arg(long, default_value = "f16", value_name = "f32|f16|bf16",
          value_parser = DtypeOf::CACHE, hide_possible_values = true)]
    pub kv_dtype: Dtype,
    /// Largest context in tokens, prompt included [default: the model's own]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub ctx: Option<usize>,
}

/// A plan that fits the model.
#[derive(Debug, Clone)]
pub struct GivenPlan {
    /// As it was asked for: its name, or the path of its file.
    pub name: String,
    /// The plan.
    pub plan: CachePlan,
    /// The file that it was read from; `None` for a plan that is known by name.
    pub file: Option<MaskFile>,
    /// Sink, recent and chunk: the file's own, or those of named plans.
    pub window: Window,
    /// Sentences to show.
    pub warnings: Vec<String>,
}

impl GivenPlan {
    /// The rows of a model's weights that become zero where this mask is baked in.
    ///
    /// # Errors
    /// A plan with other widths than a mask's, and what [`ZeroRows::new`] refuses.
    pub fn zero_rows(&self, config: &Config) -> Result<ZeroRows> {
        let rows = match self.plan.is_mask() {
            true => ZeroRows::new(config, self.plan.mask()),
            false => Err(Error::input("expected a mask, found a plan: weights have no widths")),
        };
        rows.map_err(|error| Error::input(format!("{}: {error}", self.name)))
    }

    /// The plan as the engine takes it.
    pub fn into_info(self) -> MaskInfo {
        match self.file {
            Some(file) => MaskInfo::of_file(file, Path::new(&self.name)),
            None => MaskInfo::named(&self.name, self.plan),
        }
    }
}

/// What a session stores: a plan, or everything, and the window.
#[derive(Debug, Clone)]
pub struct PlanChoice {
    /// The plan; `None` is dense decode.
    pub given: Option<GivenPlan>,
    /// Sink, recent and chunk after flags.
    pub window: Window,
}

impl PlanChoice {
    /// Prints the warnings to standard error.
    pub fn warn(&self) {
        self.warnings().iter().for_each(|warning| output::note(&format!("kscope: {warning}")));
    }

    /// Sentences to show.
    pub fn warnings(&self) -> &[String] {
        self.given.as_ref().map_or(&[], |given| &given.warnings)
    }

    /// The plan; without one, that of dense decode.
    pub fn plan(&self, config: &Config) -> CachePlan {
        self.given
            .as_ref()
            .map_or_else(|| CachePlan::full(config.mask_shape()), |given| given.plan.clone())
    }
}

impl CacheArgs {
    /// Whether a mask or a plan is asked for.
    pub fn is_given(&self) -> bool {
        self.mask_file().is_some() || !self.plan.is_empty()
    }

    /// Whether dense decode is asked for by name.
    pub fn is_dense(&self) -> bool {
        self.mask.is_some() && self.mask_file().is_none()
    }

    /// The mask's file; `none` is no file.
    fn mask_file(&self) -> Option<&PathBuf> {
        self.mask.as_ref().filter(|path| path.as_os_str() != "none")
    }

    /// The path of the mask or the plan's name as reports give them: `--mask` and `--plan`.
    pub fn names(&self) -> (Option<String>, Option<String>) {
        let mask = self.mask_file().map(|path| path.display().to_string());
        (mask, self.plan.first().cloned())
    }

    /// Reads the plan, refuses one of another model or that the device cannot hold, and determines
    /// the window.
    pub fn choice(&self, config: &Config, device: DeviceChoice) -> Result<PlanChoice> {
        if self.plan.len() > 1 {
            return Err(Error::input(format!(
                "one plan is decoded, not {}: `kscope sweep` compares several",
                self.plan.len()
            )));
        }
        let given = self.choices(config, device)?.pop();
        let window = match &given {
            Some(given) => given.window,
            None => self.window(Window::default())?,
        };
        Ok(PlanChoice { given, window })
    }

    /// Reads every plan that is asked for, as [`Self::choice`] does one; windows are those after
    /// flags.
    pub fn choices(&self, config: &Config, device: DeviceChoice) -> Result<Vec<GivenPlan>> {
        let masks = self.mask_file().into_iter().map(|path| read_mask(path, config));
        let plans = self.plan.iter().map(|text| read_plan("--plan", text, config));
        let given = |given: Result<GivenPlan>| {
            let given = given?;
            let given = GivenPlan { window: self.window(given.window)?, ..given };
            check_device(device, &given.plan, given.window)?;
            note_scales(&given);
            Ok(given)
        };
        masks.chain(plans).map(given).collect()
    }

    /// A window after flags.
    pub fn window(&self, base: Window) -> Result<Window> {
        let window = Window {
            sink: self.sink.unwrap_or(base.sink),
            recent: self.recent.unwrap_or(base.recent),
            chunk: self.chunk.unwrap_or(base.chunk),
        };
        window.check()?;
        Ok(window)
    }

    /// The planned cache's specification (dense without a plan), and the dense one.
    pub fn specs(
        &self,
        config: &Config,
        choice: &PlanChoice,
    ) -> Result<(Arc<CacheSpec>, Arc<CacheSpec>)> {
        let planned = CacheSpec::planned(choice.window, self.kv_dtype, choice.plan(config))?;
        let dense = CacheSpec::dense(config.mask_shape(), choice.window, self.kv_dtype)?;
        let of_model = |spec: CacheSpec| Arc::new(spec.with_sight(config.sight()));
        Ok((of_model(planned), of_model(dense)))
    }

    /// The context to use: the flag's, refused where it is longer than the model allows.
    pub fn context(&self, config: &Config) -> Result<usize> {
        match self.ctx {
            Some(0) => Err(Error::input("--ctx must be at least 1, not 0")),
            Some(ctx) if ctx > config.max_context => Err(Error::input(format!(
                "--ctx {} is more than the model's context of {}",
                count(ctx),
                config.longest()
            ))),
            Some(ctx) => Ok(ctx),
            None => Ok(config.max_context),
        }
    }
}

/// Says so where a plan's codes share their scales by so few tokens that the scales are what is
/// stored.
fn note_scales(given: &GivenPlan) {
    let chunk = given.window.chunk;
    let share = given.plan.bytes_share(chunk);
    let usual = given.plan.bytes_share(Window::CODED.chunk);
    if share > 1.25 * usual {
        output::note(&format!(
            "kscope: {}: with chunks of {} tokens, {} tokens share a scale and the middle takes {} of a dense one; with chunks of {} it takes {}",
            given.name,
            count(chunk),
            group_tokens(chunk),
            percent(share, 1),
            Window::CODED.chunk,
            percent(usual, 1)
        ));
    }
}

/// A plan by name or from a file, or what a file keeps at the widths of a name (`FILE*NAME`). A name
/// wins over a file that is called so; `./NAME` is the file. What is wrong is said of the `option` that
/// it was given with.
pub fn read_plan(option: &str, text: &str, config: &Config) -> Result<GivenPlan> {
    if CachePlan::NAMES.iter().any(|named| named.name == text) {
        return Ok(GivenPlan {
            name: text.to_owned(),
            plan: CachePlan::named(text, config.mask_shape())?,
            file: None,
            window: Window::CODED,
            warnings: Vec::new(),
        });
    }
    let path = Path::new(text);
    if let Some((file, name)) = text.rsplit_once('*')
        && !path.exists()
    {
        return times(file, name, config).map_err(|error| {
            Error::of_code(error.exit_code(), format!("{option} {text}: {error}"))
        });
    }
    if !path.exists() && path.components().count() == 1 && path.extension().is_none() {
        let names: Vec<&str> = CachePlan::NAMES.iter().map(|named| named.name).collect();
        return Err(Error::input(format!(
            "{option} {text}: there is no such file, and the named plans are {}",
            names.join(", ")
        )));
    }
    read_mask(path, config)
}

/// What a file keeps, at the widths of a named plan and in its groups of tokens.
fn times(file: &str, name: &str, config: &Config) -> Result<GivenPlan> {
    let widths = CachePlan::named(name, config.mask_shape())?;
    if file.is_empty() {
        return Err(Error::input("the name of a mask or plan file is missing before the *"));
    }
    let mask = read_mask(Path::new(file), config)?;
    Ok(GivenPlan {
        name: format!("{file}*{name}"),
        plan: widths.within(mask.plan.mask())?,
        file: None,
        window: Window { chunk: Window::CODED.chunk, ..mask.window },
        warnings: mask.warnings,
    })
}

/// Reads a file with a mask or a plan and checks it against a model.
pub fn read_mask(path: &Path, config: &Config) -> Result<GivenPlan> {
    let contents = files::read(path, &Split::of(config.mask_shape()))?;
    fitting(contents, &path.display().to_string(), config)
}

/// The plan in a file's contents, refused where it belongs to another model. `name` is the name of
/// the file in errors.
pub fn fitting(contents: Contents, name: &str, config: &Config) -> Result<GivenPlan> {
    let file = contents.into_mask(name)?;
    let fingerprint = fingerprint(&config.geometry());
    let binding = files::check(&file, name, config.mask_shape(), &fingerprint)?;
    Ok(GivenPlan {
        name: name.to_owned(),
        plan: file.plan.clone(),
        window: file.origin.window,
        file: Some(file),
        warnings: binding.warnings,
    })
}

/// A file's name without folder and ending.
pub fn stem(name: &str) -> String {
    let stem = Path::new(name).file_stem();
    stem.map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Names for tables: a file goes by the end of its name, unless that is the end of another's too.
pub fn short_names(given: &[GivenPlan]) -> Vec<String> {
    let stems: Vec<String> = given.iter().map(|one| stem(&one.name)).collect();
    let alone = |stem: &String| stems.iter().filter(|other| *other == stem).count() == 1;
    let names = given.iter().zip(&stems).map(|(given, stem)| {
        if given.file.is_some() && alone(stem) { stem.clone() } else { given.name.clone() }
    });
    names.collect()
}

/// Refuses a plan with codes that a GPU cannot store, where one is to hold the cache.
pub fn check_device(device: DeviceChoice, plan: &CachePlan, window: Window) -> Result<()> {
    match device {
        DeviceChoice::Cuda(_) => check_codes(plan, window.chunk),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{ChannelMask, Shape};

    #[test]
    fn a_gpu_takes_masks_and_bits_per_channel_and_refuses_other_codes() {
        let shape = Shape { layers: 1, kv_heads: 1, head_dim: 64 };
        let named = |name: &str| CachePlan::named(name, shape).unwrap();
        let mask = CachePlan::of_mask(&ChannelMask::from_fn(shape, |_, _, channel| channel < 8));
        let gpu = DeviceChoice::Cuda(1);
        let single = Window { chunk: 1, ..Window::CODED };
        assert!(check_device(gpu, &mask, single).is_ok());
        assert!(check_device(gpu, &named("k8v4"), Window::CODED).is_ok());
        for (plan, window) in [("q8_0", Window::CODED), ("k8v4", single)] {
            let sentence = check_device(gpu, &named(plan), window).unwrap_err().to_string();
            assert!(sentence.contains("with --device cuda"), "{sentence}");
            assert!(check_device(DeviceChoice::Cpu, &named(plan), window).is_ok());
        }
    }
}
