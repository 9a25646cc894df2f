//! The plan of a cache: bits per K channel, bits of V per head.

use sha2::{Digest, Sha256};

use super::{Coding, HeadBytes, Width, WidthCounts, group_tokens};
use crate::mask::{ChannelMask, Shape};
use crate::{Error, Result};

/// Bits of every K channel and of every head's V in the middle of a cache.
///
/// A channel mask is the corner where all widths are 16 or 0. A head that stores no K stores no V
/// either: it is dropped, and does not see its middle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CachePlan {
    /// The K channels that store something.
    mask: ChannelMask,
    /// `[layers, kv_heads, head_dim]`
    k: Vec<Width>,
    /// `[layers, kv_heads]`
    v: Vec<Width>,
    coding: Coding,
}

impl CachePlan {
    /// A plan from its widths in row-major order, K `[layers, kv_heads, head_dim]` and V `[layers,
    /// kv_heads]`.
    ///
    /// # Errors
    /// Lengths that do not fit the shape; a head with K but no V, or V but no K; widths that blocks
    /// per token cannot store.
    pub fn new(shape: Shape, k: Vec<Width>, v: Vec<Width>, coding: Coding) -> Result<Self> {
        for (name, found, expected) in
            [("K", k.len(), shape.entries()), ("V", v.len(), shape.heads())]
        {
            if found != expected {
                return Err(Error::input(format!(
                    "a plan of shape {shape} has {expected} widths of {name}, not {found}"
                )));
            }
        }
        let mask = ChannelMask::new(shape, k.iter().map(|&width| width != Width::Zero).collect())?;
        let plan = Self { mask, k, v, coding };
        plan.check_heads()?;
        Ok(plan)
    }

    /// Refuses heads that contradict themselves or their coding.
    fn check_heads(&self) -> Result<()> {
        let shape = self.shape();
        if let Coding::Channels { v_group: 0 } = self.coding {
            return Err(Error::input("a group of V holds at least 1 channel, not 0"));
        }
        for (layer, head) in shape.each_head() {
            let (k, v) = (self.k(layer, head), self.v(layer, head));
            let stored = self.mask.kept_count(layer, head);
            let place = || format!("layer {layer}, KV head {head}");
            if stored == 0 && v != Width::Zero {
                return Err(Error::input(format!(
                    "{} has no K channel but V of {v} bits: a dropped head stores neither",
                    place()
                )));
            }
            if stored > 0 && v == Width::Zero {
                return Err(Error::input(format!(
                    "{} has {stored} K channels but V of 0 bits: a dropped head stores neither",
                    place()
                )));
            }
            if let Coding::Blocks { rotated } = self.coding {
                let uniform = k.iter().all(|width| *width == k[0]);
                let known = |width: Width| matches!(width, Width::Four | Width::Eight);
                if !(uniform && known(k[0]) && known(v)) {
                    return Err(Error::input(format!(
                        "{}: blocks per token hold 8 or 4 bits, the same for all channels",
                        place()
                    )));
                }
                let multiple = if rotated { 64 } else { Coding::BLOCK_CHANNELS };
                if !shape.head_dim.is_multiple_of(multiple) {
                    return Err(Error::input(format!(
                        "blocks per token need a head_dim that is a multiple of {multiple}, not {}",
                        shape.head_dim
                    )));
                }
            }
        }
        Ok(())
    }

    /// The same width for every K channel, and one for every V.
    pub fn uniform(shape: Shape, k: Width, v: Width, coding: Coding) -> Result<Self> {
        Self::new(shape, vec![k; shape.entries()], vec![v; shape.heads()], coding)
    }

    /// The plan that stores what a mask keeps, at the cache's element type.
    pub fn of_mask(mask: &ChannelMask) -> Self {
        let shape = mask.shape();
        let width = |kept: bool| if kept { Width::Sixteen } else { Width::Zero };
        Self {
            k: mask.bits().iter().map(|&kept| width(kept)).collect(),
            v: mask.kept_counts().into_iter().map(|count| width(count > 0)).collect(),
            coding: Coding::best(shape.head_dim),
            mask: mask.clone(),
        }
    }

    /// The plan that stores what a mask keeps, at this plan's widths: a mask times bits.
    ///
    /// # Errors
    /// Another shape; blocks per token, which hold whole keys.
    pub fn within(&self, mask: &ChannelMask) -> Result<Self> {
        if mask.shape() != self.shape() {
            return Err(Error::input(format!(
                "a mask of shape {} does not fit a plan of {}",
                mask.shape(),
                self.shape()
            )));
        }
        if let Coding::Blocks { .. } = self.coding {
            return Err(Error::input(
                "blocks per token hold whole keys, so no mask can be laid on them: k8v8, k8v4, k4v8 and k4v4 take one",
            ));
        }
        let of = |width: Width, kept: bool| if kept { width } else { Width::Zero };
        let k = self.k.iter().zip(mask.bits()).map(|(&width, &kept)| of(width, kept)).collect();
        let v = self.v.iter().zip(mask.kept_counts());
        Self::new(
            self.shape(),
            k,
            v.map(|(&width, kept)| of(width, kept > 0)).collect(),
            self.coding,
        )
    }

    /// The plan that stores everything at the cache's element type: dense decode.
    pub fn full(shape: Shape) -> Self {
        Self::of_mask(&ChannelMask::full(shape))
    }

    /// The axes.
    pub fn shape(&self) -> Shape {
        self.mask.shape()
    }

    /// The K channels that store something, at whatever width.
    pub fn mask(&self) -> &ChannelMask {
        &self.mask
    }

    /// How coded numbers share scales.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Widths of the K channels of one head, `head_dim` of them.
    pub fn k(&self, layer: usize, kv_head: usize) -> &[Width] {
        let head_dim = self.shape().head_dim;
        &self.k[(layer * self.shape().kv_heads + kv_head) * head_dim..][..head_dim]
    }

    /// Width of the V of one head.
    pub fn v(&self, layer: usize, kv_head: usize) -> Width {
        self.v[layer * self.shape().kv_heads + kv_head]
    }

    /// All widths of K, `[layers, kv_heads, head_dim]`.
    pub fn k_widths(&self) -> &[Width] {
        &self.k
    }

    /// All widths of V, `[layers, kv_heads]`.
    pub fn v_widths(&self) -> &[Width] {
        &self.v
    }

    /// Whether every width is 16 or 0: a channel mask.
    pub fn is_mask(&self) -> bool {
        !self.k.iter().chain(&self.v).any(|width| width.is_coded())
    }

    /// Whether everything is stored at the cache's element type: dense decode.
    pub fn is_full(&self) -> bool {
        self.k.iter().chain(&self.v).all(|&width| width == Width::Sixteen)
    }

    /// K channels by width.
    pub fn k_counts(&self) -> WidthCounts {
        WidthCounts::of(&self.k)
    }

    /// Heads by the width of their V.
    pub fn v_counts(&self) -> WidthCounts {
        WidthCounts::of(&self.v)
    }

    /// Bytes of the middle of one head, for elements of this size.
    pub fn head_bytes(&self, (layer, kv_head): (usize, usize), element: usize) -> HeadBytes {
        HeadBytes::of(self.k(layer, kv_head), self.v(layer, kv_head), self.coding, element)
    }

    /// Bytes of 64 middle tokens of K and of V by width, in the order of [`Width::ALL`], scales and
    /// minima included.
    pub fn bytes_by_width(&self, chunk: usize, element: usize) -> [[usize; 5]; 2] {
        self.bytes_by_width_of(self.shape().each_head(), chunk, element)
    }

    /// The same of some heads alone.
    pub fn bytes_by_width_of(
        &self,
        heads: impl Iterator<Item = (usize, usize)>,
        chunk: usize,
        element: usize,
    ) -> [[usize; 5]; 2] {
        let (tokens, group) = (64, group_tokens(chunk));
        let mut bytes = [[0; 5]; 2];
        for (layer, head) in heads {
            let counts = WidthCounts::of(self.k(layer, head)).0;
            for (width, count) in Width::ALL.into_iter().zip(counts).filter(|(_, n)| *n > 0) {
                let k = HeadBytes::of(&vec![width; count], Width::Zero, self.coding, element);
                bytes[0][width.index()] += k.at(tokens, group)[0];
            }
            let v = self.head_bytes((layer, head), element).at(tokens, group)[1];
            bytes[1][self.v(layer, head).index()] += v;
        }
        bytes
    }

    /// Bytes of the middle of a long context for a dense f16 cache's 1, scales and minima included,
    /// where every layer sees all of it. Where 16 bits stand for another element type, they count as
    /// f16 all the same.
    pub fn bytes_share(&self, chunk: usize) -> f64 {
        self.share_of_heads(self.shape().each_head(), chunk)
    }

    /// The same of one layer.
    pub fn layer_bytes_share(&self, layer: usize, chunk: usize) -> f64 {
        self.share_of_heads((0..self.shape().kv_heads).map(|head| (layer, head)), chunk)
    }

    fn share_of_heads(&self, heads: impl Iterator<Item = (usize, usize)>, chunk: usize) -> f64 {
        // 64 tokens, so that codes fill whole bytes.
        let (tokens, group) = (64, group_tokens(chunk));
        let (mut stored, mut count) = (0, 0);
        for head in heads {
            stored += self.head_bytes(head, 2).at(tokens, group).iter().sum::<usize>();
            count += 1;
        }
        stored as f64 / (4 * tokens * count * self.shape().head_dim) as f64
    }

    /// Sha256 of coding, K widths and V widths, in hexadecimal.
    pub fn sha256(&self) -> String {
        let mut bytes = format!("{:?}", self.coding).into_bytes();
        bytes.extend(self.k.iter().chain(&self.v).map(|width| width.bits()));
        crate::numbers::hex(&Sha256::digest(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { layers: 2, kv_heads: 1, head_dim: 64 };

    #[test]
    fn a_mask_is_the_corner_of_16_and_0() {
        let mask = ChannelMask::from_fn(SHAPE, |layer, _, channel| layer == 1 && channel % 3 == 0);
        let plan = CachePlan::of_mask(&mask);
        assert_eq!(plan.mask(), &mask);
        assert!(plan.is_mask() && !plan.is_full());
        assert_eq!(plan.v_widths(), [Width::Zero, Width::Sixteen]);
        assert_eq!(plan.k_counts().0, [106, 0, 0, 0, 22]);
        let again = CachePlan::new(
            SHAPE,
            plan.k_widths().to_vec(),
            plan.v_widths().to_vec(),
            plan.coding(),
        );
        assert_eq!(again.unwrap(), plan);
        assert!(CachePlan::full(SHAPE).is_full());
        assert_eq!(CachePlan::full(SHAPE).bytes_share(32), 1.0);
    }

    #[test]
    fn a_mask_times_bits_stores_what_the_mask_keeps() {
        let mask = ChannelMask::from_fn(SHAPE, |layer, _, channel| layer == 1 && channel % 4 == 0);
        let plan = CachePlan::named("k8v4", SHAPE).unwrap().within(&mask).unwrap();
        assert_eq!(plan.mask(), &mask);
        assert_eq!(plan.k_counts().0, [112, 0, 0, 16, 0]);
        assert_eq!(plan.v_widths(), [Width::Zero, Width::Four]);
        assert_eq!(plan.bytes_share(64), (16.0 * 8.5 + 64.0 * 5.0) / (4.0 * 64.0 * 16.0));
        let full = CachePlan::named("k8v4", SHAPE).unwrap();
        assert_eq!(full.within(&ChannelMask::full(SHAPE)).unwrap(), full);
        let blocks = CachePlan::named("q8_0", SHAPE).unwrap().within(&mask).unwrap_err();
        assert!(blocks.to_string().contains("hold whole keys"), "{blocks}");
        let other = Shape { layers: 3, ..SHAPE };
        assert!(CachePlan::named("k8v4", other).unwrap().within(&mask).is_err());
    }

    #[test]
    fn bytes_by_width_add_up_to_the_bytes_of_all_heads() {
        let mixed = CachePlan::new(
            SHAPE,
            (0..SHAPE.entries()).map(|i| Width::ALL[i % 5]).collect(),
            vec![Width::Four, Width::Eight],
            Coding::best(64),
        );
        let blocks = Coding::Blocks { rotated: false };
        let blocks = CachePlan::uniform(SHAPE, Width::Eight, Width::Four, blocks);
        for plan in [mixed.unwrap(), blocks.unwrap(), CachePlan::full(SHAPE)] {
            let whole = SHAPE.each_head().map(|head| plan.head_bytes(head, 2).at(64, 16));
            let whole = whole.fold([0, 0], |sum, at| [sum[0] + at[0], sum[1] + at[1]]);
            let bytes = plan.bytes_by_width(16, 2);
            assert_eq!(bytes.map(|widths| widths.iter().sum::<usize>()), whole);
        }
    }

    #[test]
    fn contradictions_are_refused_by_place() {
        let coding = Coding::best(64);
        let of = |k: Vec<Width>, v: [Width; 2]| {
            CachePlan::new(SHAPE, k, v.to_vec(), coding).unwrap_err().to_string()
        };
        let mut k = vec![Width::Four; 128];
        assert!(
            of(k.clone(), [Width::Eight, Width::Zero]).starts_with("layer 1, KV head 0 has 64")
        );
        k[..64].fill(Width::Zero);
        assert!(
            of(k.clone(), [Width::Eight; 2]).starts_with("layer 0, KV head 0 has no K channel")
        );
        assert!(of(k[1..].to_vec(), [Width::Eight; 2]).contains("128 widths of K, not 127"));

        let blocks = Coding::Blocks { rotated: false };
        assert!(CachePlan::uniform(SHAPE, Width::Eight, Width::Four, blocks).is_ok());
        assert!(CachePlan::uniform(SHAPE, Width::Two, Width::Two, blocks).is_err());
        let odd = Shape { head_dim: 48, ..SHAPE };
        assert!(CachePlan::uniform(odd, Width::Eight, Width::Eight, blocks).is_err());
    }
}
