//! A mixture of experts, by the keys of a `config.json`.

use serde_json::Value;

use super::keys::needed;
use crate::Result;
use crate::model::load::fields::Fields;
use crate::model::served::ExpertSizes;

/// Names for the number of experts, and for how many of them a token goes through.
const COUNTS: [&str; 4] =
    ["n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"];
const CHOSEN: [&str; 3] = ["num_experts_per_tok", "moe_k", "moe_topk"];
const SHARED: [&str; 2] = ["n_shared_experts", "moe_num_shared_experts"];

/// The experts of a model, where it has them, and the width of the MLP in its other layers.
pub(super) fn experts(
    fields: Fields<'_>,
    model_type: &str,
    layers: usize,
) -> Result<Option<(ExpertSizes, usize)>> {
    let find = |keys: &[&'static str]| keys.iter().copied().find(|key| fields.value(key).is_some());
    let Some(key) = find(&COUNTS) else { return Ok(None) };
    let chosen_key = find(&CHOSEN).unwrap_or(CHOSEN[0]);
    let (count, chosen) = (needed(fields, key)?, needed(fields, chosen_key)?);
    if chosen > count {
        let what = format!("is {chosen}, more than `{key}` {count}");
        return Err(fields.wrong(chosen_key, &what));
    }
    let width = match fields.value("moe_intermediate_size") {
        Some(_) => needed(fields, "moe_intermediate_size")?,
        None => needed(fields, "intermediate_size")?,
    };
    // Llama 4 calls the MLP of its layers without experts otherwise.
    let mlp = match (fields.value("intermediate_size_mlp"), fields.value("intermediate_size")) {
        (Some(_), _) => needed(fields, "intermediate_size_mlp")?,
        (None, Some(_)) => needed(fields, "intermediate_size")?,
        (None, None) => width,
    };
    let experts = ExpertSizes {
        count,
        chosen,
        shared: shared(fields, model_type, width)?,
        width,
        dense_layers: dense_layers(fields, layers)?,
    };
    Ok(Some((experts, mlp)))
}

/// Experts that every token goes through; one of another width counts as several.
fn shared(fields: Fields<'_>, model_type: &str, width: usize) -> Result<usize> {
    let of_qwen = "shared_expert_intermediate_size";
    if fields.value(of_qwen).is_some() {
        return Ok(fields.count(of_qwen)?.unwrap_or(0).div_ceil(width));
    }
    for key in SHARED {
        if let Some(count) = fields.count(key)? {
            return Ok(count);
        }
    }
    Ok(usize::from(model_type.starts_with("llama4")))
}

/// Layers that have one MLP instead of experts.
fn dense_layers(fields: Fields<'_>, layers: usize) -> Result<usize> {
    if let Some(list) = fields.value("moe_layers").and_then(Value::as_array)
        && !list.is_empty()
    {
        return Ok(layers - list.len().min(layers));
    }
    if let Some(step) = fields.count("interleave_moe_layer_step")?.filter(|&step| step > 0) {
        return Ok(layers - layers / step);
    }
    let named = fields.numbers("mlp_only_layers")?.unwrap_or_default();
    let step = fields.count("decoder_sparse_step")?.unwrap_or(1).max(1);
    let first = fields.count("first_k_dense_replace")?.unwrap_or(0);
    let is_dense = |layer: &usize| {
        *layer < first || !(layer + 1).is_multiple_of(step) || named.contains(&(*layer as f64))
    };
    Ok((0..layers).filter(is_dense).count())
}

/// A key that speaks of experts where none of the known ones does.
pub(super) fn unknown(fields: Fields<'_>) -> Option<&str> {
    let is_many = |value: &Value| value.as_f64().is_some_and(|number| number > 1.0);
    let is_of_experts = |key: &str| key.contains("expert") || key.starts_with("moe_");
    let mut keys = fields.map.iter().filter(|(key, value)| is_of_experts(key) && is_many(value));
    keys.next().map(|(key, _)| key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::load::served::keys::tests::{read, with};

    #[test]
    fn experts_are_counted_by_every_name_that_models_have_for_them() {
        let model = |changes: &[(&str, Value)]| read(with(changes)).unwrap();
        let gpt = model(&[]);
        let expert = 3 * 2880 * 2880;
        let less = |changes: &[(&str, Value)]| {
            gpt.weights.parameters as i64 - model(changes).weights.parameters as i64
        };
        // The same numbers under ERNIE's names.
        let ernie = [
            ("model_type", Value::from("ernie4_5_moe")),
            ("num_local_experts", Value::Null),
            ("num_experts_per_tok", Value::Null),
            ("moe_num_experts", 32.into()),
            ("moe_k", 4.into()),
        ];
        assert_eq!(model(&ernie).weights, gpt.weights);
        // Layers without experts have one MLP; a shared expert is one more in each layer.
        let router = 2880 * 32;
        let without_one = 31 * expert + router;
        assert_eq!(less(&[("mlp_only_layers", serde_json::json!([1]))]), without_one);
        assert_eq!(less(&[("decoder_sparse_step", 2.into())]), 2 * without_one);
        assert_eq!(less(&[("first_k_dense_replace", 3.into())]), 3 * without_one);
        assert_eq!(less(&[("n_shared_experts", 1.into())]), -4 * expert);
        assert_eq!(less(&[("shared_expert_intermediate_size", 5760.into())]), -8 * expert);
        // Llama 4: every other layer has experts, one of them shared, beside a wider MLP.
        let llama = [
            ("model_type", Value::from("llama4_text")),
            ("interleave_moe_layer_step", 2.into()),
            ("intermediate_size_mlp", 5760.into()),
        ];
        assert_eq!(less(&llama), 2 * (30 * expert + router) - 2 * expert);
        // What is not understood is told.
        let odd = with(&[
            ("num_local_experts", Value::Null),
            ("num_experts_per_tok", Value::Null),
            ("expert_count", 8.into()),
        ]);
        assert!(read(odd).unwrap().warnings[0].contains("`expert_count` is not understood"));
        assert!(gpt.warnings.is_empty(), "{:?}", gpt.warnings);
        let starcoder = model(&[("model_type", "starcoder2".into())]);
        assert!(starcoder.warnings[0].contains("gated MLPs"), "{:?}", starcoder.warnings);
    }
}
