//! The one prompt for paths: what is typed, what a folder offers for it, and how it is completed.
//! The runner reads folders; here is no I/O.

use tui_input::Input;

use crate::learn::data::SENTENCES;
use crate::mask::CachePlan;
use crate::model::arch;
use crate::model::fetch::texts::DOMAINS;
use crate::model::load::FETCHABLE;
use crate::tui::app::state::{List, Overlay, RecentFiles, State};
use crate::tui::export::ExportFormat;
use crate::tui::screen::eval::state::EvalField;
use crate::tui::screen::learn::form::Field;

/// What a path is typed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFor {
    /// A mask or plan to decode with.
    Open,
    /// A mask or plan to compare with on the map.
    Diff,
    /// The file that what is set is saved to.
    Save,
    /// Another model.
    Model,
    /// The file of an export.
    Export(ExportFormat),
    /// A field of the form of learning.
    Learn(Field),
    /// A field of the form of evaluation.
    Eval(EvalField),
}

/// The commands of the palette that take a path, with the blank behind them.
pub const WORDS: [(&str, PathFor); 5] = [
    ("open ", PathFor::Open),
    ("diff ", PathFor::Diff),
    ("save-as ", PathFor::Save),
    ("save ", PathFor::Save),
    ("model ", PathFor::Model),
];

impl PathFor {
    /// The purpose that a text in the palette begins with, and the rest of the text.
    pub fn of(typed: &str) -> Option<(Self, &str)> {
        let word =
            WORDS.iter().find_map(|(word, purpose)| Some((*purpose, typed.strip_prefix(word)?)));
        word.or_else(|| {
            let (format, rest) = typed.strip_prefix("export ")?.split_once(' ')?;
            Some((Self::Export(ExportFormat::from_name(format)?), rest))
        })
    }

    /// What is asked for, as a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Open => "open a mask or plan",
            Self::Diff => "compare with a mask or plan",
            Self::Save => "save what is set as",
            Self::Model => "change the model",
            Self::Export(_) => "export to",
            Self::Learn(Field::Haystack) => "texts and folders of texts, commas between them",
            Self::Eval(EvalField::Text) => "texts, commas between them",
            Self::Eval(_) => "folder of the results",
            Self::Learn(_) => "write the learned mask to",
        }
    }

    /// What taking a typed text does.
    fn about(self) -> &'static str {
        match self {
            Self::Open => "decode with it from the next token on",
            Self::Diff => "show on the map where it differs",
            Self::Save | Self::Export(_) => "write this file",
            Self::Model => "load this model; the one at work stays until it is there",
            Self::Learn(Field::Haystack) | Self::Eval(EvalField::Text) => "take these",
            Self::Learn(_) | Self::Eval(_) => "take this name",
        }
    }

    /// Whether several paths can be typed, with commas between them.
    fn is_many(self) -> bool {
        matches!(self, Self::Learn(Field::Haystack) | Self::Eval(EvalField::Text))
    }

    /// The paths in a typed text.
    pub fn paths(self, typed: &str) -> Vec<&str> {
        let parts = typed.split(|c| c == ',' && self.is_many()).map(str::trim);
        parts.filter(|path| !path.is_empty()).collect()
    }

    /// Whether what is meant is read, and not written.
    pub fn is_read(self) -> bool {
        self.is_many() || matches!(self, Self::Open | Self::Diff)
    }

    /// Whether only a file can be meant, so that a folder is one to go into.
    fn is_file(self) -> bool {
        match self {
            Self::Open | Self::Diff | Self::Save | Self::Export(_) => true,
            Self::Learn(field) => field != Field::Haystack,
            Self::Model | Self::Eval(_) => false,
        }
    }

    /// Whether nothing can be meant.
    fn may_be_empty(self) -> bool {
        self.is_many() || self == Self::Eval(EvalField::Out)
    }

    /// Whether a file of this name can be meant.
    fn takes(self, name: &str) -> bool {
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match self {
            Self::Open | Self::Diff => ends(&[".safetensors", ".pth", ".npy", ".tsv"]),
            Self::Save => ends(&[".safetensors"]),
            Self::Model => ends(&[".gguf"]),
            Self::Export(format) => name.rsplit('.').next() == Some(format.name()),
            Self::Learn(Field::Haystack) | Self::Eval(EvalField::Text) => true,
            Self::Eval(_) => false,
            Self::Learn(_) => ends(&[".safetensors"]),
        }
    }

    /// Whether a typed text is a name, which means the same wherever the program runs, even beside a
    /// file or folder that is called so.
    pub fn is_name(self, typed: &str) -> bool {
        self.names(None).iter().any(|(name, _)| name == typed.trim())
    }

    /// Whether a path that was typed is the name of a text: fetched texts have names, as models do.
    pub fn is_text_name(self, path: &str) -> bool {
        self == Self::Eval(EvalField::Text)
            && (path == SENTENCES || DOMAINS.iter().any(|domain| domain.name == path))
    }

    /// What can be typed besides paths, and what each is. `fetched` are the models that are here,
    /// once that is known.
    fn names(self, fetched: Option<&[String]>) -> Vec<(String, &'static str)> {
        match self {
            Self::Open => {
                let named =
                    CachePlan::NAMES.iter().map(|named| (named.name.to_owned(), "a plan by name"));
                std::iter::once(("none".to_owned(), "dense decode")).chain(named).collect()
            }
            Self::Diff => CachePlan::NAMES
                .iter()
                .map(|named| (named.name.to_owned(), "a plan by name"))
                .collect(),
            Self::Model => {
                let demo = std::iter::once(("demo".to_owned(), "the model inside the program"));
                let fetched = FETCHABLE.iter().map(|known| {
                    let is_here = fetched.map(|names| names.iter().any(|name| name == known.name));
                    let about = match is_here {
                        None => "a model that kscope fetches",
                        Some(true) => "fetched",
                        Some(false) => "not fetched yet",
                    };
                    (known.name.to_owned(), about)
                });
                let random = arch::known_names().into_iter();
                let random =
                    random.map(|name| (format!("--random-weights {name}"), "its shape alone"));
                demo.chain(fetched).chain(random).collect()
            }
            Self::Save | Self::Export(_) | Self::Learn(_) | Self::Eval(_) => Vec::new(),
        }
    }
}

/// What a folder holds, in order, folders first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names of folders.
    pub folders: Vec<String>,
    /// Names of files.
    pub files: Vec<String>,
    /// Names of the models that were fetched, wherever they are.
    pub fetched: Vec<String>,
    /// Whether it holds more than was read.
    pub is_cut: bool,
    /// Why there is nothing, where the folder cannot be read.
    pub trouble: Option<String>,
}

/// What a typed path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// Nothing that is there.
    Nothing,
}

/// A path that can be taken, or gone into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What would be typed.
    pub text: String,
    /// What it is.
    pub about: String,
    /// Whether it is gone into and not taken.
    pub is_folder: bool,
}

/// A path that is being typed.
#[derive(Debug, Clone)]
pub struct PathPrompt {
    /// What for.
    pub purpose: PathFor,
    /// What is typed, and which candidate is selected; the first is what is typed itself.
    pub list: List,
    /// Whether what stands there was offered, and is replaced by the first letter that is typed.
    pub is_offered: bool,
    /// The folder that was read last, as it was typed, and what it holds.
    listed: Option<(String, Listing)>,
    /// The folder that was asked for last.
    asked: Option<String>,
}

impl PathPrompt {
    /// A prompt that begins with this text.
    pub fn new(purpose: PathFor, typed: &str) -> Self {
        let list = List { input: Input::from(typed.to_owned()), selected: 0 };
        Self { purpose, list, is_offered: false, listed: None, asked: None }
    }

    /// Before text is typed or pasted (`replaces`), or the typed text is edited: an offered name goes,
    /// or is from now on as if it had been typed.
    pub fn begin_typing(&mut self, replaces: bool) {
        if std::mem::take(&mut self.is_offered) && replaces {
            self.list = List::default();
        }
    }

    /// What is typed before the path at hand, and that path.
    fn split(&self) -> (&str, &str) {
        let typed = self.list.input.value();
        let comma = typed.rfind(',').filter(|_| self.purpose.is_many());
        let at = comma.map_or(0, |comma| comma + 1);
        let blanks = typed[at..].len() - typed[at..].trim_start().len();
        typed.split_at(at + blanks)
    }

    /// The folder of the path at hand as it is typed, with its slash, and the beginning of a name.
    fn parts(&self) -> (&str, &str) {
        let path = self.split().1;
        path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
    }

    /// The folder to read for what is typed, once for each.
    pub fn ask(&mut self) -> Option<String> {
        let folder = self.parts().0.to_owned();
        let is_new = self.asked.as_ref() != Some(&folder);
        is_new.then(|| self.asked.insert(folder).clone())
    }

    /// Takes what a folder holds.
    pub fn take(&mut self, folder: String, listing: Listing) {
        if self.asked.as_ref() == Some(&folder) {
            self.listed = Some((folder, listing));
        }
    }

    /// What fits what is typed: recent files, what the folder holds, and known names
    /// while no folder is typed.
    pub fn candidates(&self, recent: &RecentFiles) -> Vec<Candidate> {
        let (before, _) = self.split();
        let (folder, stem) = self.parts();
        let mut all = Vec::new();
        let candidate = |text: &str, about: &str, is_folder| Candidate {
            text: format!("{before}{text}"),
            about: about.to_owned(),
            is_folder,
        };
        let of_recent = match self.purpose {
            PathFor::Open | PathFor::Diff => &recent.plans[..],
            PathFor::Model => &recent.models[..],
            _ => &[],
        };
        let typed = self.split().1;
        all.extend(
            of_recent
                .iter()
                .filter(|path| path.contains(typed))
                .map(|path| candidate(path, "recent", false)),
        );
        let listed = self.listed.as_ref().filter(|(listed, _)| listed == folder);
        if let Some((_, listing)) = listed {
            // Hidden names are meant only where the dot is typed.
            let fits = |name: &&String| {
                name.starts_with(stem) && (stem.starts_with('.') || !name.starts_with('.'))
            };
            for name in listing.folders.iter().filter(fits) {
                all.push(candidate(&format!("{folder}{name}/"), "folder", true));
            }
            for name in listing.files.iter().filter(fits).filter(|name| self.purpose.takes(name)) {
                all.push(candidate(&format!("{folder}{name}"), "", false));
            }
        }
        if folder.is_empty() {
            let names = self.purpose.names(listed.map(|(_, listing)| &listing.fetched[..]));
            let fitting = names.iter().filter(|(name, _)| name.starts_with(stem));
            all.extend(fitting.map(|(name, about)| candidate(name, about, false)));
        }
        // What is typed is a row of its own, as a folder with its slash.
        let own = self.typed().map(|own| own.text);
        all.retain(|one| Some(&one.text) != own.as_ref());
        let mut seen = std::collections::HashSet::new();
        all.retain(|one| seen.insert(one.text.clone()));
        all
    }

    /// What the path at hand is; `None` where its folder was not read to the end.
    fn found(&self) -> Option<Found> {
        let (folder, stem) = self.parts();
        let stem = stem.trim_end();
        if matches!((folder, stem), ("", "~") | (_, "." | "..")) {
            return Some(Found::Folder);
        }
        let (listed, listing) = self.listed.as_ref()?;
        if listed != folder || listing.trouble.is_some() || listing.is_cut || stem.is_empty() {
            return None;
        }
        let has = |names: &[String]| names.iter().any(|name| name == stem);
        Some(match (has(&listing.folders), has(&listing.files)) {
            (true, _) => Found::Folder,
            (_, true) => Found::File,
            _ => Found::Nothing,
        })
    }

    /// Whether what is typed would be read, and is neither there nor a name.
    fn is_missing(&self) -> bool {
        let text = self.list.input.value().trim();
        let is_read = self.purpose.is_read() || self.purpose == PathFor::Model;
        // Shapes of models are no paths.
        let is_name = self.purpose.is_name(text)
            || text.starts_with("--")
            || self.purpose.is_text_name(self.split().1.trim());
        is_read && !is_name && self.found() == Some(Found::Nothing)
    }

    /// What is typed, as the first row of the list; `None` before anything is.
    pub fn typed(&self) -> Option<Candidate> {
        let text = self.list.input.value().trim();
        let is_folder = self.purpose.is_file()
            && !self.purpose.is_name(text)
            && (text.ends_with('/') || self.found() == Some(Found::Folder));
        let slash = if is_folder && !text.ends_with('/') { "/" } else { "" };
        (!text.is_empty() || self.purpose.may_be_empty()).then(|| Candidate {
            text: format!("{text}{slash}"),
            about: match self.listed.as_ref().and_then(|(_, listing)| listing.trouble.as_ref()) {
                Some(trouble) => trouble.clone(),
                None if text.is_empty() && self.purpose.is_many() => "the default texts".to_owned(),
                None if text.is_empty() => "nothing is written".to_owned(),
                None if is_folder => "a folder: type on, or take a file of it".to_owned(),
                None if self.is_missing() && self.purpose.is_many() => {
                    "there is no such file or folder".to_owned()
                }
                None if self.is_missing() => "there is no such file or name".to_owned(),
                None => self.purpose.about().to_owned(),
            },
            is_folder,
        })
    }

    /// Completes what is typed as far as all candidates agree. Where that adds nothing, the next
    /// candidate is selected.
    pub fn complete(&mut self, recent: &RecentFiles) {
        self.is_offered = false;
        // The home folder is a folder as others are, with a slash.
        if self.split().1 == "~" {
            let text = format!("{}/", self.list.input.value());
            self.list = List { input: Input::from(text), selected: 0 };
            return;
        }
        let all = self.candidates(recent);
        let typed = self.list.input.value();
        let paths: Vec<&str> = all
            .iter()
            .map(|one| one.text.as_str())
            .filter(|text| text.starts_with(typed))
            .collect();
        let common = common_start(&paths);
        if common.len() > typed.len() {
            self.list = List { input: Input::from(common.to_owned()), selected: 0 };
        } else if !all.is_empty() {
            let first = usize::from(self.typed().is_some());
            let rows = all.len() + first;
            let next = self.list.selected + 1;
            self.list.selected = if next < rows { next } else { first };
        }
    }
}

impl State {
    /// Opens the prompt for a path.
    pub fn type_path(&mut self, purpose: PathFor, typed: &str) {
        self.overlay = Some(Overlay::Path(PathPrompt::new(purpose, typed)));
    }
}

impl State {
    /// Opens the prompt for a path with a name that typing replaces.
    pub fn offer_path(&mut self, purpose: PathFor, name: &str) {
        let prompt = PathPrompt { is_offered: true, ..PathPrompt::new(purpose, name) };
        self.overlay = Some(Overlay::Path(prompt));
    }
}

/// The longest text that all begin with, cut at a character.
fn common_start<'a>(texts: &[&'a str]) -> &'a str {
    let Some((first, others)) = texts.split_first() else { return "" };
    let end = others.iter().fold(first.len(), |end, other| {
        let same = first.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
        let most =
            first.char_indices().nth(other.chars().count()).map_or(first.len(), |(at, _)| at);
        end.min(same.map_or(most, |((at, _), _)| at))
    });
    &first[..end]
}

#[cfg(test)]
mod tests;
