//! Running a command: the current screen is asked first, then what all screens share.

use crate::decode::worker::EngineOrder;
use crate::tui::app::action::{Command, Effect, ReplayOrder};
use crate::tui::app::palette::Chosen;
use crate::tui::app::path_prompt::PathFor;
use crate::tui::app::state::{List, Overlay, State};
use crate::tui::app::{areas, cursor, palette, question, splits, steer, story};
use crate::tui::export::take;
use crate::tui::screen::Screen;
use crate::tui::screen::tune::{edit, outcome};

/// Runs a command: the current screen is asked first, then what all screens share. A command that
/// neither claims does nothing.
pub fn run(state: &mut State, command: Command) -> Vec<Effect> {
    let moves = matches!(
        command,
        Command::SplitLess | Command::SplitMore | Command::SplitNext | Command::SplitReset
    );
    state.splits.is_lit &= moves;
    let quits = matches!(command, Command::Quit | Command::QuitWithSummary);
    if !quits {
        state.quit_asked = false;
    }
    if matches!(state.overlay, Some(Overlay::Question(_))) && command != Command::Quit {
        return question::answer(state, command);
    }
    if state.overlay.is_some() && command != Command::Quit {
        return match palette::run_in_list(state, command) {
            Chosen::Done(effects) => effects,
            Chosen::Command(command) => run(state, command),
        };
    }
    if quits {
        let summary = command == Command::QuitWithSummary;
        return if outcome::asks_first(state) {
            Vec::new()
        } else {
            vec![Effect::Quit { summary }]
        };
    }
    // The log closes before the screen is left, but text input is left before the log closes.
    if command == Command::Back && state.log_open && !state.context().takes_text() {
        state.log_open = false;
        return Vec::new();
    }
    if command == Command::Back && state.run.reads_turn && !state.context().takes_text() {
        return vec![Effect::Engine(EngineOrder::StopAsk(state.run.asked))];
    }
    if command == Command::Back && state.loading.is_some() && !state.context().takes_text() {
        return vec![Effect::CancelModel];
    }
    let own = (state.screen.parts().update)(state, command);
    own.unwrap_or_else(|| shared(state, command))
}

/// Runs a command that works on every screen.
fn shared(state: &mut State, command: Command) -> Vec<Effect> {
    match command {
        Command::Suspend => return vec![Effect::Suspend],
        Command::Redraw => return vec![Effect::Redraw],
        Command::Back => state.screen = Screen::Map,
        Command::Help => state.overlay = Some(Overlay::Help(List::default())),
        Command::Palette => state.overlay = Some(Overlay::Palette(List::default())),
        Command::Suffered => state.overlay = Some(Overlay::Suffered(List::default())),
        Command::Settings => state.overlay = Some(Overlay::Settings(List::default())),
        Command::OpenFile => state.type_path(PathFor::Open, ""),
        Command::DiffFile => state.type_path(PathFor::Diff, ""),
        Command::ChangeModel => state.type_path(PathFor::Model, ""),
        Command::Export => {
            let input = tui_input::Input::from("export ".to_owned());
            state.overlay = Some(Overlay::Palette(List { input, selected: 0 }));
        }
        Command::Story => return story::begin(state),
        Command::StoryNext => return story::go_on(state),
        Command::StoryEnd => return story::end(state),
        Command::Log => state.log_open = !state.log_open,
        Command::Show(screen) => state.screen = screen,
        Command::Panel => {
            state.show_panel(areas::areas(state).side.is_none());
            return vec![splits::remember(state)];
        }
        Command::SplitLess | Command::SplitMore | Command::SplitNext | Command::SplitReset => {
            return splits::run(state, command).unwrap_or_default();
        }
        Command::Pause => return steer::pause(state),
        Command::StepForward => return steer::step(state),
        Command::StepBack => return steer::step_back(state),
        Command::SeekBack => return steer::replay(state, ReplayOrder::By(-steer::JUMP)),
        Command::SeekOn => return steer::replay(state, ReplayOrder::By(steer::JUMP)),
        Command::Faster | Command::Slower => {
            return steer::speed(state, command == Command::Faster);
        }
        Command::GoOn => return steer::go_on(state),
        Command::Rerun => return state.rerun(),
        Command::Colormap => {
            state.theme = state.theme.with_colormap(state.theme.colormap.next());
            let sentence = format!("colours: {}", state.theme.colormap.name());
            state.tell(sentence, false);
        }
        Command::Copy => return take::copy(state),
        Command::Explain => match (state.screen.parts().explain)(state) {
            Some(text) => state.explained = Some(text),
            None => {
                let help = state.key(Command::Help);
                state.tell(
                    format!("the help ({help}) explains the words of this screen below the keys"),
                    false,
                );
            }
        },
        Command::Undo | Command::Redo | Command::SaveMask => return edit::edit(state, command),
        Command::NextLayer | Command::PrevLayer | Command::NextHead | Command::PrevHead => {
            return cursor::go(state, command);
        }
        // The other commands belong to screens, and the current one did not claim them.
        _ => {}
    }
    Vec::new()
}
