//! The package clients pip, npm and apt-get, used in their ordinary way, with downloads in one
//! folder of the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::model::load::cache_folder;
use crate::{Error, Result, error};

/// Receives the progress of a fetch.
pub trait Progress {
    /// A new step begins; `what` describes it in a few words.
    fn step(&mut self, what: &str);
    /// `done` bytes have arrived, out of `total` where that is known.
    fn bytes(&mut self, done: u64, total: Option<u64>);
}

/// A package client of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// pip, for Python packages.
    Pip,
    /// npm, for Node packages.
    Npm,
    /// apt-get, for Debian packages.
    Apt,
}

/// The folder that clients download into. It stays between runs, so that an interrupted fetch
/// continues from the complete files.
pub struct Downloads {
    folder: PathBuf,
}

const POLL: Duration = Duration::from_millis(200);

impl Downloads {
    /// Opens the folder, making it where needed.
    pub fn open() -> Result<Self> {
        let folder = cache_folder()?.join("downloads");
        std::fs::create_dir_all(&folder).map_err(|cause| error::io("making", &folder, &cause))?;
        Ok(Self { folder })
    }

    /// Downloads one package (`name` or `name==version`) and gives the path of its archive;
    /// `expected` is its approximate size.
    pub fn package(
        &self,
        client: Client,
        package: &str,
        expected: Option<u64>,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf> {
        let own = self
            .folder
            .join(package.replace(|c: char| !c.is_alphanumeric() && c != '.' && c != '-', "_"));
        let parts = own.join("parts");
        std::fs::create_dir_all(&parts).map_err(|cause| error::io("making", &parts, &cause))?;
        if let Some(archive) = archive_in(&own)? {
            return Ok(archive);
        }
        progress.step(&format!("downloading {package}"));
        let mut command = match client {
            Client::Pip => {
                let mut pip = Command::new("python3");
                pip.args([
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--disable-pip-version-check",
                ]);
                if pip_resumes() {
                    pip.args(["--resume-retries", "5"]);
                }
                pip.arg("--dest").arg(&own).arg(package);
                pip
            }
            Client::Npm => {
                let mut npm = Command::new("npm");
                npm.args(["pack", "--silent", "--pack-destination"]).arg(&own).arg(package);
                npm
            }
            Client::Apt => {
                let mut apt = Command::new("apt-get");
                apt.args(["download", "--quiet=2", package]);
                apt
            }
        };
        // The client's partial file is in `parts`, where its growth can be seen.
        command
            .current_dir(&own)
            .env("TMPDIR", &parts)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|cause| {
            Error::run(format!(
                "{package} comes with {program}, which could not be started: {cause}"
            ))
        })?;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => progress.bytes(size_of(&own), expected),
                Err(cause) => return Err(Error::run(format!("waiting for {program}: {cause}"))),
            }
            std::thread::sleep(POLL);
        };
        let said = child
            .wait_with_output()
            .map(|out| String::from_utf8_lossy(&out.stderr).into_owned())
            .unwrap_or_default();
        std::fs::remove_dir_all(&parts).ok();
        if !status.success() {
            let reason = said
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("no reason given");
            return Err(Error::run(format!(
                "{program} could not download {package}: {}",
                reason.trim()
            )));
        }
        archive_in(&own)?
            .ok_or_else(|| Error::run(format!("{program} left no archive of {package}")))
    }

    /// Unpacks a wheel, npm or Debian archive into a temporary folder beside it.
    pub fn unpack(&self, archive: &Path) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir_in(&self.folder)
            .map_err(|cause| error::io("making a folder in", &self.folder, &cause))?;
        let mut command = match archive.extension().and_then(|ext| ext.to_str()) {
            Some("deb") => {
                let mut dpkg = Command::new("dpkg-deb");
                dpkg.arg("-x").arg(archive).arg(folder.path());
                dpkg
            }
            Some("whl") => {
                let mut python = Command::new("python3");
                python.args(["-m", "zipfile", "-e"]).arg(archive).arg(folder.path());
                python
            }
            _ => {
                let mut tar = Command::new("tar");
                tar.arg("-xzf").arg(archive).arg("-C").arg(folder.path());
                tar
            }
        };
        let program = command.get_program().to_string_lossy().into_owned();
        match command.stdin(Stdio::null()).output() {
            Ok(out) if out.status.success() => Ok(folder),
            Ok(out) => {
                // A broken archive would fail again.
                std::fs::remove_file(archive).ok();
                let said = String::from_utf8_lossy(&out.stderr);
                Err(Error::run(format!(
                    "{program} could not unpack {}: {}",
                    archive.display(),
                    said.trim()
                )))
            }
            Err(cause) => Err(Error::run(format!(
                "unpacking needs {program}, which could not be started: {cause}"
            ))),
        }
    }
}

/// Whether this pip can continue a broken download (25.1 and later).
fn pip_resumes() -> bool {
    let version = Command::new("python3").args(["-m", "pip", "--version"]).output().ok();
    let version = version.and_then(|out| String::from_utf8(out.stdout).ok()).unwrap_or_default();
    let mut numbers = version
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .split('.')
        .map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(25), Some(1))
}

/// The complete archive in a folder, if there is one.
fn archive_in(folder: &Path) -> Result<Option<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).map_err(|cause| error::io("reading", folder, &cause))?;
    let is_archive = |path: &PathBuf| {
        path.extension()
            .and_then(|ext| ext.to_str())
            .is_some_and(|ext| matches!(ext, "whl" | "tgz" | "gz" | "deb"))
    };
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).find(is_archive))
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(|entry| entry.ok())
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
