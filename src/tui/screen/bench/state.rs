//! The rows of the bench, their figures, and how they are shown.

use tui_input::Input;

use crate::decode::worker::Trial;
use crate::decode::worker::event::Measured;
use crate::eval::run::plan_fingerprint;
use crate::mask::CachePlan;
use crate::tui::screen::tune::state::{Against, Draft, is_comparable};

/// Trials from this number on are the bench's; those of Tune count from 1.
const FIRST_ID: u64 = 1 << 40;

/// Most rows.
pub const MOST: usize = 200;

/// A mask or plan on the bench.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinned {
    /// The number of its trial.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How it was made: points of one rule are one curve of the plot.
    pub rule: String,
    /// The settings that make it.
    pub draft: Draft,
    /// Its plan.
    pub plan: CachePlan,
    /// That of its plan, by which evaluations know it.
    pub fingerprint: String,
    /// The bytes that it was made to take.
    pub aim: Option<Aim>,
    /// The run in which the engine was asked to measure it, and has not answered yet.
    asked: Option<u64>,
    /// The last measurement, and the number of the run it was made in.
    measured: Option<(u64, Measured)>,
}

/// The bytes that a row was made to take, at a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aim {
    /// Of K and V.
    pub bytes: u64,
    /// The context in tokens.
    pub tokens: usize,
}

/// What became of a plan that was to be pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is a new row.
    New,
    /// The row of this name is the same plan with the same window.
    Known(String),
    /// There are [`MOST`] rows already.
    Full,
}

/// A rule that gave no row, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The rule, in words.
    pub rule: &'static str,
    /// Why it has no row.
    pub why: String,
}

/// A column that rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchColumn {
    /// The order of pinning.
    Pinned,
    /// The name.
    Name,
    /// Bytes at the target context.
    Bytes,
    /// Mean KLD.
    Mean,
    /// Median KLD.
    Median,
    /// The 99.9th percentile of the KLD; of fewer than 1,000 steps that is the largest.
    Tail,
    /// Share of steps with the same top token.
    Top,
    /// Time of a step over that of a dense step beside it.
    Time,
}

impl BenchColumn {
    /// All columns, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Pinned,
        Self::Name,
        Self::Bytes,
        Self::Mean,
        Self::Median,
        Self::Tail,
        Self::Top,
        Self::Time,
    ];

    /// Its words in the title.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pinned => "as pinned",
            Self::Name => "name",
            Self::Bytes => "bytes",
            Self::Mean => "mean KLD",
            Self::Median => "median KLD",
            Self::Tail => "largest KLD",
            Self::Top => "same top",
            Self::Time => "time / dense",
        }
    }
}

/// State of the screen.
#[derive(Debug, Clone)]
pub struct MaskBench {
    pins: Vec<Pinned>,
    /// Rules that gave no row when every rule was asked for.
    pub left_out: Vec<LeftOut>,
    next_id: u64,
    /// The selected row.
    pub selected: Option<u64>,
    /// The row that others are compared with.
    pub baseline: Option<u64>,
    /// What rows are sorted by.
    pub sort: BenchColumn,
    /// Whether the largest comes first.
    pub descending: bool,
    /// Text that shown rows have in their name or rule.
    pub filter: String,
    /// The filter while it is typed.
    pub typing: Option<Input>,
    /// The x axis of the plot.
    pub against: Against,
    /// The page of columns that is shown; the first has the most important ones.
    pub page: usize,
}

impl Default for MaskBench {
    fn default() -> Self {
        Self {
            pins: Vec::new(),
            left_out: Vec::new(),
            next_id: FIRST_ID,
            selected: None,
            baseline: None,
            sort: BenchColumn::Pinned,
            descending: false,
            filter: String::new(),
            typing: None,
            against: Against::Bytes,
            page: 0,
        }
    }
}

/// Whether a mask that leaves something out left nothing out in the steps of its measurement.
fn is_unpruned(pin: &Pinned, figures: &Measured) -> bool {
    figures.is_before_middle() && !pin.plan.is_full()
}

impl MaskBench {
    /// Whether a trial is one of the bench's.
    pub fn owns(id: u64) -> bool {
        id >= FIRST_ID
    }

    /// All rows, in the order of pinning.
    pub fn pins(&self) -> &[Pinned] {
        &self.pins
    }

    /// A row by its number.
    pub fn pin(&self, id: u64) -> Option<&Pinned> {
        self.pins.iter().find(|pin| pin.id == id)
    }

    /// Pins a plan. One that is pinned already, with the same window, stays as it is.
    pub fn add(&mut self, name: String, rule: String, draft: Draft, plan: CachePlan) -> Added {
        let known =
            self.pins.iter().find(|pin| pin.plan == plan && pin.draft.window == draft.window);
        if let Some(known) = known {
            return Added::Known(known.name.clone());
        }
        if self.pins.len() >= MOST {
            return Added::Full;
        }
        let (id, name) = (self.next_id, self.free_name(name));
        self.next_id += 1;
        let fingerprint = plan_fingerprint(&plan);
        let (aim, asked, measured) = (None, None, None);
        self.pins.push(Pinned { id, name, rule, draft, plan, fingerprint, aim, asked, measured });
        self.selected.get_or_insert(id);
        Added::New
    }

    /// A name that no row has: this one, with a number where it is taken.
    fn free_name(&self, name: String) -> String {
        let is_free = |name: &String| self.pins.iter().all(|pin| pin.name != *name);
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let found = std::iter::once(name.clone()).chain(numbered).find(is_free);
        found.unwrap_or(name)
    }

    /// Pins a plan that was made to take so many bytes.
    pub fn add_at(&mut self, aim: Aim, rule: &'static str, draft: Draft, plan: CachePlan) -> Added {
        let added = self.add(rule.to_owned(), rule.to_owned(), draft, plan);
        if let (Added::New, Some(pin)) = (&added, self.pins.last_mut()) {
            pin.aim = Some(aim);
        }
        added
    }

    /// Takes a row off.
    pub fn remove(&mut self, id: u64) {
        let at = self.pins.iter().position(|pin| pin.id == id);
        self.pins.retain(|pin| pin.id != id);
        self.baseline = self.baseline.filter(|&other| other != id);
        // The row that takes its place is selected.
        let next = at.map(|at| at.min(self.pins.len().saturating_sub(1)));
        self.selected = next.and_then(|at| Some(self.pins.get(at)?.id));
    }

    /// Takes all rows off; how they are shown stays.
    pub fn clear(&mut self) {
        self.pins.clear();
        self.left_out.clear();
        (self.selected, self.baseline) = (None, None);
    }

    /// All rows as trials, for one measurement over the same tokens of the run of this number.
    pub fn begin(&mut self, generation: u64) -> Vec<Trial> {
        let trial = |pin: &mut Pinned| {
            pin.asked = Some(generation);
            Trial { id: pin.id, plan: pin.plan.clone(), window: pin.draft.window }
        };
        self.pins.iter_mut().map(trial).collect()
    }

    /// Gives up what is not measured yet.
    pub fn stop(&mut self) {
        self.pins.iter_mut().for_each(|pin| pin.asked = None);
    }

    /// Whether rows are being measured in the run of this number.
    pub fn is_running(&self, generation: u64) -> bool {
        self.pins.iter().any(|pin| pin.asked == Some(generation))
    }

    /// Rows that are measured, and rows.
    pub fn progress(&self, generation: u64) -> (usize, usize) {
        let waits = |pin: &&Pinned| pin.asked == Some(generation);
        (self.pins.len() - self.pins.iter().filter(waits).count(), self.pins.len())
    }

    /// Takes the figures of a trial of the run of this number.
    pub fn take(&mut self, id: u64, generation: u64, measured: Measured) {
        if let Some(pin) = self.pins.iter_mut().find(|pin| pin.id == id) {
            pin.asked = None;
            pin.measured = Some((generation, measured));
        }
    }

    /// The number of the newest run that rows were measured in.
    fn measured_in(&self) -> Option<u64> {
        self.pins.iter().filter_map(|pin| Some(pin.measured.as_ref()?.0)).max()
    }

    /// Whether the figures are of an earlier run than the one of this number.
    pub fn is_of_earlier(&self, generation: u64) -> bool {
        self.measured_in().is_some_and(|of| of != generation)
    }

    /// The figures of a row that may stand beside those of the others: of the newest run that was
    /// measured, over the same tokens as the newest ones, and of steps in which its mask pruned
    /// something. `None` where it was not measured so.
    pub fn figures<'a>(&'a self, pin: &'a Pinned) -> Option<&'a Measured> {
        self.measured_beside(pin).filter(|figures| !is_unpruned(pin, figures))
    }

    /// Whether a row was measured over the tokens of the others where nothing was pruned yet: its
    /// losses of 0 are those of the dense cache.
    pub fn is_unpruned(&self, pin: &Pinned) -> bool {
        self.measured_beside(pin).is_some_and(|figures| is_unpruned(pin, figures))
    }

    /// What was measured of a row over the same tokens as the newest figures of all rows.
    pub fn measured_beside<'a>(&'a self, pin: &'a Pinned) -> Option<&'a Measured> {
        let newest_run = self.measured_in()?;
        let of_run = |pin: &'a Pinned| {
            pin.measured.as_ref().filter(|(of, _)| *of == newest_run).map(|(_, figures)| figures)
        };
        let newest =
            self.pins.iter().filter_map(of_run).max_by_key(|figures| figures.divergence.steps)?;
        of_run(pin).filter(|figures| is_comparable(newest, figures))
    }

    /// What was last measured over the same tokens, of any row: which steps those are.
    pub fn over(&self) -> Option<&Measured> {
        self.pins.iter().find_map(|pin| self.measured_beside(pin))
    }

    /// Number of steps that the figures are over; `None` without figures.
    pub fn steps(&self) -> Option<usize> {
        Some(self.over()?.divergence.steps)
    }

    /// The rows that the filter leaves, sorted. `bytes` gives the size of a plan; rows without a
    /// figure come last either way.
    pub fn shown(&self, bytes: impl Fn(&Pinned) -> u64) -> Vec<&Pinned> {
        let typed = self.typing.as_ref().map_or(self.filter.as_str(), Input::value);
        let filter = typed.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&filter);
        let mut rows: Vec<&Pinned> =
            self.pins.iter().filter(|pin| has(&pin.name) || has(&pin.rule)).collect();
        let figure = |pin: &Pinned| {
            let figures = self.figures(pin)?;
            let kld = figures.divergence.kld;
            Some(match self.sort {
                BenchColumn::Pinned | BenchColumn::Name => 0.0,
                BenchColumn::Bytes => bytes(pin) as f64,
                BenchColumn::Mean => kld.mean,
                BenchColumn::Median => kld.p50,
                BenchColumn::Tail => kld.p999,
                BenchColumn::Top => figures.divergence.top1_agreement,
                BenchColumn::Time => figures.beside?.median,
            })
        };
        match self.sort {
            BenchColumn::Pinned => {}
            BenchColumn::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
            BenchColumn::Bytes => rows.sort_by_key(|pin| bytes(pin)),
            _ => rows.sort_by(|a, b| match (figure(a), figure(b)) {
                (Some(a), Some(b)) if self.descending => b.total_cmp(&a),
                (Some(a), Some(b)) => a.total_cmp(&b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            }),
        }
        let is_figure =
            !matches!(self.sort, BenchColumn::Pinned | BenchColumn::Name | BenchColumn::Bytes);
        if self.descending && !is_figure {
            rows.reverse();
        }
        rows
    }
}
