//! What a run of the form does, while there is nothing to show of one: its parts in order, its
//! settings, and the rules that its mask is checked against.

use crate::learn::run::LearnMethod;
use crate::learn::train::Settings;
use crate::mask::Rule;
use crate::numbers::{count, counted, percent};
use crate::tui::app::action::Command;
use crate::tui::app::side;
use crate::tui::app::state::State;
use crate::tui::screen::Screen;
use crate::tui::screen::learn::form::{Field, Form};
use crate::tui::screen::learn::view::words;
use crate::tui::widget::pane::Pane;

/// Draws the outline in what is left of a pane.
pub(super) fn render(state: &State, pane: &mut Pane<'_>) {
    let Some(model) = &state.model else { return };
    let form = &state.screens.learn.form;
    let applies = state.key_on(Screen::Learn, Command::ApplyLearned);
    let steps = steps(form, &form.settings(model.info.window), &applies);
    let starts = format!("{} starts", state.key_on(Screen::Learn, Command::Learn));
    let note = if state.screens.learn.runs() { String::new() } else { starts };
    let steps: Vec<(&str, &str)> =
        steps.iter().map(|(word, meaning)| (word.as_str(), meaning.as_str())).collect();
    side::defined(state, ("what a run does", &note), &steps, pane);
    let fields: Vec<(&str, &str)> =
        Field::of(form.method).into_iter().map(|field| (field.name(), field.about())).collect();
    side::defined(state, ("its settings", ""), &fields, pane);
    side::defined(state, ("what it tells", "while it runs"), words(form.method), pane);
    side::defined(state, ("methods", "the field changes them"), &METHODS, pane);
    side::defined(state, ("the verdict", "by a paired test, with its p"), &VERDICTS, pane);
    let rules: Vec<(&str, &str)> = Rule::ALL.iter().map(|rule| (rule.words, rule.about)).collect();
    side::defined(state, ("rules that choose channels", ""), &rules, pane);
}

/// The two methods beside one another.
const METHODS: [(&str, &str); 2] = [
    (
        "sensitivity",
        "one backward pass over windows of text and recall prompts; a head that costs more bytes than its damage is worth is dropped, with its V",
    ),
    (
        "leank",
        "the LeanK paper's: a factor for every channel, learned from prompts with hidden facts and pressed down to the sparsity; at equal bytes it lost 2 to 5 times as much where both were measured, and it takes longer",
    ),
];

/// What the check can say of a mask.
const VERDICTS: [(&str, &str); 3] = [
    ("ship", "dense's answers are not told apart from the mask's, by enough of them"),
    ("do not ship", "the mask loses more answers than chance explains"),
    ("not enough evidence", "too few answers to tell; it says how many would do"),
];

/// The parts of a run, each with what it does; `applies` is the key that uses the mask.
fn steps(form: &Form, settings: &Settings, applies: &str) -> Vec<(String, String)> {
    let (shortest, longest) = form.lengths();
    let check = match form.check {
        0 => "none, so there is no verdict".to_owned(),
        prompts => format!(
            "asks {} of {} on other text, dense, learned and by other rules at the same counts: the verdict, ship or not",
            counted(7 * prompts, "question", "questions"),
            counted(prompts, "prompt", "prompts")
        ),
    };
    let cut = |by: &str| {
        format!(
            "drops {} of the K channels, {by}; heads keep multiples of {}",
            percent(settings.sparsity, 0),
            settings.align
        )
    };
    let mut steps = match form.method {
        LearnMethod::Sensitivity => vec![
            (
                "measure",
                format!(
                    "reads {} of text and eight prompts, and asks by one gradient what leaving each K channel and each head out would do to the next token's probabilities",
                    counted(form.windows, "window", "windows"),
                ),
            ),
            ("cut", cut("with the least damage for the bytes")),
        ],
        LearnMethod::Leank => vec![
            (
                "prefill",
                format!(
                    "reads {} of {} to {} tokens with facts hidden in them, once",
                    counted(form.pool, "prompt", "prompts"),
                    count(shortest),
                    count(longest)
                ),
            ),
            (
                "importance",
                format!(
                    "{} learn a factor for every K channel: attention sees less of channels that answers do not need",
                    counted(settings.steps, "update", "updates")
                ),
            ),
            ("cut", cut("those with the smallest factors")),
        ],
    };
    steps.push(("check", check));
    steps.push(("file", format!("writes {}; {applies} applies it here", form.out)));
    let numbered =
        |(at, (word, meaning)): (usize, (&str, String))| (format!("{} {word}", at + 1), meaning);
    steps.into_iter().enumerate().map(numbered).collect()
}
