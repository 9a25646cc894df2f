//! `kscope replay`: a recorded session on the inspector's screens.

use std::path::PathBuf;
use std::time::Instant;

use crate::cli::inspect::{ScreenArgs, finish};
use crate::cli::output;
use crate::decode::sampler::Sampling;
use crate::decode::worker::Prompt;
use crate::tui::app::action::{Action, Effect};
use crate::tui::app::record::Player;
use crate::tui::app::run::NextRun;
use crate::tui::app::runner;
use crate::tui::app::runner::{EventSource, Exit};
use crate::tui::app::state::{Beginning, State};
use crate::tui::app::terminal::TerminalGuard;
use crate::tui::app::update::update;
use crate::{Error, Result};

/// Arguments of `kscope replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// A recording
    file: PathBuf,
    #[command(flatten)]
    screen: ScreenArgs,
}

/// Runs `kscope replay`.
pub fn run(args: &ReplayArgs) -> Result<()> {
    let began = Instant::now();
    let answered = args.screen.ask_terminal()?;
    let path = &["replay"];
    let look = args.screen.look(path, answered.and_then(|answered| answered.background))?;
    let mut player = Player::open(&args.file)?;
    let say_what_is_missing = |player: &Player| {
        if player.is_cut() {
            output::note(&format!(
                "kscope: {}: the last line is cut off and left out",
                args.file.display()
            ));
        }
    };
    let interactive = args.screen.is_interactive();
    let (log, _guard) = args.screen.log();
    let mut state = State::new(Beginning {
        theme: look.theme.clone(),
        terminal_light: look.terminal_light,
        keys: look.keys.clone(),
        loading_name: args.file.display().to_string(),
        plan: NextRun {
            prompt: Prompt::Tokens(Vec::new()),
            sampling: Sampling::default(),
            max_new: 0,
            ignore_end: false,
        },
        replay: true,
        log,
        export_folder: PathBuf::from("."),
    });
    (state.settings, state.themes) = (look.settings.clone(), look.themes.clone());
    state.graphics = args.screen.graphics(answered);
    let exit = if interactive {
        let outside = args.screen.outside(&look, path, answered);
        say_what_is_missing(&player);
        let guard = TerminalGuard::enter(look.mouse)?;
        runner::run(&mut state, EventSource::Replay(player), None, guard, None, began, outside)?
    } else {
        play(&mut state, &mut player).map_err(|error| {
            Error::input(format!("{} cannot be played: {error}", args.file.display()))
        })?;
        // Only of what could be played: a refusal is one sentence.
        say_what_is_missing(&player);
        Exit::Quit(true)
    };
    finish(&args.screen, &state, exit, interactive)
}

/// Plays everything at once.
fn play(state: &mut State, player: &mut Player) -> Result<()> {
    for envelope in player.take_due(f64::INFINITY) {
        for effect in update(state, Action::Engine(Box::new(envelope))) {
            if let Effect::Fail(error) = effect {
                return Err(error);
            }
        }
    }
    Ok(())
}
