//! Weights and configuration from a GGUF file.
//!
//! Llama files store each head's q and k rows in interleaved order (pairs side by side). They are
//! brought to rotate-half order here by moving whole stored rows, so quantised values do not
//! change.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device};

use super::gguf_header::{TensorInfo, unsigned};
use super::gguf_keys::{self, Rotation};
use super::gguf_parts::{self, Part};
use super::gguf_types::GgufElement;
use super::unread;
use crate::element::Dtype;
use crate::error::shortened;
use crate::model::arch::{Architecture, Spelling};
use crate::model::config::Config;
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::weights::{Stored, Tensors};
use crate::numbers::count;
use crate::{Error, Result};

/// An open GGUF file, with all parts of a split one.
pub struct Gguf {
    name: String,
    /// The first has the metadata.
    parts: Vec<Part>,
    architecture: &'static Architecture,
}

impl Gguf {
    /// Opens a file, and the other parts where it is one of several, and reads the metadata.
    pub fn open(path: &Path) -> Result<Self> {
        let parts = gguf_parts::open(path)?;
        let first = &parts[0];
        let name = first.name.clone();
        if let Some(Value::String(what)) = first.header.metadata.get("general.type")
            && what != "model"
        {
            return Err(Error::input(format!(
                "{name}: `general.type` is `{}`, so it holds no model of its own",
                shortened(what)
            )));
        }
        let family = match first.header.metadata.get("general.architecture") {
            Some(Value::String(family)) => family.clone(),
            _ => return Err(Error::input(format!("{name}: `general.architecture` is missing"))),
        };
        let architecture = Architecture::of_gguf(&family)
            .map_err(|error| Error::input(format!("{name}: {error}")))?;
        Ok(Self { name, parts, architecture })
    }

    /// The file named in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metadata table.
    pub fn metadata(&self) -> &HashMap<String, Value> {
        &self.parts[0].header.metadata
    }

    /// A metadata value of the model's own architecture: `llama.block_count` for `block_count`.
    pub(super) fn field(&self, key: &str) -> Option<&Value> {
        let Some(Value::String(family)) = self.metadata().get("general.architecture") else {
            return None;
        };
        self.metadata().get(&format!("{family}.{key}"))
    }

    /// Keys of the model's own family, without its prefix.
    pub(super) fn own_keys(&self) -> impl Iterator<Item = &str> {
        let prefix = match self.metadata().get("general.architecture") {
            Some(Value::String(family)) => family.as_str(),
            _ => "",
        };
        self.metadata().keys().filter_map(move |key| key.strip_prefix(prefix)?.strip_prefix('.'))
    }

    /// An error of a key of the model's own family.
    pub(super) fn wrong(&self, key: &str, what: &str) -> Error {
        Error::input(format!("{}: `{key}` {what}", self.name))
    }

    pub(super) fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "a count, the same for every layer,", |value| {
            let count = match value {
                // One number a layer.
                Value::Array(list) => {
                    let first = list.first().and_then(unsigned)?;
                    list.iter().all(|n| unsigned(n) == Some(first)).then_some(first)?
                }
                one => unsigned(one)?,
            };
            usize::try_from(count).ok()
        })
    }

    fn count(&self, key: &str) -> Result<usize> {
        self.optional_count(key)?
            .ok_or_else(|| Error::input(format!("{}: metadata `{key}` is missing", self.name)))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", number_of)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        self.field(key)
            .map(|value| {
                read(value).ok_or_else(|| {
                    let found = match value {
                        Value::Array(list) => format!("a list of {}", list.len()),
                        Value::String(_) => "a string".to_owned(),
                        Value::Bool(flag) => flag.to_string(),
                        other => number_of(other).unwrap_or(f64::NAN).to_string(),
                    };
                    self.wrong(key, &format!("must be {expected}, not {found}"))
                })
            })
            .transpose()
    }

    /// The model's configuration.
    pub fn config(&self) -> Result<Config> {
        let Architecture { keys, tensors, .. } = self.architecture;
        let hidden = self.count(keys.hidden.gguf)?;
        let heads = self.count(keys.heads.gguf)?.max(1);
        let head_dim = self.head_dim()?;
        for (key, what) in
            [("attention.value_length", "values"), ("rope.dimension_count", "rotated channels")]
        {
            if let Some(found) = self.optional_count(key)?
                && found != head_dim
            {
                return Err(Error::input(format!(
                    "{}: heads of {head_dim} channels with {found} {what} are not supported",
                    self.name
                )));
            }
        }
        let embedding =
            self.info(&format!("{}.weight", tensors.embedding.gguf))?.shape.dims().to_vec();
        let trained_context = self.count(keys.context.gguf)?;
        let Rotation { scaling: rope_scaling, magnitude: rope_magnitude } =
            Rotation::read(self, trained_context)?;
        let mut max_context = rope_scaling.context(trained_context);
        let mut context_key = keys.context.gguf;
        let window = self.optional_count(keys.window.gguf)?.filter(|&window| window > 0);
        if let Some(window) = window.filter(|_| self.architecture.window.is_some())
            && window < max_context
        {
            (max_context, context_key) = (window, keys.window.gguf);
        }
        let config = Config {
            architecture: self.architecture,
            layers: self.count(keys.layers.gguf)?,
            hidden,
            intermediate: self.count(keys.intermediate.gguf)?,
            heads,
            kv_heads: self.optional_count(keys.kv_heads.gguf)?.unwrap_or(heads),
            head_dim,
            vocab: embedding.first().copied().unwrap_or(0),
            rms_eps: self
                .number(keys.rms_eps.gguf)?
                .ok_or_else(|| self.wrong(keys.rms_eps.gguf, "is missing"))?
                as f32,
            rope_theta: self.number(keys.rope_theta.gguf)?.unwrap_or(10_000.0),
            rope_scaling,
            rope_divisors: self.rope_divisors()?,
            rope_magnitude,
            max_context,
            context_key,
            tied: !self.holds(&format!("{}.weight", tensors.head.gguf)),
            qkv_bias: self.has_bias(tensors.q),
            output_bias: self.has_bias(tensors.output),
            mlp_bias: self.has_bias(tensors.down),
            qk_norm: self.architecture.qk_norm,
            eos: self.token_id("eos").into_iter().chain(self.token_id("eot")).collect(),
            bos: self.token_id("bos"),
        };
        config.check().map_err(|error| Error::input(format!("{}: {error}", self.name)))?;
        Ok(config)
    }

    /// One sentence on the tensors that the model does not read. Those of its own parts that it
    /// would have to read (a bias, a scale) are refused.
    pub fn unread(&self, config: &Config) -> Result<Option<String>> {
        let names = &self.architecture.tensors;
        let expected = unread::expected(config).into_iter().filter_map(|name| names.gguf(&name));
        let expected: Vec<String> = expected.collect();
        let modules: HashSet<&str> =
            expected.iter().filter_map(|name| Some(name.rsplit_once('.')?.0)).collect();
        let held = self.parts.iter().flat_map(|part| part.header.tensors.keys());
        let unread = unread::unread(held.map(String::as_str), expected.iter().cloned());
        let meant = unread.iter().find(|name| {
            name.rsplit_once('.').is_some_and(|(module, kind)| {
                modules.contains(module) && matches!(kind, "bias" | "scale" | "input_scale")
            })
        });
        match meant {
            Some(name) => Err(Error::input(format!(
                "{}: tensor `{}` changes what the model computes and is not read for {}",
                self.name,
                shortened(name),
                self.architecture
            ))),
            None => Ok(unread::warning(&self.name, &unread)),
        }
    }

    fn holds(&self, tensor: &str) -> bool {
        self.locate(tensor).is_some()
    }

    /// Whether a part of the first block has a bias.
    fn has_bias(&self, part: Spelling) -> bool {
        self.holds(&self.architecture.tensors.gguf_part(0, part, "bias"))
    }

    fn token_id(&self, which: &str) -> Option<u32> {
        let value = self.metadata().get(&format!("tokenizer.ggml.{which}_token_id"))?;
        unsigned(value).and_then(|id| u32::try_from(id).ok())
    }

    /// The tensor of divisors of the frequencies, where the file has one.
    fn rope_divisors(&self) -> Result<Option<Vec<f32>>> {
        let name = "rope_freqs.weight";
        if !self.holds(name) {
            return Ok(None);
        }
        let elements = self.info(name)?.shape.elem_count();
        Ok(Some(self.read(name, &[elements], false)?.matrix.widened()))
    }

    /// What a user should know of the metadata; keys that change the result and are not supported
    /// are refused.
    pub fn check_keys(&self) -> Result<Vec<String>> {
        gguf_keys::check(self, self.architecture, self.head_dim()?)
    }

    /// A tensor and the file that holds it.
    fn locate(&self, name: &str) -> Option<(&Part, &TensorInfo)> {
        self.parts.iter().find_map(|part| Some((part, part.header.tensors.get(name)?)))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        Ok(self.located(name)?.1)
    }

    fn located(&self, name: &str) -> Result<(&Part, &TensorInfo)> {
        self.locate(name)
            .ok_or_else(|| Error::input(format!("{}: tensor `{name}` is missing", self.name)))
    }

    /// The stored bytes of one tensor under its GGUF name, rows in rotate-half order, with its
    /// type, rows and columns.
    fn raw(
        &self,
        name: &str,
        shape: &[usize],
        interleaved: bool,
    ) -> Result<(Vec<u8>, GgufElement, [usize; 2])> {
        let (part, info) = self.located(name)?;
        let found = info.shape.dims();
        if found != shape {
            return Err(Error::input(format!(
                "{}: tensor `{name}` has shape {found:?}, expected {shape:?}",
                part.name
            )));
        }
        let cols = *shape.last().expect("tensors have at least one dimension");
        let rows = info.shape.elem_count() / cols.max(1);
        let broken = |what: String| Error::input(format!("{}: tensor `{name}` {what}", part.name));
        let element =
            GgufElement::of(info.kind).ok_or_else(|| broken(GgufElement::refusal(info.kind)))?;
        if !cols.is_multiple_of(element.block_len()) {
            return Err(broken(format!(
                "has rows of {cols}, no multiple of its blocks of {} values",
                element.block_len()
            )));
        }
        let row_bytes = cols / element.block_len() * element.block_bytes();
        let start = part.header.data_start.saturating_add(info.offset) as usize;
        let stored = rows
            .checked_mul(row_bytes)
            .and_then(|len| part.bytes.get(start..start.checked_add(len)?))
            .ok_or_else(|| {
                broken(format!(
                    "reaches beyond the end of the file ({} bytes)",
                    count(part.bytes.len())
                ))
            })?;
        let raw = if interleaved {
            rotate_half_rows(stored, row_bytes, rows, self.head_dim()?)
        } else {
            stored.to_vec()
        };
        Ok((raw, element, [rows, cols]))
    }

    /// One tensor under its GGUF name.
    fn read(&self, name: &str, shape: &[usize], interleaved: bool) -> Result<Stored> {
        let (raw, element, [rows, cols]) = self.raw(name, shape, interleaved)?;
        let broken = |what: String| Error::input(format!("{}: tensor `{name}` {what}", self.name));
        let by_candle = |dtype| {
            let tensor = qtensor_from_ggml(dtype, &raw, vec![rows, cols], &Device::Cpu)?
                .dequantize(&Device::Cpu)?;
            tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()
        };
        let wide = match element {
            GgufElement::Candle(dtype) => by_candle(dtype)
                .map_err(|cause| broken(format!("cannot be read: {}", first_line(&cause))))?,
            _ => element.widen(&raw).expect("all but candle's types are widened here"),
        };
        let matrix = Matrix::new(rows, cols, Elements::F32(wide.into()))?;
        Ok(match element {
            GgufElement::Candle(GgmlDType::F16) => matrix.into_dtype(Dtype::F16).into(),
            GgufElement::Candle(GgmlDType::BF16) => matrix.into_dtype(Dtype::Bf16).into(),
            GgufElement::Candle(GgmlDType::F32) | GgufElement::F64 => matrix.into(),
            _ => Stored { matrix, usual: Dtype::F16 },
        })
    }

    fn head_dim(&self) -> Result<usize> {
        let keys = &self.architecture.keys;
        match self.optional_count(keys.head_dim.gguf)? {
            Some(head_dim) => Ok(head_dim),
            None => Ok(self.count(keys.hidden.gguf)? / self.count(keys.heads.gguf)?.max(1)),
        }
    }
}

/// Rows of each head from interleaved (0, d/2, 1, d/2+1, ...) to rotate-half order, whole rows at a
/// time.
fn rotate_half_rows<T: Copy>(stored: &[T], row_len: usize, rows: usize, head_dim: usize) -> Vec<T> {
    let half = head_dim / 2;
    let mut out = Vec::with_capacity(stored.len());
    for row in 0..rows {
        let (head, channel) = (row / head_dim, row % head_dim);
        let from =
            head * head_dim + if channel < half { 2 * channel } else { 2 * (channel - half) + 1 };
        out.extend_from_slice(&stored[from * row_len..(from + 1) * row_len]);
    }
    out
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        // The shortest digits of a stored f32, as for a JSON file of the same model.
        Value::F32(n) => n.to_string().parse().ok(),
        Value::F64(n) => Some(*n),
        Value::I8(n) => Some(f64::from(*n)),
        Value::I16(n) => Some(f64::from(*n)),
        Value::I32(n) => Some(f64::from(*n)),
        Value::I64(n) => Some(*n as f64),
        other => unsigned(other).map(|n| n as f64),
    }
}

/// candle's errors can carry a backtrace; the first line says what is wrong.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

impl Tensors for Gguf {
    fn origin(&self) -> &str {
        &self.name
    }

    fn stored_bytes(&self) -> Option<u64> {
        let data = |part: &Part| (part.bytes.len() as u64).saturating_sub(part.header.data_start);
        Some(self.parts.iter().map(data).sum())
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Stored> {
        self.read(&self.known(name)?, &[rows, cols], self.is_interleaved(name))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let stored = self.known(name)?;
        let mut vector = self.read(&stored, &[len], false)?.matrix.widened();
        if self.is_interleaved(name) {
            vector = rotate_half_rows(&vector, 1, len, self.head_dim()?);
        }
        Ok(vector)
    }

    fn quantised(
        &mut self,
        name: &str,
        rows: usize,
        cols: usize,
        device: &Device,
    ) -> Result<Option<QTensor>> {
        let (raw, element, [rows, cols]) =
            self.raw(&self.known(name)?, &[rows, cols], self.is_interleaved(name))?;
        let dtype = match element {
            GgufElement::Candle(GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) => {
                return Ok(None);
            }
            GgufElement::Candle(dtype) => dtype,
            // A device has no product over these blocks; the host's widened weights are copied.
            _ => return Ok(None),
        };
        let broken = |cause| {
            Error::run(format!(
                "{}: tensor `{name}` on the device: {}",
                self.name,
                first_line(&cause)
            ))
        };
        qtensor_from_ggml(dtype, &raw, vec![rows, cols], device).map(Some).map_err(broken)
    }
}

impl Gguf {
    fn known(&self, name: &str) -> Result<String> {
        self.architecture.tensors.gguf(name).ok_or_else(|| {
            Error::input(format!("{}: no GGUF tensor stands for `{name}`", self.name))
        })
    }

    /// Whether the rows (or bias entries) of a tensor are in the interleaved order of Llama files.
    fn is_interleaved(&self, name: &str) -> bool {
        self.architecture.gguf_pairs_rows && self.architecture.tensors.is_q_or_k(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_move_from_interleaved_to_rotate_half_order() {
        // One byte a row, two heads of four channels; interleaved rows hold pairs (0, 2), (1, 3) of
        // each head.
        let stored = [0_u8, 2, 1, 3, 10, 12, 11, 13];
        assert_eq!(rotate_half_rows(&stored, 1, 8, 4), [0, 1, 2, 3, 10, 11, 12, 13]);
    }
}
