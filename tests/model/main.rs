//! Models: every architecture and file format against references, the embedded demo, and broken
//! files.

mod architectures;
mod bad_input;
mod bad_prompts;
mod baked;
mod configuration;
mod configuration_keys;
mod conversation;
mod demo;
mod edits;
mod experts;
mod folders;
mod fuzz;
mod gguf;
mod gguf_metadata;
mod gguf_tokens;
mod gguf_weights;
mod needs;
mod outside;
mod smollm2;
mod streaming;
mod templates;
mod tiny;
mod tokens;
mod weights;
