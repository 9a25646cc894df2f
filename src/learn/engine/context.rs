//! Cached prefills: constant keys and values, and the answer rows that follow them.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::forward::{self, Block, Rows};
use super::{Factors, hidden};
use crate::Result;
use crate::mask::Window;
use crate::model::config::Config;
use crate::model::decoder::{Decoder, PrefillHooks};

/// Keys (after rotation) and values of consecutive tokens in every layer, in f16 as a deployed cache stores them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    tokens: usize,
    /// Per layer: keys and values, each `[tokens, kv_heads, head_dim]`.
    layers: Vec<[Vec<f16>; 2]>,
}

impl Context {
    /// The exact prefill of a prompt.
    pub fn prefill(decoder: &Decoder, tokens: &[u32]) -> Result<Self> {
        let mut context = Self { tokens: tokens.len(), layers: Vec::with_capacity(decoder.config().layers) };
        let hooks = PrefillHooks {
            chunk: PrefillHooks::CHUNK,
            progress: &mut |_| Ok(()),
            keep_going: &|| Ok(()),
            observe: &mut |view| context.layers.push([narrow(&view.k), narrow(&view.v)]),
        };
        decoder.prefill(tokens, &mut [], hooks)?;
        Ok(context)
    }

    /// Tokens whose keys and values are held.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.layers.iter().flatten().map(|rows| rows.len() * 2).sum()
    }

    /// Appends the rows of one KV head in f32: keys, then values.
    pub(super) fn head(&self, config: &Config, layer: usize, kv_head: usize, out: [&mut Vec<f32>; 2]) {
        let d = config.head_dim;
        let Some(layer) = self.layers.get(layer) else { return };
        for (rows, out) in layer.iter().zip(out) {
            let start = out.len();
            out.resize(start + self.tokens * d, 0.0);
            for (row, out) in rows.chunks_exact(config.kv_width()).zip(out[start..].chunks_exact_mut(d)) {
                row[kv_head * d..(kv_head + 1) * d].convert_to_f32_slice(out);
            }
        }
    }
}

fn narrow(rows: &[f32]) -> Vec<f16> {
    let mut out = vec![f16::ZERO; rows.len()];
    out.convert_from_f32_slice(rows);
    out
}

/// One question on a shared context: its own tokens, exact and constant, and the answer rows after them.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    pub(super) tail: Context,
    pub(super) answer: Vec<u32>,
    pub(super) target: Vec<f32>,
}

impl Branch {
    /// The answer's tokens, one per row; each is fed and the next one predicted.
    pub fn answer(&self) -> &[u32] {
        &self.answer
    }

    /// The teacher's normalised hidden states, `[rows, hidden]`.
    pub fn target(&self) -> &[f32] {
        &self.target
    }
}

/// A cached prefill with one or more branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub(super) prefix: Context,
    pub(super) branches: Vec<Branch>,
}

impl Sample {
    /// Prefills `prefix` exactly, then every branch's (question, answer); the teacher's hidden states of the answer rows come from
    /// exact attention over the same stored keys and values.
    pub fn new(decoder: &Decoder, prefix: &[u32], branches: &[(Vec<u32>, Vec<u32>)]) -> Result<Self> {
        let layers = decoder.config().layers;
        let exact = Factors::whole(decoder.config().mask_shape());
        let mut sample = Self { prefix: Context::prefill(decoder, prefix)?, branches: Vec::new() };
        let questions: Vec<Vec<u32>> = branches.iter().map(|(question, _)| question.clone()).collect();
        let mut tails = vec![Context { tokens: 0, layers: Vec::with_capacity(layers) }; branches.len()];
        if questions.iter().any(|question| !question.is_empty()) {
            let empty = Context::default();
            let blocks = questions.iter().map(|tokens| Block { contexts: [&sample.prefix, &empty], tokens });
            let rows = Rows::new(decoder, blocks.collect());
            let width = decoder.config().kv_width();
            let mut keep = |_: usize, k: &[f32], v: &[f32]| {
                let mut first = 0;
                for (tail, question) in tails.iter_mut().zip(&questions) {
                    let range = first * width..(first + question.len()) * width;
                    tail.layers.push([narrow(&k[range.clone()]), narrow(&v[range])]);
                    tail.tokens = question.len();
                    first += question.len();
                }
            };
            forward::run(decoder, Window::default(), &exact, &rows, None, &mut keep)?;
        }
        for ((_, answer), tail) in branches.iter().zip(tails) {
            sample.branches.push(Branch { tail, answer: answer.clone(), target: Vec::new() });
        }
        let states = hidden(decoder, Window::default(), &exact, &sample)?;
        let mut states = states.as_slice();
        for branch in &mut sample.branches {
            let (own, rest) = states.split_at(branch.answer.len() * decoder.config().hidden);
            branch.target = own.to_vec();
            states = rest;
        }
        Ok(sample)
    }

    /// The branches.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// Answer rows of all branches.
    pub fn rows(&self) -> usize {
        self.branches.iter().map(|branch| branch.answer.len()).sum()
    }

    /// Tokens of the shared prefix.
    pub fn prefix_tokens(&self) -> usize {
        self.prefix.tokens
    }

    /// Bytes held: keys, values and targets.
    pub fn bytes(&self) -> usize {
        let branch = |branch: &Branch| branch.tail.bytes() + branch.target.len() * 4;
        self.prefix.bytes() + self.branches.iter().map(branch).sum::<usize>()
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = f32> {
        self.branches.iter().flat_map(|branch| branch.target.iter().copied())
    }
}
