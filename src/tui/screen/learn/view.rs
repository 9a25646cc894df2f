//! Learning a mask: the form, the progress, importance as it changes, losses, and the verdict.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::learn::check::{CheckRow, Counts};
use crate::learn::run::LearnMethod;
use crate::learn::train::Stage;
use crate::learn::worker::Done;
use crate::mask::{ChannelMask, Importance, Rule, bytes};
use crate::numbers::{self, count};
use crate::printable::wrapped;
use crate::tui::app::action::Command;
use crate::tui::app::editing::with_bar;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::side;
use crate::tui::app::state::State;
use crate::tui::color::{Role, Shade};
use crate::tui::fitting::{best, tail};
use crate::tui::paint::{put, roughly};
use crate::tui::screen::Screen;
use crate::tui::screen::learn::form::Field;
use crate::tui::screen::learn::state::{Learning, LearningPart};
use crate::tui::screen::learn::{layout, outline};
use crate::tui::screen::map::layout::{Grid, grid};
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Chart, Heatmap, meter};

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let areas = layout::learn(state, area);
    form(state, areas.form, buffer);
    progress(state, areas.progress, buffer);
    let learning = &state.screens.learn;
    let rows = learning.done.as_ref().map_or(&[][..], |done| &done.rows);
    let mut pane = Pane::new(areas.right, &state.theme, buffer);
    let below = match rows.len() as u16 {
        0 => 0,
        rows => rows + 3,
    };
    let least_map = 7;
    let curve_rows =
        (pane.area.height.saturating_sub(below + least_map) / 3).saturating_sub(2).min(6);
    let curves =
        if learning.updates.is_empty() || curve_rows < 2 { 0 } else { 2 * (curve_rows + 2) };
    let map_rows = pane.area.height.saturating_sub(below + curves);
    if let Some(area) = pane.take(map_rows) {
        importance(state, area, pane.buffer);
    }
    if curves > 0 {
        losses(state, curve_rows, &mut pane);
    }
    if !rows.is_empty() {
        verdict(state, rows, &mut pane);
    }
}

/// The fields and their values.
fn form(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let learning = &state.screens.learn;
    let mut pane = Pane::new(area, theme, buffer);
    let key =
        |command| state.keys.key_of(KeyContext::Screen(Screen::Learn), command).unwrap_or_default();
    let note = match learning.runs() {
        _ if state.replay => "not in a recording".to_owned(),
        true => format!("{} cancels", key(Command::CancelLearning)),
        false => format!("{} starts", key(Command::Learn)),
    };
    pane.title("make a mask", &note);
    for field in Field::of(learning.form.method) {
        let Some(line) = pane.take(1) else { return };
        let selected = field == learning.field;
        let style = if selected { theme.selected() } else { theme.style(Role::Text) };
        let (value, meaning) = learning.form.value(field);
        let room = usize::from(area.width).saturating_sub(11);
        let text = match learning.typing.as_ref().filter(|_| selected) {
            Some(input) => with_bar(input, room),
            None if field.is_text() => tail(&value, room),
            None => format!("{value:<7}{meaning}"),
        };
        put(
            pane.buffer,
            line,
            0,
            0,
            Line::styled(format!(" {:<9}{text:<room$} ", field.name()), style),
        );
    }
}

/// Stage, time left, and the figures of the last update.
fn progress(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let learning = &state.screens.learn;
    let mut pane = Pane::new(area, theme, buffer);
    let (part, role) = part_words(learning);
    if learning.part == LearningPart::Idle {
        pane.title(&part, "");
        pane.note("no mask is made yet");
        estimate(state, &mut pane);
        // The words are beside what a run does.
        side::tail(state, &mut pane);
        return;
    }
    pane.title(&part, &time(learning.seconds(state.now_ms)));
    if let LearningPart::Failed(reason) = &learning.part {
        sentence(reason, &mut pane, theme.style(Role::Bad));
    }
    let settings = learning.order.as_ref().map(|order| &order.settings);
    if learning.runs()
        && let Some(bar) = pane.take(1)
    {
        for x in bar.x..bar.right() {
            pane.buffer[(x, bar.y)].set_symbol("─").set_style(theme.style(Role::Border));
        }
        meter(learning.shares().1, theme.style(role), bar, pane.buffer);
        let left = learning.left_seconds(state.now_ms).map_or_else(|| "–".to_owned(), time);
        pane.row("this part", format!("{left} left"));
    }
    if let Some(done) = &learning.done {
        ending(state, done, &mut pane);
    } else if let Some(update) = learning.updates.last() {
        let all = settings
            .map_or(0, |s| if update.stage == Stage::Mask { s.mask_steps } else { s.steps });
        pane.row(
            "update",
            format!(
                "{} of {all}, stage {}",
                update.step + 1,
                if update.stage == Stage::Mask { 2 } else { 1 }
            ),
        );
        pane.row("distill", format!("{:.5}", update.distill));
        pane.row("reg", format!("{:.5}", update.reg));
        pane.row("mean", format!("factor {:.3}", update.mean));
        let target = settings.map_or(0.0, |settings| settings.sparsity);
        pane.row(
            "cut keeps",
            format!("{:.1} %, target {:.0} %", update.kept * 100.0, (1.0 - target) * 100.0),
        );
    }
    if let Some((cut, kept)) = learning.validated {
        let forms = [format!("cut {cut:.4}, kept {kept:.4}"), format!("{cut:.4}, kept {kept:.4}")];
        pane.row("validated", best(pane.room(), forms));
    }
    if let Some(mask) = &learning.cut {
        let saved = bytes::savings(mask, None);
        let [k, v, kv] = [saved.k, saved.v, saved.kv].map(|share| format!("{:.0}", share * 100.0));
        let forms = [
            format!("K −{k} % V −{v} % K+V −{kv} %"),
            format!("K −{k} V −{v} K+V −{kv} %"),
            format!("K+V −{kv} %"),
        ];
        pane.row("middle", best(pane.room(), forms));
    }
    for (task, dense) in &learning.dense {
        pane.row("dense", format!("{} {} of {}", task_words(*task), dense.right, dense.asked));
    }
    if !learning.runs()
        && let Some((estimate, _)) = &learning.estimate
    {
        pane.row("next run", format!("about {}", roughly(estimate.total())));
    }
    if learning.dropped > 0 {
        pane.note(format!("{} progress notices dropped", count(learning.dropped as usize)));
    }
    side::meanings(state, words(learning.ordered()), &mut pane);
    side::tail(state, &mut pane);
}

/// The words of a method's progress and curves.
pub(super) fn words(method: LearnMethod) -> &'static [(&'static str, &'static str)] {
    match method {
        LearnMethod::Sensitivity => &MEASURED,
        LearnMethod::Leank => &LEARNED,
    }
}

const MEASURED: [(&str, &str); 2] = [
    (
        "importance",
        "of a channel: the damage that leaving it out is predicted to do, shown by its rank, 0 to 1",
    ),
    ("dropped", "a head whose middle costs more bytes than its damage is worth: its V goes too"),
];

const LEARNED: [(&str, &str); 5] = [
    ("factor", "of a channel, 0 to 1: how much of it attention sees while it is learned"),
    ("distill", "mean squared difference of the model's last states, factors against exact"),
    ("reg", "what large factors cost: it presses them down until distill grows"),
    ("cut keeps", "the share of K channels that the target would keep now"),
    (
        "validated",
        "distill on held-out prompts: of the importance cut at the target, and of the mask",
    ),
];

/// About what a run of the form takes on this machine.
fn estimate(state: &State, pane: &mut Pane<'_>) {
    let Some((estimate, free)) = &state.screens.learn.estimate else {
        if !state.replay {
            pane.note(state.awaited("an estimate comes with decoding"));
        }
        return;
    };
    pane.title("a run takes", "by this session");
    pane.row("time", format!("about {}", roughly(estimate.total())));
    let [pool, updates, check] = estimate.seconds;
    match state.screens.learn.form.method {
        LearnMethod::Sensitivity => pane.row("measuring", format!("about {}", roughly(pool))),
        LearnMethod::Leank => {
            pane.row("prefills", format!("about {}", roughly(pool)));
            pane.row("updates", format!("about {}", roughly(updates)));
        }
    }
    if check > 0.0 {
        pane.row("check", format!("about {}", roughly(check)));
    }
    let bytes = numbers::bytes(estimate.bytes);
    let free_words = free.map(numbers::bytes);
    let long = free_words.as_ref().map(|free| format!("about {bytes}, {free} free"));
    let memory = match (long, free_words) {
        (Some(long), _) if long.chars().count() <= pane.room() => long,
        (_, Some(free)) => format!("{bytes} of {free}"),
        _ => format!("about {bytes}"),
    };
    pane.row("memory", memory);
    if free.is_some_and(|free| free < estimate.bytes) {
        let words = match state.screens.learn.form.method {
            LearnMethod::Sensitivity => "more than is free: a shorter context needs less",
            LearnMethod::Leank => {
                "more than is free: a shorter context or a smaller pool needs less"
            }
        };
        sentence(words, pane, state.theme.style(Role::Bad));
    }
}

/// The verdict, and where the mask is.
fn ending(state: &State, done: &Done, pane: &mut Pane<'_>) {
    let theme = &state.theme;
    if let Some(verdict) = &done.verdict {
        let role = match (verdict.ship, verdict.has_evidence) {
            (true, _) => Role::Good,
            (false, true) => Role::Bad,
            (false, false) => Role::Warn,
        };
        pane.line(Line::styled(verdict.word().to_owned(), theme.style(role)));
        sentence(&verdict.reason, pane, theme.style(Role::Dim));
    } else {
        pane.note("no check was made, so there is no verdict");
    }
    let room = usize::from(pane.area.width).saturating_sub(11);
    pane.row("file", tail(&done.out.display().to_string(), room));
}

fn task_words(task: crate::learn::data::Task) -> &'static str {
    use crate::learn::data::Task;
    match task {
        Task::Codes => "codes",
        Task::Passkey => "passkey",
        Task::MultiKey => "multi-key",
        Task::MultiValue => "multi-value",
        Task::Text => "text",
    }
}

/// What the run is doing, and its colour.
fn part_words(learning: &Learning) -> (String, Role) {
    match &learning.part {
        LearningPart::Idle => ("progress".to_owned(), Role::Dim),
        LearningPart::Pool(done, all) => {
            let doing = match learning.ordered() {
                LearnMethod::Sensitivity => "measuring",
                LearnMethod::Leank => "prefilling",
            };
            (format!("{doing} {done} of {all}"), Role::Accent)
        }
        LearningPart::Importance => ("stage 1: importance".to_owned(), Role::Accent),
        LearningPart::Masks => ("stage 2: the mask itself".to_owned(), Role::Accent),
        LearningPart::Check(share) => {
            (format!("held-out check {:.0} %", share * 100.0), Role::Accent)
        }
        LearningPart::Done => ("done".to_owned(), Role::Good),
        LearningPart::Cancelled => ("stopped".to_owned(), Role::Warn),
        LearningPart::Failed(_) => ("failed".to_owned(), Role::Bad),
    }
}

/// A duration in minutes and seconds.
fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// A sentence over as many lines as it needs.
fn sentence(text: &str, pane: &mut Pane<'_>, style: ratatui::style::Style) {
    for line in wrapped(text, usize::from(pane.area.width)) {
        pane.line(Line::styled(line, style));
    }
}

/// Importance as the map shows it: a row per layer, a strip per head, dropped heads marked with
/// crosses.
fn importance(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let learning = &state.screens.learn;
    let mut pane = Pane::new(area, theme, buffer);
    let mut forms = Vec::new();
    if let Some(cut) = &learning.cut {
        let (dropped, heads) = (dropped(cut), cut.shape().heads());
        forms.push(format!("0 to 1 · {dropped} of {heads} heads dropped"));
        forms.push(format!("{dropped} of {heads} dropped"));
    }
    forms.push("0 to 1".to_owned());
    let room = usize::from(area.width).saturating_sub("importance".len() + 3);
    pane.title("importance", &best(room, forms));
    let Some(factors) = &learning.factors else {
        pane.note(match (learning.ordered(), learning.runs()) {
            (LearnMethod::Sensitivity, true) => "comes at the end of the measurement",
            (LearnMethod::Leank, true) => "comes with the first update",
            (_, false) => "as it is found",
        });
        outline::render(state, &mut pane);
        return;
    };
    let grid = grid(state, pane.area, factors.shape());
    for (line, layers) in grid.lines.iter().enumerate() {
        let layer = layers.start;
        for head in grid.heads.clone() {
            let Some(strip) = grid.strip_of(layer, head) else { continue };
            draw_strip(state, &grid, factors, (layers.clone(), head), strip, pane.buffer);
        }
        let y = grid.y_of(line);
        if y < grid.area.bottom() {
            put(
                pane.buffer,
                pane.area,
                0,
                y - pane.area.y,
                Line::styled(format!(" L{layer:02}"), theme.style(Role::Dim)),
            );
        }
    }
    for head in grid.heads.clone() {
        let x = grid.area.x + (head - grid.heads.start) as u16 * (grid.strip + 1);
        let room = Rect { x, width: grid.strip, ..grid.labels };
        put(pane.buffer, room, 0, 0, Line::styled(format!("h{head}"), theme.style(Role::Dim)));
    }
}

fn dropped(mask: &ChannelMask) -> usize {
    mask.kept_counts().iter().filter(|&&count| count == 0).count()
}

/// Factors of one strip, with pairs folded as on the map: channel i above, its partner below.
fn draw_strip(
    state: &State,
    grid: &Grid,
    factors: &Importance,
    (layers, head): (Range<usize>, usize),
    strip: Rect,
    buffer: &mut Buffer,
) {
    let pairs = grid.shape.pairs();
    let layer = layers.start;
    let mean = |layer: usize, channels: &mut dyn Iterator<Item = usize>| {
        let values = factors.head(layer, head);
        let (mut sum, mut number) = (0.0, 0_usize);
        channels.for_each(|channel| (sum, number) = (sum + values[channel], number + 1));
        Shade::Share(sum / number.max(1) as f32)
    };
    let pixel = |x: u16, y: u16| match layers.len() {
        2 => mean(
            layer + usize::from(y),
            &mut grid.pairs_at(x).flat_map(|pair| [pair, pair + pairs]),
        ),
        _ => mean(
            layer,
            &mut grid.pairs_at(x).map(|pair| if y < grid.rows { pair } else { pair + pairs }),
        ),
    };
    let is_dropped = |layer: usize| {
        state.screens.learn.cut.as_ref().is_some_and(|cut| cut.kept_count(layer, head) == 0)
    };
    let (top, bottom) = (is_dropped(layer), is_dropped(layers.end - 1));
    Heatmap::new(&state.theme, pixel).crossed_halves(top, bottom).render(strip, buffer);
}

/// Distillation and regularisation over the updates of both stages.
fn losses(state: &State, rows: u16, pane: &mut Pane<'_>) {
    let updates = &state.screens.learn.updates;
    let theme = &state.theme;
    let parts: [(&str, Role, Vec<f64>); 2] = [
        ("distill", Role::Loss, updates.iter().map(|update| update.distill).collect()),
        ("reg", Role::Dim, updates.iter().map(|update| update.reg).collect()),
    ];
    for (name, role, values) in parts {
        let chart = Chart::new(&values, theme.style(role));
        let last = values.last().copied().unwrap_or(0.0);
        pane.title(name, &format!("now {last:.5} · up to {:.5}", chart.highest()));
        if let Some(area) = pane.take(rows) {
            chart.render(area, pane.buffer);
        }
    }
}

/// One line per row of the check.
fn verdict(state: &State, rows: &[CheckRow], pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let answers = rows.first().map_or(0, |row| row.asked);
    /// Columns from which on all figures have room, and those of a narrow table.
    const WIDE: u16 = 56;
    const NARROW: u16 = 38;
    let width = pane.area.width;
    let note = match width {
        WIDE.. => format!("{answers} answers, dense and learned"),
        NARROW.. => "* its own counts".to_owned(),
        _ => "* own".to_owned(),
    };
    pane.title(if width < NARROW { "check" } else { "held-out check" }, &note);
    pane.note(match width {
        WIDE.. => "rule       counts   pruned  recall digit NLL     KLD",
        NARROW.. => "rule       pruned recall   NLL     KLD",
        _ => "rule       recall    KLD",
    });
    for row in rows {
        let counts = if row.counts == Counts::Learned { "learned" } else { "own" };
        let percent = |share: f64| numbers::percent(share, 1);
        let (pruned, recall) = (percent(row.sparsity), percent(row.recall));
        let mark = if row.counts == Counts::Own && row.rule != Rule::DENSE { "*" } else { "" };
        let (rule, short) = (format!("{}{mark}", row.rule.words), row.recall * 100.0);
        let short = format!("{short:.0} %");
        let text = match width {
            WIDE.. => format!(
                "{:<10} {counts:<8}{pruned:>7} {recall:>7}  {:>8.3} {:>7.4}",
                row.rule.words, row.digit_nll, row.kld_mean
            ),
            NARROW.. => format!(
                "{rule:<10} {pruned:>6} {short:>6} {:>5.2} {:>7.4}",
                row.digit_nll, row.kld_mean
            ),
            _ => format!("{rule:<10} {short:>6} {:>6.3}", row.kld_mean),
        };
        let role = match row.rule {
            rule if rule == Rule::LEARNED => Role::Good,
            rule if rule == Rule::DENSE => Role::Text,
            _ => Role::Dim,
        };
        pane.line(Line::from(Span::styled(text, theme.style(role))));
    }
}
