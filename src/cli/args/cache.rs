//! What the cache stores: the mask, its window, element type and context.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cache::CacheSpec;
use crate::cli::output;
use crate::cli::values::{self, DtypeOf};
use crate::element::Dtype;
use crate::mask::files::{self, Contents, MaskFile, Split};
use crate::mask::{ChannelMask, Window, fingerprint};
use crate::model::config::Config;
use crate::numbers::count;
use crate::{Error, Result};

/// What the cache stores.
#[derive(Debug, Clone, clap::Args)]
pub struct CacheArgs {
    /// Channel mask; without it decode is dense
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// First tokens that keep every channel [default: the mask's own]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub sink: Option<usize>,
    /// Last tokens that keep every channel [default: the mask's own]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub recent: Option<usize>,
    /// Tokens that are pruned at once [default: the mask's own]
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

/// A mask that fits the model, and the window it is used with.
#[derive(Debug, Clone)]
pub struct MaskChoice {
    /// The file's content; `None` is dense decode.
    pub file: Option<MaskFile>,
    /// Sink, recent and chunk after flags.
    pub window: Window,
    /// Sentences to show.
    pub warnings: Vec<String>,
}

impl MaskChoice {
    /// Prints the warnings to standard error.
    pub fn warn(&self) {
        self.warnings.iter().for_each(|warning| output::note(&format!("kscope: {warning}")));
    }

    /// The mask; without one, the full mask.
    pub fn mask(&self, config: &Config) -> ChannelMask {
        self.file
            .as_ref()
            .map_or_else(|| ChannelMask::full(config.mask_shape()), |file| file.mask.clone())
    }
}

impl CacheArgs {
    /// Reads the mask, refuses one of another model, and determines the window.
    pub fn mask_choice(&self, config: &Config) -> Result<MaskChoice> {
        let file = self.mask.as_deref().map(|path| read_mask(path, config)).transpose()?;
        let (file, warnings) = file.unzip();
        let base = file.as_ref().map_or_else(Window::default, |file| file.origin.window);
        let window = Window {
            sink: self.sink.unwrap_or(base.sink),
            recent: self.recent.unwrap_or(base.recent),
            chunk: self.chunk.unwrap_or(base.chunk),
        };
        window.check()?;
        Ok(MaskChoice { file, window, warnings: warnings.unwrap_or_default() })
    }

    /// The pruned cache's specification (dense without a mask), and the dense one.
    pub fn specs(
        &self,
        config: &Config,
        choice: &MaskChoice,
    ) -> Result<(Arc<CacheSpec>, Arc<CacheSpec>)> {
        let shape = config.mask_shape();
        let pruned = CacheSpec::new(shape, choice.window, self.kv_dtype, choice.mask(config))?;
        let dense = CacheSpec::dense(shape, choice.window, self.kv_dtype)?;
        Ok((Arc::new(pruned), Arc::new(dense)))
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

/// Reads a mask file and checks it against a model; returns it with the warnings to show.
pub fn read_mask(path: &Path, config: &Config) -> Result<(MaskFile, Vec<String>)> {
    let contents = files::read(path, &Split::of(config.mask_shape()))?;
    fitting_mask(contents, &path.display().to_string(), config)
}

/// The mask in a file's contents, refused where it belongs to another model; returned with the
/// warnings to show. `name` is the name of the file in errors.
pub fn fitting_mask(
    contents: Contents,
    name: &str,
    config: &Config,
) -> Result<(MaskFile, Vec<String>)> {
    let file = contents.into_mask(name)?;
    let fingerprint = fingerprint(&config.geometry());
    let binding = files::check(&file, name, config.mask_shape(), &fingerprint)?;
    Ok((file, binding.warnings))
}
