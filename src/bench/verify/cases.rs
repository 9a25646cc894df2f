//! The configurations whose kernels are compared with the oracle.

use crate::Result;
use crate::attention::cuda::{HEAD_DIMS, KernelShape, MOST_GROUP};
use crate::element::Dtype;
use crate::mask::{Shape, Window};

/// Layers of every case: two, so that wrong layer offsets show.
pub(super) const LAYERS: usize = 2;

/// What happens to the sequences before the last comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// A prompt, then decode steps.
    Decode,
    /// The prompt in a dense sequence; the pruned ones are gathered from it, then decode steps.
    Retune,
    /// A prompt, decode steps, a rewind by this number of tokens that takes full keys from the
    /// dense sequence, then decode steps again.
    Rewind(usize),
    /// A prompt and decode steps; then every pruned sequence is freed and made anew from the dense
    /// one with other kept counts, and once more with the first ones, each time in the same batch
    /// and likely at the same addresses, with decode steps after each.
    Remask,
}

/// What the pruned sequences store of the channels that they keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// Elements: a mask.
    Elements,
    /// 8 bits, of values too.
    Eight,
    /// Any width for each channel, and one for each head's values.
    Mixed,
}

/// One configuration that is run and compared.
#[derive(Debug, Clone)]
pub struct Case {
    /// Channels per head.
    pub head_dim: usize,
    /// Query heads per KV head.
    pub group: usize,
    /// KV heads.
    pub kv_heads: usize,
    /// Element type.
    pub dtype: Dtype,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Prompt tokens of each sequence.
    pub prompts: Vec<usize>,
    /// Kept channels of the heads, taken in turn over sequences, layers and heads.
    pub counts: Vec<usize>,
    /// What is stored of them.
    pub bits: Bits,
    /// Decode steps.
    pub steps: usize,
    /// What happens to the sequences.
    pub story: Story,
    /// Seed of everything random.
    pub seed: u64,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Window { sink, recent, chunk } = self.window;
        write!(
            f,
            "{} d {} group {} x {} KV heads, kept {:?} as {:?}, window {sink}/{recent}/{chunk}, prompts {:?} + {} steps, {:?}, seed {}",
            self.dtype,
            self.head_dim,
            self.group,
            self.kv_heads,
            self.counts,
            self.bits,
            self.prompts,
            self.steps,
            self.story,
            self.seed
        )
    }
}

impl Case {
    /// A case with the ordinary window, two ragged sequences and odd kept counts.
    pub fn new(head_dim: usize, group: usize, dtype: Dtype) -> Self {
        Self {
            head_dim,
            group,
            kv_heads: 2,
            dtype,
            window: Window { sink: 4, recent: 40, chunk: 16 },
            prompts: vec![150, 71],
            counts: vec![head_dim * 3 / 10, 0, head_dim, 8, head_dim / 2 + 3],
            bits: Bits::Elements,
            steps: 2,
            story: Story::Decode,
            seed: (head_dim * 100 + group) as u64,
        }
    }

    pub(super) fn shape(&self) -> Shape {
        Shape { layers: LAYERS, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// Query heads of a layer.
    pub(super) fn heads(&self) -> usize {
        self.group * self.kv_heads
    }

    pub(super) fn geometry(&self) -> Result<KernelShape> {
        KernelShape::new(self.shape(), self.heads(), self.dtype)
    }
}

/// Cases of caches with codes.
fn coded_cases(dtype: Dtype) -> Vec<Case> {
    let window = |sink, recent, chunk| Window { sink, recent, chunk };
    let base = Case {
        bits: Bits::Eight,
        window: window(4, 40, 64),
        prompts: vec![300, 71],
        ..Case::new(64, 3, dtype)
    };
    let mut cases = Vec::new();
    for head_dim in HEAD_DIMS {
        for (group, bits) in
            [(1, Bits::Eight), (8, Bits::Mixed), (4, Bits::Mixed), (13, Bits::Eight)]
        {
            let counts = Case::new(head_dim, group, dtype).counts;
            let seed = (head_dim * 100 + group) as u64;
            cases.push(Case { head_dim, group, bits, counts, seed, ..base.clone() });
        }
    }
    cases.extend([
        // A chunk is coded while it decodes; groups of 16 and of 32 tokens; a slab is opened.
        Case { prompts: vec![107, 300], steps: 70, counts: vec![64, 19], ..base.clone() },
        Case {
            window: window(3, 20, 16),
            prompts: vec![280, 40],
            steps: 20,
            bits: Bits::Mixed,
            counts: vec![64, 24, 0],
            ..base.clone()
        },
        Case { window: window(0, 0, 32), prompts: vec![33, 95], steps: 35, ..base.clone() },
        Case {
            window: window(4, 8, 48),
            prompts: vec![99, 300],
            bits: Bits::Mixed,
            ..base.clone()
        },
        // A chunk of several blocks of tokens.
        Case { window: window(4, 8, 192), prompts: vec![203, 500], steps: 3, ..base.clone() },
        // Every count of channels, at any widths.
        Case {
            kv_heads: 4,
            bits: Bits::Mixed,
            counts: (1..=64).collect(),
            prompts: vec![150; 8],
            steps: 1,
            ..base.clone()
        },
        Case { story: Story::Retune, prompts: vec![331, 80], steps: 3, ..base.clone() },
        Case {
            story: Story::Retune,
            bits: Bits::Mixed,
            head_dim: 128,
            group: 4,
            counts: vec![32, 0, 128, 41],
            ..base.clone()
        },
        Case { story: Story::Rewind(50), prompts: vec![290], steps: 5, ..base.clone() },
        Case { story: Story::Rewind(1), prompts: vec![100], steps: 20, ..base.clone() },
        Case { story: Story::Remask, bits: Bits::Mixed, counts: vec![0, 40, 64], ..base },
    ]);
    cases
}

/// The cases that the tests run on the simulator and that `kscope selftest` repeats on a GPU.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [Dtype::Bf16, Dtype::F16] {
        for head_dim in HEAD_DIMS {
            cases.extend((1..=MOST_GROUP).map(|group| Case::new(head_dim, group, dtype)));
        }
        let base = Case::new(64, 3, dtype);
        let window = |sink, recent, chunk| Window { sink, recent, chunk };
        cases.extend([
            // Nothing is pruned yet; a single token; a prompt that ends where a chunk moves.
            Case { prompts: vec![1, 30, 43, 59], steps: 3, ..base.clone() },
            // Lengths around the borders of tiles, turns and slabs.
            Case { prompts: vec![15, 16, 17, 63, 64, 65], window: window(0, 8, 8), ..base.clone() },
            Case {
                prompts: vec![300, 299],
                window: window(4, 8, 8),
                steps: 12,
                counts: vec![19, 64],
                ..base.clone()
            },
            // Every count of channels of a small head, and its padding.
            Case {
                kv_heads: 4,
                counts: (1..=64).collect(),
                prompts: vec![90; 8],
                steps: 1,
                ..base.clone()
            },
            // Only dropped heads; only heads that keep everything.
            Case { counts: vec![0], prompts: vec![100, 50], steps: 20, ..base.clone() },
            Case { counts: vec![64], prompts: vec![100, 50], steps: 20, ..base.clone() },
            // Chunks of one token, no recent window, no sink: even the current token is pruned.
            Case {
                window: window(0, 0, 1),
                prompts: vec![40, 3],
                counts: vec![5, 64, 24],
                steps: 4,
                ..base.clone()
            },
            Case {
                window: window(7, 0, 5),
                prompts: vec![40, 9],
                counts: vec![5, 64, 24],
                steps: 12,
                ..base.clone()
            },
            // A head that sees no key at all.
            Case {
                window: window(0, 0, 1),
                counts: vec![0],
                prompts: vec![5],
                steps: 1,
                ..base.clone()
            },
            // A long ring that wraps many times.
            Case { window: window(3, 17, 7), prompts: vec![61], steps: 60, ..base.clone() },
            Case { story: Story::Retune, prompts: vec![331, 80], steps: 3, ..base.clone() },
            Case {
                story: Story::Retune,
                window: window(16, 30, 1),
                head_dim: 128,
                counts: vec![32, 0, 128, 41],
                group: 4,
                ..base.clone()
            },
            Case { story: Story::Rewind(1), prompts: vec![100], steps: 20, ..base.clone() },
            Case { story: Story::Rewind(50), prompts: vec![290], steps: 5, ..base.clone() },
            Case {
                story: Story::Rewind(40),
                window: window(2, 3, 4),
                prompts: vec![60, 41],
                steps: 3,
                ..base.clone()
            },
            // Heads that are dropped in one mask and kept in the next one.
            Case {
                story: Story::Remask,
                counts: vec![0, 40],
                prompts: vec![150, 71],
                ..base.clone()
            },
        ]);
        cases.extend(coded_cases(dtype));
    }
    cases
}
