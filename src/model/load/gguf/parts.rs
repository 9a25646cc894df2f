//! The parts of a model in GGUF files: one file, or those of a split one, found from any of them.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;

use super::header::Header;
use super::metadata::Type;
use crate::error::shortened;
use crate::model::load::{Bytes, file_kind};
use crate::{Error, Result};

/// One file.
pub(super) struct Part {
    /// The file named in errors.
    pub name: String,
    /// All of it.
    pub bytes: Bytes,
    /// Its metadata and tensors.
    pub header: Header,
}

/// Which part of how many a file is; the first is number 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    number: u64,
    count: u64,
}

impl Place {
    /// How llama.cpp ends the name of such a file.
    fn ending(self) -> String {
        format!("-{:05}-of-{:05}.gguf", self.number + 1, self.count)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "part {} of {}", self.number + 1, self.count)
    }
}

impl Part {
    fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = Bytes::open(path)?;
        let read = Header::read(&bytes);
        bytes.intact()?;
        let header = read.map_err(|cause| {
            let cause = match bytes.starts_with(b"GGUF") {
                true => cause,
                false => file_kind::mistaken(&bytes).unwrap_or(cause),
            };
            Error::input(format!("{name} is no readable GGUF file: {cause}"))
        })?;
        Ok(Self { name, bytes, header })
    }

    /// A count of the keys that say how a model is split.
    fn number(&self, key: &str) -> Result<Option<u64>> {
        let kind = if key == "split.tensors.count" { Type::I32 } else { Type::U16 };
        let Some(value) = self.header.metadata.get(key) else { return Ok(None) };
        let wrong = |what: String| Error::input(format!("{}: {what}", self.name));
        kind.check(key, value).map_err(wrong)?;
        match value {
            Value::U16(n) => Ok(Some(u64::from(*n))),
            Value::I32(n) if *n >= 0 => Ok(Some(u64::from(n.unsigned_abs()))),
            _ => Err(wrong(format!("`{key}` must be a count, not {value:?}"))),
        }
    }

    /// Which part this file says it is; `None` for a whole model.
    fn place(&self) -> Result<Option<Place>> {
        let Some(count) = self.number("split.count")?.filter(|&count| count > 1) else {
            return Ok(None);
        };
        match self.number("split.no")? {
            Some(number) if number < count => Ok(Some(Place { number, count })),
            Some(number) => Err(Error::input(format!(
                "{}: `split.no` is {number}, expected less than the {count} of `split.count`",
                self.name
            ))),
            None => Err(Error::input(format!(
                "{}: `split.count` is {count} and `split.no` is missing",
                self.name
            ))),
        }
    }

    fn family(&self) -> Option<&str> {
        match self.header.metadata.get("general.architecture") {
            Some(Value::String(family)) => Some(family),
            _ => None,
        }
    }
}

/// Opens the file and, where it is a part of a split model, all parts in their order.
pub(super) fn open(path: &Path) -> Result<Vec<Part>> {
    let asked = Part::open(path)?;
    let Some(place) = asked.place()? else {
        return Ok(vec![asked]);
    };
    let file_name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let Some(stem) = file_name.strip_suffix(&place.ending()) else {
        return Err(Error::input(format!(
            "{}: it is {place} of a split model, so its name must end in {} for the others to be found beside it",
            asked.name,
            place.ending()
        )));
    };
    let beside = |number| -> PathBuf {
        path.with_file_name(format!("{stem}{}", Place { number, ..place }.ending()))
    };
    if let Some(number) = (0..place.count).find(|&number| !beside(number).exists()) {
        return Err(Error::input(format!(
            "{}: {} of the model is missing",
            beside(number).display(),
            Place { number, ..place }
        )));
    }
    let asked_name = asked.name.clone();
    let mut asked = Some(asked);
    let mut parts = Vec::new();
    for number in 0..place.count {
        let expected = Place { number, ..place };
        let part = match asked.take_if(|_| number == place.number) {
            Some(asked) => asked,
            None => Part::open(&beside(number))?,
        };
        match part.place()? {
            Some(found) if found == expected => parts.push(part),
            found => {
                let found =
                    found.map_or_else(|| "a whole model".to_owned(), |found| found.to_string());
                return Err(Error::input(format!(
                    "{}: it should be {expected}, as {asked_name} says, and is {found}",
                    part.name
                )));
            }
        }
    }
    agree(&parts)?;
    Ok(parts)
}

/// Refuses parts of different models.
fn agree(parts: &[Part]) -> Result<()> {
    let Some((first, rest)) = parts.split_first() else { return Ok(()) };
    let mut owner = std::collections::HashMap::new();
    for part in parts {
        for tensor in part.header.tensors.keys() {
            if let Some(other) = owner.insert(tensor, &part.name) {
                return Err(Error::input(format!(
                    "{}: tensor `{}` is in {other} as well, so these are no parts of one model",
                    part.name,
                    shortened(tensor)
                )));
            }
        }
    }
    for part in rest {
        if let (Some(family), Some(other)) = (first.family(), part.family())
            && family != other
        {
            return Err(Error::input(format!(
                "{}: it is of architecture `{}`, and {} of `{}`",
                part.name,
                shortened(other),
                first.name,
                shortened(family)
            )));
        }
    }
    for part in parts {
        if let Some(stated) = part.number("split.tensors.count")?
            && stated != owner.len() as u64
        {
            return Err(Error::input(format!(
                "{}: `split.tensors.count` is {stated}, and the {} parts hold {} tensors",
                part.name,
                parts.len(),
                owner.len()
            )));
        }
    }
    Ok(())
}

/// What a model is called: its file's name without the ending of a part.
pub fn model_name(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    // "-00001-of-00003"
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = stem.rsplit_once("-of-").and_then(|(front, count)| {
        let (name, number) = front.rsplit_once('-')?;
        (digits(count) && digits(number) && !name.is_empty()).then(|| name.to_owned())
    });
    Some(whole.unwrap_or(stem))
}
