//! The help: commands in groups, examples that run, exit codes.

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
];

/// What the exit codes mean.
const EXIT_CODES: &str = "  0  done
  1  the run failed, or was stopped: disk full, device lost, no memory
  2  wrong input: an argument, file, model or mask, named in one sentence";

/// The commands with their examples, as manual pages have them.
pub fn with_examples() -> Command {
    let mut command = Cli::command();
    let header = *command.get_styles().get_header();
    for (path, lines) in EXAMPLES {
        let mut text = format!("{header}Examples:{header:#}\n  {}", lines.join("\n  "));
        if path.is_empty() {
            text += &format!("\n\n{header}Exit codes:{header:#}\n{EXIT_CODES}");
        }
        command = at(command, path, |command| command.after_help(text));
    }
    command
}

/// The command at a path below another is changed.
fn at(command: Command, path: &[&str], change: impl FnOnce(Command) -> Command) -> Command {
    match path {
        [] => change(command),
        [first, rest @ ..] => command.mut_subcommand(first, |below| at(below, rest, change)),
    }
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
