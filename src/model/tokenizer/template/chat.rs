//! The model's own chat template, a Jinja text that comes with its tokenizer.

use std::collections::BTreeMap;

use minijinja::machinery::{CodeGenerator, Instructions, eval, make_string_output, parse};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment};

use super::{filters, generation, python, syntax};
use crate::{Error, Result};

/// A chat template that compiles, or the reason why not: it matters only to who uses it.
#[derive(Debug)]
pub struct ChatTemplate {
    source: Result<String, String>,
    /// Special tokens by name, `bos_token` and so on, as the template sees them.
    special: Vec<(String, String)>,
}

const NAME: &str = "chat";

/// What a template may do before it is stopped, in minijinja's units (an instruction, or 64 bytes
/// of text). Real templates take some thousands.
const FUEL: u64 = 4_000_000;

/// The longest template. Its nesting takes stack: some 1.6 kB for each byte at worst.
const LONGEST: usize = 128 << 10;

/// Stack of the thread that compiles and renders: values nest as deep as the fuel allows.
const STACK: usize = 512 << 20;

impl ChatTemplate {
    /// Checks that a template compiles; `special` are the texts of the special tokens by name,
    /// `origin` names the source in errors.
    pub fn new(source: &str, special: Vec<(String, String)>, origin: &str) -> Self {
        let source = if source.len() > LONGEST {
            Err(format!("is {} bytes long, more than {LONGEST}", source.len()))
        } else {
            let source = generation::as_scopes(&unix_lines(source));
            with_stack(|| compile(&source).map(drop))
                .and_then(|checked| checked.map_err(|cause| format!("does not parse: {cause}")))
                .map(|()| source)
        };
        let source = source.map_err(|cause| format!("{origin}: the chat template {cause}"));
        Self { source, special }
    }

    /// No template, and why: an error where one is asked for.
    pub fn unusable(reason: String) -> Self {
        Self { source: Err(reason), special: Vec::new() }
    }

    /// Messages as (role, text), ready for the assistant's answer.
    pub fn render(&self, messages: &[(&str, &str)]) -> Result<String> {
        let source = self
            .source
            .as_ref()
            .map_err(|reason| Error::input(format!("{reason} (--raw sends the text as it is)")))?;
        with_stack(|| render(source, &self.special, messages))
            .and_then(|rendered| rendered.map_err(|cause| format!("failed: {cause}")))
            .map_err(|cause| {
                Error::input(format!(
                    "the model's chat template {cause} (--raw sends the text as it is)"
                ))
            })
    }
}

/// Runs `f` where nesting finds room; a sentence's end where it panics.
fn with_stack<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("template".to_owned()).stack_size(STACK);
        match thread.spawn_scoped(scope, f) {
            Ok(thread) => thread
                .join()
                .map_err(|panic| format!("failed: {}", crate::error::panic_message(&*panic))),
            Err(cause) => Err(format!("got no thread to run on: {cause}")),
        }
    })
}

/// A template as minijinja runs it: its instructions, and those of its blocks by name.
type Compiled<'s> = (Instructions<'s>, BTreeMap<&'s str, Instructions<'s>>);

fn compile(source: &str) -> Result<Compiled<'_>, minijinja::Error> {
    let tree = parse(source, NAME, python::syntax()?)?;
    let tree = syntax::python(&tree, source, &filters::is_known, &python::is_test)?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&tree);
    Ok(generator.finish())
}

/// Jinja reads every line end as one.
fn unix_lines(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

fn render(
    source: &str,
    special: &[(String, String)],
    messages: &[(&str, &str)],
) -> Result<String, minijinja::Error> {
    let messages: Vec<Value> = messages
        .iter()
        .map(|&(role, content)| Value::from_pairs([("role", role), ("content", content)]))
        .collect();
    let given = [
        ("messages".to_owned(), Value::from(messages)),
        ("tools".to_owned(), Value::from(())),
        ("documents".to_owned(), Value::from(())),
        ("add_generation_prompt".to_owned(), Value::from(true)),
    ];
    let special = special.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
    // Those that transformers gives by name win over a special token of that name.
    let context = Value::from_pairs(special.chain(given));
    let mut environment = python::environment();
    environment.set_fuel(Some(FUEL));
    let (instructions, blocks) = compile(source)?;
    let mut text = String::new();
    run(&environment, &instructions, context, &blocks, &mut text)?;
    Ok(text)
}

/// Runs instructions with the variables of a context.
fn run<'e>(
    environment: &'e Environment<'e>,
    instructions: &Instructions<'e>,
    context: Value,
    blocks: &BTreeMap<&'e str, Instructions<'e>>,
    text: &mut String,
) -> Result<(), minijinja::Error> {
    let mut out = make_string_output(text);
    eval(environment, instructions, context, blocks, &mut out, AutoEscape::None)?;
    Ok(())
}
