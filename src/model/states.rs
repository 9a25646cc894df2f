//! Normalised hidden states of a prompt: in this process's memory, or on a device until they are read.

use std::fmt;
use std::ops::Range;

use candle_core::Tensor;
use candle_nn::ops::rms_norm;

use crate::Result;
use crate::model::device::failed;

/// The normalised hidden states after a prompt's tokens, `[tokens, hidden]`. On a device only the
/// rows that are read come back.
pub struct PromptStates {
    tokens: usize,
    hidden: usize,
    rows: Rows,
}

enum Rows {
    Here(Vec<f32>),
    /// The residual stream after the last layer, with the norm that is still to come.
    OnDevice {
        x: Tensor,
        norm: Tensor,
        eps: f32,
    },
}

impl fmt::Debug for PromptStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptStates").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

impl PromptStates {
    /// States in memory, rows of `hidden` numbers.
    pub(in crate::model) fn here(rows: Vec<f32>, hidden: usize) -> Self {
        Self { tokens: rows.len() / hidden, hidden, rows: Rows::Here(rows) }
    }

    /// States on a device: `x`, f32 `[tokens, hidden]`, before the last norm.
    pub(in crate::model) fn on_device(x: Tensor, norm: Tensor, eps: f32) -> Result<Self> {
        let (tokens, hidden) = x.dims2().map_err(failed)?;
        Ok(Self { tokens, hidden, rows: Rows::OnDevice { x, norm, eps } })
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The state after the last token, `[hidden]`.
    pub fn last(&self) -> Result<Vec<f32>> {
        self.rows(self.tokens - 1..self.tokens)
    }

    /// The states after these tokens, `[tokens, hidden]`.
    ///
    /// # Panics
    /// When there are fewer tokens.
    pub fn rows(&self, tokens: Range<usize>) -> Result<Vec<f32>> {
        match &self.rows {
            Rows::Here(rows) => {
                Ok(rows[tokens.start * self.hidden..tokens.end * self.hidden].to_vec())
            }
            Rows::OnDevice { x, norm, eps } => {
                assert!(tokens.end <= self.tokens, "states of tokens that are not there");
                x.narrow(0, tokens.start, tokens.len())
                    .and_then(|x| rms_norm(&x, norm, *eps)?.flatten_all()?.to_vec1())
                    .map_err(failed)
            }
        }
    }
}
