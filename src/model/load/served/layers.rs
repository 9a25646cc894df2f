//! The layers of a model for planning, each with its attention window.

use serde_json::Value;

use super::keys::needed;
use crate::Result;
use crate::error::shortened;
use crate::model::arch::{Architecture, WindowLayers};
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
    if !is_used {
        return Ok(None);
    }
    // What transformers assumes where the key is not there.
    let of_others = match model_type {
        "gpt_oss" => Some(128),
        "gemma2" | "cohere2" | "gemma3_text" | "gemma3" => Some(4096),
        _ => None,
    };
    let unsaid = rule.flatten().map_or(of_others, |rule| rule.unsaid);
    let key = if fields.value("attention_chunk_size").is_some() {
        "attention_chunk_size"
    } else {
        "sliding_window"
    };
    match fields.value(key) {
        Some(_) => needed(fields, key).map(Some),
        None if fields.map.contains_key(key) => Ok(None),
        None => Ok(unsaid),
    }
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
        return match kinds.get(index).and_then(Value::as_str) {
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
    // Llama 4: the layers that rotate look back at their chunk, those that do not at everything.
    if let Some(rotates) = fields.value("no_rope_layers").and_then(Value::as_array)
        && rotates.len() == layers
    {
        return Ok(rotates.get(index).and_then(Value::as_u64) != Some(0));
    }
    // Every how manyth layer looks back at everything.
    let usual = if model_type.starts_with("gemma3") {
        Some(6)
    } else if ["gemma2", "gpt_oss"].contains(&model_type) {
        Some(2)
    } else if ["cohere2", "llama4_text"].contains(&model_type) {
        Some(4)
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
        Some(rule) if rule.layers == WindowLayers::Last => MAX_WINDOW_LAYERS,
        _ => 0,
    };
    Ok(index >= fields.count("max_window_layers")?.unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::load::served::keys::tests::{base, read, with};
    use crate::model::served::ServedModel;

    fn without(mut json: Value, key: &str) -> Value {
        json.as_object_mut().unwrap().remove(key);
        json
    }

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
        // Without a word on it, Gemma has transformers' window; Qwen's experts' flag turns it off.
        let unsaid = with(&[("model_type", "gemma3_text".into()), ("sliding_window", Value::Null)]);
        assert_eq!(windows(&read(without(unsaid, "sliding_window")).unwrap())[0], Some(4096));
        let off = [
            ("model_type", Value::from("qwen2_moe")),
            ("layer_types", Value::Null),
            ("sliding_window", 0.into()),
            ("use_sliding_window", false.into()),
        ];
        assert_eq!(windows(&read(with(&off)).unwrap()), vec![None; 4]);
        let llama4 = |rotates: Option<Value>| {
            let mut changes = vec![
                ("model_type", Value::from("llama4_text")),
                ("layer_types", Value::Null),
                ("num_hidden_layers", 8.into()),
                ("attention_chunk_size", 8192.into()),
            ];
            changes.extend(rotates.map(|list| ("no_rope_layers", list)));
            windows(&read(with(&changes)).unwrap())
        };
        let full_at = |found: Vec<Option<usize>>| -> Vec<usize> {
            (0..8).filter(|&layer| found[layer].is_none()).collect()
        };
        assert_eq!(full_at(llama4(None)), [3, 7]);
        let second = serde_json::json!([1, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(full_at(llama4(Some(second))), [1]);
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
