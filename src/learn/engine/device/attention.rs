//! Attention of all rows over tensors, forward and backward in closed form.
//!
//! The arithmetic is that of the attention on the host (`host/attention.rs`), for a few KV heads of
//! all blocks at a time. With `q` scaled and the factors `a` of the head, a score is `q . k`
//! outside the middle of a row and `(q a) . k` inside it. The gradient of the scores is
//! `dS = P (dP - rowsum(dO O))` with `dP = dO V^T`; the gradient of the factors is
//! `sum over rows of (dS_middle K) q`.

use std::ops::Range;

use candle_core::{D, DType, Device, Error, Result, Tensor};
use half::f16;

use super::columns::{ColumnRun, Columns, Score};
use crate::attention::AttentionScale;
use crate::learn::engine::rows::Pass;
use crate::model::config::Config;
use crate::model::device::product;

/// What the layers of a pass share: shapes, masks, factors.
pub(super) struct Plan {
    prefix: Vec<Keys>,
    rest: Keys,
    /// Number of keys of the rest that come before the rows' own.
    tails: usize,
    rows: usize,
    kv_heads: usize,
    group: usize,
    d: usize,
    /// Factor of the scores, usually 1/sqrt(head_dim).
    scale: f64,
    /// Number of KV heads that are computed together.
    heads: usize,
    /// `[layers, kv_heads, 1, d]`.
    factors: Tensor,
    /// Minus infinity for heads that do not see their middle, `[layers, kv_heads, 1, 1]`; and per
    /// layer, whether it has such a head.
    dropped: (Tensor, Vec<bool>),
    /// Lower bounds of a row's largest score and of its sum of weights, each `[1, 1, 1]`. With them
    /// a row that sees no key gets weights of 0, and other rows do not change.
    floors: [Tensor; 2],
}

/// A run of keys with its masks on the device.
struct Keys {
    keys: Range<usize>,
    score: Scored,
    /// Added to the scores, `[rows * group, keys]`.
    visible: Option<Tensor>,
}

enum Scored {
    Whole,
    Factored,
    /// Whether a key is in the row's middle, `[rows * group, keys]`: once as a condition, once as a
    /// factor.
    Mixed {
        choice: Tensor,
        inside: Tensor,
    },
}

impl Plan {
    /// `most` limits the bytes of a buffer of scores, or of one head's keys in f32. At least one
    /// head is computed at a time.
    pub(super) fn new(
        config: &Config,
        pass: Pass<'_>,
        most: usize,
        device: &Device,
    ) -> Result<Self> {
        let (rows, group, d) = (pass.rows.count, config.group(), config.head_dim);
        let Columns { prefix, rest, visible } = Columns::new(pass);
        let for_group = |mask: Tensor| {
            let keys = mask.dim(1)?;
            mask.unsqueeze(1)?
                .broadcast_as((rows, group, keys))?
                .contiguous()?
                .reshape((rows * group, keys))
        };
        let on_device = |run: ColumnRun, visible: Option<Tensor>| {
            let len = run.keys.len();
            let score = match run.score {
                Score::Whole => Scored::Whole,
                Score::Factored => Scored::Factored,
                Score::Mixed(mask) => {
                    let choice = for_group(Tensor::from_vec(mask, (rows, len), device)?)?;
                    let inside = choice.to_dtype(DType::F32)?;
                    Scored::Mixed { choice, inside }
                }
            };
            Ok(Keys { keys: run.keys, score, visible })
        };
        let visible = for_group(Tensor::from_vec(visible, (rows, rest.keys.len()), device)?)?;
        let tokens = pass.rows.prefix.tokens() + rest.keys.len();
        let head_bytes = size_of::<f32>() * tokens * (rows * group).max(d);
        let (layers, kv_heads) = (config.layers, config.kv_heads);
        let each = || {
            (0..layers)
                .flat_map(|layer| (0..kv_heads).map(move |head| pass.factors.head(layer, head)))
        };
        let factors: Vec<f32> = each().flat_map(|(factors, _)| factors.iter().copied()).collect();
        let dropped: Vec<bool> = each().map(|(_, dropped)| dropped).collect();
        let unseen: Vec<f32> =
            dropped.iter().map(|&dropped| if dropped { f32::NEG_INFINITY } else { 0.0 }).collect();
        let floor = |least: f32| Tensor::full(least, (1, 1, 1), device);
        Ok(Self {
            prefix: prefix.into_iter().map(|run| on_device(run, None)).collect::<Result<_>>()?,
            tails: rest.keys.len() - rows,
            rest: on_device(rest, Some(visible))?,
            rows,
            kv_heads,
            group,
            d,
            scale: AttentionScale::of(config.head_dim).f64(),
            heads: (most / head_bytes).clamp(1, kv_heads),
            factors: Tensor::from_vec(factors, (layers, kv_heads, 1, d), device)?,
            dropped: (
                Tensor::from_vec(unseen, (layers, kv_heads, 1, 1), device)?,
                dropped.chunks(kv_heads).map(|heads| heads.contains(&true)).collect(),
            ),
            floors: [floor(f32::MIN)?, floor(f32::MIN_POSITIVE)?],
        })
    }

    /// First KV head and number of heads of each group that is computed together.
    pub(super) fn slices(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.kv_heads)
            .step_by(self.heads)
            .map(|first| (first, self.heads.min(self.kv_heads - first)))
    }

    /// Rows of `[rows, kv_heads * n * d]` by head: `[heads, rows * n, d]` of the slice.
    fn by_head(&self, x: &Tensor, n: usize, (first, heads): (usize, usize)) -> Result<Tensor> {
        let x = x.reshape((self.rows, self.kv_heads, n, self.d))?.narrow(1, first, heads)?;
        x.transpose(0, 1)?.contiguous()?.reshape((heads, self.rows * n, self.d))
    }

    /// The inverse of `by_head`, from all slices: `[rows, kv_heads * n * d]`.
    fn by_row(&self, slices: &[Tensor], n: usize) -> Result<Tensor> {
        let x = Tensor::cat(slices, 0)?.reshape((self.kv_heads, self.rows, n, self.d))?;
        x.transpose(0, 1)?.contiguous()?.reshape((self.rows, self.kv_heads * n * self.d))
    }
}

/// Keys and values of one layer, `[keys, kv_heads, d]` each: the prefix in f16 as stored, the rest
/// in f32.
struct Layer {
    prefix: [Tensor; 2],
    rest: [Tensor; 2],
}

impl Layer {
    /// Uploads the keys and values of a layer from the host. `own` are the rows' rotated keys and
    /// their values, `[rows, kv_heads * d]`.
    fn new(plan: &Plan, pass: Pass<'_>, layer: usize, own: [&Tensor; 2]) -> Result<Self> {
        let width = plan.kv_heads * plan.d;
        let upload = |x: &[f16]| {
            Tensor::from_slice(x, (x.len() / width, plan.kv_heads, plan.d), own[0].device())
        };
        let rest = |which: usize| {
            let own = own[which].reshape((plan.rows, plan.kv_heads, plan.d))?;
            let tails = pass.rows.blocks.iter().filter_map(|block| block.tail.layer(layer));
            let tails: Vec<f16> = tails.flat_map(|tail| &tail[which]).copied().collect();
            match tails.is_empty() {
                true => Ok(own),
                false => Tensor::cat(&[upload(&tails)?.to_dtype(DType::F32)?, own], 0),
            }
        };
        let missing = || Error::Msg(format!("the prefix has no keys of layer {layer}"));
        let [k, v] = pass.rows.prefix.layer(layer).ok_or_else(missing)?;
        Ok(Self { prefix: [upload(k)?, upload(v)?], rest: [rest(0)?, rest(1)?] })
    }

    /// The keys and values of the heads of a slice, in f32: prefix and rest, `[heads, keys, d]`
    /// each.
    fn slice(&self, (first, heads): (usize, usize)) -> Result<[[Tensor; 2]; 2]> {
        let cut = |x: &Tensor| x.narrow(1, first, heads)?.transpose(0, 1);
        let wide = |x: &Tensor| cut(x)?.to_dtype(DType::F32);
        let whole = |x: &Tensor| cut(x)?.contiguous();
        let ([k, v], [own_k, own_v]) = (&self.prefix, &self.rest);
        Ok([[wide(k)?, wide(v)?], [whole(own_k)?, whole(own_v)?]])
    }
}

/// A few KV heads of one layer with everything that their rows see.
struct Slice<'p> {
    plan: &'p Plan,
    /// Scaled queries, and their product with the factors, `[heads, rows * group, d]`.
    q: Tensor,
    factored: Tensor,
    /// `[heads, 1, d]`.
    factors: Tensor,
    /// `[heads, 1, 1]`, where a head of the layer is dropped.
    dropped: Option<Tensor>,
    /// Every run with its keys and values, `[heads, keys, d]`; the rest comes last.
    runs: Vec<(&'p Keys, [Tensor; 2])>,
}

impl<'p> Slice<'p> {
    fn new(
        plan: &'p Plan,
        at: usize,
        layer: &Layer,
        heads: (usize, usize),
        q: &Tensor,
    ) -> Result<Self> {
        let of_layer = |x: &Tensor| x.get(at)?.narrow(0, heads.0, heads.1);
        let factors = of_layer(&plan.factors)?;
        let q = (plan.by_head(q, plan.group, heads)? * plan.scale)?;
        let [prefix, rest] = layer.slice(heads)?;
        let mut runs = Vec::with_capacity(plan.prefix.len() + 1);
        for run in &plan.prefix {
            let cut = |x: &Tensor| x.narrow(1, run.keys.start, run.keys.len());
            runs.push((run, [cut(&prefix[0])?, cut(&prefix[1])?]));
        }
        runs.push((&plan.rest, rest));
        let (unseen, any) = &plan.dropped;
        let dropped = if any[at] { Some(of_layer(unseen)?) } else { None };
        Ok(Self { plan, factored: q.broadcast_mul(&factors)?, q, factors, dropped, runs })
    }

    /// Scores of a run, `[heads, rows * group, keys]`.
    fn scores(&self, run: &Keys, keys: &Tensor) -> Result<Tensor> {
        let whole = || product(&self.q, &keys.t()?);
        let factored = || {
            let scores = product(&self.factored, &keys.t()?)?;
            self.dropped
                .as_ref()
                .map_or(Ok(scores.clone()), |dropped| scores.broadcast_add(dropped))
        };
        let scores = match &run.score {
            Scored::Whole => whole()?,
            Scored::Factored => factored()?,
            Scored::Mixed { choice, .. } => {
                let factored = factored()?;
                choice.broadcast_as(factored.shape())?.where_cond(&factored, &whole()?)?
            }
        };
        run.visible.as_ref().map_or(Ok(scores.clone()), |visible| scores.broadcast_add(visible))
    }

    /// The output, `[heads, rows * group, d]`, and the logarithm of every row's sum of weights,
    /// `[heads, rows * group, 1]`.
    fn attend(&self) -> Result<(Tensor, Tensor)> {
        let scores = self
            .runs
            .iter()
            .map(|(run, [keys, _])| self.scores(run, keys))
            .collect::<Result<Vec<_>>>()?;
        let mut largest = self.plan.floors[0].clone();
        for scores in &scores {
            largest = largest.broadcast_maximum(&scores.max_keepdim(D::Minus1)?)?;
        }
        let (mut total, mut out): (Tensor, Option<Tensor>) = (self.plan.floors[1].clone(), None);
        for (scores, (_, [_, values])) in scores.into_iter().zip(&self.runs) {
            let weights = scores.broadcast_sub(&largest)?.exp()?;
            total = total.broadcast_add(&weights.sum_keepdim(D::Minus1)?)?;
            out = Some(plus(out, product(&weights, values)?)?);
        }
        let out = out.expect("the rest is always a run").broadcast_div(&total)?;
        Ok((out, (largest + total.log()?)?))
    }

    /// Gradients, from the result of [`Self::attend`] and the gradient of its output.
    fn backward(&self, out: &Tensor, log_total: &Tensor, d_out: &Tensor) -> Result<Gradients> {
        let mean = (out * d_out)?.sum_keepdim(D::Minus1)?;
        // The gradients of the queries: outside of their middle, and inside of it before the
        // factors.
        let (mut outside, mut inside): (Option<Tensor>, Option<Tensor>) = (None, None);
        let mut own = None;
        for (run, [keys, values]) in &self.runs {
            let weights = self.scores(run, keys)?.broadcast_sub(log_total)?.exp()?;
            let d_scores = (&weights * product(d_out, &values.t()?)?.broadcast_sub(&mean)?)?;
            let [whole, factored] = match &run.score {
                Scored::Whole => [Some(d_scores), None],
                Scored::Factored => [None, Some(d_scores)],
                Scored::Mixed { inside, .. } => {
                    let factored = d_scores.broadcast_mul(inside)?;
                    [Some((d_scores - &factored)?), Some(factored)]
                }
            };
            for (d_scores, sum) in [(&whole, &mut outside), (&factored, &mut inside)] {
                if let Some(d_scores) = d_scores {
                    *sum = Some(plus(sum.take(), product(d_scores, keys)?)?);
                }
            }
            // The last run holds the rows' own keys, the only ones that are not constant.
            own = Some((weights, whole, factored));
        }
        let (weights, whole, factored) = own.expect("the rest is always a run");
        let mut k = None;
        for (d_scores, q) in [(whole, &self.q), (factored, &self.factored)] {
            if let Some(d_scores) = d_scores {
                k = Some(plus(k, product(&d_scores.t()?, q)?)?);
            }
        }
        let rows = |x: Tensor| x.narrow(1, self.plan.tails, self.plan.rows);
        let (k, v) =
            (rows(k.expect("the rest has scores"))?, rows(product(&weights.t()?, d_out)?)?);
        let factors = match &inside {
            Some(inside) => (inside * &self.q)?.sum_keepdim(1)?,
            None => self.factors.zeros_like()?,
        };
        let inside = inside.map(|inside| inside.broadcast_mul(&self.factors)).transpose()?;
        let q = match (outside, inside) {
            (Some(outside), Some(inside)) => (outside + inside)?,
            (outside, inside) => outside.or(inside).expect("the rest has scores"),
        };
        Ok(Gradients { q: (q * self.plan.scale)?, k, v, factors })
    }
}

/// Gradients of a slice or of a layer.
pub(super) struct Gradients {
    /// Of the rotated queries, `[rows, heads * d]`; in a slice `[heads, rows * group, d]`.
    pub(super) q: Tensor,
    /// Of the rows' own rotated keys and values, `[rows, kv_heads * d]`; in a slice `[heads, rows,
    /// d]`.
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    /// Of the factors, `[kv_heads, 1, d]`.
    pub(super) factors: Tensor,
}

fn plus(sum: Option<Tensor>, x: Tensor) -> Result<Tensor> {
    sum.map_or(Ok(x.clone()), |sum| sum + x)
}

/// The attention output of all rows in layer `at`, `[rows, heads * d]`, from rotated `q`, `k` and
/// `v`; and the logarithms of the sums of weights, `[kv_heads, rows * group, 1]`, from which the
/// backward pass computes the weights again.
pub(super) fn attend(
    plan: &Plan,
    pass: Pass<'_>,
    at: usize,
    [q, k, v]: [&Tensor; 3],
) -> Result<[Tensor; 2]> {
    let layer = Layer::new(plan, pass, at, [k, v])?;
    let (mut outputs, mut log_totals) = (Vec::new(), Vec::new());
    for heads in plan.slices() {
        let (out, log_total) = Slice::new(plan, at, &layer, heads, q)?.attend()?;
        outputs.push(out);
        log_totals.push(log_total);
    }
    Ok([plan.by_row(&outputs, plan.group)?, Tensor::cat(&log_totals, 0)?])
}

/// Gradients of one layer, from the gradient of its attention output, `[rows, heads * d]`. `out`
/// and `log_total` are the results of [`attend`].
pub(super) fn backward(
    plan: &Plan,
    pass: Pass<'_>,
    at: usize,
    [q, k, v]: [&Tensor; 3],
    [out, log_total]: [&Tensor; 2],
    d_out: &Tensor,
) -> Result<Gradients> {
    let layer = Layer::new(plan, pass, at, [k, v])?;
    let mut parts: [Vec<Tensor>; 4] = Default::default();
    for heads in plan.slices() {
        let by_head = |x: &Tensor| plan.by_head(x, plan.group, heads);
        let log_total = log_total.narrow(0, heads.0, heads.1)?;
        let Gradients { q, k, v, factors } = Slice::new(plan, at, &layer, heads, q)?.backward(
            &by_head(out)?,
            &log_total,
            &by_head(d_out)?,
        )?;
        parts.iter_mut().zip([q, k, v, factors]).for_each(|(parts, part)| parts.push(part));
    }
    let [q, k, v, factors] = parts;
    let own = |x: &[Tensor]| plan.by_row(x, 1);
    Ok(Gradients {
        q: plan.by_row(&q, plan.group)?,
        k: own(&k)?,
        v: own(&v)?,
        factors: Tensor::cat(&factors, 0)?,
    })
}
