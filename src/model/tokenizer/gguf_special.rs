//! The special tokens that a GGUF file names by their ids, as llama.cpp takes them.

use std::collections::HashMap;

use crate::model::load::gguf::Section;

/// What the keys are called before `_token_id`.
const NAMES: &[&str] = &[
    "bos",
    "eos",
    "eot",
    "eom",
    "unknown",
    "seperator",
    "padding",
    "cls",
    "mask",
    "fim_pre",
    "fim_suf",
    "fim_mid",
    "fim_pad",
    "fim_rep",
    "fim_sep",
];

/// Ids of special tokens by name, all within the vocabulary.
pub(super) struct SpecialIds(HashMap<&'static str, u32>);

impl SpecialIds {
    /// Those of a file with `tokens` tokens. An id beyond them counts as none, with a warning.
    /// SentencePiece has usual ids where the file does not name others.
    pub fn read(
        meta: Section<'_>,
        tokens: usize,
        is_sentence_piece: bool,
        warn: &mut dyn FnMut(String),
    ) -> Self {
        let usual = |name: &str| match name {
            "unknown" if is_sentence_piece => Some(0),
            "bos" if is_sentence_piece => Some(1),
            "eos" if is_sentence_piece => Some(2),
            _ => None,
        };
        let mut ids = HashMap::new();
        for name in NAMES {
            let key = format!("{name}_token_id");
            let usual = usual(name).filter(|&id| (id as usize) < tokens);
            let id = match meta.id(&key) {
                Some(id) if (id as usize) < tokens => Some(id),
                Some(id) => {
                    let instead = usual.map_or_else(
                        || "no token".to_owned(),
                        |usual| format!("token {usual}, as in llama.cpp,"),
                    );
                    warn(format!(
                        "`{}` is {id}, and the file has {tokens} tokens: {instead} takes its place",
                        meta.full(&key)
                    ));
                    usual
                }
                None => usual,
            };
            if let Some(id) = id {
                ids.insert(*name, id);
            }
        }
        Self(ids)
    }

    /// The id of a name.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.0.get(name).copied()
    }
}
