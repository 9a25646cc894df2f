//! Text to token ids and back, with the model's own vocabulary, chat template and end tokens.

mod class;
mod codec;
mod companions;
mod folder;
mod from_gguf;
mod gguf_special;
mod mistral;
mod pre;
mod special;
mod stream;
mod template;

pub use codec::Tokenizer;
pub use from_gguf::GgufTokenizer;
pub use stream::Detokenizer;
pub use template::ChatTemplate;
