//! The key table: one list of rows drives dispatch, footer, help, palette, configuration and
//! documentation.

use std::collections::BTreeMap;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::action::Command;
use crate::{Error, Result};

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Everywhere, unless the focus has the same key.
    Global,
    /// The map and its layer level.
    Map,
    /// One head.
    Head,
    /// Dense against masked.
    Ab,
    /// Another mask while the model talks.
    Tune,
    /// Memory and speed.
    Perf,
    /// Learning a mask.
    Learn,
    /// Text and sampling.
    Text,
    /// While a prompt is typed; other keys are text.
    Prompt,
    /// While a field of a form is typed; other keys are text.
    Field,
    /// While a list is filtered (help, palette, find); other keys are text.
    List,
}

impl Context {
    /// All contexts, in the order of the help.
    pub const ALL: [Self; 11] = [
        Self::Map,
        Self::Head,
        Self::Ab,
        Self::Tune,
        Self::Perf,
        Self::Learn,
        Self::Text,
        Self::Global,
        Self::Prompt,
        Self::Field,
        Self::List,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Map => "map",
            Self::Head => "head",
            Self::Ab => "ab",
            Self::Tune => "tune",
            Self::Perf => "perf",
            Self::Learn => "learn",
            Self::Text => "text",
            Self::Prompt => "prompt",
            Self::Field => "field",
            Self::List => "list",
        }
    }

    /// Whether keys that are not bound here are typed text.
    pub fn takes_text(self) -> bool {
        matches!(self, Self::Prompt | Self::Field | Self::List)
    }
}

/// One row of the key table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it counts.
    pub context: Context,
    /// What it does.
    pub command: Command,
    /// The keys, first the one that is shown.
    pub keys: Vec<Chord>,
    /// One or two words for the footer; empty leaves it to the help.
    pub label: &'static str,
    /// What it does, for the help.
    pub about: &'static str,
}

/// A key with its modifiers. Shift is part of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chord {
    code: KeyCode,
    ctrl: bool,
    alt: bool,
}

const DEFAULTS: &[(Context, Command, &str, &str, &str)] = {
    use Command as C;
    use Context::{Ab, Field, Global, Head, Learn, List, Map, Perf, Prompt, Text, Tune};
    &[
        (Map, C::Open, "enter", "open", "open the layer, then the head"),
        (
            Map,
            C::Metric,
            "c",
            "metric",
            "show the next metric: mask, importance, key norm, ThinK, live",
        ),
        (Map, C::Scale, "v", "scale", "linear, logarithmic or rank scale"),
        (Map, C::Diff, "d", "diff", "compare with the second mask (--diff FILE)"),
        (
            Map,
            C::Find,
            "/",
            "find",
            "find heads: dropped, full, edited, locked, kept<32, kept>16, l3",
        ),
        (Map, C::FindNext, "n", "", "next head found"),
        (Map, C::FindPrev, "N", "", "previous head found"),
        (Map, C::Up, "up k", "", "layer up"),
        (Map, C::Down, "down j", "", "layer down"),
        (Map, C::Left, "left h", "", "head or pair to the left"),
        (Map, C::Right, "right l", "", "head or pair to the right"),
        (Map, C::First, "g home", "", "first layer, or fastest pair"),
        (Map, C::Last, "G end", "", "last layer, or slowest pair"),
        (Map, C::HalfUp, "ctrl-u pageup", "", "half a page up"),
        (Map, C::HalfDown, "ctrl-d pagedown", "", "half a page down"),
        (Map, C::ZoomIn, "+", "zoom", "fewer channels per column"),
        (Map, C::ZoomOut, "-", "", "more channels per column"),
        (Map, C::ZoomReset, "=", "", "the zoom that fits"),
        (Map, C::Mark, "m", "", "remember this place"),
        (Map, C::Jump, "'", "", "go to the remembered place and remember this one"),
        (Map, C::Flip, "t", "flip", "keep or prune the channel at hand"),
        (Map, C::FlipHead, "T", "", "keep all channels of the head, or none"),
        (Map, C::LockHead, "x", "", "lock the head, or let it go"),
        (Map, C::LockLayer, "X", "", "lock the layer, or let it go"),
        (Map, C::Reset, "R", "", "back to the saved mask"),
        (Head, C::Left, "left h", "pair", "faster pair"),
        (Head, C::Right, "right l", "", "slower pair"),
        (Head, C::Up, "up k", "half", "the other channel of the pair"),
        (Head, C::Down, "down j", "", "the other channel of the pair"),
        (Head, C::First, "g home", "", "fastest pair"),
        (Head, C::Last, "G end", "", "slowest pair"),
        (Head, C::HalfUp, "ctrl-u pageup", "", "eight pairs faster"),
        (Head, C::HalfDown, "ctrl-d pagedown", "", "eight pairs slower"),
        (Head, C::Metric, "c", "metric", "show the next metric"),
        (Head, C::Scale, "v", "scale", "linear, logarithmic or rank scale"),
        (Head, C::Mark, "m", "", "remember this place"),
        (Head, C::Jump, "'", "", "go to the remembered place and remember this one"),
        (Ab, C::Left, "left h", "token", "token before"),
        (Ab, C::Right, "right l", "", "token after; past the last one the cursor follows the text"),
        (Ab, C::Up, "up k", "", "row above"),
        (Ab, C::Down, "down j", "", "row below"),
        (Ab, C::FindNext, "n", "divergence", "next token at which the sides part"),
        (Ab, C::FindPrev, "N", "", "token before at which the sides part"),
        (Ab, C::Feed, "f", "force tokens", "feed both the dense side's tokens, or each its own"),
        (Ab, C::Time, "b", "timed run", "time each side alone over the last tokens, decode waits"),
        (Ab, C::Less, "[", "query head", "query head before, within its group"),
        (Ab, C::More, "]", "", "query head after"),
        (Ab, C::Swap, "x", "swap", "the other side at the left"),
        (
            Ab,
            C::RewindHere,
            "backspace",
            "go on here",
            "drop everything after the cursor and go on from it",
        ),
        (Ab, C::EditPrompt, "i", "", "type a new prompt"),
        (Ab, C::First, "g home", "", "first token"),
        (Ab, C::Last, "G end", "", "follow the text again"),
        (Ab, C::HalfUp, "ctrl-u pageup", "", "sixteen tokens back"),
        (Ab, C::HalfDown, "ctrl-d pagedown", "", "sixteen tokens on"),
        (Head, C::Flip, "t", "flip", "keep or prune the channel at hand"),
        (Head, C::FlipHead, "T", "head", "keep all channels of the head, or none"),
        (Head, C::LockHead, "x", "lock", "lock the head, or let it go"),
        (Head, C::LockLayer, "X", "", "lock the layer, or let it go"),
        (Head, C::Reset, "R", "", "back to the saved mask"),
        (Tune, C::Up, "up k", "control", "control above"),
        (Tune, C::Down, "down j", "", "control below"),
        (Tune, C::First, "g home", "", "first control"),
        (Tune, C::Last, "G end", "", "last control"),
        (Tune, C::Less, "[ left h", "step", "one step less"),
        (Tune, C::More, "] right l", "", "one step more"),
        (Tune, C::MuchLess, "{", "five", "five steps less"),
        (Tune, C::MuchMore, "}", "", "five steps more"),
        (
            Tune,
            C::Open,
            "enter",
            "apply",
            "apply and measure what is set; on a point of the plot: take its settings",
        ),
        (
            Tune,
            C::Sweep,
            "s",
            "sweep",
            "measure sparsities 0 to .9 at alignments 8 and 32 of this rule, or stop",
        ),
        (Tune, C::FindNext, "n", "point", "next point of the plot"),
        (Tune, C::FindPrev, "N", "", "previous point of the plot"),
        (Tune, C::PlotAxis, "v", "axis", "plot against bytes or against time per token"),
        (Tune, C::Diff, "d", "diff", "show on the map what differs from the saved mask"),
        (Tune, C::Flip, "t", "", "keep or prune the channel at hand"),
        (Tune, C::FlipHead, "T", "", "keep all channels of the head at hand, or none"),
        (Tune, C::LockHead, "x", "", "lock the head at hand, or let it go"),
        (Tune, C::LockLayer, "X", "lock", "lock the layer at hand, or let it go"),
        (Tune, C::Reset, "R", "reset", "back to the saved mask"),
        (Perf, C::Less, "[ left h", "context", "halve the target context"),
        (Perf, C::More, "] right l", "", "double the target context"),
        (Learn, C::Learn, "s", "start", "learn a mask with what the form says"),
        (
            Learn,
            C::CancelLearning,
            "x",
            "cancel",
            "stop learning; what was learned can be gone on from",
        ),
        (
            Learn,
            C::ResumeLearning,
            "R",
            "resume",
            "go on from the checkpoint beside the file of the form",
        ),
        (
            Learn,
            C::ApplyLearned,
            "a",
            "apply",
            "decode with the learned mask from the next token on, and tune from it",
        ),
        (Learn, C::EditField, "enter i", "type", "type the value of the selected field"),
        (Learn, C::Less, "[ left h", "change", "smaller value"),
        (Learn, C::More, "] right l", "", "larger value"),
        (Learn, C::Up, "up k", "field", "field above"),
        (Learn, C::Down, "down j", "", "field below"),
        (Learn, C::First, "g home", "", "first field"),
        (Learn, C::Last, "G end", "", "last field"),
        (Text, C::EditPrompt, "i enter", "edit prompt", "type a new prompt"),
        (Text, C::Up, "up k", "setting", "setting above"),
        (Text, C::Down, "down j", "", "setting below"),
        (Text, C::Less, "[ left h", "change", "smaller value; counts from the next run"),
        (Text, C::More, "] right l", "", "larger value; counts from the next run"),
        (Text, C::HalfUp, "ctrl-u pageup", "scroll", "scroll the text up"),
        (Text, C::HalfDown, "ctrl-d pagedown", "", "scroll the text down"),
        (Text, C::Last, "G end", "", "follow the text again"),
        (Prompt, C::Submit, "ctrl-s ctrl-enter", "send", "send the prompt and decode it"),
        (Prompt, C::Back, "esc", "leave", "back to the text; what was typed is kept"),
        (Prompt, C::Quit, "ctrl-c", "", "quit"),
        (Field, C::Submit, "enter", "take", "take what is typed"),
        (Field, C::Back, "esc", "leave", "leave the field as it was"),
        (Field, C::Quit, "ctrl-c", "", "quit"),
        (List, C::Open, "enter", "run", "run or go to the selected entry"),
        (List, C::Up, "up ctrl-p", "", "entry above"),
        (List, C::Down, "down ctrl-n", "", "entry below"),
        (List, C::HalfUp, "pageup", "", "ten entries up"),
        (List, C::HalfDown, "pagedown", "", "ten entries down"),
        (List, C::Back, "esc", "close", "close"),
        (List, C::Quit, "ctrl-c", "", "quit"),
        (Global, C::Pause, "space", "pause", "pause or go on"),
        (Global, C::StepForward, ">", "step", "pause and make one step"),
        (Global, C::StepBack, "<", "", "one token back, in a recording or beside a dense side"),
        (Global, C::Rerun, "r", "rerun", "run the prompt again"),
        (Global, C::NextLayer, "J", "", "next layer"),
        (Global, C::PrevLayer, "K", "", "previous layer"),
        (Global, C::NextHead, "L", "", "next head"),
        (Global, C::PrevHead, "H", "", "previous head"),
        (Global, C::Undo, "u", "undo", "take the last change of the mask back"),
        (Global, C::Redo, "ctrl-r", "", "make it again"),
        (Global, C::SaveMask, "w", "save", "save the mask under a name"),
        (Global, C::Panel, "tab z", "panel", "show or hide the side panel"),
        (Global, C::Colormap, "C", "", "next colour map: viridis, cividis, grey"),
        (Global, C::Copy, "y", "", "copy the value under the cursor"),
        (Global, C::Export, "e", "export", "export: choose csv, json, svg or png"),
        (Global, C::ShowMap, "1", "", "map of all layers and heads"),
        (Global, C::ShowHead, "2", "", "one head: pairs, threshold, attention mass"),
        (Global, C::ShowAb, "3", "", "dense against masked, token by token"),
        (Global, C::ShowTune, "4", "", "another mask while the model talks"),
        (Global, C::ShowPerf, "5", "", "memory and speed"),
        (Global, C::ShowLearn, "6", "", "learn a mask: progress, loss, importance, verdict"),
        (Global, C::ShowText, "7", "", "text, prompt and sampling"),
        (
            Global,
            C::Palette,
            ": ctrl-p",
            "command",
            "type a command: l14 h3, theme cividis, export svg, ...",
        ),
        (Global, C::Help, "? f1", "help", "all keys; type to search, Enter runs"),
        (Global, C::Log, "f12", "", "show or hide the log"),
        (Global, C::Back, "esc backspace", "back", "one level out"),
        (Global, C::Redraw, "ctrl-l", "", "draw the screen anew"),
        (Global, C::Suspend, "ctrl-z", "", "suspend; `fg` comes back"),
        (Global, C::QuitWithSummary, "Q", "", "quit and leave the summary on the terminal"),
        (Global, C::Quit, "q ctrl-c", "quit", "quit"),
    ]
};

/// All rows, with whatever the configuration changed.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyTable {
    rows: Vec<Row>,
}

impl KeyTable {
    /// The table with the configuration's `[keys.CONTEXT]` sections: command name to list of keys.
    ///
    /// # Errors
    /// Contexts, commands and keys that do not exist, and a key that means two things in one
    /// context.
    pub fn new(changes: &BTreeMap<String, BTreeMap<String, Vec<String>>>) -> Result<Self> {
        let mut rows = Vec::with_capacity(DEFAULTS.len());
        for &(context, command, keys, label, about) in DEFAULTS {
            let keys = keys.split(' ').map(Chord::parse).collect::<Result<_>>()?;
            rows.push(Row { context, command, keys, label, about });
        }
        for (context, commands) in changes {
            let known = Context::ALL.into_iter().find(|known| known.name() == context);
            let Some(known) = known else {
                let names: Vec<&str> = Context::ALL.iter().map(|context| context.name()).collect();
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

    /// Refuses a key that means two things in one context.
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
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Rows that count in `context`, its own first.
    pub fn of(&self, context: Context) -> impl Iterator<Item = &Row> {
        let own = self.rows.iter().filter(move |row| row.context == context);
        let global = self
            .rows
            .iter()
            .filter(move |row| row.context == Context::Global && !context.takes_text());
        own.chain(global.filter(move |_| context != Context::Global))
    }

    /// What a key means in `context`.
    pub fn command(&self, context: Context, key: &KeyEvent) -> Option<Command> {
        let chord = Chord::of(key);
        self.of(context).find(|row| row.keys.contains(&chord)).map(|row| row.command)
    }

    /// The table as documentation, a section per context.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Keys\n\nMade from the program's key table; a test keeps it current. Every row can be changed in `kscope/config.toml` in \
             the XDG configuration folder:\n\n```toml\n[keys.map]\nmetric = [\"c\", \"ctrl-x\"]\n```\n\nA key may mean one \
             thing only in one context; a context hides what the same key means globally.\n",
        );
        for context in Context::ALL {
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
        text
    }

    /// The first key of a command in `context`, for hints.
    pub fn key_of(&self, context: Context, command: Command) -> Option<String> {
        self.of(context).find(|row| row.command == command)?.keys.first().map(ToString::to_string)
    }
}

impl Chord {
    /// The chord of a key event.
    fn of(key: &KeyEvent) -> Self {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        Self { code: key.code, ctrl, alt }
    }

    /// A chord as configurations write it: `c`, `G`, `ctrl-p`, `f12`, `enter`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut rest = text;
        let (mut ctrl, mut alt) = (false, false);
        loop {
            if let Some(after) = rest.strip_prefix("ctrl-").filter(|after| !after.is_empty()) {
                (rest, ctrl) = (after, true);
            } else if let Some(after) = rest.strip_prefix("alt-").filter(|after| !after.is_empty())
            {
                (rest, alt) = (after, true);
            } else {
                break;
            }
        }
        let mut characters = rest.chars();
        let code = match (characters.next(), characters.next()) {
            (Some(one), None) => KeyCode::Char(one),
            _ => {
                let named = NAMES.iter().find(|(name, _)| *name == rest).map(|(_, code)| *code);
                let function = || {
                    rest.strip_prefix('f')?
                        .parse()
                        .ok()
                        .filter(|n| (1..=24).contains(n))
                        .map(KeyCode::F)
                };
                named.or_else(function).ok_or_else(|| {
                    Error::input(format!("`{text}` is no key: expected a character, a name such as enter or f1, or ctrl-X"))
                })?
            }
        };
        Ok(Self { code, ctrl, alt })
    }
}

const NAMES: &[(&str, KeyCode)] = &[
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("shift-tab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

impl std::fmt::Display for Chord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ctrl {
            f.write_str("^")?;
        }
        if self.alt {
            f.write_str("alt-")?;
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("␣"),
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::Up => f.write_str("↑"),
            KeyCode::Down => f.write_str("↓"),
            KeyCode::Left => f.write_str("←"),
            KeyCode::Right => f.write_str("→"),
            KeyCode::Enter => f.write_str("⏎"),
            KeyCode::F(n) => write!(f, "F{n}"),
            code => {
                let name =
                    NAMES.iter().find(|(_, known)| *known == code).map_or("?", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(context: &str, command: &str, keys: &[&str]) -> Result<KeyTable> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let commands = BTreeMap::from([(command.to_owned(), keys)]);
        KeyTable::new(&BTreeMap::from([(context.to_owned(), commands)]))
    }

    #[test]
    fn the_table() {
        let table = KeyTable::new(&BTreeMap::new()).expect("the defaults are consistent");
        let line = |row: &Row| {
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
        for command in Command::ALL {
            assert!(table.rows().iter().any(|row| row.command == *command), "{command:?}");
            assert_eq!(Command::from_name(command.name()), Some(*command));
        }
    }

    #[test]
    fn keys_are_rebound_by_the_configuration() {
        let table = changed("map", "metric", &["M", "ctrl-x"]).expect("free keys");
        let press =
            |c, modifiers| table.command(Context::Map, &KeyEvent::new(KeyCode::Char(c), modifiers));
        assert_eq!(press('M', KeyModifiers::SHIFT), Some(Command::Metric));
        assert_eq!(press('x', KeyModifiers::CONTROL), Some(Command::Metric));
        assert_eq!(press('c', KeyModifiers::NONE), None);
        assert_eq!(table.key_of(Context::Map, Command::Metric).as_deref(), Some("M"));
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
        assert_eq!(table.command(Context::Map, &q), Some(Command::Metric));
        assert_eq!(table.command(Context::Perf, &q), Some(Command::Quit));
        assert_eq!(table.command(Context::List, &q), None, "text is typed");
    }
}
