//! Where texts come from: those that are evaluated on, and what needles are hidden in.

use std::path::{Path, PathBuf};

use crate::error::shortened;
use crate::eval::recall::Essay;
use crate::eval::run::{SourceHeader, sha256};
use crate::eval::text::EvalText;
use crate::learn::data::{self, Haystack, HaystackPart, HaystackPiece, SENTENCES};
use crate::model::fetch::texts::DOMAINS;
use crate::{Error, Result, error};

/// Endings of files that a folder's texts have.
const ENDINGS: [&str; 6] = ["txt", "md", "rst", "py", "jsonl", "ndjson"];

fn whole(piece: &HaystackPiece) -> String {
    [HaystackPart::Training, HaystackPart::HeldOut].map(|part| piece.part(part)).concat()
}

/// The text files of a folder, sorted.
///
/// # Errors
/// A folder that cannot be read, or holds no text.
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |cause: std::io::Error| error::io("reading", folder, &cause);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&&*ending)) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::input(format!(
            "{}: expected files that end with {}, found none",
            folder.display(),
            ENDINGS.join(", ")
        )));
    }
    Ok(files)
}

/// The texts that were asked for: files, folders, fetched texts by name; without any, all fetched
/// texts that are here, or generated sentences.
pub fn texts(asked: &[String]) -> Result<Vec<EvalText>> {
    let fetched = || {
        let here = DOMAINS.iter().filter(|domain| domain.path().is_ok_and(|path| path.exists()));
        here.map(|domain| domain.name.to_owned()).collect::<Vec<_>>()
    };
    let asked = match asked {
        [] => match fetched() {
            names if names.is_empty() => vec![SENTENCES.to_owned()],
            names => names,
        },
        asked => asked.to_vec(),
    };
    let mut pieces = Vec::new();
    for text in &asked {
        let path = Path::new(text);
        // A name stands for the fetched text, as that of a model does; `./python` is the folder.
        let is_name = text == SENTENCES || DOMAINS.iter().any(|domain| domain.name == text);
        if path.is_dir() && !is_name {
            for file in files_of(path)? {
                let piece = data::source(&file.display().to_string())?;
                pieces.push(EvalText {
                    text: whole(&piece),
                    name: piece.name,
                    domain: text.trim_end_matches('/').to_owned(),
                });
            }
        } else {
            let piece = data::source(text)?;
            let text = whole(&piece);
            pieces.push(EvalText { domain: piece.name.clone(), name: piece.name, text });
        }
    }
    // Files of several folders may be called the same.
    let is_twice = |name: &str| pieces.iter().filter(|piece| piece.name == name).count() > 1;
    let names: Vec<String> = pieces
        .iter()
        .map(|piece| match is_twice(&piece.name) {
            true => format!("{}/{}", piece.domain, piece.name),
            false => piece.name.clone(),
        })
        .collect();
    for (piece, name) in pieces.iter_mut().zip(&names) {
        if names.iter().filter(|other| *other == name).count() > 1 {
            return Err(Error::input(format!("--text: {} is given twice", shortened(&piece.name))));
        }
        piece.name.clone_from(name);
    }
    Ok(pieces)
}

/// What needles are hidden in: the texts that were asked for; without any, fetched prose, or
/// generated sentences.
pub fn essay(asked: &[String]) -> Result<(Essay, SourceHeader)> {
    let haystack = match asked {
        [] => data::load(&[], "text")?,
        asked => {
            let pieces = texts(asked)?.into_iter();
            Haystack { pieces: pieces.map(|one| HaystackPiece::new(one.name, one.text)).collect() }
        }
    };
    let essay = Essay::of(&haystack);
    let text: String = haystack.pieces.iter().map(whole).collect();
    let header =
        SourceHeader { name: essay.name.clone(), domain: String::new(), sha256: sha256(text) };
    Ok((essay, header))
}
