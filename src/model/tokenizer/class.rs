//! The class that a folder's tokenizer has in transformers. Some classes are built anew there: only
//! vocabulary, merges and the post-processor of `tokenizer.json` count, and every other step is the
//! class's own; its added tokens are added again (`special.rs`).

use serde_json::{Value, json};
use tokenizers::models::bpe::BPE;
use tokenizers::{
    AddedVocabulary, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizerWrapper, Tokenizer as Inner,
};

use super::companions::Companions;
use crate::error::shortened;
use crate::{Error, Result};

/// The mark that SentencePiece has for a space.
const MARK: &str = "\u{2581}";

/// Where Qwen2's class cuts words.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Classes of other architectures that transformers builds anew, too.
const NOT_KNOWN: [&str; 25] = [
    "AlbertTokenizer",
    "BartTokenizer",
    "BertTokenizer",
    "BigBirdTokenizer",
    "BlenderbotTokenizer",
    "CLIPTokenizer",
    "CamembertTokenizer",
    "CodeLlamaTokenizer",
    "CohereTokenizer",
    "DebertaTokenizer",
    "DebertaV2Tokenizer",
    "GemmaTokenizer",
    "MBartTokenizer",
    "MPNetTokenizer",
    "NllbTokenizer",
    "NougatTokenizer",
    "OpenAIGPTTokenizer",
    "PegasusTokenizer",
    "Qwen3_5Tokenizer",
    "RobertaTokenizer",
    "T5Tokenizer",
    "WhisperTokenizer",
    "XGLMTokenizer",
    "XLMRobertaTokenizer",
    "XLNetTokenizer",
];

/// What a class calls its tokens where no file does.
type Names = &'static [(&'static str, &'static str)];

const END_OF_TEXT: &str = "<|endoftext|>";
const GPT2: Names =
    &[("unk_token", END_OF_TEXT), ("bos_token", END_OF_TEXT), ("eos_token", END_OF_TEXT)];
const LLAMA: Names = &[("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")];

/// Models for which transformers takes the files alone, whatever class they name.
const MISTRALS: [&str; 3] = ["mistral", "mixtral", "ministral"];

/// A class that transformers builds anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// One byte-level step.
    Gpt2,
    /// The same after normalisation.
    GptNeoX,
    /// Words by a pattern, then a byte-level step.
    Qwen2,
    /// SentencePiece.
    Llama,
}

/// What a class makes of a text and of tokens, as `tokenizer.json` would say it.
struct Steps {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
}

impl Class {
    /// The class that transformers takes, where it is one of these; `json` is the text of
    /// `tokenizer.json`.
    pub(super) fn of(files: &Companions, json: &[u8]) -> Result<Option<Self>> {
        let stated = files.class()?;
        // transformers trusts no file's word for Qwen2, and has no class of Mistral's own.
        let name = match files.model_type.as_deref() {
            Some(of_mistral) if MISTRALS.contains(&of_mistral) => return Ok(None),
            Some("qwen2") => "Qwen2Tokenizer",
            Some("qwen3" | "qwen3_moe") if stated.is_empty() => "Qwen2Tokenizer",
            _ => stated,
        };
        Ok(match name {
            "GPT2Tokenizer" => Some(Self::Gpt2),
            "GPTNeoXTokenizer" => Some(Self::GptNeoX),
            "Qwen2Tokenizer" => Some(Self::Qwen2),
            "LlamaTokenizer" if !names_byte_level(json) => Some(Self::Llama),
            _ => None,
        })
    }

    /// The class in transformers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "GPT2Tokenizer",
            Self::GptNeoX => "GPTNeoXTokenizer",
            Self::Qwen2 => "Qwen2Tokenizer",
            Self::Llama => "LlamaTokenizer",
        }
    }

    /// What the class calls its tokens where no file does.
    pub(super) fn names(self) -> Names {
        match self {
            Self::Gpt2 => GPT2,
            Self::GptNeoX => &[
                ("unk_token", END_OF_TEXT),
                ("bos_token", END_OF_TEXT),
                ("eos_token", END_OF_TEXT),
                ("pad_token", "<|padding|>"),
            ],
            Self::Qwen2 => &[
                ("unk_token", END_OF_TEXT),
                ("eos_token", END_OF_TEXT),
                ("pad_token", END_OF_TEXT),
            ],
            Self::Llama => LLAMA,
        }
    }

    /// Whether the class adds all special tokens once more, without flags.
    pub(super) fn adds_again(self) -> bool {
        self == Self::Qwen2
    }

    /// Whether the padding of `tokenizer.json` names the padding token where no file does: the other
    /// classes name one themselves, or none.
    pub(super) fn takes_padding(self) -> bool {
        self == Self::Llama
    }

    fn steps(self, files: &Companions) -> Result<Steps> {
        let space = files.flag("add_prefix_space")?;
        let bytes = |use_regex: bool| {
            json!({
                "type": "ByteLevel", "add_prefix_space": space.unwrap_or(false),
                "trim_offsets": true, "use_regex": use_regex
            })
        };
        let nfc = json!({"type": "NFC"});
        let to_bytes = json!({
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true
        });
        let (normalizer, pre_tokenizer, decoder) = match self {
            Self::Gpt2 => (Value::Null, bytes(true), to_bytes),
            Self::GptNeoX => (nfc, bytes(true), to_bytes),
            Self::Qwen2 => {
                let words = json!({
                    "type": "Split", "pattern": {"Regex": QWEN2_WORDS}, "behavior": "Isolated",
                    "invert": false
                });
                let steps = json!({"type": "Sequence", "pretokenizers": [words, bytes(false)]});
                (nfc, steps, to_bytes)
            }
            Self::Llama => {
                let space = space.unwrap_or(true);
                let is_legacy = files.flag("legacy")?.unwrap_or(false);
                let scheme = match (space, is_legacy) {
                    (false, _) => "never",
                    (true, false) => "first",
                    (true, true) => "always",
                };
                let mut joins = vec![
                    json!({"type": "Replace", "pattern": {"String": MARK}, "content": " "}),
                    json!({"type": "ByteFallback"}),
                    json!({"type": "Fuse"}),
                ];
                if space {
                    joins.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
                }
                let marks = json!({
                    "type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme,
                    "split": false
                });
                (Value::Null, marks, json!({"type": "Sequence", "decoders": joins}))
            }
        };
        Ok(Steps { normalizer, pre_tokenizer, decoder })
    }

    /// The options that this class gives a model, where those that it has are others.
    fn other_options(self, model: &BPE) -> Option<BPE> {
        let is_sentence_piece = self == Self::Llama;
        let is_plain = |affix: &Option<String>| affix.as_deref().unwrap_or_default().is_empty();
        let is_so = model.dropout.is_none()
            && model.unk_token.is_none()
            && is_plain(&model.continuing_subword_prefix)
            && is_plain(&model.end_of_word_suffix)
            && model.fuse_unk == is_sentence_piece
            && model.byte_fallback == is_sentence_piece
            && !model.ignore_merges;
        (!is_so).then(|| {
            let mut model = model.clone();
            model.dropout = None;
            model.unk_token = None;
            model.continuing_subword_prefix = None;
            model.end_of_word_suffix = None;
            model.fuse_unk = is_sentence_piece;
            model.byte_fallback = is_sentence_piece;
            model.ignore_merges = false;
            model
        })
    }

    /// Whether the class can be built of a vocabulary.
    pub(super) fn fits(inner: &Inner) -> bool {
        matches!(inner.get_model(), ModelWrapper::BPE(_))
    }

    /// Gives a tokenizer the steps of this class, and takes its added tokens away. A warning, without
    /// the file that it is about, where steps of `tokenizer.json` are left out by that, or kept
    /// because they do not fit.
    pub(super) fn apply(self, inner: &mut Inner, files: &Companions) -> Result<Option<String>> {
        let name = self.name();
        let failed = |cause: String| Error::input(format!("`tokenizer_class` {name}: {cause}"));
        let ModelWrapper::BPE(model) = inner.get_model() else {
            return Ok(Some(format!(
                "the vocabulary of tokenizer.json is no BPE, and transformers takes it for one in {name}; kscope keeps the steps of tokenizer.json"
            )));
        };
        if let Some(model) = self.other_options(model) {
            inner.with_model(model);
        }
        let steps = self.steps(files)?;
        let warning = self.left_out(inner, &steps).map_err(|cause| failed(cause.to_string()))?;
        let json = |cause: serde_json::Error| failed(cause.to_string());
        let normalizer: Option<NormalizerWrapper> =
            serde_json::from_value(steps.normalizer).map_err(json)?;
        let pre_tokenizer: PreTokenizerWrapper =
            serde_json::from_value(steps.pre_tokenizer).map_err(json)?;
        let decoder: DecoderWrapper = serde_json::from_value(steps.decoder).map_err(json)?;
        inner.with_added_vocabulary(AddedVocabulary::new());
        inner.with_normalizer(normalizer).map_err(|cause| failed(cause.to_string()))?;
        inner.with_pre_tokenizer(Some(pre_tokenizer));
        inner.with_decoder(Some(decoder));
        if self.drops_post_processor() {
            inner.with_post_processor(None::<PostProcessorWrapper>);
        }
        Ok(warning)
    }

    /// Whether the class puts no token around a text, whatever `tokenizer.json` says:
    /// `GPTNeoXTokenizer.__init__` makes the post-processor anew after the flags that would ask for
    /// tokens are gone.
    fn drops_post_processor(self) -> bool {
        self == Self::GptNeoX
    }

    /// Says which steps of `tokenizer.json` are of another kind than those of the class.
    fn left_out(self, inner: &Inner, steps: &Steps) -> serde_json::Result<Option<String>> {
        let stored = |step: serde_json::Result<Value>| step.map(|step| kinds(&step));
        let normalizer = stored(serde_json::to_value(inner.get_normalizer()))?;
        let splits = stored(serde_json::to_value(inner.get_pre_tokenizer()))?;
        let mut before = [normalizer, splits].concat();
        let own = [kinds(&steps.normalizer), kinds(&steps.pre_tokenizer)].concat();
        // The older way to write the same down, with the mark in place of a step.
        let is_older = own == ["Metaspace"];
        let older = ["Prepend".to_owned(), format!("Replace {}", json!(" "))];
        if self.drops_post_processor() {
            // This one changes no token.
            let ends = stored(serde_json::to_value(inner.get_post_processor()))?;
            before.extend(ends.into_iter().filter(|step| step != "ByteLevel"));
        }
        let is_same = before == own || is_older && before == older;
        if is_same {
            return Ok(None);
        }
        let shown = |steps: &[String]| match steps.is_empty() {
            true => "no step at all".to_owned(),
            false => shortened(&steps.join(", ")),
        };
        Ok(Some(format!(
            "transformers gives {} steps of its own ({}) in place of those in tokenizer.json ({}), and so does kscope",
            self.name(),
            shown(&own),
            shown(&before)
        )))
    }
}

/// A warning where the class is one that transformers builds anew and kscope does not know.
pub(super) fn unknown(files: &Companions) -> Result<Option<String>> {
    let name = files.class()?;
    let of_mistral = files.model_type.as_deref().is_some_and(|kind| MISTRALS.contains(&kind));
    if of_mistral || !NOT_KNOWN.contains(&name) {
        return Ok(None);
    }
    Ok(Some(format!(
        "transformers gives {name} steps and special tokens of its own, which kscope does not know; it takes those of the files"
    )))
}

/// Whether `tokenizer.json` says `"ByteLevel"` anywhere: so transformers decides whether it trusts
/// `LlamaTokenizer` (`TokenizersBackend._tokenizer_json_has_byte_level`).
fn names_byte_level(json: &[u8]) -> bool {
    let name = b"\"ByteLevel\"";
    json.windows(name.len()).any(|found| found == name)
}

/// The kinds of steps, in order; those with a pattern with the pattern.
fn kinds(step: &Value) -> Vec<String> {
    for list in ["pretokenizers", "normalizers", "decoders", "processors"] {
        if let Some(steps) = step.get(list).and_then(Value::as_array) {
            return steps.iter().flat_map(kinds).collect();
        }
    }
    let pattern =
        |pattern: &Value| pattern.as_object().and_then(|kinds| kinds.values().next()).cloned();
    match step.get("type").and_then(Value::as_str) {
        None => Vec::new(),
        Some(kind) => match step.get("pattern").and_then(pattern) {
            None => vec![kind.to_owned()],
            Some(pattern) => vec![format!("{kind} {pattern}")],
        },
    }
}
