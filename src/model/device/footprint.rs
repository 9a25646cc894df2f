//! What a model's matrices are on a device, and how many bytes they take there, before any is copied.

use candle_core::Device;

use crate::element::Dtype;
use crate::model::arch::{BlockSpec, FeedSpec, LinearSpec, PartSpec};
use crate::model::config::Config;
use crate::model::host::feed::FeedForward;
use crate::model::host::matrix::Matrix;
use crate::model::host::quant::QuantKind;
use crate::model::weight_types::{WeightType, WeightTypes};
use crate::model::weights::{Layer, Tensors, Weights};
use crate::{Error, Result};

/// What a model's matrices are on a device.
#[derive(Debug, Clone, Default)]
pub struct Footprint {
    /// Their types there, with the bytes of each.
    pub types: WeightTypes,
    /// Bytes of those that a decode step reads: all but an embedding that is no output projection too.
    pub step_bytes: u64,
}

impl Footprint {
    /// What [`TensorWeights::read`] will take with the same arguments. A matrix whose blocks the device
    /// cannot multiply becomes f16 there, and so does an embedding, of which rows are read: its blocks
    /// come on top where they are the output projection, too.
    ///
    /// # Errors
    /// Those of the tensors' files.
    pub fn new(
        config: &Config,
        host: &Weights,
        tensors: &dyn Tensors,
        keep_blocks: bool,
        device: &Device,
    ) -> Result<Self> {
        let mut footprint = Self::default();
        let names = &config.architecture.tensors;
        let kinds = |prefix: &str, specs: &[PartSpec], inputs: usize| match keep_blocks {
            true => block_kinds(tensors, prefix, specs, inputs),
            false => Ok(None),
        };
        let mut add = |types: &[(WeightType, u64)], is_read: bool| {
            for &(kind, bytes) in types {
                footprint.types.add(kind, bytes);
                footprint.step_bytes += if is_read { bytes } else { 0 };
            }
        };
        let floats = |matrix: &Matrix| {
            let dtype = dense_dtype(matrix, device);
            (WeightType::Float(dtype), (matrix.rows() * matrix.cols() * dtype.bytes()) as u64)
        };
        let of_linear = |prefix: &str, specs: &[PartSpec], matrix: &Matrix| {
            Ok::<_, Error>(match kinds(prefix, specs, matrix.cols())? {
                Some(kinds) => {
                    let of = |(kind, spec): (QuantKind, &PartSpec)| {
                        let blocks = spec.outputs * matrix.cols() / kind.block_len();
                        (WeightType::Quantised(kind), (blocks * kind.block_bytes()) as u64)
                    };
                    kinds.into_iter().zip(specs).map(of).collect()
                }
                None => vec![floats(matrix)],
            })
        };
        for (at, (layer, block)) in host.layers.iter().zip(config.blocks()).enumerate() {
            let prefix = names.block_prefix(at);
            for (spec, matrix) in layer_matrices(layer, &block)? {
                add(&of_linear(&prefix, in_blocks(spec), matrix)?, true);
            }
        }
        let whole = |name| [PartSpec { name, outputs: config.vocab }];
        add(&[floats(&host.embedding)], false);
        match &host.head {
            Some(head) => add(&of_linear("", &whole(names.head.hf), head)?, true),
            None => match kinds("", &whole(names.embedding.hf), config.hidden)? {
                Some(_) => {
                    add(&of_linear("", &whole(names.embedding.hf), &host.embedding)?, true);
                }
                // A tied head that is dense is the embedding.
                None => footprint.step_bytes += floats(&host.embedding).1,
            },
        }
        Ok(footprint)
    }
}

/// The kinds of a linear layer's parts where all of them come in blocks.
pub(super) fn block_kinds(
    tensors: &dyn Tensors,
    prefix: &str,
    specs: &[PartSpec],
    inputs: usize,
) -> Result<Option<Vec<QuantKind>>> {
    let kind = |spec: &PartSpec| {
        tensors.device_kind(&format!("{prefix}{}.weight", spec.name), spec.outputs, inputs)
    };
    let kinds = specs.iter().map(kind).collect::<Result<Option<Vec<_>>>>()?;
    Ok(kinds.filter(|kinds| !kinds.is_empty()))
}

/// Parts that come in blocks: none where the file has another order of rows.
pub(super) fn in_blocks(spec: &LinearSpec) -> &[PartSpec] {
    if spec.order.is_some() { &[] } else { &spec.parts }
}

/// The matrices of a layer, in a fixed order.
fn layer_matrices<'a>(
    layer: &'a Layer,
    block: &'a BlockSpec,
) -> Result<[(&'a LinearSpec, &'a Matrix); 4]> {
    let (FeedSpec::Whole(spec), FeedForward::Whole(mlp)) = (&block.feed, &layer.feed) else {
        return Err(Error::run("a layer of experts cannot be copied to a device"));
    };
    Ok([
        (&block.qkv, &layer.qkv.weight),
        (&block.output, &layer.output.weight),
        (&spec.gate_up, &mlp.gate_up.weight),
        (&spec.down, &mlp.down.weight),
    ])
}

/// The type of a matrix on a device where its blocks do not go there.
pub(super) fn dense_dtype(matrix: &Matrix, device: &Device) -> Dtype {
    match matrix.element_type() {
        _ if device.is_cpu() => Dtype::F32,
        Some(WeightType::Float(dtype)) => dtype,
        // Blocks that the device cannot multiply, and an embedding, of which rows are read.
        Some(WeightType::Quantised(_)) | None => Dtype::F16,
    }
}
