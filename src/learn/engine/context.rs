//! Cached prefills: keys and values that are constant during training.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::model::config::Config;
use crate::model::decoder::{Decoder, PrefillHooks};
use crate::{Error, Result};

/// Keys (after rotation) and values of consecutive tokens in every layer, in f16 as a deployed
/// cache stores them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CachedContext {
    pub(super) tokens: usize,
    /// Per layer: keys and values, each `[tokens, kv_heads, head_dim]`.
    pub(super) layers: Vec<[Vec<f16>; 2]>,
}

impl CachedContext {
    /// The exact prefill of a prompt.
    pub fn prefill(decoder: &Decoder, tokens: &[u32]) -> Result<Self> {
        let mut context =
            Self { tokens: tokens.len(), layers: Vec::with_capacity(decoder.config().layers) };
        let hooks = PrefillHooks {
            chunk: PrefillHooks::CHUNK,
            progress: &mut |_| Ok(()),
            keep_going: &|| Ok(()),
            observe: &mut |view| context.layers.push([narrow(&view.k), narrow(&view.v)]),
        };
        decoder.prefill(tokens, &mut [], hooks)?;
        check_kept(&context.layers)?;
        Ok(context)
    }

    /// Tokens whose keys and values are held.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// A context of so many tokens without keys and values.
    #[cfg(test)]
    pub(super) fn of(tokens: usize) -> Self {
        Self { tokens, layers: Vec::new() }
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.layers.iter().flatten().map(|rows| rows.len() * 2).sum()
    }

    /// Keys and values of one layer, each `[tokens, kv_heads, head_dim]`; `None` where there are no
    /// tokens.
    pub(super) fn layer(&self, layer: usize) -> Option<&[Vec<f16>; 2]> {
        self.layers.get(layer)
    }

    /// Appends the rows of one KV head in f32: keys, then values.
    pub(super) fn head(
        &self,
        config: &Config,
        layer: usize,
        kv_head: usize,
        out: [&mut Vec<f32>; 2],
    ) {
        let d = config.head_dim;
        let Some(layer) = self.layer(layer) else { return };
        for (rows, out) in layer.iter().zip(out) {
            let start = out.len();
            out.resize(start + self.tokens * d, 0.0);
            for (row, out) in
                rows.chunks_exact(config.kv_width()).zip(out[start..].chunks_exact_mut(d))
            {
                row[kv_head * d..(kv_head + 1) * d].convert_to_f32_slice(out);
            }
        }
    }
}

pub(super) fn narrow(rows: &[f32]) -> Vec<f16> {
    let mut out = vec![f16::ZERO; rows.len()];
    out.convert_from_f32_slice(rows);
    out
}

/// Refuses keys and values that f16 could not hold: a gradient through infinity is no number.
pub(super) fn check_kept(layers: &[[Vec<f16>; 2]]) -> Result<()> {
    let lost = |rows: &[Vec<f16>; 2]| rows.iter().flatten().any(|x| !x.is_finite());
    match layers.iter().position(lost) {
        Some(layer) => Err(Error::input(format!(
            "layer {layer} has a key or value that f16 cannot hold (at most 65504), and learning keeps its contexts in f16: choose this \
             model's mask by a rule (kscope mask make) instead"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_beyond_f16_is_refused_with_its_layer() {
        let fine = || [narrow(&[1.0, 65_504.0]), narrow(&[0.0, -2.0])];
        assert!(check_kept(&[fine(), fine()]).is_ok());
        let error = check_kept(&[fine(), [narrow(&[1.0]), narrow(&[7e4])]]).unwrap_err();
        assert!(error.to_string().starts_with("layer 1 has a key or value"), "{error}");
    }
}
