//! Keys that a JSON object has twice. Parsers keep one of them in silence, and not all the same.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The first key that the object has twice; `None` too for what is no object of JSON.
pub fn repeated(json: &[u8]) -> Option<String> {
    serde_json::Deserializer::from_slice(json).deserialize_map(Keys).ok().flatten()
}

/// The first tensor that the header of a safetensors file has twice. `file` is the whole file.
pub fn repeated_tensor(file: &[u8]) -> Option<String> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    repeated(rest.get(..length)?)
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut seen, mut again) = (HashSet::new(), None);
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            if again.is_none() && seen.contains(&key) {
                again = Some(key);
            } else {
                seen.insert(key);
            }
        }
        Ok(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_occurs_twice_is_found_however_it_is_spelt() {
        assert_eq!(repeated(br#"{"a": 1, "b": {"a": 2, "a": 3}}"#), None);
        assert_eq!(repeated(br#"{"a": 1, "b": 2, "\u0061": 3}"#).as_deref(), Some("a"));
        assert_eq!(repeated(b"[1, 1]"), None);
        let mut file = 16_u64.to_le_bytes().to_vec();
        file.extend(br#"{"t": 1, "t": 2}"#);
        assert_eq!(repeated_tensor(&file).as_deref(), Some("t"));
        for len in 0..file.len() {
            assert_eq!(repeated_tensor(&file[..len]), None);
        }
    }
}
