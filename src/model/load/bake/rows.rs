//! Which rows of a model's weights a mask turns to zero.
//!
//! Keys are cached after rotation, which mixes a channel with its partner. A pair whose two rows of
//! the key projection are zero is zero at every position, and so is pruned in any program that reads
//! the weights, for every token: there is no window. The same rows of the queries that read it count
//! for nothing and become zero too. A dropped head gives nothing (docs/ARCHITECTURE.md, "Decode
//! semantics"), and so do values of zero.
//!
//! A norm of each key head comes after the projection and divides by the root mean square of all
//! its channels, which rows of zeros would change. There the entries of the norm's own weight become
//! zero, and all heads of a layer share that weight.

use std::collections::BTreeMap;

use crate::mask::ChannelMask;
use crate::model::arch::HeadNorms;
use crate::model::config::Config;
use crate::{Error, Result};

/// The rows of one tensor that become zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zeros {
    /// One flag per row of a matrix or entry of a vector, rotate-half order.
    pub rows: Vec<bool>,
    /// Columns of a matrix; `None` for a vector.
    pub columns: Option<usize>,
}

impl Zeros {
    /// The shape of the tensor, slowest dimension first.
    pub fn shape(&self) -> Vec<usize> {
        std::iter::once(self.rows.len()).chain(self.columns).collect()
    }

    /// The numbers of the rows that become zero.
    pub fn each(&self) -> impl Iterator<Item = usize> + Clone {
        self.rows.iter().enumerate().filter_map(|(row, &zero)| zero.then_some(row))
    }
}

/// All rows of a model that become zero, by the tensors' names in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroRows(BTreeMap<String, Zeros>);

impl ZeroRows {
    /// The rows that a mask without a window turns to zero.
    ///
    /// # Errors
    /// A mask of another shape; one that keeps everything; one that keeps one channel of a pair
    /// alone; with a k-norm, one whose heads of a layer keep different channels.
    pub fn new(config: &Config, mask: &ChannelMask) -> Result<Self> {
        let shape = config.mask_shape();
        if mask.shape() != shape {
            return Err(Error::input(format!(
                "expected a mask of shape {shape}, found {}",
                mask.shape()
            )));
        }
        let refused = |why: &str| {
            Err(Error::input(format!(
                "{} cannot hold a mask in its weights: {why}",
                config.architecture
            )))
        };
        let architecture = config.architecture;
        if architecture.tensors.qkv.is_some() {
            return refused(
                "its files have q, k and v in one tensor, which kscope does not change",
            );
        }
        if architecture.norms.heads == HeadNorms::Together {
            return refused(
                "a norm over all heads of k changes with every channel that becomes zero",
            );
        }
        if architecture.gemma.is_some() && architecture.norms.heads == HeadNorms::Each {
            return refused("its checkpoints store norms less 1, which kscope does not change");
        }
        if architecture.gemma.is_some() {
            return refused("kscope bakes no model with caps of scores: none was checked");
        }
        if mask.is_full() {
            return Err(Error::input("the mask keeps every channel, so there is nothing to bake"));
        }
        check_pairs(mask)?;
        let mut all = Self(BTreeMap::new());
        for layer in 0..shape.layers {
            all.add_layer(config, mask, layer)?;
        }
        Ok(all)
    }

    fn add_layer(&mut self, config: &Config, mask: &ChannelMask, layer: usize) -> Result<()> {
        let (names, group) = (&config.architecture.tensors, config.group());
        let is_dropped = |head: usize| mask.kept_count(layer, head) == 0;
        let norm = if config.qk_norm { Some(shared_norm(mask, layer)?) } else { None };
        let (mut keys, mut queries, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for head in 0..config.kv_heads {
            let dropped = vec![is_dropped(head); config.head_dim];
            let rows: Vec<bool> = match &norm {
                // What is pruned of the other heads is the norm's work.
                Some(_) => dropped.clone(),
                None => mask.head(layer, head).iter().map(|kept| !kept).collect(),
            };
            (0..group).for_each(|_| queries.extend_from_slice(&rows));
            keys.extend(rows);
            values.extend(dropped);
        }
        let prefix = names.block_prefix(layer);
        for (part, rows) in [(names.k, keys), (names.q, queries), (names.v, values)] {
            if config.qkv_bias {
                self.add(format!("{prefix}{}.bias", part.hf), rows.clone(), None);
            }
            self.add(format!("{prefix}{}.weight", part.hf), rows, Some(config.hidden));
        }
        for part in [names.k_norm, names.q_norm] {
            if let Some(entries) = &norm {
                self.add(format!("{prefix}{}.weight", part.hf), entries.clone(), None);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, rows: Vec<bool>, columns: Option<usize>) {
        if rows.contains(&true) {
            self.0.insert(name, Zeros { rows, columns });
        }
    }

    /// What becomes zero in the tensor of this name in a checkpoint.
    pub fn of(&self, name: &str) -> Option<&Zeros> {
        self.0.get(name)
    }

    /// Every tensor that changes, by its name in a checkpoint.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Zeros)> {
        self.0.iter().map(|(name, zeros)| (name.as_str(), zeros))
    }
}

/// Refuses a mask that keeps one channel of a pair alone.
fn check_pairs(mask: &ChannelMask) -> Result<()> {
    let shape = mask.shape();
    for (layer, head) in shape.each_head() {
        let kept = mask.head(layer, head);
        let alone = (0..shape.head_dim).find_map(|channel| {
            let partner = shape.partner(channel)?;
            (kept[channel] && !kept[partner]).then_some((channel, partner))
        });
        if let Some((channel, partner)) = alone {
            return Err(Error::input(format!(
                "layer {layer}, KV head {head}: expected pairs that are kept or pruned whole, found channel {channel} kept and channel {partner}, \
                 which rotates with it, pruned: weights cannot hold that (`kscope mask make --pair-closed` and `kscope learn --baked` keep pairs together)"
            )));
        }
    }
    Ok(())
}

/// The entries of a layer's k-norm that become zero: what all heads prune that are not dropped.
fn shared_norm(mask: &ChannelMask, layer: usize) -> Result<Vec<bool>> {
    let shape = mask.shape();
    let mut heads = (0..shape.kv_heads).filter(|&head| mask.kept_count(layer, head) > 0);
    let Some(first) = heads.next() else { return Ok(vec![false; shape.head_dim]) };
    let kept = mask.head(layer, first);
    match heads.find(|&head| mask.head(layer, head) != kept) {
        None => Ok(kept.iter().map(|kept| !kept).collect()),
        Some(other) => Err(Error::input(format!(
            "layer {layer}: the heads of this model share one k-norm weight, so all that are not dropped must keep the same channels, \
             and KV heads {first} and {other} keep different ones"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Shape;
    use crate::model::arch::known_config;

    /// Two KV heads of four channels, six query heads, one layer.
    fn config(known: &str) -> Config {
        let known = known_config(known).expect("a published shape");
        Config { layers: 1, heads: 6, kv_heads: 2, head_dim: 4, hidden: 10, ..known }
    }

    fn mask(bits: [u8; 8]) -> ChannelMask {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 4 };
        ChannelMask::new(shape, bits.map(|bit| bit == 1).to_vec()).unwrap()
    }

    fn rows(zeros: &ZeroRows, part: &str) -> Vec<usize> {
        let name = format!("model.layers.0.self_attn.{part}");
        zeros.of(&name).map_or_else(Vec::new, |zeros| zeros.each().collect())
    }

    #[test]
    fn keys_and_the_queries_that_read_them_become_zero_and_values_of_dropped_heads() {
        let config = Config { qkv_bias: true, ..config("llama-3.2-1b") };
        let zeros = ZeroRows::new(&config, &mask([1, 0, 1, 0, 0, 0, 0, 0])).unwrap();
        for kind in ["weight", "bias"] {
            assert_eq!(rows(&zeros, &format!("k_proj.{kind}")), [1, 3, 4, 5, 6, 7]);
            let queries = [1, 3, 5, 7, 9, 11].into_iter().chain(12..24).collect::<Vec<_>>();
            assert_eq!(rows(&zeros, &format!("q_proj.{kind}")), queries);
            assert_eq!(rows(&zeros, &format!("v_proj.{kind}")), [4, 5, 6, 7]);
        }
        assert_eq!(zeros.tensors().count(), 6);
        let matrix = zeros.of("model.layers.0.self_attn.q_proj.weight").unwrap();
        assert_eq!(matrix.shape(), [24, 10]);
    }

    #[test]
    fn a_k_norm_takes_the_channels_and_dropped_heads_are_no_part_of_it() {
        let config = config("qwen3-0.6b");
        let zeros = ZeroRows::new(&config, &mask([0, 0, 0, 0, 0, 1, 0, 1])).unwrap();
        assert_eq!(rows(&zeros, "k_norm.weight"), [0, 2]);
        assert_eq!(rows(&zeros, "q_norm.weight"), [0, 2]);
        assert_eq!(rows(&zeros, "k_proj.weight"), [0, 1, 2, 3]);
        assert_eq!(rows(&zeros, "v_proj.weight"), [0, 1, 2, 3]);
        let nothing = ZeroRows::new(&config, &mask([0; 8])).unwrap();
        assert!(nothing.of("model.layers.0.self_attn.k_norm.weight").is_none());
    }

    #[test]
    fn what_cannot_be_baked_is_refused_with_the_place() {
        let refusal =
            |known, bits| ZeroRows::new(&config(known), &mask(bits)).unwrap_err().to_string();
        let half = refusal("llama-3.2-1b", [1, 1, 1, 1, 0, 0, 1, 0]);
        assert!(half.contains("layer 0, KV head 1") && half.contains("channel 2 kept"), "{half}");
        let shared = refusal("qwen3-0.6b", [1, 0, 1, 0, 0, 1, 0, 1]);
        assert!(shared.contains("KV heads 0 and 1") && shared.contains("k-norm"), "{shared}");
        assert!(refusal("llama-3.2-1b", [1; 8]).contains("keeps every channel"));
        let other = ZeroRows::new(&known_config("llama-3.2-1b").unwrap(), &mask([0; 8]));
        assert!(other.unwrap_err().to_string().contains("expected a mask of shape"));
    }
}
