//! kscope's own files: safetensors with a U8 tensor `mask`, an F32 tensor `importance`, and
//! metadata as text.
//!
//! `format` is `kscope-mask` (a mask, perhaps with its importance) or `kscope-importance`
//! (importance alone). The other keys are `version`, `model`, `model_fingerprint`, `channel_order`,
//! `sink`, `recent`, `chunk`, `align`, `target_sparsity` (masks only; empty = unknown) and `recipe`
//! (JSON).

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::contents::{Contents, ImportanceFile, MaskFile, Origin};
use crate::error::shortened;
use crate::mask::select::ALIGNMENTS;
use crate::mask::{ChannelMask, Importance, Shape, Window};
use crate::{Error, Result};

const MASK: &str = "kscope-mask";
const IMPORTANCE: &str = "kscope-importance";

/// Reads a mask or importance file.
pub fn parse(bytes: &[u8], name: &str) -> Result<Contents> {
    let wrong = |sentence: String| Error::input(format!("{name}: {sentence}"));
    let broken =
        |error| wrong(format!("expected a safetensors file, found a broken one ({error})"));
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = Metadata { name, entries: header.metadata().clone().unwrap_or_default() };

    let format = metadata.text("format")?;
    if format != MASK && format != IMPORTANCE {
        return Err(metadata.unexpected("format", &format!("{MASK} or {IMPORTANCE}")));
    }
    metadata.expect("version", "1")?;
    metadata.expect("channel_order", "rotate-half")?;
    let origin = metadata.origin()?;

    let importance = match tensors.tensor("importance") {
        Ok(tensor) => Some(read_importance(&tensor).map_err(|error| wrong(error.to_string()))?),
        Err(_) => None,
    };
    if format == IMPORTANCE {
        let importance = importance
            .ok_or_else(|| wrong("expected a tensor named importance, found none".into()))?;
        return Ok(Contents::Importance(ImportanceFile { importance, origin }));
    }
    let tensor = tensors
        .tensor("mask")
        .map_err(|_| wrong("expected a tensor named mask, found none".into()))?;
    let mask = read_mask(&tensor).map_err(|error| wrong(error.to_string()))?;
    if let Some(importance) = &importance
        && importance.shape() != mask.shape()
    {
        return Err(wrong(format!(
            "expected importance of the mask's shape {}, found {}",
            mask.shape(),
            importance.shape()
        )));
    }
    let target_sparsity = metadata.target_sparsity()?;
    Ok(Contents::Mask(MaskFile { mask, importance, target_sparsity, origin }))
}

/// Writes a file; equal contents give equal bytes.
pub(super) fn encode(contents: &Contents) -> Result<Vec<u8>> {
    let shape = contents.shape();
    let axes = vec![shape.layers, shape.kv_heads, shape.head_dim];
    let scores: Vec<u8> = contents.importance().map_or_else(Vec::new, |importance| {
        importance.scores().iter().flat_map(|score| score.to_le_bytes()).collect()
    });
    let bits = match contents {
        Contents::Mask(file) => file.mask.bytes(),
        Contents::Importance(_) => Vec::new(),
    };
    let failed = |error: safetensors::SafeTensorError| {
        Error::run(format!("writing a safetensors file: {error}"))
    };
    let mut tensors = Vec::new();
    if !scores.is_empty() {
        tensors.push((
            "importance",
            TensorView::new(Dtype::F32, axes.clone(), &scores).map_err(failed)?,
        ));
    }
    if !bits.is_empty() {
        tensors.push(("mask", TensorView::new(Dtype::U8, axes, &bits).map_err(failed)?));
    }
    let mut bytes = serialize(tensors, Some(describe(contents))).map_err(failed)?;
    sort_header(&mut bytes)?;
    Ok(bytes)
}

fn describe(contents: &Contents) -> HashMap<String, String> {
    let Origin { model, fingerprint, window, align, recipe } = contents.origin();
    let format = if matches!(contents, Contents::Mask(_)) { MASK } else { IMPORTANCE };
    let mut entries = HashMap::from([
        ("format".to_string(), format.to_string()),
        ("version".to_string(), "1".to_string()),
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
    }
    entries
}

/// Sorts the header's keys. The library writes metadata in the order of a hash table, which changes
/// from run to run, and a checksum must not change.
fn sort_header(bytes: &mut [u8]) -> Result<()> {
    let failed =
        |error: serde_json::Error| Error::run(format!("ordering a safetensors header: {error}"));
    let length =
        u64::from_le_bytes(bytes[..8].try_into().expect("a header starts with 8 bytes")) as usize;
    let header = &mut bytes[8..8 + length];
    let mut json: serde_json::Value = serde_json::from_slice(header).map_err(failed)?;
    json.sort_all_objects();
    let sorted = serde_json::to_vec(&json).map_err(failed)?;
    // The same tokens in another order have the same length; the remaining bytes are the library's
    // padding.
    header.fill(b' ');
    header[..sorted.len()].copy_from_slice(&sorted);
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

fn shape_of(tensor: &TensorView<'_>, name: &str, dtype: Dtype) -> Result<Shape> {
    if tensor.dtype() != dtype {
        return Err(Error::input(format!(
            "tensor {name}: expected type {dtype:?}, found {:?}",
            tensor.dtype()
        )));
    }
    match *tensor.shape() {
        [layers, kv_heads, head_dim] => Shape::checked(layers, kv_heads, head_dim),
        ref other => Err(Error::input(format!(
            "tensor {name}: expected 3 axes (layers, KV heads, channels), found {other:?}"
        ))),
    }
}

fn read_mask(tensor: &TensorView<'_>) -> Result<ChannelMask> {
    let shape = shape_of(tensor, "mask", Dtype::U8)?;
    if let Some(index) = tensor.data().iter().position(|&byte| byte > 1) {
        let (head, channel) = (index / shape.head_dim, index % shape.head_dim);
        return Err(Error::input(format!(
            "tensor mask, layer {}, KV head {}, channel {channel}: expected 0 or 1, found {}",
            head / shape.kv_heads,
            head % shape.kv_heads,
            tensor.data()[index]
        )));
    }
    ChannelMask::new(shape, tensor.data().iter().map(|&byte| byte == 1).collect())
}

fn read_importance(tensor: &TensorView<'_>) -> Result<Importance> {
    let shape = shape_of(tensor, "importance", Dtype::F32)?;
    Importance::new(
        shape,
        tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
    )
}
