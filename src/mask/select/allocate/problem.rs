//! The problem in numbers: what each width costs, and what each head may choose.

use super::head::{Drop, Head, Unit};
use super::options::{AllocationOptions, AllocationTarget, LockWidths, WidthPlace};
use crate::mask::select::limits::{one, rows};
use crate::mask::select::{ALIGNMENTS, ByteBudget};
use crate::mask::{HeadBytes, Sensitivity, Shape, Width, bytes, group_tokens};
use crate::numbers::{count, percent};
use crate::{Error, Result};

/// Middle tokens that bytes are counted for: whole groups with whole bytes of codes.
const TOKENS: usize = 64;

/// Bytes of 64 middle tokens, by width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    /// Of one K channel.
    pub(super) k: [u64; 5],
    /// Of one head's V.
    pub(super) v: [u64; 5],
}

/// Everything that an allocation is computed from.
pub(super) struct Problem {
    pub(super) shape: Shape,
    pub(super) costs: Costs,
    /// Most bytes of 64 middle tokens, all heads.
    pub(super) budget: u64,
    /// Heads with one unit per channel or pair, row-major.
    pub(super) heads: Vec<Head>,
    /// Units of a run.
    pub(super) run: usize,
}

impl Problem {
    pub(super) fn new(sensitivity: &Sensitivity, options: &AllocationOptions) -> Result<Self> {
        let shape = sensitivity.shape();
        check(shape, options)?;
        let group = group_tokens(options.chunk);
        let element = match options.target {
            AllocationTarget::Share(_) => 2,
            AllocationTarget::Bytes(budget) => budget.element_size,
        };
        let k = |width| {
            HeadBytes::of(&[width], Width::Zero, options.coding, element).at(TOKENS, group)[0]
        };
        let v = |width| {
            let none = vec![Width::Zero; shape.head_dim];
            HeadBytes::of(&none, width, options.coding, element).at(TOKENS, group)[1]
        };
        let costs = Costs {
            k: Width::ALL.map(|width| k(width) as u64),
            v: Width::ALL.map(|width| v(width) as u64),
        };
        let fixed = Fixed::resolve(shape, options)?;
        let mut k_widths = options.k_widths.clone();
        k_widths.sort_unstable();
        let mut v_widths = options.v_widths.clone();
        v_widths.sort_unstable();
        v_widths.retain(|&width| width != Width::Zero);
        let floors = floors(shape, options)?;
        let heads = shape
            .each_head()
            .enumerate()
            .map(|(row, (layer, head))| Head {
                units: units(sensitivity, (layer, head), &fixed, options.pair_closed, &k_widths),
                v_damage: Width::ALL.map(|width| f64::from(sensitivity.v(layer, head, width))),
                v_widths: fixed.v[row].map_or_else(|| v_widths.clone(), |width| vec![width]),
                drop: fixed.drop(row, shape, options, floors[row]),
                floor: floors[row].max(1),
            })
            .collect();
        let unit = if options.pair_closed { 2 } else { 1 };
        let run = (options.align / unit).max(1);
        let budget = budget_of(shape, &options.target)?;
        Ok(Self { shape, costs, budget, heads, run })
    }

    /// The error of a budget that is below the least possible bytes of 64 tokens.
    pub(super) fn too_small(&self, least: u64, target: &AllocationTarget) -> Error {
        match target {
            AllocationTarget::Share(share) => {
                let dense = dense(self.shape);
                // Rounded up, so that the number named is enough.
                let needed = (least as f64 / dense as f64 * 1e4).ceil() / 1e4;
                Error::input(format!(
                    "these widths, floors and locks take at least {} of the middle of a dense f16 cache: expected a budget of that or more, found {}",
                    percent(needed, 2),
                    percent(*share, 2)
                ))
            }
            AllocationTarget::Bytes(budget) => {
                let needed = whole(self.shape, budget)
                    + margin(self.shape, budget)
                    + (least * budget.window.middle(budget.tokens) as u64).div_ceil(TOKENS as u64);
                Error::input(format!(
                    "a cache of {} tokens weighs at least {} bytes with this window and these widths, floors and locks: expected a budget of that or more, found {} bytes",
                    count(budget.tokens),
                    count(needed as usize),
                    count(budget.bytes as usize)
                ))
            }
        }
    }
}

/// Bytes of 64 tokens of a dense f16 cache, all heads.
fn dense(shape: Shape) -> u64 {
    bytes::dense(shape, TOKENS, 2).total()
}

/// Bytes of what a budget's cache stores outside the middle.
fn whole(shape: Shape, budget: &ByteBudget) -> u64 {
    let outside = budget.tokens - budget.window.middle(budget.tokens);
    bytes::dense(shape, outside, budget.element_size).total()
}

/// What is kept back because a head's codes end in a byte of their own where the middle is no
/// multiple of 64 tokens.
fn margin(shape: Shape, budget: &ByteBudget) -> u64 {
    match budget.window.middle(budget.tokens).is_multiple_of(TOKENS) {
        true => 0,
        false => shape.heads() as u64,
    }
}

/// The most bytes of 64 middle tokens, all heads.
fn budget_of(shape: Shape, target: &AllocationTarget) -> Result<u64> {
    match target {
        // A share such as 0.28 is not exact in binary: a number of bytes that is whole except for
        // that error is taken as whole.
        AllocationTarget::Share(share) => {
            Ok((share * dense(shape) as f64 * (1.0 + 1e-12)).floor() as u64)
        }
        AllocationTarget::Bytes(budget) => {
            let (middle, whole) = (budget.window.middle(budget.tokens), whole(shape, budget));
            let Some(left) = budget.bytes.checked_sub(whole) else {
                return Err(Error::input(format!(
                    "the window of a cache of {} tokens weighs {} bytes, which no plan changes: expected a budget of more, found {} bytes",
                    count(budget.tokens),
                    count(whole as usize),
                    count(budget.bytes as usize)
                )));
            };
            let left = u128::from(left.saturating_sub(margin(shape, budget))) * TOKENS as u128;
            let most = left.checked_div(middle as u128).unwrap_or(u128::from(u64::MAX));
            Ok(u64::try_from(most).unwrap_or(u64::MAX))
        }
    }
}

fn check(shape: Shape, options: &AllocationOptions) -> Result<()> {
    if !ALIGNMENTS.contains(&options.align) {
        return Err(Error::input(format!(
            "alignment {}: expected one of 1, 2, 4, 8, 16, 32",
            options.align
        )));
    }
    if options.pair_closed && !shape.head_dim.is_multiple_of(2) {
        return Err(Error::input(format!(
            "head_dim {} is odd: expected an even number to keep pairs together",
            shape.head_dim
        )));
    }
    if options.chunk == 0 {
        return Err(Error::input("a chunk holds at least 1 token, not 0"));
    }
    if !matches!(options.coding, crate::mask::Coding::Channels { .. }) {
        return Err(Error::input(
            "widths per channel need scales per channel, not blocks per token",
        ));
    }
    for (name, widths) in [("K", &options.k_widths), ("V", &options.v_widths)] {
        if widths.iter().all(|&width| width == Width::Zero) {
            return Err(Error::input(format!(
                "widths of {name}: expected at least one of 2, 4, 8 and 16 bits"
            )));
        }
    }
    match options.target {
        AllocationTarget::Share(share) if !(0.0..=1.0).contains(&share) => Err(Error::input(
            format!("bytes {share}: expected a share from 0 to 1 of a dense cache"),
        )),
        AllocationTarget::Bytes(budget) if budget.window.chunk != options.chunk => {
            Err(Error::input(format!(
                "the budget's window has a chunk of {}, the allocation one of {}",
                budget.window.chunk, options.chunk
            )))
        }
        _ => Ok(()),
    }
}

/// Channels that each head stores at least, 0 where it may be dropped.
fn floors(shape: Shape, options: &AllocationOptions) -> Result<Vec<usize>> {
    let step = options.align.max(if options.pair_closed { 2 } else { 1 });
    let mut floors = vec![0; shape.heads()];
    for floor in &options.floors {
        if floor.channels > shape.head_dim {
            return Err(Error::input(format!(
                "floor of {} channels: expected at most head_dim, {}",
                floor.channels, shape.head_dim
            )));
        }
        let channels = floor.channels.next_multiple_of(step).min(shape.head_dim);
        rows(shape, floor.heads)?.for_each(|row| floors[row] = channels);
    }
    Ok(floors)
}

/// Locks resolved to one width, or none, per channel and per V.
struct Fixed {
    k: Vec<Option<Width>>,
    v: Vec<Option<Width>>,
}

impl Fixed {
    fn resolve(shape: Shape, options: &AllocationOptions) -> Result<Self> {
        let dim = shape.head_dim;
        let mut fixed = Self { k: vec![None; shape.entries()], v: vec![None; shape.heads()] };
        for lock in &options.locks {
            if let LockWidths::Plan(plan) = &lock.to
                && plan.shape() != shape
            {
                return Err(Error::input(format!(
                    "lock to a plan of shape {}: expected {shape}",
                    plan.shape()
                )));
            }
            let k = |index: usize| match &lock.to {
                LockWidths::Widths { k, .. } => *k,
                LockWidths::Plan(plan) => Some(plan.k_widths()[index]),
            };
            match lock.place {
                WidthPlace::Heads(heads) => {
                    for row in rows(shape, heads)? {
                        for index in row * dim..(row + 1) * dim {
                            fixed.k[index] = k(index).or(fixed.k[index]);
                        }
                        let v = match &lock.to {
                            LockWidths::Widths { v, .. } => *v,
                            LockWidths::Plan(plan) => Some(plan.v_widths()[row]),
                        };
                        fixed.v[row] = v.or(fixed.v[row]);
                    }
                }
                WidthPlace::Channel(layer, head, channel) => {
                    one("layer", layer, shape.layers)?;
                    one("KV head", head, shape.kv_heads)?;
                    one("channel", channel, dim)?;
                    let row = (layer * shape.kv_heads + head) * dim;
                    let partner = options.pair_closed.then(|| shape.partner(channel)).flatten();
                    for channel in [Some(channel), partner].into_iter().flatten() {
                        fixed.k[row + channel] = k(row + channel);
                    }
                }
            }
        }
        for (row, (layer, head)) in shape.each_head().enumerate() {
            fixed.check(row, shape, options).map_err(|sentence| {
                Error::input(format!("locks of layer {layer}, KV head {head}: {sentence}"))
            })?;
        }
        Ok(fixed)
    }

    fn channels(&self, row: usize, shape: Shape) -> &[Option<Width>] {
        &self.k[row * shape.head_dim..][..shape.head_dim]
    }

    fn check(&self, row: usize, shape: Shape, options: &AllocationOptions) -> Result<(), String> {
        let k = self.channels(row, shape);
        let stored = k.iter().flatten().any(|&width| width != Width::Zero);
        if stored && self.v[row] == Some(Width::Zero) {
            return Err("a head without V cannot store K channels".to_owned());
        }
        let nothing = k.iter().all(|&width| width == Some(Width::Zero));
        if nothing && self.v[row].is_some_and(|width| width != Width::Zero) {
            return Err("a head without K channels cannot store V".to_owned());
        }
        if options.pair_closed {
            let pairs = shape.pairs();
            if let Some(index) = (0..pairs).find(|&index| k[index] != k[index + pairs]) {
                return Err(format!(
                    "channels {index} and {} are a pair and have other widths",
                    index + pairs
                ));
            }
        }
        Ok(())
    }

    fn drop(&self, row: usize, shape: Shape, options: &AllocationOptions, floor: usize) -> Drop {
        let k = self.channels(row, shape);
        let nothing = k.iter().all(|&width| width == Some(Width::Zero));
        let stored = k.iter().flatten().any(|&width| width != Width::Zero);
        if nothing || self.v[row] == Some(Width::Zero) {
            Drop::Must
        } else if stored
            || floor > 0
            || self.v[row].is_some()
            || !options.v_widths.contains(&Width::Zero)
        {
            Drop::Never
        } else {
            Drop::May
        }
    }
}

/// One unit per channel, or per rotation pair.
fn units(
    sensitivity: &Sensitivity,
    (layer, head): (usize, usize),
    fixed: &Fixed,
    pair_closed: bool,
    k_widths: &[Width],
) -> Vec<Unit> {
    let shape = sensitivity.shape();
    let locks = fixed.channels(layer * shape.kv_heads + head, shape);
    let units = if pair_closed { shape.pairs() } else { shape.head_dim };
    (0..units)
        .map(|index| {
            let channels = match pair_closed {
                true => vec![index, index + shape.pairs()],
                false => vec![index],
            };
            let damage = |width| {
                let of = |&channel| f64::from(sensitivity.k(layer, head, channel, width));
                channels.iter().map(of).sum()
            };
            Unit {
                damage: Width::ALL.map(damage),
                widths: locks[index].map_or_else(|| k_widths.to_vec(), |width| vec![width]),
                locked: locks[index].is_some(),
                short: false,
                channels,
            }
        })
        .collect()
}
