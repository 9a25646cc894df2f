//! What a turn adds to a conversation, template by template.

use std::sync::Arc;

use kscope::model::tokenizer::{Conversation, NextTurn, Tokenizer};
use kscope_testing::vectors;

const CHATML: &str =
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>\n{% endfor %}<s>assistant: ";
/// As Llama 2: a space before the answer, none of its own in the message.
const SPACED: &str = "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + 'Q ' + m['content'] | trim + ' A' }}{% else %}{{ ' ' + m['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}";
/// As Qwen3: thoughts of earlier answers are dropped.
const FORGETS: &str = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'].split('thus')[-1] }}</s>{% endfor %}<s>assistant: ";
const ONE: &str = "<s>user: {{ messages[0]['content'] }}</s><s>assistant: {{ messages[1]['content'] if messages[1] else '' }}";

fn tokenizer(template: &str) -> Arc<Tokenizer> {
    let folder = vectors().join("tiny/tokenizer");
    let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
    let config = serde_json::json!({
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": template
    });
    Arc::new(Tokenizer::from_json(&json, &config.to_string(), "test").unwrap())
}

/// A conversation of two turns in which the model said `answer`: its second turn, and all tokens
/// with it.
fn second(template: &str, answer: &str) -> (NextTurn, Vec<u32>, Arc<Tokenizer>) {
    let tokenizer = tokenizer(template);
    let (talk, first) = Conversation::chat(&tokenizer, "the tide").unwrap();
    let said = tokenizer.encode(answer).unwrap();
    let (next, turn) = talk.next(&first, &said, "and then?").unwrap();
    let all = match turn.again {
        Some(_) => turn.tokens.clone(),
        None => [&first[..], &said, &turn.tokens].concat(),
    };
    // A third turn goes on from the second.
    let third = next.next(&all, &said, "why").unwrap().1;
    assert_eq!(third.again.is_some(), turn.again.is_some());
    (turn, all, tokenizer)
}

fn whole(tokenizer: &Tokenizer, answer: &str) -> Vec<u32> {
    let messages = [("user", "the tide"), ("assistant", answer), ("user", "and then?")];
    let rendered = tokenizer.template().unwrap().render(&messages).unwrap();
    tokenizer.encode(&rendered).unwrap()
}

#[test]
fn a_turn_is_what_the_template_writes_after_the_answer() {
    let (turn, all, tokenizer) = second(CHATML, "the lamp");
    assert_eq!(turn.again, None);
    // The answer may be spelled with other tokens than the tokenizer's; text and marks are equal.
    let expected = whole(&tokenizer, "the lamp");
    let marks = |ids: &[u32]| ids.iter().filter(|id| [1, 2].contains(id)).count();
    assert_eq!(tokenizer.decode(&all).unwrap(), tokenizer.decode(&expected).unwrap());
    assert_eq!(marks(&all), marks(&expected));
    assert_eq!(all[all.len() - 20..], expected[expected.len() - 20..]);
    let end = tokenizer.encode("</s>").unwrap();
    assert!(turn.tokens.starts_with(&end), "it begins with the end of the answer");
}

#[test]
fn the_space_before_an_answer_belongs_to_it() {
    let (turn, all, tokenizer) = second(SPACED, " the lamp");
    assert_eq!((turn.again, all), (None, whole(&tokenizer, " the lamp")));
}

#[test]
fn a_template_that_rewrites_an_answer_reads_all_again_and_says_where() {
    let (turn, all, tokenizer) = second(FORGETS, "so thus the lamp");
    let why = turn.again.expect("the cache has the thoughts");
    assert!(
        why.contains(r#"it writes " the lamp"#) && why.contains(r#"has "so thus the lamp""#),
        "{why}"
    );
    assert_eq!(all, whole(&tokenizer, "so thus the lamp"));
    let (turn, ..) = second(FORGETS, "the lamp");
    assert_eq!(turn.again, None, "an answer without thoughts stays");
    let (turn, ..) = second(SPACED, "the lamp");
    assert!(turn.again.expect("a space comes in").contains("rewrites earlier turns"));
}

#[test]
fn a_template_of_one_turn_is_refused() {
    let tokenizer = tokenizer(ONE);
    let (talk, first) = Conversation::chat(&tokenizer, "the tide").unwrap();
    let said = tokenizer.encode("the lamp").unwrap();
    let error = talk.next(&first, &said, "and then?").unwrap_err();
    assert!(error.to_string().contains("writes nothing for another message"), "{error}");
}

#[test]
fn without_a_template_a_turn_is_a_new_line() {
    let tokenizer = tokenizer(CHATML);
    let talk = Conversation::plain(&tokenizer);
    let before = tokenizer.encode("the tide").unwrap();
    let turn = talk.next(&before, &[], "and then?").unwrap().1;
    let all = [before, turn.tokens].concat();
    assert_eq!(tokenizer.decode(&all).unwrap(), "the tide\nand then?");
}
