//! What a GPU would have to do, computed and not measured: bytes, work items and resident blocks of
//! the decode kernel.

use std::sync::Arc;

use super::masks;
use crate::Result;
use crate::attention::cuda::{Balance, DecodeKernel, HEAD_DIMS, Kernel, Layout, Share, plan};
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::mask::{ChannelMask, Shape, Window};

/// Published figures of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct GpuFigures {
    /// The GPU's name.
    pub name: &'static str,
    /// Number of multiprocessors.
    pub multiprocessors: usize,
    /// Shared memory of a multiprocessor in bytes.
    pub shared: usize,
    /// Most threads of a multiprocessor.
    pub threads: usize,
    /// Memory bandwidth in 1e9 bytes per second.
    pub gbps: f64,
}

/// GPUs with known figures, from NVIDIA's data sheets and the CUDA programming guide.
pub const GPUS: [GpuFigures; 4] = [
    GpuFigures {
        name: "H100 SXM",
        multiprocessors: 132,
        shared: 228 << 10,
        threads: 2048,
        gbps: 3350.0,
    },
    GpuFigures {
        name: "H200",
        multiprocessors: 132,
        shared: 228 << 10,
        threads: 2048,
        gbps: 4800.0,
    },
    GpuFigures {
        name: "A100 80GB SXM",
        multiprocessors: 108,
        shared: 164 << 10,
        threads: 2048,
        gbps: 2039.0,
    },
    GpuFigures { name: "L4", multiprocessors: 58, shared: 100 << 10, threads: 1536, gbps: 300.0 },
];

/// Registers of a multiprocessor, on every GPU since sm_50.
const REGISTERS: usize = 65_536;
/// Shared memory that the system reserves in each block.
const RESERVED: usize = 1 << 10;

/// Decode blocks of a head size on one multiprocessor, and what limits them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Occupancy {
    /// Channels per head.
    pub head_dim: usize,
    /// Threads of a block.
    pub threads: usize,
    /// Shared memory of a block in bytes.
    pub shared: usize,
    /// Registers per thread that the launch bounds allow; the compiled kernels use fewer
    /// (tests/cuda/fatbin.rs prints them).
    pub registers: usize,
    /// Blocks that fit.
    pub blocks: usize,
    /// Bytes of keys and values that these blocks are loading at any time, besides those that they
    /// work on.
    pub bytes_under_way: usize,
}

/// The kernel for groups of up to 8 query heads.
fn decode_kernel(head_dim: usize) -> Kernel {
    Kernel::Decode(DecodeKernel::new(Dtype::Bf16, head_dim, 8, false))
}

/// Occupancy of the decode kernel on a GPU.
pub fn occupancy(gpu: &GpuFigures, head_dim: usize) -> Occupancy {
    let kernel = decode_kernel(head_dim);
    let (threads, shared) = (kernel.threads() as usize, kernel.shared_bytes());
    let registers = (REGISTERS / (threads * kernel.resident_blocks()) / 8 * 8).min(255);
    let blocks = (gpu.shared / (shared + RESERVED))
        .min(REGISTERS / (threads * registers))
        .min(gpu.threads / threads);
    // One of the two stages of a warp: 16 whole keys and values.
    let bytes_under_way = blocks * threads / 32 * 16 * 2 * head_dim * 2;
    Occupancy { head_dim, threads, shared, registers, blocks, bytes_under_way }
}

/// One setting: a number of equal sequences with Llama-3.1-8B's attention, dense and with the
/// published mask's counts.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ForecastSetting {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Bytes of keys and values that a step reads over all layers, dense.
    pub dense_bytes: u64,
    /// Bytes of keys and values that a step reads over all layers, pruned, padding included.
    pub pruned_bytes: u64,
    /// Bytes of partial results, written and read once, pruned.
    pub partial_bytes: u64,
    /// Most work items of a layer, pruned.
    pub items: usize,
    /// Dense bytes over pruned bytes: how much faster the pruned step can be at most.
    pub bound: f64,
    /// Time in milliseconds to read the dense bytes at the GPU's published bandwidth: a lower
    /// bound, not a measurement.
    pub dense_least_ms: f64,
    /// The same lower bound for the pruned bytes.
    pub pruned_least_ms: f64,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ForecastReport {
    /// Always `computed`: nothing here was measured.
    pub kind: &'static str,
    /// The GPU.
    pub gpu: GpuFigures,
    /// Occupancy for each head size.
    pub occupancy: Vec<Occupancy>,
    /// Bytes per middle token over all layers in bf16: dense, then pruned.
    pub bytes_per_middle_token: [usize; 2],
    /// One row per setting.
    pub settings: Vec<ForecastSetting>,
}

/// Computes the report for a GPU.
pub fn report(gpu: GpuFigures) -> Result<ForecastReport> {
    let shape = Shape { layers: 32, kv_heads: 8, head_dim: 128 };
    let layout = |mask: ChannelMask| {
        Layout::new(Arc::new(CacheSpec::new(shape, Window::UPSTREAM, Dtype::Bf16, mask)?), 32)
    };
    let (dense, pruned) = (layout(ChannelMask::full(shape))?, layout(masks::llama(shape))?);
    let blocks = gpu.multiprocessors * occupancy(&gpu, shape.head_dim).blocks;
    let settings = [(64, 32_768), (52, 4_223), (1, 8_192), (1, 32_768), (1, 131_072)];
    let setting = |(batch, tokens): (usize, usize)| {
        let middle = Window::UPSTREAM.middle(tokens);
        let shares = vec![Share { layout: &pruned, middle, window: tokens - middle }; batch];
        let plan = plan(&shares, blocks, Balance::default());
        let bytes = |layout: &Layout| (batch * layout.bytes_at(tokens).total()) as u64;
        let partials = plan.items.len() * pruned.geometry().partial_len() * size_of::<f32>();
        let least = |bytes: u64| bytes as f64 / (gpu.gbps * 1e9) * 1e3;
        ForecastSetting {
            batch,
            tokens,
            dense_bytes: bytes(&dense),
            pruned_bytes: bytes(&pruned),
            partial_bytes: 2 * partials as u64,
            items: plan.most_items(),
            bound: bytes(&dense) as f64 / bytes(&pruned) as f64,
            dense_least_ms: least(bytes(&dense)),
            pruned_least_ms: least(bytes(&pruned)),
        }
    };
    let token = |layout: &Layout| {
        let heads =
            (0..shape.layers).flat_map(|layer| (0..shape.kv_heads).map(move |head| (layer, head)));
        heads.map(|(layer, head)| layout.row_bytes(layer, head).0).sum()
    };
    Ok(ForecastReport {
        kind: "computed",
        gpu,
        occupancy: HEAD_DIMS.map(|head_dim| occupancy(&gpu, head_dim)).to_vec(),
        bytes_per_middle_token: [token(&dense), token(&pruned)],
        settings: settings.map(setting).to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_setting_has_their_bound() {
        // From the published mask: 73,984 bytes a middle token against 131,072 dense, at most 1.77
        // times as fast.
        let report = report(GPUS[0]).unwrap();
        assert_eq!(report.bytes_per_middle_token, [131_072, 73_984]);
        let authors = &report.settings[0];
        assert_eq!((authors.batch, authors.tokens), (64, 32_768));
        assert!(authors.bound > 1.70 && authors.bound < 131_072.0 / 73_984.0, "{}", authors.bound);
        assert!(
            authors.partial_bytes * 50 < authors.pruned_bytes,
            "partial results cost more than 2 %"
        );
    }

    #[test]
    fn as_many_blocks_fit_as_the_launch_bounds_ask_for() {
        for head_dim in HEAD_DIMS {
            let hopper = occupancy(&GPUS[0], head_dim);
            assert!(hopper.blocks >= decode_kernel(head_dim).resident_blocks(), "{hopper:?}");
            // By Little's law, 3.35 TB/s times a latency of 1 microsecond, over 132
            // multiprocessors: each must have 25 KB of loads in flight.
            assert!(hopper.bytes_under_way > 25_000, "{hopper:?}");
            assert!(occupancy(&GPUS[3], head_dim).blocks >= 1, "an L4 runs d {head_dim}");
        }
    }
}
