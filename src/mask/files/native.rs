//! kscope's own files: safetensors with tensors, and metadata as text.
//!
//! `format` is `kscope-mask`, `kscope-importance` or `kscope-sensitivity`. A mask has the U8 tensor
//! `mask` and perhaps the F32 tensor `importance`, and `version` 1. A plan with widths other than
//! 16 and 0 bits has `version` 2 and also the U8 tensors `k_bits` and `v_bits`; its `mask` says
//! which channels store anything, and its `v_group` how many channels of V share a scale. Both may
//! hold the sensitivity that they were made from as the F32 tensors `sensitivity_k` and
//! `sensitivity_v`. An importance file has the tensor `importance`, a sensitivity file `k` and `v`;
//! both have `version` 1. FileTensors of other names are ignored.
//!
//! The other keys are `model`, `model_fingerprint`, `channel_order`, `sink`, `recent`, `chunk`,
//! `align`, `target_sparsity` (masks and plans; empty = unknown) and `recipe` (JSON).

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize};

use super::contents::{Contents, ImportanceFile, MaskFile, Origin, SensitivityFile};
use super::tensors::{self, FileTensors};
use crate::error::shortened;
use crate::mask::select::ALIGNMENTS;
use crate::mask::{CachePlan, Coding, V_GROUP, Window};
use crate::{Error, Result, json_keys};

const MASK: &str = "kscope-mask";
const IMPORTANCE: &str = "kscope-importance";
const SENSITIVITY: &str = "kscope-sensitivity";

/// Reads a mask, plan, importance or sensitivity file.
pub fn parse(bytes: &[u8], name: &str) -> Result<Contents> {
    let wrong = |sentence: String| Error::input(format!("{name}: {sentence}"));
    let broken =
        |error| wrong(format!("expected a safetensors file, found a broken one ({error})"));
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    if let Some(tensor) = json_keys::repeated_tensor(bytes) {
        let tensor = shortened(&tensor);
        return Err(wrong(format!("expected tensors of different names, found two of {tensor:?}")));
    }
    let metadata = Metadata { name, entries: header.metadata().clone().unwrap_or_default() };
    let format = metadata.text("format")?;
    if ![MASK, IMPORTANCE, SENSITIVITY].contains(&format) {
        let known = format!("{MASK}, {IMPORTANCE} or {SENSITIVITY}");
        return Err(metadata.unexpected("format", &known));
    }
    let version = match metadata.text("version")? {
        "1" => 1,
        "2" if format == MASK => 2,
        _ if format == MASK => return Err(metadata.unexpected("version", "1 or 2")),
        _ => return Err(metadata.unexpected("version", "1")),
    };
    metadata.expect("channel_order", "rotate-half")?;
    let origin = metadata.origin()?;
    let tensors = FileTensors { name, tensors };
    match format {
        IMPORTANCE => {
            let importance = tensors.importance()?;
            let importance = importance.ok_or_else(|| tensors.missing("importance"))?;
            Ok(Contents::Importance(ImportanceFile { importance, origin }))
        }
        SENSITIVITY => {
            let sensitivity = tensors.sensitivity("k", "v")?;
            let sensitivity = sensitivity.ok_or_else(|| tensors.missing("k"))?;
            Ok(Contents::Sensitivity(SensitivityFile { sensitivity, origin }))
        }
        _ => {
            let plan = match version {
                1 => CachePlan::of_mask(&tensors.mask_alone()?),
                _ => tensors.plan(metadata.coding()?)?,
            };
            let importance = tensors.importance()?;
            tensors.same_shape("importance", importance.as_ref().map(|it| it.shape()), &plan)?;
            let sensitivity = tensors.sensitivity("sensitivity_k", "sensitivity_v")?;
            tensors.same_shape("sensitivity", sensitivity.as_ref().map(|it| it.shape()), &plan)?;
            let target_sparsity = metadata.target_sparsity()?;
            Ok(Contents::Mask(MaskFile { plan, importance, sensitivity, target_sparsity, origin }))
        }
    }
}

/// Writes a file; equal contents give equal bytes. A plan that is a mask is written as version 1.
pub(super) fn encode(contents: &Contents) -> Result<Vec<u8>> {
    if let Contents::Mask(file) = contents
        && let Coding::Blocks { .. } = file.plan.coding()
    {
        return Err(Error::input(
            "a plan of blocks per token has a name, such as `--plan q8_0`, and no file",
        ));
    }
    let failed = |error: safetensors::SafeTensorError| {
        Error::run(format!("writing a safetensors file: {error}"))
    };
    let stored = tensors::of(contents);
    let views = stored
        .iter()
        .map(|tensor| {
            TensorView::new(tensor.dtype, tensor.axes.clone(), &tensor.bytes)
                .map(|view| (tensor.name, view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let mut bytes = serialize(views, Some(describe(contents))).map_err(failed)?;
    sort_header(&mut bytes)?;
    Ok(bytes)
}

fn describe(contents: &Contents) -> HashMap<String, String> {
    let Origin { model, fingerprint, window, align, recipe } = contents.origin();
    let (format, version) = match contents {
        Contents::Mask(file) if file.plan.is_mask() => (MASK, "1"),
        Contents::Mask(_) => (MASK, "2"),
        Contents::Importance(_) => (IMPORTANCE, "1"),
        Contents::Sensitivity(_) => (SENSITIVITY, "1"),
    };
    let mut entries = HashMap::from([
        ("format".to_string(), format.to_string()),
        ("version".to_string(), version.to_string()),
        ("model".to_string(), model.clone()),
        ("model_fingerprint".to_string(), fingerprint.clone()),
        ("channel_order".to_string(), "rotate-half".to_string()),
        ("sink".to_string(), window.sink.to_string()),
        ("recent".to_string(), window.recent.to_string()),
        ("chunk".to_string(), window.chunk.to_string()),
        ("align".to_string(), align.to_string()),
        ("recipe".to_string(), recipe.to_string()),
    ]);
    if let Contents::Mask(file) = contents {
        let sparsity =
            file.target_sparsity.map_or_else(String::new, |sparsity| sparsity.to_string());
        entries.insert("target_sparsity".to_string(), sparsity);
        if let Coding::Channels { v_group } = file.plan.coding()
            && !file.plan.is_mask()
        {
            entries.insert("v_group".to_string(), v_group.to_string());
        }
    }
    entries
}

/// Sorts the header's keys. The library writes metadata in the order of a hash table, which changes
/// from run to run, and a checksum must not change.
fn sort_header(bytes: &mut [u8]) -> Result<()> {
    let failed =
        |error: serde_json::Error| Error::run(format!("ordering a safetensors header: {error}"));
    let cut = || Error::run("ordering a safetensors header: it is cut off");
    let (eight, rest) = bytes.split_first_chunk_mut().ok_or_else(cut)?;
    let length = u64::from_le_bytes(*eight) as usize;
    let header = rest.get_mut(..length).ok_or_else(cut)?;
    let mut json: serde_json::Value = serde_json::from_slice(header).map_err(failed)?;
    json.sort_all_objects();
    let sorted = serde_json::to_vec(&json).map_err(failed)?;
    // The same tokens in another order have the same length; the remaining bytes are the library's
    // padding.
    header.fill(b' ');
    header.get_mut(..sorted.len()).ok_or_else(cut)?.copy_from_slice(&sorted);
    Ok(())
}

/// The metadata of a file; errors name the key.
struct Metadata<'a> {
    name: &'a str,
    entries: HashMap<String, String>,
}

impl Metadata<'_> {
    fn text(&self, key: &str) -> Result<&str> {
        let missing =
            || Error::input(format!("{}: expected metadata {key:?}, found none", self.name));
        self.entries.get(key).map(String::as_str).ok_or_else(missing)
    }

    fn unexpected(&self, key: &str, expected: &str) -> Error {
        let found = self.entries.get(key).map_or_else(String::new, |value| shortened(value));
        Error::input(format!(
            "{}: metadata {key:?}: expected {expected}, found {found:?}",
            self.name
        ))
    }

    fn expect(&self, key: &str, expected: &str) -> Result<()> {
        if self.text(key)? == expected { Ok(()) } else { Err(self.unexpected(key, expected)) }
    }

    fn tokens(&self, key: &str) -> Result<usize> {
        // Windows are added up later; 32 bits leave room for that.
        let number =
            self.text(key)?.parse::<u32>().map_err(|_| self.unexpected(key, "a whole number"))?;
        Ok(number as usize)
    }

    fn origin(&self) -> Result<Origin> {
        let window = Window {
            sink: self.tokens("sink")?,
            recent: self.tokens("recent")?,
            chunk: self.tokens("chunk")?,
        };
        if window.chunk == 0 {
            return Err(self.unexpected("chunk", "at least 1"));
        }
        let align = self.tokens("align")?;
        if !ALIGNMENTS.contains(&align) {
            return Err(self.unexpected("align", "one of 1, 2, 4, 8, 16, 32"));
        }
        let fingerprint = self.text("model_fingerprint")?;
        if !(fingerprint.is_empty()
            || fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(self.unexpected("model_fingerprint", "64 hexadecimal digits or nothing"));
        }
        let recipe = serde_json::from_str(self.text("recipe")?)
            .map_err(|_| self.unexpected("recipe", "JSON"))?;
        Ok(Origin {
            model: self.text("model")?.to_string(),
            fingerprint: fingerprint.to_string(),
            window,
            align,
            recipe,
        })
    }

    /// How the numbers of a plan share scales.
    fn coding(&self) -> Result<Coding> {
        let v_group = match self.entries.contains_key("v_group") {
            true => self.tokens("v_group")?,
            false => V_GROUP,
        };
        match v_group {
            0 => Err(self.unexpected("v_group", "at least 1")),
            _ => Ok(Coding::Channels { v_group }),
        }
    }

    fn target_sparsity(&self) -> Result<Option<f64>> {
        match self.text("target_sparsity")? {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(sparsity) if (0.0..=1.0).contains(&sparsity) => Ok(Some(sparsity)),
                _ => Err(self.unexpected("target_sparsity", "a number from 0 to 1 or nothing")),
            },
        }
    }
}
