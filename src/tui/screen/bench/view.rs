//! Draws the bench: the table of rows, and the plot below it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::numbers::counted;
use crate::spread::p999_name;
use crate::tui::app::action::Command;
use crate::tui::app::areas;
use crate::tui::app::editing::with_bar;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::Role;
use crate::tui::fitting::{best, named};
use crate::tui::paint::{placeholder, put, roughly};
use crate::tui::screen::Screen;
use crate::tui::screen::bench::columns::{COLUMNS, COUNT, FIGURES, NAME, RULE, TAIL, pages};
use crate::tui::screen::bench::layout::BenchAreas;
use crate::tui::screen::bench::rows::{BenchRows, cells, rows};
use crate::tui::screen::bench::state::BenchColumn;
use crate::tui::screen::bench::update::LONGEST_FILTER;
use crate::tui::screen::bench::{candidates, layout, notes, plot};
use crate::tui::screen::tune::state::Tuning;
use crate::tui::widget::pane::Pane;

/// The numbers of the rows on screen, in order.
pub(super) fn shown_ids(state: &State) -> Vec<u64> {
    let rows = state.screens.tune.as_ref().map(|tuning| rows(state, tuning).rows);
    rows.into_iter().flatten().map(|row| row.pin.id).collect()
}

/// Pages of columns at the present size.
pub(super) fn page_count(state: &State) -> usize {
    let Some(tuning) = &state.screens.tune else { return 1 };
    let table = areas(state, areas::areas(state).main).table;
    let rows = rows(state, tuning);
    let cells: Vec<_> = rows.rows.iter().map(|row| cells(state, row)).collect();
    of_pages(&cells, table.width).len()
}

/// The columns of every page for these rows.
fn of_pages(cells: &[[String; COUNT]], width: u16) -> Vec<Vec<usize>> {
    pages(usize::from(width), |at| cells.iter().any(|row| !row[at].is_empty()))
}

/// Whether there is a plot below the table.
pub(super) fn shows_plot(state: &State) -> bool {
    areas(state, areas::areas(state).main).plot.is_some()
}

/// The parts of the screen.
pub(super) fn areas(state: &State, area: Rect) -> BenchAreas {
    match &state.screens.tune {
        Some(tuning) => areas_of(state, &rows(state, tuning), area),
        None => layout::parts(state, area, (0, 0), wants_plot(state)),
    }
}

fn wants_plot(state: &State) -> bool {
    state.shows_panel(true)
}

/// The parts of the screen for these rows.
fn areas_of(state: &State, rows: &BenchRows<'_>, area: Rect) -> BenchAreas {
    let pins = state.screens.bench.pins().len();
    let below = match pins {
        0 => 0,
        _ => below_rows(state, rows, layout::inside(area).width).len(),
    };
    layout::parts(state, area, (pins, below), wants_plot(state))
}

/// The lines below the rows.
fn below_rows(state: &State, rows: &BenchRows<'_>, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width.saturating_sub(2));
    let lines = rows.notes.iter().flat_map(|note| {
        let style = state.theme.style(note.role);
        wrap(std::iter::once((note.text.as_str(), style)), width, 4_000)
    });
    lines.collect()
}

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(tuning) = &state.screens.tune else { return placeholder(state, area, buffer) };
    let rows = rows(state, tuning);
    let parts = areas_of(state, &rows, area);
    table(state, tuning, &rows, parts.table, buffer);
    if let Some(area) = parts.plot {
        plot::render(state, &rows, area, buffer);
    }
}

fn table(state: &State, tuning: &Tuning, rows: &BenchRows<'_>, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let bench = &state.screens.bench;
    let mut pane = Pane::new(area, theme, buffer);
    let all: Vec<[String; COUNT]> = rows.rows.iter().map(|row| cells(state, row)).collect();
    let pages = of_pages(&all, area.width);
    let page = bench.page.min(pages.len() - 1);
    let room = usize::from(area.width).saturating_sub("bench".len() + 3);
    let forms = [false, true].map(|is_short| note(state, &pages, page, is_short));
    pane.title("bench", &best(room, forms));
    if bench.pins().is_empty() {
        return candidates::keys(state, tuning, &mut pane);
    }
    let width = usize::from(area.width);
    let chosen = &pages[page];
    let others: usize =
        chosen.iter().filter(|&&at| at != NAME).map(|&at| COLUMNS[at].width + 2).sum();
    // Names get what the others leave, as far as they need it.
    let longest = all.iter().map(|row| row[NAME].chars().count()).max().unwrap_or(0);
    let room = width.saturating_sub(others + 4).clamp(8, longest.max(COLUMNS[NAME].width));
    let cell = |at: usize, text: &str| match at {
        NAME => format!("{:<room$}", named(text, room)),
        RULE => {
            let width = COLUMNS[RULE].width;
            format!("  {:<width$}", named(text, width))
        }
        _ => format!("  {text:>0$}", COLUMNS[at].width),
    };
    let steps = bench.steps().unwrap_or(usize::MAX);
    let title = |at: usize| match at {
        TAIL => p999_name(steps),
        _ => COLUMNS[at].title,
    };
    let titles: String = chosen.iter().map(|&at| cell(at, title(at))).collect();
    pane.line(Line::styled(format!("  {titles}"), theme.style(Role::Dim)));
    let selected = rows.rows.iter().position(|row| Some(row.pin.id) == bench.selected);
    let first = layout::first_row(area, selected.unwrap_or(0));
    let is_earlier = bench.is_of_earlier(state.run.generation);
    for (row, texts) in rows.rows.iter().zip(&all).skip(first) {
        let Some(line) = pane.take(1) else { break };
        let pin = row.pin;
        let is_measured = row.figures.is_some();
        let filled = chosen.iter().filter(|&&at| is_measured || at < FIGURES);
        let text: String = filled.map(|&at| cell(at, said_of(at, texts))).collect();
        let is_used = state.model.as_ref().is_some_and(|model| {
            *model.plan() == pin.plan && model.info.window == pin.draft.window
        });
        let mark = if is_used { "● " } else { "  " };
        let said = if bench.is_unpruned(pin) { "nothing pruned" } else { "not measured" };
        let missing = if is_measured { String::new() } else { missing(said, chosen, texts, &cell) };
        let role = if is_measured && !is_earlier { Role::Text } else { Role::Dim };
        let shown = match Some(pin.id) == bench.selected {
            true => Line::styled(format!("{mark}{text}{missing}"), theme.selected()),
            false => Line::from(vec![
                Span::styled(mark, theme.style(Role::Good)),
                Span::styled(text, theme.style(role)),
                Span::styled(missing, theme.style(Role::Dim)),
            ]),
        };
        put(pane.buffer, line, 0, 0, shown);
    }
    for line in below_rows(state, rows, area.width) {
        if let Some(area) = pane.take(1) {
            put(pane.buffer, area, 2, 0, line);
        }
    }
    if rows.rows.is_empty() {
        pane.note(format!("no row has {} in its name or rule", bench.filter));
    }
}

/// What a cell says: of a figure that is not there, that it is not.
fn said_of(at: usize, texts: &[String; COUNT]) -> &str {
    match texts[at].as_str() {
        "" if at >= FIGURES => "–",
        text => text,
    }
}

/// What is not measured is said once, and every further column has its mark, or what is known of the
/// row without a measurement.
fn missing(
    what: &str,
    chosen: &[usize],
    texts: &[String; COUNT],
    cell: &impl Fn(usize, &str) -> String,
) -> String {
    let shown = |at: usize| cell(at, said_of(at, texts));
    let figures = || chosen.iter().copied().filter(|&at| at >= FIGURES);
    let said: usize = figures().take(2).map(|at| COLUMNS[at].width + 2).sum();
    // Columns that something is known of are no place for the words.
    let is_taken = figures().take(2).any(|at| !texts[at].is_empty());
    if is_taken || said < what.len() + 2 {
        return figures().map(shown).collect();
    }
    format!("{what:>said$}{}", figures().skip(2).map(shown).collect::<String>())
}

/// What the figures are over, what is being measured, the columns that have no room, the order and
/// the filter.
fn note(state: &State, pages: &[Vec<usize>], page: usize, is_short: bool) -> String {
    let bench = &state.screens.bench;
    let measures = state.key_on(Screen::Bench, Command::Sweep);
    let mut parts = Vec::new();
    if bench.pins().is_empty() {
        parts.push("nothing is pinned yet".to_owned());
    }
    if let Some(typed) = &bench.typing {
        parts.push(format!("filter {}", with_bar(typed, LONGEST_FILTER + 1)));
    } else if !bench.filter.is_empty() {
        parts.push(format!("filter {}", bench.filter));
    }
    let about = |trials: usize| {
        let seconds = state.run.pairs.trial_seconds().map(|seconds| seconds * trials as f64);
        seconds.map_or_else(String::new, |seconds| format!(", about {}", roughly(seconds)))
    };
    if bench.is_running(state.run.generation) {
        let (done, all) = bench.progress(state.run.generation);
        parts.push(format!("{done} of {all}{} left · {measures} stops", about(all - done)));
    } else if let Some(over) = bench.over() {
        let weakness = over.weakness().map_or_else(String::new, |weak| format!(", {weak}"));
        let covered = match is_short {
            true => format!("{}{weakness}", counted(over.divergence.steps, "step", "steps")),
            false => format!("{}{weakness}", over.covered()),
        };
        let few = if notes::too_few(state).is_some() { "too few to rank: " } else { "" };
        match bench.is_of_earlier(state.run.generation) {
            true if is_short => parts.push(format!("{few}run before, {covered}")),
            true => parts.push(format!("{few}run before, {covered} · {measures} measures this")),
            false if is_short => parts.push(format!("{few}{covered}")),
            false => parts.push(format!("{few}over the same {covered}")),
        }
    } else if let Some(why) = steer::measures_nothing(state) {
        parts.push(format!("not measured: {why}"));
    } else if !bench.pins().is_empty() {
        parts.push(format!("{measures} measures{}", about(bench.pins().len())));
    }
    if !bench.pins().is_empty() && pages.len() > 1 {
        let hidden: usize = pages[1..].iter().map(|page| page.len() - 1).sum();
        parts.push(match page {
            0 => {
                let more = counted(hidden, "column", "columns");
                format!("+{more} {}", state.key_on(Screen::Bench, Command::Right))
            }
            page => {
                let back = state.key_on(Screen::Bench, Command::Left);
                format!("page {} of {}, {back} back", page + 1, pages.len())
            }
        });
    }
    if bench.sort != BenchColumn::Pinned || bench.descending {
        let arrow = if bench.descending { "↓" } else { "↑" };
        parts.push(format!("{arrow} {}", bench.sort.name()));
    }
    parts.join(" · ")
}
