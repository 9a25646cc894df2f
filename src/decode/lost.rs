//! What one decode step lost in one query head, over the dense side's keys and values.

use serde::{Deserialize, Serialize};

use crate::attention::{Explanation, Mass, explain};
use crate::cache::{SequenceCache, StoredKey};
use crate::decode::comparison::Comparison;
use crate::model::Model;
use crate::model::decoder::StepBuffers;
use crate::{Error, Result};

/// A decode step and a query head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The generated token that the step gave, counted from 1; the first came from the prefill and
    /// has none.
    pub n: usize,
    /// Layer.
    pub layer: usize,
    /// Query head.
    pub head: usize,
}

/// The loss of one step in one query head. The step is repeated over the dense side's keys and
/// values, so the loss of earlier steps is not in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// Which step and head.
    pub asked: Asked,
    /// Attention mass of sink, middle and recent with all channels.
    pub exact: [f64; 3],
    /// Attention mass of sink, middle and recent under the mask.
    pub pruned: [f64; 3],
    /// KL(exact || pruned) of the attention weights in nats; `None` where it is infinite, because a
    /// token with weight is not seen.
    pub kld: Option<f64>,
    /// Root mean square change of the logits of the middle tokens that are seen; 0 where there are
    /// none.
    pub logit_rms: f64,
    /// The tokens with the most exact weight, and those that lost the most.
    pub tokens: Vec<LostToken>,
}

/// One token that the query sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostToken {
    /// Its position in the sequence.
    pub position: usize,
    /// The token's text.
    pub text: String,
    /// Whether it is in the middle.
    pub middle: bool,
    /// Attention logit with all channels.
    pub exact_logit: f64,
    /// Attention logit under the mask; `None` where a dropped head does not see it.
    pub pruned_logit: Option<f64>,
    /// Attention weight with all channels.
    pub exact_weight: f64,
    /// Attention weight under the mask.
    pub pruned_weight: f64,
    /// Rank by weight with all channels, from 1.
    pub exact_rank: usize,
    /// Rank by weight under the mask, from 1.
    pub pruned_rank: usize,
}

/// Number of tokens listed for their weight, and for what they lost.
const WEIGHTY: usize = 10;
const LOSERS: usize = 6;

/// Says what the step that gave generated token `asked.n` loses under the current mask.
///
/// # Errors
/// Those of [`repeated`].
pub fn lost(comparison: &Comparison, asked: Asked) -> Result<Lost> {
    let Repeated { explanation, tokens, middle } = repeated(comparison, asked)?;
    Ok(told(comparison.model(), asked, &explanation, &tokens, middle))
}

/// A step that was made once more, and its attention in one query head.
pub(super) struct Repeated {
    /// The attention, with all channels and under the mask.
    pub explanation: Explanation,
    /// The tokens that the query sees.
    pub tokens: Vec<u32>,
    /// Positions of the middle.
    pub middle: std::ops::Range<usize>,
}

/// Repeats the step that gave generated token `asked.n` under the current mask, from the dense
/// cache as it was before that step, and explains its attention in one query head. Queries, and the
/// key and value of the token fed, are those of the repeated step.
///
/// # Errors
/// For the first token, which the exact prefill gave, for tokens and heads that are not there, and
/// in free mode where the two texts already differ before the token.
pub(super) fn repeated(comparison: &Comparison, asked: Asked) -> Result<Repeated> {
    let model = comparison.model().clone();
    let config = model.config();
    let (a, b) = (&comparison.a.generated[0], &comparison.b.generated[0]);
    let Asked { n, layer, head } = asked;
    if n < 2 {
        return Err(Error::input(
            "the first token comes from the exact prefill: nothing is lost in it",
        ));
    }
    if n > a.len() || layer >= config.layers || head >= config.heads {
        return Err(Error::input(format!(
            "token {n}, layer {layer}, query head {head}: there is no such step"
        )));
    }
    let is_same = comparison.a.prompts[0] == comparison.b.prompts[0];
    if !is_same || b.get(..n - 1) != Some(&a[..n - 1]) {
        return Err(Error::input(
            "the two texts differ before this token; forced mode keeps them together",
        ));
    }
    let tokens = [comparison.prompts()[0].as_slice(), &a[..n - 1]].concat();
    let fed = tokens[tokens.len() - 1];
    let mut dense = comparison.a.caches[0].copied()?;
    dense.truncate(tokens.len() - 1, None)?;
    let mut pruned = dense.retuned(comparison.b.caches[0].spec().clone())?;
    let mut explained = None;
    let mut buffers = StepBuffers::new(config, 1);
    model.decoder.step(&[fed], &mut [&mut pruned], &mut buffers, &mut |at, q, caches| {
        if at == layer {
            append_last(&mut dense, caches[0], &comparison.a.caches[0], layer);
            let q = &q[head * config.head_dim..][..config.head_dim];
            explained = Some(explain(caches[0], Some(&dense), layer, (head, config.heads), q));
        }
    })?;
    let explanation = explained.expect("every layer is observed")?;
    let middle = pruned.head(layer, head * config.kv_heads / config.heads).parts().middle;
    Ok(Repeated { explanation, tokens, middle })
}

/// Gives `dense` the newest token of one layer of `cache`. A window without recent tokens has
/// pruned it already; then the dense side's own key and value of that token are used.
fn append_last(
    dense: &mut SequenceCache,
    cache: &SequenceCache,
    own: &SequenceCache,
    layer: usize,
) {
    let position = cache.len(layer) - 1;
    let (mut k, mut v) = (Vec::new(), Vec::new());
    for head in 0..cache.spec().shape().kv_heads {
        let found = [cache, own].into_iter().find_map(|cache| {
            let view = cache.head(layer, head);
            match view.key(position) {
                StoredKey::Whole(key) => Some((key, view.value(position)?)),
                StoredKey::Packed(_) | StoredKey::Dropped => None,
            }
        });
        let (key, value) = found.expect("the dense side holds every token whole");
        k.extend(key);
        v.extend(value);
    }
    dense.append(layer, &k, &v);
}

fn told(
    model: &Model,
    asked: Asked,
    explanation: &Explanation,
    tokens: &[u32],
    middle: std::ops::Range<usize>,
) -> Lost {
    let pruned = &explanation.pruned;
    let exact = explanation.exact.as_ref().expect("a dense cache was given");
    let (exact_ranks, pruned_ranks) = (ranks(&exact.weights), ranks(&pruned.weights));
    let mut by_weight: Vec<usize> = (0..tokens.len()).collect();
    by_weight.sort_unstable_by_key(|&position| exact_ranks[position]);
    let mut by_loss = by_weight.clone();
    let loss = |position: &usize| exact.weights[*position] - pruned.weights[*position];
    by_loss.sort_by(|x, y| loss(y).total_cmp(&loss(x)));
    let mut chosen: Vec<usize> = by_weight.iter().take(WEIGHTY).copied().collect();
    let losers = by_loss
        .into_iter()
        .filter(|position| loss(position) > 0.0 && exact_ranks[*position] > WEIGHTY);
    chosen.extend(losers.take(LOSERS));
    let token = |position: usize| LostToken {
        position,
        text: model.token_text(tokens[position]),
        middle: middle.contains(&position),
        exact_logit: exact.logits[position].unwrap_or_default(),
        pruned_logit: pruned.logits[position],
        exact_weight: exact.weights[position],
        pruned_weight: pruned.weights[position],
        exact_rank: exact_ranks[position],
        pruned_rank: pruned_ranks[position],
    };
    let rows = chosen.into_iter().map(token).collect();
    let changes: Vec<f64> = middle
        .filter_map(|position| Some((pruned.logits[position]? - exact.logits[position]?).powi(2)))
        .collect();
    let mass = |mass: Mass| [mass.sink, mass.middle, mass.recent];
    Lost {
        asked,
        exact: mass(exact.mass),
        pruned: mass(pruned.mass),
        kld: explanation.divergence().filter(|kld| kld.is_finite()),
        logit_rms: (changes.iter().sum::<f64>() / changes.len().max(1) as f64).sqrt(),
        tokens: rows,
    }
}

/// The rank of each weight from 1, the largest first; of equal ones the earlier.
fn ranks(weights: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&x, &y| weights[y].total_cmp(&weights[x]));
    let mut ranks = vec![0; weights.len()];
    order.into_iter().enumerate().for_each(|(rank, position)| ranks[position] = rank + 1);
    ranks
}
