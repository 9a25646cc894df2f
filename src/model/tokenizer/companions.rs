//! The files beside `tokenizer.json`, and what they say of tokens together.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::shortened;
use crate::{Error, Result, input_file};

/// Names of the tokens that transformers knows for every tokenizer, in its order.
pub(super) const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

const EXTRA: &str = "extra_special_tokens";
/// The older name of the same.
const ADDITIONAL: &str = "additional_special_tokens";
/// Tokens by names of a model's own.
const SPECIFIC: &str = "model_specific_special_tokens";

/// The files beside `tokenizer.json`: their keys, none where there is no file.
#[derive(Debug, Default)]
pub struct Companions {
    /// `tokenizer_config.json`.
    pub config: Map<String, Value>,
    /// `special_tokens_map.json`.
    pub special_map: Map<String, Value>,
    /// `added_tokens.json`.
    pub added: Map<String, Value>,
    /// `model_type` of `config.json`, where it is known.
    pub model_type: Option<String>,
    /// `tokenizer_class` of `config.json`, which counts where `tokenizer_config.json` has none.
    pub model_class: Option<String>,
    /// `transformers_version` of `config.json`.
    pub version: Option<String>,
}

impl Companions {
    /// The files of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let parsed = |name: &str| {
            let path = folder.join(name);
            match input_file::if_there(&path, input_file::TOKENIZER, input_file::read_json)? {
                None => Ok(Map::new()),
                Some(text) => keys_of(&text, &path.display().to_string()),
            }
        };
        let model = parsed("config.json")?;
        let of_model = |key: &str| model.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            config: parsed("tokenizer_config.json")?,
            special_map: parsed("special_tokens_map.json")?,
            added: parsed("added_tokens.json")?,
            model_type: of_model("model_type"),
            model_class: of_model("tokenizer_class"),
            version: of_model("transformers_version"),
        })
    }

    /// The class that the tokenizer has in transformers, where a file says it.
    pub fn class(&self) -> Result<&str> {
        match self.config.get("tokenizer_class") {
            None | Some(Value::Null) => {
                Ok(self.model_class.as_deref().map(without_fast).unwrap_or_default())
            }
            Some(Value::String(class)) => Ok(without_fast(class)),
            Some(other) => Err(wrong("tokenizer_class", "a text", other)),
        }
    }

    /// The file that names the class `name`; one that follows from the model is in `config.json`.
    pub(super) fn file_of_class(&self, name: &str) -> &'static str {
        let stated = self.config.get("tokenizer_class").and_then(Value::as_str);
        match stated.map(without_fast) == Some(name) {
            true => "tokenizer_config.json",
            false => "config.json",
        }
    }

    /// A flag of `tokenizer_config.json`.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(stated)) => Ok(Some(*stated)),
            Some(other) => Err(wrong(key, "true or false", other)),
        }
    }

    /// Whether `tokenizer_config.json` lists all added tokens itself; then `special_tokens_map.json`
    /// and `added_tokens.json` say nothing, and `tokenizer.json` nothing of added tokens.
    pub(super) fn has_full_list(&self) -> bool {
        self.config.contains_key("added_tokens_decoder")
    }
}

/// The older names of classes end so.
fn without_fast(class: &str) -> &str {
    class.strip_suffix("Fast").unwrap_or(class)
}

/// A refusal; who knows the file puts it in front.
pub(super) fn wrong(key: &str, expected: &str, found: &Value) -> Error {
    let found = shortened(&found.to_string());
    Error::input(format!("`{}` must be {expected}, not {found}", shortened(key)))
}

/// The keys of a file beside `tokenizer.json`.
pub(super) fn keys_of(text: &str, origin: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(other) => {
            let found = shortened(&other.to_string());
            Err(Error::input(format!("{origin}: must be an object of keys, not {found}")))
        }
        Err(cause) => Err(Error::input(format!("{origin}: {cause}"))),
    }
}

/// A token as a file has it: a text, or an object with flags. Which it is counts where transformers
/// adds it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum GivenToken {
    /// The text alone: a special token without other flags.
    Text(String),
    /// With flags; `normalized` is none where the file does not say.
    Flagged {
        /// What is added, but for `normalized` where that is none.
        token: AddedToken,
        /// Whether the token is looked for in the normalized text; no special token is, if unsaid.
        normalized: Option<bool>,
    },
}

impl GivenToken {
    /// A token from a file, none where it is neither form.
    pub fn read(value: &Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Some(Self::Text(text.to_owned()));
        }
        let flag = |name: &str| value.get(name).and_then(Value::as_bool);
        let is = |name: &str| flag(name).unwrap_or(false);
        let token = AddedToken::from(value.get("content")?.as_str()?, is("special"))
            .single_word(is("single_word"))
            .lstrip(is("lstrip"))
            .rstrip(is("rstrip"));
        Some(Self::Flagged { token, normalized: flag("normalized") })
    }

    /// One that `tokenizer.json` has.
    pub fn stored(token: &AddedToken) -> Self {
        Self::Flagged { token: token.clone(), normalized: Some(token.normalized) }
    }

    /// What it is called.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Flagged { token, .. } => &token.content,
        }
    }

    /// What is added for it; it is special in any case where `is_named`.
    pub fn to_add(&self, is_named: bool) -> AddedToken {
        match self {
            Self::Text(text) => AddedToken::from(&text[..], true),
            Self::Flagged { token, normalized } => {
                let special = token.special || is_named;
                token.clone().special(special).normalized(normalized.unwrap_or(!special))
            }
        }
    }
}

/// What the files beside `tokenizer.json` say of tokens, put together as transformers does it
/// (`PreTrainedTokenizerBase._from_pretrained`).
#[derive(Debug, Default)]
pub(super) struct TokenizerSettings {
    /// Tokens by name, of the names that every tokenizer has; null where a file says that there is
    /// none.
    pub named: Vec<(&'static str, Option<GivenToken>)>,
    /// Tokens by a name of the model's own, `image_token` and the like.
    pub specific: Vec<(String, GivenToken)>,
    /// Special tokens without a name.
    pub extra: Vec<GivenToken>,
    /// `added_tokens_decoder` with its ids.
    pub decoder: Option<Vec<(i64, GivenToken)>>,
    /// `added_tokens.json` with its ids.
    pub added: Vec<(i64, GivenToken)>,
}

impl TokenizerSettings {
    /// From the files; `origin` names the folder in errors.
    pub fn read(files: &Companions, origin: &str) -> Result<Self> {
        let in_file = |name: &str| {
            let file = format!("{origin}/{name}");
            move |error: Error| Error::input(format!("{file}: {error}"))
        };
        let in_config = in_file("tokenizer_config.json");
        let mut keys = files.config.clone();
        let decoder = match keys.remove("added_tokens_decoder") {
            None => None,
            Some(Value::Object(tokens)) => Some(by_id(&tokens).map_err(&in_config)?),
            Some(other) => {
                let error = wrong("added_tokens_decoder", "an object of tokens by id", &other);
                return Err(in_config(error));
            }
        };
        check(&keys).map_err(&in_config)?;
        let is_empty = |value: Option<&Value>| match value {
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            other => other.is_none_or(Value::is_null),
        };
        if keys.contains_key(ADDITIONAL) && is_empty(keys.get(EXTRA)) {
            let additional = keys.remove(ADDITIONAL).unwrap_or_default();
            keys.insert(EXTRA.to_owned(), additional);
        }
        let mut specific = Map::new();
        let is_own = |key: &str| key.ends_with("_token") && !NAMES.contains(&key);
        let own: Vec<String> = keys
            .iter()
            .filter(|(key, value)| is_own(key) && value.is_string())
            .map(|(key, _)| key.clone())
            .collect();
        for key in own {
            specific.extend(keys.shift_remove_entry(&key));
        }
        let take_extra = |keys: &mut Map<String, Value>| match keys.get(EXTRA) {
            Some(Value::Object(_)) => keys.remove(EXTRA).and_then(|map| match map {
                Value::Object(map) => Some(map),
                _ => None,
            }),
            _ => None,
        };
        specific.extend(take_extra(&mut keys).unwrap_or_default());
        if specific.is_empty() {
            let stated = keys.get(SPECIFIC).and_then(Value::as_object);
            specific.extend(stated.cloned().unwrap_or_default());
        }
        let mut added = Vec::new();
        if decoder.is_none() {
            check(&files.special_map).map_err(in_file("special_tokens_map.json"))?;
            for (key, value) in &files.special_map {
                let value = match value {
                    Value::Array(more) if key == EXTRA => {
                        let before = keys.get(EXTRA).and_then(Value::as_array);
                        let before = before.cloned().unwrap_or_default();
                        let new = more.iter().map(special);
                        let new: Vec<Value> = new.filter(|token| !before.contains(token)).collect();
                        Value::Array([before, new].concat())
                    }
                    Value::Object(_) if key != EXTRA => special(value),
                    _ => value.clone(),
                };
                keys.insert(key.clone(), value);
            }
            specific.extend(take_extra(&mut keys).unwrap_or_default());
            let stated = |value: &Value| match value.get("__type") {
                None => GivenToken::read(value).map(|token| token.text().to_owned()),
                // transformers compares texts before it knows that this is a token.
                Some(_) => None,
            };
            let extra = keys.get(EXTRA).and_then(Value::as_array).into_iter().flatten();
            let known = NAMES.iter().filter_map(|name| keys.get(*name)).chain(extra);
            let known: Vec<String> = known.filter_map(stated).collect();
            added = by_text(&files.added, &known).map_err(in_file("added_tokens.json"))?;
        }
        if let Some(additional) = keys.get(ADDITIONAL).filter(|_| !keys.contains_key(EXTRA)) {
            let additional = additional.clone();
            keys.insert(EXTRA.to_owned(), additional);
        }
        let named =
            NAMES.iter().filter_map(|name| Some((*name, GivenToken::read(keys.get(*name)?))));
        let own = keys.iter().filter(|(key, _)| is_own(key));
        let mut by_name: Vec<(String, GivenToken)> = Vec::new();
        for (name, value) in own.chain(&specific) {
            let Some(token) = GivenToken::read(value) else { continue };
            match by_name.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = token,
                None => by_name.push((name.clone(), token)),
            }
        }
        let extra = keys.get(EXTRA).and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            named: named.collect(),
            specific: by_name,
            extra: extra.filter_map(GivenToken::read).collect(),
            decoder,
            added,
        })
    }
}

/// An object of `special_tokens_map.json` is special, whatever it says.
fn special(token: &Value) -> Value {
    let mut token = token.clone();
    if let Some(token) = token.as_object_mut().filter(|token| token.contains_key("content")) {
        token.insert("special".to_owned(), Value::Bool(true));
        token.remove("__type");
    }
    token
}

/// Refuses special tokens that are none.
fn check(keys: &Map<String, Value>) -> Result<()> {
    let is_token = |value: &Value| GivenToken::read(value).is_some();
    for name in NAMES {
        let found = keys.get(name).filter(|value| !value.is_null() && !is_token(value));
        if let Some(other) = found {
            return Err(wrong(name, "a token (a text or an object with `content`) or null", other));
        }
    }
    for key in [EXTRA, ADDITIONAL, SPECIFIC] {
        let are_tokens = match keys.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Array(list)) => list.iter().all(is_token) && key != SPECIFIC,
            Some(Value::Object(map)) => map.values().all(is_token),
            Some(_) => false,
        };
        if !are_tokens {
            let expected = match key {
                SPECIFIC => "an object of tokens by name",
                _ => "a list of tokens or an object of tokens by name",
            };
            return Err(wrong(key, expected, &keys[key]));
        }
    }
    Ok(())
}

/// The tokens of `added_tokens_decoder`.
fn by_id(tokens: &Map<String, Value>) -> Result<Vec<(i64, GivenToken)>> {
    let mut found = Vec::new();
    for (key, value) in tokens {
        let id: i64 = key.trim().parse().map_err(|_| {
            let key = shortened(key);
            Error::input(format!("`added_tokens_decoder` has the id `{key}`, which is no number"))
        })?;
        let place = format!("added_tokens_decoder.{key}");
        let token = GivenToken::read(value).filter(|_| value.is_object());
        let token =
            token.ok_or_else(|| wrong(&place, "an object with a text as `content`", value))?;
        for name in ["special", "single_word", "lstrip", "rstrip", "normalized"] {
            if let Some(other) = value.get(name).filter(|flag| !flag.is_boolean()) {
                return Err(wrong(&format!("{place}.{name}"), "true or false", other));
            }
        }
        found.push((id, token));
    }
    Ok(found)
}

/// The tokens of `added_tokens.json` with their ids; `special` are the texts of special ones.
fn by_text(tokens: &Map<String, Value>, special: &[String]) -> Result<Vec<(i64, GivenToken)>> {
    let mut found = Vec::new();
    for (text, id) in tokens {
        let id = id.as_i64().ok_or_else(|| wrong(text, "a token id", id))?;
        let token = AddedToken::from(&text[..], special.contains(text));
        found.push((id, GivenToken::stored(&token)));
    }
    Ok(found)
}
