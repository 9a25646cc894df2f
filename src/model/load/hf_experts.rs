//! What a `config.json` says of experts.

use std::ops::RangeInclusive;

use super::fields::Fields;
use super::hf_sizes::{Sizes, in_range};
use crate::model::arch::{Architecture, ExpertRule};
use crate::model::config::Config;
use crate::model::mixture::Mixture;
use crate::{Error, Result};

/// The experts of a model, where its architecture has them; one warning names the defaults that
/// hold.
pub(super) fn read(
    fields: Fields<'_>,
    architecture: &Architecture,
    sizes: &Sizes,
    warnings: &mut Vec<String>,
) -> Result<Option<Mixture>> {
    let Some(rule) = &architecture.experts else { return Ok(None) };
    let [usual_count, usual_chosen, usual_width] = rule.usual;
    let mut unsaid = Vec::new();
    let mut size = |key: &str, usual: usize, range: RangeInclusive<usize>| {
        fields.refuse_null(key, "a count")?;
        let found = in_range(fields, key, range)?;
        if found.is_none() {
            unsaid.push(format!("`{key}` {usual}"));
        }
        Ok::<_, Error>(found.unwrap_or(usual))
    };
    let [first, second] = ExpertRule::COUNTS;
    let key = if fields.map.contains_key(second) { second } else { first };
    let experts = size(key, usual_count, Mixture::COUNT)?;
    if let Some(other) = fields.count(first)?.filter(|&other| other != experts) {
        return Err(fields.wrong(first, &format!("is {other}, and `{second}` is {experts}")));
    }
    let chosen = size(ExpertRule::CHOSEN.hf, usual_chosen, 1..=experts)?;
    if chosen > experts {
        let what =
            format!("is not given, and its default of {chosen} is more than {experts} experts");
        return Err(fields.wrong(ExpertRule::CHOSEN.hf, &what));
    }
    let width = match rule.width == architecture.keys.intermediate {
        true => sizes.intermediate,
        false => size(rule.width.hf, usual_width, Config::INTERMEDIATE)?,
    };
    warnings.extend(fields.defaults_hold(architecture.spelling.hf, &unsaid));
    let normalised = match rule.normalised {
        None => true,
        Some(unsaid) => fields.flag(ExpertRule::NORMALISED)?.unwrap_or(unsaid),
    };
    let dense_layers = match rule.in_some_layers {
        true => dense_layers(fields, sizes.layers)?,
        false => Vec::new(),
    };
    let mixture = Mixture { count: experts, chosen, width, normalised, dense_layers };
    // Without a layer that has them there are none.
    Ok(Some(mixture).filter(|mixture| (0..sizes.layers).any(|layer| mixture.is_in(layer))))
}

/// Layers that have one MLP: those that a list names, and all but every so manyth.
fn dense_layers(fields: Fields<'_>, layers: usize) -> Result<Vec<usize>> {
    let (step, list) = (ExpertRule::STEP, ExpertRule::DENSE);
    fields.refuse_null(step, "a count")?;
    let every = fields.count(step)?.unwrap_or(1);
    if every == 0 {
        return Err(fields.wrong(step, "must be at least 1, not 0"));
    }
    let named = fields.numbers(list)?.unwrap_or_default();
    if let Some(odd) = named.iter().find(|number| number.fract() != 0.0) {
        return Err(fields.wrong(list, &format!("must be a list of layers, and has {odd:?}")));
    }
    let is_dense =
        |layer: &usize| named.contains(&(*layer as f64)) || !(layer + 1).is_multiple_of(every);
    Ok((0..layers).filter(is_dense).collect())
}
