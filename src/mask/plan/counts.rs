//! How many of something have each width.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Width;
use crate::numbers::count;

/// How many of something have each width, in the order of [`Width::ALL`]. JSON is an object with
/// the bits as keys, all five; as text it lists the widths that occur, the widest first: `16: 3 · 8:
/// 20`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WidthCounts(pub [usize; 5]);

impl WidthCounts {
    /// Counts widths.
    pub fn of<'a>(widths: impl IntoIterator<Item = &'a Width>) -> Self {
        let mut counts = [0; 5];
        widths.into_iter().for_each(|width| counts[width.index()] += 1);
        Self(counts)
    }

    /// The widths that occur with their numbers, the widest first, each number as `show` prints it.
    pub fn listed(&self, show: impl Fn(usize) -> String) -> String {
        let parts: Vec<String> = Width::ALL
            .into_iter()
            .zip(self.0)
            .rev()
            .filter(|&(_, number)| number > 0)
            .map(|(width, number)| format!("{width}: {}", show(number)))
            .collect();
        parts.join(" · ")
    }
}

impl std::fmt::Display for WidthCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.listed(count))
    }
}

impl Serialize for WidthCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (width, number) in Width::ALL.into_iter().zip(self.0) {
            map.serialize_entry(&width.bits(), &number)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_lists_the_widths_that_occur_and_json_all_five() {
        let widths = [Width::Eight, Width::Zero, Width::Eight, Width::Sixteen];
        let counts = WidthCounts::of(&widths);
        assert_eq!(counts.to_string(), "16: 1 · 8: 2 · 0: 1");
        assert_eq!(WidthCounts([0, 0, 0, 2384, 0]).to_string(), "8: 2,384");
        assert_eq!(serde_json::to_string(&counts).unwrap(), r#"{"0":1,"2":0,"4":0,"8":2,"16":1}"#);
    }
}
