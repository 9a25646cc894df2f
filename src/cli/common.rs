//! Arguments that several commands share, and the ready objects they become.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::device::DeviceChoice;
use super::values::{self, DtypeOf};
use crate::cache::CacheSpec;
use crate::decode::comparison::Mode;
use crate::decode::sampler::Sampling;
use crate::element::Dtype;
use crate::mask::files::{self, MaskFile};
use crate::mask::{ChannelMask, Window, fingerprint};
use crate::model::Model;
use crate::model::config::Config;
use crate::model::decoder::PrefillHooks;
use crate::model::load::{Opened, Source};
use crate::{Error, Result, error, machine};

/// Which tokens the masked side of a comparison is fed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ModeArg {
    /// Both sides are fed the dense side's tokens
    Forced,
    /// Each side is fed its own
    Free,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Forced => Self::Forced,
            ModeArg::Free => Self::Free,
        }
    }
}

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
    #[arg(long, value_name = "N", requires = "random_weights")]
    pub layers: Option<usize>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Element type of the weights [default: as stored; quantised weights become f16]
    #[arg(long, value_name = "f32|f16|bf16", value_parser = DtypeOf::WEIGHTS,
          hide_possible_values = true)]
    pub dtype: Option<Dtype>,
    /// Threads [default: RAYON_NUM_THREADS or all processors]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl ModelArgs {
    /// The model that is meant.
    pub fn source(&self) -> Result<Source> {
        match &self.random_weights {
            Some(geometry) => Source::random(geometry, self.layers, 0),
            None => Source::resolve(&self.model),
        }
    }

    /// Sets the threads.
    pub fn prepare(&self) -> Result<()> {
        machine::set_threads(self.threads)
    }

    /// Opens the model, checks that its weights fit the memory, and loads them with a progress bar
    /// on standard error.
    pub fn load(&self) -> Result<Arc<Model>> {
        self.prepare()?;
        let placement = self.device.placement()?;
        let opened = Opened::open(&self.source()?)?;
        machine::check_memory(
            &format!("the model {}", opened.name),
            opened.weight_bytes(self.dtype) as u64,
        )?;
        let bar = progress_bar(&format!("loading {}", opened.name));
        let model = opened.load_on(self.dtype, placement, &mut |share| {
            bar.set_position((share * 1000.0) as u64);
            Ok(())
        })?;
        bar.finish_and_clear();
        Ok(Arc::new(model))
    }
}

/// A bar of a thousand steps on standard error; hidden where that is no terminal.
pub fn progress_bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(1000);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// Runs `f` with prefill hooks that move the bar and never cancel.
pub fn with_bar<T>(bar: &ProgressBar, chunk: usize, f: impl FnOnce(PrefillHooks<'_>) -> T) -> T {
    let mut progress = |share: f32| {
        bar.set_position((share * 1000.0) as u64);
        Ok(())
    };
    f(PrefillHooks { chunk, progress: &mut progress, keep_going: &|| Ok(()), observe: &mut |_| () })
}

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
    /// The mask, or the full one.
    pub fn mask(&self, config: &Config) -> ChannelMask {
        self.file
            .as_ref()
            .map_or_else(|| ChannelMask::full(config.mask_shape()), |file| file.mask.clone())
    }
}

impl CacheArgs {
    /// Reads the mask, refuses one of another model, and settles the window.
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

    /// The pruned cache's specification (dense without a mask) and the dense one beside it.
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

    /// The context to use: the flag's, refused where the model cannot see that far.
    pub fn context(&self, config: &Config) -> Result<usize> {
        match self.ctx {
            Some(0) => Err(Error::input("--ctx must be at least 1, not 0")),
            Some(ctx) if ctx > config.max_context => Err(Error::input(format!(
                "--ctx {ctx} is more than the model's context of {}",
                config.max_context
            ))),
            Some(ctx) => Ok(ctx),
            None => Ok(config.max_context),
        }
    }
}

/// Reads a mask file and checks it against a model; gives the sentences to show with it.
pub fn read_mask(path: &Path, config: &Config) -> Result<(MaskFile, Vec<String>)> {
    let name = path.display().to_string();
    let split = files::Split { kv_heads: Some(config.kv_heads), head_dim: Some(config.head_dim) };
    let file = files::read(path, &split)?.into_mask(&name)?;
    let binding =
        files::check(&file, &name, config.mask_shape(), &fingerprint(&config.geometry()))?;
    Ok((file, binding.warnings))
}

/// What to send to the model.
#[derive(Debug, Clone, clap::Args)]
pub struct PromptArgs {
    /// Prompt; given several times, the prompts are decoded together as one batch
    #[arg(long, short, value_name = "TEXT")]
    pub prompt: Vec<String>,
    /// Prompt from a file, `-` for standard input; may be given several times
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Vec<PathBuf>,
    /// Prompt as token ids, no template: 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with_all = ["prompt", "prompt_file"])]
    pub token_ids: Vec<u32>,
    /// Send the text as it is, without the model's chat template
    #[arg(long)]
    pub raw: bool,
}

impl PromptArgs {
    /// The prompts as token ids; standard input where nothing was given.
    pub fn tokens(&self, model: &Model) -> Result<Vec<Vec<u32>>> {
        if !self.token_ids.is_empty() {
            return Ok(vec![self.token_ids.clone()]);
        }
        let Some(tokenizer) = &model.tokenizer else {
            return Err(Error::input(format!(
                "{} has no tokenizer: give the prompt with --token-ids",
                model.name
            )));
        };
        self.texts()?
            .iter()
            .map(|text| if self.raw { tokenizer.encode(text) } else { tokenizer.encode_chat(text) })
            .collect()
    }

    /// The prompts as text.
    pub fn texts(&self) -> Result<Vec<String>> {
        let mut texts = self.prompt.clone();
        for path in &self.prompt_file {
            texts.push(if path == Path::new("-") { standard_input()? } else { read_text(path)? });
        }
        if texts.is_empty() {
            texts.push(standard_input()?);
        }
        Ok(texts)
    }
}

fn standard_input() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|cause| Error::run(format!("reading standard input: {cause}")))?;
    text_of(bytes, "standard input")
}

/// Reads a text file.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|cause| error::io("reading", path, &cause))?;
    text_of(bytes, &path.display().to_string())
}

fn text_of(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|cause| {
        Error::input(format!(
            "{name} is no UTF-8 text (byte {} is wrong)",
            cause.utf8_error().valid_up_to()
        ))
    })
}

/// How tokens are chosen.
#[derive(Debug, Clone, clap::Args)]
pub struct SamplingArgs {
    /// 0 is greedy
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    pub temperature: f32,
    /// Keep the smallest set of tokens that reaches this probability
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    pub top_p: f32,
    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub top_k: usize,
    /// Keep tokens of at least this share of the likeliest one's probability
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    pub min_p: f32,
    /// Divide the logits of tokens seen before by this
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub repeat_penalty: f32,
    /// Seed of the draws
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

impl SamplingArgs {
    /// The settings, checked.
    pub fn sampling(&self) -> Result<Sampling> {
        let sampling = Sampling {
            repeat_penalty: self.repeat_penalty,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            seed: self.seed,
        };
        sampling.check()?;
        Ok(sampling)
    }
}
