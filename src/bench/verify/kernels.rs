//! The CUDA kernels of one case against the scalar oracle.

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::CaseOutcome;
use super::cases::{Bits, Case, LAYERS, Story};
use super::memory::{difference, numbers, rounded};
use crate::attention::cuda::params::{AppendParams, Numbers, Projection};
use crate::attention::cuda::{
    Balance, Batch, Device, DeviceMask, DeviceSequence, FillSource, Layout, StoredRow,
};
use crate::attention::{channel_activity, oracle};
use crate::cache::{CacheSpec, SequenceCache, StoredKey};
use crate::element::Dtype;
use crate::mask::{CachePlan, ChannelMask, Coding, Width};
use crate::{Error, Result};

/// One sequence, dense or pruned, on both sides.
struct Pair<D: Device> {
    cpu: SequenceCache,
    device: DeviceSequence<D>,
}

/// Runs a case; an error names what differs. Every prompt has a dense and a pruned sequence, all of
/// them in one batch.
pub fn compare_kernels<D: Device>(device: &D, case: &Case) -> Result<CaseOutcome> {
    let mut random = StdRng::seed_from_u64(case.seed);
    let mut pairs = Vec::new();
    for index in 0..case.prompts.len() {
        pairs.extend(prompt(device, case, index, &mut random)?);
    }
    check_stored(device, case, &pairs)?;
    let allowed = if case.dtype == Dtype::Bf16 { 1e-2 } else { 2e-3 };
    let mut outcome = CaseOutcome { error: 0.0, allowed, compared: 0 };
    let mut batch = Batch::new(case.geometry()?, Balance::default());
    for _ in 0..case.steps {
        step(device, case, &mut pairs, &mut batch, &mut random, &mut outcome)?;
    }
    check_stored(device, case, &pairs)?;
    if let Story::Rewind(back) = case.story {
        for two in pairs.chunks_exact_mut(2) {
            let [dense, pruned] = two else { unreachable!("chunks of two") };
            let len = dense.device.len() - back;
            dense.cpu.truncate(len, None)?;
            dense.device.truncate(device, len, None)?;
            pruned.cpu.truncate(len, Some(&dense.cpu))?;
            pruned.device.truncate(device, len, Some(&dense.device))?;
        }
        check_stored(device, case, &pairs)?;
        for _ in 0..case.steps {
            step(device, case, &mut pairs, &mut batch, &mut random, &mut outcome)?;
        }
        check_stored(device, case, &pairs)?;
    }
    if case.story == Story::Remask {
        for shift in [1, 0] {
            for (index, two) in pairs.chunks_exact_mut(2).enumerate() {
                remask(device, case, (index, shift), two, &mut random)?;
            }
            check_stored(device, case, &pairs)?;
            for _ in 0..case.steps {
                step(device, case, &mut pairs, &mut batch, &mut random, &mut outcome)?;
            }
        }
        check_stored(device, case, &pairs)?;
    }
    Ok(outcome)
}

/// Frees the pruned sequence of a prompt, then makes it anew from the dense one, with the counts
/// `shift` further on.
fn remask<D: Device>(
    device: &D,
    case: &Case,
    (index, shift): (usize, usize),
    two: &mut [Pair<D>],
    random: &mut StdRng,
) -> Result<()> {
    let [dense, pruned] = two else { unreachable!("chunks of two") };
    let plan = plan(case, index * case.shape().heads() + shift, random)?;
    let spec = Arc::new(CacheSpec::planned(case.window, case.dtype, plan)?);
    let capacity = pruned.device.capacity();
    // The old memory goes first: a small sequence takes its place until the new one is made.
    let small = DeviceMask::new(device, Layout::new(Arc::clone(dense.cpu.spec()), case.heads())?)?;
    pruned.device = DeviceSequence::new(device, small, 1)?;
    let mask = DeviceMask::new(device, Layout::new(Arc::clone(&spec), case.heads())?)?;
    pruned.device = DeviceSequence::new(device, mask, capacity)?;
    pruned.device.fill(device, &FillSource::Dense(&dense.device))?;
    pruned.cpu = dense.cpu.retuned(spec)?;
    Ok(())
}

/// A plan with the counts of a case, from number `first` on, and its widths.
fn plan(case: &Case, first: usize, random: &mut StdRng) -> Result<CachePlan> {
    let mask = mask(case, first, random)?;
    let mut of = |kept: bool| match case.bits {
        _ if !kept => Width::Zero,
        Bits::Elements => Width::Sixteen,
        Bits::Eight => Width::Eight,
        // All widths but that of nothing.
        Bits::Mixed => Width::ALL[random.random_range(1..Width::ALL.len())],
    };
    let k = mask.bits().iter().map(|&kept| of(kept)).collect();
    let v = mask.kept_counts().into_iter().map(|count| of(count > 0)).collect();
    CachePlan::new(case.shape(), k, v, Coding::best(case.head_dim))
}

/// A mask with the counts of a case, from number `first` on.
fn mask(case: &Case, first: usize, random: &mut StdRng) -> Result<ChannelMask> {
    let shape = case.shape();
    let mut counts = case.counts.iter().cycle().skip(first);
    let mut bits = Vec::with_capacity(shape.entries());
    for _ in 0..shape.heads() {
        let mut head = vec![false; shape.head_dim];
        let count = *counts.next().expect("an endless iterator");
        rand::seq::index::sample(random, shape.head_dim, count.min(shape.head_dim))
            .iter()
            .for_each(|at| head[at] = true);
        bits.extend(head);
    }
    ChannelMask::new(shape, bits)
}

/// The dense and the pruned sequence of one prompt.
fn prompt<D: Device>(
    device: &D,
    case: &Case,
    index: usize,
    random: &mut StdRng,
) -> Result<[Pair<D>; 2]> {
    let (shape, tokens) = (case.shape(), case.prompts[index]);
    let row = shape.kv_heads * shape.head_dim;
    let plan = plan(case, index * shape.heads(), random)?;
    let dense = CacheSpec::dense(shape, case.window, case.dtype)?;
    let pruned = CacheSpec::planned(case.window, case.dtype, plan)?;
    let pair = |spec: CacheSpec| -> Result<Pair<D>> {
        let spec = Arc::new(spec);
        let mask = DeviceMask::new(device, Layout::new(Arc::clone(&spec), case.heads())?)?;
        let mut sequence = DeviceSequence::new(device, mask, tokens + 3 * case.steps)?;
        sequence.begin(device, tokens)?;
        Ok(Pair { cpu: SequenceCache::new(spec), device: sequence })
    };
    let (mut dense, mut pruned) = (pair(dense)?, pair(pruned)?);
    for layer in 0..LAYERS {
        let (k, v) = (numbers(random, tokens * row, 2.0), numbers(random, tokens * row, 1.0));
        let (k_memory, v_memory) =
            (upload(device, case.dtype, &k)?, upload(device, case.dtype, &v)?);
        let source =
            FillSource::Rows { layer, k: device.address(&k_memory), v: device.address(&v_memory) };
        dense.cpu.append(layer, &k, &v);
        dense.device.fill(device, &source)?;
        pruned.cpu.append(layer, &k, &v);
        if case.story != Story::Retune {
            pruned.device.fill(device, &source)?;
        }
    }
    if case.story == Story::Retune {
        pruned.device.fill(device, &FillSource::Dense(&dense.device))?;
    }
    Ok([dense, pruned])
}

/// Decodes one token in every sequence, and compares every layer: attention outputs and live
/// importance.
fn step<D: Device>(
    device: &D,
    case: &Case,
    pairs: &mut [Pair<D>],
    batch: &mut Batch<D>,
    random: &mut StdRng,
    outcome: &mut CaseOutcome,
) -> Result<()> {
    let (kv_row, q_row) =
        (case.kv_heads * case.head_dim, case.group * case.kv_heads * case.head_dim);
    let mut sequences: Vec<&mut DeviceSequence<D>> =
        pairs.iter_mut().map(|pair| &mut pair.device).collect();
    batch.begin(device, &mut sequences)?;
    for layer in 0..LAYERS {
        let (k, v) = (
            numbers(random, pairs.len() * kv_row, 2.0),
            numbers(random, pairs.len() * kv_row, 1.0),
        );
        // The oracle gets the rounded queries, as the device does.
        let q = rounded(case.dtype, &numbers(random, pairs.len() * q_row, 2.0));
        let (k_memory, v_memory) =
            (upload(device, case.dtype, &k)?, upload(device, case.dtype, &v)?);
        let q_memory = upload(device, case.dtype, &q)?;
        // An angle of 0 leaves every bit as it is.
        let angles = pairs.len() * case.head_dim / 2;
        let [cos, sin] = [1.0f32, 0.0].map(|number| -> Result<D::Memory> {
            let mut memory = device.allocate(angles * size_of::<f32>())?;
            device.write(&mut memory, 0, bytemuck::cast_slice(&vec![number; angles]))?;
            Ok(memory)
        });
        let (cos, sin) = (cos?, sin?);
        let rotated = device.allocate(q.len() * case.dtype.bytes())?;
        let out_memory = device.allocate(q.len() * case.dtype.bytes())?;
        let rows = |memory: &D::Memory, width: usize| Projection {
            rows: Numbers::new(device.address(memory), width, case.dtype),
            ..Projection::default()
        };
        let token = AppendParams {
            q: rows(&q_memory, q_row),
            k: rows(&k_memory, kv_row),
            v: rows(&v_memory, kv_row),
            cos: device.address(&cos),
            sin: device.address(&sin),
            out: device.address(&rotated),
            factor: 1.0,
            ..AppendParams::default()
        };
        batch.append(device, layer, token)?;
        let out = Numbers::new(device.address(&out_memory), q_row, case.dtype);
        batch.attend(device, layer, device.address(&rotated), out)?;
        let found = download(device, case.dtype, &out_memory, q.len())?;
        for (index, pair) in pairs.iter_mut().enumerate() {
            pair.cpu.append(layer, &k[index * kv_row..][..kv_row], &v[index * kv_row..][..kv_row]);
            let q = &q[index * q_row..][..q_row];
            let mut expected = vec![0.0; q_row];
            oracle::decode(&pair.cpu, layer, q, &mut expected);
            let error = difference(&found[index * q_row..][..q_row], &expected);
            if error.is_nan() || error > outcome.allowed {
                return Err(Error::run(format!(
                    "{case}: sequence {index}, layer {layer}: error {error:.2e}"
                )));
            }
            outcome.error = outcome.error.max(error);
            outcome.compared += 1;

            let found = pair.device.activity(device, layer, q)?;
            let mut expected = vec![0.0; kv_row];
            channel_activity(&pair.cpu, layer, q, &mut expected);
            let error = difference(&found, &expected);
            if error.is_nan() || error > 1e-5 {
                return Err(Error::run(format!(
                    "{case}: live importance of sequence {index}, layer {layer}: error {error:.2e}"
                )));
            }
        }
    }
    Ok(())
}

/// Compares every stored key and value with the CPU's cache: the numbers are the same to the last
/// bit.
fn check_stored<D: Device>(device: &D, case: &Case, pairs: &[Pair<D>]) -> Result<()> {
    for (index, Pair { cpu, device: sequence }) in pairs.iter().enumerate() {
        let exact = cpu.bytes();
        let counted = sequence.bytes();
        if counted.total() < exact.total() || sequence.allocated() < counted.total() {
            return Err(Error::run(format!(
                "{case}: {counted:?} bytes are counted, {exact:?} without padding"
            )));
        }
        for (layer, head) in
            (0..LAYERS).flat_map(|layer| (0..case.kv_heads).map(move |head| (layer, head)))
        {
            let view = cpu.head(layer, head);
            let stored = sequence.stored_rows(device, layer, head)?;
            for (position, stored) in stored.into_iter().enumerate() {
                let expected = match (view.key(position), view.value(position)) {
                    (StoredKey::Whole(key) | StoredKey::Packed(key), Some(value)) => {
                        let mut key = key;
                        let in_middle = view.parts().middle.contains(&position);
                        // A key in the middle is stored with zero padding, unless it is coded.
                        if cpu.spec().layout(layer, head).is_none() {
                            key.resize(key.len().next_multiple_of(8), 0.0);
                        }
                        Some(StoredRow { key, value, in_middle })
                    }
                    _ => None,
                };
                if stored != expected {
                    return Err(Error::run(format!(
                        "{case}: sequence {index}, layer {layer}, head {head}: token {position} of {} is stored wrongly",
                        view.len()
                    )));
                }
            }
        }
    }
    Ok(())
}

fn upload<D: Device>(device: &D, dtype: Dtype, x: &[f32]) -> Result<D::Memory> {
    let mut memory = device.allocate(x.len() * dtype.bytes())?;
    device.write(&mut memory, 0, bytemuck::cast_slice(&dtype.round_bits(x)))?;
    Ok(memory)
}

pub(super) fn download<D: Device>(
    device: &D,
    dtype: Dtype,
    memory: &D::Memory,
    len: usize,
) -> Result<Vec<f32>> {
    let mut found = vec![0u16; len];
    device.read(memory, 0, bytemuck::cast_slice_mut(&mut found))?;
    Ok(dtype.widen_bits(&found))
}
