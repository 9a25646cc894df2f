//! What `kscope plan` knows by name.

use crate::capacity::{self, PlanGpu};
use crate::model::arch;
use crate::model::served::ServedModel;
use crate::numbers;

/// The published shapes, one a line.
pub(super) fn models() -> String {
    let row = |name: &str| {
        let model = ServedModel::known(name).expect("every listed name is known");
        format!(
            "{name:<20} {:>16} parameters  context {:>9}  {}",
            numbers::count(model.weights.parameters as usize),
            numbers::count(model.max_context),
            model.layers_text()
        )
    };
    arch::served_names().into_iter().map(row).collect::<Vec<_>>().join("\n")
}

/// The known GPUs, one a line.
pub(super) fn gpus() -> String {
    let row = |gpu: PlanGpu| {
        let price = gpu.price.map_or_else(
            || "no price".to_owned(),
            |price| {
                format!(
                    "{} an hour as of {} ({})",
                    capacity::price(price.usd_per_hour),
                    price.as_of,
                    price.source
                )
            },
        );
        let tflops = gpu.tflops.map_or_else(String::new, |tflops| format!("{tflops} TFLOP/s"));
        format!(
            "{:<13} {:>6.1} GiB {:>6} GB/s {:>13}  {price}",
            gpu.name, gpu.memory_gib, gpu.bandwidth_gbps, tflops
        )
    };
    capacity::GPUS.iter().map(|gpu| row(PlanGpu::from(gpu))).collect::<Vec<_>>().join("\n")
}
