//! Splits the rows of every head of every sequence into work items of about equal bytes.

use std::ffi::OsString;

use super::launch::TILE;
use super::layout::Layout;
use super::params::{MIDDLE, WINDOW, WorkItem};
use crate::{Error, Result, numbers};

/// Rows that the four warps of a block process at a time. Items start at a multiple of this, so
/// that a warp runs out of rows only at the end of a part.
const TURN: usize = 4 * TILE;

/// How finely the work is divided. What is best depends on the GPU, so that both numbers can be
/// swept without a new build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Balance {
    /// Target number of items per block that runs at once. More items let the blocks end closer
    /// together; each costs a partial result.
    pub waves: usize,
    /// Bytes below which an item is not worth its partial result.
    pub least_bytes: usize,
}

impl Default for Balance {
    fn default() -> Self {
        Self { waves: 4, least_bytes: 32 << 10 }
    }
}

impl Balance {
    /// The default, or what `KSCOPE_CUDA_WAVES` (a count) and `KSCOPE_CUDA_LEAST_BYTES` (a size
    /// such as 64k) say.
    ///
    /// # Errors
    /// What is no such number, or 0, by the variable's name: a measurement must not run with another
    /// setting than it was given.
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(&|name| std::env::var_os(name))
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name: &str, usual: usize| {
            let Some(text) = variable(name) else { return Ok(usual) };
            let number = text.to_str().and_then(numbers::parse_tokens).filter(|&number| number > 0);
            number.ok_or_else(|| {
                Error::input(format!("{name} takes a number from 1 on, not `{}`", text.display()))
            })
        };
        let usual = Self::default();
        Ok(Self {
            waves: set("KSCOPE_CUDA_WAVES", usual.waves)?,
            least_bytes: set("KSCOPE_CUDA_LEAST_BYTES", usual.least_bytes)?,
        })
    }
}

/// What a plan needs to know of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Share<'a> {
    /// The sequence's layout; all sequences of a plan have the same shape.
    pub layout: &'a Layout,
    /// Most tokens of the middle while the plan is valid.
    pub middle: usize,
    /// Most tokens of the window while the plan is valid.
    pub window: usize,
}

/// One layer's part of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Index of the layer's first item.
    pub first: usize,
    /// Number of items, all of them launched together.
    pub items: usize,
    /// Index of the layer's first range.
    pub ranges: usize,
}

/// Work items of a decode step over all layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkPlan {
    /// Items, layer after layer.
    pub items: Vec<WorkItem>,
    /// Per layer `sequences * kv_heads + 1` bounds: the items of a head, counted from the layer's
    /// first.
    pub ranges: Vec<u32>,
    /// The layers.
    pub layers: Vec<Planned>,
}

impl WorkPlan {
    /// Most items of a layer.
    pub fn most_items(&self) -> usize {
        self.layers.iter().map(|layer| layer.items).max().unwrap_or(0)
    }
}

/// Divides the work so that `blocks`, the number of decode blocks that run at once, stay busy to
/// the end. Items have about equal bytes, not equal tokens, so heads of different width and
/// sequences of different length end together.
pub fn plan(shares: &[Share<'_>], blocks: usize, balance: Balance) -> WorkPlan {
    let mut plan = WorkPlan { items: Vec::new(), ranges: Vec::new(), layers: Vec::new() };
    let Some(first) = shares.first() else { return plan };
    let shape = first.layout.spec().shape();
    for layer in 0..shape.layers {
        let heads = || {
            let of =
                |(sequence, share)| (0..shape.kv_heads).map(move |head| (sequence, share, head));
            shares.iter().enumerate().flat_map(of)
        };
        let total: usize = heads()
            .map(|(_, share, head): (usize, &Share<'_>, usize)| {
                let (middle, window) = share.layout.row_bytes(layer, head);
                middle * share.middle + window * share.window
            })
            .sum();
        let target = (total / (blocks.max(1) * balance.waves)).max(balance.least_bytes);

        let planned = Planned { first: plan.items.len(), items: 0, ranges: plan.ranges.len() };
        for (sequence, share, kv_head) in heads() {
            plan.ranges.push((plan.items.len() - planned.first) as u32);
            let (middle, window) = share.layout.row_bytes(layer, kv_head);
            for (part, rows, bytes) in
                [(MIDDLE, share.middle, middle), (WINDOW, share.window, window)]
            {
                let (sequence, kv_head) = (sequence as u32, kv_head as u16);
                plan.items.extend(divide(rows, bytes, target).map(|(first, end)| WorkItem {
                    sequence,
                    kv_head,
                    part,
                    first,
                    end,
                }));
            }
        }
        plan.ranges.push((plan.items.len() - planned.first) as u32);
        plan.layers.push(Planned { items: plan.items.len() - planned.first, ..planned });
    }
    plan
}

/// Even ranges of `rows` rows of `bytes` each, about `target` bytes per range; no range where a row
/// has no bytes.
fn divide(rows: usize, bytes: usize, target: usize) -> impl Iterator<Item = (u32, u32)> {
    let rows = if bytes == 0 { 0 } else { rows };
    let parts = (rows * bytes).div_ceil(target).max(1);
    let size = rows.div_ceil(parts).next_multiple_of(TURN).max(TURN);
    (0..rows).step_by(size).map(move |first| (first as u32, (first + size).min(rows) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_or_refused_by_name() {
        let with = |name: &'static str, text: &'static str| {
            Balance::from_variables(&move |asked| (asked == name).then(|| text.into()))
        };
        let usual = Balance::default();
        assert_eq!(Balance::from_variables(&|_| None).unwrap(), usual);
        let waves = with("KSCOPE_CUDA_WAVES", "2").unwrap();
        assert_eq!(waves, Balance { waves: 2, ..usual });
        let bytes = with("KSCOPE_CUDA_LEAST_BYTES", "64k").unwrap();
        assert_eq!(bytes, Balance { least_bytes: 65_536, ..usual });
        for wrong in ["", "0", "-1", "two", "64kb"] {
            let refused = with("KSCOPE_CUDA_WAVES", wrong).unwrap_err().to_string();
            assert!(refused.contains("KSCOPE_CUDA_WAVES takes a number from 1 on"), "{refused}");
            assert!(with("KSCOPE_CUDA_LEAST_BYTES", wrong).is_err(), "{wrong}");
        }
    }
}
