//! The steps of `tokenizer.json` around its vocabulary, checked before the tokenizers crate sees
//! them. The crate trusts them: a few hundred bytes of replacements make gigabytes of a word, and a
//! memory that is not to be had ends the program.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::error::shortened;

/// How much longer a text may get. Of the files that people use, those with a SentencePiece
/// normalizer make the most of it: some hundred times, for one character in the worst place.
const MOST_GROWTH: f64 = 4096.0;

/// Up to here a text's memory is not worth a check.
pub(super) const USUAL_GROWTH: f64 = 64.0;

/// What a file says of its steps. Only these sections are kept, not its vocabulary.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct TokenizerSteps {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

impl TokenizerSteps {
    /// Reads the sections; an error ends a sentence that names the file.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|cause| cause.to_string())
    }

    /// How many times longer a text can get before it is split. An error ends a sentence that names
    /// the file.
    pub fn check(&self) -> Result<f64, String> {
        let before = growth(&self.normalizer) * growth(&self.pre_tokenizer);
        let after = growth(&self.decoder);
        for (section, found) in [
            ("normalizer", growth(&self.normalizer)),
            ("pre_tokenizer", growth(&self.pre_tokenizer)),
            ("normalizer` and the `pre_tokenizer", before),
            ("decoder", after),
        ] {
            // An infinite product is refused too.
            if found > MOST_GROWTH {
                return Err(format!(
                    "the `{section}` can make a text {found:.1e} times longer, expected at most {MOST_GROWTH:.0} times"
                ));
            }
        }
        check_lengths(&self.pre_tokenizer)?;
        check_template(&self.post_processor)?;
        Ok(before)
    }
}

/// The steps of a sequence. Which it is follows from its keys, as in the crate, which reads old files
/// without a `type`.
fn parts(step: &Value) -> impl Iterator<Item = &Value> {
    ["normalizers", "pretokenizers", "processors", "decoders"]
        .into_iter()
        .filter_map(|name| step.get(name)?.as_array())
        .flatten()
}

/// An upper bound of how many times longer a step makes a text. Steps that at most triple the bytes
/// of one character, and do so once however often they are taken (cases, Unicode forms), count as 1.
fn growth(step: &Value) -> f64 {
    let length = |key: &str| step.get(key).and_then(Value::as_str).map_or(0, str::len) as f64;
    let replaced = step.get("pattern").map_or(1.0, |pattern| {
        match pattern.get("String").and_then(Value::as_str).map(str::len) {
            Some(found) if found > 0 => (length("content") / found as f64).max(1.0),
            // A regular expression may match the nothing before each character.
            _ => 1.0 + length("content"),
        }
    });
    let own = match step.get("type").and_then(Value::as_str) {
        Some("Metaspace") => 4.0,
        Some("ByteLevel") => 2.0,
        _ => 1.0,
    };
    let of_parts: f64 = parts(step).map(growth).product();
    own * of_parts * replaced * (1.0 + length("prepend")) * (1.0 + longest_piece(step))
}

/// What SentencePiece's table of replacements can put in place of one character: the table is a
/// tree, after which come the texts, each ended by a zero.
fn longest_piece(step: &Value) -> f64 {
    let Some(table) = step.get("precompiled_charsmap").and_then(Value::as_str) else { return 0.0 };
    let Ok(bytes) = BASE64_STANDARD.decode(table) else { return table.len() as f64 };
    let Some((tree, rest)) = bytes.split_first_chunk::<4>() else { return 0.0 };
    let texts = rest.get(u32::from_le_bytes(*tree) as usize..).unwrap_or_default();
    texts.split(|&byte| byte == 0).map(<[u8]>::len).max().unwrap_or(0) as f64
}

/// Refuses pieces of no length, which would be without number.
fn check_lengths(step: &Value) -> Result<(), String> {
    parts(step).try_for_each(check_lengths)?;
    match (step.get("type").and_then(Value::as_str), step.get("length")) {
        (Some("FixedLength"), Some(length)) if length.as_u64() == Some(0) => {
            Err("`pre_tokenizer`: the `length` of FixedLength must be at least 1, not 0".to_owned())
        }
        _ => Ok(()),
    }
}

/// Refuses a template of special tokens that its own list does not have.
fn check_template(step: &Value) -> Result<(), String> {
    parts(step).try_for_each(check_template)?;
    if step.get("type").and_then(Value::as_str) != Some("TemplateProcessing") {
        return Ok(());
    }
    let known = step.get("special_tokens").and_then(Value::as_object);
    let named = step.get("single").and_then(Value::as_array).into_iter().flatten();
    let named = named.filter_map(|piece| piece.get("SpecialToken")?.get("id")?.as_str());
    let mut missing = named.filter(|name| known.is_none_or(|known| !known.contains_key(*name)));
    missing.next().map_or(Ok(()), |name| {
        Err(format!(
            "`post_processor`: its template names `{}`, which is not in its `special_tokens`",
            shortened(name)
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn steps(value: Value) -> TokenizerSteps {
        serde_json::from_value(value).expect("sections")
    }

    #[test]
    fn growth_is_bounded_by_every_step_of_a_section() {
        let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
        let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
        for (section, expected) in [
            (replace(" ", "\u{2581}"), 3.0),
            (replace("aaaa", "b"), 1.0),
            (replace("", "ab"), 3.0),
            (json!({"type": "Replace", "pattern": {"Regex": "a"}, "content": "abc"}), 4.0),
            (json!({"type": "Prepend", "prepend": "\u{2581}"}), 4.0),
            (sequence(vec![replace("a", "aa"), sequence(vec![replace("a", "aaa")])]), 6.0),
            (json!({"type": "NFC"}), 1.0),
            // Without a type, and with a key of another kind of steps.
            (json!({"pattern": {"String": "a"}, "content": "aa"}), 2.0),
            (json!({"processors": [], "normalizers": [replace("a", "aa")]}), 2.0),
            (Value::Null, 1.0),
            // A tree of no bytes, and the texts `a` and `bcd`.
            (json!({"type": "Precompiled", "precompiled_charsmap": "AAAAAGEAYmNkAA=="}), 4.0),
        ] {
            assert_eq!(growth(&section), expected, "{section}");
            assert!(steps(json!({"normalizer": section})).check().is_ok());
        }
        let bomb: Vec<Value> = (0..200).map(|_| replace("a", &"a".repeat(60))).collect();
        for section in ["normalizer", "pre_tokenizer", "decoder"] {
            let refusal =
                steps(json!({section: sequence(bomb.clone())})).check().expect_err(section);
            assert!(refusal.contains(section) && refusal.contains("4096"), "{refusal}");
        }
    }

    #[test]
    fn pieces_without_length_and_templates_of_unknown_tokens_are_refused() {
        let refusal = |value| steps(value).check().expect_err("wrong");
        let pieces = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "FixedLength", "length": 0}]}});
        assert!(refusal(pieces).contains("FixedLength"));
        let template = |known: Value| {
            json!({"post_processor": {"type": "TemplateProcessing", "special_tokens": known,
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}})
        };
        assert!(refusal(template(json!({}))).contains("`<s>`"));
        assert!(
            steps(template(json!({"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}})))
                .check()
                .is_ok()
        );
    }
}
