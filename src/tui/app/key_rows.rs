//! The keys that belong to no screen: those for typing, those of lists, and the global ones.

use crate::tui::app::action::Command as C;

/// A default binding: the command, its keys separated by spaces, the label of [`KeyRow`](crate::tui::app::keys::KeyRow), and what
/// it does.
pub type KeyBinding = (C, &'static str, &'static str, &'static str);

/// Keys while the story of the demo is told.
pub const STORY: &[KeyBinding] = &[
    (C::StoryNext, "enter", "", "the next chapter of the story"),
    (C::StoryEnd, "esc", "", "end the story"),
];

/// Keys while a prompt is typed.
pub const PROMPT: &[KeyBinding] = &[
    (C::Submit, "ctrl-s ctrl-enter", "send", "send the prompt and decode it"),
    (C::NewPrompt, "ctrl-n", "empty", "begin with an empty prompt"),
    (C::Back, "esc", "leave", "back to the text; what was typed is kept"),
    (C::Quit, "ctrl-c", "", "quit"),
];

/// Keys while another turn is typed.
pub const QUESTION: &[KeyBinding] = &[
    (C::Submit, "enter", "ask", "send the turn; the conversation goes on"),
    (C::Back, "esc", "leave", "back to where you were; what was typed is kept"),
    (C::Quit, "ctrl-c", "", "quit"),
];

/// Keys while a field of a form is typed.
pub const FIELD: &[KeyBinding] = &[
    (C::Submit, "enter", "take", "take what is typed"),
    (C::Back, "esc", "leave", "leave the field as it was"),
    (C::Quit, "ctrl-c", "", "quit"),
];

/// Keys while a list is filtered.
pub const LIST: &[KeyBinding] = &[
    (C::Open, "enter", "run", "run or go to the selected entry"),
    (C::Up, "up ctrl-p", "", "entry above"),
    (C::Down, "down ctrl-n", "", "entry below"),
    (C::First, "home", "", "first entry; where a path is typed, its beginning"),
    (C::Last, "end", "", "last entry; where a path is typed, its end"),
    (C::HalfUp, "pageup", "", "ten entries up"),
    (C::HalfDown, "pagedown", "", "ten entries down"),
    (C::Complete, "tab", "complete", "complete a path, or select the next one that fits"),
    (C::Back, "esc", "close", "close"),
    (C::Quit, "ctrl-c", "", "quit"),
];

/// Keys while a question waits for an answer.
pub const CONFIRM: &[KeyBinding] = &[
    (C::Yes, "y", "yes", "do it"),
    (C::No, "n", "no", "leave it"),
    (C::Back, "esc", "", "leave it"),
    (C::Quit, "ctrl-c", "", "quit"),
];

/// Global keys that come before those that show screens.
pub const GLOBAL_FIRST: &[KeyBinding] = &[
    (C::Pause, "space", "pause", "pause or go on"),
    (C::StepForward, ">", "step", "pause and make one step"),
    (C::StepBack, "<", "", "one token back, in a recording or beside a dense side"),
    (C::SeekBack, "(", "", "ten tokens back in a recording; :seek goes to any"),
    (C::SeekOn, ")", "", "ten tokens on in a recording"),
    (C::Slower, ",", "", "decode, or play a recording, slower"),
    (C::Faster, ".", "", "decode, or play a recording, faster; :speed takes any for a recording"),
    (
        C::GoOn,
        "E",
        "",
        "where the text loops, sample from here; where it ended early, go on past the end",
    ),
    (C::Rerun, "r", "rerun", "run the prompt again"),
    (C::NextLayer, "J", "", "next layer"),
    (C::PrevLayer, "K", "", "previous layer"),
    (C::NextHead, "L", "", "next head"),
    (C::PrevHead, "H", "", "previous head"),
    (C::Undo, "u", "undo", "take the last change back"),
    (C::Redo, "ctrl-r", "", "make it again"),
    (C::SaveMask, "w", "save", "save the mask or plan under a name"),
    (C::OpenFile, "ctrl-o", "", "open a mask or plan from a file"),
    (C::DiffFile, "D", "", "show on the map what a mask or plan from a file keeps otherwise"),
    (C::ChangeModel, "M", "", "load another model; the one at work stays until it is there"),
    (C::Panel, "tab z", "panel", "show or hide the side panel"),
    (
        C::SplitLess,
        "alt-left",
        "",
        "move the line between two parts of the screen left or up; the mouse drags it",
    ),
    (C::SplitMore, "alt-right", "", "move it right or down"),
    (C::SplitNext, "|", "", "take the next line between parts of the screen"),
    (C::SplitReset, "alt-0", "", "the parts of the screen as they were at first"),
    (C::Colormap, "C", "", "next colour map: viridis, cividis, grey"),
    (C::Explain, "i I", "", "say in words what the cursor is on, with its numbers"),
    (
        C::Suffered,
        "W",
        "",
        "list the tokens by KLD, dense against pruned; one that is chosen is shown on A/B",
    ),
    (C::Copy, "y", "", "copy what the cursor is on: a value, a token, the text"),
    (C::Export, "e", "export", "export: choose csv, json, md, tex, svg or png"),
];

/// Global keys that come after them.
pub const GLOBAL_LAST: &[KeyBinding] = &[
    (C::Palette, ": ctrl-p", "command", "type a command: l14 h3, theme cividis, export svg, ..."),
    (C::Help, "? f1", "help", "all keys; type to search, and run one"),
    (C::Story, "f2", "", "tell the story of the demo again"),
    (C::Settings, "f3", "", "every option with its value and where that comes from"),
    (C::Log, "f12", "", "show or hide the log"),
    (C::Back, "esc backspace", "back", "one level out"),
    (C::Redraw, "ctrl-l", "", "draw the screen anew"),
    (C::Suspend, "ctrl-z", "", "suspend; `fg` comes back"),
    (C::QuitWithSummary, "Q", "", "quit and leave the summary on the terminal"),
    (C::Quit, "q ctrl-c", "quit", "quit"),
];
