//! A tokenizer from the files of a Hugging Face folder.

use std::path::Path;

use serde_json::Value;
use tokenizers::ModelWrapper;

use super::class::{self, Class};
use super::companions::Companions;
use super::special::{SpecialTokens, StoredTokens};
use super::steps::TokenizerSteps;
use super::{ChatTemplate, Tokenizer, mistral};
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
    let padding = inner.get_padding().map(|padding| padding.pad_token.clone());
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|cause| wrong(cause.to_string()))?;
    let in_config = |error: Error| Error::input(format!("{origin}/tokenizer_config.json: {error}"));
    let class = Class::of(files, json).map_err(in_config)?;
    let tokens = inner.get_added_tokens_decoder().into_iter();
    let tokens = tokens.map(|(id, token)| (i64::from(id), token)).collect();
    let is_built_anew = class.is_some() && Class::fits(&inner);
    let stored = StoredTokens { tokens, padding, class, is_built_anew };
    let special = SpecialTokens::read(files, &stored, origin)?;
    let warning = match class {
        Some(class) => class.apply(&mut inner, files).map(|said| (class.name(), said)),
        None => class::unknown(files).map(|said| (files.class().unwrap_or_default(), said)),
    };
    let (class, warning) = warning.map_err(in_config)?;
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
    mistral::fix_words(&mut inner, files).map_err(in_config)?;
    let end = special.text("eos_token").and_then(|eos| inner.token_to_id(eos));
    // A template that cannot be had matters only to who uses it.
    let template = match templates {
        Ok(templates) => template(templates, files, &special, origin),
        Err(error) => Some(ChatTemplate::unusable(error.to_string())),
    };
    let mut tokenizer = Tokenizer::new(inner, template, end.into_iter().collect());
    tokenizer.growth = growth;
    let named_in = files.file_of_class(class);
    warnings.extend(warning.map(|warning| format!("{origin}/{named_in}: {warning}")));
    tokenizer.warnings.extend(warnings);
    Ok(tokenizer)
}

/// The template for plain chat: `special_tokens_map.json` where it counts wins over template files,
/// and these over `tokenizer_config.json`. Among several named ones it is the last `default`.
fn template(
    texts: Vec<(String, String)>,
    files: &Companions,
    special: &SpecialTokens,
    origin: &str,
) -> Option<ChatTemplate> {
    let new = |source: &str| ChatTemplate::new(source, special.named.clone(), origin);
    let in_map = files.special_map.get("chat_template").filter(|_| !files.has_full_list());
    let (file, stated) = match in_map {
        Some(stated) => ("special_tokens_map.json", Some(stated)),
        None => ("tokenizer_config.json", files.config.get("chat_template")),
    };
    let named = if texts.is_empty() || in_map.is_some() {
        match stated {
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
                    "{origin}/{file}: `chat_template` must be a text or a list of named ones"
                )));
            }
        }
    } else {
        texts
    };
    if let Some((_, source)) = named.iter().rfind(|(name, _)| name == "default") {
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
    let files = Companions::read(folder)?;
    from_parts(json.as_bytes(), &files, templates(folder), &folder.display().to_string())
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
