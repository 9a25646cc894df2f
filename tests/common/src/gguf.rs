//! GGUF files as tests make them: any element type, any metadata, split or whole.

use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value};

/// One tensor: its name, ggml's number of its type, its shape with the slowest dimension first, and
/// its bytes.
#[derive(Debug, Clone)]
pub struct GgufTensor {
    pub name: String,
    pub kind: u32,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The contents of a file.
#[derive(Debug, Clone, Default)]
pub struct GgufFile {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<GgufTensor>,
}

const ALIGNMENT: usize = 32;

impl GgufFile {
    /// Reads a file of f32 and `Q8_0` tensors.
    pub fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let content = Content::read(&mut Cursor::new(&bytes)).unwrap();
        let mut metadata: Vec<_> = content.metadata.into_iter().collect();
        metadata.sort_by(|a, b| a.0.cmp(&b.0));
        let mut tensors: Vec<GgufTensor> = content
            .tensor_infos
            .into_iter()
            .map(|(name, info)| {
                let kind = match info.ggml_dtype {
                    GgmlDType::F32 => 0,
                    GgmlDType::Q8_0 => 8,
                    other => panic!("tensor {name} is {other:?}"),
                };
                let blocks = info.shape.elem_count() / info.ggml_dtype.block_size();
                let start = (content.tensor_data_offset + info.offset) as usize;
                let bytes = bytes[start..start + blocks * info.ggml_dtype.type_size()].to_vec();
                GgufTensor { name, kind, shape: info.shape.dims().to_vec(), bytes }
            })
            .collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Self { metadata, tensors }
    }

    /// Sets a metadata value.
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_owned(), value));
    }

    /// A tensor by its name.
    pub fn tensor(&mut self, name: &str) -> &mut GgufTensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut out, key);
            out.extend(kind_of(value).to_le_bytes());
            put(&mut out, value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            text(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for &size in tensor.shape.iter().rev() {
                out.extend((size as u64).to_le_bytes());
            }
            out.extend(tensor.kind.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend_from_slice(&tensor.bytes);
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(data);
        std::fs::write(path, out).unwrap();
    }

    /// The file in as many parts as llama.cpp's tool would make it, by how many tensors each has.
    pub fn split(&self, sizes: &[usize]) -> Vec<Self> {
        assert_eq!(sizes.iter().sum::<usize>(), self.tensors.len());
        let mut rest = self.tensors.as_slice();
        sizes
            .iter()
            .enumerate()
            .map(|(number, &size)| {
                let (tensors, others) = rest.split_at(size);
                rest = others;
                let mut part = Self { metadata: Vec::new(), tensors: tensors.to_vec() };
                if number == 0 {
                    part.metadata.clone_from(&self.metadata);
                }
                part.set("split.no", Value::U16(number as u16));
                part.set("split.count", Value::U16(sizes.len() as u16));
                part.set("split.tensors.count", Value::I32(self.tensors.len() as i32));
                part
            })
            .collect()
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn kind_of(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => out.push(*n),
        Value::I8(n) => out.extend(n.to_le_bytes()),
        Value::U16(n) => out.extend(n.to_le_bytes()),
        Value::I16(n) => out.extend(n.to_le_bytes()),
        Value::U32(n) => out.extend(n.to_le_bytes()),
        Value::I32(n) => out.extend(n.to_le_bytes()),
        Value::U64(n) => out.extend(n.to_le_bytes()),
        Value::I64(n) => out.extend(n.to_le_bytes()),
        Value::F32(n) => out.extend(n.to_le_bytes()),
        Value::F64(n) => out.extend(n.to_le_bytes()),
        Value::Bool(flag) => out.push(u8::from(*flag)),
        Value::String(string) => text(out, string),
        Value::Array(list) => {
            out.extend(list.first().map_or(4, kind_of).to_le_bytes());
            out.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|value| put(out, value));
        }
    }
}
