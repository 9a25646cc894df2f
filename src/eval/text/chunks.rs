//! Texts, and their chunks of tokens.

use crate::Result;
use crate::eval::prompt::tokenizer;
use crate::model::Model;
use crate::numbers::count;
use crate::{Error, error};

/// One file or fetched text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalText {
    /// Its name in tables.
    pub name: String,
    /// What kind of text it is: its folder's name, or that of a fetched text.
    pub domain: String,
    /// The text.
    pub text: String,
}

/// The first scored position of a chunk: only the second half counts, where every token has a long
/// context.
pub fn first_scored(ctx: usize) -> usize {
    ctx / 2
}

/// The token that begins a text where the model wants one.
pub fn begins(model: &Model) -> Result<Option<u32>> {
    let first = tokenizer(model)?.encode("a")?.first().copied();
    Ok(model.config().bos.filter(|bos| first == Some(*bos)))
}

/// The first `most` whole chunks of `ctx` tokens of a text.
///
/// # Errors
/// When the text is too short for one.
pub fn chunks(model: &Model, piece: &EvalText, ctx: usize, most: usize) -> Result<Vec<Vec<u32>>> {
    // Enough text for these chunks, so that a long text is not split into tokens whole.
    let wanted = ctx * most;
    let mut bytes = (wanted * 8).min(piece.text.len());
    let tokens = loop {
        let mut end = bytes;
        while !piece.text.is_char_boundary(end) {
            end -= 1;
        }
        let tokens = tokenizer(model)?.encode(&piece.text[..end])?;
        // The last token of a cut text may be another one in the whole text.
        if end == piece.text.len() || tokens.len() > wanted {
            break tokens;
        }
        bytes = (bytes * 2).min(piece.text.len());
    };
    let found: Vec<Vec<u32>> = tokens.chunks_exact(ctx).take(most).map(<[u32]>::to_vec).collect();
    if found.is_empty() {
        return Err(Error::input(format!(
            "{}: expected at least {} tokens for one chunk, found {}",
            error::shortened(&piece.name),
            count(ctx),
            count(tokens.len())
        )));
    }
    Ok(found)
}
