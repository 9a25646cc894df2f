//! Folders, homes and recent files: the I/O behind the prompt for paths.

use std::path::{Path, PathBuf};

use crate::eval::sources::files_of;
use crate::learn::data::haystack_files;
use crate::model::load::{FETCHABLE, Fetchable};
use crate::tui::app::path_prompt::{Listing, PathFor};
use crate::tui::app::state::RecentFiles;
use crate::tui::app::state_folder;
use crate::{Error, Result, error, input_file};

/// The file of the recent files, in the state folder.
const RECENT: &str = "recent.json";
/// Most names of a folder that are read.
const MOST_NAMES: usize = 10_000;
/// Most recent files of a kind that are remembered.
const MOST_RECENT: usize = 8;

/// A typed path with `~` as the home folder.
pub fn expanded(typed: &str) -> PathBuf {
    let home = || etcetera::home_dir().ok();
    let rest = match typed {
        "~" => Some(""),
        _ => typed.strip_prefix("~/"),
    };
    match rest.and_then(|rest| Some(home()?.join(rest))) {
        Some(path) => path,
        None => PathBuf::from(typed),
    }
}

/// [`expanded`] for a path.
pub fn expanded_path(path: &Path) -> PathBuf {
    path.to_str().map_or_else(|| path.to_owned(), expanded)
}

/// Why what was typed for a field cannot be taken; `None` where everything is there: what is read
/// itself, and of a file that is written its folder.
pub fn trouble(purpose: PathFor, typed: &str) -> Option<String> {
    let paths = purpose.paths(typed).into_iter();
    paths.filter(|path| !purpose.is_text_name(path)).find_map(|path| {
        let expanded = expanded(path);
        if purpose.is_read() {
            if !expanded.exists() {
                return Some(format!("{path}: there is no such file or folder"));
            }
            let texts = match purpose {
                PathFor::Learn(_) => haystack_files(&[expanded]).map(drop),
                PathFor::Eval(_) if expanded.is_dir() => files_of(&expanded).map(drop),
                _ => Ok(()),
            };
            return texts.err().map(|error| error.to_string());
        }
        // The folder of an evaluation's results is made.
        let is_file = matches!(purpose, PathFor::Learn(_));
        let folder = expanded.parent().filter(|folder| is_file && !folder.as_os_str().is_empty());
        folder.filter(|folder| !folder.is_dir()).map(|_| format!("{path}: its folder is not there"))
    })
}

/// What a typed folder holds: names that are text, in order.
pub fn list(typed: &str) -> Listing {
    let path = match typed {
        "" => PathBuf::from("."),
        typed => expanded(typed),
    };
    let listing = match read(&path) {
        Ok(listing) => listing,
        Err(error) => Listing { trouble: Some(error.to_string()), ..Listing::default() },
    };
    let is_here = |known: &&Fetchable| known.path().is_ok_and(|path| path.exists());
    let fetched = FETCHABLE.iter().filter(is_here).map(|known| known.name.to_owned());
    Listing { fetched: fetched.collect(), ..listing }
}

fn read(path: &Path) -> Result<Listing> {
    let mut entries =
        std::fs::read_dir(path).map_err(|cause| error::io("reading", path, &cause))?;
    let mut listing = Listing::default();
    for entry in entries.by_ref().take(MOST_NAMES).flatten() {
        // A link to a folder is one.
        let is_folder = std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir());
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.chars().any(char::is_control) {
            continue;
        }
        if is_folder { listing.folders.push(name) } else { listing.files.push(name) }
    }
    listing.is_cut = entries.next().is_some();
    listing.folders.sort();
    listing.files.sort();
    Ok(listing)
}

/// The recent files of earlier sessions; none where they cannot be read.
pub fn recent() -> RecentFiles {
    let read = || {
        let text = input_file::read_text(&state_folder::path(RECENT)?, input_file::SETTINGS)?;
        serde_json::from_str(&text).map_err(|cause| Error::input(cause.to_string()))
    };
    read().unwrap_or_default()
}

/// Remembers the recent files for later sessions.
///
/// # Errors
/// Where the state folder cannot be written.
pub fn remember(recent: &RecentFiles) -> Result<()> {
    let text = serde_json::to_vec(recent).map_err(|cause| Error::run(cause.to_string()))?;
    state_folder::write(RECENT, &text)
}

/// What was typed as other sessions can use it: a path with its folder, a name as it is.
pub fn lasting(purpose: PathFor, typed: &str) -> String {
    if purpose.is_name(typed) {
        return typed.trim().to_owned();
    }
    let path = expanded(typed);
    let full = if path.exists() { std::path::absolute(&path).ok() } else { None };
    full.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| typed.to_owned())
}

impl RecentFiles {
    /// Puts a path first among those of its kind.
    pub fn add(list: &mut Vec<String>, path: String) {
        list.retain(|other| *other != path);
        list.insert(0, path);
        list.truncate(MOST_RECENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::screen::eval::state::EvalField;
    use crate::tui::screen::learn::form::Field;

    #[test]
    fn a_folder_is_listed_with_links_and_without_names_that_are_no_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("texts")).expect("made");
        std::fs::write(at("b.txt"), "").expect("written");
        std::fs::write(at("a.txt"), "").expect("written");
        std::fs::write(at("line\nbreak"), "").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink(at("texts"), at("linked")).expect("linked");
        let listing = list(&format!("{}/", folder.path().display()));
        assert_eq!(listing.files, ["a.txt", "b.txt"]);
        #[cfg(unix)]
        assert_eq!(listing.folders, ["linked", "texts"]);
        let missing = list(&format!("{}/none/", folder.path().display()));
        assert!(missing.trouble.is_some_and(|trouble| trouble.contains("none")));
    }

    #[test]
    fn what_is_not_there_is_told_by_name_and_what_is_written_needs_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("a.txt"), "").expect("written");
        let haystack = PathFor::Learn(Field::Haystack);
        let both = format!("{}, {}", at("a.txt"), at("."));
        assert_eq!((trouble(haystack, ""), trouble(haystack, &both)), (None, None));
        let one = trouble(haystack, &format!("{}, {}", at("a.txt"), at("b.txt"))).expect("missing");
        assert!(one.contains("b.txt") && !one.contains("a.txt"), "{one}");
        // A folder without texts was once taken, and refused when the run began.
        std::fs::create_dir(at("empty")).expect("made");
        for purpose in [haystack, PathFor::Eval(EvalField::Text)] {
            let empty = trouble(purpose, &at("empty")).expect("nothing in it");
            assert!(empty.contains("empty") && empty.contains("found none"), "{empty}");
        }
        let texts = PathFor::Eval(EvalField::Text);
        assert_eq!(trouble(texts, "moby-dick, sentences"), None, "names");
        assert!(trouble(haystack, "moby-dick").is_some(), "a file of this name is meant");
        let out = PathFor::Learn(Field::Out);
        assert_eq!(trouble(out, "mine.safetensors"), None);
        assert_eq!(trouble(out, &at("mine.safetensors")), None);
        assert!(trouble(out, &at("none/mine.safetensors")).is_some());
        assert_eq!(trouble(PathFor::Eval(EvalField::Out), &at("new")), None, "it is made");
    }

    #[test]
    fn a_tilde_is_the_home_folder_only_at_the_beginning() {
        let home = etcetera::home_dir().expect("a home");
        assert_eq!(expanded("~/a/b"), home.join("a/b"));
        assert_eq!(expanded("~"), home);
        assert_eq!(expanded("a/~b"), PathBuf::from("a/~b"));
        assert_eq!(expanded("~other/x"), PathBuf::from("~other/x"));
    }

    /// A folder that is called like the demo once took its place among the recent models.
    #[test]
    fn a_name_is_remembered_as_a_name_and_a_path_with_its_folder() {
        for name in ["demo", "smollm2-135m"] {
            assert_eq!(lasting(PathFor::Model, name), name);
        }
        assert_eq!(lasting(PathFor::Open, "k8v4"), "k8v4");
        // Tests run where the package is.
        let full = std::path::absolute("src").expect("a path");
        assert_eq!(lasting(PathFor::Model, "src"), full.to_string_lossy());
        assert!(!PathFor::Save.is_name("k8v4"), "a file of this name is meant");
        assert_eq!(lasting(PathFor::Open, "nowhere.safetensors"), "nowhere.safetensors");
    }

    #[test]
    fn the_last_recent_files_are_kept_each_once() {
        let mut list = Vec::new();
        for n in [1, 2, 3, 1, 4, 5, 6, 7, 8, 9] {
            RecentFiles::add(&mut list, n.to_string());
        }
        assert_eq!(list, ["9", "8", "7", "6", "5", "4", "1", "3"]);
    }
}
