//! The words of Mistral's tokenizers, which some files cut wrongly (`fix_mistral_regex` in
//! transformers).

use serde_json::{Value, json};
use tokenizers::{PreTokenizerWrapper, Tokenizer as Inner};

use super::companions::Companions;
use crate::{Error, Result};

/// Where Mistral's tokenizers cut words.
const WORDS: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Models that may have such a tokenizer.
const MODELS: [&str; 5] = ["mistral", "mistral3", "voxtral", "ministral", "pixtral"];

/// A vocabulary must be larger than this.
const SMALLEST: usize = 100_000;

/// Cuts words as Mistral does where `tokenizer_config.json` asks for it and transformers heeds that
/// (`TokenizersBackend._patch_mistral_regex`): a Mistral model that a version before 5 saved, with a
/// large vocabulary.
pub(super) fn fix_words(inner: &mut Inner, files: &Companions) -> Result<()> {
    let is_asked = files.flag("fix_mistral_regex")?.unwrap_or(false);
    let is_mistral = files.model_type.as_deref().is_some_and(|model| MODELS.contains(&model));
    let is_old = files.version.as_deref().is_none_or(is_before_5);
    let is_large = inner.get_vocab_size(true) > SMALLEST;
    let Some(step) = inner.get_pre_tokenizer() else { return Ok(()) };
    if !(is_asked && is_mistral && is_old && is_large) {
        return Ok(());
    }
    let failed = |cause: serde_json::Error| Error::input(format!("`fix_mistral_regex`: {cause}"));
    let words = json!({
        "type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": false
    });
    let mut step = serde_json::to_value(step).map_err(failed)?;
    match step.get_mut("pretokenizers").and_then(Value::as_array_mut) {
        Some(steps) => match steps.first_mut() {
            Some(first) => *first = words,
            None => steps.push(words),
        },
        None => {
            if step.get("type").is_some_and(|kind| kind == "Metaspace") {
                step = json!({
                    "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                    "use_regex": false
                });
            }
            step = json!({"type": "Sequence", "pretokenizers": [words, step]});
        }
    }
    let step: PreTokenizerWrapper = serde_json::from_value(step).map_err(failed)?;
    inner.with_pre_tokenizer(Some(step));
    Ok(())
}

/// Whether a version comes before 5.0.0, as Python's `packaging` orders them; an empty one counts as
/// not given.
fn is_before_5(version: &str) -> bool {
    let mut rest = version.trim().trim_start_matches('v');
    let mut numbers = [0u64; 3];
    for number in &mut numbers {
        let digits =
            rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        *number = rest[..digits].parse().unwrap_or(0);
        rest = &rest[digits..];
        match rest.strip_prefix('.').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            Some(more) => rest = more,
            None => break,
        }
    }
    let rest = rest.trim_start_matches(['.', '-', '_']);
    let is_early = ["a", "b", "c", "rc", "alpha", "beta", "pre", "dev"]
        .iter()
        .any(|word| rest.starts_with(word));
    version.trim().is_empty() || numbers < [5, 0, 0] || numbers == [5, 0, 0] && is_early
}

#[cfg(test)]
mod tests {
    use super::is_before_5;

    #[test]
    fn versions_are_ordered_as_python_orders_them() {
        for version in ["", "4.57.1", "4.57.0.dev0", "5.0.0rc1", "5.0.0.dev0", "5.0.0-rc.2", "3"] {
            assert!(is_before_5(version), "{version}");
        }
        for version in ["5.0.0", "5", "5.0.0.post1", "5.0.1.dev0", "5.24.0", "10.0"] {
            assert!(!is_before_5(version), "{version}");
        }
    }
}
