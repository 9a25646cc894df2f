//! Special and added tokens of a Hugging Face folder, from every file that may name them, as
//! transformers reads them.

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::class::Class;
use crate::error::shortened;
use crate::{Error, Result};

/// Names of the tokens that transformers knows for every tokenizer.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

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
}

impl Companions {
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

/// What the files say.
#[derive(Debug, Default)]
pub struct SpecialTokens {
    /// Texts of the special tokens by name (`bos_token`), in transformers' order.
    pub named: Vec<(String, String)>,
    /// Tokens to add to those that `tokenizer.json` has, in the order in which they get new ids.
    pub added: Vec<AddedToken>,
    /// Tokens of `added_tokens.json` that are not added, because their ids are others'.
    pub left_out: Vec<String>,
}

impl SpecialTokens {
    /// From the files; `class` is the class that transformers builds anew, whose own names count
    /// where no file has one. `taken` gives the added token of an id in `tokenizer.json`; `origin`
    /// names the folder in errors.
    pub(super) fn read(
        files: &Companions,
        class: Option<Class>,
        taken: &dyn Fn(u32) -> Option<String>,
        origin: &str,
    ) -> Result<Self> {
        let in_file = |name: &str| {
            let file = format!("{origin}/{name}");
            move |error: Error| Error::input(format!("{file}: {error}"))
        };
        let in_config = in_file("tokenizer_config.json");
        let mut settings = files.config.clone();
        let decoder = match settings.remove("added_tokens_decoder") {
            None => None,
            Some(Value::Object(tokens)) => Some(by_id(&tokens).map_err(&in_config)?),
            Some(other) => {
                let error = wrong("added_tokens_decoder", "an object of tokens by id", &other);
                return Err(in_config(error));
            }
        };
        check(&settings).map_err(&in_config)?;
        // With a full list in `tokenizer_config.json` the older files say nothing.
        if decoder.is_none() {
            check(&files.special_map).map_err(in_file("special_tokens_map.json"))?;
            settings.extend(files.special_map.clone());
        }
        let named = named(&settings, class.map(Class::names).unwrap_or_default());
        let extra = extra(&settings);
        let mut left_out = Vec::new();
        let mut added = match decoder {
            Some(tokens) => tokens,
            None => {
                let is_special = |text: &str| {
                    let mut known = extra.iter().chain(named.iter().map(|(_, text)| text));
                    known.any(|known| known == text)
                };
                let is_others = |text: &str, id: i64| {
                    let taken = u32::try_from(id).ok().and_then(taken);
                    taken.is_some_and(|taken| taken != text)
                };
                let (others, own): (Vec<_>, Vec<_>) = by_text(&files.added, is_special)
                    .map_err(in_file("added_tokens.json"))?
                    .into_iter()
                    .partition(|(id, token)| is_others(&token.content, *id));
                left_out.extend(others.into_iter().map(|(_, token)| token.content));
                own.into_iter().map(|(_, token)| token).collect()
            }
        };
        for token in &mut added {
            token.special |= named.iter().any(|(_, text)| *text == token.content);
        }
        let written = written(&settings);
        for text in named.iter().map(|(_, text)| text).chain(&extra) {
            if !added.iter().any(|token| token.content == *text) {
                let own = written.iter().find(|token| token.content == *text);
                added.push(own.cloned().unwrap_or_else(|| AddedToken::from(text.clone(), true)));
            }
        }
        Ok(Self { named, added, left_out })
    }

    /// The text of a special token.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, text)| &text[..])
    }
}

const EXTRA: [&str; 3] =
    ["extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens"];

/// Refuses special tokens that are none.
fn check(settings: &Map<String, Value>) -> Result<()> {
    let is_token = |value: &Value| value.is_null() || text_of(value).is_some();
    for name in NAMES {
        if let Some(other) = settings.get(name).filter(|value| !is_token(value)) {
            return Err(wrong(name, "a token (a text or an object with `content`) or null", other));
        }
    }
    for key in EXTRA {
        let are_tokens = match settings.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Array(list)) => list.iter().all(|value| text_of(value).is_some()),
            Some(Value::Object(map)) => map.values().all(|value| text_of(value).is_some()),
            Some(_) => false,
        };
        if !are_tokens {
            let expected = "a list of tokens or an object of tokens by name";
            return Err(wrong(key, expected, &settings[key]));
        }
    }
    Ok(())
}

fn named(settings: &Map<String, Value>, defaults: &[(&str, &str)]) -> Vec<(String, String)> {
    let default = |name: &str| {
        let (_, text) = defaults.iter().find(|(known, _)| *known == name)?;
        Some((*text).to_owned())
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
    let in_dictionary = EXTRA.iter().filter_map(|key| settings.get(*key)?.as_object());
    for (name, value) in own.chain(in_dictionary.flatten()) {
        let text = text_of(value).filter(|text| !text.is_empty());
        found.extend(text.map(|text| (name.clone(), text)));
    }
    found
}

/// Special tokens without a name.
fn extra(settings: &Map<String, Value>) -> Vec<String> {
    let lists = EXTRA.iter().filter_map(|key| settings.get(*key)?.as_array());
    lists.flatten().filter_map(text_of).filter(|text| !text.is_empty()).collect()
}

/// Special tokens that are written as objects, with the flags that they have there.
fn written(settings: &Map<String, Value>) -> Vec<AddedToken> {
    let own = settings.iter().filter(|(key, _)| key.ends_with("_token")).map(|(_, value)| value);
    let extra = EXTRA.iter().filter_map(|key| settings.get(*key));
    let extra = extra.flat_map(|value| match value {
        Value::Array(list) => list.iter().collect::<Vec<_>>(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    });
    let token = |value: &Value| {
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        Some(
            AddedToken::from(value.get("content")?.as_str()?, true)
                .single_word(flag("single_word"))
                .lstrip(flag("lstrip"))
                .rstrip(flag("rstrip"))
                .normalized(flag("normalized")),
        )
    };
    own.chain(extra).filter_map(token).collect()
}

/// A token is written as text or as an object whose `content` is the text.
fn text_of(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// The tokens of `added_tokens_decoder`, in the order of their ids.
fn by_id(tokens: &Map<String, Value>) -> Result<Vec<AddedToken>> {
    let mut found = Vec::new();
    for (key, value) in tokens {
        let id: i64 = key.trim().parse().map_err(|_| {
            let key = shortened(key);
            Error::input(format!("`added_tokens_decoder` has the id `{key}`, which is no number"))
        })?;
        let content = value.get("content").and_then(Value::as_str).ok_or_else(|| {
            let place = format!("added_tokens_decoder.{key}");
            wrong(&place, "an object with a text as `content`", value)
        })?;
        let flag = |name: &str, usual: bool| match value.get(name) {
            None => Ok(usual),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => {
                Err(wrong(&format!("added_tokens_decoder.{key}.{name}"), "true or false", other))
            }
        };
        let special = flag("special", false)?;
        let token = AddedToken::from(content, special)
            .single_word(flag("single_word", false)?)
            .lstrip(flag("lstrip", false)?)
            .rstrip(flag("rstrip", false)?)
            .normalized(flag("normalized", !special)?);
        found.push((id, token));
    }
    found.sort_by_key(|(id, _)| *id);
    Ok(found.into_iter().map(|(_, token)| token).collect())
}

/// The tokens of `added_tokens.json` with their ids, in the order of these.
fn by_text(
    tokens: &Map<String, Value>,
    is_special: impl Fn(&str) -> bool,
) -> Result<Vec<(i64, AddedToken)>> {
    let mut found = Vec::new();
    for (text, id) in tokens {
        let id = id.as_i64().ok_or_else(|| wrong(text, "a token id", id))?;
        found.push((id, AddedToken::from(&text[..], is_special(text))));
    }
    found.sort_by_key(|(id, _)| *id);
    Ok(found)
}
