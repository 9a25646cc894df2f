//! The package clients pip, npm and apt-get, used in their ordinary way, with downloads in one
//! folder of the cache.

use std::fs::{File, TryLockError};
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
    /// Fails when the user wants no more.
    fn keep_going(&self) -> Result<()> {
        Ok(())
    }
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

/// The folder that clients download into, for one fetch at a time. Complete archives stay in it until
/// they are used; what a killed fetch left half done is removed by the next one.
pub struct Downloads {
    folder: PathBuf,
    /// The lock is on the folder itself and ends with the process.
    _lock: Option<File>,
}

/// How names of folders with unpacked archives begin.
const UNPACKED: &str = ".unpacked-";

const POLL: Duration = Duration::from_millis(200);

impl Downloads {
    /// Opens the folder, making it where needed.
    pub fn open() -> Result<Self> {
        let folder = cache_folder()?.join("downloads");
        Self::in_folder(folder)
    }

    fn in_folder(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(|cause| error::io("making", &folder, &cause))?;
        // Some file systems know no locks; then two fetches may meet.
        let lock = File::open(&folder).ok();
        if let Some(lock) = &lock
            && matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
        {
            return Err(Error::run(format!(
                "{} is in use: another kscope fetch is at work there",
                folder.display()
            )));
        }
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_unpacked = entry.file_name().to_string_lossy().starts_with(UNPACKED);
            let left = if is_unpacked { path } else { path.join("parts") };
            // Only succeeds where there is such a folder.
            let _ = std::fs::remove_dir_all(left);
        }
        Ok(Self { folder, _lock: lock })
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
                "{package} comes with {program}, which could not be started: {}",
                error::plain(&cause)
            ))
        })?;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => progress.bytes(size_of(&own), expected),
                Err(cause) => {
                    return Err(Error::run(format!(
                        "waiting for {program}: {}",
                        error::plain(&cause)
                    )));
                }
            }
            if let Err(stopped) = progress.keep_going() {
                // It may have ended by itself, for the same reason.
                let _ = child.kill();
                let _ = child.wait();
                let _ = std::fs::remove_dir_all(&own);
                return Err(stopped);
            }
            std::thread::sleep(POLL);
        };
        let said = child.wait_with_output().map(|out| out.stderr).unwrap_or_default();
        std::fs::remove_dir_all(&parts).ok();
        if !status.success() {
            std::fs::remove_dir_all(&own).ok();
            return Err(Error::run(format!(
                "{program} could not download {package}: {}",
                last_line(&said)
            )));
        }
        archive_in(&own)?
            .ok_or_else(|| Error::run(format!("{program} left no archive of {package}")))
    }

    /// Unpacks a wheel, npm or Debian archive into a temporary folder beside it.
    pub fn unpack(&self, archive: &Path) -> Result<tempfile::TempDir> {
        let folder = tempfile::Builder::new()
            .prefix(UNPACKED)
            .tempdir_in(&self.folder)
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
                Err(Error::run(format!(
                    "{program} could not unpack {}, which was thrown away: {}",
                    archive.display(),
                    last_line(&out.stderr)
                )))
            }
            Err(cause) => Err(Error::run(format!(
                "unpacking needs {program}, which could not be started: {}",
                error::plain(&cause)
            ))),
        }
    }
}

/// What a program said last, which is where Python and others give the reason.
fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("no reason given").trim().to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fetch_at_a_time_and_what_a_killed_one_left_goes() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("downloads");
        for name in [".unpacked-a/x", "some_package/parts/half", "some_package/whole.whl"] {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let downloads = Downloads::in_folder(folder.clone()).unwrap();
        assert!(!folder.join(".unpacked-a").exists());
        assert!(!folder.join("some_package/parts").exists());
        assert!(folder.join("some_package/whole.whl").exists(), "a whole archive is used later");
        let refusal = Downloads::in_folder(folder.clone()).err().unwrap().to_string();
        assert!(refusal.contains("another kscope fetch"), "{refusal}");
        drop(downloads);
        Downloads::in_folder(folder).unwrap();
    }

    #[test]
    fn a_traceback_is_told_by_its_last_line() {
        let said =
            b"Traceback (most recent call last):\n  File ...\nBadZipFile: not a zip file\n\n";
        assert_eq!(last_line(said), "BadZipFile: not a zip file");
        assert_eq!(last_line(b""), "no reason given");
    }
}
