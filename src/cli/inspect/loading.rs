//! Loading the model of a session, and opening other masks and models in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{InspectArgs, default_prompt, quiz};
use crate::cli::args::{
    CacheArgs, GivenPlan, ModeArg, ModelArgs, check_device, fitting, read_plan,
};
use crate::decode::worker::event::MaskInfo;
use crate::decode::worker::{Loader, Setup};
use crate::mask::files::{self, Split};
use crate::mask::{CachePlan, Sensitivity, Window, fingerprint};
use crate::model::config::Config;
use crate::model::device::Placement;
use crate::model::load::Source as ModelSource;
use crate::tui::app::opening::{NewModel, Openers, PlanRefusal};
use crate::tui::app::runner;
use crate::tui::app::runner::SharedModel;
use crate::{Error, Result};

/// What a session decodes and compares with, as the arguments ask for it.
#[derive(Debug, Clone)]
pub(super) struct AskedSession {
    model: ModelArgs,
    cache: CacheArgs,
    diff: Option<String>,
    sensitivity: Option<PathBuf>,
    solo: bool,
    mode: ModeArg,
    panic: Option<runner::PanicIn>,
}

impl AskedSession {
    pub(super) fn of(args: &InspectArgs) -> Self {
        Self {
            model: args.model.clone(),
            cache: args.cache.clone(),
            diff: args.diff.clone(),
            sensitivity: args.sensitivity.clone(),
            solo: args.solo,
            mode: args.mode,
            panic: args.panic,
        }
    }

    /// The same for another model: what belonged to the one before is left out.
    fn of_another(&self) -> Self {
        let cache = CacheArgs { mask: None, plan: Vec::new(), ctx: None, ..self.cache.clone() };
        Self { cache, diff: None, sensitivity: None, panic: None, ..self.clone() }
    }
}

/// How the screen opens masks and models.
pub(super) fn openers(asked: AskedSession) -> Openers {
    let (device, cache) = (asked.model.device, asked.cache.clone());
    let plan = move |text: &str, config: &Config| -> Result<(MaskInfo, Window), PlanRefusal> {
        if text == "none" {
            let full = CachePlan::full(config.mask_shape());
            return Ok((MaskInfo::named("dense", full), cache.window(Window::default())?));
        }
        let given = read_plan("--plan", text, config).map_err(|error| {
            // On the screen no option was typed.
            let sentence = error.to_string();
            PlanRefusal {
                sentence: sentence.strip_prefix("--plan ").unwrap_or(&sentence).to_owned(),
                is_of_another: is_of_another(Path::new(text), config),
            }
        })?;
        let window = cache.window(given.window)?;
        check_device(device, &given.plan, window)?;
        Ok((given.into_info(), window))
    };
    let model = move |text: &str| {
        let mut asked = asked.of_another();
        let source = match text.strip_prefix("--random-weights") {
            Some(geometry) => ModelSource::random(geometry.trim(), None, 0)?,
            None => ModelSource::resolve(text)?,
        };
        asked.model.layers = None;
        let (prompt, quiz) = (default_prompt(&source), quiz(&source));
        let placement = device.placement()?;
        let model = SharedModel::default();
        let loader = loader(asked, source, SharedModel::clone(&model), placement);
        Ok(NewModel { loader, model, prompt, quiz })
    };
    Openers { plan: Box::new(plan), model: Box::new(model) }
}

/// Whether a file holds a mask or plan that is for another model than this one.
fn is_of_another(path: &Path, config: &Config) -> bool {
    let shape = config.mask_shape();
    let read = files::read(path, &Split::of(shape)).and_then(|contents| contents.into_mask(""));
    let fingerprint = fingerprint(&config.geometry());
    read.is_ok_and(|file| files::check(&file, "", shape, &fingerprint).is_err())
}

/// Loads the model, on the thread of the engine.
pub(super) fn loader(
    asked: AskedSession,
    source: ModelSource,
    shared: SharedModel,
    placement: Option<Placement>,
) -> Loader {
    let AskedSession { model: model_args, cache, diff, sensitivity: given, solo, mode, panic } =
        asked;
    let feed = mode.into();
    Box::new(move |progress| {
        let mut opened = model_args.open(&source)?;
        // Masks are read before the weights, so that a wrong mask is reported at once.
        let config = opened.config.clone();
        let mut choice = cache.choice(&config, model_args.device)?;
        let shipped = match choice.given {
            None if !cache.is_dense() => shipped_mask(&mut opened)?,
            _ => None,
        };
        if let Some(shipped) = shipped {
            // Flags go before the file's own window.
            choice.window = cache.window(shipped.window)?;
            choice.given = Some(shipped);
        }
        let context = cache.context(&config)?;
        let other = diff.as_deref().map(|text| read_plan("--diff", text, &config)).transpose()?;
        let other = other.map(GivenPlan::into_info);
        let sensitivity = sensitivity(given.as_deref(), choice.given.as_ref(), &opened)?;
        let of_files = opened.warnings.clone();
        let model = Arc::new(opened.load_on(model_args.dtype, placement, progress)?);
        // Cannot be set already: a loader runs once.
        let _ = shared.set(Arc::clone(&model));
        assert!(panic != Some(runner::PanicIn::Engine), "on purpose: --panic engine");
        if panic == Some(runner::PanicIn::Stack) {
            fill_the_stack(1);
        }
        let warnings = [&of_files, choice.warnings()].concat();
        let mask = choice.given.map(GivenPlan::into_info);
        let (window, kv_dtype) = (choice.window, cache.kv_dtype);
        Ok(Setup {
            model,
            mask,
            other,
            window,
            kv_dtype,
            context,
            solo,
            feed,
            sensitivity,
            warnings,
        })
    })
}

/// Calls itself until there is no stack left.
fn fill_the_stack(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { fill_the_stack(depth + 1) + here[(depth % 64) as usize] }
}

/// The sensitivity of a file that is asked for, of the plan's own file, or of the file called
/// `MODEL-sensitivity.safetensors` beside it.
fn sensitivity(
    asked: Option<&Path>,
    given: Option<&GivenPlan>,
    opened: &crate::model::load::Opened,
) -> Result<Option<Arc<Sensitivity>>> {
    let read = |path: &Path| {
        let config = &opened.config;
        let contents = files::read(path, &Split::of(config.mask_shape()))?;
        let file = path.display().to_string();
        contents.origin().expect_model(&file, &opened.name, &fingerprint(&config.geometry()))?;
        let held = contents.expect_sensitivity(&file)?.clone();
        match held.shape() == config.mask_shape() {
            true => Ok(Some(Arc::new(held))),
            false => Err(Error::input(format!(
                "{file}: expected sensitivity of shape {}, found {}",
                config.mask_shape(),
                held.shape()
            ))),
        }
    };
    let file = given.and_then(|given| given.file.as_ref());
    match (asked, file) {
        (Some(path), _) => read(path),
        (None, Some(file)) if file.sensitivity.is_some() => {
            Ok(file.sensitivity.clone().map(Arc::new))
        }
        (None, Some(_)) => {
            let beside = given.map(|given| Path::new(&given.name)).and_then(Path::parent);
            let beside =
                beside.map(|at| at.join(format!("{}-sensitivity.safetensors", opened.name)));
            beside.filter(|path| path.is_file()).map_or(Ok(None), |path| read(&path))
        }
        (None, None) => Ok(None),
    }
}

/// A mask inside the program, which its model opens with where none is given.
struct Shipped {
    name: &'static str,
    bytes: &'static [u8],
    /// [`weights_sample`](crate::model::load::Opened::weights_sample) of the model it was made for.
    weights: &'static str,
}

const SHIPPED: [Shipped; 2] = [
    Shipped {
        name: "masks/demo.safetensors",
        bytes: include_bytes!("../../../masks/demo.safetensors"),
        weights: "2f65aee2ccb537c8dee7529d55da51ea7eef448efadb422c6b724da5403c68d4",
    },
    Shipped {
        name: "masks/smollm2-135m-75.safetensors",
        bytes: include_bytes!("../../../masks/smollm2-135m-75.safetensors"),
        weights: "0516de4b972818576c9eba706cea80d53b3e65ff19bcd0baea0f87c566d27678",
    },
];

/// The mask inside the program that was made for this model, by its name, its sizes and its weights:
/// what was trained further, or quantised otherwise, keeps the name and has another mask.
fn shipped_mask(opened: &mut crate::model::load::Opened) -> Result<Option<GivenPlan>> {
    let fingerprint = fingerprint(&opened.config.geometry());
    for Shipped { name, bytes, weights } in SHIPPED {
        let contents = files::parse(bytes, name, &Split::default())?;
        let origin = contents.origin();
        if origin.fingerprint == fingerprint && origin.model == opened.name {
            if opened.weights_sample()? != weights {
                opened.warnings.push(format!(
                    "{name} was made for a model of this name and sizes with other weights: decoding dense, --mask {name} decodes with it"
                ));
                continue;
            }
            let mut given = fitting(contents, name, &opened.config)?;
            if opened.name != "demo" {
                given.warnings.push(format!(
                    "decoding with the mask that comes with {}, {name}: --mask none decodes dense",
                    opened.name
                ));
            }
            return Ok(Some(given));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::load::Opened;

    #[test]
    fn masks_inside_the_program_are_read_and_bound_to_a_model() {
        for Shipped { name, bytes, .. } in SHIPPED {
            let contents = files::parse(bytes, name, &Split::default()).expect(name);
            let origin = contents.origin();
            assert!(!origin.model.is_empty() && origin.fingerprint.len() == 64, "{name}");
        }
    }

    #[test]
    fn a_mask_of_another_model_is_told_from_a_file_that_is_none() {
        let config = Opened::open(&ModelSource::Demo).expect("the demo").config;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.safetensors");
        for (shipped, is_other) in SHIPPED.iter().zip([false, true]) {
            std::fs::write(&path, shipped.bytes).expect("written");
            assert_eq!(is_of_another(&path, &config), is_other, "{}", shipped.name);
        }
        std::fs::write(&path, "# a document").expect("written");
        assert!(!is_of_another(&path, &config));
        assert!(!is_of_another(&folder.path().join("none"), &config));
    }

    /// The name of a model and its sizes say nothing of its weights.
    #[test]
    fn a_mask_inside_the_program_is_for_the_weights_it_was_made_for() {
        let demo = || Opened::open(&ModelSource::Demo).expect("the demo");
        let given = shipped_mask(&mut demo()).expect("read").expect("its own mask");
        assert_eq!(given.name, "masks/demo.safetensors");
        let config = Box::new(demo().config.clone());
        let (name, weights) = ("demo".to_owned(), Default::default());
        let source = ModelSource::Random { name, config, seed: 1, weights, warnings: Vec::new() };
        let mut other = Opened::open(&source).expect("the sizes of the demo");
        assert!(shipped_mask(&mut other).expect("read").is_none());
        let warning = other.warnings.last().expect("told");
        assert!(warning.contains("other weights"), "{warning}");
    }
}
