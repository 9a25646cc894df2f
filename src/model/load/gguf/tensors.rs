//! The tensors of a GGUF file by the names of Hugging Face.

use candle_core::Device;
use candle_core::quantized::QTensor;

use super::element::GgufElement;
use super::file::Gguf;
use super::order::rotate_half_rows;
use super::parts::Part;
use crate::Result;
use crate::model::config::Config;
use crate::model::host::matrix::Matrix;
use crate::model::host::quant::QuantKind;
use crate::model::load::device_blocks::device_blocks;
use crate::model::weight_types::WeightTypes;
use crate::model::weights::Tensors;

impl Tensors for Gguf {
    fn origin(&self) -> &str {
        &self.name
    }

    fn stored_bytes(&self) -> Option<u64> {
        let data = |part: &Part| (part.bytes.len() as u64).saturating_sub(part.header.data_start);
        Some(self.parts.iter().map(data).sum())
    }

    fn kept_types(&self, _config: &Config) -> Option<WeightTypes> {
        let mut types = WeightTypes::default();
        for (name, info) in self.parts.iter().flat_map(|part| &part.header.tensors) {
            let shape = info.shape.dims();
            if let [.., rows, cols] = *shape
                && let Ok(span) = self.span(name, shape)
            {
                // Each expert is a matrix of its own.
                let matrices = span.rows / rows.max(1);
                let (kind, bytes) = span.element.kept(rows, cols);
                types.add(kind, matrices as u64 * bytes);
            }
        }
        Some(types)
    }

    fn intact(&self) -> Result<()> {
        self.parts.iter().try_for_each(|part| part.bytes.intact())
    }

    fn stored_name(&self, name: &str) -> String {
        let stored = self.known(name).unwrap_or_else(|_| name.to_owned());
        match self.expert_of(name) {
            Some(expert) => format!("{stored}[{expert}]"),
            None => stored,
        }
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let stored = self.known(name)?;
        match self.expert_of(name) {
            Some(expert) => self.read_expert(&stored, expert, [rows, cols]),
            None => self.read(&stored, &[rows, cols], self.is_interleaved(name)),
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let stored = self.known(name)?;
        let mut vector = self.read(&stored, &[len], false)?.widened();
        if self.is_interleaved(name) {
            vector = rotate_half_rows(&vector, 1, len, self.head_dim()?);
        }
        Ok(vector)
    }

    fn device_kind(&self, name: &str, rows: usize, cols: usize) -> Result<Option<QuantKind>> {
        Ok(match self.span(&self.known(name)?, &[rows, cols])?.element {
            GgufElement::Quantised(kind) => kind.candle().map(|_| kind),
            _ => None,
        })
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
        // A device has no product over other blocks; the host's widened weights are copied.
        let Some(dtype) = element.candle() else { return Ok(None) };
        let origin = (self.name.as_str(), name);
        device_blocks(dtype, &raw, [rows, cols], device, origin).map(Some)
    }
}
