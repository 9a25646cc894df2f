//! A conversation whose earlier turns are in a cache: the tokens that the next turn adds to them.

use std::sync::Arc;

use super::Tokenizer;
use crate::{Error, Result};

/// A conversation up to a question, whose tokens a cache holds.
///
/// In a chat template the next turn is what the template writes after the answer: the end of the
/// answer's turn, the new message, and the beginning of the next answer. This holds if the
/// rendering of the whole conversation begins with the text that is in the cache already. Some
/// templates rewrite earlier turns (they drop the thoughts of an answer, or trim it); then the cache
/// holds another conversation, and the whole one must be read again.
#[derive(Debug, Clone)]
pub struct Conversation {
    tokenizer: Arc<Tokenizer>,
    /// The messages, of the user and of the model in turn, and what the template makes of them.
    /// `None` without a template: then a turn is its text on a new line.
    chat: Option<Chat>,
}

#[derive(Debug, Clone)]
struct Chat {
    messages: Vec<String>,
    rendered: String,
}

/// What the next turn adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextTurn {
    /// The tokens: those after what is in the cache or, where `again` says why, the whole
    /// conversation.
    pub tokens: Vec<u32>,
    /// Why what is in the cache is not the beginning of the conversation; one sentence.
    pub again: Option<String>,
}

impl Conversation {
    /// Begins with one message, in the model's chat template where it has one, and gives its
    /// tokens.
    pub fn chat(tokenizer: &Arc<Tokenizer>, message: &str) -> Result<(Self, Vec<u32>)> {
        let Some(template) = tokenizer.template() else {
            return Ok((Self::plain(tokenizer), tokenizer.encode(message)?));
        };
        let rendered = template.render(&[("user", message)])?;
        let tokens = tokenizer.encode_rendered(&rendered)?;
        let chat = Chat { messages: vec![message.to_owned()], rendered };
        Ok((Self { tokenizer: Arc::clone(tokenizer), chat: Some(chat) }, tokens))
    }

    /// Goes on from a text that was sent without a template.
    pub fn plain(tokenizer: &Arc<Tokenizer>) -> Self {
        Self { tokenizer: Arc::clone(tokenizer), chat: None }
    }

    /// The conversation with another message, and what it adds. `before` are the tokens before the
    /// answer, `answer` its tokens without the end token that ended it: the template writes its own
    /// end of a turn, also after an answer that was cut.
    ///
    /// # Errors
    /// What the template refuses, and a template that leaves the message out.
    pub fn next(&self, before: &[u32], answer: &[u32], message: &str) -> Result<(Self, NextTurn)> {
        let Some(Chat { messages, rendered }) = &self.chat else {
            let tokens = self.tokenizer.encode_after(&format!("\n{message}"))?;
            return Ok((self.clone(), NextTurn { tokens, again: None }));
        };
        let Some(template) = self.tokenizer.template() else {
            return Err(Error::run("the chat template of this conversation is gone"));
        };
        let said = self.tokenizer.text_after(before, answer);
        let mut messages = messages.clone();
        messages.extend([said.clone(), message.to_owned()]);
        let roles = ["user", "assistant"].into_iter().cycle();
        let turns: Vec<(&str, &str)> = roles.zip(messages.iter().map(String::as_str)).collect();
        let whole = template.render(&turns)?;
        let held = format!("{rendered}{said}");
        let turn = match whole.strip_prefix(&held) {
            Some(rest) => NextTurn { tokens: self.tokenizer.encode_after(rest)?, again: None },
            None => NextTurn {
                tokens: self.tokenizer.encode_rendered(&whole)?,
                again: Some(difference(&held, &whole)),
            },
        };
        if turn.tokens.is_empty() {
            return Err(Error::input(
                "the model's chat template writes nothing for another message: it has one turn only (--raw sends the text as it is)",
            ));
        }
        let chat = Some(Chat { messages, rendered: whole });
        Ok((Self { tokenizer: Arc::clone(&self.tokenizer), chat }, turn))
    }
}

/// Where a rendering leaves what is in the cache, as one sentence.
fn difference(held: &str, whole: &str) -> String {
    const SHOWN: usize = 24;
    let same: usize = held
        .chars()
        .zip(whole.chars())
        .take_while(|(a, b)| a == b)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let from = |text: &str| match text[same..].chars().take(SHOWN).collect::<String>() {
        rest if rest.is_empty() => "nothing more".to_owned(),
        rest => format!("{rest:?}"),
    };
    format!(
        "the chat template rewrites earlier turns: it writes {} where the cache has {}",
        from(whole),
        from(held)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_turn_is_shown_from_where_it_differs() {
        assert_eq!(
            difference("a<think>so</think>é!", "aé!"),
            r#"the chat template rewrites earlier turns: it writes "é!" where the cache has "<think>so</think>é!""#
        );
        assert!(
            difference("abc ", "abc")
                .ends_with(r#"it writes nothing more where the cache has " ""#)
        );
    }
}
