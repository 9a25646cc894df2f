//! The layers of a model for planning, each with its attention window.

use serde_json::Value;

use super::keys::needed;
use crate::Result;
use crate::error::shortened;
use crate::model::arch::Architecture;
use crate::model::load::fields::Fields;
use crate::model::load::hf_window::MAX_WINDOW_LAYERS;
use crate::model::served::KvLayer;

/// The layers with heads, each with its window: by `layer_types` where they are given, otherwise by
/// the pattern of the architecture.
pub(super) fn layers(
    fields: Fields<'_>,
    model_type: &str,
    heads: &[(usize, usize)],
) -> Result<Vec<KvLayer>> {
    let window = window(fields, model_type)?;
    let layer = |(index, &(kv_heads, head_dim)): (usize, &(usize, usize))| {
        Ok(KvLayer::Heads {
            kv_heads,
            head_dim,
            window: if slides(fields, model_type, index, heads.len(), window)? {
                window
            } else {
                None
            },
        })
    };
    heads.iter().enumerate().map(layer).collect()
}

/// The window of the layers that have one.
fn window(fields: Fields<'_>, model_type: &str) -> Result<Option<usize>> {
    let rule = Architecture::of_model_type(model_type).ok().map(|known| known.window);
    let is_used = match rule {
        // Llama: the key means nothing.
        Some(None) => false,
        Some(Some(rule)) if rule.flag => fields.flag("use_sliding_window")?.unwrap_or(false),
        _ => fields.value("use_sliding_window") != Some(&Value::Bool(false)),
    };
    let unsaid = rule.flatten().and_then(|rule| rule.unsaid);
    let key = if fields.value("attention_chunk_size").is_some() {
        "attention_chunk_size"
    } else {
        "sliding_window"
    };
    let stated = match fields.value(key) {
        Some(_) => Some(needed(fields, key)?),
        None if fields.map.contains_key(key) => None,
        None => unsaid,
    };
    Ok(stated.filter(|_| is_used))
}

/// Whether a layer looks back at its window alone.
fn slides(
    fields: Fields<'_>,
    model_type: &str,
    index: usize,
    layers: usize,
    window: Option<usize>,
) -> Result<bool> {
    if let Some(kinds) = fields.value("layer_types") {
        let kinds = kinds.as_array().map(Vec::as_slice).unwrap_or_default();
        if kinds.len() != layers {
            let what = format!("must be a list of {layers} kinds, one a layer");
            return Err(fields.wrong("layer_types", &what));
        }
        return match kinds[index].as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention" | "chunked_attention") if window.is_some() => Ok(true),
            Some("sliding_attention" | "chunked_attention") => {
                Err(fields.wrong("sliding_window", "is missing, and layers have a window"))
            }
            other => {
                let kind = other.unwrap_or("no name");
                let what = format!(
                    "has a layer of `{}`, which caches something else than keys and values",
                    shortened(kind)
                );
                Err(fields.wrong("layer_types", &what))
            }
        };
    }
    if window.is_none() {
        return Ok(false);
    }
    // Every how manyth layer looks back at everything.
    let usual = if model_type.starts_with("gemma3") {
        Some(6)
    } else if ["gemma2", "gpt_oss", "cohere2"].contains(&model_type) {
        Some(if model_type == "cohere2" { 4 } else { 2 })
    } else {
        None
    };
    let every = match fields.value("sliding_window_pattern") {
        Some(_) => Some(needed(fields, "sliding_window_pattern")?),
        None => usual,
    };
    if let Some(every) = every {
        return Ok(!(index + 1).is_multiple_of(every));
    }
    // Qwen: the first layers look back at everything.
    let rule = Architecture::of_model_type(model_type).ok().and_then(|known| known.window);
    let first = match rule {
        Some(rule) if rule.from_layer => MAX_WINDOW_LAYERS,
        _ => 0,
    };
    Ok(index >= fields.count("max_window_layers")?.unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::load::served::keys::tests::{base, read, with};
    use crate::model::served::ServedModel;

    fn windows(model: &ServedModel) -> Vec<Option<usize>> {
        let window = |layer: &KvLayer| match *layer {
            KvLayer::Heads { window, .. } => window,
            KvLayer::Latent { .. } => None,
        };
        model.layers.iter().map(window).collect()
    }

    #[test]
    fn windows_are_those_of_the_layers_that_have_one() {
        let alternating = vec![Some(128), None, Some(128), None];
        assert_eq!(windows(&read(base()).unwrap()), alternating);
        assert_eq!(windows(&read(with(&[("layer_types", Value::Null)])).unwrap()), alternating);
        let gemma = [
            ("model_type", Value::from("gemma3_text")),
            ("layer_types", Value::Null),
            ("num_hidden_layers", 7.into()),
        ];
        let gemma = read(with(&gemma)).unwrap();
        assert_eq!(windows(&gemma)[5], None);
        assert_eq!(windows(&gemma).iter().filter(|window| window.is_some()).count(), 6);
        // Mistral without a word on it has transformers' default; with null it has none.
        let mistral = |window: Option<Value>| {
            let mut json = with(&[
                ("model_type", Value::from("mistral")),
                ("layer_types", Value::Null),
                ("num_local_experts", Value::Null),
                ("num_experts_per_tok", Value::Null),
                ("sliding_window", Value::Null),
                ("rms_norm_eps", 1e-5.into()),
                ("hidden_act", "silu".into()),
            ]);
            if let Some(window) = window {
                json["sliding_window"] = window;
            }
            read(json)
        };
        assert_eq!(windows(&mistral(None).unwrap()), vec![Some(4096); 4]);
        assert_eq!(windows(&mistral(Some(Value::Null)).unwrap()), vec![None; 4]);
        assert_eq!(mistral(Some(512.into())).unwrap().max_context, 131_072);
    }

    #[test]
    fn qwen_has_windows_from_the_layer_that_transformers_assumes() {
        let qwen = |changes: &[(&str, Value)]| {
            let mut all = vec![
                ("model_type", Value::from("qwen2")),
                ("layer_types", Value::Null),
                ("num_local_experts", Value::Null),
                ("num_experts_per_tok", Value::Null),
                ("num_hidden_layers", 30.into()),
                ("use_sliding_window", true.into()),
                ("rms_norm_eps", 1e-5.into()),
                ("hidden_act", "silu".into()),
            ];
            all.extend_from_slice(changes);
            windows(&read(with(&all)).unwrap())
        };
        let from = |first: usize| -> Vec<_> {
            (0..30).map(|layer| (layer >= first).then_some(128)).collect()
        };
        assert_eq!(qwen(&[]), from(28));
        assert_eq!(qwen(&[("max_window_layers", 3.into())]), from(3));
    }
}
