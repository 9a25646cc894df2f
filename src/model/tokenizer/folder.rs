//! A tokenizer from the files of a Hugging Face folder.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::ModelWrapper;

use super::class::{self, Class};
use super::special::{Companions, SpecialTokens};
use super::steps::TokenizerSteps;
use super::{ChatTemplate, Tokenizer};
use crate::error::{caught, shortened};
use crate::model::load::file_kind;
use crate::{Error, Result, input_file};

/// From the text of `tokenizer.json` and the files beside it; `templates` are the texts of template
/// files by name. `origin` names the folder in errors.
pub fn from_parts(
    json: &[u8],
    files: &Companions,
    templates: Result<Vec<(String, String)>>,
    origin: &str,
) -> Result<Tokenizer> {
    let wrong = |cause: String| Error::input(format!("{origin}/tokenizer.json: {cause}"));
    let growth = TokenizerSteps::read(json).and_then(|steps| steps.check()).map_err(wrong)?;
    let inner = caught(|| tokenizers::Tokenizer::from_bytes(json)).map_err(wrong)?;
    let mut inner = inner.map_err(|cause| wrong(cause.to_string()))?;
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|cause| wrong(cause.to_string()))?;
    let in_config = |error: Error| Error::input(format!("{origin}/tokenizer_config.json: {error}"));
    let class = Class::of(files, class::is_byte_level(&inner)).map_err(in_config)?;
    let added = inner.get_added_tokens_decoder();
    let taken = |id: u32| added.get(&id).map(|token| token.content.clone());
    let special = SpecialTokens::read(files, class, &taken, origin)?;
    let warning = match class {
        Some(class) => class.apply(&mut inner, files),
        None => class::unknown(files),
    };
    let warning = warning.map_err(in_config)?;
    let mut warnings = Vec::new();
    if let ModelWrapper::BPE(bpe) = inner.get_model()
        && bpe.dropout.is_some_and(|dropout| dropout > 0.0)
    {
        let mut whole = bpe.clone();
        whole.dropout = None;
        inner.with_model(whole);
        warnings.push(format!(
            "{origin}/tokenizer.json: `dropout` splits words at random, which is for training; it is left out"
        ));
    }
    if files.config.get("split_special_tokens") == Some(&Value::Bool(true)) {
        inner.set_encode_special_tokens(true);
    }
    warnings.extend(special.left_out.iter().map(|text| {
        format!(
            "{origin}/added_tokens.json: `{}` has the id of another token and is left out, as in transformers",
            shortened(text)
        )
    }));
    inner
        .add_tokens(special.added.iter().cloned())
        .map_err(|cause| wrong(format!("added tokens cannot be used: {cause}")))?;
    let end = special.text("eos_token").and_then(|eos| inner.token_to_id(eos));
    // A template that cannot be had matters only to who uses it.
    let template = match templates {
        Ok(templates) => template(templates, &files.config, &special, origin),
        Err(error) => Some(ChatTemplate::unusable(error.to_string())),
    };
    let mut tokenizer = Tokenizer::new(inner, template, end.into_iter().collect());
    tokenizer.growth = growth;
    warnings.extend(warning.map(|warning| format!("{origin}/tokenizer_config.json: {warning}")));
    tokenizer.warnings.extend(warnings);
    Ok(tokenizer)
}

/// The template for plain chat: files win over `tokenizer_config.json`, and among several named
/// ones it is `default`.
fn template(
    files: Vec<(String, String)>,
    config: &Map<String, Value>,
    special: &SpecialTokens,
    origin: &str,
) -> Option<ChatTemplate> {
    let new = |source: &str| ChatTemplate::new(source, special.named.clone(), origin);
    let named = if files.is_empty() {
        match config.get("chat_template") {
            Some(Value::String(source)) => return Some(new(source)),
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(|entry| {
                    let text = |key: &str| entry.get(key)?.as_str().map(str::to_owned);
                    Some((text("name")?, text("template")?))
                })
                .collect(),
            Some(Value::Object(map)) => map
                .iter()
                .filter_map(|(name, source)| Some((name.clone(), source.as_str()?.to_owned())))
                .collect(),
            None | Some(Value::Null) => return None,
            Some(_) => {
                return Some(ChatTemplate::unusable(format!(
                    "{origin}/tokenizer_config.json: `chat_template` must be a text or a list of named ones"
                )));
            }
        }
    } else {
        files
    };
    if let Some((_, source)) = named.iter().find(|(name, _)| name == "default") {
        return Some(new(source));
    }
    let names: Vec<&str> = named.iter().map(|(name, _)| &name[..]).collect();
    (!names.is_empty()).then(|| {
        ChatTemplate::unusable(format!(
            "{origin}: none of the chat templates is called `default` (found: {})",
            names.join(", ")
        ))
    })
}

/// From the files of a Hugging Face folder.
pub fn read(folder: &Path) -> Result<Tokenizer> {
    let path = folder.join("tokenizer.json");
    let json = input_file::read_json(&path, input_file::TOKENIZER)?;
    let parsed = |name: &str| {
        let path = folder.join(name);
        match input_file::if_there(&path, input_file::TOKENIZER, input_file::read_json)? {
            None => Ok(Map::new()),
            Some(text) => keys_of(&text, &path.display().to_string()),
        }
    };
    let model = parsed("config.json")?;
    let of_model = |key: &str| model.get(key).and_then(Value::as_str).map(str::to_owned);
    let files = Companions {
        config: parsed("tokenizer_config.json")?,
        special_map: parsed("special_tokens_map.json")?,
        added: parsed("added_tokens.json")?,
        model_type: of_model("model_type"),
        model_class: of_model("tokenizer_class"),
    };
    from_parts(json.as_bytes(), &files, templates(folder), &folder.display().to_string())
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

/// Texts of `chat_template.jinja` (`default`) and of the files in `additional_chat_templates`.
fn templates(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let template = |path: &Path| -> Result<Option<String>> {
        let text = input_file::if_there(path, input_file::TEMPLATE, input_file::read_text)?;
        let mistaken = text.as_ref().filter(|text| !text.is_empty());
        match mistaken.and_then(|text| file_kind::mistaken(text.as_bytes())) {
            Some(what) => Err(Error::input(format!("{} cannot be used: {what}", path.display()))),
            None => Ok(text),
        }
    };
    if let Some(text) = template(&folder.join("chat_template.jinja"))? {
        found.push(("default".to_owned(), text));
    }
    let Ok(others) = std::fs::read_dir(folder.join("additional_chat_templates")) else {
        return Ok(found);
    };
    let mut paths: Vec<_> = others.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jinja"));
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(text) = template(&path)? {
            found.push((name, text));
        }
    }
    Ok(found)
}
