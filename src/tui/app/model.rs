//! The loaded model as the screens need it: its figures, masks and tables.

use std::sync::Arc;

use crate::cache::{CacheBytes, CacheSpec};
use crate::decode::worker::event::{Live, MaskInfo, ModelInfo, Rules};
use crate::mask::select::Options;
use crate::mask::{
    CachePlan, ChannelMask, Importance, Rule, Shape, Statistics, StatisticsSetting, Width, Window,
    bytes, select,
};
use crate::tui::app::table::{Metric, Table};
use crate::tui::app::widths::WidthBytes;

/// The loaded model and everything computed from it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelView {
    /// What the engine sent about the model.
    pub info: ModelInfo,
    /// The K channels that the session's plan stores; all ones where decode is dense.
    pub mask: ChannelMask,
    /// What the mask would be without alignment, where importance and sparsity are known.
    pub exact: Option<ChannelMask>,
    /// Statistics of the mask.
    pub statistics: Statistics,
    /// Bytes of the session's cache at any length.
    pub spec: CacheSpec,
    /// Bytes of the dense cache at any length.
    pub dense: CacheSpec,
    /// What the middle weighs by width; `None` where the session's plan is a mask.
    pub widths: Option<WidthBytes>,
    importance: Option<Table>,
    key_norm: Option<Table>,
    think: Option<Table>,
    live: Option<Table>,
    /// Steps and middle tokens that the live table was averaged over.
    pub live_from: (usize, usize),
}

/// Most query heads of a layer, as of layers in a shape.
const MOST_HEADS: usize = 1 << 16;

impl ModelView {
    /// Whether the model's caches are in a GPU's memory.
    pub fn is_on_gpu(&self) -> bool {
        self.info.device != "cpu"
    }

    /// Builds the view of a loaded model. Fails where the information is inconsistent, as it can be
    /// in a recording.
    pub fn new(info: ModelInfo) -> crate::Result<Self> {
        let shape = info.shape;
        Shape::checked(shape.layers, shape.kv_heads, shape.head_dim)?;
        let plan =
            info.mask.as_ref().map_or_else(|| CachePlan::full(shape), |mask| mask.plan.clone());
        expect_shape(&plan, shape)?;
        let mask = plan.mask().clone();
        let dtype = info.kv_dtype;
        if shape.head_dim < 2
            || info.heads == 0
            || info.heads > MOST_HEADS
            || !info.heads.is_multiple_of(shape.kv_heads)
            || info.wavelengths.len() != shape.pairs()
        {
            return Err(crate::Error::input(format!(
                "{}: heads, channels or wavelengths do not fit {shape}",
                info.name
            )));
        }
        let spec = CacheSpec::planned(info.window, dtype, plan)?.with_sight(info.sight());
        let mut view = Self {
            importance: None,
            exact: None,
            statistics: Statistics::of(
                &mask,
                &StatisticsSetting { at: None, element_size: dtype.bytes() },
            ),
            widths: WidthBytes::of(&spec),
            spec,
            dense: CacheSpec::dense(shape, info.window, dtype)?.with_sight(info.sight()),
            mask,
            key_norm: None,
            think: None,
            live: None,
            live_from: (0, 0),
            info,
        };
        view.take_origin();
        Ok(view)
    }

    /// What the mask was selected from, and what it would be without alignment.
    fn take_origin(&mut self) {
        let shape = self.info.shape;
        let origin = self.info.mask.as_ref();
        let scores = origin.and_then(|mask| mask.importance.clone());
        self.exact = origin.and_then(|mask| {
            let importance = Importance::new(shape, mask.importance.clone()?).ok()?;
            select::select(&importance, &Options::new(mask.sparsity?, 1)).ok()
        });
        self.importance = scores.and_then(|scores| Table::new(shape, scores));
    }

    /// Bits of every K channel and of every head's V.
    pub fn plan(&self) -> &CachePlan {
        self.spec.plan()
    }

    /// Switches to another plan and window; the tables of the prompt stay.
    ///
    /// # Errors
    /// A mask of another shape and a window without a chunk, both possible in a recording. The
    /// model is then unchanged.
    pub fn retuned(&mut self, mask: MaskInfo, window: Window) -> crate::Result<()> {
        let (shape, dtype) = (self.info.shape, self.spec.dtype());
        expect_shape(&mask.plan, shape)?;
        let sight = self.info.sight();
        let spec = CacheSpec::planned(window, dtype, mask.plan.clone())?;
        let spec = spec.with_sight(Arc::clone(&sight));
        self.dense = CacheSpec::dense(shape, window, dtype)?.with_sight(sight);
        self.statistics = Statistics::of(
            mask.mask(),
            &StatisticsSetting { at: None, element_size: dtype.bytes() },
        );
        self.mask = mask.mask().clone();
        (self.widths, self.spec) = (WidthBytes::of(&spec), spec);
        (self.info.mask, self.info.window) = (Some(mask), window);
        self.take_origin();
        Ok(())
    }

    /// Layers, KV heads, channels.
    pub fn shape(&self) -> Shape {
        self.info.shape
    }

    /// Query heads that share a KV head.
    pub fn group(&self) -> usize {
        self.info.heads / self.info.shape.kv_heads
    }

    /// Whether the session decodes with a mask.
    pub fn is_masked(&self) -> bool {
        self.info.mask.is_some()
    }

    /// What the middle stores: the share of channels that a mask keeps, or, of a plan with coded
    /// widths, that of a dense f16 cache's bytes. With or without the verb.
    pub fn stored(&self, verb: bool) -> String {
        let (word, share) = match &self.widths {
            Some(widths) => ("stores ", widths.share),
            None => ("keeps ", self.statistics.kept_ratio),
        };
        format!("{}{:.0} %", if verb { word } else { "" }, share * 100.0)
    }

    /// The name of a metric on screen: a plan with coded widths has a width for every channel.
    pub fn name_of(&self, metric: Metric) -> &'static str {
        match metric {
            Metric::Mask if self.widths.is_some() => "width",
            metric => metric.name(),
        }
    }

    /// What the plan does with a channel, in words.
    pub fn stored_as(&self, layer: usize, head: usize, channel: usize) -> String {
        match (self.plan().k(layer, head)[channel], &self.widths) {
            (width, Some(_)) => format!("{width} bits"),
            (Width::Zero, None) => "pruned".to_owned(),
            (_, None) => "kept".to_owned(),
        }
    }

    /// The values of a metric, where they are known. The mask has no table: it has bits.
    pub fn table(&self, metric: Metric) -> Option<&Table> {
        match metric {
            Metric::Mask => None,
            Metric::Importance => self.importance.as_ref(),
            Metric::KeyNorm => self.key_norm.as_ref(),
            Metric::Think => self.think.as_ref(),
            Metric::Live => self.live.as_ref(),
        }
    }

    /// Whether there is something to show for a metric.
    pub fn has(&self, metric: Metric) -> bool {
        match metric {
            Metric::Mask => self.is_masked(),
            metric => self.table(metric).is_some(),
        }
    }

    /// Takes the tables of a prompt.
    pub fn take_rules(&mut self, rules: &Rules) {
        let table = |rule| Table::new(self.shape(), rules.scores(rule)?.to_vec());
        (self.key_norm, self.think) = (table(Rule::KEY_NORM), table(Rule::THINK));
    }

    /// Takes a round of live importance. Channels that the cache does not store have no number.
    pub fn take_live(&mut self, live: Live) {
        let stored = |(value, &kept): (&f32, &bool)| if kept { *value } else { f32::NAN };
        let values = live.activity.iter().zip(self.mask.bits()).map(stored).collect();
        if live.middle > 0 {
            self.live = Table::new(self.shape(), values);
            self.live_from = (live.steps, live.middle);
        }
    }

    /// Clears what belonged to the last run.
    pub fn forget_run(&mut self) {
        (self.live, self.live_from) = (None, (0, 0));
    }

    /// Kept channels of a head.
    pub fn kept(&self, layer: usize, head: usize) -> usize {
        self.mask.kept_count(layer, head)
    }

    /// Bytes per middle token of one head: its keys and values, and what dense decode stores.
    /// Scales and minima count with their share of a token.
    pub fn head_bytes(&self, layer: usize, head: usize) -> ([f64; 2], bytes::KvBytes) {
        let one = Shape { layers: 1, kv_heads: 1, head_dim: self.shape().head_dim };
        let element = self.spec.dtype().bytes();
        // 64 tokens, so that groups and bytes are whole.
        let (tokens, group) = (64, self.spec.group_tokens());
        let now = self.plan().head_bytes((layer, head), element).at(tokens, group);
        (now.map(|bytes| bytes as f64 / tokens as f64), bytes::dense_token(one, element))
    }

    /// Computed cache bytes at a length: with the mask and dense.
    pub fn bytes_at(&self, tokens: usize) -> (CacheBytes, CacheBytes) {
        (self.spec.bytes_at(tokens), self.dense.bytes_at(tokens))
    }
}

/// Refuses a plan of another shape than the model's, which a recording may hold.
fn expect_shape(plan: &CachePlan, shape: Shape) -> crate::Result<()> {
    match plan.shape() == shape {
        true => Ok(()),
        false => Err(crate::Error::input(format!(
            "the mask has shape {}, the cache {shape}",
            plan.shape()
        ))),
    }
}
