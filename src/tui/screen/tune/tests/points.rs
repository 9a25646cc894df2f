//! The sweep, its points, and the mouse on them.

use super::*;
use crate::tui::app::areas;
use crate::tui::screen::tune::layout;

#[test]
fn the_sweep_measures_points_that_can_be_taken() {
    let mut state = ready();
    let sent = trials(&press(&mut state, 's'));
    assert_eq!(
        sent.len(),
        29,
        "twenty sizes, what is set and saved over the same tokens, seven named plans"
    );
    assert_eq!(
        (&sent[20].plan, &sent[21].plan),
        (&tuning(&state).proposal().plan, &tuning(&state).saved().mask.plan)
    );
    let expected = select(&importance(), &Options::new(0.3, 8)).unwrap();
    assert_eq!(
        (sent[3].plan.mask().clone(), sent[3].window),
        (expected.clone(), Window::default())
    );
    let expected_32 = select(&importance(), &Options::new(0.9, 32)).unwrap();
    assert_eq!(*sent[19].plan.mask(), expected_32);
    assert_eq!(tuning(&state).sweep.progress(), (0, 29));
    for (index, trial) in sent.iter().enumerate().take(12) {
        send(
            &mut state,
            measured(Subject::Trial(trial.id), 0.001 * (index as f64 + 1.0), 19 - index),
        );
    }
    assert_eq!(tuning(&state).sweep.progress(), (12, 29));
    // A second press cancels: what was measured stays, later figures change nothing.
    assert_eq!(trials(&press(&mut state, 's')), []);
    assert_eq!(tuning(&state).sweep.progress(), (12, 12));
    send(&mut state, measured(Subject::Trial(sent[15].id), 9.0, 0));
    assert_eq!(tuning(&state).sweep.progress(), (12, 12));
    // The cursor moves from left to right; the leftmost point keeps the fewest channels.
    press(&mut state, 'n');
    assert_eq!(tuning(&state).cursor, Some(sent[9].id));
    assert!(text(&draw(&state)).contains("⏎ keep 10 % align 8 · KLD"));
    press(&mut state, 'N');
    press(&mut state, 'n');
    let effects = key(&mut state, KeyCode::Enter);
    assert_eq!(retune(&effects).mask.plan, sent[9].plan);
    assert_eq!((tuning(&state).draft().goal, tuning(&state).cursor), (Goal::Keep(100), None));
    // Esc leaves the cursor before it leaves the screen.
    press(&mut state, 'n');
    key(&mut state, KeyCode::Esc);
    assert_eq!((tuning(&state).cursor, state.screen), (None, Screen::Tune));
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.screen, Screen::Map);
    // Trial numbers are never reused, so that figures of an old sweep are not taken for new ones.
    state.screen = Screen::Tune;
    let again = trials(&press(&mut state, 's'));
    assert!(again[0].id > sent[19].id);
}

#[test]
fn the_saved_mask_is_compared_only_over_the_same_tokens() {
    use crate::decode::session::Finish;
    let mut state = ready();
    send(&mut state, measured(Subject::Now(0), 0.25, 0));
    let effects = press(&mut state, '}');
    answer(&mut state, &effects);
    // The text has grown, so the figures of the saved mask cover other tokens.
    let Event::Measured(mut later) = measured(Subject::Now(1), 0.5, 0) else { unreachable!() };
    later.dense_kv += 1000;
    let event = |measured: &crate::decode::worker::event::Measured| {
        Event::Measured(Box::new(measured.clone()))
    };
    let deliver = |state: &mut State, event| {
        let generation = state.run.generation;
        update(
            state,
            Action::Engine(Box::new(Envelope { generation, at_ms: 0.0, dropped: 0, event })),
        )
    };
    assert_eq!(deliver(&mut state, event(&later)), [], "while the text grows nothing is asked");
    state.size = (120, 40);
    assert!(text(&draw(&state)).contains("not measured on these tokens"));
    send(&mut state, Event::Finished(Finish::MaxNew));
    let sent = trials(&deliver(&mut state, event(&later)));
    assert_eq!(
        sent.iter().map(|trial| &trial.plan).collect::<Vec<_>>(),
        [&tuning(&state).saved().mask.plan]
    );
    later.subject = Subject::Trial(sent[0].id);
    later.divergence.kld.mean = 0.75;
    deliver(&mut state, event(&later));
    assert_eq!(
        tuning(&state).figures_of_saved(1).map(|figures| figures.divergence.kld.mean),
        Some(0.75)
    );
    let frame = text(&draw(&state));
    assert!(frame.contains("−0.250") && !frame.contains("not measured on these tokens"), "{frame}");
    later.subject = Subject::Now(1);
    assert_eq!(deliver(&mut state, event(&later)), [], "once is enough");
}

#[test]
fn the_table_and_the_plot_have_one_figure_for_the_mask_in_use() {
    let mut state = ready();
    state.size = (120, 40);
    let over = |subject, kld: f64, over: u32| {
        let Event::Measured(mut figures) = measured(subject, kld, 0) else { unreachable!() };
        figures.over = over;
        Event::Measured(figures)
    };
    let in_use = |state: &State| {
        let model = state.model.as_ref().expect("loaded");
        let plot = tuning(state).plot(model, state.target_context, state.run.generation);
        let Freshness::Measured(figures) = tuning(state).figures(state.run.generation) else {
            panic!("measured")
        };
        (figures.divergence.kld.mean, plot.now.and_then(|now| now.y), plot.over_others)
    };
    send(&mut state, over(Subject::Now(0), 0.0403, 7));
    assert_eq!(in_use(&state), (0.0403, Some(0.0403), false));
    // The text has grown when the sweep begins: what it finds is newer.
    let sent = trials(&press(&mut state, 's'));
    send(&mut state, over(Subject::Trial(sent[3].id), 0.5, 9));
    let told = "now: over other tokens";
    assert_eq!(in_use(&state), (0.0403, None, true));
    assert!(text(&draw(&state)).contains(told));
    send(&mut state, over(Subject::Trial(sent[20].id), 0.0062, 9));
    assert_eq!(in_use(&state), (0.0062, Some(0.0062), false));
    assert!(!text(&draw(&state)).contains(told));
    // Measured again, the table is ahead, and the plot says so.
    send(&mut state, over(Subject::Now(0), 0.0125, 11));
    assert_eq!(in_use(&state), (0.0125, Some(0.0062), true));
    assert!(text(&draw(&state)).contains(told));
}

#[test]
fn a_new_run_ends_the_sweep_and_its_points_are_of_an_earlier_one() {
    let mut state = ready();
    let sent = trials(&press(&mut state, 's'));
    send(&mut state, measured(Subject::Trial(sent[0].id), 0.5, 19));
    update(&mut state, Action::Do(Command::Rerun));
    assert_eq!(tuning(&state).sweep.progress(), (1, 1));
    assert!(tuning(&state).sweep.is_stale(state.run.generation));
    assert!(text(&draw(&state)).contains("of an earlier run"));
}

#[test]
fn the_mouse_selects_rows_layers_and_points_and_the_wheel_goes_through_them() {
    for size in [(120, 40), (200, 60), (80, 24)] {
        let mut state = ready();
        state.size = size;
        let sent = trials(&press(&mut state, 's'));
        for (index, trial) in sent.iter().enumerate().take(20) {
            send(
                &mut state,
                measured(
                    Subject::Trial(trial.id),
                    1e-4 * 1.5_f64.powi(index as i32 % 10),
                    19 - index,
                ),
            );
        }
        let mouse = |kind, (column, row)| {
            Action::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
        };
        let down = MouseEventKind::Down(MouseButton::Left);
        let areas = layout::tune(&state, areas::areas(&state).main);
        // Row 4 below the title is the alignment.
        update(&mut state, mouse(down, (areas.controls.x + 4, areas.controls.y + 5)));
        assert_eq!(tuning(&state).control, Control::Align, "{size:?}");
        // The wheel moves through the controls and never changes the settings.
        let draft = tuning(&state).draft().clone();
        let over = |area: ratatui::layout::Rect| (area.x, area.y);
        for (kind, control) in
            [(MouseEventKind::ScrollUp, Control::Fit), (MouseEventKind::ScrollDown, Control::Align)]
        {
            assert_eq!(update(&mut state, mouse(kind, over(areas.controls))), []);
            assert_eq!(tuning(&state).control, control, "{size:?}");
            for area in [Some(areas.effect), areas.plot].into_iter().flatten() {
                assert_eq!(update(&mut state, mouse(kind, over(area))), []);
                assert_eq!(tuning(&state).control, control, "{size:?}");
            }
        }
        assert_eq!(tuning(&state).draft(), &draft, "{size:?}");
        if let Some(layers) = areas.layers {
            // The demo's layers are shown with their heads: layer 0, its two heads, layer 1.
            let effects = update(&mut state, mouse(down, (layers.x + 3, layers.y + 6)));
            assert_eq!(effects, [Effect::Engine(Order::Watch { layer: 1, head: 1 })]);
            assert_eq!((state.at.layer, state.at.head), (1, 1));
            update(&mut state, mouse(MouseEventKind::ScrollDown, (layers.x, layers.y)));
            assert_eq!(state.at.layer, 2);
        }
        let plot_area = areas.plot.expect("a plot");
        let plot = tuning(&state).plot(
            state.model.as_ref().unwrap(),
            state.target_context,
            state.run.generation,
        );
        let scatter = Scatter::of(plot.x_range(), plot.y_range(), layout::plot_points(plot_area))
            .expect("axes");
        let spot = plot.spots[plot.spots.len() / 2];
        let cell = scatter.cell(spot.place.x, spot.place.y).expect("on screen");
        update(&mut state, mouse(down, cell));
        let id = tuning(&state).cursor.expect("a point");
        let found = plot.spots.iter().find(|spot| spot.id == id).expect("of the plot");
        assert_eq!(scatter.cell(found.place.x, found.place.y), Some(cell), "{size:?}");
        update(&mut state, mouse(down, cell));
        let taken = tuning(&state).draft().clone();
        let keep = sent.iter().position(|trial| trial.id == id).expect("sent") % 10;
        assert_eq!(taken.goal, Goal::Keep(1000 - 100 * keep as u16), "a second press takes it");
    }
}

#[test]
fn the_masks_and_the_points_are_exported_as_a_table() {
    use crate::tui::export::{ExportFormat, make};
    let mut state = ready();
    let sent = trials(&press(&mut state, 's'));
    send(&mut state, measured(Subject::Trial(sent[5].id), 0.25, 16));
    let csv = String::from_utf8(make(&state, ExportFormat::Csv).unwrap()).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 5, "{csv}");
    assert!(lines[0].starts_with(
        "what,sparsity_target,align,kept_share,middle_bytes_share,cache_bytes_share,context_tokens,kv_bytes_at_context,steps,kld_mean"
    ));
    let bytes =
        crate::mask::bytes::pruned(&state.model.as_ref().unwrap().mask, Window::default(), 8192, 2)
            .total();
    // The point is the mask in use, measured: all rows of it have its figures.
    let figures = ",64,0.25,0.03125,0.984375,";
    assert!(
        lines[1].starts_with("now,0.5,8,") && lines[1].contains(&format!(",8192,{bytes}{figures}")),
        "{csv}"
    );
    assert!(lines[4].starts_with("point,0.5,8,") && lines[4].contains(figures), "{csv}");
}
