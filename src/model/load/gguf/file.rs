//! Weights and configuration from a GGUF file.
//!
//! Llama files store each head's q and k rows in interleaved order (pairs side by side). They are
//! brought to rotate-half order here by moving whole stored rows, so quantised values do not
//! change.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use super::element::GgufElement;
use super::header::TensorInfo;
use super::keys::{self, GgufRotation};
use super::metadata::{Metadata, Section};
use super::order::{interleaved_row, rotate_half_rows};
use super::parts::{self, Part};
use crate::error::shortened;
use crate::model::additions::Additions;
use crate::model::arch::{Architecture, BiasRule, ExpertRule, Spelling};
use crate::model::config::Config;
use crate::model::host::matrix::Matrix;
use crate::model::load::instead;
use crate::model::load::{Zeros, unread};
use crate::model::rope_scaling::RopeScaling;
use crate::numbers::count;
use crate::{Error, Result};

/// An open GGUF file, with all parts of a split one.
pub struct Gguf {
    pub(super) name: String,
    metadata: Metadata,
    pub(super) parts: Vec<Part>,
    pub(super) architecture: &'static Architecture,
}

/// The key of the channels of a head that rotate.
const ROTATED: &str = "rope.dimension_count";

/// Where a tensor lies.
pub(super) struct Span<'a> {
    /// Its part of the file.
    part: &'a Part,
    /// Which of the parts that is.
    number: usize,
    pub(super) element: GgufElement,
    pub(super) rows: usize,
    pub(super) cols: usize,
    row_bytes: usize,
    /// Where it begins in the part, in bytes.
    start: usize,
    stored: &'a [u8],
}

impl Gguf {
    /// Opens a file, and the other parts where it is one of several, and reads the metadata.
    pub fn open(path: &Path) -> Result<Self> {
        let mut parts = parts::open(path)?;
        // The first part has the metadata of the model.
        let first = parts.first_mut();
        let first = first.ok_or_else(|| Error::run(format!("{}: no part", path.display())))?;
        let name = first.name.clone();
        let metadata = Metadata::new(&name, std::mem::take(&mut first.header.metadata))?;
        if let Some(what) = metadata.section("general").text("type")
            && what != "model"
        {
            return Err(Error::input(format!(
                "{name}: `general.type` is `{}`, so it holds no model of its own",
                shortened(what)
            )));
        }
        let family = metadata.family();
        let experts = metadata.section(family).count(ExpertRule::COUNT);
        let architecture = Architecture::of_gguf(family, experts.is_some_and(|count| count > 0))
            .map_err(|error| Error::input(format!("{name}: {error}")))?;
        Ok(Self { name, metadata, parts, architecture })
    }

    /// The file named in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metadata of the model's own architecture.
    pub(super) fn own(&self) -> Section<'_> {
        self.metadata.section(self.metadata.family())
    }

    /// The metadata of the tokenizer.
    pub fn tokenizer(&self) -> Section<'_> {
        self.metadata.section("tokenizer.ggml")
    }

    /// The model's chat template, where the file has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.metadata.section("tokenizer").text("chat_template")
    }

    /// A count that must be there.
    fn count(&self, key: &str, found: Option<usize>) -> Result<usize> {
        match found {
            Some(0) => Err(self.own().wrong(key, "is 0, expected at least 1")),
            Some(count) => Ok(count),
            None => Err(self.own().wrong(key, "is missing")),
        }
    }

    /// The model's configuration, without the tokens that begin and end a text: which these are
    /// depends on the tokenizer.
    pub fn config(&self) -> Result<Config> {
        let Architecture { keys, tensors, biases, .. } = self.architecture;
        let own = self.own();
        let single = |key| self.count(key, own.count(key));
        let layers = single(keys.layers.gguf)?;
        let same = |key| self.count(key, own.per_layer(key, layers)?);
        let hidden = single(keys.hidden.gguf)?;
        let heads = same(keys.heads.gguf)?;
        let head_dim = self.head_dim()?;
        let rotated = own.count(ROTATED).filter(|&found| found != head_dim);
        let partial = rotated.filter(|_| self.architecture.partial_rotation);
        for (key, what) in [("attention.value_length", "values"), (ROTATED, "rotated channels")] {
            let found = own.count(key).filter(|&found| found != head_dim);
            if let Some(found) = found.filter(|_| key != ROTATED || partial.is_none()) {
                return Err(own.wrong(
                    key,
                    &format!("is {found}: heads of {head_dim} channels with {found} {what} are not supported"),
                ));
            }
        }
        let embedding =
            self.info(&format!("{}.weight", tensors.embedding.gguf))?.shape.dims().to_vec();
        let trained_context = single(keys.context.gguf)?;
        let GgufRotation { scaling, magnitude: rope_magnitude } =
            GgufRotation::read(own, trained_context)?;
        let pairs = partial.unwrap_or(head_dim) / 2;
        let rope_scaling = self.longrope(pairs, trained_context)?.unwrap_or(scaling);
        let mut max_context = rope_scaling.context(trained_context);
        let mut context_key = keys.context.gguf;
        let window = own.count(keys.window.gguf).filter(|&window| window > 0);
        // llama.cpp knows no window here; within it there is no difference.
        if let Some(window) =
            window.filter(|_| self.architecture.window.is_some_and(|rule| !rule.in_gguf))
            && window < max_context
        {
            (max_context, context_key) = (window, keys.window.gguf);
        }
        let kv_heads = match own.per_layer(keys.kv_heads.gguf, layers)? {
            None => heads,
            found => self.count(keys.kv_heads.gguf, found)?,
        };
        let rms_eps = own.number(keys.rms_eps.gguf);
        // A bias where the architecture never has one stays unread, and is refused as such.
        let bias = |rule, part| !matches!(rule, BiasRule::Never) && self.has_bias(part);
        // Folders of Qwen3 may have one there, and llama.cpp reads none.
        let output = match self.architecture.qk_norm() {
            true => BiasRule::Never,
            false => biases.output,
        };
        let intermediate = same(keys.intermediate.gguf)?;
        let config = Config {
            architecture: self.architecture,
            layers,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            vocab: embedding.first().copied().unwrap_or(0),
            rms_eps: rms_eps.ok_or_else(|| own.wrong(keys.rms_eps.gguf, "is missing"))? as f32,
            rope_theta: own.number(keys.rope_theta.gguf).unwrap_or(10_000.0),
            rope_scaling,
            rope_divisors: self.rope_divisors()?,
            rope_magnitude,
            max_context,
            context_key,
            tied: !self.holds(&format!("{}.weight", tensors.head.gguf)),
            qkv_bias: bias(biases.qkv, tensors.q),
            output_bias: bias(output, tensors.output),
            mlp_bias: bias(biases.mlp, tensors.down),
            qk_norm: self.architecture.qk_norm(),
            additions: Additions {
                rotated: partial,
                experts: keys::experts(own, self.architecture, intermediate)?,
                ..keys::additions(own, self.architecture, [layers, hidden, heads, head_dim])?
            },
            eos: Vec::new(),
            bos: None,
        };
        config.check().map_err(|error| Error::input(format!("{}: {error}", self.name)))?;
        Ok(config)
    }

    /// One sentence on the tensors that the model does not read. Those of its own parts that it
    /// would have to read (a bias, a scale) are refused.
    pub fn unread(&self, config: &Config) -> Result<Option<String>> {
        let names = &self.architecture.tensors;
        let expected = unread::expected(config).into_iter().filter_map(|name| names.gguf(&name));
        let expected: Vec<String> = expected.collect();
        let modules: HashSet<&str> =
            expected.iter().filter_map(|name| Some(name.rsplit_once('.')?.0)).collect();
        let held = self.parts.iter().flat_map(|part| part.header.tensors.keys());
        let unread = unread::unread(held.map(String::as_str), expected.iter().cloned());
        let meant = unread.iter().find(|name| {
            // Divisors of one layer: llama.cpp has them for all layers at once.
            name.ends_with(".rope_freqs.weight")
                || name.rsplit_once('.').is_some_and(|(module, kind)| {
                    modules.contains(module) && matches!(kind, "bias" | "scale" | "input_scale")
                })
        });
        match meant {
            Some(name) => Err(self.changes_the_result(name)),
            None => Ok(unread::warning(&self.name, &unread)),
        }
    }

    fn changes_the_result(&self, tensor: &str) -> Error {
        Error::input(format!(
            "{}: tensor `{}` changes what the model computes and is not read for {}",
            self.name,
            shortened(tensor),
            self.architecture
        ))
    }

    /// The name and the bytes of every tensor of a known type.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let held = self.parts.iter().flat_map(|part| &part.header.tensors);
        held.filter_map(|(name, info)| {
            let shape = Some(info.shape.dims()).filter(|shape| !shape.is_empty())?;
            Some((name.as_str(), self.span(name, shape).ok()?.stored))
        })
    }

    fn holds(&self, tensor: &str) -> bool {
        self.locate(tensor).is_some()
    }

    /// Whether a part of the first block has a bias.
    fn has_bias(&self, part: Spelling) -> bool {
        self.holds(&self.architecture.tensors.gguf_part(0, part, "bias"))
    }

    /// The tensor of divisors of the frequencies, where the file has one.
    fn rope_divisors(&self) -> Result<Option<Vec<f32>>> {
        let name = "rope_freqs.weight";
        if !self.holds(name) {
            return Ok(None);
        }
        // llama.cpp has it for this one alone, of those that kscope knows.
        if self.architecture.spelling.gguf != "llama" {
            return Err(self.changes_the_result(name));
        }
        let pairs = self.head_dim()? / 2;
        Ok(Some(self.read(name, &[pairs], false)?.widened()))
    }

    /// LongRoPE, where the file has its divisors: for all texts up to the context of pretraining and
    /// for longer ones. llama.cpp chooses by the context that it was given.
    fn longrope(&self, pairs: usize, trained: usize) -> Result<Option<RopeScaling>> {
        let names = ["rope_factors_short.weight", "rope_factors_long.weight"];
        let Some(held) = names.into_iter().find(|name| self.holds(name)) else { return Ok(None) };
        if !self.architecture.partial_rotation {
            return Err(self.changes_the_result(held));
        }
        let divisors = |name| {
            let read = self.read(name, &[pairs], false)?.widened();
            Ok::<Vec<f64>, Error>(read.into_iter().map(f64::from).collect())
        };
        let original = self.own().count("rope.scaling.original_context_length").unwrap_or(trained);
        let [short, long] = names.map(divisors);
        // The factor on cos and sin is `rope.scaling.attn_factor`.
        Ok(Some(RopeScaling::LongRope {
            short: short?,
            long: long?,
            original,
            attention_factor: 1.0,
        }))
    }

    /// What a user should know of the metadata; keys that change the result and are not supported
    /// are refused.
    pub fn check_keys(&self, config: &Config) -> Result<Vec<String>> {
        keys::check(self, config)
    }

    /// A tensor and the file that holds it.
    fn locate(&self, name: &str) -> Option<(&Part, &TensorInfo)> {
        self.parts.iter().find_map(|part| Some((part, part.header.tensors.get(name)?)))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        Ok(self.located(name)?.1)
    }

    fn located(&self, name: &str) -> Result<(&Part, &TensorInfo)> {
        self.locate(name).ok_or_else(|| {
            let held = self.parts.iter().flat_map(|part| part.header.tensors.keys());
            let instead = instead::of(held.map(String::as_str), name);
            Error::input(format!("{}: tensor `{name}` is missing{instead}", self.name))
        })
    }

    /// Where a tensor of this shape lies under its GGUF name.
    pub(super) fn span(&self, name: &str, shape: &[usize]) -> Result<Span<'_>> {
        let number = self.parts.iter().position(|part| part.header.tensors.contains_key(name));
        let (part, info) = self.located(name)?;
        let found = info.shape.dims();
        if found != shape {
            return Err(Error::input(format!(
                "{}: tensor `{name}` has shape {found:?}, expected {shape:?}",
                part.name
            )));
        }
        let cols = shape.last().copied().unwrap_or(0);
        let rows = info.shape.elem_count() / cols.max(1);
        let broken = |what: String| Error::input(format!("{}: tensor `{name}` {what}", part.name));
        let element =
            GgufElement::of(info.kind).ok_or_else(|| broken(GgufElement::refusal(info.kind)))?;
        if !cols.is_multiple_of(element.block_len()) {
            return Err(broken(format!(
                "has rows of {cols}, no multiple of its blocks of {} values",
                element.block_len()
            )));
        }
        let row_bytes = (cols / element.block_len()).saturating_mul(element.block_bytes());
        let start = part.header.data_start.saturating_add(info.offset) as usize;
        let stored = rows
            .checked_mul(row_bytes)
            .and_then(|len| part.bytes.get(start..start.checked_add(len)?))
            .ok_or_else(|| {
                broken(format!(
                    "reaches beyond the end of the file ({} bytes)",
                    count(part.bytes.len())
                ))
            })?;
        Ok(Span {
            part,
            number: number.unwrap_or(0),
            element,
            rows,
            cols,
            row_bytes,
            start,
            stored,
        })
    }

    /// The stored bytes of one tensor under its GGUF name, rows in rotate-half order, with its
    /// type, rows and columns.
    pub(super) fn raw(
        &self,
        name: &str,
        shape: &[usize],
        interleaved: bool,
    ) -> Result<(Cow<'_, [u8]>, GgufElement, [usize; 2])> {
        let Span { element, rows, cols, row_bytes, stored, .. } = self.span(name, shape)?;
        let raw = if interleaved {
            Cow::Owned(rotate_half_rows(stored, row_bytes, rows, self.head_dim()?))
        } else {
            Cow::Borrowed(stored)
        };
        Ok((raw, element, [rows, cols]))
    }

    /// The bytes of every part.
    pub(in crate::model::load) fn part_bytes(&self) -> Vec<&[u8]> {
        self.parts.iter().map(|part| &*part.bytes).collect()
    }

    /// Where these rows of a tensor lie: its part, and ranges of the part's bytes. The name is that
    /// of a checkpoint.
    pub(in crate::model::load) fn row_ranges(
        &self,
        name: &str,
        zeros: &Zeros,
    ) -> Result<(usize, Vec<Range<usize>>)> {
        let stored = self.known(name)?;
        let span = self.span(&stored, &zeros.shape())?;
        if zeros.columns.is_none() && span.element.block_len() > 1 {
            return Err(Error::input(format!(
                "{}: tensor `{stored}` is quantised, so that its entries cannot become zero one by one",
                span.part.name
            )));
        }
        let row_bytes = span.stored.len() / zeros.rows.len().max(1);
        let head_dim = self.is_interleaved(name).then(|| self.head_dim()).transpose()?;
        let range = |row| {
            let row = head_dim.map_or(row, |head_dim| interleaved_row(row, head_dim));
            let start = span.start + row * row_bytes;
            start..start + row_bytes
        };
        Ok((span.number, zeros.each().map(range).collect()))
    }

    /// One expert of a tensor that holds all of them, `[rows, cols]`, under its GGUF name.
    pub(super) fn read_expert(
        &self,
        name: &str,
        expert: usize,
        [rows, cols]: [usize; 2],
    ) -> Result<Matrix> {
        let count = self.own().count(ExpertRule::COUNT).unwrap_or(0);
        let Span { element, row_bytes, stored, .. } = self.span(name, &[count, rows, cols])?;
        let start = expert * rows * row_bytes;
        let own = stored.get(start..start + rows * row_bytes).ok_or_else(|| {
            Error::run(format!("{}: tensor `{name}` has no expert {expert}", self.name))
        })?;
        Matrix::new(rows, cols, element.elements(rows, cols, own)?)
    }

    /// The number of an expert, where the name of a checkpoint is that of its part.
    pub(super) fn expert_of(&self, name: &str) -> Option<usize> {
        let (module, _) = name.rsplit_once('.')?;
        Some(self.architecture.tensors.expert_of(module)?.1)
    }

    /// One tensor under its GGUF name.
    pub(super) fn read(&self, name: &str, shape: &[usize], interleaved: bool) -> Result<Matrix> {
        let (raw, element, [rows, cols]) = self.raw(name, shape, interleaved)?;
        Matrix::new(rows, cols, element.elements(rows, cols, &raw)?)
    }

    pub(super) fn head_dim(&self) -> Result<usize> {
        let keys = &self.architecture.keys;
        let own = self.own();
        match own.count(keys.head_dim.gguf) {
            Some(head_dim) => Ok(head_dim),
            None => {
                let layers = self.count(keys.layers.gguf, own.count(keys.layers.gguf))?;
                let heads = own.per_layer(keys.heads.gguf, layers)?;
                let hidden = self.count(keys.hidden.gguf, own.count(keys.hidden.gguf))?;
                Ok(hidden / self.count(keys.heads.gguf, heads)?)
            }
        }
    }

    /// What the file calls a tensor.
    pub(super) fn known(&self, name: &str) -> Result<String> {
        self.architecture.tensors.gguf(name).ok_or_else(|| {
            Error::input(format!("{}: no GGUF tensor stands for `{name}`", self.name))
        })
    }

    /// Whether the rows (or bias entries) of a tensor are in the interleaved order of Llama files.
    pub(super) fn is_interleaved(&self, name: &str) -> bool {
        self.architecture.gguf_pairs_rows && self.architecture.tensors.is_q_or_k(name)
    }
}
