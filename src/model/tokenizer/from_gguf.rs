//! A tokenizer from GGUF metadata: byte-level BPE (`gpt2`) with the named pre-tokenizer, and
//! SentencePiece BPE (`llama`).

use std::collections::{BTreeSet, HashSet};

use tokenizers::models::bpe::{BPE, Vocab};
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

use super::codec::END_TOKENS;
use super::gguf_special::SpecialIds;
use super::pre::{Pre, Words};
use super::{ChatTemplate, Tokenizer};
use crate::error::shortened;
use crate::model::load::gguf::{Gguf, Section};
use crate::{Error, Result};

/// Token types of GGUF (`llama_token_type`): plain text, and what is none.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// Tokens that end a file in models that fill in code; llama.cpp ends a text there too.
const FILE_ENDS: &[&str] = &[
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// llama.cpp's cuts where a file does not say, one after the other: marks, words as GPT-2 has them,
/// numbers, and their digits by three.
const DEFAULT_WORDS: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What a GGUF file says of its tokens.
#[derive(Debug)]
pub struct GgufTokenizer {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The token that begins a text, where the model has one.
    pub bos: Option<u32>,
    /// What a user should know, one sentence each.
    pub warnings: Vec<String>,
}

impl GgufTokenizer {
    /// Builds the tokenizer that the file describes.
    pub fn read(file: &Gguf) -> Result<Self> {
        let meta = file.tokenizer();
        let mut warnings = Vec::new();
        let mut warn = |what: String| warnings.push(format!("{}: {what}", file.name()));
        let (tokens, types) = tokens(meta)?;
        let kind = meta.text("model").ok_or_else(|| meta.wrong("model", "is missing"))?;
        if !["gpt2", "llama"].contains(&kind) {
            let what = format!("`{}` is not supported (known: gpt2, llama)", shortened(kind));
            return Err(meta.wrong("model", &what));
        }
        let ids = SpecialIds::read(meta, tokens.len(), kind == "llama", &mut warn);
        let (mut inner, adds_bos) = if kind == "llama" {
            (sentence_piece(meta, &tokens, ids.get("unknown"))?, true)
        } else {
            let pre = pre_tokenizer(meta, &mut warn)?;
            (byte_level(meta, &tokens, pre)?, pre.adds_bos)
        };
        add_special(&mut inner, &tokens, types)
            .map_err(|cause| meta.wrong("tokens", &format!("cannot be used: {cause}")))?;

        let named =
            |name: &str| ids.get(name).and_then(|id| Some((tokens.get(id as usize)?.clone(), id)));
        let (bos, eos) = (named("bos"), named("eos"));
        let [begins, ends] = [
            (meta.flag("add_bos_token").unwrap_or(adds_bos), &bos, "bos", "begin"),
            (meta.flag("add_eos_token").unwrap_or(false), &eos, "eos", "end"),
        ]
        .map(|(is_wanted, token, name, does)| {
            if is_wanted && token.is_none() {
                let key = meta.full(&format!("{name}_token_id"));
                warn(format!(
                    "a text should {does} with the token of `{key}`, which names none, so it {does}s without (llama.cpp takes token 11)"
                ));
            }
            token.clone().filter(|_| is_wanted)
        });
        frame(&mut inner, &begins, &ends).ok_or_else(|| {
            let text = begins.as_ref().or(ends.as_ref()).map_or("", |(text, _)| text);
            let what = format!("names `{}`, which cannot begin a text", shortened(text));
            meta.wrong("bos_token_id", &what)
        })?;
        let template = file.chat_template().map(|source| {
            let names = [
                ("bos_token", "bos"),
                ("eos_token", "eos"),
                ("unk_token", "unknown"),
                ("sep_token", "seperator"),
                ("pad_token", "padding"),
                ("cls_token", "cls"),
                ("mask_token", "mask"),
            ];
            let special = names
                .iter()
                .filter_map(|(name, which)| Some(((*name).to_owned(), named(which)?.0)))
                .collect();
            ChatTemplate::new(source, special, file.name())
        });
        let keys = ["eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"];
        let end = keys
            .iter()
            .filter_map(|name| ids.get(name))
            .chain(FILE_ENDS.iter().filter_map(|text| inner.token_to_id(text)))
            .collect();
        let mut tokenizer = Tokenizer::new(inner, template, end);
        tokenizer.frame_chat(begins, ends);
        Ok(Self { tokenizer, bos: bos.map(|(_, id)| id), warnings })
    }
}

/// The texts and types of all tokens.
fn tokens(meta: Section<'_>) -> Result<(Vec<String>, Vec<i32>)> {
    let tokens = meta.texts("tokens").ok_or_else(|| meta.wrong("tokens", "is missing"))?;
    let types = meta.integers("token_type").unwrap_or_else(|| vec![NORMAL; tokens.len()]);
    let scores = meta.floats("scores");
    let lengths = [("token_type", Some(types.len())), ("scores", scores.map(|list| list.len()))];
    for (key, found) in lengths {
        if let Some(found) = found.filter(|&found| found != tokens.len()) {
            let what = format!("has {found} entries, and `tokens` has {}", tokens.len());
            return Err(meta.wrong(key, &what));
        }
    }
    let mut seen = HashSet::new();
    // Some files have rows without a text.
    let mut texts = tokens.iter().filter(|token| !token.is_empty());
    if let Some(again) = texts.find(|token| !seen.insert(*token)) {
        return Err(meta.wrong("tokens", &format!("has `{}` twice", shortened(again))));
    }
    Ok((tokens, types))
}

/// The named pre-tokenizer, or the one that llama.cpp takes where the file names none.
fn pre_tokenizer(meta: Section<'_>, warn: &mut dyn FnMut(String)) -> Result<Pre> {
    let name = meta.text("pre").filter(|name| !name.is_empty()).unwrap_or_else(|| {
        warn(format!(
            "`{}` is missing, so texts are cut into words as llama.cpp's `default` cuts them, and perhaps not as the model was trained",
            meta.full("pre")
        ));
        "default"
    });
    Pre::named(name).ok_or_else(|| {
        let known = "known: smollm, llama-bpe, qwen2, gpt-2 and their kin";
        meta.wrong("pre", &format!("`{}` is not supported ({known})", shortened(name)))
    })
}

/// Adds the tokens that are no plain text.
fn add_special(inner: &mut Inner, tokens: &[String], types: Vec<i32>) -> tokenizers::Result<()> {
    let mut special = Vec::new();
    let mut plain = Vec::new();
    for (token, kind) in tokens.iter().zip(types) {
        match kind {
            // What ends a turn is a control token, whatever the file takes it for.
            _ if END_TOKENS.contains(&&token[..]) => {
                special.push(AddedToken::from(token.clone(), true));
            }
            CONTROL | UNKNOWN => special.push(AddedToken::from(token.clone(), true)),
            USER_DEFINED => plain.push(AddedToken::from(token.clone(), false).normalized(false)),
            _ => {}
        }
    }
    inner.add_special_tokens(special).and_then(|_| inner.add_tokens(plain)).map(|_| ())
}

/// Puts a beginning and an end token around every text that is encoded.
fn frame(
    inner: &mut Inner,
    begins: &Option<(String, u32)>,
    ends: &Option<(String, u32)>,
) -> Option<()> {
    if begins.is_none() && ends.is_none() {
        return Some(());
    }
    let pieces = |texts: &[&str]| -> Vec<String> {
        let before = begins.iter().map(|(text, _)| text.clone());
        let after = ends.iter().map(|(text, _)| text.clone());
        before.chain(texts.iter().map(|text| (*text).to_owned())).chain(after).collect()
    };
    let template = TemplateProcessing::builder()
        .try_single(pieces(&["$A"]))
        .ok()?
        .try_pair(pieces(&["$A", "$B"]))
        .ok()?
        .special_tokens(begins.iter().chain(ends).cloned().collect::<Vec<_>>())
        .build()
        .ok()?;
    inner.with_post_processor(Some(template));
    Some(())
}

fn byte_level(meta: Section<'_>, tokens: &[String], pre: Pre) -> Result<Inner> {
    let merges = meta.texts("merges").ok_or_else(|| meta.wrong("merges", "is missing"))?;
    let merges = merges
        .iter()
        .map(|merge| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| meta.wrong("merges", "has an entry that is no pair"))?;
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary(tokens), merges)
        .ignore_merges(pre.ignores_merges)
        .build()
        .map_err(|cause| meta.wrong("merges", &format!("do not fit the tokens: {cause}")))?;
    let mut inner = Inner::new(bpe);
    let words = |patterns: &[&str]| -> Result<PreTokenizerWrapper> {
        let split = |pattern: &&str| {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map(PreTokenizerWrapper::from)
                .map_err(|cause| Error::run(format!("pre-tokenizer pattern: {cause}")))
        };
        let mut steps = patterns.iter().map(split).collect::<Result<Vec<_>>>()?;
        steps.push(ByteLevel::new(false, false, false).into());
        Ok(PreSequence::new(steps).into())
    };
    let by_words = ByteLevel::new(false, false, true);
    let pre_tokenizer: PreTokenizerWrapper = match pre.words {
        Words::Digits => PreSequence::new(vec![Digits::new(true).into(), by_words.into()]).into(),
        // llama.cpp does not compose characters first, as the folders of such models do.
        Words::Qwen2 => words(&[QWEN2_WORDS])?,
        Words::Llama3 => words(&[LLAMA3_WORDS])?,
        Words::Default => words(&DEFAULT_WORDS)?,
        Words::Gpt2 => by_words.into(),
    };
    inner.with_pre_tokenizer(Some(pre_tokenizer));
    inner.with_decoder(Some(DecoderWrapper::from(ByteLevel::new(false, false, false))));
    Ok(inner)
}

/// SentencePiece BPE: pieces are merged in the order of their scores, unknown characters fall back
/// to bytes. The merges are not in the file; every split of a piece into two pieces is one, ranked
/// by the piece's score.
fn sentence_piece(meta: Section<'_>, tokens: &[String], unknown: Option<u32>) -> Result<Inner> {
    let scores = meta.floats("scores").ok_or_else(|| meta.wrong("scores", "is missing"))?;
    let vocab = vocabulary(tokens);
    let mut merges: Vec<(f32, u32, u32, (String, String))> = Vec::new();
    // Both parts are as long as some token, so that long tokens have few places to split at.
    let lengths: BTreeSet<usize> = tokens.iter().map(String::len).collect();
    for (token, score) in tokens.iter().zip(&scores) {
        let places = lengths.range(1..token.len().max(1));
        for &at in places.filter(|&&at| lengths.contains(&(token.len() - at))) {
            let Some((left, right)) = token.split_at_checked(at) else { continue };
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
    if let Some(unknown) = unknown.and_then(|unknown| tokens.get(unknown as usize)) {
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
