//! Whether a mask may be applied to a model.

use super::contents::MaskFile;
use crate::mask::{ChannelMask, Shape};
use crate::{Error, Result};

/// A mask that fits a model, and warnings for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Whether the file names this model by fingerprint; an unbound mask fits by shape alone.
    pub bound: bool,
    /// One sentence each, to be shown.
    pub warnings: Vec<String>,
}

/// Accepts a mask for a model of this shape and fingerprint, or refuses it with a sentence. `name`
/// is what the sentences call the file.
///
/// # Errors
/// Another shape, or the fingerprint of another model.
pub fn check(file: &MaskFile, name: &str, shape: Shape, fingerprint: &str) -> Result<Binding> {
    let found = file.mask.shape();
    if found != shape {
        return Err(Error::input(format!(
            "{name}: expected a mask of shape {shape}, found {found}"
        )));
    }
    let origin = &file.origin;
    let bound = !origin.fingerprint.is_empty();
    if bound && origin.fingerprint != fingerprint {
        let model = if origin.model.is_empty() { "another model" } else { &origin.model };
        return Err(Error::input(format!(
            "{name}: expected a mask for the model with fingerprint {}, found one for {model} ({})",
            short(fingerprint),
            short(&origin.fingerprint)
        )));
    }
    let mut warnings = Vec::new();
    if !bound {
        warnings
            .push(format!("{name} names no model and is accepted because its shape fits; `kscope mask import --model` binds it"));
    }
    warnings.extend(misaligned(&file.mask, origin.align).map(|place| format!("{name}: {place}")));
    Ok(Binding { bound, warnings })
}

/// The first head whose kept count is neither a multiple of the alignment nor head_dim, as a
/// sentence.
fn misaligned(mask: &ChannelMask, align: usize) -> Option<String> {
    let shape = mask.shape();
    let counts = mask.kept_counts();
    let (head, count) = counts
        .iter()
        .enumerate()
        .find(|&(_, &count)| !count.is_multiple_of(align) && count != shape.head_dim)?;
    Some(format!(
        "layer {}, KV head {} keeps {count} channels, expected a multiple of the alignment {align} or {}; decode stays exact and may be \
         slower",
        head / shape.kv_heads,
        head % shape.kv_heads,
        shape.head_dim
    ))
}

/// The beginning of a fingerprint, enough to tell two apart.
fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(12).collect()
}
