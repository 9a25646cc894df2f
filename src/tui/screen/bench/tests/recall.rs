//! The recall of rows that Eval has evaluated, and what it rests on.

use super::*;
use crate::eval::run::Figures;
use crate::tui::testing::evaluated;

/// A bench whose first row an evaluation has, which is in its middle.
fn with_recall(change: impl FnOnce(&mut crate::eval::run::RunHeader)) -> State {
    let mut state = on_bench();
    state.size = (200, 60);
    measure(&mut state);
    let first = &state.screens.bench.pins()[0];
    let mut results = evaluated();
    results.header.masks[0].fingerprint = first.fingerprint.clone();
    results.header.masks[0].window = first.draft.window;
    change(&mut results.header);
    state.screens.eval.figures = Some(Arc::new(Figures::of(&results)));
    state.toast = None;
    state
}

fn flat(state: &State) -> String {
    shown(state).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn row(state: &State, at: usize) -> String {
    let own = format!(" {} ", state.screens.bench.pins()[at].name);
    let frame = shown(state);
    frame.lines().skip(3).find(|line| line.contains(&own)).expect("a row").to_owned()
}

/// The recall of an evaluation that was stopped once looked like that of a whole one.
#[test]
fn a_recall_says_what_it_rests_on_and_rows_without_one_have_a_sign() {
    let mut state = with_recall(|_| ());
    assert!(row(&state, 0).contains(" ~63.3 %"), "{}", shown(&state));
    assert!(row(&state, 1).contains(" – "), "{}", shown(&state));
    let basis = "the mean of 30 answers to 3 tasks at 1,024 tokens, partial: the evaluation has 62 of 120 samples";
    let note = format!("recall, of Eval: {basis}; ~ is partial; – is not measured");
    assert!(flat(&state).contains(&note), "{}", shown(&state));
    act(&mut state, Command::Explain);
    let said = state.explained.take().expect("words");
    assert!(said.contains(&format!("Its recall is 63.3 %, {basis}.")), "{said}");
    letters(&mut state, "j");
    act(&mut state, Command::Explain);
    let said = state.explained.take().expect("words");
    assert!(said.contains("Its recall is not measured"), "{said}");
    let csv = String::from_utf8(make(&state, ExportFormat::Csv).unwrap()).unwrap();
    assert!(csv.lines().nth(1).is_some_and(|line| line.ends_with(",30,true")), "{csv}");
    let md = String::from_utf8(make(&state, ExportFormat::Md).unwrap()).unwrap();
    assert!(md.contains("| ~63.3 % |") && md.contains("partial"), "{md}");
    let whole = with_recall(|header| header.jobs = 62);
    assert!(!flat(&whole).contains("partial"), "{}", shown(&whole));
    assert!(row(&whole, 0).contains(" 63.3 %"), "{}", shown(&whole));
}

/// A task that dense fails is in no mean, which nothing once said.
#[test]
fn a_recall_says_how_many_tasks_dense_fails() {
    let mut state = with_recall(|_| ());
    let first = &state.screens.bench.pins()[0];
    let mut results = evaluated();
    results.header.masks[0].fingerprint = first.fingerprint.clone();
    results.header.masks[0].window = first.draft.window;
    for record in results.records.iter_mut().filter(|record| record.task == "vt") {
        record.answers.iter_mut().for_each(|answer| answer.score = 0.0);
    }
    state.screens.eval.figures = Some(Arc::new(Figures::of(&results)));
    let words = "20 answers to 2 tasks at 1,024 tokens, without 1 task that dense fails, partial";
    assert!(flat(&state).contains(words), "{}", shown(&state));
}

/// Evaluations know a plan, and a window: with another one it is another cache.
#[test]
fn the_recall_of_another_window_is_not_that_of_the_row() {
    let state = with_recall(|header| header.masks[0].window.sink += 1);
    assert!(!flat(&state).contains("recall, of Eval"), "{}", shown(&state));
}

#[test]
fn a_row_with_recall_and_no_other_figure_shows_it() {
    let mut state = with_recall(|_| ());
    state.run.generation += 1;
    let asked = trials(&act(&mut state, Command::Sweep));
    send(&mut state, measured(Subject::Trial(asked[1].id), 0.5, 3));
    let row = row(&state, 0);
    assert!(row.contains("not measured") && row.contains("63.3 %"), "{}", shown(&state));
}
