//! A bare array of numbers, as raw formats store it, and its interpretation as a mask or as
//! importance.

use super::contents::{Contents, ImportanceFile, MaskFile, Origin};
use crate::mask::{CachePlan, ChannelMask, Importance, Shape};
use crate::{Error, Result};

/// How the columns of a flat `[layers, kv_heads * head_dim]` array divide into heads; one of the
/// two is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Split {
    /// KV heads per layer.
    pub kv_heads: Option<usize>,
    /// Channels per head.
    pub head_dim: Option<usize>,
}

impl Split {
    /// The split of masks of this shape.
    pub fn of(shape: Shape) -> Self {
        Self { kv_heads: Some(shape.kv_heads), head_dim: Some(shape.head_dim) }
    }
}

/// Numbers in row-major order with their axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The axes; their product is the number of values.
    pub(super) axes: Vec<usize>,
    /// The values.
    pub(super) values: Vec<f32>,
}

impl Array {
    /// What a raw format stores of a mask or importance file.
    pub(super) fn of(contents: &Contents, prefer_importance: bool) -> Result<Self> {
        let shape = contents.shape();
        let values = match contents {
            Contents::Mask(file) if !prefer_importance => {
                if !file.plan.is_mask() {
                    return Err(Error::input(
                        "a raw array holds the bits of a mask, and this plan has channels of other widths than 16 and 0: export it to a .safetensors file, which keeps them",
                    ));
                }
                file.mask().bits().iter().map(|&kept| f32::from(u8::from(kept))).collect()
            }
            Contents::Sensitivity(_) => {
                return Err(Error::input(
                    "a raw array holds a mask or importance, and this file holds sensitivity: export it to a .safetensors file",
                ));
            }
            _ => match contents.importance() {
                Some(importance) => importance.scores().to_vec(),
                None => return Err(Error::input("this mask file holds no importance to export")),
            },
        };
        Ok(Self { axes: vec![shape.layers, shape.kv_heads, shape.head_dim], values })
    }

    /// Whether every value is 0 or 1.
    pub(super) fn is_binary(&self) -> bool {
        self.values.iter().all(|&value| value == 0.0 || value == 1.0)
    }

    /// The axes as a shape: three axes as they are, two divided by `split`.
    fn shape(&self, name: &str, split: &Split) -> Result<Shape> {
        let wrong = |sentence: String| Error::input(format!("{name}: {sentence}"));
        let (layers, kv_heads, head_dim) = match *self.axes {
            [layers, kv_heads, head_dim] => (layers, kv_heads, head_dim),
            [layers, columns] => {
                let (kv_heads, head_dim) = match *split {
                    Split { kv_heads: Some(heads), head_dim: Some(dim) } => (heads, dim),
                    Split { kv_heads: Some(heads), head_dim: None } => {
                        (heads, columns.checked_div(heads).unwrap_or(0))
                    }
                    Split { kv_heads: None, head_dim: Some(dim) } => {
                        (columns.checked_div(dim).unwrap_or(0), dim)
                    }
                    Split { kv_heads: None, head_dim: None } => {
                        return Err(wrong(format!(
                            "{columns} columns hold all heads of a layer: expected --kv-heads or --head-dim to divide them"
                        )));
                    }
                };
                if kv_heads.checked_mul(head_dim) != Some(columns) {
                    return Err(wrong(format!(
                        "{columns} columns: expected {kv_heads} KV heads times {head_dim} channels"
                    )));
                }
                (layers, kv_heads, head_dim)
            }
            _ => {
                return Err(wrong(format!(
                    "expected 3 axes (layers, KV heads, channels) or 2 (layers, columns), found {:?}",
                    self.axes
                )));
            }
        };
        let named = |axis: &str, found: usize, wanted: Option<usize>| match wanted {
            Some(wanted) if wanted != found => {
                Err(wrong(format!("expected {wanted} {axis}, found {found}")))
            }
            _ => Ok(()),
        };
        named("KV heads", kv_heads, split.kv_heads)?;
        named("channels per head", head_dim, split.head_dim)?;
        Shape::checked(layers, kv_heads, head_dim).map_err(|error| wrong(error.to_string()))
    }

    /// The array as a mask (every value 0 or 1) or as importance.
    pub fn into_contents(self, name: &str, split: &Split) -> Result<Contents> {
        let shape = self.shape(name, split)?;
        let origin = Origin::upstream(serde_json::json!({ "imported_from": file_name(name) }));
        if self.is_binary() {
            let mask =
                ChannelMask::new(shape, self.values.iter().map(|&value| value == 1.0).collect())?;
            return Ok(Contents::Mask(MaskFile {
                plan: CachePlan::of_mask(&mask),
                importance: None,
                sensitivity: None,
                target_sparsity: None,
                origin,
            }));
        }
        let importance = Importance::new(shape, self.values)
            .map_err(|error| Error::input(format!("{name}: {error}")))?;
        Ok(Contents::Importance(ImportanceFile { importance, origin }))
    }
}

/// The last part of a path: a recipe records the file's name, not the folder it is kept in.
fn file_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}
