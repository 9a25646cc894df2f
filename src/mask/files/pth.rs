//! PyTorch archives that hold one bare tensor: a zip with stored entries under a folder of any
//! name, `data.pkl` describing the tensor and `data/KEY` holding its numbers.

use std::io::{Cursor, Read, Write};

use half::{bf16, f16};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::array::Array;
use super::pickle::{self, Tensor};
use crate::{Error, Result};

/// `torch.save` of a tensor writes 5 to 7 entries.
const MAX_ENTRIES: usize = 64;

/// The pickle of a bare tensor has about 160 bytes.
const MAX_PICKLE: usize = 4096;

/// Reads an archive; f64, f32, f16, bf16, u8 and bool tensors in row-major order.
pub fn parse(bytes: &[u8], name: &str) -> Result<Array> {
    read(bytes).map_err(|sentence| Error::input(format!("{name}: {sentence}")))
}

fn read(bytes: &[u8]) -> Result<Array, String> {
    if let [0x80, ..] = bytes {
        return Err("expected a zip archive, found a bare pickle (torch.save of PyTorch 1.6 or later writes the archive)".into());
    }
    if !counts_are_possible(bytes) {
        return Err(
            "expected a zip archive, found one that claims more entries than its size allows"
                .into(),
        );
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| format!("expected a zip archive, found a broken one ({error})"))?;
    check_directory(bytes, archive.len())?;
    let names: Vec<String> = archive
        .file_names()
        .map_while(|name| Some(name.ok()?.into_owned()))
        .take(MAX_ENTRIES + 1)
        .collect();
    if names.len() > MAX_ENTRIES {
        return Err(format!("expected at most {MAX_ENTRIES} entries, found more"));
    }
    let mut pickles = names.iter().filter_map(|name| name.strip_suffix("data.pkl"));
    let folder = match (pickles.next(), pickles.next()) {
        (Some(folder), None) if folder.is_empty() || folder.ends_with('/') => folder,
        (None, _) => return Err("expected an entry data.pkl, found none".into()),
        _ => return Err("expected one entry data.pkl, found several".into()),
    };

    if names.contains(&format!("{folder}byteorder")) {
        let order = entry(&mut archive, &format!("{folder}byteorder"), MAX_PICKLE)?;
        if order.trim_ascii() != b"little" {
            return Err(
                "expected numbers in little-endian order, found another byteorder entry".into()
            );
        }
    }
    let tensor = pickle::tensor(&entry(&mut archive, &format!("{folder}data.pkl"), MAX_PICKLE)?)
        .map_err(|found| format!("expected a bare tensor, found {found}"))?;
    let size = element_size(&tensor.storage)?;
    let number = check_layout(&tensor)?;
    let data = entry(&mut archive, &format!("{folder}data/{}", tensor.key), bytes.len())?;
    if tensor.stored.checked_mul(size) != Some(data.len()) {
        return Err(format!(
            "expected {} numbers of {size} bytes in data/{}, found {} bytes",
            tensor.stored,
            tensor.key,
            data.len()
        ));
    }
    let part = (data.get(tensor.offset * size..)).and_then(|rest| rest.get(..number * size));
    let part = part.ok_or("expected a tensor inside its storage, found one that ends behind it")?;
    let values = decode(&tensor.storage, part)?;
    Ok(Array { axes: tensor.axes, values })
}

/// Whether no end-of-directory record, nor anything that looks like one, claims more entries than
/// fit into the file: the zip library reserves memory for as many as are claimed.
fn counts_are_possible(bytes: &[u8]) -> bool {
    let most = bytes.len() as u64 / 46;
    let claim = |record: &[u8]| match *record {
        [b'P', b'K', 5, 6, _, _, _, _, _, _, a, b, ..] => u64::from(u16::from_le_bytes([a, b])),
        [b'P', b'K', 6, 6, ref rest @ ..] => {
            let eight = rest.get(28..).and_then(|rest| rest.first_chunk());
            eight.map_or(0, |eight| u64::from_le_bytes(*eight))
        }
        _ => 0,
    };
    (0..bytes.len()).filter_map(|start| bytes.get(start..)).all(|record| claim(record) <= most)
}

/// Refuses a directory that other readers do not read as this one does: with two entries of one
/// name, of which the zip library keeps the last, or with a size of the longer format where no
/// record of that format is. `entries` is how many the library found.
fn check_directory(bytes: &[u8], entries: usize) -> Result<(), String> {
    let Some(at) = bytes.windows(4).rposition(|window| window == b"PK\x05\x06") else {
        return Ok(());
    };
    let record = bytes.get(at..).and_then(|rest| rest.first_chunk::<22>());
    let Some(record) = record else { return Ok(()) };
    let claimed = usize::from(u16::from_le_bytes([record[10], record[11]]));
    let before = at.checked_sub(20).and_then(|before| bytes.get(before..));
    let is_long = before.is_some_and(|before| before.starts_with(b"PK\x06\x07"));
    if is_long {
        return Ok(());
    }
    // Four bytes each from 12 and from 16: the size of the directory, and where it begins.
    let ([size, begin, ..], _) = record[12..].as_chunks::<4>() else { return Ok(()) };
    let (size, begin) = (u32::from_le_bytes(*size), u32::from_le_bytes(*begin));
    let end = u64::from(begin) + u64::from(size);
    if end > at as u64 {
        return Err(format!(
            "expected a directory of entries before byte {at}, found a claim of {} bytes at {}",
            size, begin
        ));
    }
    match claimed == entries {
        true => Ok(()),
        false => {
            Err(format!("expected {claimed} entries of different names, found {entries} names"))
        }
    }
}

/// The bytes of one stored entry of at most `limit` bytes.
fn entry(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let mut file = archive.by_name(name).map_err(|error| {
        format!("expected an entry {name:?}, found none that can be read ({error})")
    })?;
    if file.compression() != CompressionMethod::Stored {
        return Err(format!(
            "entry {name:?}: expected it stored, found it compressed ({})",
            file.compression()
        ));
    }
    if file.size() != file.compressed_size() || file.size() > limit as u64 {
        return Err(format!(
            "entry {name:?}: expected at most {limit} bytes, found a claim of {} bytes",
            file.size()
        ));
    }
    // The stated size may be wrong: memory grows only with the data that is really there.
    let mut bytes = Vec::new();
    let read = file.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        format!("entry {name:?}: expected {} bytes, found a damaged entry ({error})", file.size())
    })?;
    Ok(bytes)
}

fn element_size(storage: &str) -> Result<usize, String> {
    match storage {
        "BoolStorage" | "ByteStorage" => Ok(1),
        "HalfStorage" | "BFloat16Storage" => Ok(2),
        "FloatStorage" => Ok(4),
        "DoubleStorage" => Ok(8),
        other => {
            Err(format!("expected numbers of type f64, f32, f16, bf16, u8 or bool, found {other}"))
        }
    }
}

/// The tensor's number of values; refuses strides that are not row-major, and a tensor larger than
/// its storage.
fn check_layout(tensor: &Tensor) -> Result<usize, String> {
    let Tensor { axes, strides, offset, stored, .. } = tensor;
    let number = axes.iter().try_fold(1, |product: usize, &axis| product.checked_mul(axis));
    let Some(number) =
        number.filter(|number| offset.checked_add(*number).is_some_and(|end| end <= *stored))
    else {
        return Err(format!(
            "shape {axes:?} from number {offset} on: expected it inside a storage of {stored} numbers"
        ));
    };
    if number == 0 {
        return Err(format!("shape {axes:?}: expected at least one number"));
    }
    let mut dense = 1;
    let row_major = axes.len() == strides.len()
        && axes.iter().zip(strides).rev().all(|(&axis, &stride)| {
            let fits = axis <= 1 || stride == dense;
            dense *= axis.max(1);
            fits
        });
    if row_major {
        Ok(number)
    } else {
        Err(format!("shape {axes:?}: expected row-major order, found strides {strides:?}"))
    }
}

fn decode(storage: &str, data: &[u8]) -> Result<Vec<f32>, String> {
    Ok(match storage {
        "BoolStorage" if data.iter().any(|&byte| byte > 1) => {
            return Err("expected booleans of 0 and 1, found another byte".into());
        }
        "BoolStorage" | "ByteStorage" => data.iter().map(|&byte| f32::from(byte)).collect(),
        "HalfStorage" => {
            data.as_chunks().0.iter().map(|&value| f16::from_le_bytes(value).to_f32()).collect()
        }
        "BFloat16Storage" => {
            data.as_chunks().0.iter().map(|&value| bf16::from_le_bytes(value).to_f32()).collect()
        }
        "FloatStorage" => {
            data.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
        }
        _ => data.as_chunks().0.iter().map(|&value| f64::from_le_bytes(value) as f32).collect(),
    })
}

/// Writes an f32 tensor in the container of the authors' files: `torch.load` reads it.
pub(super) fn encode(array: &Array) -> Result<Vec<u8>> {
    let failed =
        |error: zip::result::ZipError| Error::run(format!("writing a PyTorch archive: {error}"));
    let data: Vec<u8> = array.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let entries: [(&str, &[u8]); 4] = [
        ("data.pkl", &describe(array)),
        ("byteorder", b"little"),
        ("data/0", &data),
        ("version", b"3\n"),
    ];
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(format!("mask/{name}"), options).map_err(failed)?;
        writer.write_all(bytes).map_err(|error| failed(error.into()))?;
    }
    Ok(writer.finish().map_err(failed)?.into_inner())
}

/// The pickle of one contiguous f32 tensor, instruction by instruction as `torch.save` writes it,
/// without the memo.
fn describe(array: &Array) -> Vec<u8> {
    let mut program = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    text(&mut program, "storage");
    program.extend(b"ctorch\nFloatStorage\n");
    text(&mut program, "0");
    text(&mut program, "cpu");
    number(&mut program, array.values.len());
    program.extend(b"tQK\x00");
    let mut strides: Vec<usize> = array
        .axes
        .iter()
        .rev()
        .scan(1, |stride, axis| Some(std::mem::replace(stride, *stride * axis)))
        .collect();
    strides.reverse();
    for sizes in [&array.axes, &strides] {
        program.push(b'(');
        sizes.iter().for_each(|&size| number(&mut program, size));
        program.push(b't');
    }
    program.extend(b"\x89ccollections\nOrderedDict\n)RtR.");
    program
}

fn text(program: &mut Vec<u8>, text: &str) {
    program.push(b'X');
    program.extend((text.len() as u32).to_le_bytes());
    program.extend(text.as_bytes());
}

/// BININT, or LONG1 beyond 31 bits.
fn number(program: &mut Vec<u8>, number: usize) {
    match i32::try_from(number) {
        Ok(number) => {
            program.push(b'J');
            program.extend(number.to_le_bytes());
        }
        Err(_) => {
            program.extend([0x8a, 8]);
            program.extend((number as u64).to_le_bytes());
        }
    }
}
