//! A tokenizer: text to token ids and back.

use std::path::Path;

use serde_json::Value;

use super::{ChatTemplate, from_gguf};
use crate::model::load::gguf::Gguf;
use crate::{Error, Result, error};

/// Control tokens that end a turn or a text in the supported architectures, in addition to those
/// that the configuration names.
const END_TOKENS: &[&str] = &[
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
];

/// The section of `tokenizer.json` on which the tokenizers crate panics if it is not valid JSON; it
/// is read first, so that such a file is refused.
#[derive(serde::Deserialize)]
struct DecoderSection {
    #[serde(default)]
    #[expect(dead_code, reason = "only whether it can be read counts")]
    decoder: Value,
}

/// A model's tokenizer.
pub struct Tokenizer {
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) template: Option<ChatTemplate>,
    pub(super) end: Vec<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocabulary())
    }
}

impl Tokenizer {
    /// Reads the text of `tokenizer.json` and, where there is one, `tokenizer_config.json`;
    /// `template` is the text of a `chat_template.jinja` file. `origin` names the folder in errors.
    pub fn from_json(
        json: &[u8],
        config: Option<&str>,
        template: Option<String>,
        origin: &str,
    ) -> Result<Self> {
        serde_json::from_slice::<DecoderSection>(json)
            .map_err(|cause| Error::input(format!("{origin}/tokenizer.json: {cause}")))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|cause| Error::input(format!("{origin}/tokenizer.json: {cause}")))?;
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|cause| Error::input(format!("{origin}/tokenizer.json: {cause}")))?;
        let config: Value = match config {
            Some(text) => serde_json::from_str(text).map_err(|cause| {
                Error::input(format!("{origin}/tokenizer_config.json: {cause}"))
            })?,
            None => Value::Null,
        };
        let source = template.or_else(|| match config.get("chat_template") {
            Some(Value::String(text)) => Some(text.clone()),
            // Several named templates: `default` is the one for plain chat.
            Some(Value::Array(named)) => named
                .iter()
                .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
                .and_then(|entry| entry.get("template")?.as_str())
                .map(str::to_owned),
            _ => None,
        });
        // A token is written as text or as an object whose `content` is the text.
        let token = |key: &str| {
            let value = config.get(key)?;
            value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
        };
        let (bos, eos) = (token("bos_token"), token("eos_token"));
        let template =
            source.map(|source| ChatTemplate::new(source, bos, eos.clone(), origin)).transpose()?;
        let mut tokenizer = Self { inner, template, end: Vec::new() };
        tokenizer.end.extend(eos.and_then(|eos| tokenizer.inner.token_to_id(&eos)));
        Ok(tokenizer)
    }

    /// From the files of a Hugging Face folder.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let json = std::fs::read(&path).map_err(|cause| error::io("reading", &path, &cause))?;
        let optional = |name: &str| {
            let path = folder.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(cause) => Err(error::io("reading", &path, &cause)),
            }
        };
        let (config, template) =
            (optional("tokenizer_config.json")?, optional("chat_template.jinja")?);
        Self::from_json(&json, config.as_deref(), template, &folder.display().to_string())
    }

    /// From the metadata of a GGUF file.
    pub fn from_gguf(file: &Gguf) -> Result<Self> {
        from_gguf::read(file)
    }

    /// Adds the end tokens that the model's configuration names, and those known by their text.
    pub fn with_end_tokens(mut self, configured: &[u32]) -> Self {
        self.end.extend_from_slice(configured);
        let special = self.inner.get_added_tokens_decoder();
        for text in END_TOKENS {
            // Only a control token ends a text; a plain word that looks like one does not.
            let id = self.inner.token_to_id(text);
            self.end.extend(id.filter(|id| special.get(id).is_some_and(|token| token.special)));
        }
        self.end.sort_unstable();
        self.end.dedup();
        self
    }

    /// Number of tokens, added ones included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Tokens that end a text.
    pub fn end_tokens(&self) -> &[u32] {
        &self.end
    }

    /// The model's chat template, where it has one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Ids of a text without a template, after the model's beginning-of-text token where the model
    /// wants one.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_with(text, true)
    }

    /// Ids of one user message in the model's chat template, up to the answer; without a template,
    /// those of the plain text.
    pub fn encode_chat(&self, message: &str) -> Result<Vec<u32>> {
        match &self.template {
            Some(template) => self.encode_with(&template.render(&[("user", message)])?, false),
            None => self.encode(message),
        }
    }

    fn encode_with(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        match self.inner.encode_fast(text, add_special) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(cause) => Err(Error::run(format!("tokenizing the prompt: {cause}"))),
        }
    }

    /// The text of ids, without special tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner
            .decode(ids, true)
            .map_err(|cause| Error::run(format!("decoding tokens: {cause}")))
    }

    /// The text of one token for display, special tokens by name.
    pub fn token_text(&self, id: u32) -> String {
        self.inner.decode(&[id], false).unwrap_or_default()
    }
}
