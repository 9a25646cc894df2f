//! The tensors of kscope's own files.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::contents::Contents;
use crate::mask::{CachePlan, ChannelMask, Coding, Importance, Sensitivity, Shape, Width};
use crate::{Error, Result};

/// One tensor to be written.
pub(super) struct FileTensor {
    pub(super) name: &'static str,
    pub(super) dtype: Dtype,
    pub(super) axes: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

/// Everything that a file of these contents stores.
pub(super) fn of(contents: &Contents) -> Vec<FileTensor> {
    let Shape { layers, kv_heads, head_dim } = contents.shape();
    let floats = |name, axes: &[usize], numbers: &[f32]| FileTensor {
        name,
        dtype: Dtype::F32,
        axes: axes.to_vec(),
        bytes: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
    };
    let bytes = |name, axes: &[usize], bytes| FileTensor {
        name,
        dtype: Dtype::U8,
        axes: axes.to_vec(),
        bytes,
    };
    let channels = [layers, kv_heads, head_dim];
    let widths = Sensitivity::WIDTHS.len();
    let mut tensors = Vec::new();
    if let Some(importance) = contents.importance() {
        tensors.push(floats("importance", &channels, importance.scores()));
    }
    if let Some(sensitivity) = contents.sensitivity() {
        let [k, v] = match contents {
            Contents::Sensitivity(_) => ["k", "v"],
            _ => ["sensitivity_k", "sensitivity_v"],
        };
        tensors.push(floats(k, &[layers, kv_heads, head_dim, widths], sensitivity.k_table()));
        tensors.push(floats(v, &[layers, kv_heads, widths], sensitivity.v_table()));
    }
    if let Contents::Mask(file) = contents {
        tensors.push(bytes("mask", &channels, file.mask().bytes()));
        if !file.plan.is_mask() {
            let bits = |widths: &[Width]| widths.iter().map(|width| width.bits()).collect();
            tensors.push(bytes("k_bits", &channels, bits(file.plan.k_widths())));
            tensors.push(bytes("v_bits", &channels[..2], bits(file.plan.v_widths())));
        }
    }
    tensors
}

/// The tensors of a file that is read; errors name the file.
pub(super) struct FileTensors<'a> {
    pub(super) name: &'a str,
    pub(super) tensors: SafeTensors<'a>,
}

impl FileTensors<'_> {
    /// A tensor that must be there is not.
    pub(super) fn missing(&self, tensor: &str) -> Error {
        self.wrong(format!("expected a tensor named {tensor}, found none"))
    }

    fn wrong(&self, sentence: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {sentence}", self.name))
    }

    /// A tensor of this type with axes named `axes`, or `None` where there is none.
    fn find(&self, tensor: &str, dtype: Dtype, axes: &str) -> Result<Option<TensorView<'_>>> {
        let Ok(view) = self.tensors.tensor(tensor) else { return Ok(None) };
        if view.dtype() != dtype {
            return Err(self.wrong(format!(
                "tensor {tensor}: expected type {dtype:?}, found {:?}",
                view.dtype()
            )));
        }
        let expected = axes.split(", ").count();
        if view.shape().len() != expected {
            return Err(self.wrong(format!(
                "tensor {tensor}: expected {expected} axes ({axes}), found {:?}",
                view.shape()
            )));
        }
        Ok(Some(view))
    }

    fn get(&self, tensor: &str, dtype: Dtype, axes: &str) -> Result<TensorView<'_>> {
        self.find(tensor, dtype, axes)?.ok_or_else(|| self.missing(tensor))
    }

    fn shape(&self, axes: &[usize]) -> Result<Shape> {
        let &[layers, kv_heads, head_dim, ..] = axes else {
            return Err(self.wrong(format!("expected three axes ({CHANNELS}), found {axes:?}")));
        };
        Shape::checked(layers, kv_heads, head_dim).map_err(|error| self.wrong(error))
    }

    /// The mask of a file of version 1.
    pub(super) fn mask_alone(&self) -> Result<ChannelMask> {
        if self.tensors.tensor("k_bits").is_ok() {
            return Err(
                self.wrong("a file with a tensor k_bits has version 2, and this one says 1")
            );
        }
        self.mask()
    }

    fn mask(&self) -> Result<ChannelMask> {
        let tensor = self.get("mask", Dtype::U8, CHANNELS)?;
        let shape = self.shape(tensor.shape())?;
        if let Some((index, byte)) = tensor.data().iter().enumerate().find(|(_, byte)| **byte > 1) {
            return Err(self.wrong(format!(
                "tensor mask, {}: expected 0 or 1, found {byte}",
                channel(shape, index)
            )));
        }
        ChannelMask::new(shape, tensor.data().iter().map(|&byte| byte == 1).collect())
    }

    /// The plan of a file of version 2.
    pub(super) fn plan(&self, coding: Coding) -> Result<CachePlan> {
        let mask = self.mask()?;
        let shape = mask.shape();
        let k = self.get("k_bits", Dtype::U8, CHANNELS)?;
        let v = self.get("v_bits", Dtype::U8, HEADS)?;
        let axes = [shape.layers, shape.kv_heads, shape.head_dim];
        for (name, found, expected) in
            [("k_bits", k.shape(), &axes[..]), ("v_bits", v.shape(), &axes[..2])]
        {
            if found != expected {
                return Err(self.wrong(format!(
                    "tensor {name}: expected the axes {expected:?} as in the mask, found {found:?}"
                )));
            }
        }
        let k = self.widths("k_bits", k.data(), |index| channel(shape, index))?;
        let v = self.widths("v_bits", v.data(), |index| head(shape, index))?;
        let mut both = k.iter().zip(mask.bits()).enumerate();
        let other = both.find(|(_, (width, kept))| (**width != Width::Zero) != **kept);
        if let Some((index, (width, &kept))) = other {
            return Err(self.wrong(format!(
                "{}: k_bits is {width} and mask is {}: a channel is in the mask where it has bits",
                channel(shape, index),
                u8::from(kept)
            )));
        }
        CachePlan::new(shape, k, v, coding).map_err(|error| self.wrong(error))
    }

    fn widths(
        &self,
        tensor: &str,
        bits: &[u8],
        place: impl Fn(usize) -> String,
    ) -> Result<Vec<Width>> {
        bits.iter()
            .enumerate()
            .map(|(index, &bits)| {
                Width::of_bits(bits).map_err(|error| {
                    self.wrong(format!("tensor {tensor}, {}: {error}", place(index)))
                })
            })
            .collect()
    }

    pub(super) fn importance(&self) -> Result<Option<Importance>> {
        let Some(tensor) = self.find("importance", Dtype::F32, CHANNELS)? else { return Ok(None) };
        Importance::new(self.shape(tensor.shape())?, floats(&tensor))
            .map(Some)
            .map_err(|error| self.wrong(error))
    }

    /// The sensitivity of two tensors, or `None` where neither is there.
    pub(super) fn sensitivity(&self, k: &str, v: &str) -> Result<Option<Sensitivity>> {
        let [k_tensor, v_tensor] = [
            self.find(k, Dtype::F32, "layers, KV heads, channels, widths")?,
            self.find(v, Dtype::F32, "layers, KV heads, widths")?,
        ];
        let (k_tensor, v_tensor) = match (k_tensor, v_tensor) {
            (Some(k_tensor), Some(v_tensor)) => (k_tensor, v_tensor),
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(self.missing(k)),
            (Some(_), None) => return Err(self.missing(v)),
        };
        let shape = self.shape(k_tensor.shape())?;
        let widths = Sensitivity::WIDTHS.len();
        let Shape { layers, kv_heads, head_dim } = shape;
        for (name, tensor, expected) in [
            (k, &k_tensor, &[layers, kv_heads, head_dim, widths][..]),
            (v, &v_tensor, &[layers, kv_heads, widths]),
        ] {
            if tensor.shape() != expected {
                return Err(self.wrong(format!(
                    "tensor {name}: expected the axes {expected:?} (damage of 0, 2, 4 and 8 bits last), found {:?}",
                    tensor.shape()
                )));
            }
        }
        Sensitivity::new(shape, floats(&k_tensor), floats(&v_tensor))
            .map(Some)
            .map_err(|error| self.wrong(error))
    }

    /// Refuses what has another shape than the plan that it came with.
    pub(super) fn same_shape(
        &self,
        what: &str,
        found: Option<Shape>,
        plan: &CachePlan,
    ) -> Result<()> {
        match found {
            Some(found) if found != plan.shape() => Err(self.wrong(format!(
                "expected {what} of the mask's shape {}, found {found}",
                plan.shape()
            ))),
            _ => Ok(()),
        }
    }
}

const CHANNELS: &str = "layers, KV heads, channels";
const HEADS: &str = "layers, KV heads";

fn floats(tensor: &TensorView<'_>) -> Vec<f32> {
    tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn channel(shape: Shape, index: usize) -> String {
    format!("{}, channel {}", head(shape, index / shape.head_dim), index % shape.head_dim)
}

fn head(shape: Shape, index: usize) -> String {
    format!("layer {}, KV head {}", index / shape.kv_heads, index % shape.kv_heads)
}
