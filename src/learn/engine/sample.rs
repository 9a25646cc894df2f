//! Samples to learn from: a cached prefill, and the answer rows that follow it.

use half::f16;

use super::context::CachedContext;
use super::distill::{engine, hidden};
use super::factors::Factors;
use super::rows::{Block, Pass, Rows};
use crate::Result;
use crate::mask::Window;
use crate::model::decoder::Decoder;

/// One question on a shared context: its own tokens, which are exact and constant, and the answer
/// rows after them.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    pub(super) tail: CachedContext,
    pub(super) answer: Vec<u32>,
    pub(super) target: Vec<f32>,
}

impl Branch {
    /// The answer's tokens, one per row; each row predicts the next token.
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
    pub(super) prefix: CachedContext,
    pub(super) branches: Vec<Branch>,
}

impl Sample {
    /// Prefills `prefix` exactly, then the (question, answer) of every branch. The teacher's hidden
    /// states of the answer rows come from exact attention over the same stored keys and values.
    pub fn new(
        decoder: &Decoder,
        prefix: &[u32],
        branches: &[(Vec<u32>, Vec<u32>)],
    ) -> Result<Self> {
        let exact = Factors::whole(decoder.config().mask_shape());
        let mut sample =
            Self { prefix: CachedContext::prefill(decoder, prefix)?, branches: Vec::new() };
        let tails = sample.tails(
            decoder,
            &exact,
            branches.iter().map(|(question, _)| question.as_slice()),
        )?;
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

    /// Keys and values of the questions, which follow the prefix and do not see each other.
    fn tails<'q>(
        &self,
        decoder: &Decoder,
        exact: &Factors,
        questions: impl Iterator<Item = &'q [u32]> + Clone,
    ) -> Result<Vec<CachedContext>> {
        let empty = CachedContext::default();
        let blocks = questions.clone().map(|tokens| Block { tail: &empty, tokens }).collect();
        let rows = Rows::new(decoder, &self.prefix, blocks)?;
        let layers = match rows.count {
            0 => Vec::new(),
            _ => engine(decoder).keys_and_values(Pass {
                rows: &rows,
                window: Window::default(),
                factors: exact,
            })?,
        };
        let (width, mut first) = (decoder.config().kv_width(), 0);
        let tail = |question: &[u32]| {
            let own = first * width..(first + question.len()) * width;
            first += question.len();
            let cut = |[k, v]: &[Vec<f16>; 2]| [k[own.clone()].to_vec(), v[own.clone()].to_vec()];
            CachedContext { tokens: question.len(), layers: layers.iter().map(cut).collect() }
        };
        Ok(questions.map(tail).collect())
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

    /// The keys, then the values, of the prefix and of every branch's question in every layer, each
    /// `[tokens, kv_heads, head_dim]`.
    pub fn stored(&self) -> impl Iterator<Item = &[f16]> {
        let contexts =
            std::iter::once(&self.prefix).chain(self.branches.iter().map(|branch| &branch.tail));
        contexts.flat_map(|context| context.layers.iter().flatten().map(Vec::as_slice))
    }

    /// Bytes held: keys, values and targets.
    pub fn bytes(&self) -> usize {
        let branch = |branch: &Branch| branch.tail.bytes() + branch.target.len() * 4;
        self.prefix.bytes() + self.branches.iter().map(branch).sum::<usize>()
    }

    /// The answer rows.
    pub(super) fn answer_rows(&self, decoder: &Decoder) -> Result<Rows<'_>> {
        let blocks =
            self.branches.iter().map(|branch| Block { tail: &branch.tail, tokens: &branch.answer });
        Rows::new(decoder, &self.prefix, blocks.collect())
    }

    /// The targets of all rows, `[rows, hidden]`.
    pub(super) fn targets(&self) -> Vec<f32> {
        self.branches.iter().flat_map(|branch| branch.target.iter().copied()).collect()
    }
}
