//! What a server holds, by the keys of a `config.json`.

use serde_json::{Map, Value};

use super::experts::{experts, unknown};
use super::layers::layers;
use crate::Result;
use crate::error::shortened;
use crate::model::arch::Architecture;
use crate::model::config::Config;
use crate::model::load::fields::Fields;
use crate::model::load::hf_config;
use crate::model::served::{KvLayer, LatentSizes, ServedModel, ServedSizes};
use crate::numbers::count;

/// The keys of a configuration whose `model_type` says that it has a text model inside.
const INNER: [&str; 2] = ["text_config", "llm_config"];

/// Keys of models whose layers do not all cache keys and values of one width for every token: other
/// layers than attention, layers that share a cache, or that differ in their heads.
const OTHER_LAYERS: [&str; 19] = [
    "mamba_d_state",
    "mamba_d_conv",
    "ssm_cfg",
    "state_size",
    "attn_layer_period",
    "layers_block_type",
    "linear_num_value_heads",
    "num_kv_shared_layers",
    "cross_attention_layers",
    "attn_layer_indices",
    "attn_type_list",
    "block_types",
    "full_attn_idxs",
    "hybrid_override_pattern",
    "global_head_dim",
    "num_global_key_value_heads",
    "swa_head_dim",
    "swa_num_key_value_heads",
    "per_layer_config",
];

/// Architectures that kscope does not run, but whose weights it counts within 2 % of what
/// transformers makes of their configurations (of DeepSeek-V2: of the published number).
const COUNTED: [&str; 31] = [
    "cohere",
    "cohere2",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "ernie4_5",
    "exaone4",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "glm",
    "glm4",
    "gpt_oss",
    "granite",
    "granitemoe",
    "helium",
    "llama4_text",
    "minicpm3",
    "minimax_m2",
    "mixtral",
    "olmo",
    "olmo2",
    "olmo3",
    "olmoe",
    "phi3",
    "phimoe",
    "qwen2_moe",
    "qwen3_moe",
    "seed_oss",
    "smollm3",
];

/// What a server holds of the model with these keys. `origin` is the file named in errors.
pub(super) fn of_keys(map: &Map<String, Value>, origin: &str, name: &str) -> Result<ServedModel> {
    if let Some(Value::Object(inner)) = INNER.iter().find_map(|key| map.get(*key)) {
        let mut text = inner.clone();
        for key in ["model_type", "tie_word_embeddings", "torch_dtype", "quantization_config"] {
            if let (false, Some(value)) = (text.contains_key(key), map.get(key)) {
                text.insert(key.to_owned(), value.clone());
            }
        }
        let mut model = of_keys(&text, origin, name)?;
        model.warnings.push(format!("{origin}: the text model is planned, other parts are not"));
        return Ok(model);
    }
    let fields = Fields { map, origin };
    let model_type =
        fields.text("model_type")?.ok_or_else(|| fields.wrong("model_type", "is missing"))?;
    for key in OTHER_LAYERS {
        if fields.value(key).is_some_and(|value| value != &Value::from(0)) {
            let what = format!(
                "belongs to layers that cache something else than keys and values of one width for every token, and `{}` cannot be planned",
                shortened(model_type)
            );
            return Err(fields.wrong(key, &what));
        }
    }
    if STATE_SPACE.iter().any(|kind| model_type.to_ascii_lowercase().contains(kind)) {
        let what = format!(
            "is `{}`, whose layers keep a state and not keys and values of every token, and it cannot be planned",
            shortened(model_type)
        );
        return Err(fields.wrong("model_type", &what));
    }
    if fields.value("type_vocab_size").is_some() {
        return Err(
            fields.wrong("type_vocab_size", "belongs to an encoder, and only decoders are planned")
        );
    }
    if fields.value("multi_query") == Some(&Value::Bool(true)) {
        let what = "is true, which says otherwise how many KV heads there are; only `num_key_value_heads` is understood";
        return Err(fields.wrong("multi_query", what));
    }
    if fields.value("is_encoder_decoder") == Some(&Value::Bool(true)) {
        return Err(fields.wrong("is_encoder_decoder", "is true, and only decoders are planned"));
    }
    let model = match Architecture::of_model_type(model_type) {
        // A model that kscope runs is read as it is when it runs, and refused for the same reasons.
        Ok(_) => {
            let (config, warnings) = hf_config::of_keys(map, origin)?;
            let mut model = ServedModel::of_config(name, &config, origin);
            model.warnings = warnings;
            model
        }
        Err(_) => {
            let mut model = other_sizes(fields, model_type)?.model(name, model_type, origin);
            model.warnings = doubts(fields, model_type);
            model
        }
    };
    let mut model = model;
    if let Some(how) = fields.value("quantization_config") {
        let method = how.get("quant_method").and_then(Value::as_str).unwrap_or("quantised");
        model.warnings.push(format!(
            "{origin}: its weights are {}, and are counted at {} unless their files are beside it or --weights says more",
            shortened(method),
            model.weights.origin
        ));
    }
    Ok(model)
}

/// What may be wrong about sizes that follow from the usual keys alone.
fn doubts(fields: Fields<'_>, model_type: &str) -> Vec<String> {
    let origin = fields.origin;
    let mut doubts = Vec::new();
    let says = "the headers of its files beside it, or --weights, say it exactly";
    if fields.value("num_experts_per_tok").is_none()
        && let Some(key) = unknown(fields)
    {
        doubts.push(format!(
            "{origin}: `{}` is not understood, so its experts may be left out of the weights; {says}",
            shortened(key)
        ));
    } else if !COUNTED.contains(&model_type) {
        doubts.push(format!(
            "{origin}: the weights of `{}` are counted as attention and gated MLPs, which it may not be; {says}",
            shortened(model_type)
        ));
    }
    if fields.value("index_head_dim").is_some() {
        doubts.push(format!(
            "{origin}: the index of its sparse attention is not counted, some hundred bytes a token and layer"
        ));
    }
    doubts
}

/// A size that has to be there.
pub(super) fn needed(fields: Fields<'_>, key: &str) -> Result<usize> {
    match fields.whole(key)? {
        Some(0) => Err(fields.wrong(key, "must be at least 1, not 0")),
        Some(size) if size > Config::VOCAB.end() * 4 => {
            Err(fields.wrong(key, &format!("is {}, more than any model has", count(size))))
        }
        Some(size) => Ok(size),
        None => Err(fields.wrong(key, "is missing")),
    }
}

/// Parts of the names of models whose layers, or some of them, keep a state.
const STATE_SPACE: [&str; 7] = ["mamba", "jamba", "zamba", "bamba", "rwkv", "xlstm", "recurrent"];

/// What transformers assumes of Gemma 3 where its configuration does not say it: query heads, KV
/// heads, channels.
const GEMMA3: [usize; 3] = [8, 4, 256];

/// The sizes of an architecture that kscope does not run.
fn other_sizes(fields: Fields<'_>, model_type: &str) -> Result<ServedSizes> {
    let is_gemma3 = model_type.starts_with("gemma3");
    let is_tied = ["gemma", "cohere"].iter().any(|family| model_type.starts_with(family));
    let usual = |key: &str, value: usize| match fields.value(key) {
        None if is_gemma3 => Ok(value),
        _ => needed(fields, key),
    };
    let count_of_layers = needed(fields, "num_hidden_layers")?;
    if !Config::LAYERS.contains(&count_of_layers) {
        let what = format!("must be 1 to 1,024, not {}", count(count_of_layers));
        return Err(fields.wrong("num_hidden_layers", &what));
    }
    let hidden = needed(fields, "hidden_size")?;
    let heads = usual("num_attention_heads", GEMMA3[0])?;
    let latent = latent(fields)?;
    let layers = match latent {
        Some(latent) => {
            let width = latent.kv_rank + latent.rope;
            vec![KvLayer::Latent { width }; count_of_layers]
        }
        None => {
            let stated =
                ["head_dim", "kv_channels"].into_iter().find(|k| fields.value(k).is_some());
            let head_dim = match stated {
                Some(key) => needed(fields, key)?,
                None if is_gemma3 => GEMMA3[2],
                None if hidden.is_multiple_of(heads) => hidden / heads,
                None => {
                    let what = format!(
                        "is missing, and `hidden_size` {hidden} is no multiple of {heads} query heads"
                    );
                    return Err(fields.wrong("head_dim", &what));
                }
            };
            if let Some(width) = fields.count("v_head_dim")?.filter(|&width| width != head_dim) {
                let what = format!(
                    "is {width} beside {head_dim} channels of a key: values of another width cannot be planned"
                );
                return Err(fields.wrong("v_head_dim", &what));
            }
            let kv_heads = kv_heads(fields, count_of_layers, heads, is_gemma3)?;
            let pairs: Vec<_> = kv_heads.into_iter().map(|heads| (heads, head_dim)).collect();
            layers(fields, model_type, &pairs)?
        }
    };
    let (experts, mlp) = match experts(fields, model_type, count_of_layers)? {
        Some((experts, mlp)) => (Some(experts), mlp),
        None => (None, needed(fields, "intermediate_size")?),
    };
    let sizes = ServedSizes {
        layers,
        hidden,
        heads,
        mlp,
        vocab: usual("vocab_size", 262_208)?,
        max_context: usual("max_position_embeddings", 131_072)?,
        rope_theta: rope_theta(fields)?,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(is_tied),
        latent,
        experts,
        attention_bits: 16.0,
        expert_bits: 16.0,
    };
    match sizes.is_absurd() {
        true => {
            Err(fields
                .wrong("hidden_size", "and the other sizes give more weights than any model has"))
        }
        false => Ok(sizes),
    }
}

/// The base of the rotary frequencies: of version 4 of transformers, or of version 5, which may
/// have one for each kind of layer. A mask is bound to it.
fn rope_theta(fields: Fields<'_>) -> Result<f64> {
    if let Some(theta) = fields.number("rope_theta")? {
        return Ok(theta);
    }
    let parameters = fields.value("rope_parameters");
    let of_full = |value: &'_ Value| value.get("full_attention").cloned();
    let parameters = parameters.map(|value| of_full(value).unwrap_or_else(|| value.clone()));
    let theta = parameters.and_then(|value| value.get("rope_theta")?.as_f64());
    Ok(theta.unwrap_or(10_000.0))
}

/// KV heads of every layer: one number, or a list with one for each.
fn kv_heads(
    fields: Fields<'_>,
    layers: usize,
    heads: usize,
    is_gemma3: bool,
) -> Result<Vec<usize>> {
    let key = "num_key_value_heads";
    let per_layer = match fields.value(key) {
        Some(Value::Array(_)) => {
            let list = fields.numbers(key)?.unwrap_or_default();
            let whole: Vec<usize> = list
                .iter()
                .filter(|n| n.fract() == 0.0 && **n >= 1.0)
                .map(|n| *n as usize)
                .collect();
            if whole.len() != layers || list.len() != layers {
                let what = format!("must be one count or {layers} of them, one a layer");
                return Err(fields.wrong(key, &what));
            }
            whole
        }
        Some(_) => vec![needed(fields, key)?; layers],
        None if is_gemma3 => vec![GEMMA3[1]; layers],
        None => vec![heads; layers],
    };
    match per_layer.iter().find(|kv| !heads.is_multiple_of(**kv)) {
        Some(kv) => {
            let what = format!("is {kv}, which {heads} query heads cannot share evenly");
            Err(fields.wrong(key, &what))
        }
        None => Ok(per_layer),
    }
}

/// Multi-head latent attention, where the keys of DeepSeek's configurations are there.
fn latent(fields: Fields<'_>) -> Result<Option<LatentSizes>> {
    if fields.value("kv_lora_rank").is_none() {
        return Ok(None);
    }
    let q_rank = match fields.value("q_lora_rank") {
        None => None,
        Some(_) => Some(needed(fields, "q_lora_rank")?),
    };
    Ok(Some(LatentSizes {
        kv_rank: needed(fields, "kv_lora_rank")?,
        rope: needed(fields, "qk_rope_head_dim")?,
        q_rank,
        nope: needed(fields, "qk_nope_head_dim")?,
        v: needed(fields, "v_head_dim")?,
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::model::load::served) fn read(json: Value) -> Result<ServedModel> {
        of_keys(json.as_object().unwrap(), "config.json", "test")
    }

    pub(in crate::model::load::served) fn base() -> Value {
        serde_json::json!({
            "model_type": "gpt_oss", "num_hidden_layers": 4, "hidden_size": 2880,
            "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "intermediate_size": 2880, "vocab_size": 201088, "max_position_embeddings": 131072,
            "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        })
    }

    pub(in crate::model::load::served) fn with(changes: &[(&str, Value)]) -> Value {
        let mut json = base();
        for (key, value) in changes {
            match value {
                Value::Null => drop(json.as_object_mut().unwrap().remove(*key)),
                value => json[*key] = value.clone(),
            }
        }
        json
    }

    #[test]
    fn what_cannot_be_planned_is_refused_by_key() {
        for (key, value, part) in [
            ("num_hidden_layers", Value::Null, "`num_hidden_layers` is missing"),
            ("num_hidden_layers", 0.into(), "at least 1, not 0"),
            ("vocab_size", (-3).into(), "must be a count"),
            ("num_key_value_heads", 7.into(), "is 7, which 64 query heads cannot share"),
            ("num_key_value_heads", serde_json::json!([8, 8]), "one count or 4 of them"),
            ("num_experts_per_tok", 33.into(), "is 33, more than `num_local_experts` 32"),
            ("layer_types", serde_json::json!(["full_attention"]), "a list of 4 kinds"),
            (
                "layer_types",
                serde_json::json!([
                    "linear_attention",
                    "full_attention",
                    "full_attention",
                    "full_attention"
                ]),
                "a layer of `linear_attention`",
            ),
            ("mamba_d_state", 16.into(), "cannot be planned"),
            ("num_local_experts", 16_000_000.into(), "more weights than any model has"),
            ("global_head_dim", 512.into(), "cannot be planned"),
            ("per_layer_config", serde_json::json!({"05": {"head_dim": 512}}), "cannot be planned"),
            ("v_head_dim", 32.into(), "values of another width"),
            ("type_vocab_size", 2.into(), "only decoders"),
            ("multi_query", true.into(), "KV heads"),
            ("is_encoder_decoder", true.into(), "only decoders"),
            ("model_type", Value::Null, "`model_type` is missing"),
            ("model_type", "mamba2".into(), "keep a state"),
        ] {
            let sentence = read(with(&[(key, value)])).unwrap_err().to_string();
            assert!(
                sentence.starts_with("config.json: `") && sentence.contains(part),
                "{sentence}"
            );
        }
    }

    #[test]
    fn latents_lists_of_heads_and_inner_models_are_understood() {
        let latent = with(&[
            ("model_type", "deepseek_v3".into()),
            ("kv_lora_rank", 512.into()),
            ("qk_rope_head_dim", 64.into()),
            ("qk_nope_head_dim", 128.into()),
            ("v_head_dim", 128.into()),
        ]);
        assert_eq!(read(latent).unwrap().layers, vec![KvLayer::Latent { width: 576 }; 4]);
        let lists =
            read(with(&[("num_key_value_heads", serde_json::json!([8, 4, 2, 1]))])).unwrap();
        assert!(lists.mask_shape().unwrap_err().to_string().contains("layers differ"));
        let grouped = with(&[("head_dim", Value::Null), ("kv_channels", 128.into())]);
        assert_eq!(read(grouped).unwrap().mask_shape().unwrap().head_dim, 128);
        let nested = serde_json::json!({"full_attention": {"rope_theta": 5e5}});
        assert_eq!(read(with(&[("rope_parameters", nested)])).unwrap().rope_theta, 5e5);
        let inner = serde_json::json!({"model_type": "gemma3", "text_config": base()});
        let inner = read(inner).unwrap();
        assert!(inner.warnings[0].contains("the text model is planned"), "{:?}", inner.warnings);
    }
}
