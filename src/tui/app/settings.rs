//! Every option with its value and where that comes from, and what changes when the files are read
//! again.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::Result;
use crate::tui::app::action::Effect;
use crate::tui::app::keys::KeyTable;
use crate::tui::app::palette::{Does, Entry};
use crate::tui::app::state::{Dirty, State};
use crate::tui::color::Theme;
use crate::tui::graphics::Graphics;

/// Where the value of an option comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingSource {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File,
    /// The command line.
    Flag,
    /// A variable of the environment.
    Environment,
    /// The terminal, which was asked.
    Terminal,
    /// The theme in use.
    Theme,
}

impl SettingSource {
    /// A word for the list.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Terminal => "terminal",
            Self::Theme => "theme",
        }
    }
}

/// An option.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionShown {
    /// Its name in the file, or with dashes that of a flag.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where that comes from.
    pub source: SettingSource,
    /// What it does.
    pub about: String,
}

/// What the configuration, the flags and the terminal make of the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Colours and what the terminal can show.
    pub theme: Theme,
    /// Whether the terminal's own background is light.
    pub terminal_light: bool,
    /// The keys.
    pub keys: KeyTable,
    /// Whether the mouse is used.
    pub mouse: bool,
    /// Whether the story of the demo may be told.
    pub story: bool,
    /// Every option.
    pub settings: Vec<OptionShown>,
    /// Names of all themes.
    pub themes: Vec<String>,
    /// The files that it was read from, there or not.
    pub files: Vec<PathBuf>,
}

/// Reads the configuration once more when a file of it changes.
pub struct Reload {
    load: Box<dyn Fn() -> Result<Look>>,
    seen: Vec<(PathBuf, Option<SystemTime>)>,
    /// What was wrong when they were read last.
    trouble: Option<String>,
}

impl Reload {
    /// Watches the files of `first`, which `load` reads again.
    pub fn new(first: &Look, load: Box<dyn Fn() -> Result<Look>>) -> Self {
        let seen = first.files.iter().map(|path| (path.clone(), changed(path))).collect();
        Self { load, seen, trouble: None }
    }

    /// What the files say, whether they have changed or not.
    pub fn again(&self) -> Result<Look> {
        (self.load)()
    }

    /// What the files say now, if one of them has changed since the last call. What is wrong is said
    /// once, however often a file with the same mistake is written.
    pub fn poll(&mut self) -> Option<Result<Look>> {
        let is_new = self.seen.iter().any(|(path, seen)| changed(path) != *seen);
        if !is_new {
            return None;
        }
        let look = (self.load)();
        let files = match &look {
            Ok(look) => look.files.clone(),
            Err(_) => self.seen.iter().map(|(path, _)| path.clone()).collect(),
        };
        self.seen = files.into_iter().map(|path| (path.clone(), changed(&path))).collect();
        let trouble = look.as_ref().err().map(ToString::to_string);
        let is_told = trouble.is_some() && trouble == self.trouble;
        self.trouble = trouble;
        (!is_told).then_some(look)
    }
}

fn changed(path: &PathBuf) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).ok()
}

/// Takes what the files say now. A theme that was chosen here stays until they name another one; it is
/// read again, because its own file may be what changed.
pub fn take(state: &mut State, look: std::result::Result<Look, String>) -> Vec<Effect> {
    match look {
        Ok(look) => {
            let effects = use_look(state, look);
            state.tell("the configuration was read again", false);
            effects
        }
        Err(sentence) => {
            state.tell(sentence, true);
            Vec::new()
        }
    }
}

/// Takes what the terminal said of itself after the first frame. Nobody chose anything else since, or
/// that stays.
pub fn terminal_told(state: &mut State, look: Look, shows_pictures: bool) -> Vec<Effect> {
    if shows_pictures {
        // tmux passes no answers on, so none is between.
        state.graphics = Graphics::Kitty { through_tmux: false };
    }
    state.dirty = Dirty::Now;
    use_look(state, look)
}

fn use_look(state: &mut State, look: Look) -> Vec<Effect> {
    let named = |settings: &[OptionShown]| {
        settings.iter().find(|one| one.name == "theme").map(|one| one.value.clone())
    };
    let (before, now) = (named(&state.settings), named(&look.settings));
    let chosen = state.theme.palette.name.clone();
    let stays = before == now && now.is_some_and(|name| name != chosen);
    if !stays {
        state.theme = look.theme;
    }
    state.keys = look.keys;
    state.terminal_light = look.terminal_light;
    (state.settings, state.themes) = (look.settings, look.themes);
    if stays { vec![Effect::Theme(chosen)] } else { Vec::new() }
}

/// The list: name, source, value, and what it does.
pub fn entries(state: &State) -> Vec<Entry> {
    let theme = &state.theme;
    let entry = |setting: &OptionShown| {
        let now = match setting.name.as_str() {
            "theme" => Some(theme.palette.name.clone()),
            "colormap" => Some(theme.colormap.name().to_owned()),
            _ => None,
        };
        let is_changed = now.as_ref().is_some_and(|now| *now != setting.value);
        let chosen = chosen_here(state, setting);
        let source = match (is_changed, chosen.is_some()) {
            (_, true) => "chosen here",
            (true, _) => "changed here",
            _ => setting.source.name(),
        };
        let value = chosen.or(now).unwrap_or_else(|| setting.value.clone());
        Entry {
            title: setting.name.clone(),
            about: format!("{value} — {}", setting.about),
            keys: source.to_owned(),
            does: match setting.name.as_str() {
                "theme" | "colormap" => Does::Type("theme "),
                _ => Does::Nothing,
            },
        }
    };
    state.settings.iter().map(entry).collect()
}

/// What is at work in place of an option's value, after another model was chosen here; `None` where
/// the option is at work.
fn chosen_here(state: &State, setting: &OptionShown) -> Option<String> {
    let model = state.chosen_model.as_ref()?;
    let is_given = setting.source != SettingSource::Default;
    match setting.name.as_str() {
        "--model" => Some(model.clone()),
        "--random-weights" if is_given => Some("not used".to_owned()),
        // Masks of the model before went with it.
        "--mask" | "--plan" if is_given => {
            let mask = state.model.as_ref().and_then(|model| model.info.mask.as_ref());
            Some(mask.map_or_else(|| "none".to_owned(), |mask| mask.label.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::app::action::{Action, Command};
    use crate::tui::app::update::update;
    use crate::tui::color::{ColorDepth, Colormap, Palette};
    use crate::tui::testing::{SMALL, act, draw, session, text};

    fn setting(name: &str, value: &str, source: SettingSource) -> OptionShown {
        let about = format!("what {name} does");
        OptionShown { name: name.to_owned(), value: value.to_owned(), source, about }
    }

    fn look(theme: &str) -> Look {
        let palette = Palette::built_in(theme).expect("known");
        Look {
            terminal_light: false,
            theme: Theme::of(ColorDepth::True, palette, Colormap::Cividis),
            keys: KeyTable::new(&Default::default()).expect("the defaults"),
            mouse: true,
            story: true,
            settings: vec![setting("theme", theme, SettingSource::File)],
            themes: vec![theme.to_owned()],
            files: Vec::new(),
        }
    }

    #[test]
    fn every_option_is_listed_with_value_and_source() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (120, 40);
        state.settings = vec![
            setting("theme", "dark", SettingSource::Terminal),
            setting("mouse", "true", SettingSource::File),
            setting("--model", "demo", SettingSource::Flag),
        ];
        act(&mut state, Command::Settings);
        let frame = text(&draw(&state));
        for (name, value, source) in
            [("theme", "dark", "terminal"), ("mouse", "true", "file"), ("--model", "demo", "flag")]
        {
            let line = frame.lines().find(|line| line.contains(&format!("what {name} does")));
            let line = line.unwrap_or_else(|| panic!("{name}: {frame}"));
            assert!(line.contains(value) && line.contains(source), "{line}");
        }
        update(&mut state, Action::Themed(Ok(Palette::built_in("light").expect("known"))));
        let frame = text(&draw(&state));
        assert!(frame.contains("changed here") && frame.contains("light"), "{frame}");
    }

    /// After another model was loaded the list still named the one of the command line.
    #[test]
    fn a_model_that_was_chosen_here_stands_in_the_list_with_its_source() {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = (120, 40);
        state.settings = vec![
            setting("--model", "X.gguf", SettingSource::Flag),
            setting("--mask", "x.safetensors", SettingSource::Flag),
            setting("--solo", "true", SettingSource::Flag),
        ];
        let line = |state: &mut State, name: &str| {
            state.overlay = None;
            act(state, Command::Settings);
            let frame = text(&draw(state));
            let own = frame.lines().find(|line| line.contains(&format!("what {name} does")));
            own.unwrap_or_else(|| panic!("{name}: {frame}")).to_owned()
        };
        let before = line(&mut state, "--model");
        assert!(before.contains("X.gguf") && before.contains("flag"), "{before}");
        let prompt = crate::decode::worker::Prompt::Facts { text: "Ada.".to_owned() };
        let name = "demo".to_owned();
        update(&mut state, Action::ModelChanged { name, prompt, quiz: None });
        let after = line(&mut state, "--model");
        assert!(after.contains("demo") && after.contains("chosen here"), "{after}");
        assert!(!after.contains("X.gguf"), "{after}");
        let mask = line(&mut state, "--mask");
        assert!(mask.contains("none") && mask.contains("chosen here"), "{mask}");
        assert!(line(&mut state, "--solo").contains("flag"), "it holds as before");
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_broken_one_leaves_all_as_it_is() {
        let mut state = session(SMALL, ColorDepth::True);
        update(&mut state, Action::Configured(Box::new(Ok(look("high-contrast")))));
        assert_eq!(state.theme.palette.name, "high-contrast");
        let before = (state.theme.clone(), state.keys.clone());
        let sentence = "config.toml: line 3: expected a value".to_owned();
        update(&mut state, Action::Configured(Box::new(Err(sentence.clone()))));
        assert_eq!((state.theme.clone(), state.keys.clone()), before);
        assert!(state.toast.as_ref().is_some_and(|told| told.failed && told.sentence == sentence));
        let broken = Action::Themed(Err("mine.toml: bad: expected a colour".to_owned()));
        update(&mut state, broken);
        assert_eq!(state.theme, before.0);
        assert!(state.toast.as_ref().is_some_and(|told| told.sentence.contains("mine.toml")));
    }

    #[test]
    fn a_theme_that_was_chosen_stays_until_the_file_names_another() {
        let mut state = session(SMALL, ColorDepth::True);
        let read = |state: &mut State, theme: &str| {
            update(state, Action::Configured(Box::new(Ok(look(theme)))))
        };
        assert_eq!(read(&mut state, "light"), []);
        update(&mut state, Action::Themed(Ok(Palette::built_in("colour-blind").expect("known"))));
        // Another line of the file, or a file of a theme, has changed.
        let again = read(&mut state, "light");
        assert_eq!(again, [Effect::Theme("colour-blind".to_owned())]);
        assert_eq!(state.theme.palette.name, "colour-blind");
        assert_eq!(read(&mut state, "dark"), []);
        assert_eq!(state.theme.palette.name, "dark");
    }

    #[test]
    fn what_the_terminal_says_late_counts_unless_something_else_was_chosen() {
        let mut state = session(SMALL, ColorDepth::True);
        update(&mut state, Action::TerminalTold(Box::new(look("light")), true));
        assert_eq!(state.theme.palette.name, "light");
        assert_eq!(state.graphics, Graphics::Kitty { through_tmux: false });
        assert!(state.toast.is_none(), "nobody asked");
        update(&mut state, Action::Themed(Ok(Palette::built_in("colour-blind").expect("known"))));
        update(&mut state, Action::TerminalTold(Box::new(look("light")), false));
        assert_eq!(state.graphics, Graphics::Kitty { through_tmux: false });
        assert_eq!(state.theme.palette.name, "colour-blind");
    }

    #[test]
    fn only_a_changed_file_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        let files = vec![path.clone()];
        let first = Look { files: files.clone(), ..look("dark") };
        let again = Look { files, ..look("light") };
        let mut reload = Reload::new(&first, Box::new(move || Ok(again.clone())));
        assert!(reload.poll().is_none());
        std::fs::write(&path, "mouse = false").expect("written");
        let read = reload.poll().expect("changed").expect("whole");
        assert_eq!(read.theme.palette.name, "light");
        assert!(reload.poll().is_none());
        std::fs::remove_file(&path).expect("removed");
        assert!(reload.poll().is_some());
    }
}
