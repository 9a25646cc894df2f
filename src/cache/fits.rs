//! Keys and values that the cache's element type cannot hold: named before they become infinity.

use super::{SequenceCache, StoredKey};
use crate::element::Dtype;
use crate::{Error, Result};

impl SequenceCache {
    /// Refuses keys and values, `[tokens, kv_heads, head_dim]` as [`Self::append`] takes them, that
    /// would be stored as something else than a number; names the first. `position` is that of the
    /// first token.
    pub fn check_fits(&self, layer: usize, position: usize, k: &[f32], v: &[f32]) -> Result<()> {
        let dtype = self.spec().dtype();
        if dtype.holds(k) && dtype.holds(v) {
            return self.check_codes(layer, k, v);
        }
        let shape = self.spec().shape();
        for (what, values) in [("key", k), ("value", v)] {
            let Some(at) = values.iter().position(|&value| !dtype.holds(&[value])) else {
                continue;
            };
            let (row, channel) = (at / shape.head_dim, at % shape.head_dim);
            let (token, head) = (row / shape.kv_heads, row % shape.kv_heads);
            let position = position + token;
            return Err(refusal(what, [layer, head, channel, position], values[at], dtype));
        }
        Ok(())
    }

    /// Refuses numbers that a coded head cannot hold: scales and minima of codes are f16.
    fn check_codes(&self, layer: usize, k: &[f32], v: &[f32]) -> Result<()> {
        let spec = self.spec();
        let largest = Dtype::F16.largest();
        let fits =
            |numbers: &[f32]| numbers.iter().fold(true, |fits, x| fits & (x.abs() <= largest));
        // The f16 cache itself rounds to at most the largest.
        if !spec.has_codes() || spec.dtype() == Dtype::F16 || fits(k) && fits(v) {
            return Ok(());
        }
        let shape = spec.shape();
        for (what, numbers) in [("key", k), ("value", v)] {
            for (at, &number) in numbers.iter().enumerate().filter(|(_, x)| x.abs() > largest) {
                let (row, channel) = (at / shape.head_dim, at % shape.head_dim);
                let (token, head) = (row / shape.kv_heads, row % shape.kv_heads);
                let width = match what {
                    "key" => spec.plan().k(layer, head)[channel],
                    _ => spec.plan().v(layer, head),
                };
                if width.is_coded() {
                    return Err(Error::input(format!(
                        "layer {layer}, KV head {head}, channel {channel}: the {what} of the token at position {} is {number}, and \
                         codes of {width} bits hold at most {largest}: give it 16 bits",
                        self.len(layer) + token
                    )));
                }
            }
        }
        Ok(())
    }

    /// The first stored key or value that is no finite number, as a refusal. Reads everything, so
    /// it is for the moment when something has gone wrong.
    pub fn first_not_finite(&self) -> Option<Error> {
        let shape = self.spec().shape();
        let heads =
            (0..shape.layers).flat_map(|at| (0..shape.kv_heads).map(move |head| (at, head)));
        for (layer, kv_head) in heads {
            let head = self.head(layer, kv_head);
            for position in 0..head.len() {
                let (channels, key) = match head.key(position) {
                    StoredKey::Whole(key) => (None, key),
                    StoredKey::Packed(key) => (Some(head.kept()), key),
                    StoredKey::Dropped => (None, Vec::new()),
                };
                let value = head.value(position).unwrap_or_default();
                for (what, channels, values) in [("key", channels, key), ("value", None, value)] {
                    if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                        let channel = channels.map_or(at, |channels| channels[at]);
                        let place = [layer, kv_head, channel, position];
                        return Some(refusal(what, place, values[at], head.dtype()));
                    }
                }
            }
        }
        None
    }
}

/// What is said of one number; a stored one is infinite already.
fn refusal(
    what: &str,
    [layer, head, channel, position]: [usize; 4],
    number: f32,
    dtype: Dtype,
) -> Error {
    let place = format!(
        "layer {layer}, KV head {head}, channel {channel}: the {what} of the token at position {position} is {number}"
    );
    let largest = dtype.largest();
    Error::input(match (number.is_finite(), number.is_nan(), dtype) {
        (true, _, Dtype::F16) | (false, false, Dtype::F16) => {
            format!(
                "{place}, and a cache of f16 holds at most {largest}: give --kv-dtype bf16 or f32"
            )
        }
        (true, ..) => {
            format!(
                "{place}, and a cache of {dtype} holds at most {largest:e}: give --kv-dtype f32"
            )
        }
        _ => format!(
            "{place}: the model's own numbers are not finite, and no --kv-dtype mends that; look at its weights, epsilon and rope"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::CacheSpec;
    use crate::mask::{Shape, Window};

    fn cache(dtype: Dtype) -> SequenceCache {
        let shape = Shape { layers: 2, kv_heads: 2, head_dim: 4 };
        let spec = CacheSpec::dense(shape, Window { sink: 1, recent: 2, chunk: 1 }, dtype);
        SequenceCache::new(Arc::new(spec.unwrap()))
    }

    #[test]
    fn what_rounds_to_a_number_fits_and_what_becomes_infinity_is_named() {
        use half::{bf16, f16};
        for (dtype, ends) in [
            (Dtype::F16, [65_519.996, 65_520.0]),
            (Dtype::Bf16, [f32::from_bits(0x7F7F_7FFF), f32::from_bits(0x7F7F_8000)]),
        ] {
            for end in ends.into_iter().flat_map(|end| [end, -end]) {
                let stored = match dtype {
                    Dtype::F16 => f16::from_f32(end).to_f32(),
                    _ => bf16::from_f32(end).to_f32(),
                };
                assert_eq!(dtype.holds(&[0.0, end]), stored.is_finite(), "{dtype} {end}");
            }
        }
        assert!(Dtype::F32.holds(&[f32::MAX, f32::MIN]));
        for dtype in Dtype::ALL {
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(!dtype.holds(&[1.0, wrong, 2.0]), "{dtype} {wrong}");
            }
        }
    }

    #[test]
    fn the_refusal_names_layer_head_channel_position_and_a_way_out() {
        let mut cache = cache(Dtype::F16);
        let fine = [1.0; 8];
        cache.append(1, &fine, &fine);
        let mut rows = [0.5; 16];
        rows[8 + 4 + 3] = -70_000.0;
        let of = |k: &[f32], v: &[f32], cache: &SequenceCache| {
            cache.check_fits(1, cache.len(1), k, v).unwrap_err().to_string()
        };
        assert_eq!(
            of(&rows, &[0.5; 16], &cache),
            "layer 1, KV head 1, channel 3: the key of the token at position 2 is -70000, and a cache of f16 holds at most 65504: \
             give --kv-dtype bf16 or f32"
        );
        assert!(of(&[0.5; 16], &rows, &cache).contains("channel 3: the value of the token at"));
        assert!(self::cache(Dtype::Bf16).check_fits(1, 0, &rows, &rows).is_ok());
        rows[0] = f32::NAN;
        assert!(of(&rows, &rows, &cache).contains("no --kv-dtype mends that"));
    }

    #[test]
    fn a_stored_infinity_is_found() {
        for dtype in Dtype::ALL {
            let mut cache = cache(dtype);
            assert!(cache.first_not_finite().is_none());
            let mut rows = [0.5; 48];
            for layer in 0..2 {
                cache.append(layer, &rows, &rows);
            }
            assert!(cache.first_not_finite().is_none());
            rows[6] = f32::INFINITY;
            cache.append(1, &[0.5; 48], &rows);
            let found = cache.first_not_finite().expect("an infinity").to_string();
            assert!(found.contains("layer 1, KV head 1, channel 2: the value of"), "{found}");
            assert!(found.contains("position 6 is inf"), "{found}");
            assert_eq!(found.contains("--kv-dtype bf16 or f32"), dtype == Dtype::F16, "{found}");
        }
    }
}
