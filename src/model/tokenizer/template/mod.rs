//! Chat templates: Jinja as transformers renders it. minijinja runs them; what it lacks of Python
//! (methods, `json.dumps`, the date) and of transformers (the `generation` tag) is added here.

mod chat;
mod dumps;
mod generation;
mod methods;
mod python;

pub use chat::ChatTemplate;
