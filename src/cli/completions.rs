//! `kscope completions`: made from the same argument definitions as the help.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, output};
use crate::Result;

/// Arguments of `kscope completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of a shell.
pub fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kscope", &mut script);
    output::as_it_is(String::from_utf8_lossy(&script).trim_end())
}
