//! The passes of a decoder that runs on a device.

use candle_core::{DType, Tensor};
use candle_nn::ops::rms_norm;
use half::f16;

use super::forward::{DeviceActivations, Setting};
use super::{backward, forward};
use crate::learn::engine::context::check_kept;
use crate::learn::engine::distill::{DistillLoss, Distilled, LearningEngine, mean_square};
use crate::learn::engine::rows::Pass;
use crate::model::config::Config;
use crate::model::device::{TensorDecoder, failed};
use crate::{Error, Result};

/// Largest size in bytes of a buffer of scores, or of keys or values in f32. A single KV head may
/// need more.
pub(in crate::learn) const MOST_BYTES: usize = 256 << 20;

/// Passes of a decoder that runs on a device.
#[derive(Clone, Copy)]
pub struct OnDevice<'a> {
    pub(super) config: &'a Config,
    pub(super) tensors: &'a TensorDecoder,
    pub(super) most_bytes: usize,
}

impl<'a> OnDevice<'a> {
    pub fn new(config: &'a Config, tensors: &'a TensorDecoder) -> Self {
        Self { config, tensors, most_bytes: MOST_BYTES }
    }

    fn states(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        rms_norm(x, &self.tensors.weights().norm, self.config.rms_eps)
    }

    /// Keys and values of the rows in f16, layer by layer, `[layers * 2 * rows, kv_heads *
    /// head_dim]`.
    fn stored(&self, pass: Pass<'_>) -> candle_core::Result<Tensor> {
        let mut layers = Vec::new();
        let mut keep = |DeviceActivations { qkv: [_, k, v], .. }: DeviceActivations| {
            layers.push(Tensor::cat(&[k, v], 0)?.to_dtype(DType::F16)?);
            Ok(())
        };
        forward::run(self, pass, &Setting::new(self, pass)?, &mut keep)?;
        Tensor::cat(&layers, 0)
    }

    /// Hidden states and gradient, on the device.
    fn differentiate(&self, pass: Pass<'_>, targets: &[f32]) -> candle_core::Result<[Tensor; 2]> {
        let setting = Setting::new(self, pass)?;
        let mut tape = Vec::with_capacity(self.config.layers);
        let mut keep = |saved| {
            tape.push(saved);
            Ok(())
        };
        let x = forward::run(self, pass, &setting, &mut keep)?;
        let states = self.states(&x)?;
        let targets = Tensor::from_slice(targets, states.shape(), self.tensors.device())?;
        let d_states = ((&states - targets)? * (2.0 / states.elem_count() as f64))?;
        let (norm, eps) = (&self.tensors.weights().norm, self.config.rms_eps);
        let dx = backward::rms_norm(&x, norm, eps, &d_states)?;
        Ok([states, backward::run(self, pass, &setting, tape, dx)?])
    }
}

impl LearningEngine for OnDevice<'_> {
    fn keys_and_values(&self, pass: Pass<'_>) -> Result<Vec<[Vec<f16>; 2]>> {
        let stored = self.stored(pass).and_then(|stored| read::<f16>(&stored)).map_err(failed)?;
        let rows = pass.rows.count * self.config.kv_width();
        let layers: Vec<_> = stored
            .chunks_exact(2 * rows)
            .map(|layer| [layer[..rows].to_vec(), layer[rows..].to_vec()])
            .collect();
        check_kept(&layers)?;
        Ok(layers)
    }

    fn hidden(&self, pass: Pass<'_>) -> Result<Vec<f32>> {
        let states = || {
            let x = forward::run(self, pass, &Setting::new(self, pass)?, &mut |_| Ok(()))?;
            read(&self.states(&x)?)
        };
        states().map_err(failed)
    }

    fn divergence(&self, _: &[f32], _: &[f32]) -> Result<f64> {
        Err(predictions())
    }

    fn distill(&self, pass: Pass<'_>, targets: &[f32], loss: DistillLoss) -> Result<Distilled> {
        if loss == DistillLoss::Divergence {
            return Err(predictions());
        }
        let read_both = || {
            let [states, gradient] = self.differentiate(pass, targets)?;
            Ok((read::<f32>(&states)?, read(&gradient)?))
        };
        let (states, gradient) = read_both().map_err(failed)?;
        Ok(Distilled { loss: mean_square(&states, targets), gradient })
    }
}

/// Hidden states alone are compared on a device.
fn predictions() -> Error {
    Error::input(
        "the loss on predictions is computed over weights in this process's memory: run it with --device cpu",
    )
}

/// Copies a tensor's elements to host memory.
fn read<T: candle_core::WithDType>(x: &Tensor) -> candle_core::Result<Vec<T>> {
    x.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Attention;
    use crate::learn::engine::{Factors, Sample};
    use crate::learn::estimate::{Rates, estimate};
    use crate::mask::{ChannelMask, Window};
    use crate::model::backend::BackendWeights;
    use crate::model::decoder::Decoder;
    use crate::model::device::{Attend, Placement};
    use crate::model::load::{Opened, Source};

    /// Random weights over tensors; `change` may change the shape.
    fn random(geometry: &str, change: impl Fn(&mut Config)) -> Decoder {
        let mut opened = Opened::open(&Source::random(geometry, Some(2), 3).unwrap()).unwrap();
        (opened.config.hidden, opened.config.intermediate, opened.config.vocab) = (96, 112, 128);
        change(&mut opened.config);
        let (device, attend) = (candle_core::Device::Cpu, Attend::Host(Attention::new()));
        let placement = Placement { device, name: "tensors".to_owned(), attend };
        opened.load_on(None, Some(placement), &mut |_| Ok(())).unwrap().decoder
    }

    fn on(decoder: &Decoder) -> OnDevice<'_> {
        let BackendWeights::Device(tensors) = decoder.backend().weights() else {
            panic!("on the host")
        };
        OnDevice::new(decoder.config(), tensors)
    }

    /// A prefix of 50 tokens, questions of 4 and 1, answers of 6 and 2.
    fn sample(decoder: &Decoder) -> Sample {
        let list = |from: u32, n: u32| (from..from + n).map(|i| i * 37 % 101).collect::<Vec<u32>>();
        Sample::new(decoder, &list(0, 50), &[(list(3, 4), list(60, 6)), (list(9, 1), list(80, 2))])
            .unwrap()
    }

    #[test]
    fn what_is_kept_of_a_pass_is_what_the_estimate_says() {
        for geometry in ["llama-3.2-1b", "qwen2.5-0.5b", "qwen3-0.6b", "olmo2-7b", "smollm3-3b"] {
            let decoder = random(geometry, |_| ());
            let sample = sample(&decoder);
            let (rows, factors) = (
                sample.answer_rows(&decoder).unwrap(),
                Factors::whole(decoder.config().mask_shape()),
            );
            let pass = Pass { rows: &rows, window: Window::default(), factors: &factors };
            let on = on(&decoder);
            let mut bytes = 0;
            let mut count = |DeviceActivations {
                                 x,
                                 before_norm,
                                 qkv,
                                 attended,
                                 added,
                                 middle,
                                 gate,
                                 up,
                             }: DeviceActivations| {
                let all = [x, middle, gate, up]
                    .into_iter()
                    .chain(qkv)
                    .chain(attended)
                    .chain(before_norm.into_iter().flatten())
                    .chain(added.into_iter().flatten());
                bytes += all.map(|x| x.elem_count() * x.dtype().size_in_bytes()).sum::<usize>();
                Ok(())
            };
            forward::run(&on, pass, &Setting::new(&on, pass).unwrap(), &mut count).unwrap();
            let estimate = estimate(decoder.config(), Rates::ONE_80GB, 50, rows.count, 1, 1);
            assert_eq!(estimate.kept_bytes, bytes as u64, "{geometry}");
        }
    }

    #[test]
    fn heads_attend_alone_as_they_attend_together() {
        // Six KV heads, so that slices of four leave two.
        let decoder = random("qwen2.5-0.5b", |config| {
            (config.heads, config.kv_heads, config.head_dim) = (12, 6, 8)
        });
        let sample = sample(&decoder);
        let shape = decoder.config().mask_shape();
        let mask = ChannelMask::from_fn(shape, |layer, head, channel| {
            (layer + head) % 3 != 0 && channel % 3 != 0
        });
        let (rows, factors) = (sample.answer_rows(&decoder).unwrap(), Factors::masked(&mask));
        let pass = Pass {
            rows: &rows,
            window: Window { sink: 3, recent: 7, chunk: 4 },
            factors: &factors,
        };
        let whole = on(&decoder);
        let expected = whole.distill(pass, &sample.targets(), DistillLoss::States).unwrap();
        assert!(expected.loss > 0.0 && expected.gradient.iter().any(|&g| g != 0.0));
        // A head's scores: 8 rows of two query heads over 50 + 5 + 8 keys in f32.
        let head = 8 * 2 * 63 * 4;
        for (most_bytes, slices) in
            [(0, 6), (head, 6), (4 * head, 2), (6 * head - 1, 2), (6 * head, 1)]
        {
            let sliced = OnDevice { most_bytes, ..whole };
            let setting = Setting::new(&sliced, pass).unwrap();
            assert_eq!(setting.plan.slices().count(), slices, "{most_bytes} bytes");
            let found = sliced.distill(pass, &sample.targets(), DistillLoss::States).unwrap();
            assert!(
                (found.loss / expected.loss - 1.0).abs() < 1e-6,
                "{} for {}",
                found.loss,
                expected.loss
            );
            let largest = expected.gradient.iter().fold(0.0, |most: f32, g| most.max(g.abs()));
            for (found, expected) in found.gradient.iter().zip(&expected.gradient) {
                assert!(
                    (found - expected).abs() < 1e-6 * largest,
                    "{slices} slices: {found} for {expected}"
                );
            }
        }
    }
}
