//! Matrix products in layouts that a GPU supports.

use std::sync::{Mutex, MutexGuard};

use candle_core::{Error, Result, Tensor, cuda};

/// Whether f32 products on a GPU use TF32 is one setting for the whole process, read when a product
/// is submitted. This lock is held meanwhile.
static SWITCH: Mutex<()> = Mutex::new(());

/// `A B` for `[m, k]` and `[k, n]`, or a batch of each. On the CPU candle multiplies matrices in
/// any layout; on a GPU only those that cuBLAS can describe by one stride: rows without gaps, or
/// the transpose of such. Other layouts are refused on every device, so that the tests, which run
/// on the CPU, notice them.
pub(crate) fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check(a, b)?;
    // On the CPU a product runs at once, on several threads: none may wait for another's.
    let _turn = a.device().is_cuda().then(switch);
    a.matmul(b)
}

/// [`product`] of f32 matrices on a GPU's tensor cores: factors are rounded to 11 bits (TF32), as
/// many as f16 has, and sums are f32. On the CPU it is [`product`].
pub(super) fn product_in_tf32(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check(a, b)?;
    if !a.device().is_cuda() {
        return a.matmul(b);
    }
    let _turn = switch();
    cuda::set_gemm_reduced_precision_f32(true);
    let product = a.matmul(b);
    cuda::set_gemm_reduced_precision_f32(false);
    product
}

fn switch() -> MutexGuard<'static, ()> {
    SWITCH.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn check(a: &Tensor, b: &Tensor) -> Result<()> {
    match [a, b].into_iter().find(|x| !is_dense(x)) {
        Some(x) => Err(Error::Msg(format!(
            "a GPU multiplies no matrix of shape {:?} with strides {:?}",
            x.dims(),
            x.stride()
        ))),
        None => Ok(()),
    }
}

/// Whether each matrix of a batch is without gaps, in either order; there may be gaps between the
/// matrices.
fn is_dense(x: &Tensor) -> bool {
    let (dims, strides) = (x.dims(), x.stride());
    let [.., rows, cols] = *dims else { return false };
    let [.., by_row, by_col] = *strides else { return false };
    let is_plain = (by_col == 1 || cols == 1) && (by_row == cols || rows == 1);
    let is_transposed = (by_row == 1 || rows == 1) && (by_col == rows || cols == 1);
    dims.len() <= 3 && (is_plain || is_transposed)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn columns_cut_out_of_a_matrix_are_refused_and_transposes_and_runs_of_rows_are_not() {
        let a = Tensor::arange(0f32, 48.0, &Device::Cpu).unwrap().reshape((2, 4, 6)).unwrap();
        let b = Tensor::arange(0f32, 60.0, &Device::Cpu).unwrap().reshape((2, 5, 6)).unwrap();
        let by_b = |a: &Tensor| product(a, &b.t().unwrap());
        assert_eq!(by_b(&a).unwrap().dims(), [2, 4, 5]);
        assert_eq!(by_b(&a.narrow(1, 1, 3).unwrap()).unwrap().dims(), [2, 3, 5]);
        let cut = b.narrow(1, 0, 4).unwrap().narrow(2, 1, 3).unwrap();
        assert!(product(&a.t().unwrap(), &cut).is_err(), "rows of 3 with gaps of 3");
        assert!(product(&a.t().unwrap(), &cut.contiguous().unwrap()).is_ok());
    }
}
