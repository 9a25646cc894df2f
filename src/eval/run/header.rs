//! What a run is: the first line of its results. A run that goes on, and parts that are put
//! together, must agree in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::jobs::Shard;
use super::runner::EvalPlan;
use super::stream::{FORMAT, VERSION};
use crate::cache::CacheSpec;
use crate::error::shortened;
use crate::eval::text::EvalText;
use crate::mask::{CachePlan, Coding, Window, fingerprint};
use crate::numbers::hex;
use crate::{Error, Result};

/// A mask or plan in the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskHeader {
    /// Its name in tables.
    pub name: String,
    /// Sha256 of the widths of every channel and head.
    pub fingerprint: String,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Bytes of the middle for a dense f16 cache's 1; where layers have windows, at the longest length
    /// of the run.
    pub bytes_share: f64,
    /// Bytes of a cache by its tokens, for every length of the run.
    pub kv_bytes: BTreeMap<usize, usize>,
}

impl MaskHeader {
    /// What a specification stores.
    pub fn of(name: &str, spec: &CacheSpec, lengths: &[usize]) -> Self {
        let plan = spec.plan();
        Self {
            name: name.to_owned(),
            fingerprint: plan_fingerprint(plan),
            window: spec.window(),
            bytes_share: spec.bytes_share_at(lengths.iter().copied().max().unwrap_or(0)),
            kv_bytes: lengths.iter().map(|&len| (len, spec.bytes_at(len).total())).collect(),
        }
    }
}

/// A text or data file in the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceHeader {
    /// Its name in tables.
    pub name: String,
    /// What kind of text it is.
    pub domain: String,
    /// Sha256 of its bytes.
    pub sha256: String,
}

impl SourceHeader {
    /// Of a text.
    pub fn of(text: &EvalText) -> Self {
        let (name, domain) = (text.name.clone(), text.domain.clone());
        Self { name, domain, sha256: sha256(&text.text) }
    }
}

/// Sha256 of the names of the widths of every K channel and of every head's V, head by head, and of the
/// coding where codes share their scales otherwise than in kscope's own plans: `k4v4` and `q4_0` have
/// the same widths, and are different caches. Results of masks and of own plans keep what they had.
pub fn plan_fingerprint(plan: &CachePlan) -> String {
    let mut hash = Sha256::new();
    for (layer, head) in plan.shape().each_head() {
        hash.update(format!("{:?}{:?}", plan.k(layer, head), plan.v(layer, head)));
    }
    if !plan.is_mask() && plan.coding() != Coding::best(plan.shape().head_dim) {
        hash.update(format!("{:?}", plan.coding()));
    }
    hex(&hash.finalize())
}

/// Sha256 in hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first line of a file of results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// `kscope-eval`.
    pub format: String,
    /// 1.
    pub version: u32,
    /// Program and version.
    pub tool: String,
    /// The commit that the program was built from, where the build knew it.
    pub commit: Option<String>,
    /// A command that makes these results.
    pub command: String,
    /// The model's name.
    pub model: String,
    /// Sha256 of its geometry.
    pub model_fingerprint: String,
    /// The types of its weights, and what decode steps do with quantised ones.
    pub weights: String,
    /// Element type of cached keys and values.
    pub kv_dtype: String,
    /// Seed of all draws.
    pub seed: u64,
    /// When the question comes.
    pub protocol: crate::eval::prompt::Protocol,
    /// Bytes of a dense cache by its tokens.
    pub dense_kv_bytes: BTreeMap<usize, usize>,
    /// Masks and plans, in the order of rows.
    pub masks: Vec<MaskHeader>,
    /// What needles in prose are hidden in.
    pub haystack: Option<SourceHeader>,
    /// Texts and data files.
    pub sources: Vec<SourceHeader>,
    /// Recall tasks and lengths that were left out because their shortest prompt does not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub does_not_fit: Vec<String>,
    /// Jobs of the whole run; each is one line.
    pub jobs: usize,
    /// The part of the run that is here; `None` is all of it.
    pub shard: Option<Shard>,
}

impl RunHeader {
    /// The header of a whole run: its plan, the lengths that bytes are told at, the command that
    /// makes it, and its texts.
    pub fn of(
        plan: &EvalPlan,
        lengths: &[usize],
        command: String,
        (haystack, sources): (Option<SourceHeader>, Vec<SourceHeader>),
    ) -> Self {
        let bytes = |spec: &CacheSpec| -> BTreeMap<usize, usize> {
            lengths.iter().map(|&len| (len, spec.bytes_at(len).total())).collect()
        };
        let masks = plan.masks.iter();
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            tool: concat!("kscope ", env!("CARGO_PKG_VERSION")).to_owned(),
            commit: built_from(option_env!("KSCOPE_COMMIT")),
            command,
            model: plan.model.name.clone(),
            model_fingerprint: fingerprint(&plan.model.config().geometry()),
            weights: plan.model.decoder.step_weights(),
            kv_dtype: plan.dense.dtype().to_string(),
            seed: plan.seed,
            protocol: plan.protocol,
            dense_kv_bytes: bytes(&plan.dense),
            masks: masks.map(|mask| MaskHeader::of(&mask.name, &mask.spec, lengths)).collect(),
            haystack,
            sources,
            does_not_fit: Vec::new(),
            jobs: plan.jobs().len(),
            shard: None,
        }
    }

    /// The numbers of the jobs whose results belong here: all of the run's, or those of the part.
    pub fn own_jobs(&self) -> impl Iterator<Item = usize> {
        (0..self.jobs).filter(|&job| self.shard.is_none_or(|shard| shard.holds(job)))
    }

    /// How many these are. A file may claim any number of jobs, so they are not counted one by one.
    pub fn own_count(&self) -> usize {
        self.shard.map_or(self.jobs, |shard| shard.count(self.jobs))
    }

    /// Refuses another run's results, naming the first setting that differs.
    pub fn check_same(&self, found: &Self, name: &str) -> Result<()> {
        if self == found {
            return Ok(());
        }
        let json = |header: &Self| serde_json::to_value(header).unwrap_or_default();
        let (own, other) = (json(self), json(found));
        let differs =
            own.as_object().into_iter().flatten().find(|(key, value)| other[key] != **value);
        let (key, value) = differs.map_or(("", &own), |(key, value)| (key.as_str(), value));
        let (own, other) = from_difference(&value.to_string(), &other[key].to_string());
        Err(Error::input(format!(
            "{name} holds results of another run: expected `{key}` {}, found {}",
            shortened(&own),
            shortened(&other)
        )))
    }
}

/// Two long texts from the last blank before they differ, with `…` for what is left out.
fn from_difference(own: &str, other: &str) -> (String, String) {
    let same = own.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
    let at = same.map_or(own.len().min(other.len()), |((at, _), _)| at);
    // Twenty characters before it are enough to see what it belongs to.
    let before = own[..at].char_indices().rev().nth(20).map_or(0, |(at, _)| at);
    match own[..before].rfind(' ') {
        None => (own.to_owned(), other.to_owned()),
        Some(cut) => (format!("…{}", &own[cut..]), format!("…{}", &other[cut..])),
    }
}

/// The commit of the build; none where a build script left the variable empty or did not set it, as
/// in a build from a crate or a tarball.
fn built_from(variable: Option<&str>) -> Option<String> {
    variable.map(str::trim).filter(|commit| !commit.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commands_are_shown_from_where_they_differ() {
        let words =
            |seed: &str| format!("\"kscope eval --model demo --mask a.safetensors --seed {seed}\"");
        let (own, other) = from_difference(&words("7"), &words("42"));
        assert_eq!((&*own, &*other), ("… a.safetensors --seed 7\"", "… a.safetensors --seed 42\""));
        assert_eq!(from_difference("1", "2"), ("1".to_owned(), "2".to_owned()));
    }

    /// The bench once showed the recall of `q4_0-hadamard` in the row of `k4v4`.
    #[test]
    fn plans_of_the_same_widths_that_code_otherwise_are_told_apart() {
        let shape = crate::mask::Shape { layers: 2, kv_heads: 2, head_dim: 64 };
        let of = |name: &str| plan_fingerprint(&CachePlan::named(name, shape).unwrap());
        let own = ["k4v4", "q4_0", "q4_0-hadamard"].map(of);
        assert!(own[0] != own[1] && own[1] != own[2] && own[0] != own[2], "{own:?}");
        assert_eq!(of("q8_0"), of("q8_0"));
    }

    #[test]
    fn an_empty_commit_is_an_unknown_one() {
        assert_eq!(built_from(Some("0123abc\n")), Some("0123abc".to_owned()));
        assert_eq!(built_from(Some("")), None);
        assert_eq!(built_from(None), None);
    }
}
