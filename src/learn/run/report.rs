//! The held-out check of a finished mask, its verdict, and the recipe for its file.

use std::sync::Arc;

use serde_json::json;

use super::{LearnEvent, LearnRequest};
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::learn::check::{
    self, COMPLETE, CheckPlan, CheckRow, Contender, Cost, Extent, Known, Losses, McNemar,
    Thresholds, Verdict,
};
use crate::learn::data::{Haystack, HaystackPart, HaystackPiece, SENTENCES};
use crate::learn::score;
use crate::learn::sensitivity::{self, SensitivitySettings};
use crate::learn::train::{Settings, TrainState};
use crate::mask::{ChannelMask, Sensitivity, bytes};
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
    mask: &ChannelMask,
    (plan, own_texts): (CheckPlan, usize),
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Checked> {
    let Settings { window, .. } = request.settings;
    let contenders = contenders(model, request, mask, report)?;
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
    mask: &ChannelMask,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Vec<Contender>> {
    let Settings { window, align, seed, .. } = request.settings;
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
            let sensitivity = sensitivity(model, request, report)?;
            let known = Known { moments, sensitivity, seed };
            check::contenders(mask, window, align, &known)
        }
        false => check::dense_and_learned(mask, window),
    }
}

/// The sensitivity on the texts that were learned from, with the window of the mask; none where it
/// cannot be measured, which is no reason to lose what was learned: weights on a device, texts too
/// short for a window.
fn sensitivity(
    model: &Model,
    request: &LearnRequest,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Option<Sensitivity>> {
    let usual = SensitivitySettings::new(model.config());
    let window_tokens = usual.window_tokens.min(request.lengths.1);
    let settings = SensitivitySettings {
        window: request.settings.window,
        windows: 2,
        window_tokens,
        rows: usual.rows.min(window_tokens / 4).max(1),
        seed: request.settings.seed,
        ..usual
    };
    // Where no natural text was learned from, it was generated sentences.
    let generated = || {
        let mut rng = SplitMix64::new(request.settings.seed);
        let text = Haystack::default().passage(HaystackPart::Training, 100_000, &mut rng);
        Haystack { pieces: vec![HaystackPiece::new(SENTENCES.to_owned(), text)] }
    };
    let haystack = match request.haystack.pieces.is_empty() {
        true => &generated(),
        false => &request.haystack,
    };
    // Contexts may have no room for recall prompts; then it is measured on text alone.
    for recall_weight in [usual.recall_weight, 0.0] {
        let settings = SensitivitySettings { recall_weight, ..settings };
        let going = &mut |_| report(&LearnEvent::Check(0.0));
        match sensitivity::measure(model, haystack, &settings, going) {
            Ok(measured) => return Ok(Some(measured.sensitivity)),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(_) => {}
        }
    }
    Ok(None)
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
    model: &Model,
    request: &LearnRequest,
    state: &TrainState,
    mask: &ChannelMask,
    checked: &Checked,
    verdict: Option<&(Verdict, McNemar)>,
) -> serde_json::Value {
    let names = |pieces: &[HaystackPiece]| {
        pieces.iter().map(|piece| piece.name.clone()).collect::<Vec<_>>()
    };
    let tail = |losses: &[f32]| {
        let last = &losses[losses.len().saturating_sub(20)..];
        (!last.is_empty()).then(|| last.iter().sum::<f32>() / last.len() as f32)
    };
    json!({
        "tool": concat!("kscope ", env!("CARGO_PKG_VERSION")),
        "rule": "learned",
        "weights": model.decoder.learning_weights(),
        "settings": request.settings,
        "data": {
            "haystack": names(&request.haystack.pieces),
            "tasks": request.tasks,
            "lengths": request.lengths,
            "pool": request.pool,
        },
        "losses": {
            "stage_1_first": state.losses.first(),
            "stage_1_last_20": tail(&state.losses),
            "stage_2_last_20": tail(&state.mask_losses),
            "validation_cut": state.validated().map(|(cut, _)| cut),
            "validation_kept": state.validated().map(|(_, kept)| kept),
        },
        "importance": request.start.as_ref().map(|start| json!({ "file": start.file, "recipe": start.recipe })),
        "baked": request.baked,
        "saved": (!request.baked).then(|| bytes::savings(mask, None)),
        "check": verdict.map(|(verdict, test)| json!({
            "verdict": verdict.word(),
            "reason": verdict.reason,
            "thresholds": request.thresholds,
            "mcnemar": test,
            "prompts": request.check_prompts,
            "texts_learned_from": checked.own_texts,
            "rows": checked.rows,
            "costs": checked.costs,
        })),
    })
}
