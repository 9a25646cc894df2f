//! From knobs to a request, and steps of the knobs.

use crate::Result;
use crate::capacity::{
    Assumed, Assumptions, CapacityRequest, GPUS, Load, PlanGpu, Project, StoredMiddle, date,
};
use crate::mask::Window;
use crate::model::arch;
use crate::model::served::{KvLayer, ServedModel, ServedWeights};
use crate::numbers::{count, percent};
use crate::tui::app::model::ModelView;
use crate::tui::screen::plan::state::{Knob, Planning};

/// The day of plans without a price.
const NO_DAY: &str = "2026-01-01";

/// Shares of K channels that can be dropped, beside what is loaded.
const SPARSITIES: [f64; 6] = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9];
const NAMED: [&str; 4] = ["k8v8", "k8v4", "k4v4", "q4_0"];
/// Columns of a price with its day.
const DATED_PRICE: usize = 19;
/// Where a sparsity of 0.7 is among the choices without a mask of their own.
const USUAL: usize = 3;

/// Names of the published shapes, those that are asked for most first.
pub(super) fn models() -> Vec<&'static str> {
    const FIRST: [&str; 4] = ["llama-3.1-8b", "qwen3-8b", "gemma-3-27b", "gpt-oss-20b"];
    let others = arch::served_names().into_iter().filter(|name| !FIRST.contains(name));
    FIRST.into_iter().chain(others).collect()
}

/// What a model can store in the middle: its own mask first, where it is loaded with one.
pub(super) fn choices(view: Option<&ModelView>) -> Vec<StoredMiddle> {
    let own = view.filter(|view| !view.plan().is_full()).map(|view| StoredMiddle::Plan {
        name: view
            .info
            .mask
            .as_ref()
            .map_or_else(|| "as loaded".to_owned(), |mask| mask.label.clone()),
        plan: view.plan().clone(),
    });
    let sparse = SPARSITIES.into_iter().map(StoredMiddle::Sparsity);
    let named = NAMED.into_iter().map(|name| StoredMiddle::Named(name.to_owned()));
    own.into_iter().chain(sparse).chain(named).chain([StoredMiddle::Dense]).collect()
}

/// The model as its server would hold it. A recording knows less of it than a loaded model.
fn loaded(view: &ModelView) -> ServedModel {
    if let Some(served) = &view.info.served {
        return served.clone();
    }
    let (info, shape) = (&view.info, view.shape());
    let layer = KvLayer::Heads { kv_heads: shape.kv_heads, head_dim: shape.head_dim, window: None };
    let bytes = info.weight_bytes as f64;
    ServedModel {
        name: info.name.clone(),
        architecture: info.architecture.clone(),
        origin: "the loaded model".to_owned(),
        layers: vec![layer; shape.layers],
        hidden: info.heads * shape.head_dim,
        heads: info.heads,
        // Unknown here: four times the residual stream, as is usual; it counts in activations alone.
        widest: 4 * info.heads * shape.head_dim,
        vocab: 0,
        max_context: info.max_context,
        rope_theta: 1.0,
        weights: ServedWeights {
            parameters: info.parameters,
            active_parameters: info.parameters,
            bytes,
            read_always: bytes,
            expert_bytes: 0.0,
            expert_share: 0.0,
            origin: format!("loaded in {}", info.dtype),
        },
        warnings: Vec::new(),
    }
}

impl Planning {
    /// The model that is planned for, and the loaded one if it is that.
    pub(super) fn served<'a>(&self, view: &'a ModelView) -> (ServedModel, Option<&'a ModelView>) {
        let known = self.model.checked_sub(1).and_then(|index| models().get(index).copied());
        match known.and_then(ServedModel::known) {
            Some(model) => (model, None),
            None => (loaded(view), Some(view)),
        }
    }

    /// The context that counts.
    pub(super) fn context(&self, model: &ServedModel) -> usize {
        self.ctx.min(model.max_context)
    }

    /// Tokens of a prompt and of an answer that count: both fit the model's context.
    fn tokens(&self, model: &ServedModel) -> (usize, usize) {
        let longest = model.max_context;
        let tokens_in = self.tokens_in.min(longest.saturating_sub(self.tokens_out).max(1));
        (tokens_in, self.tokens_out.min(longest.saturating_sub(tokens_in).max(1)))
    }

    fn choice(&self, of: Option<&ModelView>) -> StoredMiddle {
        let choices = choices(of);
        choices[(Self::first_choice(&choices) + self.stored) % choices.len()].clone()
    }

    /// Where the choices begin. Without a mask of its own, a model begins where 0.7 is dropped.
    pub(super) fn first_choice(choices: &[StoredMiddle]) -> usize {
        if matches!(choices[0], StoredMiddle::Plan { .. }) { 0 } else { USUAL }
    }

    fn gpu(&self) -> PlanGpu {
        let mut gpu = PlanGpu::from(&GPUS[self.gpu.min(GPUS.len() - 1)]);
        if let (Some(cents), Some(price)) = (self.cents, &mut gpu.price) {
            price.usd_per_hour = f64::from(cents) / 100.0;
        }
        gpu
    }

    /// The request that the knobs stand for.
    ///
    /// # Errors
    /// An assumption outside its range.
    pub fn request(&self, view: &ModelView) -> Result<CapacityRequest> {
        let (model, of) = self.served(view);
        let stored = self.choice(of);
        let window = match (&stored, of) {
            (StoredMiddle::Plan { .. }, Some(view)) => view.info.window,
            (StoredMiddle::Named(_), _) => Window::CODED,
            _ => Window::default(),
        };
        let mut assumptions = Assumptions::default();
        assumptions.set(Assumed::Reach, f64::from(self.reach) / 100.0)?;
        assumptions.set(Assumed::ReachPruned, f64::from(self.reach) / 100.0)?;
        let gpu = self.gpu();
        let (tokens_in, tokens_out) = self.tokens(&model);
        let load = Load { requests_per_day: self.requests as f64, tokens_in, tokens_out };
        let day = gpu.price.as_ref().map_or(NO_DAY, |price| price.as_of.as_str());
        Ok(CapacityRequest {
            ctx: vec![self.context(&model)],
            batch: vec![self.batch],
            dtype: of.map_or(crate::element::Dtype::F16, |view| view.info.kv_dtype),
            // Prices are shown with their day; the screen knows no calendar.
            date: date(day).map_err(crate::Error::input)?,
            gpus: vec![gpu],
            gpus_per_model: self.shared,
            stored,
            window,
            assumptions,
            calibration: None,
            load: Some(load),
            project: Some(Project { hours: self.hours as f64, hourly_rate: self.rate as f64 }),
            model,
        })
    }

    /// What a knob shows in so many columns.
    pub(super) fn value(&self, knob: Knob, view: &ModelView, room: usize) -> String {
        let (model, of) = self.served(view);
        match knob {
            Knob::TokensIn => count(self.tokens(&model).0),
            Knob::TokensOut => count(self.tokens(&model).1),
            Knob::Model => model.name,
            Knob::Stored => match self.choice(of) {
                StoredMiddle::Sparsity(share) => format!("{} of K dropped", percent(share, 0)),
                other => other.name(),
            },
            Knob::Context => count(self.context(&model)),
            Knob::Batch => count(self.batch),
            Knob::Gpu => self.gpu().name,
            Knob::Shared => count(self.shared),
            Knob::Price => self.gpu().price.map_or_else(
                || "no price".to_owned(),
                |price| match self.cents {
                    None if room >= DATED_PRICE => {
                        format!("{:.2} of {}", price.usd_per_hour, price.as_of)
                    }
                    _ => format!("{:.2}", price.usd_per_hour),
                },
            ),
            Knob::Reach => format!("{} %", self.reach),
            Knob::Requests => count(self.requests),
            Knob::Hours => count(self.hours),
            Knob::Rate => count(self.rate),
        }
    }

    /// Moves a knob by so many steps.
    pub(super) fn step(&mut self, knob: Knob, by: i32, view: &ModelView) {
        let around = |index: usize, len: usize| {
            (index as i64 + i64::from(by)).rem_euclid(len as i64) as usize
        };
        let (model, of) = self.served(view);
        match knob {
            Knob::Model => {
                self.model = around(self.model, models().len() + 1);
                self.stored = 0;
            }
            Knob::Stored => self.stored = around(self.stored, choices(of).len()),
            Knob::Context => {
                let most = model.max_context;
                self.ctx = doubled(self.context(&model), by, 256.min(most), most);
            }
            Knob::Batch => self.batch = doubled(self.batch, by, 1, 4096),
            Knob::Gpu => {
                self.gpu = around(self.gpu, GPUS.len());
                self.cents = None;
            }
            Knob::Shared => self.shared = doubled(self.shared, by, 1, 64),
            Knob::Price => {
                let Some(price) = self.gpu().price else { return };
                let cents = (price.usd_per_hour * 100.0).round() as i64 + 10 * i64::from(by);
                self.cents = Some(cents.clamp(1, 100_000) as u32);
            }
            Knob::Reach => self.reach = (self.reach as i32 + by).clamp(5, 100) as u32,
            Knob::Requests => self.requests = doubled(self.requests, by, 100, 1 << 36),
            Knob::TokensIn => {
                let most = model.max_context.saturating_sub(1).max(1);
                self.tokens_in = doubled(self.tokens(&model).0, by, 16.min(most), most);
            }
            Knob::TokensOut => {
                let most = model.max_context.saturating_sub(1).max(1);
                self.tokens_out = doubled(self.tokens(&model).1, by, 16.min(most), most);
            }
            Knob::Hours => {
                self.hours = (self.hours as i64 + 10 * i64::from(by)).clamp(0, 100_000) as usize
            }
            Knob::Rate => {
                self.rate = (self.rate as i64 + 10 * i64::from(by)).clamp(0, 10_000) as usize
            }
        }
    }
}

/// A value doubled or halved, step by step, inside its range.
fn doubled(value: usize, by: i32, least: usize, most: usize) -> usize {
    let mut value = value;
    for _ in 0..by.unsigned_abs() {
        value = if by > 0 { value.saturating_mul(2) } else { value / 2 };
        value = value.clamp(least, most);
    }
    value
}
