//! The engine's model and settings.

use std::sync::Arc;

use super::event::{MaskInfo, ModelInfo};
use crate::Result;
use crate::cache::CacheSpec;
use crate::decode::comparison::Mode;
use crate::element::Dtype;
use crate::mask::{Sensitivity, Window, fingerprint};
use crate::model::Model;
use crate::model::served::ServedModel;

/// Makes the setup on the engine's thread. The function that it is given takes the share done and
/// may cancel.
pub type Loader = Box<dyn FnOnce(&mut dyn FnMut(f32) -> Result<()>) -> Result<Setup> + Send>;

/// The engine's model and settings.
#[derive(Debug)]
pub struct Setup {
    /// The model.
    pub model: Arc<Model>,
    /// The plan; `None` decodes dense.
    pub mask: Option<MaskInfo>,
    /// A second plan, to compare with on screen.
    pub other: Option<MaskInfo>,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Element type of the cache.
    pub kv_dtype: Dtype,
    /// Largest context in tokens.
    pub context: usize,
    /// Whether the pruned side runs alone, without a dense cache.
    pub solo: bool,
    /// The tokens that the pruned side is fed next to a dense one.
    pub feed: Mode,
    /// What every width is predicted to cost, where it is known.
    pub sensitivity: Option<Arc<Sensitivity>>,
    /// Warnings to show, one sentence each.
    pub warnings: Vec<String>,
}

impl Setup {
    /// The specification of the pruned side's cache.
    pub(super) fn spec(&self) -> Result<CacheSpec> {
        match &self.mask {
            Some(info) => CacheSpec::planned(self.window, self.kv_dtype, info.plan.clone())
                .map(|spec| spec.with_sight(self.model.config().sight())),
            None => self.dense(),
        }
    }

    /// The specification of the dense side's cache.
    pub(super) fn dense(&self) -> Result<CacheSpec> {
        let config = self.model.config();
        let dense = CacheSpec::dense(config.mask_shape(), self.window, self.kv_dtype)?;
        Ok(dense.with_sight(config.sight()))
    }

    pub(super) fn info(&self) -> ModelInfo {
        let config = self.model.config();
        let types = self.model.weight_types();
        let weight_bytes = types.bytes();
        let mut served = ServedModel::of_config(&self.model.name, config, "the loaded model");
        let origin = format!("loaded in {types}");
        served.weights = served.weights.in_bytes(weight_bytes as f64, origin);
        ModelInfo {
            name: self.model.name.clone(),
            architecture: config.architecture.to_string(),
            device: self.model.decoder.device_name().to_owned(),
            dtype: types.to_string(),
            weight_bytes,
            shape: config.mask_shape(),
            heads: config.heads,
            parameters: config.parameters() as u64,
            max_context: config.max_context,
            context: self.context,
            // A recording holds no infinities.
            wavelengths: self
                .model
                .decoder
                .rope()
                .wavelengths()
                .into_iter()
                .map(|tokens| if tokens.is_finite() { tokens } else { 0.0 })
                .collect(),
            kinds: config.additions.kinds.clone(),
            kv_dtype: self.kv_dtype,
            mask: self.mask.clone(),
            other: self.other.clone(),
            window: self.window,
            solo: self.solo,
            feed: self.feed,
            fingerprint: fingerprint(&config.geometry()),
            sensitivity: self.sensitivity.clone(),
            served: Some(served),
            warnings: self.warnings.clone(),
        }
    }
}
