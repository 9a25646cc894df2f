//! Special and added tokens of a Hugging Face folder, from every file that may name them, as
//! transformers reads them.

use serde_json::{Map, Value};
use tokenizers::AddedToken;

/// Names of the tokens that transformers knows for every tokenizer.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What tokenizer classes call their tokens where no file does.
const CLASS_DEFAULTS: &[(&str, &[(&str, &str)])] = &[
    ("LlamaTokenizer", &[("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")]),
    (
        "Qwen2Tokenizer",
        &[
            ("unk_token", "<|endoftext|>"),
            ("eos_token", "<|endoftext|>"),
            ("pad_token", "<|endoftext|>"),
        ],
    ),
    (
        "GPT2Tokenizer",
        &[
            ("unk_token", "<|endoftext|>"),
            ("bos_token", "<|endoftext|>"),
            ("eos_token", "<|endoftext|>"),
        ],
    ),
];

/// The files beside `tokenizer.json`; null where there is none.
#[derive(Debug, Default)]
pub struct Companions {
    /// `tokenizer_config.json`.
    pub config: Value,
    /// `special_tokens_map.json`.
    pub special_map: Value,
    /// `added_tokens.json`.
    pub added: Value,
}

/// What the files say.
#[derive(Debug, Default)]
pub struct SpecialTokens {
    /// Texts of the special tokens by name (`bos_token`), in transformers' order.
    pub named: Vec<(String, String)>,
    /// Tokens to add to those that `tokenizer.json` has, in the order in which they get new ids.
    pub added: Vec<AddedToken>,
}

impl SpecialTokens {
    /// From the files; `holds` tells whether the vocabulary has a token.
    pub fn read(files: &Companions, holds: impl Fn(&str) -> bool) -> Self {
        let mut settings = files.config.as_object().cloned().unwrap_or_default();
        let decoder = settings.remove("added_tokens_decoder").filter(Value::is_object);
        // With a full list in `tokenizer_config.json` the older files say nothing.
        if decoder.is_none()
            && let Value::Object(map) = &files.special_map
        {
            settings.extend(map.clone());
        }
        let named = named(&settings, holds);
        let extra = extra(&settings);
        let mut added = match &decoder {
            Some(Value::Object(tokens)) => {
                by_id(tokens, |key, value| Some((key.parse().ok()?, token(value)?)))
            }
            _ => match &files.added {
                Value::Object(tokens) => by_id(tokens, |text, id| {
                    let special = extra.iter().chain(named.iter().map(|(_, text)| text));
                    let special = special.into_iter().any(|known| known == text);
                    Some((id.as_u64()?, AddedToken::from(text, special)))
                }),
                _ => Vec::new(),
            },
        };
        for token in &mut added {
            token.special |= named.iter().any(|(_, text)| *text == token.content);
        }
        for text in named.iter().map(|(_, text)| text).chain(&extra) {
            if !added.iter().any(|token| token.content == *text) {
                added.push(AddedToken::from(text.clone(), true));
            }
        }
        Self { named, added }
    }

    /// The text of a special token.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, text)| &text[..])
    }
}

fn named(settings: &Map<String, Value>, holds: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let class = settings.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    let class = class.strip_suffix("Fast").unwrap_or(class);
    let defaults = CLASS_DEFAULTS.iter().find(|(name, _)| *name == class);
    let default = |name: &str| {
        let (_, text) = defaults?.1.iter().find(|(known, _)| *known == name)?;
        holds(text).then(|| (*text).to_owned())
    };
    let mut found: Vec<(String, String)> = Vec::new();
    for name in NAMES {
        let text = match settings.get(name) {
            Some(value) => text_of(value),
            None => default(name),
        };
        found.extend(text.filter(|text| !text.is_empty()).map(|text| (name.to_owned(), text)));
    }
    // Names of a model's own, `image_token` and the like.
    let own = settings.iter().filter(|(key, value)| {
        key.ends_with("_token") && !NAMES.contains(&key.as_str()) && !value.is_boolean()
    });
    let in_dictionary = settings.get("extra_special_tokens").and_then(Value::as_object);
    for (name, value) in own.chain(in_dictionary.into_iter().flatten()) {
        let text = text_of(value).filter(|text| !text.is_empty());
        found.extend(text.map(|text| (name.clone(), text)));
    }
    found
}

/// Special tokens without a name.
fn extra(settings: &Map<String, Value>) -> Vec<String> {
    let lists = ["extra_special_tokens", "additional_special_tokens"];
    let lists = lists.iter().filter_map(|key| settings.get(*key)?.as_array());
    lists.flatten().filter_map(text_of).filter(|text| !text.is_empty()).collect()
}

/// A token is written as text or as an object whose `content` is the text.
fn text_of(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

fn token(value: &Value) -> Option<AddedToken> {
    let text = text_of(value)?;
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(false);
    Some(
        AddedToken::from(text, special)
            .single_word(flag("single_word").unwrap_or(false))
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .normalized(flag("normalized").unwrap_or(!special)),
    )
}

fn by_id(
    tokens: &Map<String, Value>,
    one: impl Fn(&str, &Value) -> Option<(u64, AddedToken)>,
) -> Vec<AddedToken> {
    let mut found: Vec<(u64, AddedToken)> =
        tokens.iter().filter_map(|(key, value)| one(key, value)).collect();
    found.sort_by_key(|(id, _)| *id);
    found.into_iter().map(|(_, token)| token).collect()
}
