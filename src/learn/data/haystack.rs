//! Haystacks: the user's files, fetched texts, or generated sentences. The end of each is reserved
//! for the check.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::model::demo::generator::sentence;
use crate::model::fetch::texts::DOMAINS;
use crate::numbers::{count, counted};
use crate::random::SplitMix64;
use crate::{Error, Result, error, input_file};

/// Which part of a haystack is read. Training never sees the last sixth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaystackPart {
    /// The first five sixths.
    Training,
    /// The last sixth.
    HeldOut,
}

/// One source of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaystackPiece {
    /// Its name in reports.
    pub name: String,
    text: String,
    split: usize,
}

impl HaystackPiece {
    /// A source; its last sixth is held out.
    pub fn new(name: String, text: String) -> Self {
        let mut split = text.len() - text.len() / 6;
        while !text.is_char_boundary(split) {
            split -= 1;
        }
        Self { name, text, split }
    }

    /// Sha256 of the whole text, in hexadecimal.
    pub fn sha256(&self) -> String {
        crate::numbers::hex(&Sha256::digest(&self.text))
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One part of the text.
    pub fn part(&self, part: HaystackPart) -> &str {
        match part {
            HaystackPart::Training => &self.text[..self.split],
            HaystackPart::HeldOut => &self.text[self.split..],
        }
    }
}

/// Sources of filler and ordinary text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Haystack {
    /// Natural text; empty where there is none.
    pub pieces: Vec<HaystackPiece>,
}

/// Fetched texts of other kinds than those trained on: they are only used in the check.
const OTHER_KINDS: [&str; 2] = ["shakespeare", "python"];

/// Texts that are trained on where the user names none.
const LEARNED: [&str; 2] = ["moby-dick", "debian-policy"];

/// Endings of the files that are taken from a folder.
const ENDINGS: [&str; 4] = ["txt", "md", "jsonl", "ndjson"];

/// Fewest bytes of texts that are learned from: two paragraphs or so.
const LEAST_BYTES: usize = 1_000;

/// The files that paths stand for: `~` is the home folder, and a folder stands for the texts in it,
/// in the order of their names, without those of folders inside.
///
/// # Errors
/// A folder that cannot be read, or holds no text.
pub fn haystack_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let path = match (path.strip_prefix("~"), etcetera::home_dir()) {
            (Ok(rest), Ok(home)) => home.join(rest),
            _ => path.clone(),
        };
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let entries =
            std::fs::read_dir(&path).map_err(|cause| error::io("reading", &path, &cause))?;
        let mut texts: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| {
                let ending = file.extension().and_then(|ending| ending.to_str());
                file.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending))
            })
            .collect();
        if texts.is_empty() {
            return Err(Error::input(format!(
                "{}: expected a folder with texts ({}), found none in it",
                path.display(),
                ENDINGS.join(", ")
            )));
        }
        texts.sort();
        files.append(&mut texts);
    }
    Ok(files)
}

/// The user's files or, without any, the texts from `kscope fetch texts`. `field` is the field of
/// JSON lines that holds the text.
pub fn load(files: &[PathBuf], field: &str) -> Result<Haystack> {
    let named = |path: &Path| {
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let pieces = if files.is_empty() {
        fetched(&LEARNED)?
    } else {
        haystack_files(files)?
            .iter()
            .map(|path| Ok(HaystackPiece::new(named(path), read(path, field)?)))
            .collect::<Result<_>>()?
    };
    Ok(Haystack { pieces })
}

/// Fetched texts of other kinds for the check; never trained on.
pub fn held_out() -> Result<Vec<HaystackPiece>> {
    fetched(&OTHER_KINDS)
}

/// Generated sentences, where there is no natural text.
pub const SENTENCES: &str = "sentences";

/// A text by the name of a fetched one, generated [`SENTENCES`], or the text of a file.
pub fn source(text: &str) -> Result<HaystackPiece> {
    if text == SENTENCES {
        let mut rng = SplitMix64::new(0);
        let text = Haystack::default().passage(HaystackPart::HeldOut, 400_000, &mut rng);
        return Ok(HaystackPiece::new(SENTENCES.to_owned(), text));
    }
    if DOMAINS.iter().any(|domain| domain.name == text) {
        return fetched(&[text])?.pop().ok_or_else(|| {
            Error::input(format!("{text} is not here yet: `kscope fetch texts` gets it"))
        });
    }
    let loaded = load(&[PathBuf::from(text)], "text")?;
    loaded.pieces.into_iter().next().ok_or_else(|| Error::run("a file is one text"))
}

fn fetched(names: &[&str]) -> Result<Vec<HaystackPiece>> {
    let mut pieces = Vec::new();
    for domain in DOMAINS.iter().filter(|domain| names.contains(&domain.name)) {
        let path = domain.path()?;
        if path.exists() {
            pieces.push(HaystackPiece::new(domain.name.to_owned(), read(&path, "")?));
        }
    }
    Ok(pieces)
}

/// A text or Markdown file as it is; for JSON lines, the texts of the field joined by blank lines.
fn read(path: &Path, field: &str) -> Result<String> {
    let bytes = input_file::read(path, input_file::TEXT)?;
    let name = path.display();
    let text =
        String::from_utf8(bytes).map_err(|_| Error::input(format!("{name} is no UTF-8 text")))?;
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => {
            let mut texts = Vec::new();
            for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let json: serde_json::Value = serde_json::from_str(line).map_err(|cause| {
                    Error::input(format!("{name}, line {}: expected JSON, found {cause}", at + 1))
                })?;
                let own = json.get(field).and_then(serde_json::Value::as_str);
                texts.push(own.map(str::to_owned).ok_or_else(|| {
                    Error::input(format!(
                        "{name}, line {}: expected a text in field `{field}`, found none",
                        at + 1
                    ))
                })?);
            }
            texts.join("\n\n")
        }
        _ => text,
    };
    if text.trim().is_empty() {
        return Err(Error::input(format!("{name}: expected some text, found none")));
    }
    Ok(text)
}

/// Texts of fewer bytes are read together with others: the last sixth of one as long has about a
/// window of the check.
const SHORT_BYTES: usize = 32 << 10;

impl Haystack {
    /// About `bytes` of running text from a random place in one part; generated sentences where
    /// there is no natural text.
    pub fn passage(&self, part: HaystackPart, bytes: usize, rng: &mut SplitMix64) -> String {
        if self.pieces.is_empty() {
            let mut text = String::new();
            while text.len() < bytes {
                text.push_str(&sentence(rng));
                text.push(if rng.below(8) == 0 { '\n' } else { ' ' });
            }
            return text;
        }
        let piece = &self.pieces[rng.below(self.pieces.len())];
        passage(piece.part(part), bytes, rng)
    }

    /// About `bytes` of text, like [`Self::passage`], split into sentences.
    ///
    /// # Errors
    /// When there is no sentence in it: the texts are too short.
    pub fn sentences(
        &self,
        part: HaystackPart,
        bytes: usize,
        rng: &mut SplitMix64,
    ) -> Result<Vec<String>> {
        let text = self.passage(part, bytes, rng).split_whitespace().collect::<Vec<_>>().join(" ");
        let mut sentences: Vec<String> =
            text.split_inclusive(". ").map(|sentence| sentence.trim().to_owned()).collect();
        sentences.retain(|sentence| !sentence.is_empty());
        if sentences.is_empty() {
            return Err(self.too_short());
        }
        Ok(sentences)
    }

    /// The same text with short pieces put together, so that a folder of small documents has room for
    /// whole windows, in what is learned from and in what is held out.
    pub fn joined(self) -> Self {
        let (short, mut pieces): (Vec<_>, Vec<_>) =
            self.pieces.into_iter().partition(|piece| piece.text.len() < SHORT_BYTES);
        let bytes: usize = short.iter().map(|piece| piece.text.len()).sum();
        let mut parts = short;
        if bytes < SHORT_BYTES && !parts.is_empty() && !pieces.is_empty() {
            parts.insert(0, pieces.remove(0));
        }
        match parts.len() {
            0 => {}
            1 => pieces.append(&mut parts),
            _ => {
                let name = match &parts[..] {
                    [one, other] => format!("{} and {}", one.name, other.name),
                    [first, ..] => format!("{} and {} more texts", first.name, parts.len() - 1),
                    [] => String::new(),
                };
                let texts: Vec<&str> = parts.iter().map(|piece| piece.text.as_str()).collect();
                pieces.insert(0, HaystackPiece::new(name, texts.join("\n\n")));
            }
        }
        Self { pieces }
    }

    /// Refuses texts that are too short to learn from, before anything is done with them.
    ///
    /// # Errors
    /// When there are texts, and fewer than [`LEAST_BYTES`] in all.
    pub fn check_length(&self) -> Result<()> {
        let bytes: usize = self.pieces.iter().map(|piece| piece.text.len()).sum();
        match self.pieces.is_empty() || bytes >= LEAST_BYTES {
            true => Ok(()),
            false => Err(self.too_short()),
        }
    }

    /// That there is too little text, how much there is, and how much is needed.
    fn too_short(&self) -> Error {
        let bytes: usize = self.pieces.iter().map(|piece| piece.text.trim().len()).sum();
        let names = match &self.pieces[..] {
            [one] => format!("{} is too short: it has", one.name),
            all => format!("the {} texts are too short: they have", count(all.len())),
        };
        Error::input(format!(
            "{names} {} of text, and at least {} are needed, without long blanks; the last sixth of a text is held out for the check",
            counted(bytes, "byte", "bytes"),
            count(LEAST_BYTES)
        ))
    }
}

/// About `bytes` bytes of a text, starting at a random place.
pub(super) fn passage(text: &str, bytes: usize, rng: &mut SplitMix64) -> String {
    let mut start = rng.below(text.len().saturating_sub(bytes) + 1);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (start + bytes).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[start..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_read_as_one() {
        let piece =
            |name: &str, bytes: usize| HaystackPiece::new(name.to_owned(), name[..1].repeat(bytes));
        let joined = |all: &[(&str, usize)]| -> Vec<(String, usize)> {
            let pieces = all.iter().map(|&(name, bytes)| piece(name, bytes)).collect();
            let joined = Haystack { pieces }.joined().pieces;
            joined.into_iter().map(|piece| (piece.name, piece.text.len())).collect()
        };
        let long = SHORT_BYTES;
        let of = |name: &str, bytes: usize| (name.to_owned(), bytes);
        assert_eq!(joined(&[]), []);
        assert_eq!(joined(&[("a", 5)]), [of("a", 5)]);
        assert_eq!(joined(&[("a", long), ("b", long)]), [of("a", long), of("b", long)]);
        assert_eq!(joined(&[("a", 5), ("b", 7)]), [of("a and b", 14)]);
        // A few short ones go to the first long one, many are a text of their own.
        assert_eq!(
            joined(&[("a", 5), ("b", long), ("c", long)]),
            [of("b and a", long + 7), of("c", long)]
        );
        assert_eq!(
            joined(&[("a", long - 1), ("b", long), ("c", 9), ("d", 9)]),
            [of("a and 2 more texts", long + 21), of("b", long)]
        );
    }

    #[test]
    fn a_folder_stands_for_the_texts_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        assert!(load(&[folder.path().to_owned()], "text").is_err(), "no text in it");
        for (name, text) in [("b.md", "second"), ("a.txt", "first"), ("picture.png", "no text")] {
            std::fs::write(at(name), text).expect("written");
        }
        std::fs::create_dir(at("c.txt")).expect("a folder inside");
        let several = [folder.path().to_owned(), at("b.md")];
        let loaded = load(&several, "text").expect("texts");
        let names: Vec<&str> = loaded.pieces.iter().map(|piece| piece.name.as_str()).collect();
        assert_eq!(names, ["a.txt", "b.md", "b.md"]);
    }
    #[test]
    fn texts_that_are_too_short_are_refused_before_anything_is_done() {
        let of = |texts: &[usize]| Haystack {
            pieces: texts
                .iter()
                .map(|&n| HaystackPiece::new("a.txt".to_owned(), "x".repeat(n)))
                .collect(),
        };
        let refused = of(&[2]).check_length().expect_err("two letters").to_string();
        assert!(refused.starts_with("a.txt is too short: it has 2 bytes"), "{refused}");
        let refused = of(&[400, 599]).check_length().expect_err("both").to_string();
        assert!(refused.contains("2 texts") && refused.contains("999 bytes"), "{refused}");
        assert!(refused.contains("at least 1,000 are needed"), "{refused}");
        for enough in [&[1_000][..], &[400, 600], &[]] {
            of(enough).check_length().expect("enough, or generated sentences");
        }
    }
}
