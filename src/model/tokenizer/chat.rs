//! The model's own chat template: Jinja text that comes with its tokenizer.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, context};

use crate::{Error, Result};

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are the texts of those tokens, `origin` names the
    /// source in errors.
    pub fn new(
        source: String,
        bos: Option<String>,
        eos: Option<String>,
        origin: &str,
    ) -> Result<Self> {
        let mut environment = Environment::new();
        // Settings of transformers' own renderer, and the Python methods that templates call on
        // strings and lists.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment
            .set_syntax(syntax.map_err(|cause| Error::run(format!("template syntax: {cause}")))?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<Value, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        environment.add_template_owned(NAME, source).map_err(|cause| {
            Error::input(format!("{origin}: the chat template does not parse: {cause}"))
        })?;
        Ok(Self { environment, bos: bos.unwrap_or_default(), eos: eos.unwrap_or_default() })
    }

    /// Renders messages, given as (role, text), up to the assistant's answer.
    pub fn render(&self, messages: &[(&str, &str)]) -> Result<String> {
        let messages: Vec<Value> =
            messages.iter().map(|&(role, content)| context! { role, content }).collect();
        let template = self.environment.get_template(NAME).expect("compiled in `new`");
        template
            .render(context! {
                messages,
                add_generation_prompt => true,
                bos_token => &self.bos,
                eos_token => &self.eos,
            })
            .map_err(|cause| {
                Error::input(format!(
                    "the model's chat template failed: {cause} (--raw sends the text as it is)"
                ))
            })
    }
}
