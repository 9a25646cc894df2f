//! Keys and values that the cache cannot hold, in its element type or as codes: named before they
//! become infinity.

use half::{bf16, f16};

use super::{BLOCK, CacheSpec, HeadView, SequenceCache, StoredKey};
use crate::element::{Dtype, Element, with_element};
use crate::mask::Width;
use crate::{Error, Result};

impl SequenceCache {
    /// Refuses keys and values, `[tokens, kv_heads, head_dim]` as [`Self::append`] takes them, that
    /// would be stored as something else than a number; names the first. What a plan codes must fit
    /// the f16 of scales and minima besides, whatever the element type. `position` is that of the
    /// first token.
    pub fn check_fits(&self, layer: usize, position: usize, k: &[f32], v: &[f32]) -> Result<()> {
        let (spec, dtype) = (self.spec(), self.spec().dtype());
        if dtype.holds(k) && dtype.holds(v) {
            // All that f16 holds can be coded.
            if dtype == Dtype::F16 || codes_hold(dtype, k) && codes_hold(dtype, v) {
                return Ok(());
            }
        }
        let shape = spec.shape();
        for (what, values) in [("key", k), ("value", v)] {
            for (at, &value) in values.iter().enumerate() {
                let (row, channel) = (at / shape.head_dim, at % shape.head_dim);
                let (token, head) = (row / shape.kv_heads, row % shape.kv_heads);
                let place = [layer, head, channel, position + token];
                check_number(spec, what, place, value)?;
            }
        }
        Ok(())
    }

    /// Refuses stored keys and values that another specification would code and codes cannot hold;
    /// names the first.
    pub(super) fn check_codable(&self, spec: &CacheSpec) -> Result<()> {
        if spec.dtype() == Dtype::F16 || spec.plan().is_mask() {
            return Ok(());
        }
        for (layer, kv_head) in spec.shape().each_head() {
            // A coded head's tokens were checked when they came.
            if spec.layout(layer, kv_head).is_none() || self.spec().layout(layer, kv_head).is_some()
            {
                continue;
            }
            let head = self.head(layer, kv_head);
            if !exceeds_codes(&head) {
                continue;
            }
            for position in 0..head.len() {
                let whole: Vec<usize> = (0..head.head_dim()).collect();
                let (channels, key) = match head.key(position) {
                    StoredKey::Whole(key) => (&whole[..], key),
                    StoredKey::Packed(key) => (head.kept(), key),
                    StoredKey::Dropped => (&[][..], Vec::new()),
                };
                let value = head.value(position).unwrap_or_default();
                for (what, channels, numbers) in
                    [("key", channels, key), ("value", &whole[..], value)]
                {
                    for (&channel, &number) in channels.iter().zip(&numbers) {
                        check_number(spec, what, [layer, kv_head, channel, position], number)?;
                    }
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
            let is_coded = self.spec().layout(layer, kv_head).is_some();
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
                        if is_coded && head.parts().middle.contains(&position) {
                            return Some(Error::input(format!(
                                "layer {layer}, KV head {kv_head}, channel {channel}: the {what} of the token at position {position}, or of one that shares its \
                                 scale, is beyond {} or no number, which codes cannot hold: give it {} bits",
                                f16::MAX,
                                Width::Sixteen
                            )));
                        }
                        let place = [layer, kv_head, channel, position];
                        return Some(refusal(what, place, values[at], head.dtype()));
                    }
                }
            }
        }
        None
    }
}

/// Whether codes hold every value once it is rounded to the element type: scales and minima are
/// f16, and rounding to bf16 can lead beyond them.
fn codes_hold(dtype: Dtype, values: &[f32]) -> bool {
    let most = f16::MAX.to_f32();
    values.iter().fold(true, |held, &value| {
        let stored = match dtype {
            Dtype::F32 => value,
            // Infinite beyond what f16 holds.
            Dtype::F16 => f16::from_f32(value).to_f32(),
            Dtype::Bf16 => bf16::from_f32(value).to_f32(),
        };
        held & (stored.abs() <= most)
    })
}

/// Whether a block of elements has a number that codes cannot hold, perhaps of a token that is gone.
fn exceeds_codes(head: &HeadView<'_>) -> bool {
    let most = f16::MAX.to_f32();
    with_element!(head.dtype(), E => (0..head.len().div_ceil(BLOCK)).any(|block| {
        let blocks =
            [head.whole_block::<E>(block), head.packed_block(block), head.value_block(block)];
        blocks.into_iter().flatten().flatten().any(|x| x.widen().abs() > most)
    }))
}

/// Refuses a number that would not be stored as one.
fn check_number(
    spec: &CacheSpec,
    what: &str,
    place @ [layer, head, channel, position]: [usize; 4],
    number: f32,
) -> Result<()> {
    let dtype = spec.dtype();
    let width = match what {
        "key" => spec.plan().k(layer, head)[channel],
        _ => spec.plan().v(layer, head),
    };
    if number.is_finite() && width.is_coded() && !codes_hold(dtype, &[number]) {
        return Err(Error::input(format!(
            "layer {layer}, KV head {head}, channel {channel}: the {what} of the token at position {position} is {number}, and codes of \
             {width} bits hold at most {}: give {} {} bits{}",
            f16::MAX,
            if what == "key" { "this channel" } else { "V of this head" },
            Width::Sixteen,
            if dtype == Dtype::F16 { ", and --kv-dtype bf16 or f32" } else { "" },
        )));
    }
    if !dtype.holds(&[number]) {
        return Err(refusal(what, place, number, dtype));
    }
    Ok(())
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

    /// A cache that codes channel 1 of the keys of head 0, and the values of head 1 in layer 1.
    fn coded(dtype: Dtype) -> SequenceCache {
        use crate::mask::{CachePlan, Coding};
        let shape = Shape { layers: 2, kv_heads: 2, head_dim: 4 };
        let (mut k, mut v) = (vec![Width::Sixteen; 16], vec![Width::Sixteen; 4]);
        (k[1], k[9]) = (Width::Four, Width::Four);
        v[3] = Width::Eight;
        let plan = CachePlan::new(shape, k, v, Coding::best(4)).unwrap();
        let window = Window { sink: 1, recent: 2, chunk: 1 };
        SequenceCache::new(Arc::new(CacheSpec::planned(window, dtype, plan).unwrap()))
    }

    #[test]
    fn codes_hold_what_f16_holds_whatever_the_element_type() {
        let fine = [0.5; 8];
        for dtype in Dtype::ALL {
            let cache = coded(dtype);
            for (at, is_key, is_coded) in [
                (1, true, true),
                (0, true, false),
                (5, true, false),
                (6, false, true),
                (2, false, false),
            ] {
                let mut rows = [0.5; 8];
                let mut error = |number: f32| {
                    rows[at] = number;
                    let (k, v) = if is_key { (&rows, &fine) } else { (&fine, &rows) };
                    cache.check_fits(1, cache.len(1), k, v).err().map(|error| error.to_string())
                };
                assert_eq!(error(65_279.0), None, "{dtype}");
                let large = error(-70_000.0);
                assert_eq!(large.is_some(), is_coded || dtype == Dtype::F16, "{dtype}, {at}");
                if let Some(sentence) = large {
                    assert_eq!(sentence.contains("bits hold at most 65504: give"), is_coded);
                    assert!(sentence.contains(&format!("channel {}", at % 4)), "{sentence}");
                }
                // 65,504 in bf16 is 65,536.
                assert_eq!(error(65_504.0).is_some(), is_coded && dtype == Dtype::Bf16);
                assert!(error(f32::NAN).is_some_and(|error| error.contains("not finite")));
            }
        }
    }

    #[test]
    fn a_dense_cache_of_numbers_that_codes_cannot_hold_is_not_coded() {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut dense = cache(dtype);
            let mut rows = [0.5; 8];
            for layer in 0..2 {
                dense.append(layer, &rows, &rows);
            }
            let spec = Arc::clone(coded(dtype).spec());
            assert!(dense.retuned(Arc::clone(&spec)).is_ok());
            rows[0] = 1e9;
            dense.append(1, &rows, &[0.5; 8]);
            assert!(dense.retuned(Arc::clone(&spec)).is_ok(), "channel 0 keeps 16 bits");
            rows[1] = 1e9;
            dense.append(1, &rows, &[0.5; 8]);
            let error = dense.retuned(spec).unwrap_err().to_string();
            assert!(error.starts_with("layer 1, KV head 0, channel 1: the key"), "{error}");
            assert!(error.contains("position 2 is 1000000000") || dtype == Dtype::Bf16, "{error}");
            assert!(
                error.ends_with("codes of 4 bits hold at most 65504: give this channel 16 bits"),
                "{error}"
            );
        }
    }

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
