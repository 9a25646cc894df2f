//! A tokenizer from GGUF metadata: byte-level BPE (`gpt2`) with the named pre-tokenizer, and
//! SentencePiece BPE (`llama`).

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::{Prepend, Replace};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence as PreSequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer as Inner,
};

use super::{ChatTemplate, Tokenizer};
use crate::model::load::gguf::Gguf;
use crate::{Error, Result};

/// Token types of GGUF (`llama_token_type`) that are not plain text.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Builds the tokenizer that the file describes.
pub fn read(file: &Gguf) -> Result<Tokenizer> {
    let meta = Meta { file };
    let tokens = meta.texts("tokens")?.ok_or_else(|| meta.wrong("tokens", "is missing"))?;
    let types = meta.numbers("token_type")?;
    if types.as_ref().is_some_and(|types| types.len() != tokens.len()) {
        return Err(meta.wrong("token_type", "has another length than `tokens`"));
    }
    let kind = meta.text("model").ok_or_else(|| meta.wrong("model", "is missing"))?;
    let mut inner = match kind {
        "gpt2" => byte_level(&meta, &tokens)?,
        "llama" => sentence_piece(&meta, &tokens)?,
        other => {
            return Err(
                meta.wrong("model", &format!("`{other}` is not supported (known: gpt2, llama)"))
            );
        }
    };
    let mut special = Vec::new();
    let mut plain = Vec::new();
    for (token, kind) in tokens.iter().zip(types.unwrap_or_default()) {
        match kind {
            CONTROL => special.push(AddedToken::from(token.clone(), true)),
            USER_DEFINED => plain.push(AddedToken::from(token.clone(), false).normalized(false)),
            _ => {}
        }
    }
    let added = inner.add_special_tokens(special).and_then(|_| inner.add_tokens(plain));
    added.map_err(|cause| meta.wrong("tokens", &format!("cannot be used: {cause}")))?;

    let named = |which: &str| {
        meta.id(which).and_then(|id| tokens.get(id as usize).cloned().map(|text| (text, id)))
    };
    let (bos, eos) = (named("bos"), named("eos"));
    // SentencePiece models want a beginning token unless the file says otherwise; byte-level ones
    // do not.
    if meta.flag("add_bos_token").unwrap_or(kind == "llama")
        && let Some((text, id)) = &bos
    {
        let template = TemplateProcessing::builder()
            .try_single(format!("{text} $A"))
            .and_then(|builder| builder.try_pair(format!("{text} $A $B")))
            .map(|builder| builder.special_tokens(vec![(text.clone(), *id)]).build());
        match template {
            Ok(Ok(template)) => inner.with_post_processor(Some(template)),
            _ => {
                return Err(meta
                    .wrong("bos_token_id", &format!("names `{text}`, which cannot begin a text")));
            }
        };
    }
    let template = match file.metadata().get("tokenizer.chat_template") {
        Some(Value::String(source)) => {
            let text = |token: Option<(String, u32)>| token.map(|(text, _)| text);
            Some(ChatTemplate::new(source.clone(), text(bos), text(eos.clone()), file.name())?)
        }
        _ => None,
    };
    let end =
        [eos.map(|(_, id)| id), meta.id("eot"), meta.id("eom")].into_iter().flatten().collect();
    Ok(Tokenizer { inner, template, end })
}

fn byte_level(meta: &Meta<'_>, tokens: &[String]) -> Result<Inner> {
    let merges = meta.texts("merges")?.ok_or_else(|| meta.wrong("merges", "is missing"))?;
    let merges = merges
        .iter()
        .map(|merge| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| meta.wrong("merges", "has an entry that is no pair"))?;
    let pre = meta.text("pre").unwrap_or("default");
    let llama3 =
        matches!(pre, "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "dbrx" | "smaug-bpe");
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary(tokens), merges)
        .ignore_merges(llama3)
        .build()
        .map_err(|cause| meta.wrong("merges", &format!("do not fit the tokens: {cause}")))?;
    let mut inner = Inner::new(bpe);
    let words = |pattern: &str| -> Result<PreTokenizerWrapper> {
        let split = Split::new(
            SplitPattern::Regex(pattern.to_owned()),
            SplitDelimiterBehavior::Isolated,
            false,
        )
        .map_err(|cause| Error::run(format!("pre-tokenizer pattern: {cause}")))?;
        Ok(PreSequence::new(vec![split.into(), ByteLevel::new(false, false, false).into()]).into())
    };
    let by_words = ByteLevel::new(false, false, true);
    let pre_tokenizer: PreTokenizerWrapper = match pre {
        "smollm" | "codeshell" | "refact" | "command-r" | "exaone" | "minerva-7b" | "starcoder" => {
            PreSequence::new(vec![Digits::new(true).into(), by_words.into()]).into()
        }
        "qwen2" | "qwen35" | "deepseek-r1-qwen" | "stablelm2" | "megrez" | "hunyuan" => {
            // Qwen composes characters first. It does not change the other models here, whose
            // vocabularies hold composed ones.
            let _ = inner.with_normalizer(Some(NormalizerWrapper::from(NFC)));
            words(QWEN2_WORDS)?
        }
        _ if llama3 => words(LLAMA3_WORDS)?,
        "default" | "gpt-2" | "gpt2" | "olmo" | "phi-2" | "jina-es" | "jina-de" | "mpt" => {
            by_words.into()
        }
        other => {
            return Err(
                meta.wrong("pre", &format!("`{other}` is not supported (known: smollm, llama-bpe, qwen2, gpt-2 and their kin)"))
            );
        }
    };
    inner.with_pre_tokenizer(Some(pre_tokenizer));
    inner.with_decoder(Some(DecoderWrapper::from(ByteLevel::new(false, false, false))));
    Ok(inner)
}

/// SentencePiece BPE: pieces are merged in the order of their scores, unknown characters fall back
/// to bytes. The merges are not in the file; every split of a piece into two pieces is one, ranked
/// by the piece's score.
fn sentence_piece(meta: &Meta<'_>, tokens: &[String]) -> Result<Inner> {
    let scores = match meta.file.metadata().get("tokenizer.ggml.scores") {
        Some(Value::Array(scores)) => {
            scores.iter().map(|score| score.to_f32().ok()).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let scores = scores
        .filter(|scores| scores.len() == tokens.len())
        .ok_or_else(|| meta.wrong("scores", "is missing or has another length than `tokens`"))?;
    let vocab = vocabulary(tokens);
    let mut merges: Vec<(f32, u32, u32, (String, String))> = Vec::new();
    for (token, score) in tokens.iter().zip(&scores) {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&left_id), Some(&right_id)) = (vocab.get(left), vocab.get(right)) {
                merges.push((*score, left_id, right_id, (left.to_owned(), right.to_owned())));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut bpe = BPE::builder()
        .vocab_and_merges(vocab, merges.into_iter().map(|(.., pair)| pair).collect())
        .byte_fallback(true)
        .fuse_unk(true);
    if let Some(unknown) = meta.id("unknown").and_then(|id| tokens.get(id as usize)) {
        bpe = bpe.unk_token(unknown.clone());
    }
    let mut inner = Inner::new(
        bpe.build()
            .map_err(|cause| meta.wrong("tokens", &format!("give no tokenizer: {cause}")))?,
    );
    let replace = |from: &str, to: &str| {
        Replace::new(from, to)
            .map_err(|cause| Error::run(format!("SentencePiece normalizer: {cause}")))
    };
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if meta.flag("add_space_prefix").unwrap_or(true) {
        steps.push(Prepend::new("\u{2581}".to_owned()).into());
    }
    steps.push(replace(" ", "\u{2581}")?.into());
    let _ = inner.with_normalizer(Some(NormalizerWrapper::from(
        tokenizers::normalizers::Sequence::new(steps),
    )));
    use tokenizers::decoders::{
        byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence, strip::Strip,
    };
    inner.with_decoder(Some(DecoderWrapper::from(Sequence::new(vec![
        replace("\u{2581}", " ")?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
        Strip::new(' ', 1, 0).into(),
    ]))));
    Ok(inner)
}

fn vocabulary(tokens: &[String]) -> Vocab {
    tokens.iter().enumerate().map(|(id, token)| (token.clone(), id as u32)).collect()
}

/// Typed reads of `tokenizer.ggml.*`.
struct Meta<'a> {
    file: &'a Gguf,
}

impl Meta<'_> {
    fn wrong(&self, key: &str, what: &str) -> Error {
        Error::input(format!("{}: `tokenizer.ggml.{key}` {what}", self.file.name()))
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let metadata: &HashMap<String, Value> = self.file.metadata();
        metadata.get(&format!("tokenizer.ggml.{key}"))
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    fn id(&self, which: &str) -> Option<u32> {
        match self.get(&format!("{which}_token_id"))? {
            Value::U32(id) => Some(*id),
            Value::I32(id) => u32::try_from(*id).ok(),
            other => other.to_u64().ok().and_then(|id| u32::try_from(id).ok()),
        }
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.list(key, |value| value.to_string().ok().cloned(), "texts")
    }

    fn numbers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        let number = |value: &Value| match value {
            Value::I32(n) => Some(i64::from(*n)),
            Value::U32(n) => Some(i64::from(*n)),
            other => other.to_i64().ok(),
        };
        self.list(key, number, "numbers")
    }

    fn list<T>(
        &self,
        key: &str,
        one: impl Fn(&Value) -> Option<T>,
        what: &str,
    ) -> Result<Option<Vec<T>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(items)) => match items.iter().map(one).collect() {
                Some(list) => Ok(Some(list)),
                None => Err(self.wrong(key, &format!("must be a list of {what}"))),
            },
            Some(_) => Err(self.wrong(key, &format!("must be a list of {what}"))),
        }
    }
}
