//! `kscope man`: manual pages, made from the same argument definitions as the help.

use std::path::PathBuf;

use super::{help, output};
use crate::{Result, error};

/// Arguments of `kscope man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder that gets one page per command; without it the main page is printed
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Prints the manual page, or writes one page per command.
pub fn run(args: &ManArgs) -> Result<()> {
    match &args.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
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
