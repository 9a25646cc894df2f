//! GPUs that a plan knows: memory, bandwidth, compute and list prices with their date and source.

use crate::{Error, Result};

/// What an hour of a GPU costs, by whom and when.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct GpuPrice {
    /// US dollars.
    pub usd_per_hour: f64,
    /// The day of the price, YYYY-MM-DD.
    pub as_of: String,
    /// Whose price it is.
    pub source: String,
}

/// A GPU as a plan sees it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlanGpu {
    /// Its name on the command line.
    pub name: String,
    /// Memory that the driver shows, in GiB.
    pub memory_gib: f64,
    /// Memory bandwidth of the data sheet, 1e9 bytes per second.
    pub bandwidth_gbps: f64,
    /// Dense 16-bit compute of the data sheet, 1e12 operations per second.
    pub tflops: Option<f64>,
    /// A list price.
    pub price: Option<GpuPrice>,
}

/// A row of the shipped table.
#[derive(Debug, Clone, Copy)]
pub struct ShippedGpu {
    /// Its name on the command line.
    pub name: &'static str,
    memory_gib: f64,
    bandwidth_gbps: f64,
    tflops: f64,
    price: Option<(f64, &'static str, &'static str)>,
}

const fn row(
    name: &'static str,
    [memory_gib, bandwidth_gbps, tflops]: [f64; 3],
    price: Option<(f64, &'static str, &'static str)>,
) -> ShippedGpu {
    ShippedGpu { name, memory_gib, bandwidth_gbps, tflops, price }
}

/// The shipped table. Memory in GiB is what drivers show (the marketed size less what the board
/// reserves), bandwidth and compute are those of the data sheets, prices are typical list prices
/// per GPU-hour on demand, neither the cheapest nor the dearest.
pub const GPUS: &[ShippedGpu] = &[
    row(
        "h100-sxm",
        [79.6, 3350.0, 989.0],
        Some((3.50, "2026-11-09", "RunPod 3.49, Lambda 3.99 to 4.29, Nebius 3.85")),
    ),
    row("h100-pcie", [79.6, 2000.0, 756.0], Some((2.90, "2026-11-09", "RunPod 2.89, Lambda 3.29"))),
    row("h100-nvl", [93.6, 3900.0, 835.0], Some((3.19, "2026-11-09", "RunPod"))),
    row(
        "h200",
        [140.4, 4800.0, 989.0],
        Some((4.50, "2026-11-09", "RunPod 4.59, Hyperstack 3.99, Akash 4.45")),
    ),
    row(
        "b200",
        [178.3, 8000.0, 2250.0],
        Some((6.50, "2026-11-09", "RunPod 6.79, Lambda 6.69, Hyperstack 6.00")),
    ),
    row("b300", [268.0, 8000.0, 2250.0], Some((7.40, "2026-08-26", "Hyperstack; RunPod 7.89"))),
    row(
        "a100-80",
        [79.2, 2039.0, 312.0],
        Some((1.70, "2026-11-09", "RunPod 1.59 to 1.79, Akash 1.71")),
    ),
    row(
        "a100-40",
        [39.4, 1555.0, 312.0],
        Some((1.50, "2026-09-20", "between OpenRelay 0.80 and Lambda 1.99")),
    ),
    row("a40", [44.9, 696.0, 150.0], None),
    row(
        "a10",
        [22.5, 600.0, 125.0],
        Some((1.00, "2026-03-31", "AWS g5.xlarge 1.006 (A10G), Lambda 0.75")),
    ),
    row("l40s", [44.9, 864.0, 362.0], Some((1.40, "2026-03-31", "RunPod; AWS g6e.xlarge 1.86"))),
    row(
        "l4",
        [22.5, 300.0, 121.0],
        Some((0.80, "2026-03-31", "RunPod 0.78, AWS g6.xlarge 0.8048")),
    ),
    row("t4", [15.0, 320.0, 65.0], Some((0.526, "2026-03-31", "AWS g4dn.xlarge"))),
    row("rtx-3090", [24.0, 936.0, 71.0], Some((0.22, "2026-03-31", "RunPod community"))),
    row("rtx-4090", [24.0, 1008.0, 165.0], Some((0.50, "2026-03-31", "RunPod 0.34 to 0.60"))),
    row("rtx-5090", [31.8, 1792.0, 210.0], Some((1.00, "2026-03-31", "RunPod 0.69 to 1.22"))),
    row("rtx-pro-6000", [95.6, 1792.0, 250.0], Some((1.80, "2026-09-30", "Akash 1.45 to 2.04"))),
    row(
        "mi300x",
        [192.0, 5300.0, 1307.0],
        // Its sources name no month.
        Some((2.00, "2026-01-01", "TensorWave 1.71, Vultr 1.85; RunPod 2.49 in 2025")),
    ),
    row("mi325x", [256.0, 6000.0, 1307.0], None),
    row("mi355x", [288.0, 8000.0, 2300.0], None),
];

impl From<&ShippedGpu> for PlanGpu {
    fn from(row: &ShippedGpu) -> Self {
        Self {
            name: row.name.to_owned(),
            memory_gib: row.memory_gib,
            bandwidth_gbps: row.bandwidth_gbps,
            tflops: Some(row.tflops),
            price: row.price.map(|(usd_per_hour, as_of, source)| GpuPrice {
                usd_per_hour,
                as_of: as_of.to_owned(),
                source: source.to_owned(),
            }),
        }
    }
}

impl PlanGpu {
    /// Bytes of memory.
    pub fn memory(&self) -> f64 {
        self.memory_gib * f64::from(1 << 30)
    }
}

/// The GPU of this name, among given ones first.
pub fn gpus_named(name: &str, given: &[PlanGpu]) -> Result<PlanGpu> {
    let known = given.iter().find(|gpu| gpu.name.eq_ignore_ascii_case(name)).cloned();
    let shipped = || GPUS.iter().find(|gpu| gpu.name.eq_ignore_ascii_case(name));
    known.or_else(|| shipped().map(PlanGpu::from)).ok_or_else(|| {
        let mut names: Vec<&str> = given.iter().map(|gpu| gpu.name.as_str()).collect();
        names.extend(GPUS.iter().map(|gpu| gpu.name));
        Error::input(format!(
            "no GPU is called `{name}`: give one of {}, or a .toml file with [[gpu]] tables",
            names.join(", ")
        ))
    })
}
