//! Pre-tokenizers of GGUF files by name (`tokenizer.ggml.pre`), as llama.cpp knows them.

/// How a text is cut into words before merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// As llama.cpp does where a file does not say.
    Default,
    /// As GPT-2 does.
    Gpt2,
    /// As GPT-2 does, digits one by one.
    Digits,
    /// As Llama 3 does: up to three digits together.
    Llama3,
    /// As Qwen 2 does: digits one by one.
    Qwen2,
}

/// A kind of pre-tokenizer.
#[derive(Debug, Clone, Copy)]
pub struct Pre {
    /// How words are cut.
    pub words: Words,
    /// Whether a text begins with the beginning token where the file does not say
    /// (`add_bos_token`).
    pub adds_bos: bool,
    /// Whether a word that is a token is taken whole, whatever the merges say.
    pub ignores_merges: bool,
}

const fn pre(words: Words) -> Pre {
    Pre { words, adds_bos: false, ignores_merges: false }
}

/// Names by kind.
const KNOWN: &[(Pre, &[&str])] = &[
    (
        Pre { words: Words::Llama3, adds_bos: true, ignores_merges: true },
        &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
    ),
    (pre(Words::Llama3), &["dbrx", "smaug-bpe"]),
    (
        pre(Words::Qwen2),
        &["qwen2", "qwen35", "deepseek-r1-qwen", "kormo", "stablelm2", "megrez", "hunyuan"],
    ),
    (
        pre(Words::Digits),
        &["smollm", "codeshell", "refact", "command-r", "exaone", "minerva-7b", "starcoder"],
    ),
    (pre(Words::Default), &["default"]),
    (
        pre(Words::Gpt2),
        &[
            "gpt-2",
            "gpt2",
            "olmo",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "mpt",
            "gigachat",
            "a.x-4.0",
            "mellum",
        ],
    ),
];

impl Pre {
    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        KNOWN.iter().find(|(_, names)| names.contains(&name)).map(|(pre, _)| *pre)
    }
}
