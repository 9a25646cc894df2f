//! A plan with coded widths on the map, its layer level and the other screens.

use std::collections::HashSet;

use crate::mask::Width;
use crate::tui::app::action::Command;
use crate::tui::app::areas;
use crate::tui::app::shader::Shader;
use crate::tui::app::state::State;
use crate::tui::color::{ColorDepth, Shade};
use crate::tui::screen::Screen;
use crate::tui::screen::map::layout;
use crate::tui::testing::{SMALL, act, draw, planned, text};

fn at(size: (u16, u16), prepare: impl Fn(&mut State)) -> String {
    let mut state = planned(SMALL, ColorDepth::None);
    state.size = size;
    prepare(&mut state);
    text(&draw(&state))
}

#[test]
fn the_map_of_a_plan_without_colour() {
    insta::assert_snapshot!("plan_120x40_none", at((120, 40), |_| {}));
}

#[test]
fn widths_are_five_glyphs_without_colour_and_five_shares_with_it() {
    for depth in [ColorDepth::Ascii, ColorDepth::None] {
        let state = planned(SMALL, depth);
        let frame = draw(&state);
        let grid = layout::grid(&state, areas::areas(&state).main, SMALL);
        let strip = grid.strip_of(2, 0).expect("shown");
        let glyphs: HashSet<_> = strip.positions().map(|cell| frame[cell].symbol()).collect();
        assert_eq!(glyphs.len(), 5, "{glyphs:?}");
    }
    let state = planned(SMALL, ColorDepth::True);
    let shader = Shader::of(&state).expect("a map");
    assert_eq!((shader.title().as_str(), shader.legend(0.75).as_str()), ("width", "8 bits"));
    let plan = shader.model.plan();
    for (channel, width) in plan.k(0, 0).iter().enumerate() {
        let share = width.index() as f32 / 4.0;
        assert_eq!(shader.pool(0, 0, std::iter::once(channel)), Shade::Share(share));
    }
    let of = |wanted| plan.k(0, 0).iter().position(|&width| width == wanted).expect("all occur");
    let both = [of(Width::Two), of(Width::Four)];
    assert_eq!(shader.pool(0, 0, both.into_iter()), Shade::Share(0.375), "3 bits");
}

#[test]
fn words_say_the_bits_of_the_selected_place() {
    let last = |state: &mut State| state.at.channel = SMALL.head_dim - 1;
    let map = at((120, 40), last);
    assert!(map.contains("16 bits ·") && map.contains("4 bits"), "{map}");
    assert!(!map.contains("kept by") && !map.contains("keeps"), "{map}");
    let share = planned(SMALL, ColorDepth::None).model.expect("loaded").stored(true);
    assert!(share.starts_with("stores ") && map.contains(&share), "{share}: {map}");
    let layer = at((200, 60), |state| drop(act(state, Command::Open)));
    assert!(
        layer.contains("V          4 bits")
            && layer.contains("K 16: 12 · 8: 12 · 4: 14 · 2: 12 · 0: 14"),
        "{layer}"
    );
    let head = at((200, 60), |state| drop(act(state, Command::Show(Screen::Head))));
    assert!(head.contains("· V 4 bits"), "{head}");
    let title = layer.lines().find(|line| line.contains(" layer 0 ")).expect("a title");
    assert!(title.contains("h0 V 4 bits · K 16: "), "{title}");
}

#[test]
fn bytes_are_those_of_the_plan_and_divide_by_width() {
    let state = planned(SMALL, ColorDepth::None);
    let model = state.model.as_ref().expect("loaded");
    let (now, dense) = model.head_bytes(0, 0);
    let bits: usize = model.plan().k(0, 0).iter().map(|width| usize::from(width.bits())).sum();
    assert!(now[0] > bits as f64 / 8.0 && now[0] < dense.k as f64, "scales count");
    assert_eq!(now[1], 32.0 + 4.0);
    assert_eq!(model.head_bytes(1, 1).0, [0.0, 0.0]);
    let perf = at((200, 60), |state| drop(act(state, Command::Show(Screen::Perf))));
    for words in ["K by bits", "V by bits", "% of dense f16"] {
        assert!(perf.contains(words), "{words}: {perf}");
    }
    assert!(!perf.contains("bound"), "the bound is that of a mask: {perf}");
}

#[test]
fn tune_says_the_widths_and_that_a_new_mask_drops_them() {
    let tune = at((200, 60), |state| drop(act(state, Command::Show(Screen::Tune))));
    assert!(tune.contains("bits K 16: "), "{tune}");
    let tune = at((200, 60), |state| {
        act(state, Command::Show(Screen::Tune));
        act(state, Command::MuchLess);
    });
    assert!(tune.contains("drops the plan's widths"), "{tune}");
}
