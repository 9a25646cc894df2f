//! NumPy's `.npy`: a magic string, a version, a header that is a Python dictionary, then the values
//! in row-major order.

use half::f16;

use super::array::Array;
use crate::error::shortened;
use crate::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array of booleans, bytes, or floats of 2, 4 or 8 bytes; versions 1 and 2, row-major
/// order.
pub fn parse(bytes: &[u8], name: &str) -> Result<Array> {
    let wrong = |sentence: String| Error::input(format!("{name}: {sentence}"));
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| wrong("expected a NumPy array, found other bytes".into()))?;
    let (header_len, rest) = match *rest {
        [1, _, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
        [2, _, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        [major, ..] => {
            return Err(wrong(format!(
                "expected version 1 or 2 of the NumPy format, found {major}"
            )));
        }
        [] => return Err(wrong("the file ends after the magic string: expected a version".into())),
    };
    if header_len > rest.len() {
        return Err(wrong(format!(
            "expected a header of {header_len} bytes, found {} bytes to the end of the file",
            rest.len()
        )));
    }
    let (header, data) = rest.split_at(header_len);
    let header = std::str::from_utf8(header)
        .map_err(|_| wrong("expected a header in ASCII, found other bytes".into()))?;
    let header = Header::parse(header).map_err(wrong)?;

    let size = match header.descr.as_str() {
        "|b1" | "|u1" | "<u1" => 1,
        "<f2" => 2,
        "<f4" => 4,
        "<f8" => 8,
        other => {
            return Err(wrong(format!(
                "expected values of type |b1, |u1, <f2, <f4 or <f8, found {other:?}"
            )));
        }
    };
    if header.fortran_order {
        return Err(wrong(
            "expected row-major (C) order, found column-major (Fortran) order".into(),
        ));
    }
    let expected =
        header.axes.iter().try_fold(size, |product: usize, &axis| product.checked_mul(axis));
    if expected != Some(data.len()) {
        return Err(wrong(format!(
            "shape {:?} of {}: expected that many values, found {} bytes",
            header.axes,
            header.descr,
            data.len()
        )));
    }
    let values = match size {
        1 if header.descr == "|b1" && data.iter().any(|&byte| byte > 1) => {
            return Err(wrong("expected booleans of 0 and 1, found another byte".into()));
        }
        1 => data.iter().map(|&byte| f32::from(byte)).collect(),
        2 => data.as_chunks().0.iter().map(|&value| f16::from_le_bytes(value).to_f32()).collect(),
        4 => data.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect(),
        _ => data.as_chunks().0.iter().map(|&value| f64::from_le_bytes(value) as f32).collect(),
    };
    Ok(Array { axes: header.axes, values })
}

/// Writes a version 1 file: booleans where every value is 0 or 1, else f32.
pub(super) fn encode(array: &Array) -> Vec<u8> {
    let binary = array.is_binary();
    let descr = if binary { "|b1" } else { "<f4" };
    // A shape of one axis would need a comma after it; masks have two or three.
    let axes: Vec<String> = array.axes.iter().map(usize::to_string).collect();
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", axes.join(", "));
    // NumPy aligns the data to 64 bytes and ends the header with a line feed.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');

    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    if binary {
        bytes.extend(array.values.iter().map(|&value| u8::from(value == 1.0)));
    } else {
        bytes.extend(array.values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}

/// The dictionary of the header.
struct Header {
    descr: String,
    fortran_order: bool,
    axes: Vec<usize>,
}

impl Header {
    /// Reads the one form that NumPy writes: three keys in any order, values without nesting.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected a header with 'descr', 'fortran_order' and 'shape', found {:?}",
                shortened(text)
            )
        };
        let mut rest = text
            .trim()
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or_else(wrong)?
            .trim();
        let (mut descr, mut fortran_order, mut axes) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or_else(wrong)?;
            let after = after.trim_start().strip_prefix(':').ok_or_else(wrong)?.trim_start();
            let after = match key {
                "descr" => {
                    let (value, after) = quoted(after).ok_or_else(wrong)?;
                    descr = Some(value.to_string());
                    after
                }
                "fortran_order" => {
                    let (value, after) = match after.strip_prefix("False") {
                        Some(after) => (false, after),
                        None => (true, after.strip_prefix("True").ok_or_else(wrong)?),
                    };
                    fortran_order = Some(value);
                    after
                }
                "shape" => {
                    let (inside, after) = after
                        .strip_prefix('(')
                        .and_then(|rest| rest.split_once(')'))
                        .ok_or_else(wrong)?;
                    let fields = inside.split(',').map(str::trim).filter(|field| !field.is_empty());
                    axes = Some(
                        fields
                            .map(|field| field.parse().map_err(|_| wrong()))
                            .collect::<Result<_, _>>()?,
                    );
                    after
                }
                _ => return Err(wrong()),
            };
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        match (descr, fortran_order, axes) {
            (Some(descr), Some(fortran_order), Some(axes)) => {
                Ok(Self { descr, fortran_order, axes })
            }
            _ => Err(wrong()),
        }
    }
}

/// A text in quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|&quote| quote == '\'' || quote == '"')?;
    text[1..].split_once(quote)
}
