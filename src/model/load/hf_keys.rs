//! The keys of a `config.json` that this program does not read: those that change what a model
//! computes are refused by name, those known to be harmless are passed over, and the others are
//! named in a warning.

use serde_json::Value;

use super::fields::{Fields, shown};
use crate::Result;
use crate::error::shortened;
use crate::model::arch::{Architecture, ExpertRule, FactorKeys, Gemma, WindowLayers, WindowRule};

/// Keys that are read where they have a meaning.
const READ: &[&str] = &[
    "model_type",
    "vocab_size",
    "hidden_act",
    "rope_scaling",
    "rope_parameters",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "eos_token_id",
    "bos_token_id",
    "pad_token_id",
    // What it means is decided beside the tensors.
    "quantization_config",
    "compression_config",
];

/// Keys that change nothing: training, labels, defaults of generation, and notes of tools.
const HARMLESS: &[&str] = &[
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "ignore_keys_at_rope_validation",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "max_sequence_length",
    "min_length",
    "model_max_length",
    "name_or_path",
    "neftune_noise_alpha",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "pad_token",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_mrope",
    "use_return_dict",
];

/// Keys of an architecture that has what they speak of.
fn own_keys(architecture: &Architecture) -> Vec<&'static str> {
    let mut own: Vec<&str> = architecture.factors.iter().flat_map(FactorKeys::hf).collect();
    own.extend(architecture.experts.iter().flat_map(ExpertRule::hf));
    if let Some(gemma) = &architecture.gemma {
        own.extend([Gemma::SCALAR, Gemma::LOGIT_CAP, architecture.activation_key]);
        // transformers reads the cap of Gemma 3's scores and caps nothing.
        own.extend(gemma.score_cap.map(|_| Gemma::SCORE_CAP));
        own.extend(gemma.local_theta.map(|_| Gemma::LOCAL_THETA));
    }
    if let Some(WindowRule { layers: WindowLayers::AllButEvery(_, key), .. }) = architecture.window
    {
        own.extend(Some(key).filter(|key| !key.is_empty()));
    }
    if architecture.skips_rope {
        own.extend(["no_rope_layers", "no_rope_layer_interval"]);
    }
    own
}

/// A value at which a key changes nothing; null, 0, false and what is empty never do.
#[derive(Clone, Copy)]
enum Neutral {
    /// No other value.
    Off,
    /// 1, for factors.
    One,
    /// True alone.
    On,
    /// Whether the architecture has norms on the heads of q and k.
    HeadNorms,
}

/// Keys that change what a model computes, here or in other architectures.
const REFUSED: &[(&str, Neutral)] = &[
    ("add_cross_attention", Neutral::Off),
    ("alibi", Neutral::Off),
    ("attention_chunk_size", Neutral::Off),
    ("attention_multiplier", Neutral::Off),
    ("attn_logit_softcapping", Neutral::Off),
    ("clip_qkv", Neutral::Off),
    ("dim_model_base", Neutral::Off),
    ("embedding_multiplier", Neutral::One),
    ("embedding_scale", Neutral::One),
    ("final_logit_softcapping", Neutral::Off),
    ("full_attn_mod", Neutral::One),
    ("interpolate_factor", Neutral::One),
    ("is_causal", Neutral::On),
    ("is_encoder_decoder", Neutral::Off),
    ("kv_lora_rank", Neutral::Off),
    ("lm_head_bias", Neutral::Off),
    ("lm_head_multiplier", Neutral::One),
    ("logit_scale", Neutral::One),
    ("logits_scaling", Neutral::One),
    ("n_routed_experts", Neutral::Off),
    ("no_rope_layer_interval", Neutral::Off),
    ("no_rope_layers", Neutral::Off),
    ("num_experts", Neutral::Off),
    ("num_kv_shared_layers", Neutral::Off),
    ("num_local_experts", Neutral::Off),
    ("parallel_attn", Neutral::Off),
    ("pruned_heads", Neutral::Off),
    ("q_lora_rank", Neutral::Off),
    ("qk_layernorm", Neutral::HeadNorms),
    ("qk_norm", Neutral::HeadNorms),
    ("query_pre_attn_scalar", Neutral::Off),
    ("residual_multiplier", Neutral::One),
    ("rope_interleave", Neutral::Off),
    ("rope_interleaved", Neutral::Off),
    ("rope_local_base_freq", Neutral::Off),
    ("rope_ratio", Neutral::One),
    ("rope_traditional", Neutral::Off),
    ("rotary_dim", Neutral::Off),
    ("rotary_emb_base", Neutral::Off),
    ("rotary_emb_fraction", Neutral::One),
    ("rotary_pct", Neutral::One),
    ("scale_depth", Neutral::Off),
    ("scale_emb", Neutral::One),
    ("sliding_window_pattern", Neutral::Off),
    ("use_alibi", Neutral::Off),
    ("use_bidirectional_attention", Neutral::Off),
    ("use_dynamic_ntk", Neutral::Off),
    ("use_logn_attn", Neutral::Off),
    ("use_parallel_residual", Neutral::Off),
    ("use_qk_norm", Neutral::HeadNorms),
    ("v_head_dim", Neutral::Off),
];

const SHOWN: usize = 5;

/// Refuses keys that change the result and are not supported; names the unknown ones in a warning.
pub(super) fn check(
    fields: Fields<'_>,
    architecture: &Architecture,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let own = own_keys(architecture);
    for (key, neutral) in REFUSED.iter().filter(|(key, _)| !own.contains(key)) {
        let Some(value) = fields.map.get(*key) else { continue };
        if !is_neutral(*neutral, value, architecture) {
            let what =
                format!("{} changes what the model computes and is not supported", shown(value));
            return Err(fields.wrong(key, &what));
        }
    }
    let key = "quantization_config";
    match fields.value(key) {
        None | Some(Value::Object(_) | Value::String(_)) => {}
        Some(other) => {
            return Err(fields.wrong(key, &format!("must be an object, not {}", shown(other))));
        }
    }
    let read = architecture.keys.hf();
    let mut unknown: Vec<String> = fields
        .map
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, _)| key.as_str())
        .filter(|key| !key.starts_with('_') && !read.contains(key) && !own.contains(key))
        .filter(|key| !READ.contains(key) && !HARMLESS.contains(key))
        .filter(|key| REFUSED.iter().all(|(refused, _)| refused != key))
        .map(|key| format!("`{}`", shortened(key)))
        .collect();
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(SHOWN);
        unknown.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        warnings.push(format!(
            "{}: kscope does not know {}{more}, and runs the model without",
            fields.origin,
            unknown.join(", ")
        ));
    }
    Ok(())
}

fn is_neutral(neutral: Neutral, value: &Value, architecture: &Architecture) -> bool {
    let off = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::String(_) => false,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    };
    match neutral {
        Neutral::Off => off,
        Neutral::One => value.is_null() || value.as_f64() == Some(1.0),
        Neutral::On => value.is_null() || *value == Value::Bool(true),
        Neutral::HeadNorms => value.is_null() || *value == Value::Bool(architecture.qk_norm()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::load::hf_config;

    /// Keys whose null says something that their absence does not: no window, as many KV heads as
    /// query heads, or no cap. What the first two give is compared in
    /// `tests/model/configuration_keys.rs`.
    const NULL_SAYS_MORE: [&str; 4] =
        ["sliding_window", "num_key_value_heads", Gemma::SCORE_CAP, Gemma::LOGIT_CAP];

    #[test]
    fn a_null_is_a_key_that_is_not_given_or_is_named() {
        for model_type in [
            "llama",
            "mistral",
            "qwen2",
            "qwen3",
            "olmo2",
            "granite",
            "smollm3",
            "phi3",
            "gemma2",
            "gemma3_text",
            "mixtral",
            "qwen3_moe",
        ] {
            let base = json!({"model_type": model_type, "num_hidden_layers": 2});
            let architecture = Architecture::of_model_type(model_type).unwrap();
            let (without, _) = hf_config::parse(&base.to_string(), "config.json").unwrap();
            let keys = READ.iter().chain(HARMLESS).copied().chain(architecture.keys.hf());
            let (mut same, mut named) = (0, 0);
            for key in keys.chain(REFUSED.iter().map(|(key, _)| *key)) {
                let mut config = base.clone();
                config[key] = json!(null);
                match hf_config::parse(&config.to_string(), "config.json") {
                    Ok(_) if NULL_SAYS_MORE.contains(&key) => {}
                    // A warning may mention the key.
                    Ok((found, _)) => {
                        assert_eq!(found, without, "{model_type}: {key}");
                        same += 1;
                    }
                    Err(error) => {
                        let sentence = error.to_string();
                        assert!(sentence.contains(&format!("`{key}`")), "{sentence}");
                        named += 1;
                    }
                }
            }
            assert!(same > 100 && named > 3, "{model_type}: {same} the same, {named} named");
        }
    }

    #[test]
    fn keys_of_other_architectures_are_neutral_or_named_with_their_value() {
        let values = json!([
            null, "x", "", true, false, 0, 1, -1, 2, 4.0, 0.5, [], [1], {}, {"a": 1}
        ]);
        let mut neutral = 0;
        for (key, _) in REFUSED {
            for value in values.as_array().into_iter().flatten() {
                let text =
                    json!({"model_type": "llama", "num_hidden_layers": 2, *key: value}).to_string();
                match hf_config::parse(&text, "config.json") {
                    Ok(_) => neutral += 1,
                    Err(error) => {
                        let sentence = error.to_string();
                        assert!(sentence.contains(&format!("`{key}`")), "{sentence}");
                        assert!(sentence.contains(&shown(value)), "{sentence}");
                    }
                }
            }
        }
        // Null, false, zero and what is empty, but for factors, which are neutral at one.
        assert!((2 * REFUSED.len()..6 * REFUSED.len()).contains(&neutral), "{neutral}");
    }
}
