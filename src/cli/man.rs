//! `kscope man`: manual pages, made from the same argument definitions as the help.

use std::path::{Path, PathBuf};

use super::{help, output};
use crate::{Error, Result, error};

/// Arguments of `kscope man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder that gets one page per command; without it the main page is printed
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Makes the folder. One around it that is missing is a typing error more often than not, so it is
/// not made, as nowhere in the program.
fn make(folder: &Path) -> Result<()> {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above.filter(|above| !above.is_dir()) {
        return Err(Error::input(format!(
            "{}: there is no folder {} to make it in",
            folder.display(),
            above.display()
        )));
    }
    match std::fs::create_dir(folder) {
        Err(cause) if !folder.is_dir() => Err(error::io("making", folder, &cause)),
        _ => Ok(()),
    }
}

/// Prints the manual page, or writes one page per command.
pub fn run(args: &ManArgs) -> Result<()> {
    match &args.folder {
        Some(folder) => {
            make(folder)?;
            clap_mangen::generate_to(help::with_examples(), folder)
                .map_err(|cause| error::io("writing pages to", folder, &cause))
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(help::with_examples())
                .render(&mut page)
                .expect("writing to memory does not fail");
            output::as_it_is(String::from_utf8_lossy(&page).trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mistyped path once became a tree of folders.
    #[test]
    fn only_the_last_folder_is_made() {
        let place = tempfile::tempdir().expect("a folder");
        let to = |folder: PathBuf| run(&ManArgs { folder: Some(folder) });
        let refused = to(place.path().join("a/b")).expect_err("no a");
        assert_eq!(refused.exit_code(), 2, "{refused}");
        assert!(refused.to_string().contains("there is no folder"), "{refused}");
        assert!(!place.path().join("a").exists());
        for _ in 0..2 {
            to(place.path().join("man1")).expect("pages");
        }
        assert!(place.path().join("man1/kscope.1").is_file());
    }
}
