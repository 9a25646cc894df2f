//! `add_prefix_space` of `tokenizer_config.json`: whether a text is split as if a space stood before
//! it. transformers builds some tokenizer classes anew, and that key then wins over what
//! `tokenizer.json` says of it.

use serde_json::{Value, json};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer as Inner};

use super::special::{Companions, wrong};
use crate::{Error, Result};

/// The mark that SentencePiece has for a space.
const MARK: &str = "\u{2581}";

/// Classes that transformers builds anew.
enum Class {
    /// One byte-level step.
    Gpt2,
    /// Words by a pattern, then a byte-level step.
    Qwen2,
    /// SentencePiece.
    Llama,
}

impl Class {
    fn of(files: &Companions) -> Result<Option<Self>> {
        Ok(match (files.model_type.as_deref(), files.class()?) {
            (Some("mistral"), _) => None,
            (Some("qwen2" | "qwen3"), _) | (_, "Qwen2Tokenizer") => Some(Self::Qwen2),
            (_, "GPT2Tokenizer") => Some(Self::Gpt2),
            (_, "LlamaTokenizer") => Some(Self::Llama),
            _ => None,
        })
    }
}

/// Applies the key to a tokenizer whose class reads it.
pub(super) fn apply(inner: &mut Inner, files: &Companions) -> Result<()> {
    let Some(class) = Class::of(files)? else { return Ok(()) };
    let key = "add_prefix_space";
    let stated = match files.config.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::Bool(stated)) => Some(*stated),
        Some(other) => return Err(wrong(key, "true or false", other)),
    };
    let failed = |cause: serde_json::Error| Error::run(format!("`{key}`: {cause}"));
    let mut splits = inner.get_pre_tokenizer().map_or(Ok(Value::Null), serde_json::to_value);
    let splits = splits.as_mut().map_err(|cause| Error::run(format!("`{key}`: {cause}")))?;
    let is_byte_level = find(splits, "ByteLevel").is_some();
    match (class, stated) {
        (Class::Gpt2 | Class::Qwen2, _) if !is_byte_level => return Ok(()),
        (Class::Gpt2, Some(true)) if splits["type"] != "ByteLevel" => {
            // After another step, every piece would get a space.
            let alone = json!({"type": "ByteLevel", "trim_offsets": true, "use_regex": true});
            *splits = alone;
            splits[key] = Value::Bool(true);
        }
        (Class::Gpt2 | Class::Qwen2, stated) => {
            if let Some(step) = find(splits, "ByteLevel") {
                step[key] = Value::Bool(stated.unwrap_or(false));
            }
        }
        (Class::Llama, Some(false)) if !is_byte_level => {
            return without_prefix(inner, splits).map_err(failed);
        }
        (Class::Llama, _) => return Ok(()),
    }
    let splits: PreTokenizerWrapper = serde_json::from_value(splits.take()).map_err(failed)?;
    inner.with_pre_tokenizer(Some(splits));
    Ok(())
}

/// Takes the space before a text away from a SentencePiece tokenizer, and the step that drops it
/// again.
fn without_prefix(inner: &mut Inner, splits: &mut Value) -> Result<(), serde_json::Error> {
    let mut changes = inner.get_normalizer().map_or(Ok(Value::Null), serde_json::to_value)?;
    drop_step(&mut changes, "normalizers", |step| step["prepend"] == MARK);
    let changes: Option<NormalizerWrapper> = serde_json::from_value(changes)?;
    let _ = inner.with_normalizer(changes);
    if let Some(step) = find(splits, "Metaspace") {
        step["prepend_scheme"] = json!("never");
        let splits: PreTokenizerWrapper = serde_json::from_value(splits.take())?;
        inner.with_pre_tokenizer(Some(splits));
    }
    let mut joins = inner.get_decoder().map_or(Ok(Value::Null), serde_json::to_value)?;
    drop_step(&mut joins, "decoders", |step| step["type"] == "Strip" && step["content"] == " ");
    if let Some(step) = find(&mut joins, "Metaspace") {
        step["prepend_scheme"] = json!("never");
    }
    let joins: Option<DecoderWrapper> = serde_json::from_value(joins)?;
    inner.with_decoder(joins);
    Ok(())
}

/// The first step of that type, in a sequence or alone.
fn find<'a>(step: &'a mut Value, kind: &str) -> Option<&'a mut Value> {
    if step["type"] == kind {
        return Some(step);
    }
    let steps = ["pretokenizers", "normalizers", "decoders"];
    let list = steps.iter().find(|list| step.get(**list).is_some())?;
    step[*list].as_array_mut()?.iter_mut().find_map(|step| find(step, kind))
}

/// Removes steps of a sequence, or the only step.
fn drop_step(step: &mut Value, list: &str, is_out: impl Fn(&Value) -> bool) {
    if is_out(step) {
        *step = Value::Null;
    } else if let Some(steps) = step.get_mut(list).and_then(Value::as_array_mut) {
        steps.retain(|step| !is_out(step));
    }
}
