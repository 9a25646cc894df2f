//! What one head's middle would cost at every width: the errors of coded keys and values, carried
//! through the gradients of scores and outputs.

use half::f16;

use super::attention::{BackwardView, HeadJob, product};
use crate::Result;
use crate::cache::coded::Group;
use crate::mask::{Coding, Sensitivity, Width, group_tokens};

/// Sums over rows of squared effects on the log-probabilities, with a column per width of
/// [`Sensitivity::WIDTHS`].
pub(super) struct HeadDamage {
    /// `[d]`
    pub(super) k: Vec<[f64; 4]>,
    pub(super) v: [f64; 4],
}

impl HeadDamage {
    /// The sums over the rows of a block. The keys of a row's middle are coded in groups of
    /// [`group_tokens`] of `chunk`.
    pub(super) fn of(
        head: &HeadJob<'_>,
        view: &BackwardView<'_>,
        chunk: usize,
        widths: &[Width],
    ) -> Result<Self> {
        let mut damage = Self { k: vec![[0.0; 4]; head.d], v: [0.0; 4] };
        let (middle, _) = head.middle();
        if middle.is_empty() {
            return Ok(damage);
        }
        let (d, len) = (head.d, middle.len());
        let stored = |x: &[f32]| -> Vec<f32> {
            x[middle.start * d..middle.end * d].iter().map(|&x| f16::from_f32(x).to_f32()).collect()
        };
        let (keys, values) = (stored(&head.keys), stored(&head.values));
        let inside: Vec<f32> = view
            .weights
            .chunks_exact(head.tokens)
            .enumerate()
            .flat_map(|(index, weights)| {
                let end = head.ends[index / head.group].max(middle.start);
                let padding = middle.end - end;
                weights[middle.start..end].iter().copied().chain(std::iter::repeat_n(0.0, padding))
            })
            .collect();
        let dropped = head.attend_dropped()?;
        let columns = Sensitivity::WIDTHS.into_iter().enumerate();
        for (column, width) in columns.filter(|(_, width)| widths.contains(width)) {
            if width == Width::Zero {
                // The error of a channel that is not stored is its key, negated.
                head.add_keys(view.d_middle_keys, |c, effect| damage.k[c][column] += effect);
                let lost: Vec<f32> = dropped
                    .iter()
                    .zip(view.attended)
                    .map(|(without, with)| without - with)
                    .collect();
                damage.v[column] = head.outputs(&lost, view.d_attended);
                continue;
            }
            let errors = key_errors(&keys, d, group_tokens(chunk), width);
            let carried = product(view.d_middle, &errors, len)?;
            head.add_keys(&carried, |c, effect| damage.k[c][column] += effect);
            let errors = value_errors(&values, Coding::best(d).v_group(d), width);
            let off = product(&inside, &errors, len)?;
            damage.v[column] = head.outputs(&off, view.d_attended);
        }
        Ok(damage)
    }
}

impl HeadJob<'_> {
    /// Gives `add` the squared effect of every row on every channel: of the sum over the row's
    /// query heads of query times `carried`, `[rows * group, d]`.
    fn add_keys(&self, carried: &[f32], mut add: impl FnMut(usize, f64)) {
        let width = self.group * self.d;
        for (q, carried) in self.queries.chunks_exact(width).zip(carried.chunks_exact(width)) {
            for c in 0..self.d {
                let effect: f64 = (c..width)
                    .step_by(self.d)
                    .map(|at| f64::from(q[at]) * f64::from(carried[at]))
                    .sum();
                add(c, effect * effect);
            }
        }
    }

    /// Sum over rows of the squared effect of outputs that are `off` by so much, `[rows * group,
    /// d]`. Rows without a middle have none.
    fn outputs(&self, off: &[f32], d_attended: &[f32]) -> f64 {
        let width = self.group * self.d;
        let (middle, _) = self.middle();
        off.chunks_exact(width)
            .zip(d_attended.chunks_exact(width))
            .zip(&self.ends)
            .filter(|(_, end)| **end > middle.start)
            .map(|((off, d_out), _)| {
                let effect: f64 =
                    off.iter().zip(d_out).map(|(off, d)| f64::from(*off) * f64::from(*d)).sum();
                effect * effect
            })
            .sum()
    }
}

/// What coding changes in keys, `[tokens, d]`: every channel has a group per `group` tokens.
fn key_errors(keys: &[f32], d: usize, group: usize, width: Width) -> Vec<f32> {
    let mut errors = vec![0.0; keys.len()];
    for (keys, errors) in keys.chunks(group * d).zip(errors.chunks_mut(group * d)) {
        for c in 0..d {
            let coded = Group::of(keys[c..].iter().step_by(d).copied(), width);
            for (key, error) in keys[c..].iter().step_by(d).zip(errors[c..].iter_mut().step_by(d)) {
                *error = coded.number(coded.code(*key, width)) - key;
            }
        }
    }
    errors
}

/// What coding changes in values: every token has a group per `group` channels.
fn value_errors(values: &[f32], group: usize, width: Width) -> Vec<f32> {
    let error = |values: &[f32]| {
        let coded = Group::of(values.iter().copied(), width);
        values
            .iter()
            .map(|value| coded.number(coded.code(*value, width)) - value)
            .collect::<Vec<f32>>()
    };
    values.chunks(group).flat_map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys or values that differ from number to number.
    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|at| (at as f32 * 0.71).sin() * 3.0).collect()
    }

    #[test]
    fn channels_are_coded_in_groups_of_tokens_and_rows_in_groups_of_channels() {
        let (d, tokens) = (6, 8);
        let rows = numbers(tokens * d);
        let keys = key_errors(&rows, d, 4, Width::Four);
        let values = value_errors(&rows, 3, Width::Four);
        for token in 0..tokens {
            for c in 0..d {
                let error_in = |group: Vec<usize>| {
                    let of = |at: &usize| rows[*at];
                    let coded = Group::of(group.iter().map(of), Width::Four);
                    let own = rows[token * d + c];
                    coded.number(coded.code(own, Width::Four)) - own
                };
                let first = token / 4 * 4;
                let column = (first..first + 4).map(|token| token * d + c).collect();
                assert_eq!(keys[token * d + c], error_in(column));
                let row = token * d + c / 3 * 3;
                assert_eq!(values[token * d + c], error_in((row..row + 3).collect()));
            }
        }
    }

    #[test]
    fn a_constant_channel_has_no_error_at_any_coded_width() {
        let (d, tokens) = (4, 8);
        let mut keys = numbers(tokens * d);
        keys.iter_mut().skip(2).step_by(d).for_each(|key| *key = -1.375);
        for width in Width::CODED {
            let errors = key_errors(&keys, d, 4, width);
            for (at, error) in errors.iter().enumerate() {
                assert!((at % d == 2) == (*error == 0.0), "{width} bits, {at}: {error}");
            }
        }
    }
}
