//! The held-out check of a finished mask, its verdict, and the recipe for its file.

use std::sync::Arc;

use serde_json::json;

use super::learning::Found;
use super::{LearnEvent, LearnRequest, gradient};
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::learn::check::{
    self, COMPLETE, CheckPlan, CheckRow, Contender, Cost, Extent, Known, Losses, McNemar,
    Thresholds, Verdict,
};
use crate::learn::data::HaystackPart;
use crate::learn::score;
use crate::learn::train::Settings;
use crate::mask::bytes;
use crate::model::Model;
use crate::random::SplitMix64;
use crate::{Error, Result};

/// The result of a check.
#[derive(Default)]
pub(super) struct Checked {
    /// The contenders, dense and learned first; empty without a check.
    pub rows: Vec<CheckRow>,
    /// What the learned mask and plain caches cost and lose, the mask first; empty where no plain
    /// cache was checked.
    pub costs: Vec<Cost>,
    /// Number of texts that are of the kind trained on.
    pub own_texts: usize,
}

/// What the held-out check is made on, and how many of its texts are of the kind trained on.
pub(super) fn plan(model: &Model, request: &LearnRequest) -> Result<(CheckPlan, usize)> {
    let (prompts, lengths) = (request.check_prompts, request.lengths);
    let extent = Extent { prompts, lengths, seed: request.settings.seed };
    check::plan(model, &request.haystack, &request.others, &extent)
}

/// Runs the held-out check on a [`plan`].
pub(super) fn checked(
    model: &Arc<Model>,
    request: &LearnRequest,
    found: &Found,
    (plan, own_texts): (CheckPlan, usize),
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Checked> {
    let Settings { window, .. } = request.settings;
    report(&LearnEvent::Check(0.0))?;
    let contenders = contenders(model, request, found, report)?;
    let mask = &found.mask;
    let plain = match request.baked {
        true => Vec::new(),
        false => check::plain_caches(mask.shape(), window, Dtype::F16, model.decoder.is_on_host())?,
    };
    // The dense and the learned contender and the plain caches answer every question.
    let (first, rules) = contenders.split_at(COMPLETE);
    let specs: Vec<Arc<CacheSpec>> = (first.iter().map(|contender| &contender.spec))
        .chain(plain.iter().map(|plain| &plain.spec))
        .chain(rules.iter().map(|contender| &contender.spec))
        .map(Arc::clone)
        .collect();
    let complete = COMPLETE + plain.len();
    let mut losses = check::measure(model, &specs, &plan, complete, &mut |share| {
        report(&LearnEvent::Check(share))
    })?;
    let of_plain: Vec<Losses> = losses.drain(COMPLETE..complete).collect();
    let tokens = request.lengths.1;
    let cost = |name: &str, spec: &CacheSpec, losses: &Losses| {
        let recall = (!losses.answers.is_empty()).then(|| losses.recall());
        let spec = (spec, model.config().sight());
        Cost::of(name, spec, tokens, losses.divergence(own_texts).kld.mean, recall)
    };
    let mut costs = Vec::with_capacity(1 + plain.len());
    if !plain.is_empty() {
        costs.push(cost("learned", &contenders[1].spec, &losses[1]));
    }
    costs.extend(plain.iter().zip(&of_plain).map(|(one, lost)| cost(one.name, &one.spec, lost)));
    let rows = contenders.iter().zip(&losses).map(|(one, lost)| one.row(lost, &plan, own_texts));
    Ok(Checked { rows: rows.collect(), costs, own_texts })
}

/// The caches that are checked besides the plain ones, dense first.
fn contenders(
    model: &Model,
    request: &LearnRequest,
    found: &Found,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Vec<Contender>> {
    let Settings { window, align, seed, .. } = request.settings;
    let mask = &found.mask;
    let tokenizer = model
        .tokenizer
        .as_ref()
        .ok_or_else(|| Error::input("a model without tokenizer cannot be checked"))?;
    let mut rng = SplitMix64::new(seed);
    // Training-free rules see as much text as training did, up to 16 windows.
    let texts = (0..16)
        .map(|_| {
            let mut ids = tokenizer.encode(&request.haystack.passage(
                HaystackPart::Training,
                8192,
                &mut rng,
            ))?;
            ids.truncate(1024);
            Ok(ids)
        })
        .collect::<Result<Vec<_>>>()?;
    match request.rivals {
        true => {
            let moments =
                score::gather(&model.decoder, &texts, 1024, &mut |_| Ok(()))?.moments()?;
            let sensitivity = match &found.sensitivity {
                Some(known) => Some(known.clone()),
                None => gradient::rival(model, request, report)?,
            };
            let known = Known { moments, sensitivity, seed };
            check::contenders(mask, window, align, &known)
        }
        false => check::dense_and_learned(mask, window),
    }
}

/// The verdict on the second row, compared with the first, dense one, and with plain caches.
pub(super) fn judge(checked: &Checked, thresholds: &Thresholds) -> (Verdict, McNemar) {
    let (dense, learned) = (&checked.rows[0], &checked.rows[1]);
    let evidence = learned.beside(dense);
    let verdict = Verdict::of(&evidence, thresholds);
    let test = evidence.answers.map_or_else(McNemar::of_none, |answers| answers.test);
    match checked.costs.split_first() {
        Some((own, plain)) => (verdict.beside(own, plain, thresholds), test),
        None => (verdict, test),
    }
}

/// How the mask was made and the result of the check, to be stored in its file.
pub(super) fn recipe(
    request: &LearnRequest,
    found: &Found,
    checked: &Checked,
    verdict: Option<&(Verdict, McNemar)>,
) -> serde_json::Value {
    let mut recipe = found.recipe.clone();
    recipe["baked"] = request.baked.into();
    recipe["saved"] = json!((!request.baked).then(|| bytes::savings(&found.mask, None)));
    recipe["check"] = json!(verdict.map(|(verdict, test)| json!({
        "verdict": verdict.word(),
        "reason": verdict.reason,
        "thresholds": request.thresholds,
        "mcnemar": test,
        "prompts": request.check_prompts,
        "texts_learned_from": checked.own_texts,
        "rows": checked.rows,
        "costs": checked.costs,
    })));
    recipe
}
