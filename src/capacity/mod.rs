//! The capacity plan of `kscope plan`: what a K/V cache takes on which GPU, how fast a decode step
//! can be, what that costs, and when a mask is paid back. Arithmetic alone: no model is loaded.
//!
//! Not to be confused with a cache plan ([`CachePlan`](crate::mask::CachePlan)), which says how many
//! bits each channel has and is one of the inputs here.

mod assumptions;
mod chart;
mod cost;
mod gpu;
mod gpu_file;
mod html;
mod markdown;
mod measured;
mod memory;
mod report;
mod request;
mod sheet;
mod speed;
mod store;
mod text;

pub use assumptions::{ASSUMED, Assumed, AssumedRow, Assumptions};
pub use cost::{Load, LoadRow, Project, Scenario};
pub use gpu::{GPUS, GpuPrice, PlanGpu, gpus_named};
pub use gpu_file::read_gpus;
pub use html::html;
pub use markdown::markdown;
pub use measured::{Calibration, FitCheck, read_measured};
pub use memory::{GpuMemory, Room};
pub use report::{CapacityReport, CapacityRow, Crossover, PlainRow, date, plan};
pub use request::{CapacityRequest, MOST_BATCH, StoredMiddle};
pub use sheet::{plain, price, usd};
pub use speed::{Label, StepEstimate};
pub use store::{KvStore, PLAIN, PlainBits};
pub use text::text;
