//! The kernels of a decode step beside attention against plain loops: what lies between two
//! branches of a block, gates, and rotation with the append.

use std::fmt;
use std::sync::Arc;

use rand::{SeedableRng, rngs::StdRng};

use super::CaseOutcome;
use super::memory::{Operand, difference, numbers, rounded};
use crate::attention::cuda::params::{
    AppendParams, BranchParams, GELU_TANH, GateParams, Numbers, Projection, SILU,
};
use crate::attention::cuda::{
    Balance, Batch, Device, DeviceMask, DeviceSequence, HEAD_DIMS, KernelShape, Launch, Layout,
};
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::mask::{ChannelMask, Shape, Window};
use crate::model::activation::Activation;
use crate::{Error, Result};

const EPS: f32 = 1e-5;

/// What a kernel computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepPart {
    /// The end of one branch and the start of the next, with a norm after the one and before the
    /// other.
    Branches {
        /// The norm of what is added.
        after: bool,
        /// The norm of the residual stream.
        before: bool,
    },
    /// The embedding, with a norm.
    Embedding,
    /// The gate of an MLP, its factors side by side or apart.
    Gate(Activation, bool),
    /// Rotation and append, of so many query heads per KV head.
    Append {
        /// Query heads per KV head.
        group: usize,
        /// Whether queries and keys are normed: not, head by head, or all heads together.
        norm: Norm,
    },
}

/// Channels of queries or keys that are normed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// None.
    None,
    /// Those of a head.
    Head,
    /// All.
    Whole,
}

/// One configuration that is run and compared.
#[derive(Debug, Clone, Copy)]
pub struct BranchCase {
    /// What is computed.
    pub part: StepPart,
    /// Tokens.
    pub rows: usize,
    /// Width of the rows; of an append the channels per head.
    pub width: usize,
    /// The type of what goes in.
    pub from: Dtype,
    /// The type of what comes out; of an append that of the cache.
    pub to: Dtype,
    /// Whether there is a bias.
    pub bias: bool,
    /// Numbers between an aligned address and every operand.
    pub shift: usize,
}

impl fmt::Display for BranchCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, rows, width, from, to, bias, shift } = self;
        let bias = if *bias { ", bias" } else { "" };
        write!(f, "{part:?}: {rows} x {width} {from} to {to}{bias}, shifted by {shift}")
    }
}

/// The cases that the tests run on the simulator and that `kscope selftest` repeats on a GPU.
pub fn branch_cases() -> Vec<BranchCase> {
    use Dtype::{Bf16, F16, F32};
    let types = [(F32, F32), (F16, F16), (Bf16, Bf16), (F32, F16), (Bf16, F32)];
    let mut cases = Vec::new();
    let gates = [Activation::Silu, Activation::GeluTanh].into_iter().flat_map(|activation| {
        [StepPart::Gate(activation, true), StepPart::Gate(activation, false)]
    });
    let norms = [(true, true), (false, true), (true, false), (false, false)];
    let parts = norms.map(|(after, before)| StepPart::Branches { after, before });
    for part in parts.into_iter().chain([StepPart::Embedding]).chain(gates) {
        for (at, (from, to)) in types.into_iter().enumerate() {
            // Few numbers, odd ones, more than a block takes at once; aligned and not.
            let sizes = [(1, 96, 0), (3, 577, 0), (2, 4616, 0), (5, 160, 1), (1, 7, 3)];
            cases.extend(sizes.map(|(rows, width, shift)| BranchCase {
                part,
                rows,
                width,
                from,
                to,
                bias: (at + width) % 2 == 0,
                shift,
            }));
        }
    }
    for to in [F16, Bf16] {
        for (at, width) in HEAD_DIMS.into_iter().enumerate() {
            for (which, (from, shift)) in [(F32, 0), (to, 1), (to, 0)].into_iter().enumerate() {
                let norm = [Norm::None, Norm::Head, Norm::Whole][(at + which) % 3];
                let group = [1, 3, 8, 16, 5, 2][(at + which) % 6];
                let part = StepPart::Append { group, norm };
                let bias = (at + which) % 2 == 0;
                cases.push(BranchCase { part, rows: 1 + at % 3, width, from, to, bias, shift });
            }
        }
    }
    cases
}

/// Runs a case; an error names what differs.
pub fn compare_branches<D: Device>(device: &D, case: &BranchCase) -> Result<CaseOutcome> {
    let mut random = StdRng::seed_from_u64((case.width * 100 + case.rows) as u64);
    let [mut error, mut compared] = [0.0f64; 2];
    let allowed = match case.to {
        Dtype::F32 => 1e-5,
        Dtype::F16 => 6e-4,
        Dtype::Bf16 => 5e-3,
    };
    let pairs = match case.part {
        StepPart::Branches { .. } | StepPart::Embedding => branches(device, case, &mut random)?,
        StepPart::Gate(..) => vec![gate(device, case, &mut random)?],
        StepPart::Append { group, norm } => append(device, case, (group, norm), &mut random)?,
    };
    for [found, expected] in &pairs {
        let own = difference(found, expected);
        if own.is_nan() || own > allowed || found.len() != expected.len() {
            return Err(Error::run(format!("{case}: error {own:.2e}")));
        }
        error = error.max(own);
        compared += expected.len() as f64;
    }
    Ok(CaseOutcome { error, allowed, compared: compared as usize })
}

/// Numbers, where they are on the device, and their address; 0 where there are none.
type Vector<D> = (Option<Vec<f32>>, Option<Operand<D>>, u64);

/// An f32 vector of numbers around `centre` where it is wanted.
fn vector<D: Device>(
    device: &D,
    (wanted, shift): (bool, usize),
    (len, centre): (usize, f32),
    random: &mut StdRng,
) -> Result<Vector<D>> {
    if !wanted {
        return Ok((None, None, 0));
    }
    let values: Vec<f32> = numbers(random, len, 0.5).into_iter().map(|x| centre + x).collect();
    let place = Operand::new(device, Dtype::F32, shift, &values)?;
    let address = place.address(device);
    Ok((Some(values), Some(place), address))
}

/// `weight * row / rms(row)`.
fn normed(row: &[f64], weight: Option<&[f32]>) -> Vec<f64> {
    let Some(weight) = weight else { return row.to_vec() };
    let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
    let scale = 1.0 / (mean + f64::from(EPS)).sqrt();
    row.iter().zip(weight).map(|(x, weight)| x * scale * f64::from(*weight)).collect()
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&x| f64::from(x)).collect()
}

fn narrow(rows: &[Vec<f64>]) -> Vec<f32> {
    rows.iter().flatten().map(|&x| x as f32).collect()
}

/// The residual stream and what enters the next branch, found and expected.
fn branches<D: Device>(
    device: &D,
    case: &BranchCase,
    random: &mut StdRng,
) -> Result<Vec<[Vec<f32>; 2]>> {
    const VOCAB: usize = 11;
    let &BranchCase { part, rows, width, from, to, bias, shift } = case;
    let (after, before, embeds) = match part {
        StepPart::Branches { after, before } => (after, before, false),
        _ => (false, true, true),
    };
    let factor = 0.625;
    let x = numbers(random, rows * width, 2.0);
    let delta = rounded(from, &numbers(random, rows * width, 3.0));
    let table = rounded(from, &numbers(random, VOCAB * width, 1.0));
    let tokens: Vec<u32> = (0..rows).map(|row| ((row * 7 + 10) % VOCAB) as u32).collect();
    let bits: Vec<f32> = tokens.iter().map(|&token| f32::from_bits(token)).collect();

    let x_place = Operand::new(device, Dtype::F32, shift, &x)?;
    let delta_place = Operand::new(device, from, shift, &delta)?;
    let table_place = Operand::new(device, from, shift, &table)?;
    let token_place = Operand::new(device, Dtype::F32, shift, &bits)?;
    let out = Operand::empty(device, to, shift, rows * width)?;
    let mut vector = |wanted, centre| vector(device, (wanted, shift), (width, centre), random);
    let (bias, _bias, bias_at) = vector(bias && !embeds, 0.0)?;
    let (after, _after, after_at) = vector(after, 1.0)?;
    let (before, _before, before_at) = vector(before, 1.0)?;
    device.launch(&Launch::branch(
        rows,
        BranchParams {
            x: x_place.address(device),
            delta: if embeds { Numbers::default() } else { delta_place.rows(device, width) },
            bias: bias_at,
            after: after_at,
            tokens: if embeds { token_place.address(device) } else { 0 },
            table: if embeds { table_place.rows(device, width) } else { Numbers::default() },
            before: before_at,
            out: out.rows(device, width),
            width: width as u32,
            factor,
            eps: EPS,
            pad: 0,
        },
    ))?;
    let (mut residual, mut entered) = (Vec::new(), Vec::new());
    for (row, &token) in tokens.iter().enumerate() {
        let own = |of: &[f32], at: usize| wide(&of[at * width..][..width]);
        let sum: Vec<f64> = if embeds {
            own(&table, token as usize).iter().map(|x| x * f64::from(factor)).collect()
        } else {
            let mut delta = own(&delta, row);
            for (delta, bias) in delta.iter_mut().zip(bias.iter().flatten()) {
                *delta += f64::from(*bias);
            }
            let added = normed(&delta, after.as_deref());
            own(&x, row).iter().zip(added).map(|(x, d)| x + f64::from(factor) * d).collect()
        };
        entered.push(normed(&sum, before.as_deref()));
        residual.push(sum);
    }
    Ok(vec![[x_place.read(device)?, narrow(&residual)], [out.read(device)?, narrow(&entered)]])
}

fn gate<D: Device>(device: &D, case: &BranchCase, random: &mut StdRng) -> Result<[Vec<f32>; 2]> {
    let &BranchCase { part, rows, width, from, to, bias, shift } = case;
    let StepPart::Gate(activation, side_by_side) = part else { unreachable!("called for gates") };
    // Rows of gate and up, side by side.
    let both = rounded(from, &numbers(random, rows * 2 * width, 4.0));
    let parts = |first: usize| -> Vec<f32> {
        both.chunks_exact(2 * width).flat_map(|row| row[first..][..width].to_vec()).collect()
    };
    let together = Operand::new(device, from, shift, &both)?;
    let apart = [
        Operand::new(device, from, shift, &parts(0))?,
        Operand::new(device, from, shift, &parts(width))?,
    ];
    let [gate, up] = match side_by_side {
        true => {
            let rows = together.rows(device, 2 * width);
            [rows, rows.from_column(width)]
        }
        false => apart.each_ref().map(|part| part.rows(device, width)),
    };
    let (bias, _bias, bias_at) = vector(device, (bias, shift), (2 * width, 0.0), random)?;
    let out = Operand::empty(device, to, shift, rows * width)?;
    device.launch(&Launch::gate(
        rows,
        GateParams {
            gate,
            up,
            out: out.rows(device, width),
            bias: bias_at,
            width: width as u32,
            activation: match activation {
                Activation::Silu => SILU,
                Activation::GeluTanh => GELU_TANH,
            },
        },
    ))?;
    let mut sums = both;
    if let Some(bias) = &bias {
        sums.chunks_exact_mut(2 * width)
            .for_each(|row| row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias));
    }
    let mut expected = vec![0.0; rows * width];
    activation.gate(&sums, width, &mut expected);
    Ok([out.read(device)?, expected])
}

/// Rotated queries, then the stored keys and values of every head.
fn append<D: Device>(
    device: &D,
    case: &BranchCase,
    (group, norm): (usize, Norm),
    random: &mut StdRng,
) -> Result<Vec<[Vec<f32>; 2]>> {
    const LAYER: usize = 1;
    let &BranchCase { rows, width: head_dim, from, to, bias, shift, .. } = case;
    let shape = Shape { layers: 2, kv_heads: 2, head_dim };
    let heads = group * shape.kv_heads;
    let window = Window { sink: 2, recent: 6, chunk: 4 };
    let spec = Arc::new(CacheSpec::new(shape, window, to, ChannelMask::full(shape))?);
    let mut sequences = (0..rows)
        .map(|_| {
            let mask = DeviceMask::new(device, Layout::new(Arc::clone(&spec), heads)?)?;
            let mut sequence = DeviceSequence::new(device, mask, 8)?;
            sequence.begin(device, 0)?;
            Ok(sequence)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut batch = Batch::new(KernelShape::new(shape, heads, to)?, Balance::default());
    batch.begin(device, &mut sequences.iter_mut().collect::<Vec<_>>())?;

    // Queries, keys and values side by side, as one product gives them.
    let widths = [heads, shape.kv_heads, shape.kv_heads].map(|heads| heads * head_dim);
    let all: usize = widths.iter().sum();
    let projected = rounded(from, &numbers(random, rows * all, 2.0));
    let place = Operand::new(device, from, shift, &projected)?;
    let (bias, _bias, bias_at) = vector(device, (bias, shift), (all, 0.0), random)?;
    let angles = numbers(random, rows * head_dim / 2, 3.0);
    let [cos, sin] =
        [f32::cos, f32::sin].map(|of| angles.iter().map(|&x| of(x)).collect::<Vec<_>>());
    let (cos_place, sin_place) =
        (Operand::new(device, Dtype::F32, 0, &cos)?, Operand::new(device, Dtype::F32, 0, &sin)?);
    let (mut places, mut weights, mut projections) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = 0;
    for (which, &width) in widths.iter().enumerate() {
        let span = if norm == Norm::Whole { width } else { head_dim };
        let has_norm = norm != Norm::None && which < 2;
        let (weight, place_of_norm, norm_at) =
            vector(device, (has_norm, shift), (span, 1.0), random)?;
        projections.push(Projection {
            rows: place.rows(device, all).from_column(first),
            bias: if bias_at == 0 { 0 } else { bias_at + 4 * first as u64 },
            norm: norm_at,
            span: span as u32,
            pad: 0,
        });
        places.push(place_of_norm);
        weights.push((first, span, weight));
        first += width;
    }
    let out = Operand::empty(device, to, 0, rows * heads * head_dim)?;
    let factor = 1.25;
    let [q, k, v] = projections[..] else { unreachable!("three projections") };
    let token = AppendParams {
        q,
        k,
        v,
        cos: cos_place.address(device),
        sin: sin_place.address(device),
        out: out.address(device),
        eps: EPS,
        factor,
        ..AppendParams::default()
    };
    batch.append(device, LAYER, token)?;

    let expected = |row: usize, which: usize| -> Vec<f32> {
        let (first, span, weight) = &weights[which];
        let mut own = wide(&projected[row * all + first..][..widths[which]]);
        if let Some(bias) = &bias {
            own.iter_mut().zip(&bias[*first..]).for_each(|(x, bias)| *x += f64::from(*bias));
        }
        own = own.chunks_exact(*span).flat_map(|run| normed(run, weight.as_deref())).collect();
        let pairs = head_dim / 2;
        for head in own.chunks_exact_mut(head_dim).filter(|_| which < 2) {
            for pair in 0..pairs {
                let at = row * pairs + pair;
                let (c, s) = (f64::from(cos[at]), f64::from(sin[at]));
                let (x, y) = (head[pair], head[pair + pairs]);
                (head[pair], head[pair + pairs]) = (x * c - y * s, y * c + x * s);
            }
        }
        let factor = if which == 0 { f64::from(factor) } else { 1.0 };
        own.into_iter().map(|x| (x * factor) as f32).collect()
    };
    let queries: Vec<f32> = (0..rows).flat_map(|row| expected(row, 0)).collect();
    let mut pairs = vec![[out.read(device)?, queries]];
    for (row, sequence) in sequences.iter().enumerate() {
        let [mut keys, mut values] = [Vec::new(), Vec::new()];
        for head in 0..shape.kv_heads {
            for stored in sequence.stored_rows(device, LAYER, head)?.into_iter().flatten() {
                keys.extend(stored.key);
                values.extend(stored.value);
            }
        }
        pairs.extend([[keys, expected(row, 1)], [values, expected(row, 2)]]);
    }
    match batch.misfits(device)? {
        true => Err(Error::run(format!("{case}: a finite number is taken for none"))),
        false => Ok(pairs),
    }
}
