//! Numbers in a device's memory, for comparisons.

use rand::{Rng, rngs::StdRng};

use crate::attention::cuda::Device;
use crate::attention::cuda::params::Numbers;
use crate::element::Dtype;
use crate::{Error, Result};

/// Numbers behind those of an [`Operand`], which nobody may write.
const BEHIND: usize = 16;

/// Numbers of one type in a device's memory.
pub(super) struct Operand<D: Device> {
    memory: D::Memory,
    dtype: Dtype,
    shift: usize,
    len: usize,
}

impl<D: Device> Operand<D> {
    /// Memory for `len` numbers, `shift` numbers after an address that is a multiple of 256. All of
    /// it holds NaNs.
    pub(super) fn empty(device: &D, dtype: Dtype, shift: usize, len: usize) -> Result<Self> {
        let bytes = (shift + len + BEHIND) * dtype.bytes();
        let mut memory = device.allocate(bytes)?;
        device.write(&mut memory, 0, &vec![0xFF; bytes])?;
        Ok(Self { memory, dtype, shift, len })
    }

    /// The same with numbers in it.
    pub(super) fn new(device: &D, dtype: Dtype, shift: usize, numbers: &[f32]) -> Result<Self> {
        let mut place = Self::empty(device, dtype, shift, numbers.len())?;
        device.write(&mut place.memory, shift * dtype.bytes(), &stored(dtype, numbers))?;
        Ok(place)
    }

    /// Its address.
    pub(super) fn address(&self, device: &D) -> u64 {
        device.address(&self.memory) + (self.shift * self.dtype.bytes()) as u64
    }

    /// Its numbers as rows.
    pub(super) fn rows(&self, device: &D, width: usize) -> Numbers {
        Numbers::new(self.address(device), width, self.dtype)
    }

    /// Reads the numbers. Refuses changes before and behind them.
    pub(super) fn read(&self, device: &D) -> Result<Vec<f32>> {
        let size = self.dtype.bytes();
        let mut bytes = vec![0; (self.shift + self.len + BEHIND) * size];
        device.read(&self.memory, 0, &mut bytes)?;
        let (own, behind) = bytes.split_at((self.shift + self.len) * size);
        let (before, own) = own.split_at(self.shift * size);
        if before.iter().chain(behind).any(|&byte| byte != 0xFF) {
            return Err(Error::run("memory beside the result was written"));
        }
        let number = |bytes: &[u8]| match self.dtype {
            Dtype::F32 => f32::from_bits(bytemuck::pod_read_unaligned(bytes)),
            dtype => dtype.widen_bits(&[bytemuck::pod_read_unaligned(bytes)])[0],
        };
        Ok(own.chunks_exact(size).map(number).collect())
    }
}

/// The bytes that numbers are stored as.
fn stored(dtype: Dtype, numbers: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::F32 => bytemuck::cast_slice(numbers).to_vec(),
        _ => bytemuck::cast_slice(&dtype.round_bits(numbers)).to_vec(),
    }
}

/// Random numbers between `-size` and `size`.
pub(super) fn numbers(random: &mut StdRng, len: usize, size: f32) -> Vec<f32> {
    (0..len).map(|_| size * (random.random::<f32>() * 2.0 - 1.0)).collect()
}

/// What numbers become when they are stored.
pub(super) fn rounded(dtype: Dtype, x: &[f32]) -> Vec<f32> {
    match dtype {
        Dtype::F32 => x.to_vec(),
        _ => dtype.widen_bits(&dtype.round_bits(x)),
    }
}

/// Largest difference, relative to the largest expected number; NaN where any number is NaN.
pub(super) fn difference(found: &[f32], expected: &[f32]) -> f64 {
    let largest = expected.iter().fold(0.0, |most: f64, x| most.max(f64::from(x.abs())));
    let mut difference = 0.0f64;
    for (found, expected) in found.iter().zip(expected) {
        let error = f64::from((found - expected).abs());
        if error.is_nan() {
            return f64::NAN;
        }
        difference = difference.max(error);
    }
    if difference == 0.0 { 0.0 } else { difference / largest }
}
