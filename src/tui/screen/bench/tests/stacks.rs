//! Rows of one place in the plot, and how many rows there are.

use super::*;
use crate::tui::screen::tune::state::Against;

/// Rows of one place were once one mark, and nothing said how many they are.
#[test]
fn rows_under_one_mark_are_counted_at_it_and_in_the_title() {
    let mut state = on_bench();
    letters(&mut state, "a");
    state.screens.bench.against = Against::Time;
    let asked = trials(&act(&mut state, Command::Sweep));
    // All but the first lose the same in the same time.
    for (at, trial) in asked.iter().enumerate() {
        let kld = if at == 0 { 0.01 } else { 0.3 };
        send(&mut state, measured(Subject::Trial(trial.id), kld, asked.len() - at - 1));
    }
    state.toast = None;
    let under = asked.len() - 2;
    assert!(under > 1);
    let frame = shown(&state);
    let title = frame.lines().find(|line| line.contains("KLD against time")).expect("a title");
    assert!(title.contains(&format!("{under} rows under another's mark")), "{frame}");
    assert_eq!(frame.matches(&format!("+{under}")).count(), 1, "{frame}");
    // The selected row is the one that is seen.
    letters(&mut state, "gjj");
    let glyph = crate::tui::screen::bench::plot::look(2).0;
    let mark = format!("{glyph}+{under}");
    let left = format!("+{under}{glyph}");
    let frame = shown(&state);
    assert!(frame.contains(&mark) || frame.contains(&left), "{mark}: {frame}");

    let mut state = on_bench();
    measure(&mut state);
    state.toast = None;
    assert!(!shown(&state).contains("under another's mark"), "{}", shown(&state));
}

#[test]
fn a_message_of_new_rows_has_the_number_of_all() {
    let mut state = on_bench();
    letters(&mut state, "a");
    let before = state.screens.bench.pins().len();
    letters(&mut state, "A");
    let all = state.screens.bench.pins().len();
    let told = state.toast.as_ref().map(|toast| toast.sentence.clone()).expect("told");
    assert_eq!(told, format!("{} rows pinned, {all} in all", all - before));
}

/// At 80 columns the rows of a sweep were once all "learned 8.8 %…".
#[test]
fn names_of_a_sweep_differ_on_a_narrow_terminal() {
    let mut state = with_a_sweep();
    state.size = (80, 24);
    let frame = shown(&state);
    let rows: Vec<&str> = frame.lines().filter(|line| line.contains("not measured")).collect();
    let name = |row: &str| row.trim_start_matches([' ', '●']).split("  ").next().map(str::to_owned);
    let names: Vec<String> = rows.iter().filter_map(|row| name(row)).collect();
    assert!(names.len() > 8, "{frame}");
    for (at, name) in names.iter().enumerate() {
        assert!(!name.starts_with("learned ") || name.contains("align"), "{name}: {frame}");
        assert!(!names[..at].contains(name), "{name}: {frame}");
    }
}
