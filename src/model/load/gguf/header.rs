//! The header of a GGUF file: metadata and where its tensors lie.
//!
//! Read here rather than by candle, whose reader refuses a whole file for one tensor of a type that
//! it does not know. The values are candle's.

use std::collections::HashMap;

use candle_core::Shape;
use candle_core::quantized::gguf_file::Value;

use super::element::GgufElement;
use super::metadata::Type;
use crate::error::shortened;
use crate::numbers::count;

/// What a header says.
#[derive(Debug)]
pub(super) struct Header {
    /// The metadata table.
    pub metadata: HashMap<String, Value>,
    /// The tensors by name.
    pub tensors: HashMap<String, TensorInfo>,
    /// Where the first tensor's bytes may begin.
    pub data_start: u64,
}

/// One tensor of a file.
#[derive(Debug)]
pub(super) struct TensorInfo {
    /// ggml's number of its element type.
    pub kind: u32,
    /// Slowest dimension first.
    pub shape: Shape,
    /// Where its bytes begin, behind the start of the data.
    pub offset: u64,
}

impl TensorInfo {
    /// The length of its bytes, where its type is known.
    fn bytes(&self) -> Option<u64> {
        let element = GgufElement::of(self.kind)?;
        let blocks = self.shape.elem_count() / element.block_len();
        (blocks as u64).checked_mul(element.block_bytes() as u64)
    }
}

const LONGEST_SHAPE: u32 = 4;
const DEEPEST_LIST: usize = 64;
/// Values of metadata that are kept, each in 32 bytes of memory. The largest vocabularies have a
/// million tokens and merges, and some numbers for each.
const MOST_VALUES: usize = 8 << 20;
const USUAL_ALIGNMENT: u64 = 32;

impl Header {
    /// Reads the header at the start of a file; an error ends a sentence that names the file.
    pub fn read(file: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { file, at: 0, long_counts: true, values: 0 };
        if reader.take(4)? != b"GGUF" {
            return Err("it does not begin with GGUF".to_owned());
        }
        match reader.u32()? {
            1 => reader.long_counts = false,
            2 | 3 => {}
            version if (1..=3).contains(&version.swap_bytes()) => {
                return Err("it is big-endian, and only little-endian files are read".to_owned());
            }
            version => return Err(format!("it is of version {version}, known are 1, 2 and 3")),
        }
        let (tensor_count, value_count) = (reader.count()?, reader.count()?);
        let mut metadata = HashMap::new();
        for _ in 0..value_count {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = reader
                .value(kind, 0)
                .map_err(|cause| format!("{cause} (key `{}`)", shortened(&key)))?;
            if metadata.contains_key(&key) {
                return Err(format!("the key `{}` occurs twice", shortened(&key)));
            }
            metadata.insert(key, value);
        }
        let mut tensors = HashMap::new();
        for _ in 0..tensor_count {
            let name = reader.text()?;
            let info = reader
                .tensor()
                .map_err(|cause| format!("{cause} (tensor `{}`)", shortened(&name)))?;
            if tensors.contains_key(&name) {
                return Err(format!("the tensor `{}` occurs twice", shortened(&name)));
            }
            tensors.insert(name, info);
        }
        let alignment = match metadata.get("general.alignment") {
            None => USUAL_ALIGNMENT,
            Some(value) => {
                Type::U32.check("general.alignment", value)?;
                let alignment = value.to_u32().unwrap_or_default();
                if !alignment.is_power_of_two() {
                    return Err(format!(
                        "`general.alignment` must be a power of two, not {alignment}"
                    ));
                }
                u64::from(alignment)
            }
        };
        let data_start = (reader.at as u64)
            .checked_next_multiple_of(alignment)
            .ok_or_else(|| format!("`general.alignment` of {alignment} is beyond any file"))?;
        let header = Self { metadata, tensors, data_start };
        header.check_places(alignment)?;
        Ok(header)
    }

    /// Refuses tensors that do not begin where the one before ends, as llama.cpp does: one of them
    /// would be read from the bytes of another. A tensor of an unknown type may have any length.
    fn check_places(&self, alignment: u64) -> Result<(), String> {
        let mut tensors: Vec<(&String, &TensorInfo)> = self.tensors.iter().collect();
        tensors.sort_by_key(|(name, info)| (info.offset, info.shape.elem_count(), *name));
        let mut end = Some(0);
        for (name, info) in tensors {
            if let Some(end) = end.filter(|&end| end != info.offset) {
                return Err(format!(
                    "the tensor `{}` begins at {}, expected {end}, where the one before ends",
                    shortened(name),
                    info.offset
                ));
            }
            end = info.bytes().and_then(|bytes| {
                info.offset.checked_add(bytes)?.checked_next_multiple_of(alignment)
            });
        }
        Ok(())
    }
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    /// Counts have eight bytes; four in version 1.
    long_counts: bool,
    /// Values that were read.
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.file.get(self.at..end));
        let Some(taken) = taken else {
            return Err(format!(
                "its header asks for {len} bytes at {}, beyond its end ({} bytes)",
                self.at,
                self.file.len()
            ));
        };
        self.at += len;
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or_else(|| "its header ends too early".to_owned())
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Result<u64, String> {
        if self.long_counts { self.u64() } else { self.u32().map(u64::from) }
    }

    /// Broken UTF-8 and zeros at the end occur in files that people have.
    fn text(&mut self) -> Result<String, String> {
        let len = self.count()?;
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned())
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::U8(self.bytes::<1>()?[0]),
            1 => Value::I8(i8::from_le_bytes(self.bytes()?)),
            2 => Value::U16(u16::from_le_bytes(self.bytes()?)),
            3 => Value::I16(i16::from_le_bytes(self.bytes()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.bytes()?)),
            6 => Value::F32(f32::from_le_bytes(self.bytes()?)),
            7 => match self.bytes::<1>()?[0] {
                flag @ 0..=1 => Value::Bool(flag == 1),
                other => return Err(format!("{other} is neither true nor false")),
            },
            8 => Value::String(self.text()?),
            9 if depth < DEEPEST_LIST => {
                let kind = self.u32()?;
                let len = self.count()?;
                // A list takes no memory for elements that the file cannot hold.
                let mut list = Vec::new();
                for _ in 0..len {
                    self.values += 1;
                    if self.values > MOST_VALUES {
                        return Err(format!(
                            "its metadata holds more than {} values",
                            count(MOST_VALUES)
                        ));
                    }
                    list.push(self.value(kind, depth + 1)?);
                }
                Value::Array(list)
            }
            9 => return Err(format!("lists are nested deeper than {DEEPEST_LIST}")),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.bytes()?)),
            12 => Value::F64(f64::from_le_bytes(self.bytes()?)),
            other => return Err(format!("{other} is no type of a value")),
        })
    }

    fn tensor(&mut self) -> Result<TensorInfo, String> {
        let dimensions = self.u32()?;
        if dimensions > LONGEST_SHAPE {
            return Err(format!("{dimensions} dimensions are more than {LONGEST_SHAPE}"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = self.count()?;
            shape.push(usize::try_from(size).map_err(|_| format!("{size} is beyond any size"))?);
        }
        if shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).is_none() {
            return Err(format!("{shape:?} is beyond any size"));
        }
        shape.reverse();
        Ok(TensorInfo { kind: self.u32()?, shape: Shape::from(shape), offset: self.u64()? })
    }
}
