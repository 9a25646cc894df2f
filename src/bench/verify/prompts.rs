//! Attention of prompts on a device against a scalar oracle.

use rand::{SeedableRng, rngs::StdRng};

use super::CaseOutcome;
use super::kernels::download;
use super::memory::{difference, numbers, rounded};
use crate::attention::AttentionScale;
use crate::attention::cuda::{Device, HEAD_DIMS, KernelShape, MOST_GROUP, PromptPart};
use crate::element::Dtype;
use crate::mask::Shape;
use crate::{Error, Result};

/// A prompt that is read in parts.
#[derive(Debug, Clone)]
pub struct PromptCase {
    /// Channels per head.
    pub head_dim: usize,
    /// Query heads per KV head.
    pub group: usize,
    /// KV heads.
    pub kv_heads: usize,
    /// Element type.
    pub dtype: Dtype,
    /// Tokens of the parts, one after the other.
    pub parts: Vec<usize>,
    /// Tokens that one attends to.
    pub window: Option<usize>,
    /// The soft cap of scores.
    pub cap: Option<f32>,
    /// Largest query; the largest key is 2.
    pub sharpness: f32,
    /// Seed of everything random.
    pub seed: u64,
}

impl std::fmt::Display for PromptCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { head_dim, group, kv_heads, dtype, parts, window, cap, sharpness, seed } = self;
        write!(
            f,
            "{dtype} d {head_dim} group {group} x {kv_heads} KV heads, prompt in parts of {parts:?}, window {window:?}, cap {cap:?}, queries to {sharpness}, seed {seed}"
        )
    }
}

impl PromptCase {
    /// A prompt of two KV heads in one part.
    pub fn new(head_dim: usize, group: usize, dtype: Dtype) -> Self {
        Self {
            head_dim,
            group,
            kv_heads: 2,
            dtype,
            parts: vec![70],
            window: None,
            cap: None,
            sharpness: 3.0,
            seed: (head_dim * 100 + group) as u64,
        }
    }

    fn heads(&self) -> usize {
        self.group * self.kv_heads
    }

    /// Attention of the tokens from `first` on, in f64, over the rows of all tokens up to the last.
    fn oracle(&self, first: usize, [q, k, v]: [&[f32]; 3]) -> Vec<f32> {
        let (d, heads) = (self.head_dim, self.heads());
        let scale = AttentionScale::of(d).f64();
        let row = |all: &[f32], at: usize| -> Vec<f64> {
            all[at * d..(at + 1) * d].iter().map(|&x| f64::from(x)).collect()
        };
        let mut out = Vec::with_capacity(q.len());
        for at in 0..q.len() / d {
            let (position, head) = (first + at / heads, at % heads);
            let query = row(q, at);
            let seen = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
            let of = |token: usize| token * self.kv_heads + head / self.group;
            let score = |token: usize| -> f64 {
                let key = row(k, of(token));
                let score = query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() * scale;
                self.cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
            };
            let scores: Vec<f64> = (seen..=position).map(score).collect();
            let most = scores.iter().fold(f64::NEG_INFINITY, |most, x| most.max(*x));
            let (mut sums, mut total) = (vec![0.0; d], 0.0);
            for (token, score) in (seen..).zip(scores) {
                let weight = (score - most).exp();
                total += weight;
                let value = row(v, of(token));
                sums.iter_mut().zip(value).for_each(|(sum, x)| *sum += weight * x);
            }
            out.extend(sums.iter().map(|sum| (sum / total) as f32));
        }
        out
    }
}

/// The cases that the tests run on the simulator and that `kscope selftest` repeats on a GPU.
pub fn prompt_cases() -> Vec<PromptCase> {
    let mut cases = Vec::new();
    for dtype in [Dtype::Bf16, Dtype::F16] {
        for head_dim in HEAD_DIMS {
            let base = PromptCase::new(head_dim, 2, dtype);
            cases.extend([
                // One block of tokens and more than one, with a last tile of one key.
                PromptCase { parts: vec![65, 136], seed: 1, ..base.clone() },
                PromptCase { parts: vec![33, 17], window: Some(20), cap: Some(5.0), ..base },
            ]);
        }
        for group in 1..=MOST_GROUP {
            cases.push(PromptCase { parts: vec![9, 11], ..PromptCase::new(64, group, dtype) });
        }
        let base = PromptCase { kv_heads: 1, ..PromptCase::new(64, 3, dtype) };
        // Lengths around the borders of rows, tiles and blocks, alone and after other tokens.
        for tokens in [1, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 200] {
            cases.push(PromptCase { parts: vec![tokens], seed: 3, ..base.clone() });
        }
        for (before, tokens) in [(1, 1), (63, 2), (64, 64), (65, 130), (200, 1), (129, 17)] {
            cases.push(PromptCase { parts: vec![before, tokens], seed: 4, ..base.clone() });
        }
        let wide = PromptCase { head_dim: 128, group: 4, ..base.clone() };
        cases.extend([
            PromptCase { parts: vec![47, 1, 48, 49, 95], ..wide.clone() },
            PromptCase { parts: vec![1; 20], ..base.clone() },
            // Weights of almost one key alone; scores whose largest rises late.
            PromptCase { parts: vec![150], sharpness: 40.0, ..base.clone() },
            PromptCase { parts: vec![150], sharpness: 40.0, cap: Some(30.0), ..wide.clone() },
            // Windows of one token, around a tile, of more than all.
            PromptCase { parts: vec![70, 3], window: Some(1), ..base.clone() },
            PromptCase { parts: vec![200, 30], window: Some(63), ..base.clone() },
            PromptCase { parts: vec![200], window: Some(64), ..base.clone() },
            PromptCase { parts: vec![200], window: Some(65), ..wide.clone() },
            PromptCase { parts: vec![150, 20], window: Some(1000), ..base.clone() },
            // Caps above and below the scores.
            PromptCase { parts: vec![100], cap: Some(0.5), ..base.clone() },
            PromptCase { parts: vec![100], cap: Some(50.0), ..base },
        ]);
    }
    cases
}

/// Rows behind a result that must stay as they are: one block's.
const GUARD_TOKENS: usize = 128;

/// Runs a case part by part. Keys and values of later parts are no numbers until their turn.
pub fn compare_prompt<D: Device>(device: &D, case: &PromptCase) -> Result<CaseOutcome> {
    let mut random = StdRng::seed_from_u64(case.seed);
    let shape = Shape { layers: 1, kv_heads: case.kv_heads, head_dim: case.head_dim };
    let kernels = KernelShape::new(shape, case.heads(), case.dtype)?;
    let (kv_row, q_row) = (case.kv_heads * case.head_dim, case.heads() * case.head_dim);
    let tokens: usize = case.parts.iter().sum();
    let bytes = case.dtype.bytes();
    let mut kv = Vec::new();
    for size in [2.0, 1.0] {
        let rows = rounded(case.dtype, &numbers(&mut random, tokens * kv_row, size));
        let mut memory = device.allocate(rows.len() * bytes)?;
        device.write(&mut memory, 0, &vec![0xff; rows.len() * bytes])?;
        kv.push((rows, memory));
    }
    let allowed = if case.dtype == Dtype::Bf16 { 1e-2 } else { 2e-3 };
    let mut outcome = CaseOutcome { error: 0.0, allowed, compared: 0 };
    let mut first = 0;
    for &tokens in &case.parts {
        for (rows, memory) in &mut kv {
            let part = &rows[first * kv_row..(first + tokens) * kv_row];
            let bits = case.dtype.round_bits(part);
            device.write(memory, first * kv_row * bytes, bytemuck::cast_slice(&bits))?;
        }
        let q = rounded(case.dtype, &numbers(&mut random, tokens * q_row, case.sharpness));
        let mut queries = device.allocate(q.len() * bytes)?;
        device.write(&mut queries, 0, bytemuck::cast_slice(&case.dtype.round_bits(&q)))?;
        let guarded = q.len() + GUARD_TOKENS * q_row;
        let mut out = device.allocate(guarded * bytes)?;
        device.write(&mut out, 0, &vec![0xff; guarded * bytes])?;
        let part = PromptPart { first, tokens, window: case.window, cap: case.cap };
        let addresses = [&queries, &kv[0].1, &kv[1].1, &out].map(|memory| device.address(memory));
        device.launch(&kernels.prefill(part, addresses))?;

        let mut guard = vec![0u8; GUARD_TOKENS * q_row * bytes];
        device.read(&out, q.len() * bytes, &mut guard)?;
        if guard.iter().any(|&byte| byte != 0xff) {
            return Err(Error::run(format!(
                "{case}: token {first}: rows behind the last are written"
            )));
        }
        let found = download(device, case.dtype, &out, q.len())?;
        let expected = case.oracle(first, [&q, &kv[0].0, &kv[1].0]);
        for (at, (found, expected)) in
            found.chunks_exact(case.head_dim).zip(expected.chunks_exact(case.head_dim)).enumerate()
        {
            let error = difference(found, expected);
            if error.is_nan() || error > outcome.allowed {
                return Err(Error::run(format!(
                    "{case}: token {}, head {}: error {error:.2e}",
                    first + at / case.heads(),
                    at % case.heads()
                )));
            }
            outcome.error = outcome.error.max(error);
            outcome.compared += 1;
        }
        first += tokens;
    }
    Ok(outcome)
}
