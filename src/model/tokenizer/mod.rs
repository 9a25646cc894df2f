//! Text to token ids and back, with the model's own vocabulary, chat template and end tokens.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod class;
mod codec;
mod companions;
mod conversation;
mod folder;
mod from_gguf;
mod gguf_special;
mod mistral;
mod pre;
mod special;
mod steps;
mod stream;
mod template;

pub use codec::Tokenizer;
pub use conversation::{Conversation, NextTurn};
pub use from_gguf::GgufTokenizer;
pub use stream::Detokenizer;
pub use template::ChatTemplate;
