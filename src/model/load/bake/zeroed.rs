//! A model's weights with rows of zeros, as they come from its files.

use candle_core::Device;
use candle_core::quantized::QTensor;

use super::ZeroRows;
use crate::Result;
use crate::model::config::Config;
use crate::model::host::matrix::Matrix;
use crate::model::host::quant::QuantKind;
use crate::model::weight_types::WeightTypes;
use crate::model::weights::Tensors;

/// Tensors of files, and the rows of them that are read as zero.
pub(in crate::model::load) struct Zeroed {
    /// The files.
    pub tensors: Box<dyn Tensors + Send>,
    /// Rows that are zero.
    pub rows: ZeroRows,
}

impl Tensors for Zeroed {
    fn origin(&self) -> &str {
        self.tensors.origin()
    }

    fn stored_bytes(&self) -> Option<u64> {
        self.tensors.stored_bytes()
    }

    fn kept_types(&self, config: &Config) -> Option<WeightTypes> {
        self.tensors.kept_types(config)
    }

    fn is_checkpoint(&self) -> bool {
        self.tensors.is_checkpoint()
    }

    fn intact(&self) -> Result<()> {
        self.tensors.intact()
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let stored = self.tensors.matrix(name, rows, cols)?;
        Ok(match self.rows.of(name) {
            Some(zeros) => stored.with_zero_rows(zeros.each()),
            None => stored,
        })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let mut vector = self.tensors.vector(name, len)?;
        if let Some(zeros) = self.rows.of(name) {
            zeros.each().for_each(|entry| vector[entry] = 0.0);
        }
        Ok(vector)
    }

    fn device_kind(&self, name: &str, rows: usize, cols: usize) -> Result<Option<QuantKind>> {
        match self.rows.of(name) {
            Some(_) => Ok(None),
            None => self.tensors.device_kind(name, rows, cols),
        }
    }

    fn quantised(
        &mut self,
        name: &str,
        rows: usize,
        cols: usize,
        device: &Device,
    ) -> Result<Option<QTensor>> {
        // The file's blocks are those before: a device gets the host's floats instead.
        match self.rows.of(name) {
            Some(_) => Ok(None),
            None => self.tensors.quantised(name, rows, cols, device),
        }
    }
}
