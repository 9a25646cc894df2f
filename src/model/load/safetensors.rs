//! Weights from safetensors files: one, or shards with an index.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype as Stored, Metadata, SafeTensors};

use super::Bytes;
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::weights::{Stored as StoredMatrix, Tensors};
use crate::{Error, Result, error};

/// Open safetensors files of one checkpoint.
pub struct Checkpoint {
    files: Vec<Shard>,
    /// Tensor name -> index into `files`.
    owner: HashMap<String, usize>,
    folder: String,
}

struct Shard {
    name: String,
    bytes: Bytes,
    data_start: usize,
    metadata: Metadata,
}

impl Shard {
    fn new(name: String, bytes: Bytes) -> Result<Self> {
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|cause| {
            Error::input(format!("{name} is no whole safetensors file: {cause}"))
        })?;
        Ok(Self { data_start: header + 8, metadata, bytes, name })
    }
}

impl Checkpoint {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists, in a
    /// folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let single = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        let mut names = Vec::new();
        if index.exists() && !single.exists() {
            let text = std::fs::read_to_string(&index)
                .map_err(|cause| error::io("reading", &index, &cause))?;
            let json: serde_json::Value = serde_json::from_str(&text)
                .map_err(|cause| Error::input(format!("{}: {cause}", index.display())))?;
            let map = json.get("weight_map").and_then(|map| map.as_object());
            let Some(map) = map.filter(|map| map.values().all(|file| file.is_string())) else {
                return Err(Error::input(format!(
                    "{}: `weight_map` is missing or no map of names to files",
                    index.display()
                )));
            };
            names.extend(map.values().filter_map(|file| file.as_str()).map(str::to_owned));
            names.sort();
            names.dedup();
            if let Some(bad) =
                names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref()))
            {
                return Err(Error::input(format!(
                    "{}: shard `{bad}` must be a file name in the same folder",
                    index.display()
                )));
            }
        } else {
            names.push("model.safetensors".to_owned());
        }
        let mut files = Vec::new();
        for name in names {
            let path = folder.join(&name);
            files.push((path.display().to_string(), Bytes::open(&path)?));
        }
        Self::from_files(files, folder.display().to_string())
    }

    /// A checkpoint from the bytes of its files, with the names to use in errors.
    pub fn from_files(files: Vec<(String, Bytes)>, folder: String) -> Result<Self> {
        let files = files
            .into_iter()
            .map(|(name, bytes)| Shard::new(name, bytes))
            .collect::<Result<Vec<_>>>()?;
        let mut owner = HashMap::new();
        for (at, file) in files.iter().enumerate() {
            owner.extend(file.metadata.offset_keys().into_iter().map(|name| (name, at)));
        }
        Ok(Self { files, owner, folder })
    }

    fn elements(&self, name: &str, shape: &[usize]) -> Result<Elements> {
        let Some(&at) = self.owner.get(name) else {
            return Err(Error::input(format!("{}: tensor `{name}` is missing", self.folder)));
        };
        let file = &self.files[at];
        let info =
            file.metadata.info(name).expect("the owner table lists only names that the file has");
        if info.shape != shape {
            return Err(Error::input(format!(
                "{}: tensor `{name}` has shape {:?}, expected {shape:?}",
                file.name, info.shape
            )));
        }
        let (from, to) = info.data_offsets;
        let bytes = &file.bytes[file.data_start + from..file.data_start + to];
        match info.dtype {
            Stored::F32 => Ok(Elements::F32(decoded(bytes, f32::from_le_bytes).into())),
            Stored::F16 => Ok(Elements::F16(decoded(bytes, f16::from_le_bytes).into())),
            Stored::BF16 => Ok(Elements::Bf16(decoded(bytes, bf16::from_le_bytes).into())),
            other => Err(Error::input(format!(
                "{}: tensor `{name}` has element type {other:?}; known are F32, F16 and BF16",
                file.name
            ))),
        }
    }
}

fn decoded<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
}

impl Tensors for Checkpoint {
    fn origin(&self) -> &str {
        &self.folder
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<StoredMatrix> {
        Ok(Matrix::new(rows, cols, self.elements(name, &[rows, cols])?)?.into())
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        Ok(Matrix::new(1, len, self.elements(name, &[len])?)?.widened())
    }
}
