//! What a `config.json` says of factors and of layers that differ from one another.

use serde_json::Value;

use super::fields::{Fields, shown};
use super::hf_sizes::Sizes;
use crate::model::additions::{Additions, LayerKind, Rotation};
use crate::model::arch::{Architecture, Gemma, NO_ROPE_INTERVAL};
use crate::{Error, Result};

/// What a model of these sizes has besides Llama's parts, but for its partial rotation
/// and its windows.
pub(super) fn read(
    fields: Fields<'_>,
    architecture: &Architecture,
    sizes: &Sizes,
) -> Result<Additions> {
    let mut additions =
        Additions { kinds: kinds(fields, architecture, sizes.layers)?, ..Additions::default() };
    if let Some(gemma) = &architecture.gemma {
        additions.embedding_factor = (sizes.hidden as f64).sqrt() as f32;
        fields.refuse_null(Gemma::SCALAR, "a number")?;
        let scalar = above_zero(fields, Gemma::SCALAR)?.unwrap_or(gemma.score_scalar);
        additions.score_factor = Some(scalar.powf(-0.5));
        let cap = |key, unsaid: Option<f64>| {
            let unsaid = unsaid.filter(|_| !fields.map.contains_key(key));
            Ok::<_, Error>(above_zero(fields, key)?.or(unsaid).map(|cap| cap as f32))
        };
        additions.score_cap = cap(Gemma::SCORE_CAP, gemma.score_cap)?;
        additions.logit_cap = cap(Gemma::LOGIT_CAP, gemma.logit_cap)?;
        if let Some(unsaid) = gemma.local_theta {
            fields.refuse_null(Gemma::LOCAL_THETA, "a number")?;
            additions.local_theta = Some(above_zero(fields, Gemma::LOCAL_THETA)?.unwrap_or(unsaid));
        }
    }
    if let Some(keys) = &architecture.factors {
        let factor = |key| {
            fields.refuse_null(key, "a number")?;
            Ok::<_, Error>(above_zero(fields, key)?.unwrap_or(1.0))
        };
        additions.embedding_factor = factor(keys.embedding.hf)? as f32;
        additions.residual_factor = factor(keys.residual.hf)? as f32;
        additions.score_factor = Some(factor(keys.scores.hf)?);
        additions.logit_divisor = factor(keys.logits.hf)? as f32;
    }
    Ok(additions)
}

/// A number that must be above 0 where it is given.
fn above_zero(fields: Fields<'_>, key: &str) -> Result<Option<f64>> {
    match fields.number(key)? {
        Some(number) if number > 0.0 => Ok(Some(number)),
        Some(other) => Err(fields.wrong(key, &format!("must be above 0, not {other:?}"))),
        None => Ok(None),
    }
}

/// Which layers rotate: `no_rope_layers` has a 1 for each that does, and at least one entry for
/// each layer.
fn kinds(fields: Fields<'_>, architecture: &Architecture, layers: usize) -> Result<Vec<LayerKind>> {
    let (list, every) = ("no_rope_layers", "no_rope_layer_interval");
    if !architecture.skips_rope {
        return Ok(Vec::new());
    }
    let Some(value) = fields.value(list) else {
        fields.refuse_null(every, "a count")?;
        return match fields.count(every)?.unwrap_or(NO_ROPE_INTERVAL) {
            0 => Err(fields.wrong(every, "must be at least 1, not 0")),
            interval => Ok(architecture.kinds(layers, interval)),
        };
    };
    let rotates = |value: &Value| match value.as_u64() {
        Some(0) => Some(Rotation::None),
        Some(1) => Some(Rotation::Usual),
        _ => None,
    };
    let kind_of = |rotation| LayerKind { rotation, ..LayerKind::default() };
    let rotations: Option<Vec<Rotation>> =
        value.as_array().and_then(|list| list.iter().map(rotates).collect());
    match rotations {
        Some(rotations) if rotations.len() >= layers => {
            Ok(rotations.into_iter().take(layers).map(kind_of).collect())
        }
        Some(rotations) => {
            Err(fields.wrong(list, &format!("has {} entries for {layers} layers", rotations.len())))
        }
        None => {
            Err(fields.wrong(list, &format!("must be a list of 0 and 1, not {}", shown(value))))
        }
    }
}
