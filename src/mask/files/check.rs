//! Whether a mask may be applied to a model.

use super::contents::MaskFile;
use crate::mask::{CachePlan, Shape, Width};
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
    let found = file.plan.shape();
    if found != shape {
        let kind = if file.plan.is_mask() { "mask" } else { "plan" };
        let made_for = match file.origin.model.as_str() {
            "" => String::new(),
            model => format!(", made for {model}"),
        };
        return Err(Error::input(format!(
            "{name}: expected a {kind} of shape {shape}, found {found}{made_for}"
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
    warnings.extend(misaligned(&file.plan, origin.align).map(|place| format!("{name}: {place}")));
    Ok(Binding { bound, warnings })
}

#[expect(clippy::indexing_slicing, reason = "there are as many counts as widths")]
/// The first head whose channels of one width are no multiple of the alignment, as a sentence.
fn misaligned(plan: &CachePlan, align: usize) -> Option<String> {
    let shape = plan.shape();
    let end = "decode stays exact and may be slower";
    for (layer, head) in shape.each_head() {
        let place = format!("layer {layer}, KV head {head}");
        let mut counts = [0; 5];
        plan.k(layer, head).iter().for_each(|width| counts[width.index()] += 1);
        let [unstored, stored @ ..] = counts;
        // A head that stores every channel may have one short run, where its channels are no
        // multiple of the alignment.
        let short = |count: usize| !count.is_multiple_of(align);
        let most = usize::from(unstored == 0 && short(shape.head_dim));
        let mut wrong = Width::ALL[1..].iter().zip(stored).filter(|&(_, count)| short(count));
        let Some((width, count)) = wrong.nth(most) else { continue };
        return Some(match plan.is_mask() {
            true => format!(
                "{place} keeps {count} channels, expected a multiple of the alignment {align} or {}; {end}",
                shape.head_dim
            ),
            false => format!(
                "{place} has {count} channels of {width} bits, expected a multiple of the alignment {align}; {end}"
            ),
        });
    }
    None
}

/// The beginning of a fingerprint, enough to tell two apart.
fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(12).collect()
}
