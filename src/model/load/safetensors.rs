//! Weights from safetensors files: one, or shards with an index.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype as Stored, Metadata, SafeTensors, TensorInfo};

use super::hf_shapes::Reasons;
use super::{Bytes, Zeros, file_kind, instead};
use crate::error::shortened;
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::weights::Tensors;
use crate::numbers::count;
use crate::{Error, Result, json_keys};

/// Open safetensors files of one checkpoint.
pub struct Checkpoint {
    files: Vec<Shard>,
    /// Where each tensor lies, by the name that the model has for it.
    owner: HashMap<String, Place>,
    folder: String,
    reasons: Option<Reasons>,
}

/// The part of a checkpoint's names that stands for the model without its head.
const BASE: &str = "model.";

struct Place {
    /// Index into the files.
    file: usize,
    /// The name there.
    stored: String,
    /// Which of its rows, where one tensor holds several matrices under one another.
    rows: Option<Range<usize>>,
}

/// A tensor as its file holds it.
struct HeldTensor<'a> {
    file: &'a Shard,
    dtype: Stored,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

struct Shard {
    name: String,
    bytes: Bytes,
    data_start: usize,
    metadata: Metadata,
}

impl Shard {
    fn new(name: String, bytes: Bytes) -> Result<Self> {
        let read = SafeTensors::read_metadata(&bytes);
        bytes.intact()?;
        let (header, metadata) = read.map_err(|cause| {
            let cause = file_kind::mistaken(&bytes)
                .or_else(|| other_size(&bytes))
                .unwrap_or_else(|| cause.to_string());
            Error::input(format!("{name} is no whole safetensors file: {cause}"))
        })?;
        if let Some(tensor) = json_keys::repeated_tensor(&bytes) {
            return Err(Error::input(format!(
                "{name} is no whole safetensors file: the tensor `{}` occurs twice",
                shortened(&tensor)
            )));
        }
        Ok(Self { data_start: header + 8, metadata, bytes, name })
    }

    /// The type, shape and bytes of a tensor.
    fn held(&self, name: &str) -> Option<(Stored, &[usize], &[u8])> {
        let info = self.metadata.info(name)?;
        Some((info.dtype, &info.shape, self.bytes_of(info)?))
    }

    fn bytes_of(&self, info: &TensorInfo) -> Option<&[u8]> {
        let (from, to) = info.data_offsets;
        self.bytes.get(self.data_start + from..self.data_start + to)
    }
}

impl Checkpoint {
    /// Opens the files of a folder.
    pub fn open(folder: &Path, files: Vec<PathBuf>) -> Result<Self> {
        let files = files
            .into_iter()
            .map(|path| Ok((path.display().to_string(), Bytes::open(&path)?)))
            .collect::<Result<Vec<_>>>()?;
        Self::from_files(files, folder.display().to_string())
    }

    /// A checkpoint from the bytes of its files, with the names to use in errors.
    pub fn from_files(files: Vec<(String, Bytes)>, folder: String) -> Result<Self> {
        let files = files
            .into_iter()
            .map(|(name, bytes)| Shard::new(name, bytes))
            .collect::<Result<Vec<_>>>()?;
        let mut owner: HashMap<String, Place> = HashMap::new();
        for (file, shard) in files.iter().enumerate() {
            for stored in shard.metadata.offset_keys() {
                let before = owner
                    .insert(stored.clone(), Place { file, stored: stored.clone(), rows: None });
                let other = before.and_then(|place| files.get(place.file));
                if let Some(other) =
                    other.filter(|other| other.held(&stored) != shard.held(&stored))
                {
                    return Err(Error::input(format!(
                        "{}: tensor `{}` is in {} as well, with other numbers",
                        shard.name,
                        shortened(&stored),
                        other.name
                    )));
                }
            }
        }
        // A model that was saved without its head lacks the name of the part that has the layers.
        let begins = |start: &str| owner.keys().any(|name| name.starts_with(start));
        if !begins(BASE) && (begins("embed_tokens.") || begins("layers.")) {
            owner = owner
                .into_iter()
                .map(|(name, place)| match name.starts_with("lm_head.") {
                    true => (name, place),
                    false => (format!("{BASE}{name}"), place),
                })
                .collect();
        }
        Ok(Self { files, owner, folder, reasons: None })
    }

    /// Lets errors name the keys of the configuration that ask for a tensor.
    pub(super) fn explain(&mut self, reasons: Reasons) {
        self.reasons = Some(reasons);
    }

    /// The folder named in errors.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.owner.keys().map(String::as_str)
    }

    /// The name and the bytes of every tensor.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names().filter_map(|name| Some((name, self.stored(name)?.bytes)))
    }

    /// Bytes of all tensors, by the headers.
    pub fn stored_bytes(&self) -> u64 {
        self.tensors().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Whether there is such a tensor.
    pub fn holds(&self, name: &str) -> bool {
        self.owner.contains_key(name)
    }

    /// Lets a tensor go by another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(place) = self.owner.remove(from) {
            self.owner.insert(to.to_owned(), place);
        }
    }

    /// Whether two tensors hold the same bytes in the same form.
    pub fn are_equal(&self, one: &str, other: &str) -> bool {
        let stored = |name| {
            let place = self.owner.get(name)?;
            self.files.get(place.file)?.held(&place.stored)
        };
        stored(one).is_some_and(|found| Some(found) == stored(other))
    }

    /// Lets matrices of some rows of a tensor that holds several go by names of their own, given in
    /// order. A tensor of another shape than `shape` is refused.
    pub(super) fn take_apart(
        &mut self,
        name: &str,
        shape: &[usize],
        parts: impl IntoIterator<Item = (String, usize)>,
    ) -> Result<()> {
        self.checked(name, shape)?;
        let Some(whole) = self.owner.remove(name) else { return Ok(()) };
        let mut first = 0;
        for (part, rows) in parts {
            let rows = first..first + rows;
            first = rows.end;
            let stored = whole.stored.clone();
            self.owner.insert(part, Place { file: whole.file, stored, rows: Some(rows) });
        }
        Ok(())
    }

    fn stored(&self, name: &str) -> Option<HeldTensor<'_>> {
        let place = self.owner.get(name)?;
        let file = self.files.get(place.file)?;
        let (dtype, shape, bytes) = file.held(&place.stored)?;
        let Some(rows) = &place.rows else {
            return Some(HeldTensor { file, dtype, shape: shape.to_vec(), bytes });
        };
        let (cols, before) = shape.split_last()?;
        let row_bytes = bytes.len() / before.iter().product::<usize>().max(1);
        let bytes = bytes.get(rows.start * row_bytes..rows.end * row_bytes)?;
        Some(HeldTensor { file, dtype, shape: vec![rows.len(), *cols], bytes })
    }

    /// What is said of a tensor that is not there.
    fn missing(&self, name: &str) -> Error {
        let like = match self.instead_of(name) {
            like if like.is_empty() => self.left_out(name).unwrap_or_default(),
            like => like,
        };
        let why = self.reasons.as_ref().map(|reasons| reasons.of_missing(name, self.layers()));
        let why = why.unwrap_or_default();
        Error::input(format!("{}: tensor `{name}` is missing{like}{why}", self.folder))
    }

    /// In brackets after a space: a file of the folder that has the tensor and is not one of the
    /// model's.
    fn left_out(&self, name: &str) -> Option<String> {
        let entries =
            std::fs::read_dir(&self.folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut others: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
            .filter(|path| self.files.iter().all(|file| file.name != path.display().to_string()))
            .collect();
        others.sort();
        let holds = |path: &PathBuf| {
            let bytes = Bytes::open(path).ok()?;
            let shard = Shard::new(String::new(), bytes).ok()?;
            shard.metadata.info(name).map(drop)
        };
        let found =
            others.iter().find(|path| holds(path).is_some())?.file_name()?.display().to_string();
        let by = match self.files.as_slice() {
            [only] if only.name.ends_with("/model.safetensors") => "only model.safetensors is read",
            _ => "the index does not name that file",
        };
        Some(format!(" (it is in {}, but {by})", shortened(&found)))
    }

    /// What the names of the tensors say of one that is not there.
    pub fn instead_of(&self, name: &str) -> String {
        instead::of(self.names(), name)
    }

    /// Layers that the names of tensors count.
    fn layers(&self) -> usize {
        let number = |name: &str| {
            let (_, after) = name.split_once(".layers.")?;
            after.split('.').next()?.parse::<usize>().ok()
        };
        self.names().filter_map(number).max().map_or(0, |last| last.saturating_add(1))
    }

    /// The bytes of every file.
    pub(super) fn shard_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().map(|file| &*file.bytes)
    }

    /// Where these rows of a tensor lie: for each file that holds it, its index and ranges of its
    /// bytes.
    pub(super) fn row_ranges(
        &self,
        name: &str,
        zeros: &Zeros,
    ) -> Result<Vec<(usize, Vec<Range<usize>>)>> {
        self.checked(name, &zeros.shape())?;
        let stored = self.owner.get(name).map_or(name, |place| &place.stored);
        let holding = self.files.iter().enumerate();
        let ranges = holding.filter_map(|(index, file)| {
            let (from, to) = file.metadata.info(stored)?.data_offsets;
            let row_bytes = (to - from) / zeros.rows.len().max(1);
            let start = |row| file.data_start + from + row * row_bytes;
            Some((index, zeros.each().map(|row| start(row)..start(row + 1)).collect()))
        });
        Ok(ranges.collect())
    }

    /// A tensor of a known element type and this shape.
    fn checked(&self, name: &str, shape: &[usize]) -> Result<(Stored, &[u8])> {
        let held = self.stored(name).ok_or_else(|| self.missing(name))?;
        let HeldTensor { file, dtype, bytes, .. } = held;
        let unknown = !matches!(dtype, Stored::F32 | Stored::F16 | Stored::BF16 | Stored::F64);
        if unknown {
            return Err(Error::input(format!(
                "{}: tensor `{name}` has element type {dtype:?}; known are F64, F32, F16 and BF16",
                file.name
            )));
        }
        if held.shape != shape {
            return Err(Error::input(format!(
                "{}: tensor `{name}` has shape {:?}, expected {shape:?}{}",
                file.name,
                held.shape,
                self.reasons.as_ref().map(|reasons| reasons.of_shape(name)).unwrap_or_default()
            )));
        }
        Ok((dtype, bytes))
    }

    fn elements(&self, name: &str, shape: &[usize]) -> Result<Elements> {
        let (dtype, bytes) = self.checked(name, shape)?;
        match dtype {
            Stored::F32 => Ok(Elements::F32(decoded(bytes, f32::from_le_bytes).into())),
            Stored::F16 => Ok(Elements::F16(decoded(bytes, f16::from_le_bytes).into())),
            Stored::BF16 => Ok(Elements::Bf16(decoded(bytes, bf16::from_le_bytes).into())),
            _ => Ok(Elements::F32(decoded(bytes, |eight| f64::from_le_bytes(eight) as f32).into())),
        }
    }
}

/// What is wrong with a file that has more or fewer bytes than its header says; ends a sentence that
/// names the file.
fn other_size(bytes: &[u8]) -> Option<String> {
    let header = u64::from_le_bytes(*bytes.first_chunk()?);
    let start = header.checked_add(8)?;
    if bytes.get(8) != Some(&b'{') {
        return None;
    }
    let has = count(bytes.len());
    let Some(text) = usize::try_from(start).ok().and_then(|start| bytes.get(8..start)) else {
        return Some(format!(
            "it is cut short: its header alone has {start} bytes, and the file has {has}"
        ));
    };
    let tensors: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).ok()?;
    let ends = tensors.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    let whole = start.checked_add(ends.max()?)?;
    let by_header = format!("by its header the file has {whole} bytes, and it has {has}");
    match (bytes.len() as u64).cmp(&whole) {
        Ordering::Less => Some(format!("it is cut short: {by_header}")),
        Ordering::Greater => Some(format!("something was added to it: {by_header}")),
        Ordering::Equal => None,
    }
}

/// Values of `N` bytes each.
pub(super) fn decoded<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
}

impl Tensors for Checkpoint {
    fn origin(&self) -> &str {
        &self.folder
    }

    fn stored_bytes(&self) -> Option<u64> {
        Some(Checkpoint::stored_bytes(self))
    }

    fn is_checkpoint(&self) -> bool {
        true
    }

    fn intact(&self) -> Result<()> {
        self.files.iter().try_for_each(|file| file.bytes.intact())
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        Matrix::new(rows, cols, self.elements(name, &[rows, cols])?)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        Ok(Matrix::new(1, len, self.elements(name, &[len])?)?.widened())
    }
}
