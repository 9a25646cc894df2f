//! The module tree of `src/`, two levels deep, as docs/ARCHITECTURE.md shows it.

use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const START: &str = "<!-- tree -->\n```text\n";
const END: &str = "```\n<!-- /tree -->";
const WIDTH: usize = 98;
/// Where the descriptions begin.
const COLUMN: usize = 18;

/// The tree: folders and single files of `src/` with the first sentence of their documentation. A
/// folder lists its folders in the same way (with the names of theirs), then the names of its
/// files.
pub fn draw(root: &Path) -> Result<String, String> {
    let mut drawing = String::from("src/\n");
    let (folders, files) = listing(&root.join("src"))?;
    for folder in folders {
        entry(&mut drawing, 2, &folder)?;
        let (inner, files) = listing(&folder)?;
        for folder in inner {
            entry(&mut drawing, 4, &folder)?;
            let names = listing(&folder)?.0;
            let names: Vec<String> = names.iter().map(|inner| name(inner) + "/").collect();
            wrap(&mut drawing, 6, &names.join(" "));
        }
        let names: Vec<String> =
            files.iter().map(|file| name(file)).filter(|name| name != "mod.rs").collect();
        wrap(&mut drawing, 4, &names.join(" "));
    }
    for file in files {
        entry(&mut drawing, 2, &file)?;
    }
    Ok(drawing)
}

/// Fails if docs/ARCHITECTURE.md shows another tree.
pub fn check(root: &Path) -> Result<(), String> {
    let (document, wanted) = (read(&root.join(DOCUMENT))?, document(root)?);
    if document == wanted {
        return Ok(());
    }
    Err(format!("{DOCUMENT} does not show the tree of src/: run `cargo xtask tree --write`"))
}

/// Writes the tree to docs/ARCHITECTURE.md.
pub fn write(root: &Path) -> Result<(), String> {
    fs::write(root.join(DOCUMENT), document(root)?).map_err(|error| error.to_string())
}

/// The document with the current tree.
fn document(root: &Path) -> Result<String, String> {
    let text = read(&root.join(DOCUMENT))?;
    let (before, rest) =
        text.split_once(START).ok_or(format!("{DOCUMENT} has no line `<!-- tree -->`"))?;
    let (_, after) =
        rest.split_once(END).ok_or(format!("{DOCUMENT} has no line `<!-- /tree -->`"))?;
    Ok(format!("{before}{START}{}{END}{after}", draw(root)?))
}

/// Folders and Rust files of a folder, each sorted.
fn listing(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    let folders = folders.into_iter().filter(|folder| source(folder).is_some()).collect();
    let files = files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    Ok((folders, files.collect()))
}

/// The file that documents a module.
fn source(path: &Path) -> Option<PathBuf> {
    let places = [path.to_owned(), path.join("mod.rs"), path.with_extension("rs")];
    places.into_iter().find(|place| place.is_file())
}

fn entry(drawing: &mut String, indent: usize, path: &Path) -> Result<(), String> {
    let text = read(&source(path).expect("listed for it"))?;
    let slash = if path.is_dir() { "/" } else { "" };
    let head = format!("{:indent$}{}{slash}", "", name(path));
    let mut described = String::new();
    wrap(&mut described, COLUMN, &sentence(&text));
    let described = described.get(COLUMN..).unwrap_or("\n");
    drawing.push_str(&format!("{head:<width$} {described}", width = COLUMN - 1));
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// First sentence of a file's own documentation, without link and code markup.
fn sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let first: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let whole = first.join(" ");
    let end = whole.find(". ").unwrap_or(whole.len());
    whole[..end].trim_end_matches('.').replace(['[', ']', '`'], "")
}

/// Appends words, wrapped, with an indent.
fn wrap(drawing: &mut String, indent: usize, words: &str) {
    let indent = " ".repeat(indent);
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
            drawing.push_str(&format!("{indent}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        drawing.push_str(&format!("{indent}{line}\n"));
    }
}
