//! Training data: deterministic, of the right length, whole answers supervised, the held-out part
//! never trained on.

use kscope::learn::data::{
    Draw, Haystack, HaystackPart, HaystackPiece, Task, draw_of_length, load,
};
use kscope_testing::demo;

fn haystack() -> Haystack {
    let text: String =
        (0..6000).map(|i| format!("Sentence number {i} of this text stands here. ")).collect();
    Haystack { pieces: vec![HaystackPiece::new("numbers".to_owned(), text)] }
}

#[test]
fn samples_are_those_of_the_seed_and_have_the_asked_length() {
    let (model, haystack) = (demo(), haystack());
    for haystack in [&haystack, &Haystack::default()] {
        for task in [Task::Codes, Task::Passkey, Task::MultiKey, Task::MultiValue, Task::Text] {
            let draw =
                |seed| Draw { haystack, part: HaystackPart::Training, tokens: 700, codes: 4, seed };
            let sample = draw_of_length(&model, task, &draw(5)).unwrap();
            assert_eq!(sample, draw_of_length(&model, task, &draw(5)).unwrap(), "{task:?}");
            assert_ne!(sample, draw_of_length(&model, task, &draw(6)).unwrap(), "{task:?}");
            for question in &sample.questions {
                let length = sample.prefix.len() + question.tail.len() + question.answer.len();
                assert!((500..=700).contains(&length), "{task:?}: {length} tokens");
                assert!(!question.tail.is_empty());
            }
        }
    }
}

#[test]
fn questions_share_a_prefix_and_their_answers_hold_the_whole_value() {
    let (model, haystack) = (demo(), haystack());
    let draw =
        Draw { haystack: &haystack, part: HaystackPart::Training, tokens: 900, codes: 4, seed: 1 };
    let sample = draw_of_length(&model, Task::Codes, &draw).unwrap();
    let tokenizer = model.tokenizer.as_ref().unwrap();
    assert_eq!(sample.questions.len(), 4);
    for question in &sample.questions {
        let prompt =
            tokenizer.decode(&[sample.prefix.as_slice(), &question.tail].concat()).unwrap();
        assert!(prompt.ends_with("?\nAnswer:"), "{}", &prompt[prompt.len() - 60..]);
        let answer = tokenizer.decode(&question.answer).unwrap();
        let (lead, value) = answer.rsplit_once(' ').unwrap();
        assert!(lead.contains("code for"), "{answer}");
        assert!(value.len() == 4 && prompt.contains(value), "{answer}");
        let scored: Vec<u32> = question
            .answer
            .iter()
            .zip(&question.scored)
            .filter(|(_, s)| **s)
            .map(|(&id, _)| id)
            .collect();
        assert_eq!(tokenizer.decode(&scored).unwrap().trim(), value);
    }
}

#[test]
fn training_never_sees_the_held_out_end() {
    let (model, haystack) = (demo(), haystack());
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let numbers = |part, seed| -> Vec<usize> {
        let draw = Draw { haystack: &haystack, part, tokens: 600, codes: 4, seed };
        let sample = draw_of_length(&model, Task::Text, &draw).unwrap();
        let text = tokenizer.decode(&sample.prefix).unwrap();
        let numbers: Vec<usize> =
            text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // The first and the last number of a passage may be cut in half.
        numbers[1..numbers.len() - 1].to_vec()
    };
    let largest = (0..20).flat_map(|seed| numbers(HaystackPart::Training, seed)).max().unwrap();
    let smallest = (0..20).flat_map(|seed| numbers(HaystackPart::HeldOut, seed)).min().unwrap();
    assert!(largest < smallest, "{largest} against {smallest}");
}

#[test]
fn files_are_read_by_their_kind_and_refused_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let good = [
        write("a.md", "# Title\nSome text."),
        write("b.jsonl", "{\"body\": \"one\"}\n\n{\"body\": \"two\"}\n"),
    ];
    let haystack = load(&good, "body").unwrap();
    assert_eq!(
        haystack.pieces.iter().map(|piece| piece.name.as_str()).collect::<Vec<_>>(),
        ["a.md", "b.jsonl"]
    );
    let missing =
        load(&[write("c.jsonl", "{\"body\": \"one\"}\n{\"text\": 2}\n")], "body").unwrap_err();
    assert!(missing.to_string().contains("line 2") && missing.exit_code() == 2, "{missing}");
    assert_eq!(load(&[write("d.txt", "  \n")], "body").unwrap_err().exit_code(), 2);
    assert_eq!(load(&[folder.path().join("none")], "body").unwrap_err().exit_code(), 2);
}
