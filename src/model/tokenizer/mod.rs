//! Text to token ids and back, with the model's own vocabulary, chat template and end tokens.

mod chat;
mod codec;
mod from_gguf;
mod stream;

pub use chat::ChatTemplate;
pub use codec::Tokenizer;
pub use stream::Detokenizer;
