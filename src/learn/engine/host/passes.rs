//! The passes of a decoder on the CPU.

use half::f16;

use super::attention::product;
use super::damage::HeadDamage;
use super::forward::Tape;
use super::{backward, forward};
use crate::Result;
use crate::learn::engine::context::{check_kept, narrow};
use crate::learn::engine::distill::{DistillLoss, Distilled, LearningEngine, mean_square};
use crate::learn::engine::rows::Pass;
use crate::learn::engine::{Damage, DrawToken};
use crate::mask::Width;
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
    pub fn damage(
        &self,
        pass: Pass<'_>,
        widths: &[Width],
        draw: DrawToken<'_>,
        damage: &mut Damage,
    ) -> Result<()> {
        let (config, norm) = (self.config, &self.weights.norm);
        let eps = config.rms_eps;
        let mut tape = Tape::default();
        let x = forward::run(*self, pass, Some(&mut tape), &mut |_, _| ())?;
        let mut states = vec![0.0; x.len()];
        ops::rms_norm(&x, norm, eps, &mut states);
        let [probabilities, slopes] = self.predictions(&states);
        for _ in 0..damage.terms / pass.rows.count {
            let drawn: Vec<usize> =
                probabilities.chunks_exact(config.vocab).map(&mut *draw).collect();
            let mut dx = vec![0.0; x.len()];
            let d_states = through_head(self.weights.head(), &slopes, &|row, token| {
                f32::from(u8::from(token == drawn[row])) - probabilities[row * config.vocab + token]
            })?;
            backward::rms_norm(&x, norm, eps, &d_states, &mut dx);
            let (d, kv_heads) = (config.head_dim, config.kv_heads);
            backward::run(
                *self,
                pass,
                &tape,
                dx,
                &|head, view| HeadDamage::of(head, &view, pass.window.chunk, widths),
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

    fn divergence(&self, states: &[f32], targets: &[f32]) -> Result<f64> {
        let [dense, own] = [targets, states].map(|states| self.predictions(states)[0].clone());
        Ok(mean_divergence(&dense, &own, self.config.vocab))
    }

    fn distill(&self, pass: Pass<'_>, targets: &[f32], loss: DistillLoss) -> Result<Distilled> {
        let eps = self.config.rms_eps;
        let mut tape = Tape::default();
        let x = forward::run(*self, pass, Some(&mut tape), &mut |_, _| ())?;
        let norm = &self.weights.norm;
        let mut states = vec![0.0; x.len()];
        ops::rms_norm(&x, norm, eps, &mut states);
        let (loss, d_states) = match loss {
            DistillLoss::States => {
                let scale = 2.0 / states.len() as f32;
                let slope = |(state, target): (&f32, &f32)| scale * (state - target);
                let d_states: Vec<f32> = states.iter().zip(targets).map(slope).collect();
                (mean_square(&states, targets), d_states)
            }
            DistillLoss::Divergence => self.divergence_slope(&states, targets)?,
        };
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

impl OnHost<'_> {
    /// Probabilities of the next token from normalised hidden states, `[rows, vocab]`, and the slopes
    /// of the logits with respect to the products with the head.
    fn predictions(&self, states: &[f32]) -> [Vec<f32>; 2] {
        let config = self.config;
        let mut probabilities = vec![0.0; states.len() / config.hidden * config.vocab];
        self.weights.head().apply_exact(states, &mut probabilities);
        config.shape_logits(&mut probabilities);
        let slopes: Vec<f32> = probabilities.iter().map(|&x| config.logit_slope(x)).collect();
        for row in probabilities.chunks_exact_mut(config.vocab) {
            let (_, _, sum) = ops::softmax_tile(row, f32::NEG_INFINITY);
            ops::scale(row, 1.0 / sum);
        }
        [probabilities, slopes]
    }

    /// Mean over rows of KL(dense || own) of the next token, and its gradient with respect to the
    /// student's normalised hidden states. In the logits it is own minus dense probability.
    fn divergence_slope(&self, states: &[f32], targets: &[f32]) -> Result<(f64, Vec<f32>)> {
        let vocab = self.config.vocab;
        let dense = self.predictions(targets)[0].clone();
        let [own, slopes] = self.predictions(states);
        let rows = (own.len() / vocab) as f32;
        let d_states = through_head(self.weights.head(), &slopes, &|row, token| {
            (own[row * vocab + token] - dense[row * vocab + token]) / rows
        })?;
        Ok((mean_divergence(&dense, &own, vocab), d_states))
    }
}

/// Mean over rows of KL(dense || own), in nats, of two tables of probabilities.
fn mean_divergence(dense: &[f32], own: &[f32], vocab: usize) -> f64 {
    // What f32 rounds to 0 counts as its smallest number.
    let ln = |p: f32| f64::from(p.max(f32::MIN_POSITIVE)).ln();
    let one = |(&p, &q): (&f32, &f32)| f64::from(p) * (ln(p) - ln(q));
    let sum: f64 = dense.iter().zip(own).map(one).sum();
    sum / (dense.len() / vocab).max(1) as f64
}

/// Rows of the output projection that are in f32 at once.
const HEAD_ROWS: usize = 4096;

/// The gradient of a loss with respect to the normalised hidden states, from that with respect to the
/// shaped logits, `d_logit(row, token)`; `slopes` are those of the logits with respect to the products
/// with the head.
fn through_head(
    head: &Matrix,
    slopes: &[f32],
    d_logit: &impl Fn(usize, usize) -> f32,
) -> Result<Vec<f32>> {
    let vocab = head.rows();
    let mut out = vec![0.0; slopes.len() / vocab * head.cols()];
    for first in (0..vocab).step_by(HEAD_ROWS) {
        let ids: Vec<u32> = (first..vocab.min(first + HEAD_ROWS)).map(|id| id as u32).collect();
        let mut weights = vec![0.0; ids.len() * head.cols()];
        head.rows_of(&ids, &mut weights);
        let rows = slopes.chunks_exact(vocab).enumerate();
        let d_products: Vec<f32> = rows
            .flat_map(|(row, slopes)| {
                let tokens = first..first + ids.len();
                tokens.map(move |token| d_logit(row, token) * slopes[token])
            })
            .collect();
        ops::add(&mut out, &product(&d_products, &weights, ids.len())?);
    }
    Ok(out)
}
