//! The prose that needles are hidden in.

use crate::learn::data::Haystack;
use crate::model::demo::generator::sentence;
use crate::random::SplitMix64;

/// A text in words, repeated where it is too short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Essay {
    /// What it is made of, in reports.
    pub name: String,
    words: Vec<String>,
}

impl Essay {
    /// All texts of a haystack, one after the other; generated sentences where there is none.
    pub fn of(haystack: &Haystack) -> Self {
        if haystack.pieces.is_empty() {
            let mut rng = SplitMix64::new(0);
            let mut sentences: Vec<String> = (0..4000).map(|_| sentence(&mut rng)).collect();
            rng.shuffle(&mut sentences, usize::MAX);
            let words = sentences.iter().flat_map(|one| one.split_whitespace());
            return Self {
                name: "generated sentences".to_owned(),
                words: words.map(str::to_owned).collect(),
            };
        }
        let names: Vec<&str> = haystack.pieces.iter().map(|piece| piece.name.as_str()).collect();
        let texts = haystack.pieces.iter().map(|piece| piece.text());
        let words = texts.flat_map(str::split_whitespace).map(str::to_owned).collect();
        Self { name: names.join(", "), words }
    }

    /// The first `n` words in sentences.
    pub(super) fn sentences(&self, n: usize) -> Vec<String> {
        let mut sentences = vec![String::new()];
        let words = self.words.iter().cycle().take(n);
        for word in words {
            let last = sentences.last_mut().expect("there is one");
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
            let end = word.trim_end_matches(['"', '\'', '”', '’', ')']);
            if end.ends_with(['.', '!', '?']) {
                sentences.push(String::new());
            }
        }
        sentences.retain(|sentence| !sentence.is_empty());
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::data::HaystackPiece;

    #[test]
    fn short_texts_repeat_and_sentences_end_where_they_should() {
        let text = "The mill stood. \"Who goes?\" It was late".to_owned();
        let haystack = Haystack { pieces: vec![HaystackPiece::new("own".to_owned(), text)] };
        let essay = Essay::of(&haystack);
        let sentences = essay.sentences(10);
        assert_eq!(sentences[..2], ["The mill stood.", "\"Who goes?\""]);
        assert!(sentences[2].ends_with("The mill"), "{sentences:?}");
        assert!(Essay::of(&Haystack::default()).sentences(500).len() > 20);
    }
}
