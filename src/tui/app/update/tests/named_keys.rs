//! Messages and hints name the keys that are set.

use super::*;
use crate::tui::app::question::Confirmation;
use crate::tui::testing::{rebind, text};

fn told(state: &mut State) -> String {
    state.toast.take().map(|toast| toast.sentence).unwrap_or_default()
}

fn flat(state: &State) -> String {
    text(&draw(state)).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keys that nobody has by default, so that what is said of them comes from the table.
fn changed(mut state: State) -> State {
    state.size = (160, 50);
    rebind(
        &mut state,
        &[
            ("global", "save-mask", "f13"),
            ("global", "export", "f14"),
            ("global", "help", "f15"),
            ("global", "undo", "f16"),
            ("global", "log", "f17"),
            ("tune", "measure-sensitivity", "f18"),
            ("tune", "reset", "f19"),
            ("tune", "open", "f20"),
            ("tune", "sweep", "f21"),
            ("bench", "pin", "f22"),
            ("bench", "pin-rules", "f23"),
            ("map", "diff", "f24"),
            ("head", "flip-head", "f13"),
            ("learn", "apply-learned", "f14"),
            ("list", "open", "f20"),
            ("list", "complete", "f21"),
            ("confirm", "back", "f22"),
            ("question", "back", "f23"),
        ],
    );
    state
}

/// Types a command into the palette and runs it.
fn command(state: &mut State, words: &str) {
    act(state, Command::Palette);
    letters(state, words);
    act(state, Command::Open);
}

#[test]
fn messages_follow_the_keys() {
    let mut state = changed(ready());
    state.screen = Screen::Tune;
    command(&mut state, "keep 20");
    act(&mut state, Command::Quit);
    let said = told(&mut state);
    assert!(said.contains("F13 saves it"), "{said}");
    act(&mut state, Command::Reset);
    let said = told(&mut state);
    assert!(said.contains("F16 takes it back"), "{said}");
    act(&mut state, Command::Sense);
    let said = told(&mut state);
    assert!(said.contains("F18 stops it"), "{said}");
    act(&mut state, Command::Sense);
    state.screen = Screen::Bench;
    act(&mut state, Command::Sweep);
    let said = told(&mut state);
    assert!(said.contains("F22 pins what is set, F23 a mask of every rule"), "{said}");
    act(&mut state, Command::PinSweep);
    let said = told(&mut state);
    assert!(said.contains("F21 in Tune makes one"), "{said}");
    act(&mut state, Command::PinRules);
    let reasons = &state.screens.bench.left_out;
    assert!(reasons.iter().any(|left| left.why.contains("F18 in Tune measures it")), "{reasons:?}");
    command(&mut state, "bytes 40");
    let said = told(&mut state);
    assert!(said.contains("F18 in Tune measures one"), "{said}");
    // V alone never drops a head.
    state.screen = Screen::Head;
    for _ in 0..5 {
        act(&mut state, Command::VNarrower);
    }
    let said = told(&mut state);
    assert!(said.contains("F13 drops it"), "{said}");
    // Nothing to explain or to copy.
    let mut state = changed(blank(ColorDepth::True));
    state.screen = Screen::Ab;
    act(&mut state, Command::Explain);
    let said = told(&mut state);
    assert!(said.contains("help (F15)"), "{said}");
    act(&mut state, Command::Copy);
    let said = told(&mut state);
    assert!(said.contains("F14 exports the figures"), "{said}");
}

#[test]
fn hints_on_screen_follow_the_keys() {
    let mut state = changed(ready());
    let holds = |state: &State, words: &str| {
        let frame = flat(state);
        assert!(frame.contains(words), "{words}: {frame}");
    };
    state.screen = Screen::Tune;
    holds(&state, "F18 measures");
    state.screens.tune.as_mut().expect("loaded").hold = true;
    command(&mut state, "keep 20");
    holds(&state, "F20 applies it");
    holds(&state, "on: F20 applies");
    state.screen = Screen::Text;
    act(&mut state, Command::Ask);
    holds(&state, "F23 leaves");
    act(&mut state, Command::Back);
    act(&mut state, Command::Help);
    holds(&state, "F20 runs");
    state.overlay = None;
    act(&mut state, Command::Suffered);
    holds(&state, "F20 shows one in A/B");
    state.overlay = None;
    act(&mut state, Command::OpenFile);
    holds(&state, "F21 completes · F20 takes a file");
    state.overlay = Some(Overlay::Question(Confirmation {
        sentence: "Replace it?".to_owned(),
        then: Vec::new(),
        otherwise: Vec::new(),
    }));
    holds(&state, "F22 leaves it");
    state.overlay = None;
    let sentence = "nothing ".repeat(200);
    send(&mut state, Event::Failed { sentence, code: 1 });
    holds(&state, "in the log (F17)");
}

/// Keys with names are easily written into a sentence: with others bound, no frame shows them.
#[test]
fn no_frame_names_a_key_that_is_not_bound() {
    let usual = ["⏎", "esc", "tab", "F2", "F3", "F12"];
    let mut state = ready();
    state.size = (160, 50);
    let mut changes = Vec::new();
    for row in state.keys.rows() {
        let first = row.keys.first().map(ToString::to_string).unwrap_or_default();
        if usual.contains(&first.as_str()) {
            let free = char::from(b'a' + (changes.len() % 26) as u8);
            changes.push((row.context.name(), row.command.name(), format!("alt-{free}")));
        }
    }
    let changes: Vec<(&str, &str, &str)> =
        changes.iter().map(|(context, name, key)| (*context, *name, key.as_str())).collect();
    assert!(changes.len() > 8, "{changes:?}");
    rebind(&mut state, &changes);
    let words = ["⏎", "Enter", "esc ", "tab ", "F2", "F3", "F12", "f12"];
    let phases = [
        Phase::Running,
        Phase::Paused,
        Phase::Prefill(0.5),
        Phase::Finished(Finish::EndToken),
        Phase::Finished(Finish::MaxNew),
        Phase::Finished(Finish::Context),
    ];
    for screen in Screen::ALL {
        for phase in &phases {
            let mut state = state.clone();
            (state.screen, state.phase) = (screen, phase.clone());
            let frame = text(&draw(&state));
            for word in words {
                assert!(!frame.contains(word), "{screen:?} {phase:?} {word}: {frame}");
            }
        }
    }
}
