//! Floors and locks: what the user has fixed before the budget is spread.

use super::options::{Heads, LockTo, Options};
use crate::mask::Shape;
use crate::{Error, Result};

/// Floors and locks resolved to one rule per head, row-major.
pub(super) struct Limits {
    heads: Vec<HeadLimit>,
}

#[derive(Clone)]
enum HeadLimit {
    AtLeast(usize),
    Exactly(usize),
    Channels(Vec<bool>),
}

impl Limits {
    /// No floors, no locks.
    pub(super) fn none(shape: Shape) -> Self {
        Self { heads: vec![HeadLimit::AtLeast(0); shape.heads()] }
    }

    /// Checks floors and locks against the shape; a later one on the same head replaces an earlier
    /// one, and locks win over floors.
    pub(super) fn resolve(shape: Shape, options: &Options, unit: usize) -> Result<Self> {
        let mut limits = Self::none(shape);
        let step = options.align.max(unit);
        for floor in &options.floors {
            if floor.channels > shape.head_dim {
                return Err(Error::input(format!(
                    "floor of {} channels: expected at most head_dim, {}",
                    floor.channels, shape.head_dim
                )));
            }
            let channels = floor.channels.next_multiple_of(step).min(shape.head_dim);
            limits.set(shape, floor.heads, |_| HeadLimit::AtLeast(channels))?;
        }
        for lock in &options.locks {
            match &lock.to {
                LockTo::Count(count) => {
                    if *count > shape.head_dim
                        || !(count.is_multiple_of(step) || *count == shape.head_dim)
                    {
                        return Err(Error::input(format!(
                            "lock at {count} channels: expected a multiple of {step} up to head_dim, {}",
                            shape.head_dim
                        )));
                    }
                    limits.set(shape, lock.heads, |_| HeadLimit::Exactly(*count))?;
                }
                LockTo::Mask(mask) => {
                    if mask.shape() != shape {
                        return Err(Error::input(format!(
                            "lock to a mask of shape {}: expected {shape}",
                            mask.shape()
                        )));
                    }
                    let of = |head| {
                        HeadLimit::Channels(
                            mask.head(head / shape.kv_heads, head % shape.kv_heads).to_vec(),
                        )
                    };
                    limits.set(shape, lock.heads, of)?;
                }
            }
        }
        Ok(limits)
    }

    fn set(
        &mut self,
        shape: Shape,
        heads: Heads,
        limit: impl Fn(usize) -> HeadLimit,
    ) -> Result<()> {
        for head in rows(shape, heads)? {
            self.heads[head] = limit(head);
        }
        Ok(())
    }

    /// What a head keeps where the budget alone would give it `count` channels.
    pub(super) fn apply(&self, head: usize, count: usize) -> usize {
        match &self.heads[head] {
            HeadLimit::AtLeast(floor) => count.max(*floor),
            HeadLimit::Exactly(count) => *count,
            HeadLimit::Channels(bits) => bits.iter().filter(|&&kept| kept).count(),
        }
    }

    /// Channels that floors and locks alone keep.
    pub(super) fn least(&self) -> usize {
        (0..self.heads.len()).map(|head| self.apply(head, 0)).sum()
    }

    pub(super) fn is_locked(&self, head: usize) -> bool {
        !matches!(self.heads[head], HeadLimit::AtLeast(_))
    }

    /// The channels of a head that is locked to those of a mask.
    pub(super) fn channels(&self, head: usize) -> Option<&[bool]> {
        match &self.heads[head] {
            HeadLimit::Channels(bits) => Some(bits),
            _ => None,
        }
    }
}

/// The rows of some heads, refused where they are outside the shape.
pub(super) fn rows(shape: Shape, heads: Heads) -> Result<impl Iterator<Item = usize>> {
    let (layers, kv_heads) = match heads {
        Heads::All => (0..shape.layers, 0..shape.kv_heads),
        Heads::Layer(layer) => (one("layer", layer, shape.layers)?, 0..shape.kv_heads),
        Heads::Head(layer, head) => {
            (one("layer", layer, shape.layers)?, one("KV head", head, shape.kv_heads)?)
        }
    };
    Ok(layers
        .flat_map(move |layer| kv_heads.clone().map(move |head| layer * shape.kv_heads + head)))
}

/// A range of one, refused where it is not below `number`.
pub(super) fn one(name: &str, index: usize, number: usize) -> Result<std::ops::Range<usize>> {
    match index < number {
        true => Ok(index..index + 1),
        false => Err(Error::input(format!("{name} {index}: expected one of 0 to {}", number - 1))),
    }
}
