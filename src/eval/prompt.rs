//! A sample as token ids, in the model's own chat template.

use crate::eval::recall::RecallSample;
use crate::model::Model;
use crate::model::tokenizer::{ChatTemplate, Tokenizer};
use crate::{Error, Result};

/// When the question comes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// After the context has been cut: its tokens go through the pruned cache (kvpress)
    After,
    /// In the prompt, which is prefilled whole before the cache is cut (RULER)
    Prompt,
}

/// Token ids of a prompt, up to the beginning of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalPrompt {
    /// All tokens.
    pub tokens: Vec<u32>,
    /// Tokens of the context, which come before the question.
    pub context: usize,
}

/// The model's tokenizer.
pub fn tokenizer(model: &Model) -> Result<&Tokenizer> {
    model.tokenizer.as_deref().ok_or_else(|| {
        Error::input(format!("{} has no tokenizer, so it cannot be evaluated on text", model.name))
    })
}

/// Ids of a text alone, without the token that begins a prompt.
fn bare(model: &Model, text: &str) -> Result<Vec<u32>> {
    let mut ids = tokenizer(model)?.encode(text)?;
    if model.config().bos.is_some() && ids.first() == model.config().bos.as_ref() {
        ids.remove(0);
    }
    Ok(ids)
}

/// A prompt as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptText {
    /// What is read before the question.
    pub context: String,
    /// The question, with what separates it from the context.
    pub question: String,
    /// The beginning of the answer.
    pub lead: String,
    /// Whether the text is sent as it is, because it holds a template already or wants none.
    pub raw: bool,
}

impl PromptText {
    /// The text of a recall sample, as this model's template wants it.
    pub fn of(model: &Model, sample: &RecallSample) -> Result<Self> {
        let template = tokenizer(model)?.template();
        // A template that ends with "Answer:" is one of plain text, where the answer begins with a
        // space.
        let ends = |template: &ChatTemplate| {
            template.render(&[("user", "x")]).is_ok_and(|text| text.ends_with(':'))
        };
        let plain = template.is_none_or(ends);
        let between = match plain && !sample.question.starts_with("Question:") {
            true => "\nQuestion: ",
            false => "\n",
        };
        let lead = match (template.is_some(), plain) {
            (false, _) => format!("\nAnswer: {}", sample.lead),
            (true, true) => format!(" {}", sample.lead),
            (true, false) => sample.lead.clone(),
        };
        Ok(Self {
            context: sample.context.clone(),
            question: format!("{between}{}", sample.question),
            lead,
            raw: template.is_none(),
        })
    }
}

/// The prompt of a text. The beginning of the answer comes after the template's own beginning of an
/// answer.
pub fn prompt(model: &Model, text: &PromptText) -> Result<EvalPrompt> {
    let tokenizer = tokenizer(model)?;
    let PromptText { context, question, lead, raw } = text;
    // Only what comes before the question is the same in this one. Its first characters belong to
    // the separator, so the last token of the context is the same too.
    let separator = &question[..question.len() - question.trim_start().len()];
    let other = format!("{context}{separator}~");
    let (tokens, other) = if *raw {
        (tokenizer.encode(&format!("{context}{question}{lead}"))?, tokenizer.encode(&other)?)
    } else {
        let mut tokens = tokenizer.encode_chat(&format!("{context}{question}"))?;
        if !lead.is_empty() {
            tokens.extend(bare(model, lead)?);
        }
        (tokens, tokenizer.encode_chat(&other)?)
    };
    if tokens.len() < 2 {
        return Err(Error::input("a prompt has at least two tokens: a context and a question"));
    }
    let shared = tokens.iter().zip(&other).take_while(|(a, b)| a == b).count();
    // A question has at least one token, from which the first answer token comes.
    let context = shared.clamp(1, tokens.len() - 1);
    model.check_tokens(&tokens)?;
    Ok(EvalPrompt { context, tokens })
}
