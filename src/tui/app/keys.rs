//! The key table: one list of rows drives dispatch, footer, help, palette, configuration and
//! documentation.

use std::collections::BTreeMap;

use ratatui::crossterm::event::KeyEvent;

use crate::tui::app::action::Command;
use crate::tui::app::chord::Chord;
use crate::tui::app::editing::{EDITING, EDITING_LINES};
use crate::tui::app::key_rows;
use crate::tui::app::key_rows::KeyBinding;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::{Error, Result};

/// Where a key is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyContext {
    /// On one screen.
    Screen(Screen),
    /// Everywhere, unless the focused part binds the same key.
    Global,
    /// While the story of the demo is told, before the screen's own keys.
    Story,
    /// While a prompt is typed; other keys are text.
    Prompt,
    /// While another turn of the conversation is typed; other keys are text.
    Question,
    /// While a field of a form is typed; other keys are text.
    Field,
    /// While a list is filtered (help, palette, find) or a path is typed; other keys are text.
    List,
    /// While a question waits for yes or no; other keys do nothing.
    Confirm,
}

impl KeyContext {
    /// All contexts, in the order of the help.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::Global,
            Self::Story,
            Self::Prompt,
            Self::Question,
            Self::Field,
            Self::List,
            Self::Confirm,
        ];
        Screen::ALL.into_iter().map(Self::Screen).chain(others)
    }

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Screen(screen) => screen.name(),
            Self::Global => "global",
            Self::Story => "story",
            Self::Prompt => "prompt",
            Self::Question => "question",
            Self::Field => "field",
            Self::List => "list",
            Self::Confirm => "confirm",
        }
    }

    /// Whether keys that are not bound here are typed text, or nothing, and no global command.
    pub fn takes_text(self) -> bool {
        matches!(self, Self::Prompt | Self::Question | Self::Field | Self::List | Self::Confirm)
    }
}

/// Every binding, in the order of the table: the screens' own first.
fn defaults() -> impl Iterator<Item = (KeyContext, KeyBinding)> {
    let of = |context: KeyContext, bindings: &'static [KeyBinding]| {
        bindings.iter().map(move |binding| (context, *binding))
    };
    let own = Screen::ALL
        .into_iter()
        .flat_map(move |screen| of(KeyContext::Screen(screen), screen.parts().table));
    let show = |screen: Screen| {
        let parts = screen.parts();
        (KeyContext::Global, (Command::Show(screen), parts.key, "", parts.about))
    };
    own.chain(of(KeyContext::Story, key_rows::STORY))
        .chain(of(KeyContext::Prompt, key_rows::PROMPT))
        .chain(of(KeyContext::Question, key_rows::QUESTION))
        .chain(of(KeyContext::Field, key_rows::FIELD))
        .chain(of(KeyContext::List, key_rows::LIST))
        .chain(of(KeyContext::Confirm, key_rows::CONFIRM))
        .chain(of(KeyContext::Global, key_rows::GLOBAL_FIRST))
        .chain(Screen::ALL.into_iter().map(show))
        .chain(of(KeyContext::Global, key_rows::GLOBAL_LAST))
}

/// One row of the key table.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Where it is active.
    pub context: KeyContext,
    /// What it does.
    pub command: Command,
    /// The keys; the first is the one shown.
    pub keys: Vec<Chord>,
    /// One or two words for the footer. Where it is empty, only the help shows the key.
    pub label: &'static str,
    /// What it does, for the help.
    pub about: &'static str,
    /// Whether keys are shown in seven-bit characters.
    pub is_ascii: bool,
}

impl KeyRow {
    /// The keys as they are shown.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        let is_ascii = self.is_ascii;
        let own = move |key: &Chord| if is_ascii { key.in_ascii() } else { key.to_string() };
        self.keys.iter().map(own)
    }

    /// Whether it does anything in a recording, which has no model to decode, learn or measure with.
    pub fn works_in_recording(&self) -> bool {
        use Command as C;
        let on = |screens: &[Screen]| {
            screens.iter().any(|screen| self.context == KeyContext::Screen(*screen))
        };
        match self.command {
            C::Ask | C::EditPrompt | C::Feed | C::Time | C::RewindHere | C::GoOn => false,
            C::Learn | C::CancelLearning | C::ResumeLearning | C::ApplyLearned => false,
            C::Evaluate | C::CancelEvaluation | C::Sweep | C::Sense | C::PinSweep => false,
            C::OpenFile | C::DiffFile | C::ChangeModel | C::Story => false,
            C::Open => !on(&[Screen::Tune, Screen::Bench, Screen::Head, Screen::Eval]),
            // Points of a sweep, and samples of an evaluation.
            C::FindNext | C::FindPrev => !on(&[Screen::Tune, Screen::Eval]),
            // Forms of what cannot be started, and questions about steps.
            C::EditField => !on(&[Screen::Learn, Screen::Eval]),
            C::Less | C::More => {
                !on(&[Screen::Learn, Screen::Eval, Screen::Text, Screen::Ab, Screen::Head])
            }
            _ => true,
        }
    }
}

/// All rows, with the changes from the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyTable {
    rows: Vec<KeyRow>,
}

impl KeyTable {
    /// The table with the configuration's `[keys.CONTEXT]` sections: command name to list of keys.
    ///
    /// # Errors
    /// Contexts, commands and keys that do not exist, and a key with two meanings in one context.
    pub fn new(changes: &BTreeMap<String, BTreeMap<String, Vec<String>>>) -> Result<Self> {
        let mut rows = Vec::new();
        for (context, (command, keys, label, about)) in defaults() {
            let keys = keys.split(' ').map(Chord::parse).collect::<Result<_>>()?;
            rows.push(KeyRow { context, command, keys, label, about, is_ascii: false });
        }
        for (context, commands) in changes {
            let known = KeyContext::all().find(|known| known.name() == context);
            let Some(known) = known else {
                let names: Vec<&str> = KeyContext::all().map(KeyContext::name).collect();
                return Err(Error::input(format!(
                    "[keys.{context}]: expected one of {}",
                    names.join(", ")
                )));
            };
            for (name, keys) in commands {
                let row =
                    rows.iter_mut().find(|row| row.context == known && row.command.name() == name);
                let Some(row) = row else {
                    return Err(Error::input(format!(
                        "[keys.{context}]: there is no command `{name}` in this context"
                    )));
                };
                row.keys = keys.iter().map(|key| Chord::parse(key)).collect::<Result<_>>()?;
            }
        }
        let table = Self { rows };
        table.check()?;
        Ok(table)
    }

    /// The table as it is shown on a terminal of this kind.
    pub fn shown_in(mut self, depth: ColorDepth) -> Self {
        self.rows.iter_mut().for_each(|row| row.is_ascii = depth == ColorDepth::Ascii);
        self
    }

    /// Refuses a key with two meanings in one context.
    fn check(&self) -> Result<()> {
        for (at, row) in self.rows.iter().enumerate() {
            for key in &row.keys {
                let mut others =
                    self.rows[at + 1..].iter().filter(|other| other.context == row.context);
                if let Some(other) = others.find(|other| other.keys.contains(key)) {
                    return Err(Error::input(format!(
                        "the key `{key}` means both {} and {} in [keys.{}]",
                        row.command.name(),
                        other.command.name(),
                        row.context.name()
                    )));
                }
            }
        }
        Ok(())
    }

    /// All rows.
    pub fn rows(&self) -> &[KeyRow] {
        &self.rows
    }

    /// Rows that are active in `context`, its own first.
    pub fn of(&self, context: KeyContext) -> impl Iterator<Item = &KeyRow> {
        let own = self.rows.iter().filter(move |row| row.context == context);
        let global = self
            .rows
            .iter()
            .filter(move |row| row.context == KeyContext::Global && !context.takes_text());
        own.chain(global.filter(move |_| context != KeyContext::Global))
    }

    /// What a key means in `context`.
    pub fn command(&self, context: KeyContext, key: &KeyEvent) -> Option<Command> {
        let chord = Chord::of(key);
        self.of(context).find(|row| row.keys.contains(&chord)).map(|row| row.command)
    }

    /// What a key means in `context` itself, whatever it means globally.
    pub fn own(&self, context: KeyContext, key: &KeyEvent) -> Option<Command> {
        let chord = Chord::of(key);
        let mut own = self.rows.iter().filter(|row| row.context == context);
        own.find(|row| row.keys.contains(&chord)).map(|row| row.command)
    }

    /// The table in Markdown, one section per context.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Keys\n\nMade from the program's key table; a test keeps it current. Every row can be changed in `kscope/config.toml` in \
             the XDG configuration folder:\n\n```toml\n[keys.map]\nmetric = [\"c\", \"ctrl-x\"]\n```\n\nA key may mean one \
             thing only in one context; a context hides what the same key means globally.\n",
        );
        for context in KeyContext::all() {
            text += &format!(
                "\n## {}\n\n| keys | command | what it does |\n| --- | --- | --- |\n",
                context.name()
            );
            for row in self.rows.iter().filter(|row| row.context == context) {
                let keys: Vec<String> = row.keys.iter().map(|key| format!("`{key}`")).collect();
                text +=
                    &format!("| {} | `{}` | {} |\n", keys.join(" "), row.command.name(), row.about);
            }
        }
        text += "\n## While text is typed\n\nThe same keys edit lists, paths, fields, the prompt and turns, unless \
                 a table above gives them another meaning there. They cannot be changed.\n\n| keys | what they do |\n| --- | --- |\n";
        for (keys, about) in EDITING {
            text += &editing_row(keys, about, "");
        }
        for (keys, about) in EDITING_LINES {
            text += &editing_row(keys, about, "; in the prompt and in turns");
        }
        text
    }

    /// The first key of a command in `context`, for hints.
    pub fn key_of(&self, context: KeyContext, command: Command) -> Option<String> {
        self.of(context).find(|row| row.command == command)?.shown().next()
    }
}

/// A row of the keys that edit text.
fn editing_row(keys: &str, about: &str, place: &str) -> String {
    let keys: Vec<String> = keys.split(' ').map(|key| format!("`{key}`")).collect();
    format!("| {} | {about}{place} |\n", keys.join(" "))
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};

    use super::*;

    fn changed(context: &str, command: &str, keys: &[&str]) -> Result<KeyTable> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let commands = BTreeMap::from([(command.to_owned(), keys)]);
        KeyTable::new(&BTreeMap::from([(context.to_owned(), commands)]))
    }

    #[test]
    fn the_table() {
        let table = KeyTable::new(&BTreeMap::new()).expect("the defaults are consistent");
        let line = |row: &KeyRow| {
            let keys: Vec<String> = row.keys.iter().map(ToString::to_string).collect();
            format!(
                "{:<7}{:<18}{:<16}{:<12}{}",
                row.context.name(),
                row.command.name(),
                keys.join(" "),
                row.label,
                row.about
            )
        };
        insta::assert_snapshot!(table.rows().iter().map(line).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn the_documentation_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md");
        let wanted =
            KeyTable::new(&BTreeMap::new()).expect("the defaults are consistent").markdown();
        if std::env::var_os("KSCOPE_BLESS").is_some() {
            std::fs::write(&path, &wanted).expect("docs can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "docs/keys.md is not what the key table says: run this test with KSCOPE_BLESS=1"
        );
    }

    #[test]
    fn every_command_has_a_key_somewhere() {
        let table = KeyTable::new(&BTreeMap::new()).expect("the defaults are consistent");
        for command in Command::all() {
            assert!(table.rows().iter().any(|row| row.command == command), "{command:?}");
            assert_eq!(Command::from_name(command.name()), Some(command));
        }
    }

    #[test]
    fn keys_are_rebound_by_the_configuration() {
        let table = changed("map", "metric", &["M", "ctrl-x"]).expect("free keys");
        let press = |c, modifiers| {
            table.command(
                KeyContext::Screen(Screen::Map),
                &KeyEvent::new(KeyCode::Char(c), modifiers),
            )
        };
        assert_eq!(press('M', KeyModifiers::SHIFT), Some(Command::Metric));
        assert_eq!(press('x', KeyModifiers::CONTROL), Some(Command::Metric));
        assert_eq!(press('c', KeyModifiers::NONE), None);
        assert_eq!(
            table.key_of(KeyContext::Screen(Screen::Map), Command::Metric).as_deref(),
            Some("M")
        );
    }

    /// Enter and the right arrow were both `>` there, which is a key of its own.
    #[test]
    fn plain_terminals_tell_all_keys_apart() {
        let table = KeyTable::new(&BTreeMap::new()).expect("the defaults are consistent");
        let table = table.shown_in(ColorDepth::Ascii);
        let mut keys = std::collections::BTreeMap::new();
        for row in table.rows() {
            for (shown, chord) in row.shown().zip(&row.keys) {
                assert!(shown.is_ascii() && shown.len() < 15, "{shown}");
                assert_eq!(keys.entry(shown.clone()).or_insert(*chord), chord, "{shown}");
            }
        }
        for (name, shown) in [("enter", "ent"), ("right", "right"), (">", ">"), ("ctrl-up", "^up")]
        {
            assert_eq!(Chord::parse(name).expect("a key").in_ascii(), shown);
        }
        let applies = table.key_of(KeyContext::Screen(Screen::Plan), Command::EditField);
        assert_eq!(applies.as_deref(), Some("ent"));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let sentence = |result: Result<KeyTable>| {
            let error = result.expect_err("wrong");
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        let duplicate = sentence(changed("map", "metric", &["v"]));
        assert_eq!(duplicate, "the key `v` means both metric and scale in [keys.map]");
        assert!(
            sentence(changed("mapp", "metric", &["v"]))
                .contains("[keys.mapp]: expected one of map, head")
        );
        assert!(sentence(changed("map", "metrics", &["v"])).contains("no command `metrics`"));
        assert!(sentence(changed("map", "metric", &["hyper-v"])).contains("`hyper-v` is no key"));
    }

    #[test]
    fn a_context_hides_the_global_meaning_of_a_key() {
        let table = changed("map", "metric", &["q"]).expect("global keys may be hidden");
        let q = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(table.command(KeyContext::Screen(Screen::Map), &q), Some(Command::Metric));
        assert_eq!(table.command(KeyContext::Screen(Screen::Perf), &q), Some(Command::Quit));
        assert_eq!(table.command(KeyContext::List, &q), None, "text is typed");
    }
}
