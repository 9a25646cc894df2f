//! Streamed text against text decoded at once: byte for byte, for every kind of decoder, with
//! broken characters, at every cut.

use std::sync::Arc;

use kscope::model::tokenizer::{Detokenizer, Tokenizer};
use kscope::random::SplitMix64;
use serde_json::{Value, json};

/// A tokenizer with that decoder and those tokens.
fn tokenizer(tokens: &[String], special: &[&str], decoder: &Value) -> Arc<Tokenizer> {
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(at, text)| {
            json!({
                "id": tokens.len() + at, "content": text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": at % 2 == 0,
            })
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": tokens[0]},
    });
    Arc::new(Tokenizer::from_json(tokenizer.to_string().as_bytes(), "{}", "test").unwrap())
}

/// The characters that stand for bytes in byte-level vocabularies.
fn byte_level() -> Vec<char> {
    let plain = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    (0..256)
        .map(|byte| {
            if plain(byte) {
                return char::from_u32(byte).unwrap();
            }
            next += 1;
            char::from_u32(next - 1).unwrap()
        })
        .collect()
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Name, tokens and decoder of every kind.
fn kinds() -> Vec<(&'static str, Vec<String>, Value)> {
    let bytes = byte_level();
    let of_bytes =
        |text: &[u8]| -> String { text.iter().map(|&b| bytes[usize::from(b)]).collect() };
    let mut level: Vec<String> = bytes.iter().map(char::to_string).collect();
    for text in ["hello", " world", "é", "日", "🙂", "\n", "\u{fffd}"] {
        level.push(of_bytes(text.as_bytes()));
    }
    level.extend([
        of_bytes(b"\xe6\x97"),
        of_bytes(b"\xa5x"),
        of_bytes(b"\xf0\x9f"),
        "日本".to_owned(),
    ]);
    let mut pieces: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    pieces.extend(words(&[
        "▁", "▁▁", "▁hello", "lo", "▁world", "日", "é", "\u{fffd}", "<0xZZ>", "<0x4é>",
    ]));
    let spm = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]});
    let fallback =
        json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]});
    let at_end = json!({"type": "Sequence", "decoders": [
        {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": "▁", "start": 0, "stop": 1},
    ]});
    let late = json!({"type": "Sequence", "decoders": [
        {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Replace", "pattern": {"String": "lolo"}, "content": "x"},
    ]});
    let plain =
        words(&["un", "##able", "the", ".", ",", "'", "##s", " do not", "é", "n't", "\u{fffd}"]);
    let ends = words(&["un</w>", "able</w>", "the", "é</w>", "</w>"]);
    let meta = words(&["▁the", "▁", "table", "▁é", "▁▁x"]);
    vec![
        (
            "byte level",
            level,
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        ),
        ("SentencePiece", pieces.clone(), spm),
        ("byte fallback", pieces.clone(), fallback),
        ("stripped at the end", pieces.clone(), at_end),
        ("replaced after all", pieces, late),
        ("WordPiece", plain.clone(), json!({"type": "WordPiece", "prefix": "##", "cleanup": true})),
        (
            "WordPiece as it is",
            plain.clone(),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": false}),
        ),
        ("BPE with ends of words", ends, json!({"type": "BPEDecoder", "suffix": "</w>"})),
        (
            "Metaspace",
            meta,
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
        ),
        (
            "CTC",
            words(&["a", "b", "<pad>", "|", "é"]),
            json!({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true}),
        ),
        ("none", plain, Value::Null),
    ]
}

fn streamed(tokenizer: &Arc<Tokenizer>, ids: &[u32]) -> String {
    let mut stream = Detokenizer::new(Arc::clone(tokenizer));
    let text: String = ids.iter().map(|&id| stream.push(id)).collect();
    text + &stream.finish().unwrap()
}

#[test]
fn pieces_add_up_to_the_whole_at_every_cut() {
    for (name, tokens, decoder) in kinds() {
        let tokenizer = tokenizer(&tokens, &["<s>", "<plain>", "</s>"], &decoder);
        let mut random = SplitMix64::new(14);
        // One past the last token is no token at all.
        let all = tokens.len() + 4;
        for round in 0..400 {
            // Some rounds draw from a few tokens only: runs of bytes, the same word again and again.
            let few: Vec<u32> = (0..3).map(|_| random.below(all) as u32).collect();
            let count = random.below(24);
            let ids: Vec<u32> = (0..count)
                .map(|_| match round % 3 {
                    0 => few[random.below(3)],
                    1 if random.below(2) == 0 => few[0],
                    _ => random.below(all) as u32,
                })
                .collect();
            for cut in 0..=ids.len() {
                let (found, expected) =
                    (streamed(&tokenizer, &ids[..cut]), tokenizer.decode(&ids[..cut]).unwrap());
                assert_eq!(found, expected, "{name}: {:?}", &ids[..cut]);
            }
        }
    }
}

#[test]
fn long_texts_add_up_too() {
    for (name, tokens, decoder) in kinds() {
        let tokenizer = tokenizer(&tokens, &["<s>", "<plain>", "</s>"], &decoder);
        let mut random = SplitMix64::new(15);
        for few in [2, 5, tokens.len() + 4] {
            let first = random.below(tokens.len());
            let ids: Vec<u32> = (0..1500)
                .map(|_| ((first + random.below(few)) % (tokens.len() + 4)) as u32)
                .collect();
            assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_whole_character_comes_with_its_last_byte() {
    let (_, tokens, decoder) = kinds().swap_remove(0);
    let tokenizer = tokenizer(&tokens, &[], &decoder);
    let mut stream = Detokenizer::new(Arc::clone(&tokenizer));
    let pieces: Vec<String> = "aé日".bytes().map(|byte| stream.push(u32::from(byte))).collect();
    assert_eq!(pieces, ["a", "", "é", "", "", "日"]);
}
