//! What coding the middle of a cache would do to a model's own predictions, to first order.

use super::host::OnHost;
use super::rows::Pass;
use super::{Factors, Sample};
use crate::mask::{ChannelMask, Width, Window};
use crate::model::backend::BackendWeights;
use crate::model::decoder::Decoder;
use crate::{Error, Result};

/// Sums over answer rows and draws of squared effects: how much log p(y) of a token `y` changes when
/// the middle that a row sees is coded, with a column per width of
/// [`Sensitivity::WIDTHS`](crate::mask::Sensitivity::WIDTHS).
#[derive(Debug, Clone, PartialEq)]
pub struct Damage {
    /// Answer rows times draws.
    pub terms: usize,
    /// `[layers, kv_heads, head_dim]`: the keys of one channel are coded.
    pub k: Vec<[f64; 4]>,
    /// `[layers, kv_heads]`: the values of one head are coded; at 0 bits, the head is dropped.
    pub v: Vec<[f64; 4]>,
}

/// Gets the probabilities of the next token and draws one. Rows come in order, for every draw again.
pub type DrawToken<'a> = &'a mut dyn FnMut(&[f32]) -> usize;

/// What damage is asked of a sample.
#[derive(Debug, Clone, Copy)]
pub struct DamageQuery<'a> {
    /// Sink, recent window and chunk.
    pub window: Window,
    /// Tokens drawn per row.
    pub draws: usize,
    /// The widths that are looked at; the columns of others stay 0.
    pub widths: &'a [Width],
    /// A mask under which the model predicts and errs: what is left out already counts as it stands,
    /// and a head that it drops has no damage. `None` for the dense model.
    pub mask: Option<&'a ChannelMask>,
}

/// The damage over all answer rows of a sample.
///
/// The gradient is that of the sum of log p(y) over all rows, so what a row's error does to later
/// rows through its own keys and values counts too.
///
/// # Errors
/// Weights on a device; numbers that are not finite.
pub fn damage(
    decoder: &Decoder,
    query: DamageQuery<'_>,
    sample: &Sample,
    draw: DrawToken<'_>,
) -> Result<Damage> {
    let shape = decoder.config().mask_shape();
    let rows = sample.answer_rows(decoder)?;
    let factors = match query.mask {
        Some(mask) => Factors::masked(mask),
        // Factors of 1 change nothing, but tell the middle from the rest.
        None => Factors::soft(shape, vec![1.0; shape.entries()])?,
    };
    let mut damage = Damage {
        terms: rows.count * query.draws,
        k: vec![[0.0; 4]; shape.entries()],
        v: vec![[0.0; 4]; shape.heads()],
    };
    if damage.terms == 0 {
        return Ok(damage);
    }
    let BackendWeights::Host(weights) = decoder.backend().weights() else {
        return Err(Error::input(
            "sensitivity is measured over weights in this process's memory: run it with --device cpu",
        ));
    };
    let pass = Pass { rows: &rows, window: query.window, factors: &factors };
    OnHost::new(decoder.config(), weights).damage(pass, query.widths, draw, &mut damage)?;
    let finite = |sums: &[f64; 4]| sums.iter().all(|sum| sum.is_finite());
    let heads = damage.k.chunks_exact(shape.head_dim).zip(&damage.v);
    match heads.enumerate().find(|(_, (k, v))| !k.iter().chain([*v]).all(finite)) {
        Some((head, _)) => Err(Error::run(format!(
            "the sensitivity of layer {}, KV head {} is not a finite number: a key, value or gradient there leaves its range",
            head / shape.kv_heads,
            head % shape.kv_heads
        ))),
        None => Ok(damage),
    }
}
