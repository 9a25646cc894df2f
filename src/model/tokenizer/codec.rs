//! A tokenizer: text to token ids and back.

use std::path::Path;

use super::companions::{self, Companions};
use super::steps::USUAL_GROWTH;
use super::{ChatTemplate, folder};
use crate::error::caught;
use crate::numbers::count;
use crate::{Error, Result, machine};

/// Tokens that end a turn or a text by what they are called, whatever type or flag a file gives
/// them: llama.cpp's list.
pub(super) const END_TOKENS: &[&str] = &[
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<turn|>",
    "<｜end▁of▁sentence｜>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "</s>",
    "<eos>",
    "[e~[",
];

/// Where a vocabulary has both of these, `<|end|>` ends a message and not the turn, as llama.cpp has
/// it of gpt-oss.
const HARMONY: [&str; 2] = ["<|return|>", "<|call|>"];

/// A model's tokenizer.
pub struct Tokenizer {
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) template: Option<ChatTemplate>,
    pub(super) end: Vec<u32>,
    /// Texts of the tokens that `encode` puts around a text and a rendered chat needs too, unless
    /// it has them already: llama.cpp's way, for GGUF files.
    frame: [Option<String>; 2],
    /// How many times longer its steps can make a text before they split it.
    pub(super) growth: f64,
    /// What a user should know of the files, one sentence each.
    pub(super) warnings: Vec<String>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocabulary())
    }
}

impl Tokenizer {
    pub(super) fn new(
        inner: tokenizers::Tokenizer,
        template: Option<ChatTemplate>,
        end: Vec<u32>,
    ) -> Self {
        Self { inner, template, end, frame: [None, None], growth: 1.0, warnings: Vec::new() }
    }

    /// Puts the same tokens around a rendered chat as around a plain text.
    pub(super) fn frame_chat(
        &mut self,
        begins: Option<(String, u32)>,
        ends: Option<(String, u32)>,
    ) {
        self.frame = [begins, ends].map(|token| token.map(|(text, _)| text));
    }

    /// From the text of `tokenizer.json` and of `tokenizer_config.json`; `origin` names the folder
    /// in errors.
    pub fn from_json(json: &[u8], config: &str, origin: &str) -> Result<Self> {
        let config = companions::keys_of(config, &format!("{origin}/tokenizer_config.json"))?;
        let files = Companions { config, ..Companions::default() };
        folder::from_parts(json, &files, Ok(Vec::new()), origin)
    }

    /// What a user should know of the tokenizer's files, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// From the files of a Hugging Face folder.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        folder::read(folder)
    }

    /// Adds the end tokens that the model's configuration names, and those known by their text.
    pub fn with_end_tokens(mut self, configured: &[u32]) -> Self {
        self.end.extend_from_slice(configured);
        let added = self.inner.get_added_tokens_decoder();
        let is_harmony = HARMONY.iter().all(|text| self.inner.token_to_id(text).is_some());
        for text in END_TOKENS.iter().filter(|text| !(is_harmony && **text == "<|end|>")) {
            // A word of the vocabulary may look like the shorter ones by chance.
            let is_mark = |id: &u32| added.contains_key(id) || text.starts_with("<|");
            self.end.extend(self.inner.token_to_id(text).filter(is_mark));
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
            Some(template) => self.encode_rendered(&template.render(&[("user", message)])?),
            None => self.encode(message),
        }
    }

    /// Ids of what the chat template made of a conversation.
    pub(super) fn encode_rendered(&self, rendered: &str) -> Result<Vec<u32>> {
        let [begins, ends] = &self.frame;
        if begins.is_none() && ends.is_none() {
            return self.encode_with(rendered, false);
        }
        let bare = begins.as_ref().and_then(|begins| rendered.strip_prefix(&begins[..]));
        let bare = bare.unwrap_or(rendered);
        let without_end = ends.as_ref().and_then(|ends| bare.strip_suffix(&ends[..]));
        self.encode_with(without_end.unwrap_or(bare), true)
    }

    /// Ids of a text that comes after another: no token is put in front, and no space, which some
    /// tokenizers put before the beginning of a text.
    pub(super) fn encode_after(&self, text: &str) -> Result<Vec<u32>> {
        const BEFORE: &str = "x";
        let before = self.encode_with(BEFORE, false)?;
        let both = self.encode_with(&format!("{BEFORE}{text}"), false)?;
        match both.strip_prefix(&before[..]) {
            Some(after) => Ok(after.to_vec()),
            // The first character joins the one before it.
            None => self.encode_with(text, false),
        }
    }

    /// The text of `ids` where it stands, after `before`, special tokens by name: the first word of
    /// a text may lose its space, one in the middle does not.
    pub(super) fn text_after(&self, before: &[u32], ids: &[u32]) -> String {
        const NEAR: usize = 16;
        let text = |ids: &[u32]| match ids {
            // Some decoders of the crate panic where there is nothing.
            [] => String::new(),
            ids => caught(|| self.inner.decode(ids, false))
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default(),
        };
        let near = before.last_chunk::<NEAR>().map_or(before, |near| &near[..]);
        match text(&[near, ids].concat()).strip_prefix(&text(near)) {
            Some(after) => after.to_owned(),
            None => text(ids),
        }
    }

    fn encode_with(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        if self.growth > USUAL_GROWTH {
            // The crate keeps two places in the text for every byte, and copies.
            const OF_A_BYTE: f64 = 48.0;
            let bytes = (text.len() as f64 * self.growth * OF_A_BYTE) as u64;
            let what = format!(
                "splitting a text of {} bytes with a tokenizer that can make it {:.0} times longer",
                count(text.len()),
                self.growth
            );
            machine::check_memory(&what, bytes)?;
        }
        match caught(|| self.inner.encode_fast(text, add_special)) {
            Ok(Ok(encoding)) => Ok(encoding.get_ids().to_vec()),
            Ok(Err(cause)) => Err(Error::run(format!("tokenizing the prompt: {cause}"))),
            Err(panic) => Err(Error::input(format!(
                "the model's tokenizer cannot split the prompt, as its normalizer or pre-tokenizer (tokenizer.json) fails on it: {panic}"
            ))),
        }
    }

    /// The text of ids, without special tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        // Some decoders of the crate panic where there is nothing.
        if ids.iter().all(|&id| self.spoken_token(id).is_none()) {
            return Ok(String::new());
        }
        match caught(|| self.inner.decode(ids, true)) {
            Ok(text) => text.map_err(|cause| Error::run(format!("decoding tokens: {cause}"))),
            Err(panic) => Err(Error::input(format!(
                "the model's tokenizer cannot turn tokens into text, as its decoder (tokenizer.json) fails on them: {panic}"
            ))),
        }
    }

    /// A token that gives text: none for special tokens and for ids that are no token.
    pub(super) fn spoken_token(&self, id: u32) -> Option<String> {
        let token = self.inner.id_to_token(id)?;
        (!self.inner.get_added_vocabulary().is_special_token(&token)).then_some(token)
    }

    /// Whether an id is a special token, which gives no text.
    pub fn is_special(&self, id: u32) -> bool {
        let token = self.inner.id_to_token(id);
        token.is_some_and(|token| self.inner.get_added_vocabulary().is_special_token(&token))
    }

    /// The text of one token for display: what it stands for, special tokens by name. A token that
    /// cannot be decoded alone is shown as the vocabulary has it.
    pub fn token_text(&self, id: u32) -> String {
        match caught(|| self.inner.decode(&[id], false)) {
            Ok(text) => text.unwrap_or_default(),
            Err(_) => self.inner.id_to_token(id).unwrap_or_default(),
        }
    }
}
