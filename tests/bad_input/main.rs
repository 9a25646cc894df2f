//! Malformed and hostile input to every reader of the program, made from the committed vectors: each
//! is refused with one sentence and exit code 2, quickly, in little memory, and nothing is left
//! behind. docs/RELIABILITY.md says what this holds.

#![cfg(target_os = "linux")]

mod arguments;
mod configurations;
mod evaluations;
mod gguf;
mod harness;
mod masks;
mod recordings;
mod templates;
mod texts;
mod tokenizers;
mod weights;

use harness::{Case, check_all};

#[test]
fn every_reader_refuses_what_is_wrong_in_one_sentence() {
    let makers: [fn(&mut Vec<Case>); 10] = [
        configurations::cases,
        weights::cases,
        gguf::cases,
        tokenizers::cases,
        templates::cases,
        masks::cases,
        recordings::cases,
        evaluations::cases,
        texts::cases,
        arguments::cases,
    ];
    let mut cases = Vec::new();
    for make in makers {
        make(&mut cases);
    }
    check_all(cases, 300);
}
