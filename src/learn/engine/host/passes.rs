//! The passes of a decoder on the CPU.

use half::f16;

use super::attention::product;
use super::damage::HeadDamage;
use super::forward::Tape;
use super::{backward, forward};
use crate::Result;
use crate::learn::engine::context::{check_kept, narrow};
use crate::learn::engine::distill::{Distilled, LearningEngine, mean_square};
use crate::learn::engine::rows::Pass;
use crate::learn::engine::{Damage, DrawToken};
use crate::model::config::Config;
use crate::model::host::matrix::Matrix;
use crate::model::host::ops;
use crate::model::weights::Weights;

/// Passes of a decoder on the CPU.
#[derive(Clone, Copy)]
pub struct OnHost<'a> {
    pub(super) config: &'a Config,
    pub(super) weights: &'a Weights,
}

impl<'a> OnHost<'a> {
    pub fn new(config: &'a Config, weights: &'a Weights) -> Self {
        Self { config, weights }
    }

    /// Adds the damage of coding the middle, over as many draws as `damage` has terms for.
    pub fn damage(&self, pass: Pass<'_>, draw: DrawToken<'_>, damage: &mut Damage) -> Result<()> {
        let (config, norm) = (self.config, &self.weights.norm);
        let eps = config.rms_eps;
        let mut tape = Tape::default();
        let x = forward::run(*self, pass, Some(&mut tape), &mut |_, _| ())?;
        let mut states = vec![0.0; x.len()];
        ops::rms_norm(&x, norm, eps, &mut states);
        let head = self.weights.head();
        let mut probabilities = vec![0.0; pass.rows.count * config.vocab];
        head.apply_exact(&states, &mut probabilities);
        config.shape_logits(&mut probabilities);
        let slopes: Vec<f32> = probabilities.iter().map(|&x| config.logit_slope(x)).collect();
        for row in probabilities.chunks_exact_mut(config.vocab) {
            let (_, _, sum) = ops::softmax_tile(row, f32::NEG_INFINITY);
            ops::scale(row, 1.0 / sum);
        }
        for _ in 0..damage.terms / pass.rows.count {
            let drawn: Vec<usize> =
                probabilities.chunks_exact(config.vocab).map(&mut *draw).collect();
            let mut dx = vec![0.0; x.len()];
            let d_states = d_log_probability(head, [&probabilities, &slopes], &drawn)?;
            backward::rms_norm(&x, norm, eps, &d_states, &mut dx);
            let (d, kv_heads) = (config.head_dim, config.kv_heads);
            backward::run(
                *self,
                pass,
                &tape,
                dx,
                &|head, view| HeadDamage::of(head, &view, pass.window.chunk),
                &mut |layer, kv_head, own: HeadDamage| {
                    let at = layer * kv_heads + kv_head;
                    let sums = damage.k[at * d..].iter_mut().zip(&own.k);
                    for (sums, own) in sums.chain([(&mut damage.v[at], &own.v)]) {
                        sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
                    }
                },
            )?;
        }
        Ok(())
    }
}

impl LearningEngine for OnHost<'_> {
    fn keys_and_values(&self, pass: Pass<'_>) -> Result<Vec<[Vec<f16>; 2]>> {
        let mut layers = Vec::with_capacity(self.config.layers);
        forward::run(*self, pass, None, &mut |k, v| layers.push([narrow(k), narrow(v)]))?;
        check_kept(&layers)?;
        Ok(layers)
    }

    fn hidden(&self, pass: Pass<'_>) -> Result<Vec<f32>> {
        let mut x = forward::run(*self, pass, None, &mut |_, _| ())?;
        ops::rms_norm_in_place(&mut x, &self.weights.norm, self.config.rms_eps);
        Ok(x)
    }

    fn distill(&self, pass: Pass<'_>, targets: &[f32]) -> Result<Distilled> {
        let eps = self.config.rms_eps;
        let mut tape = Tape::default();
        let x = forward::run(*self, pass, Some(&mut tape), &mut |_, _| ())?;
        let norm = &self.weights.norm;
        let mut states = vec![0.0; x.len()];
        ops::rms_norm(&x, norm, eps, &mut states);
        let loss = mean_square(&states, targets);
        let scale = 2.0 / states.len() as f32;
        let d_states: Vec<f32> =
            states.iter().zip(targets).map(|(state, target)| scale * (state - target)).collect();
        let mut dx = vec![0.0; x.len()];
        backward::rms_norm(&x, norm, eps, &d_states, &mut dx);
        let (d, kv_heads) = (self.config.head_dim, self.config.kv_heads);
        let mut gradient = vec![0.0; self.config.mask_shape().entries()];
        backward::run(
            *self,
            pass,
            &tape,
            dx,
            &|head, view| Ok(head.factor_gradient(&view)),
            &mut |layer, kv_head, part| {
                ops::add(&mut gradient[(layer * kv_heads + kv_head) * d..][..d], &part);
            },
        )?;
        Ok(Distilled { loss, gradient })
    }
}

/// Rows of the output projection that are in f32 at once.
const HEAD_ROWS: usize = 4096;

/// Gradient of the sum over rows of log p(drawn) with respect to the normalised hidden states;
/// `slopes` are those of the logits with respect to the products with the head.
fn d_log_probability(
    head: &Matrix,
    [probabilities, slopes]: [&[f32]; 2],
    drawn: &[usize],
) -> Result<Vec<f32>> {
    let vocab = head.rows();
    let mut out = vec![0.0; drawn.len() * head.cols()];
    for first in (0..vocab).step_by(HEAD_ROWS) {
        let ids: Vec<u32> = (first..vocab.min(first + HEAD_ROWS)).map(|id| id as u32).collect();
        let mut weights = vec![0.0; ids.len() * head.cols()];
        head.rows_of(&ids, &mut weights);
        let rows = probabilities.chunks_exact(vocab).zip(slopes.chunks_exact(vocab)).zip(drawn);
        let d_logits: Vec<f32> = rows
            .flat_map(|((row, slopes), &drawn)| {
                let range = first..first + ids.len();
                let own = row[range.clone()].iter().zip(&slopes[range]).enumerate();
                own.map(move |(at, (p, slope))| {
                    (f32::from(u8::from(first + at == drawn)) - p) * slope
                })
            })
            .collect();
        ops::add(&mut out, &product(&d_logits, &weights, ids.len())?);
    }
    Ok(out)
}
