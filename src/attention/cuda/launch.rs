//! Kernels, grids, blocks and shared memory, computed here once for the simulator and for a GPU.

use half::{bf16, f16};

use super::params::{
    ActivityParams, AppendParams, BranchParams, CombineParams, DecodeParams, GateParams, Numbers,
    PrefillParams, RebuildParams,
};
use super::prompt::PrefillKernel;
use crate::attention::AttentionScale;
use crate::element::Dtype;
use crate::mask::Shape;
use crate::{Error, Result};

/// Head sizes that the kernels are compiled for.
pub const HEAD_DIMS: [usize; 6] = [64, 80, 96, 112, 128, 256];
/// Query heads of an octet: the short side of a tensor core's product.
const OCTET: usize = 8;
/// Most query heads per KV head.
pub const MOST_GROUP: usize = 2 * OCTET;
/// Rows of a tile, which one warp works on.
pub const TILE: usize = 16;
/// Tokens per block of the rebuild kernel.
const REBUILD_TOKENS: usize = 32;
/// Middle tokens per block of the kernel that codes a whole middle.
const CODED_TOKENS: usize = 64;
/// Threads of the kernels that only copy.
const STORE_THREADS: u32 = 128;
/// Threads of the kernel between two branches; its shared memory holds two numbers per warp.
const BRANCH_THREADS: u32 = 512;
/// Threads of the kernel of gates.
const GATE_THREADS: u32 = 128;
/// Numbers that one of them takes at once.
const GATE_NUMBERS: usize = 8;
/// Threads of the kernels of live importance; at least the largest head.
const ACTIVITY_THREADS: u32 = 256;

/// Element type, KV heads, group and head size of a launch; only those that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelShape {
    dtype: Dtype,
    kv_heads: usize,
    group: usize,
    head_dim: usize,
}

/// An entry point of `kernels/cuda/kscope.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Attention of one work item.
    Decode(DecodeKernel),
    /// Merge of a query head's items.
    Combine(usize),
    /// Attention of a part of a prompt.
    Prefill(PrefillKernel),
    /// Rotated queries; the new token into the window, a chunk into the middle.
    Append(Dtype),
    /// The end of a branch and the start of the next.
    Branch,
    /// The gate of an MLP.
    Gate,
    /// A whole sequence from full keys and values, but for codes.
    Rebuild,
    /// The codes of a whole sequence from full keys and values.
    CodeMiddle,
    /// Sums of |k|.
    ActivitySums(Dtype),
    /// Live importance from the sums.
    ActivityMeans(Dtype),
}

/// What a kernel of decode attention is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecodeKernel {
    /// Element type.
    pub dtype: Dtype,
    /// Channels per head.
    pub head_dim: usize,
    /// Most query heads per KV head: 8 or 16.
    pub heads: usize,
    /// Whether the middle may hold codes.
    pub coded: bool,
}

/// Bytes of a stage of codes: a tile of keys and values of 8 bits, with scale and minimum for every
/// channel of the keys and for every 32 channels of a value. Larger tiles take both stages of a warp.
pub(super) fn code_stage(head_dim: usize) -> usize {
    TILE * 2 * head_dim + 4 * head_dim + TILE * head_dim / 8
}

impl DecodeKernel {
    /// The one for groups of this many query heads, over a middle that may hold codes or not.
    pub fn new(dtype: Dtype, head_dim: usize, group: usize, coded: bool) -> Self {
        Self { dtype, head_dim, heads: group.next_multiple_of(OCTET), coded }
    }

    fn all() -> impl Iterator<Item = Self> {
        let of = |dtype, head_dim| {
            [(OCTET, false), (OCTET, true), (MOST_GROUP, false), (MOST_GROUP, true)]
                .map(|(heads, coded)| Self::new(dtype, head_dim, heads, coded))
        };
        [Dtype::F16, Dtype::Bf16]
            .into_iter()
            .flat_map(move |dtype| HEAD_DIMS.into_iter().flat_map(move |d| of(dtype, d)))
    }

    /// Bytes from row to row in shared memory: an odd number of 16-byte units.
    fn pitch(self) -> usize {
        ((self.head_dim / 8) | 1) * 16
    }

    fn warps(self) -> usize {
        if self.head_dim > 128 { 2 } else { 4 }
    }

    /// Per warp two stages of 16 keys and 16 values with all channels, or one such tile, keys
    /// channel by channel, and two stages of codes, whichever is more; then, for more than one
    /// octet, the queries.
    fn shared_bytes(self) -> usize {
        let queries = if self.heads > OCTET { self.heads } else { 0 };
        let plain = 2 * TILE * 2 * self.pitch();
        let wide = TILE * (2 * self.head_dim + self.pitch());
        let warp = match self.coded {
            true => plain.max(wide + 2 * code_stage(self.head_dim)),
            false => plain,
        };
        self.warps() * warp + queries * self.pitch()
    }
}

impl Kernel {
    /// All entry points.
    pub fn all() -> impl Iterator<Item = Self> {
        let halves = [Dtype::F16, Dtype::Bf16];
        let combine = HEAD_DIMS.map(Self::Combine);
        let store = [Self::Branch, Self::Gate, Self::Rebuild, Self::CodeMiddle];
        let store = halves.map(Self::Append).into_iter().chain(store);
        let prefill = PrefillKernel::all().map(Self::Prefill);
        let activity = halves
            .into_iter()
            .flat_map(|dtype| [Self::ActivitySums(dtype), Self::ActivityMeans(dtype)]);
        let decode = DecodeKernel::all().map(Self::Decode).chain(combine);
        decode.chain(prefill).chain(store).chain(activity)
    }

    /// The name of the entry point.
    pub fn name(self) -> String {
        match self {
            Self::Decode(DecodeKernel { dtype, head_dim, heads, coded }) => {
                let coded = if coded { "_coded" } else { "" };
                format!("decode_{dtype}_{head_dim}_{heads}{coded}")
            }
            Self::Combine(head_dim) => format!("combine_{head_dim}"),
            Self::Append(dtype) => format!("append_{dtype}"),
            Self::Branch => "next_branch".to_owned(),
            Self::Gate => "gate_rows".to_owned(),
            Self::Prefill(PrefillKernel { dtype, head_dim }) => {
                format!("prefill_{dtype}_{head_dim}")
            }
            Self::Rebuild => "rebuild_cache".to_owned(),
            Self::CodeMiddle => "code_middle_tokens".to_owned(),
            Self::ActivitySums(dtype) => format!("activity_sums_{dtype}"),
            Self::ActivityMeans(dtype) => format!("activity_means_{dtype}"),
        }
    }

    /// Bytes of dynamic shared memory per block. The merge holds the sums and weights of its teams,
    /// and the largest score of each warp.
    pub fn shared_bytes(self) -> usize {
        match self {
            Self::Decode(kernel) => kernel.shared_bytes(),
            Self::Prefill(kernel) => kernel.shared_bytes(),
            Self::Branch => 2 * (BRANCH_THREADS as usize / 32) * size_of::<f32>(),
            Self::Combine(head_dim) => {
                let threads = self.threads() as usize;
                let teams = threads / (head_dim / 2);
                (teams * head_dim + teams + threads / 32) * size_of::<f32>()
            }
            _ => 0,
        }
    }

    /// Threads per block.
    pub fn threads(self) -> u32 {
        match self {
            Self::Decode(kernel) => kernel.warps() as u32 * 32,
            Self::Combine(head_dim) => {
                if head_dim > 64 {
                    512
                } else {
                    256
                }
            }
            Self::Prefill(_) => PrefillKernel::THREADS,
            Self::Append(_) | Self::Rebuild | Self::CodeMiddle => STORE_THREADS,
            Self::Branch => BRANCH_THREADS,
            Self::Gate => GATE_THREADS,
            Self::ActivitySums(_) | Self::ActivityMeans(_) => ACTIVITY_THREADS,
        }
    }

    /// Blocks of this kernel that the compiler makes fit the registers of one multiprocessor (the
    /// second launch bound). Where a multiprocessor has less shared memory, fewer fit: see
    /// [`Device::blocks`](super::Device::blocks).
    pub fn resident_blocks(self) -> usize {
        match self {
            Self::Decode(_) => 3,
            Self::Prefill(_) => PrefillKernel::RESIDENT,
            _ => 1,
        }
    }
}

/// The parameter structure of a launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Params {
    /// Parameters of [`Kernel::Decode`].
    Decode(DecodeParams),
    /// Parameters of [`Kernel::Combine`].
    Combine(CombineParams),
    /// Parameters of [`Kernel::Prefill`].
    Prefill(PrefillParams),
    /// Parameters of [`Kernel::Append`].
    Append(AppendParams),
    /// Parameters of [`Kernel::Branch`].
    Branch(BranchParams),
    /// Parameters of [`Kernel::Gate`].
    Gate(GateParams),
    /// Parameters of [`Kernel::Rebuild`] and [`Kernel::CodeMiddle`].
    Rebuild(RebuildParams),
    /// Parameters of [`Kernel::ActivitySums`] and [`Kernel::ActivityMeans`].
    Activity(ActivityParams),
}

impl Params {
    /// The structure's bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Decode(params) => bytemuck::bytes_of(params),
            Self::Combine(params) => bytemuck::bytes_of(params),
            Self::Prefill(params) => bytemuck::bytes_of(params),
            Self::Append(params) => bytemuck::bytes_of(params),
            Self::Branch(params) => bytemuck::bytes_of(params),
            Self::Gate(params) => bytemuck::bytes_of(params),
            Self::Rebuild(params) => bytemuck::bytes_of(params),
            Self::Activity(params) => bytemuck::bytes_of(params),
        }
    }
}

/// One launch, ready for a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Launch {
    /// The kernel; it determines threads and shared memory.
    pub kernel: Kernel,
    /// Blocks along x, y and z, none of them 0.
    pub grid: [u32; 3],
    /// The kernel's parameters.
    pub params: Params,
}

impl Launch {
    /// The end of one branch and the start of the next, for `rows` tokens.
    pub fn branch(rows: usize, params: BranchParams) -> Self {
        Self { kernel: Kernel::Branch, grid: [rows as u32, 1, 1], params: Params::Branch(params) }
    }

    /// The gate of an MLP, for `rows` tokens.
    pub fn gate(rows: usize, params: GateParams) -> Self {
        let blocks = (params.width as usize).div_ceil(GATE_THREADS as usize * GATE_NUMBERS);
        Self {
            kernel: Kernel::Gate,
            grid: [blocks as u32, rows as u32, 1],
            params: Params::Gate(params),
        }
    }
}

impl KernelShape {
    /// Refuses what there is no kernel for, naming it. `heads` is the number of query heads of a
    /// layer.
    pub fn new(shape: Shape, heads: usize, dtype: Dtype) -> Result<Self> {
        let Shape { kv_heads, head_dim, .. } = shape;
        if !HEAD_DIMS.contains(&head_dim) {
            let known = HEAD_DIMS.map(|known| known.to_string()).join(", ");
            return Err(Error::input(format!(
                "--device cuda has kernels for head_dim {known}, not {head_dim}"
            )));
        }
        if heads == 0 || !heads.is_multiple_of(kv_heads) || heads / kv_heads > MOST_GROUP {
            return Err(Error::input(format!(
                "--device cuda has kernels for 1 to {MOST_GROUP} query heads per KV head, not {heads} on {kv_heads}"
            )));
        }
        if dtype == Dtype::F32 {
            return Err(Error::input(
                "--device cuda stores keys and values as f16 or bf16, not f32: give --kv-dtype f16 or bf16",
            ));
        }
        Ok(Self { dtype, kv_heads, group: heads / kv_heads, head_dim })
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// KV heads.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Query heads per KV head.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Channels per head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// The kernel of decode attention, over a middle that may hold codes or not.
    pub fn decode_kernel(&self, coded: bool) -> Kernel {
        Kernel::Decode(DecodeKernel::new(self.dtype, self.head_dim, self.group, coded))
    }

    /// Numbers (f32) that the decode kernel writes per item: per query head the largest score, the
    /// sum of weights, and the weighted values.
    pub fn partial_len(&self) -> usize {
        self.group * (self.head_dim + 2)
    }

    /// Launches attention of the items at `items`, whose number is at `count`, with `blocks` blocks
    /// of a [`Self::decode_kernel`] that take items in turn.
    pub(super) fn decode(
        &self,
        layer: usize,
        (kernel, blocks): (Kernel, usize),
        [q, states, items, count, partials]: [u64; 5],
    ) -> Launch {
        let params = DecodeParams {
            q,
            states,
            items,
            count,
            partials,
            layer: layer as u32,
            kv_heads: self.kv_heads as u32,
            group: self.group as u32,
            scale: AttentionScale::of(self.head_dim).base_two(),
        };
        Launch { kernel, grid: [blocks as u32, 1, 1], params: Params::Decode(params) }
    }

    /// Launches the merge of the items of every query head.
    pub(super) fn combine(
        &self,
        sequences: usize,
        [partials, ranges]: [u64; 2],
        out: Numbers,
    ) -> Launch {
        let (kv_heads, group) = (self.kv_heads as u32, self.group as u32);
        Launch {
            kernel: Kernel::Combine(self.head_dim),
            grid: [kv_heads * group, sequences as u32, 1],
            params: Params::Combine(CombineParams { partials, ranges, out, kv_heads, group }),
        }
    }

    /// Launches the rotation and the append of every sequence's new token.
    pub(super) fn append(
        &self,
        layer: usize,
        (sequences, states): (usize, u64),
        token: AppendParams,
    ) -> Launch {
        let params = AppendParams {
            states,
            layer: layer as u32,
            kv_heads: self.kv_heads as u32,
            group: self.group as u32,
            head_dim: self.head_dim as u32,
            infinity: self.infinity(),
            ..token
        };
        Launch {
            kernel: Kernel::Append(self.dtype),
            grid: [params.kv_heads, sequences as u32, 1],
            params: Params::Append(params),
        }
    }

    /// Launches the rebuild of one sequence of `len` tokens, for `layers` layers from the first one
    /// on.
    pub(super) fn rebuild(&self, len: usize, layers: usize, params: RebuildParams) -> Launch {
        self.fill(Kernel::Rebuild, len.div_ceil(REBUILD_TOKENS), layers, params)
    }

    /// Launches the coding of `middle` tokens, at least one, as [`Self::rebuild`] does.
    pub(super) fn code_middle(
        &self,
        middle: usize,
        layers: usize,
        params: RebuildParams,
    ) -> Launch {
        self.fill(Kernel::CodeMiddle, middle.div_ceil(CODED_TOKENS), layers, params)
    }

    fn fill(&self, kernel: Kernel, blocks: usize, layers: usize, params: RebuildParams) -> Launch {
        Launch {
            kernel,
            grid: [blocks as u32, self.kv_heads as u32, layers as u32],
            params: Params::Rebuild(RebuildParams {
                kv_heads: self.kv_heads as u32,
                head_dim: self.head_dim as u32,
                infinity: self.infinity(),
                ..params
            }),
        }
    }

    /// Infinity in the element type: all bits of its exponent.
    fn infinity(&self) -> u32 {
        match self.dtype {
            Dtype::Bf16 => bf16::INFINITY.to_bits().into(),
            _ => f16::INFINITY.to_bits().into(),
        }
    }

    /// Launches live importance of one layer of one sequence: sums, then means.
    pub(super) fn activity(
        &self,
        layer: usize,
        splits: usize,
        [q, state, sums, out]: [u64; 4],
    ) -> [Launch; 2] {
        let (kv_heads, group, head_dim) =
            (self.kv_heads as u32, self.group as u32, self.head_dim as u32);
        let (layer, splits) = (layer as u32, splits as u32);
        let params = Params::Activity(ActivityParams {
            q,
            state,
            sums,
            out,
            layer,
            kv_heads,
            group,
            head_dim,
            splits,
            pad: 0,
        });
        [
            Launch {
                kernel: Kernel::ActivitySums(self.dtype),
                grid: [kv_heads, splits, 1],
                params,
            },
            Launch { kernel: Kernel::ActivityMeans(self.dtype), grid: [kv_heads, 1, 1], params },
        ]
    }
}
