//! What the bench says of how far its rows can be told apart, and of what has no room or is locked.

use super::*;
use crate::decode::session::Finish;
use crate::decode::worker::event::Measured;
use crate::spread::MedianInterval;
use crate::tui::screen::tune::state::PointKind;

/// Rows of the same bytes were once one stack with marks over one another.
#[test]
fn rows_of_the_same_bytes_stand_beside_one_another() {
    let mut state = on_bench();
    let asked = measure(&mut state);
    for size in [(80, 24), (120, 40), (200, 60)] {
        state.size = size;
        let frame = shown(&state);
        let plot: Vec<&str> =
            frame.lines().skip_while(|line| !line.contains("KLD by row")).collect();
        assert!(!plot.is_empty() && plot[0].contains("each"), "{size:?}: {frame}");
        let glyphs = (0..asked.len()).map(|at| crate::tui::screen::bench::plot::look(at).0);
        let mut columns: Vec<usize> = glyphs
            .map(|glyph| {
                let of_line = |line: &&str| {
                    line.split('│').nth(1)?.chars().position(|c| glyph.starts_with(c))
                };
                plot.iter()
                    .find_map(of_line)
                    .unwrap_or_else(|| panic!("{glyph} at {size:?}: {frame}"))
            })
            .collect();
        let all = columns.len();
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns.len(), all, "{size:?}: {frame}");
    }
    // Of other sizes the axis is that of bytes.
    letters(&mut state, "A");
    for trial in trials(&act(&mut state, Command::Sweep)) {
        send(&mut state, measured(Subject::Trial(trial.id), 0.02, 0));
    }
    assert!(shown(&state).contains("KLD against cache bytes"), "{}", shown(&state));
}

/// The story leads here after a handful of tokens.
#[test]
fn too_few_tokens_to_rank_are_said_with_the_key_that_makes_more() {
    for size in [(60, 16), (80, 24), (120, 40), (200, 60)] {
        let mut state = on_bench();
        state.size = size;
        letters(&mut state, "a");
        for trial in trials(&act(&mut state, Command::Sweep)) {
            let Event::Measured(mut few) = measured(Subject::Trial(trial.id), 0.01, 0) else {
                panic!("figures")
            };
            few.divergence.steps = 5;
            send(&mut state, Event::Measured(few));
        }
        state.toast = None;
        let flat = shown(&state).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("too few to rank"), "{size:?}: {}", shown(&state));
        if size.1 >= 40 {
            assert!(flat.contains("5 steps are too few to rank masks (32 or more do)"), "{flat}");
            assert!(flat.contains("␣ goes on, then s measures"), "{flat}");
            state.phase = Phase::Finished(Finish::EndToken);
            assert!(shown(&state).contains("E goes on past the end"), "{}", shown(&state));
            state.phase = Phase::Finished(Finish::MaxNew);
            assert!(shown(&state).contains("r runs it again"), "{}", shown(&state));
        }
    }
    let mut state = on_bench();
    measure(&mut state);
    assert!(!shown(&state).contains("too few"), "64 are enough: {}", shown(&state));
    // Before anything is measured as well.
    let mut state = on_bench();
    state.run.rewind(3);
    letters(&mut state, "p");
    assert!(shown(&state).contains("2 steps are too few"), "{}", shown(&state));
    state.phase = Phase::Running;
    act(&mut state, Command::Sweep);
    let told = state.toast.as_ref().map(|toast| toast.sentence.as_str());
    assert!(
        told.is_some_and(|told| told.contains("too few to rank") && told.contains("␣ goes on"))
    );
    send(&mut state, Event::Resumed);
    assert_eq!(state.toast, None, "it goes on");
}

/// Measures every rule in steps that are changed so.
fn measure_changed(state: &mut State, change: impl Fn(&mut Measured)) {
    letters(state, "a");
    for trial in trials(&act(state, Command::Sweep)) {
        let Event::Measured(mut one) = measured(Subject::Trial(trial.id), 0.01, 0) else {
            panic!("figures")
        };
        change(&mut one);
        send(state, Event::Measured(one));
    }
}

/// The values of a column of the CSV.
fn column(state: &State, name: &str) -> Vec<String> {
    let csv = String::from_utf8(make(state, ExportFormat::Csv).unwrap()).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned).collect());
    let head: Vec<String> = lines.next().unwrap();
    let at = head.iter().position(|title| title == name).expect("a column");
    lines.map(|line: Vec<String>| line[at].clone()).collect()
}

/// Rows with KLD 0 and 100 % were once ranked in whose steps nothing had been pruned.
#[test]
fn rows_in_whose_steps_nothing_was_pruned_have_no_figures_and_say_so() {
    let mut state = on_bench();
    measure_changed(&mut state, |early| {
        (early.with_middle, early.cached) = (Some(0), 124);
        (early.divergence.kld, early.divergence.top1_agreement) = (Default::default(), 1.0);
    });
    state.toast = None;
    let bench = &state.screens.bench;
    assert!(bench.pins().iter().all(|pin| bench.figures(pin).is_none() && bench.is_unpruned(pin)));
    let frame = shown(&state);
    assert!(!frame.contains("not measured"), "{frame}");
    assert!(frame.matches("nothing pruned").count() >= bench.pins().len(), "{frame}");
    let flat = frame.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("a middle begins with 176 tokens, and these steps end at 124"),
        "{frame}"
    );
    assert!(flat.contains("␣ goes on, then s measures"), "{frame}");
    assert!(column(&state, "kld_mean").iter().all(String::is_empty));
    assert!(column(&state, "steps_with_middle").iter().all(|steps| steps == "0"));
}

/// In a loop every mask is told little from dense, and nothing in the table or the file said so.
#[test]
fn steps_that_repeat_a_loop_are_said_on_screen_and_in_the_file() {
    let mut state = on_bench();
    measure_changed(&mut state, |looped| looped.repeats = 56);
    state.toast = None;
    let frame = shown(&state);
    assert!(frame.contains("over the same 64 steps, ctx 1,601–1,664, 56 in a loop"), "{frame}");
    assert!(frame.contains("56 of these steps repeat a loop of the text"), "{frame}");
    assert!(column(&state, "steps_in_loop").iter().all(|steps| steps == "56"));
    act(&mut state, Command::Explain);
    let said = state.explained.clone().expect("words");
    assert!(said.contains("56 in a loop"), "{said}");
}

/// Names once said what was asked for: two rows "learned 100 %" that kept 9 %, and of 29 points nine
/// rows without a word.
#[test]
fn points_of_a_sweep_are_named_by_what_they_keep_and_equal_ones_are_counted() {
    let mut state = with_a_sweep();
    let pins = state.screens.bench.pins();
    assert!(!pins.is_empty());
    for (at, pin) in pins.iter().enumerate() {
        assert!(pins[..at].iter().all(|other| other.name != pin.name), "{}", pin.name);
        if pin.rule.contains(" align ") {
            let kept = crate::numbers::percent(pin.plan.mask().kept_ratio(), 1);
            assert!(pin.name.contains(&kept), "{}: {kept}", pin.name);
        }
    }
    // Those that have no row of their own: the same plan as a row.
    let tuning = state.screens.tune.as_ref().unwrap();
    let named = |kind| !matches!(kind, PointKind::Own);
    let points = tuning.sweep.measured().filter(|(point, _)| named(point.kind)).count();
    let same = points - pins.len();
    assert!(same > 0, "the test model has heads without importance");
    let told = state.toast.as_ref().map(|toast| toast.sentence.clone()).expect("told");
    assert!(told.starts_with(&format!("{} rows pinned", pins.len())), "{told}");
    assert!(told.contains(&format!("{same} more point")), "{told}");
    // A long rule is whole where its column is.
    state.size = (200, 60);
    let frame = shown(&state);
    assert!(frame.contains(&pins_rule(&state)), "{frame}");
}

/// The maximum once stood in the column of the 99.9th percentile, which so few steps have not.
#[test]
fn a_file_has_a_percentile_only_of_enough_steps() {
    for (steps, has_tail) in [(64, false), (999, false), (1_000, true)] {
        let mut state = on_bench();
        measure_changed(&mut state, |one| one.divergence.steps = steps);
        assert!(column(&state, "kld_max").iter().all(|max| max == "0.04"), "{steps}");
        let tails = column(&state, "kld_p999");
        assert!(tails.iter().all(|tail| tail.is_empty() != has_tail), "{steps}: {tails:?}");
        let md = String::from_utf8(make(&state, ExportFormat::Md).unwrap()).unwrap();
        let title = if has_tail { "| 99.9 % |" } else { "| max |" };
        assert!(md.lines().next().expect("titles").contains(title), "{steps}: {md}");
    }
}

/// The longest rule of a row.
fn pins_rule(state: &State) -> String {
    let rules = state.screens.bench.pins().iter().map(|pin| pin.rule.clone());
    rules.max_by_key(String::len).expect("rows")
}

#[test]
fn differences_within_their_errors_are_not_told_apart() {
    let mut state = on_bench();
    letters(&mut state, "a");
    let asked = trials(&act(&mut state, Command::Sweep));
    // The second loses .0001 more than the first, by steps that differ by .005 either way.
    for (at, trial) in asked.iter().enumerate() {
        let kld = [0.0100, 0.0101].get(at).copied().unwrap_or(0.1 * at as f64);
        let Event::Measured(mut one) = measured(Subject::Trial(trial.id), kld, 0) else {
            panic!("figures")
        };
        if at == 1 {
            let way = |step: usize| if step.is_multiple_of(2) { 0.005 } else { -0.005 };
            one.klds.iter_mut().enumerate().for_each(|(step, kld)| *kld += way(step));
        }
        let low = if at == 2 { 0.97 } else { 0.7 };
        one.beside = Some(MedianInterval { median: low + 0.02, low, high: low + 0.04 });
        send(&mut state, Event::Measured(one));
    }
    state.size = (200, 60);
    let frame = shown(&state);
    let name = |at: usize| state.screens.bench.pins()[at].name.clone();
    let row = |at: usize| {
        let own = format!(" {} ", name(at));
        frame.lines().skip(3).find(|line| line.contains(&own)).expect("a row")
    };
    assert!(row(1).contains("≈0.0101") && !row(1).contains("≈0.7"), "{frame}");
    assert!(row(2).contains("≈0.99 ±.02") && !row(2).contains("≈0.200"), "{frame}");
    assert!(!row(0).contains('≈') && row(0).contains("0.72 ±.02"), "{frame}");
    let note = format!("≈ not told apart: KLD from {}'s", name(0));
    assert!(frame.contains(&note) && frame.contains("× dense from 1"), "{frame}");
    // A file has the signs as well.
    let made = |format| String::from_utf8(make(&state, format).unwrap()).unwrap();
    let (md, tex) = (made(ExportFormat::Md), made(ExportFormat::Tex));
    assert!(md.contains(" | ≈0.0101 | ") && md.contains(" | ≈0.99 | 0.97 | 1.01 |"), "{md}");
    assert!(md.contains("≈ not told apart: KLD from "), "{md}");
    assert!(tex.contains(" & $\\approx$0.0101 & "), "{tex}");
    let flags = column(&state, "kld_not_told_apart");
    assert_eq!(flags[..3], ["false", "true", "false"]);
    assert_eq!(column(&state, "time_not_told_apart")[..3], ["false", "false", "true"]);
    // Seen from the baseline.
    letters(&mut state, "Gb");
    let frame = shown(&state);
    assert!(!frame.contains("≈0.0101"), "{frame}");
}

/// Columns once went without a sign where they had no room.
#[test]
fn columns_without_room_are_counted_and_a_key_shows_them() {
    for size in [(60, 16), (80, 24), (120, 40)] {
        let mut state = on_bench();
        state.size = size;
        measure(&mut state);
        let mut seen = String::new();
        let mut pages = 0;
        loop {
            let frame = shown(&state);
            seen += &frame;
            pages += 1;
            let page = state.screens.bench.page;
            assert!(frame.contains(if page == 0 { " →" } else { "← back" }), "{frame}");
            letters(&mut state, "l");
            if state.screens.bench.page == page {
                break;
            }
        }
        assert!(pages > 1, "{size:?}");
        for title in ["rule", "median", "max", "× dense", "±"] {
            assert!(seen.contains(title), "{title} at {size:?}: {seen}");
        }
        (0..pages).for_each(|_| drop(key(&mut state, KeyCode::Left)));
        assert_eq!(state.screens.bench.page, 0);
    }
    let mut state = on_bench();
    state.size = (200, 60);
    measure(&mut state);
    assert!(!shown(&state).contains("columns →"), "{}", shown(&state));
}

/// Rows were once made with locks that nobody had set, and using one left them behind.
#[test]
fn a_row_that_is_used_locks_no_head_that_nobody_locked() {
    let mut state = one_head();
    letters(&mut state, "a");
    let rows = state.screens.bench.pins().len();
    letters(&mut state, "g");
    for _ in 0..rows {
        let pin = state.screens.bench.pin(state.screens.bench.selected.unwrap()).unwrap().clone();
        let effects = key(&mut state, KeyCode::Enter);
        answer(&mut state, &effects);
        let tuning = state.screens.tune.as_ref().unwrap();
        assert_eq!(tuning.proposal().plan, pin.plan, "{}", pin.name);
        assert!(tuning.draft().locks.is_empty(), "{}", pin.name);
        letters(&mut state, "j");
    }
    assert!(!shown(&state).contains("locked"), "{}", shown(&state));
}

#[test]
fn heads_that_are_locked_stay_in_every_row_and_that_is_said() {
    let mut state = on_bench();
    letters(&mut state, "4");
    (state.at.layer, state.at.head) = (2, 1);
    letters(&mut state, "x0a");
    let plan = &state.screens.tune.as_ref().unwrap().proposal().plan;
    let locked = plan.k(2, 1).to_vec();
    for pin in state.screens.bench.pins() {
        assert_eq!(pin.plan.k(2, 1), locked, "{}", pin.name);
    }
    assert!(shown(&state).contains("heads locked in Tune stay as they are"), "{}", shown(&state));
    letters(&mut state, "g");
    key(&mut state, KeyCode::Enter);
    let told = state.toast.as_ref().map(|toast| toast.sentence.as_str());
    assert!(told.is_some_and(|told| told.contains("with 1 head locked")), "{told:?}");
}

#[test]
fn an_empty_bench_says_what_it_is_for_and_how_long_a_measurement_takes() {
    let mut state = on_bench();
    act(&mut state, Command::Explain);
    let said = state.explained.clone().expect("words");
    assert!(
        said.contains("p pins what is set") && said.contains("a a mask of every rule"),
        "{said}"
    );
    state.explained = None;
    letters(&mut state, "a");
    assert!(shown(&state).contains("s measures, about 5 s"), "{}", shown(&state));
    act(&mut state, Command::Sweep);
    assert!(shown(&state).contains(", about 5 s left · s stops"), "{}", shown(&state));
}
