//! Text of a growing list of tokens, piece by piece; a character is never cut.

use std::sync::Arc;

use serde_json::Value;

use super::Tokenizer;
use crate::{Error, Result};

/// Tokens after which what is settled is forgotten.
const WINDOW: usize = 256;
/// Tokens that are kept then. What is still open began at most three bytes ago, and a token has at
/// least one.
const KEPT: usize = 16;

/// Turns one sequence's tokens into text as they come. A piece is printed as soon as no later token
/// can change it, so the pieces together are what [`Tokenizer::decode`] makes of all tokens, byte
/// for byte; a piece can be empty, and special tokens give no text.
#[derive(Debug)]
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    settling: Settling,
    /// The last tokens.
    ids: Vec<u32>,
    /// Bytes of their text that are out.
    out: usize,
    /// Why tokens could not be turned into text.
    failed: Option<Error>,
}

/// When a decoder's text is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    /// With every token; where a character is cut, with its last byte.
    AtOnce,
    /// Bytes that are tokens of their own (`<0x0A>`) become text with the token after the last:
    /// one byte that fits no character makes all of a run U+FFFD.
    AfterBytes,
    /// Not before the end: a later token may change anything.
    AtEnd,
}

impl Detokenizer {
    /// Starts at the beginning of a text.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let decoder = tokenizer.inner.get_decoder().map(serde_json::to_value);
        let settling = match decoder {
            None => Settling::AtOnce,
            Some(Ok(decoder)) => settling(&decoder),
            Some(Err(_)) => Settling::AtEnd,
        };
        Self { tokenizer, settling, ids: Vec::new(), out: 0, failed: None }
    }

    /// The text that this token completes.
    pub fn push(&mut self, id: u32) -> String {
        let Some(token) = self.tokenizer.spoken_token(id) else { return String::new() };
        self.ids.push(id);
        let is_open = match self.settling {
            Settling::AtOnce => false,
            Settling::AfterBytes => is_byte(&token),
            Settling::AtEnd => true,
        };
        if is_open {
            return String::new();
        }
        let text = self.text();
        // A character of which bytes are missing shows as U+FFFD; so does one that is broken for
        // good, which then waits for the next token.
        let settled = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text).len();
        let piece = text.get(self.out..settled).unwrap_or_default().to_owned();
        self.out += piece.len();
        self.forget(&text);
        piece
    }

    /// The rest when the tokens end: an unfinished character becomes U+FFFD. An error where tokens
    /// could not be turned into text.
    pub fn finish(mut self) -> Result<String> {
        let rest = self.text().get(self.out..).unwrap_or_default().to_owned();
        self.failed.map_or(Ok(rest), Err)
    }

    fn text(&mut self) -> String {
        self.tokenizer.decode(&self.ids).unwrap_or_else(|error| {
            self.failed = Some(error);
            String::new()
        })
    }

    /// Drops tokens whose text is out, so that a long text is not decoded again with every token.
    fn forget(&mut self, text: &str) {
        if self.ids.len() < WINDOW {
            return;
        }
        let last = self.ids.last_chunk::<KEPT>().map_or_else(Vec::new, |last| last.to_vec());
        let shorter = self.tokenizer.decode(&last).unwrap_or_default();
        let open = text.get(self.out..).unwrap_or_default();
        if shorter.ends_with(open) {
            self.out = shorter.len() - open.len();
            self.ids = last;
        }
    }
}

/// What a decoder does to text that came before.
fn settling(decoder: &Value) -> Settling {
    let mut steps = Vec::new();
    flatten(decoder, &mut steps);
    // From `Fuse` on, a step sees the whole text and not its tokens.
    let mut is_fused = false;
    let mut settling = Settling::AtOnce;
    for step in steps {
        match step.get("type").and_then(Value::as_str).unwrap_or_default() {
            "ByteFallback" if !is_fused => settling = Settling::AfterBytes,
            "ByteLevel" if !is_fused => is_fused = true,
            "Fuse" => is_fused = true,
            "Replace" | "Metaspace" | "WordPiece" | "BPEDecoder" | "CTC" if !is_fused => {}
            "Strip" if !is_fused || step.get("stop").and_then(Value::as_u64) == Some(0) => {}
            _ => return Settling::AtEnd,
        }
    }
    settling
}

fn flatten<'a>(decoder: &'a Value, steps: &mut Vec<&'a Value>) {
    match decoder.get("decoders").and_then(Value::as_array) {
        Some(parts) => parts.iter().for_each(|part| flatten(part, steps)),
        None => steps.push(decoder),
    }
}

/// Whether a token stands for one byte, as the decoder sees it.
fn is_byte(token: &str) -> bool {
    token.len() == 6
        && token.starts_with("<0x")
        && token.ends_with('>')
        && token.get(3..5).is_some_and(|digits| u8::from_str_radix(digits, 16).is_ok())
}
