//! Weights and configuration from a GGUF file.
//!
//! Llama files store each head's q and k rows in interleaved order (pairs side by side). They are
//! brought to rotate-half order here by moving whole stored rows, so quantised values do not
//! change.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device};

use super::{Bytes, gguf_header};
use crate::element::Dtype;
use crate::model::arch::{Architecture, Spelling};
use crate::model::config::Config;
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::rope_scaling::RopeScaling;
use crate::model::weights::{Stored, Tensors};
use crate::numbers::count;
use crate::{Error, Result};

/// An open GGUF file.
pub struct Gguf {
    name: String,
    bytes: Bytes,
    content: Content,
    architecture: &'static Architecture,
}

impl Gguf {
    /// Opens a file and reads its metadata.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = Bytes::open(path)?;
        if gguf_header::has_zero_alignment(&bytes) {
            return Err(Error::input(format!(
                "{name}: `general.alignment` must be at least 1, not 0"
            )));
        }
        let content = Content::read(&mut Cursor::new(&*bytes)).map_err(|cause| {
            Error::input(format!("{name} is no readable GGUF file: {}", first_line(&cause)))
        })?;
        let family = match content.metadata.get("general.architecture") {
            Some(Value::String(family)) => family.clone(),
            _ => return Err(Error::input(format!("{name}: `general.architecture` is missing"))),
        };
        let architecture = Architecture::of_gguf(&family)
            .map_err(|error| Error::input(format!("{name}: {error}")))?;
        Ok(Self { name, bytes, content, architecture })
    }

    /// The file named in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metadata table.
    pub fn metadata(&self) -> &HashMap<String, Value> {
        &self.content.metadata
    }

    /// A metadata value of the model's own architecture: `llama.block_count` for `block_count`.
    fn field(&self, key: &str) -> Option<&Value> {
        let Some(Value::String(family)) = self.content.metadata.get("general.architecture") else {
            return None;
        };
        self.content.metadata.get(&format!("{family}.{key}"))
    }

    fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        self.field(key)
            .map(|value| {
                unsigned(value).and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
                    Error::input(format!("{}: `{key}` must be a count, not {value:?}", self.name))
                })
            })
            .transpose()
    }

    fn count(&self, key: &str) -> Result<usize> {
        self.optional_count(key)?
            .ok_or_else(|| Error::input(format!("{}: metadata `{key}` is missing", self.name)))
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.field(key).and_then(|value| match value {
            Value::F32(n) => Some(f64::from(*n)),
            Value::F64(n) => Some(*n),
            other => unsigned(other).map(|n| n as f64),
        })
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
        let (rope_scaling, mut max_context) = self.rope_scaling(trained_context)?;
        if let Some(window) = self.optional_count(keys.window.gguf)?.filter(|&window| window > 0) {
            max_context = max_context.min(window);
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
            rms_eps: self.number(keys.rms_eps.gguf).unwrap_or(1e-5) as f32,
            rope_theta: self.number(keys.rope_theta.gguf).unwrap_or(10_000.0),
            rope_scaling,
            max_context,
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

    fn holds(&self, tensor: &str) -> bool {
        self.content.tensor_infos.contains_key(tensor)
    }

    /// Whether a part of the first block has a bias.
    fn has_bias(&self, part: Spelling) -> bool {
        self.holds(&self.architecture.tensors.gguf_part(0, part, "bias"))
    }

    fn token_id(&self, which: &str) -> Option<u32> {
        let value = self.content.metadata.get(&format!("tokenizer.ggml.{which}_token_id"))?;
        unsigned(value).and_then(|id| u32::try_from(id).ok())
    }

    /// The scaling and the usable context.
    fn rope_scaling(&self, trained_context: usize) -> Result<(RopeScaling, usize)> {
        if self.holds("rope_freqs.weight") {
            let elements = self.info("rope_freqs.weight")?.shape.elem_count();
            let divisors = self.read("rope_freqs.weight", &[elements], false)?.matrix.widened();
            return Ok((RopeScaling::Divisors { divisors }, trained_context));
        }
        let kind = match self.field("rope.scaling.type") {
            Some(Value::String(kind)) => kind.as_str(),
            _ => "none",
        };
        let factor = self.number("rope.scaling.factor");
        let required = || {
            factor.ok_or_else(|| {
                Error::input(format!("{}: `rope.scaling.factor` is missing", self.name))
            })
        };
        match kind {
            "none" => Ok((RopeScaling::None, trained_context)),
            "linear" => Ok((RopeScaling::Linear { factor: required()? }, trained_context)),
            "yarn" => {
                let factor = required()?;
                let original = self
                    .optional_count("rope.scaling.original_context_length")?
                    .unwrap_or(trained_context);
                let scaling = RopeScaling::Yarn {
                    factor,
                    original,
                    beta_fast: self.number("rope.scaling.yarn_beta_fast").unwrap_or(32.0),
                    beta_slow: self.number("rope.scaling.yarn_beta_slow").unwrap_or(1.0),
                    attention_factor: self.number("rope.scaling.attn_factor").unwrap_or(1.0)
                        * RopeScaling::yarn_attention_factor(factor),
                };
                Ok((scaling, trained_context.max((factor * original as f64) as usize)))
            }
            other => Err(Error::input(format!(
                "{}: rope scaling type `{other}` is not supported (known: none, linear, yarn)",
                self.name
            ))),
        }
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.content
            .tensor_infos
            .get(name)
            .ok_or_else(|| Error::input(format!("{}: tensor `{name}` is missing", self.name)))
    }

    /// The stored bytes of one tensor under its GGUF name, rows in rotate-half order, with its
    /// type, rows and columns.
    fn raw(
        &self,
        name: &str,
        shape: &[usize],
        interleaved: bool,
    ) -> Result<(Vec<u8>, GgmlDType, [usize; 2])> {
        let info = self.info(name)?;
        let found = info.shape.dims();
        if found != shape {
            return Err(Error::input(format!(
                "{}: tensor `{name}` has shape {found:?}, expected {shape:?}",
                self.name
            )));
        }
        let cols = *shape.last().expect("tensors have at least one dimension");
        let rows = info.shape.elem_count() / cols.max(1);
        let dtype = info.ggml_dtype;
        let broken = |what: String| Error::input(format!("{}: tensor `{name}` {what}", self.name));
        if !cols.is_multiple_of(dtype.block_size()) {
            return Err(broken(format!("has rows of {cols}, no multiple of the {dtype:?} block")));
        }
        let row_bytes = cols / dtype.block_size() * dtype.type_size();
        let start = self.content.tensor_data_offset.saturating_add(info.offset) as usize;
        let stored = rows
            .checked_mul(row_bytes)
            .and_then(|len| self.bytes.get(start..start.checked_add(len)?))
            .ok_or_else(|| {
                broken(format!(
                    "reaches beyond the end of the file ({} bytes)",
                    count(self.bytes.len())
                ))
            })?;
        let raw = if interleaved {
            rotate_half_rows(stored, row_bytes, rows, self.head_dim()?)
        } else {
            stored.to_vec()
        };
        Ok((raw, dtype, [rows, cols]))
    }

    /// One tensor under its GGUF name.
    fn read(&self, name: &str, shape: &[usize], interleaved: bool) -> Result<Stored> {
        let (raw, dtype, [rows, cols]) = self.raw(name, shape, interleaved)?;
        let broken = |what: String| Error::input(format!("{}: tensor `{name}` {what}", self.name));
        let read = || {
            let tensor = qtensor_from_ggml(dtype, &raw, vec![rows, cols], &Device::Cpu)?
                .dequantize(&Device::Cpu)?;
            tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()
        };
        let wide =
            read().map_err(|cause| broken(format!("cannot be read: {}", first_line(&cause))))?;
        let matrix = Matrix::new(rows, cols, Elements::F32(wide.into()))?;
        Ok(match dtype {
            GgmlDType::F16 => matrix.into_dtype(Dtype::F16).into(),
            GgmlDType::BF16 => matrix.into_dtype(Dtype::Bf16).into(),
            GgmlDType::F32 => matrix.into(),
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

fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::I8(n) => u64::try_from(*n).ok(),
        Value::I16(n) => u64::try_from(*n).ok(),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::I64(n) => u64::try_from(*n).ok(),
        Value::Bool(_) => None,
        other => other.to_u64().ok(),
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
        let (raw, dtype, [rows, cols]) =
            self.raw(&self.known(name)?, &[rows, cols], self.is_interleaved(name))?;
        if matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) {
            return Ok(None);
        }
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
