//! The set mask as a file, with how it was made.

use serde_json::{Value, json};

use crate::decode::worker::event::ModelInfo;
use crate::mask::files::{MaskFile, Origin};
use crate::mask::{Shape, Width};
use crate::tui::screen::tune::state::controls::split_name;
use crate::tui::screen::tune::state::draft::{ALL, Base, Draft, Goal};
use crate::tui::screen::tune::state::{Freshness, Tuning};

impl Tuning {
    /// The set mask as a file: with its importance, window, alignment, the model's fingerprint and
    /// the recipe. Measurements are included only where they are of exactly this mask. `generation`
    /// is the current run; `is_applied` is whether the mask is in use.
    pub fn file(&self, info: &ModelInfo, generation: u64, is_applied: bool) -> MaskFile {
        let draft = &self.draft;
        let measured = match self.figures(generation) {
            Freshness::Measured(measured) if is_applied => json!({
                "steps": measured.divergence.steps,
                "kld": measured.divergence.kld,
                "top1_agreement": measured.divergence.top1_agreement,
                "kv_dtype": info.kv_dtype,
            }),
            _ => Value::Null,
        };
        let mut recipe = json!({ "tool": concat!("kscope ", env!("CARGO_PKG_VERSION"), " tune"), "base": self.saved.mask.label });
        match &draft.base {
            Base::Verbatim(mask) => {
                recipe["base"] = mask.label.clone().into();
                recipe["rule"] = mask.rule.clone().into();
            }
            Base::Selection => {
                recipe["rule"] = draft.rule_words().into();
                recipe["selection"] = selection(draft, info);
            }
        }
        recipe["locks"] = draft.locks.keys().map(|&head| place(self.sources.shape, head)).collect();
        recipe["flips"] = flips(draft, self.sources.shape);
        recipe["measured"] = measured;
        let align = match &draft.base {
            Base::Verbatim(mask) => mask.align,
            Base::Selection => draft.align,
        };
        MaskFile {
            plan: self.proposal.plan.clone(),
            importance: self.proposal.importance.clone(),
            sensitivity: draft
                .allocates()
                .then(|| self.sources.sensitivity.as_deref().cloned())
                .flatten(),
            target_sparsity: draft.sparsity(),
            origin: Origin {
                model: info.name.clone(),
                fingerprint: info.fingerprint.clone(),
                window: draft.window,
                align,
                recipe,
            },
        }
    }
}

fn selection(draft: &Draft, info: &ModelInfo) -> Value {
    let floors = |(layer, channels): (&usize, &usize)| format!("{layer}={channels}");
    let all = (draft.floor > 0).then(|| draft.floor.to_string());
    let share = |thousandths: u16| json!(f64::from(thousandths) / f64::from(ALL));
    let (sparsity, fit, bytes) = match draft.goal {
        Goal::Keep(keep) => (share(ALL - keep), Value::Null, Value::Null),
        Goal::Fit { bytes, tokens } => {
            let fit = json!({ "bytes": bytes, "tokens": tokens, "kv_dtype": info.kv_dtype });
            (Value::Null, fit, Value::Null)
        }
        Goal::Bytes(bytes) => (Value::Null, Value::Null, share(bytes)),
    };
    json!({
        "sparsity": sparsity,
        "fit": fit,
        "bytes_share": bytes,
        "align": draft.align,
        "budget": split_name(draft.split),
        "pair_closed": draft.pairs,
        "floors": all.into_iter().chain(draft.layer_floors.iter().map(floors)).collect::<Vec<_>>(),
        "blend": draft.blend.map(|second| json!({
            "first": draft.rule.name, "second": second.name, "weight": f64::from(draft.weight) / 100.0, "by": "rank",
        })),
    })
}

/// `LAYER:HEAD`, as the command line writes it.
fn place(shape: Shape, head: usize) -> String {
    format!("{}:{}", head / shape.kv_heads, head % shape.kv_heads)
}

/// What is set by hand, head by head: channels by the bits that they have, and bits of V.
fn flips(draft: &Draft, shape: Shape) -> Value {
    let rows = draft.pins.iter().map(|(&head, pins)| {
        let of = |width: Width| -> Vec<usize> {
            let set = pins.k.iter().enumerate().filter(|(_, pin)| **pin == Some(width));
            set.map(|(channel, _)| channel).collect()
        };
        let coded = Width::CODED.map(|width| (width.to_string(), of(width)));
        let coded = coded.into_iter().filter(|(_, channels)| !channels.is_empty());
        json!({
            "head": place(shape, head),
            "kept": of(Width::Sixteen),
            "pruned": of(Width::Zero),
            "bits": coded.collect::<std::collections::BTreeMap<_, _>>(),
            "v": pins.v,
        })
    });
    rows.collect()
}
