//! The help: commands in groups, examples that run, exit codes.

use clap::builder::styling::Style;
use clap::{Command, CommandFactory};

use super::Cli;

/// All commands by what they are for.
const GROUPS: &[(&str, &[&str])] = &[
    ("Try and compare", &["run", "compare", "sweep", "replay"]),
    ("Masks and plans", &["mask", "score", "learn"]),
    ("Evaluate and decide", &["eval", "report", "plan"]),
    ("Models and this machine", &["fetch", "model", "bench", "selftest"]),
    ("Set up", &["completions", "man", "help"]),
];

/// Examples of commands by their path. A test parses all of them.
const EXAMPLES: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "kscope",
            "kscope --model smollm2-135m --mask masks/smollm2-135m-61.safetensors",
            "kscope --model model.gguf --prompt-file notes.txt --record session.jsonl",
        ],
    ),
    (
        &["run"],
        &[
            "kscope run --model smollm2-135m --prompt 'Name three rivers.'",
            "kscope run --chat --model smollm2-135m --mask masks/smollm2-135m-61.safetensors",
            "kscope run --chat --json --max-new 64 --prompt 'My name is Ada.'",
        ],
    ),
    (
        &["compare"],
        &[
            "kscope compare -m smollm2-135m --mask masks/smollm2-135m-61.safetensors --prompt-file a.txt",
            "kscope compare --model smollm2-135m --plan k8v4 --prompt-file README.md --json",
        ],
    ),
    (
        &["sweep"],
        &[
            "kscope sweep -m smollm2-135m --importance m.safetensors --prompt-file a.txt",
            "kscope sweep --model smollm2-135m --plan k8v8 --plan k4v4 --text README.md --progress json",
        ],
    ),
    (
        &["learn"],
        &[
            "kscope learn --model demo --sparsity 0.9 --out learned.safetensors",
            "kscope learn --model smollm2-135m --sparsity 0.5 --out m.safetensors --progress json",
            "kscope learn --method leank --model smollm2-135m --sparsity 0.8 --out m.safetensors",
        ],
    ),
    (&["fetch"], &["kscope fetch smollm2-135m", "kscope fetch texts"]),
    (&["plan"], &["kscope plan --model llama-3.1-8b --sparsity 0.7 --ctx 32k --batch 16"]),
    (
        &["mask", "make"],
        &[
            "kscope mask make --rule frequency --model smollm2-135m --sparsity 0.5 mask.safetensors",
            "kscope mask make --sensitivity s.safetensors --bytes 28% plan.safetensors",
        ],
    ),
    (
        &["bench", "decode"],
        &[
            "kscope bench decode -m smollm2-135m --mask masks/smollm2-135m-61.safetensors --depth 0,4096",
        ],
    ),
    (
        &["completions"],
        &["kscope completions bash > ~/.local/share/bash-completion/completions/kscope"],
    ),
    (&["man"], &["kscope man ~/.local/share/man/man1"]),
    (&["replay"], &["kscope replay docs/tour.kscope", "kscope replay session.jsonl --plain"]),
    (
        &["eval"],
        &[
            "kscope eval --model demo --mask masks/demo.safetensors --suite recall --json",
            "kscope eval --model smollm2-135m --mask masks/smollm2-135m-0.7.safetensors --out results",
        ],
    ),
    (&["eval", "score"], &["kscope eval score --metric qa_f1 answers.jsonl"]),
    (&["eval", "merge"], &["kscope eval merge part1 part2 --out results"]),
    (
        &["report"],
        &[
            "kscope report results --mask masks/smollm2-135m-0.7.safetensors --html report.html",
            "kscope report results --md report.md",
        ],
    ),
    (
        &["score"],
        &[
            "kscope score -m smollm2-135m --rule sensitivity --text README.md --out s.safetensors",
            "kscope score --model demo --rule key-norm --text README.md --out scores.safetensors",
        ],
    ),
    (
        &["mask"],
        &[
            "kscope mask show masks/demo.safetensors --ctx 32k",
            "kscope mask make --rule frequency --model smollm2-135m --sparsity 0.5 mask.safetensors",
        ],
    ),
    (&["mask", "show"], &["kscope mask show masks/demo.safetensors --ctx 32k"]),
    (
        &["mask", "import"],
        &[
            "kscope mask import llama.pth mask.safetensors --kv-heads 8 --head-dim 128",
            "kscope mask import mask.npy mask.safetensors --model smollm2-135m",
        ],
    ),
    (
        &["mask", "export"],
        &[
            "kscope mask export masks/demo.safetensors mask.npy",
            "kscope mask export mask.safetensors --kvpress press",
        ],
    ),
    (&["mask", "bake"], &["kscope mask bake smollm2-135m mask.safetensors baked.gguf"]),
    (
        &["mask", "diff"],
        &["kscope mask diff masks/smollm2-135m-0.5.safetensors masks/smollm2-135m-0.7.safetensors"],
    ),
    (
        &["mask", "validate"],
        &["kscope mask validate --model smollm2-135m masks/smollm2-135m-61.safetensors"],
    ),
    (&["model"], &["kscope model show --model smollm2-135m"]),
    (
        &["model", "show"],
        &[
            "kscope model show --model smollm2-135m --mask masks/smollm2-135m-61.safetensors",
            "kscope model show --random-weights llama-3.1-8b --ctx 32k --json",
        ],
    ),
    (
        &["bench"],
        &["kscope bench attention --quick", "kscope bench learn --model demo --samples 4"],
    ),
    (&["bench", "attention"], &["kscope bench attention --quick --json"]),
    (&["bench", "learn"], &["kscope bench learn --model demo --samples 4"]),
    #[cfg(unix)]
    (&["bench", "tui"], &["kscope bench tui --rounds 1"]),
    (&["selftest"], &["kscope selftest", "kscope selftest --device cuda:1 --filter demo"]),
];

/// What the exit codes mean.
const EXIT_CODES: &str = "  0  done
  1  the run failed, or was stopped: disk full, device lost, no memory
  2  wrong input: an argument, file, model or mask, named in one sentence";

/// The same in a line, below every command.
const EXIT_LINE: &str = "0 done, 1 failed, 2 wrong input";

/// The commands with their examples and exit codes, as manual pages have them.
pub fn with_examples() -> Command {
    let command = Cli::command();
    let header = *command.get_styles().get_header();
    explained(command, &[], header)
}

/// A command of this path with what stands below its help, and all below it.
fn explained(command: Command, path: &[String], header: Style) -> Command {
    let is_own = |of: &[&str]| of.iter().copied().eq(path.iter().map(String::as_str));
    let own = EXAMPLES.iter().find(|(of, _)| is_own(of));
    let examples = own.map_or_else(String::new, |(_, lines)| {
        format!("{header}Examples:{header:#}\n  {}\n\n", lines.join("\n  "))
    });
    let codes = match path.is_empty() {
        true => format!("{header}Exit codes:{header:#}\n{EXIT_CODES}"),
        false => format!("{header}Exit codes:{header:#} {EXIT_LINE}"),
    };
    // A command may say more in its long help, its own examples with it.
    let long = command.get_after_long_help().map(|own| format!("{own}\n\n{codes}"));
    let command = command.after_help(format!("{examples}{codes}"));
    let command = match long {
        Some(long) => command.after_long_help(long),
        None => command,
    };
    command.mut_subcommands(|below| {
        let mut path = path.to_vec();
        path.push(below.get_name().to_owned());
        explained(below, &path, header)
    })
}

/// The commands as the program parses them: the help shows them in groups.
pub fn grouped() -> Command {
    let mut command = with_examples();
    command.build();
    let styles = command.get_styles().clone();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut listed = String::new();
    for (title, names) in GROUPS {
        listed += &format!("{header}{title}:{header:#}\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            listed += &format!("  {literal}{name:<11}{literal:#}  {about}\n");
        }
        listed.push('\n');
    }
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{listed}{{all-args}}{{after-help}}"
    );
    // Hidden commands would be missing from the usage, too.
    let command = command.override_usage("kscope [OPTIONS]\n       kscope COMMAND [OPTIONS]");
    command.mut_subcommands(|below| below.hide(true)).help_template(template)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn help(path: &[&str]) -> String {
        let mut arguments = vec!["kscope"];
        arguments.extend(path);
        arguments.push("--help");
        grouped().try_get_matches_from(arguments).unwrap_err().to_string()
    }

    #[test]
    fn every_command_is_in_one_group_and_the_help_shows_it() {
        let (help, all) = (help(&[]), Cli::command());
        let mut names: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        for command in all.get_subcommands() {
            let about = command.get_about().expect("every command says what it is").to_string();
            assert!(help.contains(&about), "{about}");
            let place = names.iter().position(|name| *name == command.get_name());
            names.remove(place.unwrap_or_else(|| panic!("no group: {}", command.get_name())));
        }
        assert_eq!(names, ["help"]);
        assert!(help.contains("Exit codes:\n  0  done") && !help.contains("\nCommands:"), "{help}");
    }

    /// The paths of all commands, of those with others below them, too.
    fn paths(command: &Command, path: &[String]) -> Vec<Vec<String>> {
        let below = command.get_subcommands().flat_map(|below| {
            let path = [path, &[below.get_name().to_owned()]].concat();
            paths(below, &path)
        });
        std::iter::once(path.to_vec()).chain(below).collect()
    }

    /// README says so, and of seven commands it was not true; later of those with others below them.
    #[test]
    fn every_command_has_examples_and_exit_codes() {
        let all = paths(&Cli::command(), &[]);
        assert!(all.len() > 23, "{all:?}");
        for path in &all {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let help = help(&path);
            assert!(help.contains("Examples:\n  kscope"), "{path:?}: {help}");
            let codes =
                if path.is_empty() { "Exit codes:\n  0  done" } else { "Exit codes: 0 done" };
            assert!(help.contains(codes), "{path:?}: {help}");
        }
    }

    #[test]
    fn every_example_is_parsed_and_stands_in_its_help() {
        for (path, lines) in EXAMPLES {
            let help = help(path);
            for line in *lines {
                assert!(help.contains(line), "{line} is not in\n{help}");
                let line = line.split(" > ").next().unwrap_or_default();
                let parts = line.split('\'').enumerate();
                let words = parts.flat_map(|(index, part)| match index % 2 {
                    1 => vec![part],
                    _ => part.split_whitespace().collect(),
                });
                let matches = grouped().try_get_matches_from(words);
                let matches = matches.unwrap_or_else(|error| panic!("{line}: {error}"));
                Cli::from_arg_matches(&matches).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }
}
