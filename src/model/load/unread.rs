//! Tensors of a file that no part of the model reads.

use std::collections::HashSet;

use crate::error::shortened;
use crate::model::config::Config;

/// Endings of tensors that say nothing that the configuration does not.
const HARMLESS: &[&str] = &[
    "rotary_emb.inv_freq",
    "rotary_emb.cos_cached",
    "rotary_emb.sin_cached",
    "attn_rot_embd.freqs",
    "attn.bias",
    "attn.masked_bias",
    "attention.masked_bias",
];

/// Tensors of a GGUF file that the rotation of all layers is read from.
const RATES: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

const SHOWN: usize = 3;

/// The checkpoint names of all tensors that a model reads.
pub(super) fn expected(config: &Config) -> Vec<String> {
    let names = &config.architecture.tensors;
    let mut all: Vec<String> = [names.embedding, names.norm]
        .into_iter()
        .chain((!config.tied).then_some(names.head))
        .map(|name| format!("{}.weight", name.hf))
        .collect();
    for (layer, block) in config.blocks().enumerate() {
        let prefix = names.block_prefix(layer);
        all.extend(block.norms().map(|norm| format!("{prefix}{}.weight", norm.name)));
        for (before, linear) in block.linears() {
            for part in &linear.parts {
                all.push(format!("{prefix}{before}{}.weight", part.name));
                all.extend(linear.bias.then(|| format!("{prefix}{before}{}.bias", part.name)));
            }
        }
    }
    all
}

/// The names in `held` that are not in `expected` and that could mean something, sorted.
pub(super) fn unread<'a>(
    held: impl Iterator<Item = &'a str>,
    expected: impl Iterator<Item = String>,
) -> Vec<&'a str> {
    let expected: HashSet<String> = expected.collect();
    let mut unread: Vec<&str> = held
        .filter(|name| !expected.contains(*name))
        // Read with the configuration, before any layer.
        .filter(|name| !RATES.contains(name))
        .filter(|name| !HARMLESS.iter().any(|end| name.ends_with(end)))
        .collect();
    unread.sort_unstable();
    unread
}

/// One sentence on them, `None` where there are none.
pub(super) fn warning(origin: &str, unread: &[&str]) -> Option<String> {
    let named: Vec<String> =
        unread.iter().take(SHOWN).map(|name| format!("`{}`", shortened(name))).collect();
    let named = named.join(", ");
    match unread.len() {
        0 => None,
        1 => Some(format!("{origin}: the model does not read one tensor, {named}")),
        n if n <= SHOWN => Some(format!("{origin}: the model does not read {n} tensors, {named}")),
        n => Some(format!(
            "{origin}: the model does not read {n} tensors, {named} and {} more",
            n - SHOWN
        )),
    }
}
