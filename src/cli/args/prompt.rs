//! What is sent to the model: texts, files or token ids.

use std::path::{Path, PathBuf};

use crate::decode::worker::Prompt;
use crate::model::Model;
use crate::{Error, Result, input_file};

/// What to send to the model.
#[derive(Debug, Clone, clap::Args)]
pub struct PromptArgs {
    /// Prompt; given several times, the prompts are decoded together as one batch
    #[arg(long, short, value_name = "TEXT")]
    pub prompt: Vec<String>,
    /// Prompt from a file or `<(command)`, `-` for standard input; may be given several times
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Vec<PathBuf>,
    /// Prompt as token ids, no template: 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with_all = ["prompt", "prompt_file"])]
    pub token_ids: Vec<u32>,
    /// Send the text as it is, without the model's chat template
    #[arg(long)]
    pub raw: bool,
}

impl PromptArgs {
    /// The prompts as token ids; standard input where nothing was given.
    pub fn tokens(&self, model: &Model) -> Result<Vec<Vec<u32>>> {
        if !self.token_ids.is_empty() {
            return Ok(vec![self.token_ids.clone()]);
        }
        let Some(tokenizer) = &model.tokenizer else {
            return Err(Error::input(format!(
                "{} has no tokenizer: give the prompt with --token-ids",
                model.name
            )));
        };
        self.texts()?
            .iter()
            .map(|text| if self.raw { tokenizer.encode(text) } else { tokenizer.encode_chat(text) })
            .collect()
    }

    /// The first turn of a conversation, where one is given; standard input has the others.
    pub fn first_turn(&self) -> Result<Option<String>> {
        match (&self.prompt[..], &self.prompt_file[..]) {
            ([], []) => Ok(None),
            ([text], []) => Ok(Some(text.clone())),
            ([], [path]) if path == Path::new("-") => Err(Error::input(
                "--chat reads its turns from standard input, so --prompt-file cannot be - too",
            )),
            ([], [path]) => read_text(path).map(Some),
            (texts, files) => Err(Error::input(format!(
                "--chat begins with one prompt, not {}: the turns come from standard input, one a line",
                texts.len() + files.len()
            ))),
        }
    }

    /// The prompts as text.
    pub fn texts(&self) -> Result<Vec<String>> {
        let mut texts = self.prompt.clone();
        for path in &self.prompt_file {
            texts.push(if path == Path::new("-") { standard_input()? } else { read_text(path)? });
        }
        if texts.is_empty() {
            texts.push(standard_input()?);
        }
        Ok(texts)
    }
}

/// What to send to the model, once and not as a batch.
#[derive(Debug, Clone, clap::Args)]
pub struct OnePromptArgs {
    /// Prompt [default: a text that fits the model]
    #[arg(long, short, value_name = "TEXT", conflicts_with_all = ["prompt_file", "token_ids"])]
    pub prompt: Option<String>,
    /// Prompt from a file
    #[arg(long, value_name = "FILE", conflicts_with = "token_ids")]
    pub prompt_file: Option<PathBuf>,
    /// Prompt as token ids, no template: 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub token_ids: Vec<u32>,
    /// Send the text as it is, without the model's chat template
    #[arg(long)]
    pub raw: bool,
}

impl OnePromptArgs {
    /// The prompt; `None` where nothing was given.
    pub fn prompt(&self) -> Result<Option<Prompt>> {
        if !self.token_ids.is_empty() {
            return Ok(Some(Prompt::Tokens(self.token_ids.clone())));
        }
        let text = match (&self.prompt, &self.prompt_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => read_text(path)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(Prompt::Text { text, raw: self.raw }))
    }
}

fn standard_input() -> Result<String> {
    let name = Path::new("standard input");
    let text = text_of(input_file::read_stream(std::io::stdin(), name, input_file::PROMPT)?, name)?;
    match text.trim().is_empty() {
        // Nobody asks nothing on purpose this way; a pipe whose first program failed does.
        true => Err(Error::input(
            "standard input: expected a prompt, found nothing: give it with --prompt or a pipe",
        )),
        false => Ok(text),
    }
}

/// Reads a text file, or a pipe that a shell made of `<(command)`.
pub fn read_text(path: &Path) -> Result<String> {
    text_of(input_file::read_given(path, input_file::PROMPT)?, path)
}

fn text_of(bytes: Vec<u8>, name: &Path) -> Result<String> {
    let text = input_file::text_of(bytes, name)?;
    // Some editors put a byte order mark before a text; it is no part of it.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
