//! The look of the inspector from flags, configuration file and terminal, and the list of all
//! options with their sources.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::help;
use super::inspect::ScreenArgs;
use crate::Result;
use crate::tui::app::config;
use crate::tui::app::config::{Background, UserConfig};
use crate::tui::app::keys::KeyTable;
use crate::tui::app::settings::{Look, OptionShown, SettingSource};
use crate::tui::app::themes;
use crate::tui::color::{ColorDepth, Theme};

/// The configuration file's content; what it does not say has a default.
pub fn configuration() -> Result<UserConfig> {
    match config::path() {
        Some(path) => config::read(&path),
        None => Ok(UserConfig::default()),
    }
}

/// What the screen looks like. `path` is the subcommand whose flags are listed; `terminal` is the
/// background that the terminal told.
pub fn look(args: &ScreenArgs, path: &[&str], terminal: Option<Background>) -> Result<Look> {
    let config = configuration()?;
    let lookup = |name: &str| std::env::var(name).ok();
    let depth = match args.color.as_str() {
        "auto" => ColorDepth::detect(lookup),
        depth => depth.parse()?,
    };
    let folder = themes::folder();
    let (name, source) = theme_name(args, &config, terminal, lookup);
    let palette = themes::load(folder.as_deref(), &name)?;
    let colormap = config.colormap.unwrap_or(palette.colormap);
    let theme = Theme::of(depth, palette, colormap);
    // A theme that is named says nothing of the terminal.
    let own = args.background.or(config.background).or(terminal);
    let terminal_light = own.unwrap_or_else(|| Background::detect(lookup)) == Background::Light;
    let of_background = match own {
        Some(_) if args.background.is_some() => SettingSource::Flag,
        Some(_) if config.background.is_some() => SettingSource::File,
        Some(_) => SettingSource::Terminal,
        None => of_environment(lookup),
    };
    let mouse = !args.no_mouse && config.mouse.unwrap_or(true);
    let mut files: Vec<_> = config::path().into_iter().collect();
    let setting = |name: &str, value: String, source, about: &str| OptionShown {
        name: name.to_owned(),
        value,
        source,
        about: about.to_owned(),
    };
    let of_file = |given: bool| if given { SettingSource::File } else { SettingSource::Default };
    let themes = themes::names(folder.as_deref());
    // The folder too: a theme that is new in it is there at once.
    if let Some(folder) = &folder {
        files.push(folder.clone());
        files.extend(themes.iter().filter_map(|name| themes::file(folder, name)));
    }
    let mut settings = vec![
        setting("theme", name, source, &format!("colours: {}", themes.join(", "))),
        setting(
            "colormap",
            colormap.name().to_owned(),
            config.colormap.map_or(SettingSource::Theme, |_| SettingSource::File),
            "colours of the map: viridis, cividis or grey; otherwise that of the theme",
        ),
        setting(
            "background",
            if terminal_light { "light" } else { "dark" }.to_owned(),
            of_background,
            "the terminal's: it chooses the theme where none is named, and a theme of the other kind paints its own",
        ),
        setting(
            "mouse",
            mouse.to_string(),
            match args.no_mouse {
                true => SettingSource::Flag,
                false => of_file(config.mouse.is_some()),
            },
            "whether the mouse is used; counts from the next start",
        ),
    ];
    let story = config.story.unwrap_or(true);
    settings.push(setting(
        "story",
        story.to_string(),
        of_file(config.story.is_some()),
        "whether `kscope` without arguments tells the story of the demo",
    ));
    for (context, commands) in &config.keys {
        for (command, keys) in commands {
            let name = format!("keys.{context}.{command}");
            settings.push(setting(&name, keys.join(" "), SettingSource::File, "keys of a command"));
        }
    }
    settings.extend(flags(path));
    let keys = KeyTable::new(&config.keys)?;
    Ok(Look { theme, terminal_light, keys, mouse, story, settings, themes, files })
}

/// The name of the theme, and who said so.
fn theme_name(
    args: &ScreenArgs,
    config: &UserConfig,
    terminal: Option<Background>,
    lookup: impl Fn(&str) -> Option<String>,
) -> (String, SettingSource) {
    let of = |background| match background {
        Background::Dark => "dark".to_owned(),
        Background::Light => "light".to_owned(),
    };
    let flag = args.theme.clone().or(args.background.map(of));
    let file = config.theme.clone().or(config.background.map(of));
    if let Some(name) = flag {
        return (name, SettingSource::Flag);
    }
    if let Some(name) = file {
        return (name, SettingSource::File);
    }
    if let Some(background) = terminal {
        return (of(background), SettingSource::Terminal);
    }
    (of(Background::detect(&lookup)), of_environment(lookup))
}

/// Who says what the terminal's background is where nothing else does.
fn of_environment(lookup: impl Fn(&str) -> Option<String>) -> SettingSource {
    match lookup("COLORFGBG").is_some_and(|value| !value.is_empty()) {
        true => SettingSource::Environment,
        false => SettingSource::Default,
    }
}

/// Every flag of a command, with the value that it has on this command line.
fn flags(path: &[&str]) -> Vec<OptionShown> {
    let grouped = help::grouped();
    let Ok(matches) = grouped.clone().try_get_matches_from(std::env::args_os()) else {
        return Vec::new();
    };
    let (mut command, mut given) = (&grouped, &matches);
    for name in path {
        let (Some(below), Some((_, own))) = (command.find_subcommand(name), given.subcommand())
        else {
            return Vec::new();
        };
        (command, given) = (below, own);
    }
    let shown = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version"));
    shown.map(|arg| flag(arg, given)).collect()
}

fn flag(arg: &clap::Arg, given: &ArgMatches) -> OptionShown {
    let id = arg.get_id().as_str();
    let raw = given.try_get_raw(id).ok().flatten();
    let values: Vec<String> =
        raw.into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
    let source = match given.try_contains_id(id).is_ok().then(|| given.value_source(id)).flatten() {
        Some(ValueSource::CommandLine) => SettingSource::Flag,
        Some(ValueSource::EnvVariable) => SettingSource::Environment,
        _ => SettingSource::Default,
    };
    OptionShown {
        name: arg.get_long().map_or_else(|| id.to_owned(), |long| format!("--{long}")),
        value: if values.is_empty() { "not given".to_owned() } else { values.join(" ") },
        source,
        about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        screen: ScreenArgs,
    }

    fn name(
        flags: &[&str],
        toml: &str,
        terminal: Option<Background>,
        colorfgbg: Option<&str>,
    ) -> (String, SettingSource) {
        let args = std::iter::once("kscope").chain(flags.iter().copied());
        let args = Only::try_parse_from(args).unwrap_or_else(|error| panic!("{error}")).screen;
        let config = toml::from_str(toml).expect("a configuration");
        theme_name(&args, &config, terminal, |name| {
            (name == "COLORFGBG").then(|| colorfgbg.map(str::to_owned)).flatten()
        })
    }

    #[test]
    fn flags_come_before_the_file_the_file_before_the_terminal() {
        let light = Some(Background::Light);
        let of = |name: &str, source| (name.to_owned(), source);
        let file = "theme = 'colour-blind'";
        assert_eq!(
            name(&["--theme", "high-contrast"], file, light, None),
            of("high-contrast", SettingSource::Flag)
        );
        assert_eq!(
            name(&["--background", "dark"], file, light, None),
            of("dark", SettingSource::Flag)
        );
        assert_eq!(name(&[], file, light, None), of("colour-blind", SettingSource::File));
        let old = "background = 'dark'";
        assert_eq!(name(&[], old, light, None), of("dark", SettingSource::File));
        assert_eq!(name(&[], "", light, Some("15;0")), of("light", SettingSource::Terminal));
        assert_eq!(name(&[], "", None, Some("0;15")), of("light", SettingSource::Environment));
        assert_eq!(name(&[], "", None, None), of("dark", SettingSource::Default));
    }

    #[test]
    fn a_flag_has_its_value_and_its_source() {
        let command = help::grouped();
        let given = ["kscope", "--model", "smollm2-135m", "--solo"];
        let matches = command.clone().try_get_matches_from(given).expect("right");
        let of = |id: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_id() == id).expect(id);
            let setting = flag(arg, &matches);
            (setting.name, setting.value, setting.source)
        };
        let line = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
        assert_eq!(of("model"), line("--model", "smollm2-135m", SettingSource::Flag));
        assert_eq!(of("solo"), line("--solo", "true", SettingSource::Flag));
        assert_eq!(of("color"), line("--color", "auto", SettingSource::Default));
        assert_eq!(of("diff"), line("--diff", "not given", SettingSource::Default));
    }
}
