//! Channel masks and cache plans as pure data: shapes, kept channels, widths, importance,
//! selection, statistics and files.
//!
//! A mask is always in rotate-half channel order and in the checkpoint's original KV-head order.
//! This module knows no tensor library, no model and no terminal.

pub mod bytes;
mod channel_mask;
mod correlation;
pub mod files;
mod geometry;
mod importance;
mod overlap;
mod plan;
mod rule;
pub mod rules;
pub mod select;
mod statistics;
mod window;

pub use channel_mask::{ChannelMask, Shape};
pub use correlation::rank_correlations;
pub use geometry::{Geometry, fingerprint};
pub use importance::Importance;
pub use overlap::{MaskComparison, Overlap, compare};
pub use plan::{
    CachePlan, Coding, HeadBytes, LayerWidths, NamedPlan, Sensitivity, V_GROUP, Width, WidthChange,
    WidthComparison, WidthCounts, WidthStatistics, compare_widths, group_tokens,
};
pub use rule::{Given, MeanSquares, Moments, Needs, Rule};
pub use select::{keep_counts, select};
pub use statistics::{Statistics, StatisticsSetting, alignment_cost};
pub use window::Window;
