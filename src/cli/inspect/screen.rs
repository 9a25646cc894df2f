//! How the screen looks and what the terminal can show: arguments, and what comes of them.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::rc::Rc;

use crate::Result;
use crate::cli::look;
use crate::cli::output;
use crate::cli::warnings;
use crate::tui::app::ask_terminal;
use crate::tui::app::ask_terminal::{Answered, LateAnswers, Questions};
use crate::tui::app::config::Background;
use crate::tui::app::log;
use crate::tui::app::log::{LogBuffer, LogGuard};
use crate::tui::app::runner::Outside;
use crate::tui::app::settings::{Look, Reload};
use crate::tui::app::state::State;
use crate::tui::app::summary;
use crate::tui::graphics;
use crate::tui::graphics::Graphics;

/// When the map is a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum GraphicsArg {
    /// Where the terminal says so.
    Auto,
    /// Always.
    Kitty,
    /// Never.
    None,
}

/// How the screen looks.
#[derive(Debug, Clone, clap::Args)]
pub struct ScreenArgs {
    /// Colours: auto, truecolor, 256, 16, none or ascii
    #[arg(long, default_value = "auto", value_name = "DEPTH")]
    pub(in crate::cli) color: String,
    /// The terminal's background [default: what the terminal says, COLORFGBG, or dark]
    #[arg(long, value_name = "dark|light")]
    pub(in crate::cli) background: Option<Background>,
    /// Colours: dark, light, colour-blind, high-contrast, or a file in kscope/themes of the
    /// configuration folder
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) theme: Option<String>,
    /// The map in real pixels: where the terminal says that it shows Kitty's pictures (auto), always
    /// (kitty; through tmux it needs `allow-passthrough on`), or never
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW")]
    graphics: GraphicsArg,
    /// Leave the mouse to the terminal, so that it selects text
    #[arg(long)]
    pub(in crate::cli) no_mouse: bool,
    /// Print the summary instead of opening a screen; so it is where standard output is no terminal or
    /// TERM is dumb or not set
    #[arg(long)]
    plain: bool,
    /// The same summary as JSON
    #[arg(long)]
    json: bool,
}

/// The options that say how a screen looks and not what it shows, and whether a value follows.
const LOOKS: [(&str, bool); 5] = [
    ("--color", true),
    ("--background", true),
    ("--theme", true),
    ("--graphics", true),
    ("--no-mouse", false),
];

/// Whether all of a program's arguments say how the screen looks.
pub(super) fn are_looks(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let (name, value) = text.split_once('=').map_or((&*text, None), |(a, b)| (a, Some(b)));
        let Some((_, takes)) = LOOKS.iter().find(|(known, _)| *known == name) else {
            return false;
        };
        if *takes && value.is_none() && arguments.next().is_none() {
            return false;
        }
    }
    true
}

impl ScreenArgs {
    /// Whether there is a screen to open.
    pub fn is_interactive(&self) -> bool {
        !self.plain
            && !self.json
            && std::io::stdout().is_terminal()
            && std::io::stdin().is_terminal()
            && output::terminal_draws()
    }

    /// Starts the log of a screen. Where there is none, warnings go to standard error.
    pub fn log(&self) -> (LogBuffer, Option<LogGuard>) {
        if self.is_interactive() {
            return log::start();
        }
        warnings::start();
        (LogBuffer::default(), None)
    }

    /// What the screen looks like, and where every option comes from. Flags override the
    /// configuration, which overrides what the terminal says of itself.
    pub fn look(&self, path: &[&str], terminal: Option<Background>) -> Result<Look> {
        look::look(self, path, terminal)
    }

    /// Asks the terminal what nothing else says: its background, and whether it shows pictures.
    pub fn ask_terminal(&self) -> Result<Option<Answered>> {
        let config = look::configuration()?;
        // Also where a theme is named: whether it paints its own ground depends on the terminal's.
        let is_said = self.background.is_some() || config.background.is_some();
        let lookup = |name: &str| std::env::var(name).ok();
        let asked = Questions {
            background: !is_said,
            // tmux passes pictures on, but no answers.
            graphics: self.graphics == GraphicsArg::Auto
                && lookup("TMUX").is_none()
                && graphics::may_know_placeholders(lookup),
        };
        let term = lookup("TERM").unwrap_or_default();
        let asks = (asked.background || asked.graphics)
            && self.is_interactive()
            && ask_terminal::can_be_asked(&term);
        Ok(asks.then(|| ask_terminal::ask(asked)))
    }

    /// How pictures get to the terminal.
    pub fn graphics(&self, answered: Option<Answered>) -> Graphics {
        let through_tmux = std::env::var_os("TMUX").is_some();
        match self.graphics {
            GraphicsArg::Kitty => Graphics::Kitty { through_tmux },
            GraphicsArg::Auto if answered.is_some_and(|answered| answered.graphics) => {
                Graphics::Kitty { through_tmux }
            }
            GraphicsArg::Auto | GraphicsArg::None => Graphics::Cells,
        }
    }

    /// What the look is read from again when the configuration changes, or when the terminal answers
    /// late.
    pub fn outside(
        &self,
        first: &Look,
        path: &'static [&'static str],
        answered: Option<Answered>,
    ) -> Outside {
        let background = Rc::new(Cell::new(answered.and_then(|answered| answered.background)));
        let (args, told) = (self.clone(), Rc::clone(&background));
        let reload = Reload::new(first, Box::new(move || args.look(path, told.get())));
        let late = answered.map(LateAnswers::new).unwrap_or_default();
        Outside { reload: Some(reload), late, background }
    }

    /// Prints the summary of a session.
    pub fn print(&self, state: &State) -> Result<()> {
        if self.json {
            output::json("session", &summary::json(state))
        } else {
            output::line(&summary::text(state))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_about_looks_leave_the_story_and_others_end_it() {
        let are = |text: &str| are_looks(text.split_whitespace().map(OsString::from));
        for looks in
            ["", "--background light", "--theme=light --no-mouse", "--color 256 --graphics none"]
        {
            assert!(are(looks), "{looks}");
        }
        for other in ["--model demo", "--background light --solo", "run", "--theme", "light"] {
            assert!(!are(other), "{other}");
        }
    }
}
