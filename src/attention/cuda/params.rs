//! The structures that kernels read, as declared in `kernels/cuda/layout.cuh`. Every simulated
//! launch compares their sizes.

use bytemuck::{Pod, Zeroable};

use crate::element::Dtype;

/// `HeadLayout`: one KV head of one layer in every slab.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct HeadLayout {
    /// Keys `[SLAB][padded]`, bytes from the slab's start; of a coded head its tiles.
    pub keys: u64,
    /// Values `[SLAB][head_dim]`, bytes from the slab's start; of a coded head the scales of its
    /// keys.
    pub values: u64,
    /// Address of the kept channels, `padded` bytes.
    pub channels: u64,
    /// Channels kept; 0 drops the head.
    pub kept: u32,
    /// `kept` rounded up to a multiple of 8, of a coded head to one of 16.
    pub padded: u32,
    /// Bytes of a coded tile of 16 tokens; 0 where everything is at the element type.
    pub tile: u32,
    /// Bytes from a coded tile's start to its values.
    pub tile_values: u32,
    /// K channels of 16, 8, 4 and 2 bits of a coded head.
    pub widths: [u16; 4],
    /// Bits of V of a coded head.
    pub v_bits: u16,
    /// Channels of V of a coded head that share a scale.
    pub v_group: u16,
    /// Middle tokens of a K channel of a coded head that share a scale.
    pub group: u32,
}

/// `SequenceState`: the location and number of one sequence's keys and values.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct SequenceState {
    /// Address of the window.
    pub window: u64,
    /// Address of the slabs' addresses.
    pub slabs: u64,
    /// Address of the head layouts.
    pub heads: u64,
    /// Tokens, the current one included.
    pub len: u32,
    /// Tokens of the middle.
    pub middle: u32,
    /// How many of them came into the middle with the current token.
    pub moved: u32,
    /// Slots of the sink.
    pub sink: u32,
    /// Slots of the ring behind it.
    pub ring: u32,
    /// Not 0 once a key or value is stored as no finite number.
    pub misfits: u32,
}

/// `WorkItem`: what one block of the decode kernel reads.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct WorkItem {
    /// Index in the batch.
    pub sequence: u32,
    /// KV head.
    pub kv_head: u16,
    /// [`WINDOW`] or [`MIDDLE`].
    pub part: u16,
    /// First row of the part.
    pub first: u32,
    /// Row after the last one; it may lie past the last token of the part.
    pub end: u32,
}

/// The part of a cache outside the middle.
pub const WINDOW: u16 = 0;
/// The pruned part.
pub const MIDDLE: u16 = 1;

/// `DecodeParams`: attention of one layer's work items.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct DecodeParams {
    /// Address of queries after RoPE, `[sequences, heads, head_dim]`.
    pub q: u64,
    /// Address of the states.
    pub states: u64,
    /// Address of the layer's items.
    pub items: u64,
    /// Address of the number of items.
    pub count: u64,
    /// Address of the items' results.
    pub partials: u64,
    /// Layer.
    pub layer: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads per KV head.
    pub group: u32,
    /// `log2(e) / sqrt(head_dim)`.
    pub scale: f32,
}

/// `Numbers`: rows of numbers in a device's memory. The default is none.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Numbers {
    /// Address; 0 where there are none.
    pub address: u64,
    /// Numbers from row to row.
    pub stride: u32,
    /// Element type: 0 is f32, 1 f16, 2 bf16.
    pub kind: u32,
}

impl Numbers {
    /// Rows that follow each other by `stride` numbers.
    pub fn new(address: u64, stride: usize, dtype: Dtype) -> Self {
        let kind = match dtype {
            Dtype::F32 => 0,
            Dtype::F16 => 1,
            Dtype::Bf16 => 2,
        };
        Self { address, stride: stride as u32, kind }
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self.kind {
            0 => Dtype::F32,
            1 => Dtype::F16,
            _ => Dtype::Bf16,
        }
    }

    /// The same rows from a column on.
    pub fn from_column(self, column: usize) -> Self {
        Self { address: self.address + (column * self.dtype().bytes()) as u64, ..self }
    }
}

/// `CombineParams`: the merge of the items of every query head.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct CombineParams {
    /// Address of the items' results.
    pub partials: u64,
    /// Address of each head's first item, and the end.
    pub ranges: u64,
    /// Output, `[sequences, heads * head_dim]`.
    pub out: Numbers,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads per KV head.
    pub group: u32,
}

/// `Projection`: queries, keys or values of one token of each sequence, as a product gave them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct Projection {
    /// `[sequences, heads * head_dim]`.
    pub rows: Numbers,
    /// Address of a bias, f32 `[heads * head_dim]`, or 0.
    pub bias: u64,
    /// Address of the weights of an RMS norm, f32 `[span]`, or 0.
    pub norm: u64,
    /// Channels that are normed together: those of a head, or all.
    pub span: u32,
    /// Unused.
    pub pad: u32,
}

/// `AppendParams`: the new token of every sequence: its queries are rotated, its key is rotated and
/// appended, and its value is appended. A batch fills in what it knows: from `states` on, but for
/// `eps` and `factor`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct AppendParams {
    /// Queries.
    pub q: Projection,
    /// Keys.
    pub k: Projection,
    /// Values; they have no norm.
    pub v: Projection,
    /// Address of cosines of the tokens' rotation, f32 `[sequences, head_dim / 2]`.
    pub cos: u64,
    /// Address of the sines.
    pub sin: u64,
    /// Address of the rotated queries times `factor`, `[sequences, heads, head_dim]` in the cache's
    /// type.
    pub out: u64,
    /// Address of the states.
    pub states: u64,
    /// Layer.
    pub layer: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads per KV head.
    pub group: u32,
    /// Channels.
    pub head_dim: u32,
    /// Epsilon of the norms.
    pub eps: f32,
    /// Factor of the queries.
    pub factor: f32,
    /// Infinity in the cache's type: all bits of its exponent.
    pub infinity: u32,
    /// Unused.
    pub pad: u32,
}

/// `BranchParams`: the end of one branch of a block and the start of the next. `x += factor *
/// after(delta + bias)`, then `out = before(x)`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct BranchParams {
    /// Address of the residual stream, f32 `[rows, width]`; read and written.
    pub x: u64,
    /// What a branch adds to it, `[rows, width]`.
    pub delta: Numbers,
    /// Address of a bias of `delta`, f32 `[width]`, or 0.
    pub bias: u64,
    /// Address of the weights of the RMS norm of what is added, f32 `[width]`, or 0.
    pub after: u64,
    /// Address of token ids, u32 `[rows]`: `x` becomes these rows of `table` times `factor`, and
    /// nothing is added; or 0.
    pub tokens: u64,
    /// The embedding, `[vocab, width]`.
    pub table: Numbers,
    /// Address of the weights of the RMS norm of `x`, f32 `[width]`, or 0.
    pub before: u64,
    /// `[rows, width]`.
    pub out: Numbers,
    /// Width of the residual stream.
    pub width: u32,
    /// Factor of what is added, or of the embedding.
    pub factor: f32,
    /// Epsilon of the norms.
    pub eps: f32,
    /// Unused.
    pub pad: u32,
}

/// `GateParams`: `out = activation(gate) * up`, `[rows, width]` each.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct GateParams {
    /// What the activation takes.
    pub gate: Numbers,
    /// What its result is multiplied by.
    pub up: Numbers,
    /// The products.
    pub out: Numbers,
    /// Address of biases of gate and up, f32 `[2, width]`, or 0.
    pub bias: u64,
    /// Width of the MLP.
    pub width: u32,
    /// [`SILU`] or [`GELU_TANH`].
    pub activation: u32,
}

/// `x / (1 + e^-x)`.
pub const SILU: u32 = 0;
/// GELU with the tanh approximation.
pub const GELU_TANH: u32 = 1;

/// `RebuildParams`: one sequence from keys and values of all its tokens.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RebuildParams {
    /// Address of a dense sequence's state to read from, or 0.
    pub source: u64,
    /// Without a source: address of all keys, `[tokens, kv_heads, head_dim]`.
    pub k: u64,
    /// Without a source: address of all values.
    pub v: u64,
    /// Address of the state to fill.
    pub state: u64,
    /// First layer.
    pub layer: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Channels.
    pub head_dim: u32,
    /// 1 if the middle is in place already.
    pub keep_middle: u32,
    /// Infinity in the element type: all bits of its exponent.
    pub infinity: u32,
    /// Unused.
    pub pad: u32,
}

/// `PrefillParams`: attention of a part of a prompt over the rows of one layer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct PrefillParams {
    /// Address of queries after RoPE, `[queries, heads, head_dim]`.
    pub q: u64,
    /// Address of keys after RoPE, `[first + queries, kv_heads, head_dim]`.
    pub k: u64,
    /// Address of values, `[first + queries, kv_heads, head_dim]`.
    pub v: u64,
    /// Address of the output, `[queries, heads, head_dim]`.
    pub out: u64,
    /// Position of the first query's token.
    pub first: u32,
    /// Tokens.
    pub queries: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads per KV head.
    pub group: u32,
    /// Keys that a token sees, its own included; 1 to 2^31 - 1.
    pub window: u32,
    /// `log2(e) / sqrt(head_dim)`.
    pub scale: f32,
    /// `log2(e)` times the soft cap of scores, or 0.
    pub cap: f32,
    /// `2 log2(e) scale / cap`, or 0.
    pub steep: f32,
}

/// `ActivityParams`: live importance of one layer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct ActivityParams {
    /// Address of queries after RoPE, `[heads, head_dim]`.
    pub q: u64,
    /// Address of the state.
    pub state: u64,
    /// Address of sums, `[kv_heads, splits, head_dim]`.
    pub sums: u64,
    /// Address of the result, f32 `[kv_heads, head_dim]`.
    pub out: u64,
    /// Layer.
    pub layer: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads per KV head.
    pub group: u32,
    /// Channels.
    pub head_dim: u32,
    /// Parts of the middle that are summed separately.
    pub splits: u32,
    /// Unused.
    pub pad: u32,
}
