//! Special and added tokens of a Hugging Face folder, from every file that may name them, as
//! transformers reads them.
//!
//! Which file's flags (`lstrip`, `rstrip`, `single_word`, `normalized`, `special`) a token has, after
//! transformers 5.24 (`PreTrainedTokenizerBase._from_pretrained`, `TokenizersBackend.__init__`,
//! `Qwen2Tokenizer.__init__`):
//!
//! 1. The tokenizer begins with the added tokens of `tokenizer.json`, or with none where its class is
//!    built anew.
//! 2. `added_tokens_decoder` of `tokenizer_config.json` gives tokens by id. Without it they are those
//!    of `added_tokens.json`, and over them those of `tokenizer.json`. They are added in the order of
//!    their ids, with the flags that they have there.
//! 3. A special token of `tokenizer_config.json` or `special_tokens_map.json` that is there by then
//!    has those flags, and its own say nothing. One that is not there is added: with its own flags
//!    where it is an object, with none where it is a text.
//! 4. A class may add all special tokens again, without flags.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokenizers::AddedToken;

use super::class::Class;
use super::companions::{Companions, GivenToken, NAMES, TokenizerSettings};
use crate::Result;

/// What `tokenizer.json` and the class bring.
#[derive(Debug, Default)]
pub(super) struct StoredTokens {
    /// The added tokens of `tokenizer.json` by id.
    pub tokens: BTreeMap<i64, AddedToken>,
    /// The token that fills up texts by the padding of `tokenizer.json`.
    pub padding: Option<String>,
    /// The class, where transformers has one of its own.
    pub class: Option<Class>,
    /// Whether the tokenizer begins without any added token.
    pub is_built_anew: bool,
}

/// What the files say.
#[derive(Debug, Default)]
pub struct SpecialTokens {
    /// Texts of the special tokens by name (`bos_token`), in transformers' order.
    pub named: Vec<(String, String)>,
    /// Tokens to add to those that the tokenizer begins with, in this order; new ones get ids by it.
    pub added: Vec<AddedToken>,
    /// Tokens of `added_tokens.json` that are not added, because their ids are others'.
    pub left_out: Vec<String>,
}

impl SpecialTokens {
    /// From the files; `origin` names the folder in errors.
    pub(super) fn read(files: &Companions, stored: &StoredTokens, origin: &str) -> Result<Self> {
        let TokenizerSettings { named, specific, extra, decoder, added } =
            TokenizerSettings::read(files, origin)?;
        let mut left_out = Vec::new();
        let mut by_id: BTreeMap<i64, GivenToken> = BTreeMap::new();
        // Of tokens with one text the last counts, as a token's flags.
        let mut flags: HashMap<String, GivenToken> = HashMap::new();
        match decoder {
            Some(tokens) => {
                for (id, token) in tokens {
                    flags.insert(token.text().to_owned(), token.clone());
                    by_id.insert(id, token);
                }
            }
            None => {
                let own = stored.tokens.iter().map(|(id, token)| (*id, GivenToken::stored(token)));
                for (id, token) in added.into_iter().chain(own) {
                    let text = token.text().to_owned();
                    flags.insert(text.clone(), token.clone());
                    let before = by_id.insert(id, token);
                    let others = before.filter(|before| before.text() != text);
                    left_out.extend(others.map(|before| before.text().to_owned()));
                }
            }
        }
        let mut all: Vec<(String, GivenToken)> = Vec::new();
        for name in NAMES {
            let token = match named.iter().find(|(known, _)| *known == name) {
                Some((_, token)) => {
                    token.as_ref().map(|token| flags.get(token.text()).unwrap_or(token).clone())
                }
                None => stored.usual(name).map(GivenToken::Text),
            };
            all.extend(token.map(|token| (name.to_owned(), token)));
        }
        all.extend(specific);

        let present: HashMap<&str, &AddedToken> = match stored.is_built_anew {
            true => HashMap::new(),
            false => stored.tokens.values().map(|token| (&token.content[..], token)).collect(),
        };
        let mut to_add: Vec<GivenToken> = by_id
            .into_values()
            .filter(|token| present.get(token.text()) != Some(&&token.to_add(false)))
            .collect();
        let mut there: HashSet<String> = present.keys().map(|text| (*text).to_owned()).collect();
        there.extend(to_add.iter().map(|token| token.text().to_owned()));
        for token in all.iter().map(|(_, token)| token).chain(&extra) {
            if !there.contains(token.text()) && !to_add.contains(token) {
                to_add.push(token.clone());
            }
        }
        let is_named = |text: &str| all.iter().any(|(_, token)| token.text() == text);
        let mut added: Vec<AddedToken> =
            to_add.iter().map(|token| token.to_add(is_named(token.text()))).collect();
        if stored.class.is_some_and(Class::adds_again) {
            let texts = all.iter().map(|(_, token)| token).chain(&extra);
            added.extend(texts.map(|token| AddedToken::from(token.text(), true)));
        }
        let named = all.into_iter().map(|(name, token)| (name, token.text().to_owned()));
        let named = named.filter(|(_, text)| !text.is_empty()).collect();
        Ok(Self { named, added, left_out })
    }

    /// The text of a special token.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, text)| &text[..])
    }
}

impl StoredTokens {
    /// What a token is called where no file names it.
    fn usual(&self, name: &str) -> Option<String> {
        let of_class = self.class.map(Class::names).unwrap_or_default();
        let of_class = of_class.iter().find(|(known, _)| *known == name);
        let takes_padding = self.class.is_none_or(Class::takes_padding);
        of_class
            .map(|(_, text)| (*text).to_owned())
            .or_else(|| self.padding.clone().filter(|_| name == "pad_token" && takes_padding))
    }
}
