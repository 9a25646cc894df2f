//! The file of results: a header, and a line for everything that is finished. Lines are found by what
//! they are of and not by their order, so a file of variants may change between two runs: what is in
//! it already is not done again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::shortened;
use crate::json_lines::{JsonLines, whole_lines};
use crate::mask::{Shape, Window};
use crate::{Error, Result};

/// The file of results in a run's folder.
pub const RESULTS: &str = "results.jsonl";

/// What marks a file of results.
const FORMAT: &str = "kscope-variants";

/// What all results of a file have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct VariantHeader {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) tool: String,
    pub(super) model: String,
    pub(super) model_fingerprint: String,
    pub(super) weights: String,
    pub(super) shape: Shape,
    pub(super) window: Window,
    /// Names and sha256 of the texts that are learned from.
    pub(super) texts: Vec<(String, String)>,
}

impl VariantHeader {
    /// A header of this version.
    pub(super) fn new(
        model: &crate::model::Model,
        window: Window,
        texts: Vec<(String, String)>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: 1,
            tool: concat!("kscope ", env!("CARGO_PKG_VERSION")).to_owned(),
            model: model.name.clone(),
            model_fingerprint: crate::mask::fingerprint(&model.config().geometry()),
            weights: model.decoder.step_weights(),
            shape: model.config().mask_shape(),
            window,
            texts,
        }
    }
}

/// A mask that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MadeLine {
    /// What it was made by: see [`made_key`](super::run).
    pub(super) key: String,
    /// The variant's name, the seed and the target, for whoever reads the file.
    pub(super) variant: String,
    pub(super) seed: u64,
    pub(super) target: String,
    /// The mask's file in the folder.
    pub(super) file: String,
    /// Sha256 of its plan.
    pub(super) plan: String,
    /// Bytes of its middle for a dense one's 1.
    pub(super) bytes_share: f64,
    /// Share of channels that it prunes.
    pub(super) pruned: f64,
    pub(super) dropped_heads: usize,
    /// Seconds that the masks of this variant and seed took, all targets together, what it shared
    /// with variants before it not counted again.
    pub(super) seconds: f64,
    /// Validation losses of the cut and of what stage 2 kept.
    pub(super) validation: Option<(f32, f32)>,
}

/// Answers to one prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct GivenAnswers {
    /// Which were right.
    pub(super) right: Vec<bool>,
    /// Mean negative log-probability of the digits of each, in nats.
    pub(super) nll: Vec<f64>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VariantLine {
    /// The bytes that a sparsity stands for, by the first variant's mask.
    Target { key: String, bytes_share: f64 },
    /// A mask.
    Made(MadeLine),
    /// Mean KLD of a window by the plan's sha256, in nats.
    Text { item: String, text: String, kld: BTreeMap<String, f64> },
    /// Answers to a prompt by the plan's sha256.
    Answers { item: String, given: BTreeMap<String, GivenAnswers> },
}

/// The plan that stands for the dense cache in answers.
pub(super) const DENSE: &str = "dense";

/// What the file holds, and the file to add to.
pub(super) struct VariantResults {
    file: JsonLines,
    pub(super) targets: HashMap<String, f64>,
    pub(super) made: HashMap<String, MadeLine>,
    /// By item and plan.
    pub(super) kld: HashMap<(String, String), f64>,
    pub(super) answers: HashMap<(String, String), GivenAnswers>,
}

impl VariantResults {
    /// Opens the file of a folder.
    ///
    /// # Errors
    /// Results of another model, window or text, and lines that are no results.
    pub(super) fn open(folder: &Path, header: &VariantHeader) -> Result<Self> {
        let (file, held) = JsonLines::open(folder, RESULTS, "kscope bench learn")?;
        let mut results = Self {
            file,
            targets: HashMap::new(),
            made: HashMap::new(),
            kld: HashMap::new(),
            answers: HashMap::new(),
        };
        let name = results.file.name();
        let wrong = |at: usize, cause: String| Error::input(format!("{name}, line {at}: {cause}"));
        let mut lines = whole_lines(&held);
        // Cut off inside the header, nothing is lost.
        let Some((at, first)) = lines.next() else {
            results.file.cut(0)?;
            results.file.push(header)?;
            return Ok(results);
        };
        let found: VariantHeader = serde_json::from_str(first).map_err(|cause| {
            wrong(at, format!("this is no header of kscope bench learn: {cause}"))
        })?;
        same(header, &found).map_err(|why| wrong(at, why))?;
        let mut end = first.len();
        for (at, line) in lines {
            let line_found: VariantLine = serde_json::from_str(line)
                .map_err(|cause| wrong(at, format!("expected a result, found {cause}")))?;
            results.know(line_found);
            end += line.len();
        }
        results.file.cut(end)?;
        Ok(results)
    }

    /// Writes a line and knows it from then on.
    pub(super) fn push(&mut self, line: VariantLine) -> Result<()> {
        self.file.push(&line)?;
        self.know(line);
        Ok(())
    }

    fn know(&mut self, line: VariantLine) {
        match line {
            VariantLine::Target { key, bytes_share } => {
                self.targets.insert(key, bytes_share);
            }
            VariantLine::Made(made) => {
                self.made.insert(made.key.clone(), made);
            }
            VariantLine::Text { item, kld, .. } => {
                self.kld.extend(kld.into_iter().map(|(plan, kld)| ((item.clone(), plan), kld)));
            }
            VariantLine::Answers { item, given } => {
                let keyed = given.into_iter().map(|(plan, given)| ((item.clone(), plan), given));
                self.answers.extend(keyed);
            }
        }
    }
}

/// Why a file's results are of another run, by the first thing that differs.
fn same(own: &VariantHeader, found: &VariantHeader) -> Result<(), String> {
    let json = |header: &VariantHeader| serde_json::to_value(header).unwrap_or_default();
    let (own, found) = (json(own), json(found));
    let differs = own.as_object().into_iter().flatten().find(|(key, value)| found[key] != **value);
    match differs {
        None => Ok(()),
        Some((key, value)) => Err(format!(
            "results of another run: expected `{key}` {}, found {}",
            shortened(&value.to_string()),
            shortened(&found[key].to_string())
        )),
    }
}
