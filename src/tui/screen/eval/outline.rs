//! What an evaluation with these settings does, while there are no results: its parts, its settings,
//! and what each recall task asks.

use clap::ValueEnum;

use crate::eval::recall::RecallTask;
use crate::eval::run::Suite;
use crate::numbers::{count, counted};
use crate::tui::app::action::Command;
use crate::tui::app::side;
use crate::tui::app::state::State;
use crate::tui::screen::Screen;
use crate::tui::screen::eval::state::{EvalField, EvalForm};
use crate::tui::screen::eval::view::RECALL_WORDS;
use crate::tui::widget::pane::Pane;

/// Draws the outline in what is left of a pane.
pub(super) fn render(state: &State, pane: &mut Pane<'_>) {
    let Some(model) = &state.model else { return };
    let form = &state.screens.eval.form;
    let parts = parts(form, model.info.context);
    let parts: Vec<(&str, &str)> =
        parts.iter().map(|(word, meaning)| (*word, meaning.as_str())).collect();
    let starts = format!("{} starts", state.key_on(Screen::Eval, Command::Evaluate));
    let note = if state.screens.eval.runs() { String::new() } else { starts };
    side::defined(state, ("what an evaluation does", &note), &parts, pane);
    let fields = EvalField::ALL.map(|field| (field.name(), field.about()));
    side::defined(state, ("its settings", ""), &fields, pane);
    if matches!(form.suite, Suite::Recall | Suite::All) {
        let about = |task: RecallTask| {
            let value = task.to_possible_value();
            let help = value.and_then(|value| value.get_help().map(ToString::to_string));
            (task.name(), help.unwrap_or_default())
        };
        let chosen =
            RecallTask::ALL.into_iter().filter(|&task| form.task.is_none_or(|one| one == task));
        let tasks: Vec<(&str, String)> = chosen.map(about).collect();
        let tasks: Vec<(&str, &str)> =
            tasks.iter().map(|(name, about)| (*name, about.as_str())).collect();
        side::defined(state, ("recall tasks", "what is hidden and asked for"), &tasks, pane);
        side::defined(state, ("words of the tables", ""), &RECALL_WORDS, pane);
    }
}

/// What the suites of the form do, with its numbers.
fn parts(form: &EvalForm, most: usize) -> Vec<(&'static str, String)> {
    let lengths: Vec<String> = form.ctx(most).into_iter().map(count).collect();
    let recall = format!(
        "asks for facts hidden in prompts of {} tokens, {} of each task and length, at five depths: the right answers of dense and of every mask, and which a mask lost",
        lengths.join(" and "),
        counted(form.samples, "sample", "samples")
    );
    let text = format!(
        "predicts {} of each text, dense and masked: the loss of every mask over dense's",
        counted(form.chunks, "part", "parts")
    );
    let stability =
        "compares the importance that different texts give: whether a mask of one serves another";
    let all = [
        (Suite::Recall, ("recall", recall)),
        (Suite::Text, ("text", text)),
        (Suite::Stability, ("stability", stability.to_owned())),
    ];
    let own = all.into_iter().filter(|(suite, _)| form.suite == Suite::All || form.suite == *suite);
    let control = "dense is measured beside itself: what differs there is no loss of a mask";
    let rest = [
        ("control", control),
        ("tables", "fill in while it runs, dense beside every mask, each with its error"),
        ("lost", "samples that a mask lost are listed; one opens in A/B, where the step is seen"),
        ("folder", "with one, a run that was stopped goes on where it was"),
    ];
    let rest = rest.map(|(word, meaning)| (word, meaning.to_owned()));
    own.map(|(_, part)| part).chain(rest).collect()
}
