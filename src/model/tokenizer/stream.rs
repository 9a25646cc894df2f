//! Text of a growing list of tokens, piece by piece; a character is never cut.

use std::sync::Arc;

use super::Tokenizer;

/// Turns one sequence's tokens into text as they come. A token may complete a character that
/// earlier ones began, so a piece can be empty. Special tokens give no text.
#[derive(Debug)]
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl Detokenizer {
    /// Starts at the beginning of a text.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, ids: Vec::new(), prefix: String::new(), prefix_index: 0 }
    }

    /// The text that this token completes.
    pub fn push(&mut self, id: u32) -> String {
        let inner = &self.tokenizer.inner;
        let step = tokenizers::step_decode_stream(
            inner,
            vec![id],
            true,
            &mut self.ids,
            &mut self.prefix,
            &mut self.prefix_index,
        );
        match step {
            Ok(piece) => piece.unwrap_or_default(),
            // With some vocabularies, bytes that never became a character make the decoder drop
            // good text before them. That text has been returned already: return U+FFFD and
            // continue from this token.
            Err(_) => {
                let text = self.tokenizer.decode(&[id]).unwrap_or_default();
                (self.ids, self.prefix, self.prefix_index) = (vec![id], String::new(), 0);
                // An unfinished character is returned with its last byte.
                let text = if text.ends_with(char::REPLACEMENT_CHARACTER) { "" } else { &text };
                format!("{}{text}", char::REPLACEMENT_CHARACTER)
            }
        }
    }

    /// The rest when the tokens end: an unfinished character becomes U+FFFD.
    pub fn finish(self) -> String {
        let whole = self.tokenizer.decode(&self.ids).unwrap_or_default();
        match whole.strip_prefix(&self.prefix) {
            Some(rest) => rest.to_owned(),
            None => char::REPLACEMENT_CHARACTER.to_string(),
        }
    }
}
