//! Which model, and where and how it is loaded.

use std::sync::Arc;

use super::device::DeviceChoice;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::values::{self, DtypeOf};
use crate::element::Dtype;
use crate::model::Model;
use crate::model::host::quant::QuantKind;
use crate::model::load::{Opened, Source, ZeroRows};
use crate::{Error, Result, machine};

/// Which model, on which device.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelArgs {
    /// Model: `demo`, a name that `kscope fetch` knows, a Hugging Face folder, a GGUF file, or
    /// org/name (feature `hub`)
    #[arg(long, short, default_value = "demo", value_name = "MODEL")]
    pub model: String,
    /// A model of this shape with seeded random weights instead: a known name such as llama-3.1-8b,
    /// or a config.json
    #[arg(long, value_name = "GEOMETRY", conflicts_with = "model")]
    pub random_weights: Option<String>,
    /// With --random-weights: at most this many layers
    #[arg(long, value_name = "N", value_parser = values::number)]
    pub layers: Option<usize>,
    /// With --random-weights: matrices of this quantised type, such as q4_k, instead of f16
    #[arg(long, value_name = "TYPE", value_parser = values::quant_kind)]
    pub weights: Option<QuantKind>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Float type that the weights are widened or rounded to [default: as stored, quantised or not]
    #[arg(long, value_name = "f32|f16|bf16", value_parser = DtypeOf::WEIGHTS,
          hide_possible_values = true)]
    pub dtype: Option<Dtype>,
    /// Threads [default: RAYON_NUM_THREADS or all processors]
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub threads: Option<usize>,
}

impl ModelArgs {
    /// The model that the arguments name.
    pub fn source(&self) -> Result<Source> {
        match &self.random_weights {
            Some(geometry) => Source::random_of(geometry, self.layers, 0, self.weights),
            None => {
                random_only("--layers", self.layers.is_some())?;
                random_only("--weights", self.weights.is_some())?;
                Source::resolve(&self.model)
            }
        }
    }

    /// Sets the threads.
    pub fn prepare(&self) -> Result<()> {
        machine::set_threads(self.threads)
    }

    /// Opens a model and checks that its weights fit the memory.
    pub fn open(&self, source: &Source) -> Result<Opened> {
        let opened = Opened::open(source)?;
        machine::check_memory(
            &format!("the model {}", opened.name),
            opened.weight_bytes(self.dtype),
        )?;
        Ok(opened)
    }

    /// Opens the model and loads its weights with a progress bar on standard error.
    pub fn load(&self) -> Result<Arc<Model>> {
        self.prepare()?;
        self.load_changed(|opened| opened)
    }

    /// The model that [`Self::load`] gave before, with these rows of its weights read as zero. Threads
    /// are set and warnings printed by then.
    pub fn load_with_zero_rows(&self, rows: ZeroRows) -> Result<Arc<Model>> {
        self.load_changed(|opened| {
            let mut opened = opened.with_zero_rows(rows);
            opened.warnings.clear();
            opened
        })
    }

    fn load_changed(&self, change: impl FnOnce(Opened) -> Opened) -> Result<Arc<Model>> {
        let placement = self.device.placement()?;
        let opened = change(self.open(&self.source()?)?);
        let warnings = opened.warnings.clone();
        let bar = ProgressLine::new(&format!("loading {}", opened.name));
        let model = opened.load_on(self.dtype, placement, &mut |share| {
            bar.share(share);
            Ok(())
        })?;
        bar.finish();
        // A model that cannot be loaded has one sentence, the error.
        warn_of_files(&warnings);
        Ok(Arc::new(model))
    }
}

/// Refuses an option that changes random weights alone where there are none: clap's `requires` asks
/// for nothing where `--model`, which conflicts, is given.
pub fn random_only(option: &str, is_given: bool) -> Result<()> {
    match is_given {
        false => Ok(()),
        true => Err(Error::input(format!(
            "{option} has no effect on a model's own weights: it goes with --random-weights"
        ))),
    }
}

/// Prints what a user should know of a model's files to standard error, one sentence a line.
pub fn warn_of_files(warnings: &[String]) {
    warnings.iter().for_each(|warning| output::note(&format!("kscope: {warning}")));
}
