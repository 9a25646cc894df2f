//! Text of a growing list of tokens, piece by piece, never cutting a character.

use std::sync::Arc;

use super::Tokenizer;

/// Turns one sequence's tokens into text as they come. A token may complete a character that earlier ones began, so a piece
/// can be empty; special tokens give no text.
#[derive(Debug)]
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl Detokenizer {
    /// At the start of a text.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, ids: Vec::new(), prefix: String::new(), prefix_index: 0 }
    }

    /// The text that became certain with this token.
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
            // The decoder of this vocabulary rewrote earlier text; go on from this token alone.
            Err(_) => {
                *self = Self::new(Arc::clone(&self.tokenizer));
                self.tokenizer.decode(&[id]).unwrap_or_default()
            }
        }
    }

    /// What is left when the tokens end: an unfinished character becomes U+FFFD.
    pub fn finish(self) -> String {
        let whole = self.tokenizer.decode(&self.ids).unwrap_or_default();
        whole.strip_prefix(&self.prefix).unwrap_or_default().to_owned()
    }
}
