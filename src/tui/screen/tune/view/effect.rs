//! What the three masks keep, weigh, lose and take. Computed and measured figures have separate
//! titles.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::decode::worker::event::Measured;
use crate::mask::compare_widths;
use crate::numbers::{self, count};
use crate::tui::app::action::Command;
use crate::tui::app::model::ModelView;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::widths;
use crate::tui::color::Role;
use crate::tui::fitting::best;
use crate::tui::paint::{number, put, ratio};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::{Freshness, Tally, Tuning, is_comparable};
use crate::tui::widget::pane::Pane;

/// Columns of the labels.
const LABEL: u16 = 9;
/// Most columns of a value. Figures that are far apart are hard to compare.
const WIDEST: u16 = 15;
/// Fewest columns of a value, the gap before it included.
const LEAST: u16 = 8;
/// From this number of rows on, everything is shown.
const FULL: u16 = 22;

/// Draws the table.
pub fn render(state: &State, model: &ModelView, tuning: &Tuning, area: Rect, buffer: &mut Buffer) {
    let full = area.height >= FULL;
    let mut pane = Pane::new(area, &state.theme, buffer);
    computed(state, model, tuning, full, &mut pane);
    measured(state, model, tuning, full, &mut pane);
}

/// A label, and three values with the difference between the set mask and the saved one.
fn row(
    pane: &mut Pane<'_>,
    label: &str,
    label_style: Style,
    cells: [String; 4],
    styles: [Style; 4],
) {
    let Some(row) = pane.take(1) else { return };
    put(pane.buffer, row, 0, 0, Line::styled(label.to_owned(), label_style));
    // Where four columns would touch, the one in use goes first, then the difference.
    let room = row.width.saturating_sub(LABEL);
    let shown = match room {
        room if room / 4 >= LEAST => 0..4,
        room if room / 3 >= LEAST => 1..4,
        _ => 1..3,
    };
    let width = (room / shown.len() as u16).min(WIDEST);
    let cells = cells.into_iter().zip(styles).take(shown.end).skip(shown.start);
    for (index, (cell, style)) in cells.enumerate() {
        let right = LABEL + width * (index as u16 + 1);
        // Where columns would touch, units directly follow their numbers, and the spread goes.
        let is_wide = |cell: &String| cell.chars().count() >= usize::from(width);
        let cell = if is_wide(&cell) { cell.replace(' ', "") } else { cell };
        let cell = match cell.split_once('±') {
            Some((value, _)) if is_wide(&cell) && !value.is_empty() => value.to_owned(),
            _ => cell,
        };
        let wide = cell.chars().count() as u16;
        put(pane.buffer, row, right.saturating_sub(wide), 0, Line::from(Span::styled(cell, style)));
    }
}

fn computed(state: &State, model: &ModelView, tuning: &Tuning, full: bool, pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let (text, dim) = (theme.style(Role::Text), theme.style(Role::Dim));
    let context = state.target_context;
    let room = usize::from(pane.area.width).saturating_sub("effect".len() + 3);
    let forms = [
        format!("computed at {} tokens", count(context)),
        format!("computed · {}", count(context)),
    ];
    pane.title("effect", &best(room, forms));
    let heads = ["now", "set", "saved", "Δ saved"].map(str::to_owned);
    row(
        pane,
        "",
        dim,
        heads,
        [theme.style(Role::Good), theme.style(Role::Warn), theme.style(Role::Saved), dim],
    );
    let saved = tuning.saved();
    let sparsity = model.info.mask.as_ref().and_then(|mask| mask.sparsity);
    let set = tuning.proposed_tally(context);
    // The same mask may have been set with another target sparsity, so the current target is used.
    let old = tuning.saved_tally(context);
    let is_saved = *model.plan() == saved.mask.plan && model.info.window == saved.window;
    let now = if tuning.is_applied(model) {
        set
    } else if is_saved {
        old
    } else {
        tuning.tally(model.plan(), model.info.window, sparsity, context)
    };
    let mut line = |label: &str, show: &dyn Fn(&Tally) -> String, delta: String| {
        let delta_style =
            if delta.contains(|c: char| ('1'..='9').contains(&c)) { text } else { dim };
        row(
            pane,
            label,
            dim,
            [show(&now), show(&set), show(&old), delta],
            [text, text, text, delta_style],
        );
    };
    // A short table has the figures of masks, or, where anything is coded, those of plans.
    let coded = [&tuning.proposal().plan, model.plan(), &saved.mask.plan]
        .into_iter()
        .any(|plan| !plan.is_mask());
    if full || !coded {
        line(
            "K kept",
            &|tally| format!("{:.1} %", tally.share * 100.0),
            signed((set.share - old.share) * 100.0, 1),
        );
    }
    if full || coded {
        line(
            "of middle",
            &|tally| format!("{:.1} %", tally.middle * 100.0),
            signed((set.middle - old.middle) * 100.0, 1),
        );
    }
    let channels = |tally: &Tally| count(tally.kept);
    if full {
        line("channels", &channels, whole(set.kept as i64 - old.kept as i64));
        line(
            "dropped",
            &|tally| format!("{} heads", tally.dropped),
            whole(set.dropped as i64 - old.dropped as i64),
        );
        line("K", &|tally| numbers::bytes(tally.bytes.k), weight(set.bytes.k, old.bytes.k));
        line("V", &|tally| numbers::bytes(tally.bytes.v), weight(set.bytes.v, old.bytes.v));
    }
    line(
        "K+V",
        &|tally| numbers::bytes(tally.bytes.total()),
        weight(set.bytes.total(), old.bytes.total()),
    );
    line(
        "of cache",
        &|tally| format!("{:.1} %", (1.0 - tally.saved) * 100.0),
        signed((old.saved - set.saved) * 100.0, 1),
    );
    let bound =
        |tally: &Tally| tally.bound.map_or_else(|| "–".to_owned(), |bound| format!("≤{bound:.2}×"));
    let faster =
        set.bound.zip(old.bound).map_or_else(String::new, |(set, old)| signed(set - old, 2));
    line("attention", &bound, faster);
    let over = |tally: &Tally| {
        tally.over.map_or_else(|| "–".to_owned(), |over| format!("{} ch", whole(over)))
    };
    if full || !coded {
        line(
            "align",
            &over,
            set.over.zip(old.over).map_or_else(String::new, |(set, old)| whole(set - old)),
        );
    }
    widths(tuning, pane);
    if full && let Some(overlap) = tuning.overlap() {
        let text = match (overlap.only_a, overlap.only_b) {
            _ if !(tuning.proposal().plan.is_mask() && saved.mask.plan.is_mask()) => {
                bits_against(tuning)
            }
            (0, 0) => "the same channels as saved".to_owned(),
            (here, there) => {
                format!("kept only here {} · only saved {}", count(here), count(there))
            }
        };
        pane.note(text);
    }
}

/// How many widths differ from what is saved.
fn bits_against(tuning: &Tuning) -> String {
    let (set, saved) = (&tuning.proposal().plan, tuning.saved());
    let chunk = tuning.draft().window.chunk;
    match compare_widths((&saved.mask.plan, saved.window.chunk), (set, chunk)) {
        Ok(compared) => {
            let change = compared.whole;
            if change.wider_k + change.narrower_k + change.wider_v + change.narrower_v == 0 {
                return "the same bits as saved".to_owned();
            }
            format!(
                "against saved: K {} wider {} narrower · V {} · {}",
                count(change.wider_k),
                count(change.narrower_k),
                count(change.wider_v),
                count(change.narrower_v)
            )
        }
        Err(error) => error.to_string(),
    }
}

/// What becomes of the bits of a plan with coded widths.
fn widths(tuning: &Tuning, pane: &mut Pane<'_>) {
    let (proposed, base) = (&tuning.proposal().plan, &tuning.sources().loaded.plan);
    if !proposed.is_mask() {
        // Where both do not fit, those of V are left to the layers.
        let both = format!("bits {}", widths::in_words(proposed));
        let fits = both.chars().count() <= usize::from(pane.area.width);
        pane.note(if fits { both } else { format!("bits K {}", proposed.k_counts()) });
    } else if !base.is_mask() {
        pane.note("a new mask: drops the plan's widths, 16 bits where kept");
    }
}

/// The title of what is measured.
static QUALITY: [&str; 2] = ["quality and speed", "quality"];
/// Columns from which on it is said in whole.
const WIDE: u16 = 36;

/// The title of what was measured in a pane of this width, and over which tokens. These come before
/// all other words, because figures are of nothing else.
fn measured_title(figures: &Measured, width: usize) -> (&'static str, String) {
    let (steps, covered) = (figures.divergence.steps, figures.covered());
    let place = figures.place().unwrap_or_else(|| covered.clone());
    let forms = match figures.weakness() {
        Some(weak) => vec![
            vec![format!("{covered}, {weak}")],
            vec![format!("{place}, {weak}")],
            vec![format!("{steps} steps, {weak}"), weak],
        ],
        None => vec![
            vec![format!("measured · {covered}, forced"), covered],
            vec![place],
            vec![format!("{steps} steps")],
        ],
    };
    let titles = &QUALITY[usize::from(width < usize::from(WIDE))..];
    for forms in &forms {
        for title in titles {
            let fits = |form: &&String| title.len() + 3 + form.chars().count() <= width;
            if let Some(form) = forms.iter().find(fits) {
                return (*title, form.clone());
            }
        }
    }
    (titles[titles.len() - 1], forms.into_iter().flatten().last().unwrap_or_default())
}

fn measured(state: &State, model: &ModelView, tuning: &Tuning, full: bool, pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let (text, dim) = (theme.style(Role::Text), theme.style(Role::Dim));
    let quality = QUALITY[usize::from(pane.area.width < WIDE)];
    if model.info.solo {
        pane.title(quality, "not measured");
        pane.note("divergence needs a dense side: start without --solo");
        return;
    }
    let generation = state.run.generation;
    let (figures, is_fresh) = match tuning.figures(generation) {
        Freshness::None => {
            pane.title(quality, "not measured yet");
            let key = state.key_on(Screen::Tune, Command::Open);
            let words = match state.replay {
                true => [
                    "comes with the tokens, where it was measured".to_owned(),
                    "comes with the tokens".to_owned(),
                    "with the tokens".to_owned(),
                ],
                false if state.is_over() => [
                    format!("{key} measures over the last tokens"),
                    format!("{key} measures them"),
                    format!("{key} measures"),
                ],
                false => [
                    format!("comes with the next 64 tokens; {key} asks again"),
                    format!("comes with 64 tokens; {key} asks again"),
                    "comes with 64 tokens".to_owned(),
                ],
            };
            pane.note(best(usize::from(pane.area.width), words));
            return;
        }
        Freshness::Measured(figures) => {
            let (title, note) = measured_title(figures, usize::from(pane.area.width));
            pane.title(title, &note);
            (figures, true)
        }
        Freshness::Stale(figures) => {
            pane.title(
                quality,
                if tuning.is_waiting() { "stale · retuning" } else { "stale · measuring" },
            );
            (figures, false)
        }
    };
    let style = if is_fresh { text } else { dim };
    // Old figures are of the mask that was in use then: the one in use now has none yet, nor has the set
    // one. The line below them is of the dense side, which is the same.
    let now = is_fresh.then_some(figures);
    let applied = (is_fresh && tuning.is_applied(model)).then_some(figures);
    let saved = tuning.figures_of_saved(generation);
    // Figures over other tokens are not shown beside these: they would compare unlike things.
    let other = saved.is_some_and(|saved| !is_comparable(figures, saved));
    let saved = saved.filter(|_| !other);
    let mut line = |label: &str,
                    value: &dyn Fn(&Measured) -> f64,
                    show: &dyn Fn(f64) -> String,
                    signed: &dyn Fn(f64) -> String| {
        let cell = |figures: Option<&Measured>| {
            figures.map_or_else(|| "–".to_owned(), |figures| show(value(figures)))
        };
        let delta = applied
            .zip(saved)
            .map_or_else(String::new, |(set, old)| signed(value(set) - value(old)));
        row(
            pane,
            label,
            dim,
            [cell(now), cell(applied), cell(saved), delta],
            [style, style, text, style],
        );
    };
    let small = |value: f64| number(value as f32);
    let small_signed = |value: f64| format!("{}{}", sign(value), number(value.abs() as f32));
    line("KLD mean", &|figures| figures.divergence.kld.mean, &small, &small_signed);
    line(
        "± stderr",
        &|figures| figures.divergence.kld.stderr,
        &|value| format!("±{}", small(value)),
        &|_| String::new(),
    );
    if full {
        let same = |figures: &Measured| figures.divergence.top1_agreement * 100.0;
        line("same top", &same, &|value| format!("{value:.1} %"), &|value| signed(value, 1));
    }
    let shown = |figures: Option<&Measured>| {
        let beside = figures.and_then(|figures| figures.beside);
        beside.map_or_else(|| "–".to_owned(), |beside| ratio(&beside))
    };
    let beside = |figures: Option<&Measured>| figures.and_then(|figures| figures.beside);
    let faster =
        beside(applied).zip(beside(saved)).map_or_else(String::new, |(set, old)| {
            match set.low <= old.high && old.low <= set.high {
                true => "≈".to_owned(),
                false => signed(set.median - old.median, 2),
            }
        });
    let cells = [shown(now), shown(applied), shown(saved), faster];
    row(pane, "× dense", dim, cells, [style, style, text, style]);
    if full {
        let stored = numbers::bytes(figures.dense_kv as u64);
        let stands = matches!(state.phase, Phase::Paused | Phase::Finished(_));
        let key = state.key_on(Screen::Tune, Command::Open);
        pane.note(match saved {
            None if !state.replay && stands => {
                format!("saved: not measured on these tokens · {key} measures both")
            }
            None if other => format!("saved: not measured on these tokens · pause, then {key}"),
            _ => format!("the dense cache takes {stored} after these steps"),
        });
    }
}

/// The sign of a difference; empty for 0.
fn sign(value: f64) -> &'static str {
    match value {
        v if v > 0.0 => "+",
        v if v < 0.0 => "−",
        _ => "",
    }
}

fn signed(value: f64, digits: usize) -> String {
    numbers::signed(value, digits).replace('-', "−")
}

fn whole(value: i64) -> String {
    format!("{}{}", sign(value as f64), count(value.unsigned_abs() as usize))
}

fn weight(new: u64, old: u64) -> String {
    format!("{}{}", sign(new as f64 - old as f64), numbers::bytes(new.abs_diff(old)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::worker::event::{Event, Subject};
    use crate::tui::testing::measured;

    /// Which tokens figures are over was once the first that a narrow title lost.
    #[test]
    fn the_title_of_figures_says_their_tokens_before_all_other_words() {
        let title = |repeats: usize, width| {
            let Event::Measured(mut one) = measured(Subject::Now(0), 0.02, 0) else {
                panic!("figures")
            };
            one.repeats = repeats;
            let (title, note) = measured_title(&one, width);
            format!("{title} {note}")
        };
        assert_eq!(title(0, 80), "quality and speed measured · 64 steps, ctx 1,601–1,664, forced");
        assert_eq!(title(0, 46), "quality and speed 64 steps, ctx 1,601–1,664");
        assert_eq!(title(0, 35), "quality 64 steps, ctx 1,601–1,664");
        assert_eq!(title(0, 28), "quality ctx 1,601–1,664");
        assert_eq!(title(0, 20), "quality 64 steps");
        assert_eq!(title(64, 62), "quality and speed 64 steps, ctx 1,601–1,664, all in a loop");
        assert_eq!(title(64, 54), "quality 64 steps, ctx 1,601–1,664, all in a loop");
        assert_eq!(title(56, 42), "quality ctx 1,601–1,664, 56 in a loop");
        assert_eq!(title(56, 34), "quality 64 steps, 56 in a loop");
    }
}
