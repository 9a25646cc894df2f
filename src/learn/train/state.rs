//! The state of a training, and its file, from which a resumed run continues bit for bit.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::{Settings, Stage};
use crate::learn::optim::AdamW;
use crate::mask::files::overwrite;
use crate::mask::{Importance, Shape};
use crate::{Error, Result, input_file};

/// The state of a training between two updates. Factors are f32, `[layers, kv_heads, head_dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    /// The stage.
    pub stage: Stage,
    /// Updates made in this stage.
    pub step: usize,
    /// The current factors.
    pub alpha: Vec<f32>,
    /// Moments of the stage's optimiser.
    pub optimiser: AdamW,
    /// The factors at the end of stage 1; empty before.
    pub first_alpha: Vec<f32>,
    /// Validation loss of the mask of these factors.
    pub first_loss: f32,
    /// The factors whose mask was best so far; empty in stage 1.
    pub best_alpha: Vec<f32>,
    /// Validation loss of that mask.
    pub best_loss: f32,
    /// Distillation loss of each update of stage 1.
    pub losses: Vec<f32>,
    /// Distillation loss of each update of stage 2.
    pub mask_losses: Vec<f32>,
}

impl TrainState {
    /// The initial state: every factor is 1.
    pub fn new(shape: Shape) -> Self {
        Self::with(vec![1.0; shape.entries()])
    }

    /// A state whose stage 1 was done elsewhere (its settings have no steps), with these factors.
    /// Refused outside 0..=1.
    pub fn of(importance: &Importance) -> Result<Self> {
        match importance.scores().iter().find(|score| !(0.0..=1.0).contains(*score)) {
            Some(score) => Err(Error::input(format!(
                "importance to go on from must lie between 0 and 1 as learned factors do, found {score}"
            ))),
            None => Ok(Self::with(importance.scores().to_vec())),
        }
    }

    fn with(alpha: Vec<f32>) -> Self {
        Self {
            stage: Stage::Importance,
            step: 0,
            optimiser: AdamW::new(alpha.len()),
            alpha,
            first_alpha: Vec::new(),
            first_loss: 0.0,
            best_alpha: Vec::new(),
            best_loss: 0.0,
            losses: Vec::new(),
            mask_losses: Vec::new(),
        }
    }

    /// Validation losses of the stage-1 cut and of the mask that is kept; `None` before stage 2.
    pub fn validated(&self) -> Option<(f32, f32)> {
        (!self.best_alpha.is_empty()).then_some((self.first_loss, self.best_loss))
    }

    /// Writes the state atomically. `key` identifies what it belongs to (model, settings, data).
    pub fn save(&self, path: &Path, settings: &Settings, key: &str) -> Result<()> {
        let failed = |cause: String| Error::run(format!("writing {}: {cause}", path.display()));
        let scalars = [self.first_loss, self.best_loss];
        let parts: [(&str, &[f32]); 8] = [
            ("alpha", &self.alpha),
            ("m", &self.optimiser.m),
            ("v", &self.optimiser.v),
            ("first_alpha", &self.first_alpha),
            ("best_alpha", &self.best_alpha),
            ("scalars", &scalars),
            ("losses", &self.losses),
            ("mask_losses", &self.mask_losses),
        ];
        let bytes = parts
            .map(|(name, values)| (name, values.len(), bytemuck::cast_slice::<f32, u8>(values)));
        let mut tensors = Vec::new();
        for (name, len, bytes) in &bytes {
            tensors.push((
                *name,
                TensorView::new(Dtype::F32, vec![*len], bytes)
                    .map_err(|cause| failed(cause.to_string()))?,
            ));
        }
        let text =
            |value: serde_json::Result<String>| value.map_err(|cause| failed(cause.to_string()));
        let words = HashMap::from([
            ("format".to_owned(), "kscope-learning".to_owned()),
            ("key".to_owned(), key.to_owned()),
            ("settings".to_owned(), text(serde_json::to_string(settings))?),
            ("stage".to_owned(), text(serde_json::to_string(&self.stage))?),
            ("step".to_owned(), self.step.to_string()),
            ("updates".to_owned(), self.optimiser.updates.to_string()),
        ]);
        let bytes = serialize(tensors, Some(words)).map_err(|cause| failed(cause.to_string()))?;
        overwrite(path, &bytes)
    }

    /// Reads a state that [`save`](Self::save) wrote for the same model, settings and data.
    pub fn load(path: &Path, settings: &Settings, key: &str) -> Result<Self> {
        let bytes = input_file::read(path, input_file::CHECKPOINT)?;
        let bad = |what: &str| {
            Error::input(format!("{}: expected a kscope checkpoint, found {what}", path.display()))
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|cause| bad(&cause.to_string()))?;
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|cause| bad(&cause.to_string()))?;
        let words = header.metadata().clone().unwrap_or_default();
        let word = |name: &str| {
            words.get(name).map(String::as_str).ok_or_else(|| bad(&format!("no metadata `{name}`")))
        };
        if word("format")? != "kscope-learning" {
            return Err(bad("another format"));
        }
        let found: Settings =
            serde_json::from_str(word("settings")?).map_err(|cause| bad(&cause.to_string()))?;
        if found != *settings || word("key")? != key {
            return Err(Error::input(format!(
                "{} belongs to another learning (model, data or settings differ): resume with the arguments that began it",
                path.display()
            )));
        }
        let values = |name: &str| -> Result<Vec<f32>> {
            let tensor = file.tensor(name).map_err(|cause| bad(&cause.to_string()))?;
            Ok(tensor
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect())
        };
        let number = |name: &str| {
            word(name)?.parse::<u64>().map_err(|cause| bad(&format!("`{name}`: {cause}")))
        };
        let scalars = values("scalars")?;
        let [first_loss, best_loss] = scalars[..] else {
            return Err(bad("a wrong number of losses"));
        };
        let (alpha, m, v) = (values("alpha")?, values("m")?, values("v")?);
        if m.len() != alpha.len() || v.len() != alpha.len() {
            return Err(bad("moments that do not fit the factors"));
        }
        Ok(Self {
            stage: serde_json::from_str(word("stage")?).map_err(|cause| bad(&cause.to_string()))?,
            step: number("step")? as usize,
            alpha,
            optimiser: AdamW { m, v, updates: number("updates")? },
            first_alpha: values("first_alpha")?,
            first_loss,
            best_alpha: values("best_alpha")?,
            best_loss,
            losses: values("losses")?,
            mask_losses: values("mask_losses")?,
        })
    }
}
