//! One head: its runs of channels, and its best choice at a price per byte.

use super::problem::Costs;
use crate::mask::Width;

/// Channels that have one width: a channel, a rotation pair or a run of them.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) channels: Vec<usize>,
    /// By width, in the order of [`Width::ALL`].
    pub(super) damage: [f64; 5],
    /// The widths that it may have, ascending.
    pub(super) widths: Vec<Width>,
    pub(super) locked: bool,
    /// A run of fewer channels than others, where the alignment does not divide their number.
    pub(super) short: bool,
}

impl Unit {
    pub(super) fn bytes(&self, width: Width, costs: &Costs) -> u64 {
        self.channels.len() as u64 * costs.k[width.index()]
    }

    /// Damage plus price.
    pub(super) fn cost(&self, width: Width, price: f64, costs: &Costs) -> f64 {
        self.damage[width.index()] + price * self.bytes(width, costs) as f64
    }
}

/// Whether a head may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drop {
    Must,
    May,
    Never,
}

/// What is known of one head.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) units: Vec<Unit>,
    /// By width; at 0 bits the damage of dropping the head, its K included.
    pub(super) v_damage: [f64; 5],
    /// The widths that a stored V may have, ascending.
    pub(super) v_widths: Vec<Width>,
    pub(super) drop: Drop,
    /// Channels that it stores at least where it is not dropped.
    pub(super) floor: usize,
}

/// The widths of one head. V of 0 bits is a dropped head, whose units all have 0 bits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    pub(super) v: Width,
    /// Per unit.
    pub(super) k: Vec<Width>,
}

impl Head {
    pub(super) fn dropped(&self) -> Choice {
        Choice { v: Width::Zero, k: vec![Width::Zero; self.units.len()] }
    }

    /// The best choice at a price per byte; of equal ones that with fewer bytes.
    pub(super) fn best(&self, price: f64, costs: &Costs) -> Choice {
        match self.drop {
            Drop::Must => self.dropped(),
            Drop::Never => self.stored(price, costs),
            Drop::May => {
                let stored = self.stored(price, costs);
                let cost = self.damage(&stored) + price * self.bytes(&stored, costs) as f64;
                if self.v_damage[0] <= cost { self.dropped() } else { stored }
            }
        }
    }

    /// The best choice that stores the head.
    pub(super) fn stored(&self, price: f64, costs: &Costs) -> Choice {
        let v_cost =
            |width: Width| self.v_damage[width.index()] + price * costs.v[width.index()] as f64;
        let mut k: Vec<Width> = self
            .units
            .iter()
            .map(|unit| least(&unit.widths, |w| unit.cost(w, price, costs)))
            .collect();
        self.keep_short_last(&mut k);
        self.raise_to_floor(&mut k, price, costs);
        Choice { v: least(&self.v_widths, v_cost), k }
    }

    /// A short run stores nothing before all other runs do: then every width has whole runs.
    fn keep_short_last(&self, k: &mut [Width]) {
        if let Some(short) = self.units.iter().position(|unit| unit.short)
            && !self.others_are_stored(short, k)
            && self.units[short].widths[0] == Width::Zero
        {
            k[short] = Width::Zero;
        }
    }

    /// Whether every run except this one stores something.
    pub(super) fn others_are_stored(&self, unit: usize, k: &[Width]) -> bool {
        let free = |at: usize| at != unit && !self.units[at].locked;
        (0..k.len()).all(|at| !free(at) || k[at] != Width::Zero)
    }

    /// Stores more units until the floor is reached, those first where it costs the least.
    fn raise_to_floor(&self, k: &mut [Width], price: f64, costs: &Costs) {
        let channels = |k: &[Width]| -> usize {
            let stored = self.units.iter().zip(k).filter(|&(_, &width)| width != Width::Zero);
            stored.map(|(unit, _)| unit.channels.len()).sum()
        };
        let mut missing = self.floor.saturating_sub(channels(k));
        if missing == 0 {
            return;
        }
        let mut raises: Vec<(bool, f64, usize, Width)> = Vec::new();
        for (at, unit) in self.units.iter().enumerate() {
            let stored: Vec<Width> =
                unit.widths.iter().copied().filter(|&width| width != Width::Zero).collect();
            if k[at] == Width::Zero && !stored.is_empty() {
                let width = least(&stored, |width| unit.cost(width, price, costs));
                let regret = unit.cost(width, price, costs) - unit.cost(k[at], price, costs);
                raises.push((unit.short, regret, at, width));
            }
        }
        raises.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        for (_, _, at, width) in raises {
            if missing == 0 {
                break;
            }
            k[at] = width;
            missing = missing.saturating_sub(self.units[at].channels.len());
        }
    }

    /// Damage of a choice. Dropping a head is the whole damage: its K is not seen either.
    pub(super) fn damage(&self, choice: &Choice) -> f64 {
        let v = self.v_damage[choice.v.index()];
        if choice.v == Width::Zero {
            return v;
        }
        let k = self.units.iter().zip(&choice.k).map(|(unit, width)| unit.damage[width.index()]);
        v + k.sum::<f64>()
    }

    pub(super) fn bytes(&self, choice: &Choice, costs: &Costs) -> u64 {
        let k = self.units.iter().zip(&choice.k).map(|(unit, &width)| unit.bytes(width, costs));
        costs.v[choice.v.index()] + k.sum::<u64>()
    }

    /// Channels that are stored if every unit that may be is.
    pub(super) fn most_channels(&self) -> usize {
        let may = |unit: &&Unit| unit.widths.last() != Some(&Width::Zero);
        self.units.iter().filter(may).map(|unit| unit.channels.len()).sum()
    }
}

/// The width that costs the least; of equal ones the narrowest.
fn least(widths: &[Width], cost: impl Fn(Width) -> f64) -> Width {
    let mut best = (widths[0], cost(widths[0]));
    for &width in &widths[1..] {
        let cost = cost(width);
        if cost < best.1 {
            best = (width, cost);
        }
    }
    best.0
}
