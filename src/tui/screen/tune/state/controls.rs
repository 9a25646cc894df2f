//! The controls of the screen: one row each, changed in steps.

use crate::mask::select::{ALIGNMENTS, Budget};
use crate::mask::{CachePlan, Rule};
use crate::numbers::{self, count};
use crate::tui::app::action::Command;
use crate::tui::app::keys::{KeyContext, KeyTable};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::draft::{ALL, Base, Draft, Goal, HeadWidths, Set};
use crate::tui::screen::tune::state::proposal::{Sources, Tally};

/// What stands before the name of a mask that is used as it is in its file.
pub const VERBATIM: &str = "as it is: ";

/// A row of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The mask as it is in its file, or a selection.
    Base,
    /// Kept share, for masks.
    Keep,
    /// Share of the bytes of a dense f16 cache's middle, for plans.
    Bytes,
    /// Bytes at the context.
    Fit,
    /// Alignment.
    Align,
    /// Global quantile or exact budget.
    Split,
    /// Both channels of a pair together.
    Pairs,
    /// Minimum of kept channels for every head.
    Floor,
    /// Minimum of kept channels for the heads of the selected layer.
    LayerFloor,
    /// Locks of the selected layer.
    Lock,
    /// The rule that the scores come from.
    Rule,
    /// The rule that is mixed in.
    Blend,
    /// Weight of the rule that is mixed in.
    Weight,
    /// First tokens, never pruned.
    Sink,
    /// Last tokens, never pruned.
    Recent,
    /// Tokens that move at once.
    Chunk,
    /// Context of the computed bytes.
    Context,
    /// Whether changes wait until they are applied.
    Hold,
}

/// Whether the share that is kept is a percentage point or more from what was asked for.
fn is_other(share: f64, keep: u16) -> bool {
    (share * 100.0 - f64::from(keep) / 10.0).abs() >= 1.0
}

impl Control {
    /// All rows, from top to bottom.
    pub const ALL: [Self; 18] = [
        Self::Base,
        Self::Keep,
        Self::Bytes,
        Self::Fit,
        Self::Align,
        Self::Split,
        Self::Pairs,
        Self::Floor,
        Self::LayerFloor,
        Self::Lock,
        Self::Rule,
        Self::Blend,
        Self::Weight,
        Self::Sink,
        Self::Recent,
        Self::Chunk,
        Self::Context,
        Self::Hold,
    ];

    /// The row `by` rows further down.
    pub fn moved(self, by: isize) -> Self {
        Self::ALL[(self as usize).saturating_add_signed(by).min(Self::ALL.len() - 1)]
    }

    /// What it does, for `i`.
    pub fn about(self) -> &'static str {
        match self {
            Self::Base => "whether the mask of the file is used as it is, or one is selected anew",
            Self::Keep => {
                "the share of K channels that middle tokens keep; in brackets what was asked for, where the importance does not reach that far"
            }
            Self::Bytes => {
                "the share of the bytes of a dense f16 middle within which widths are chosen by sensitivity"
            }
            Self::Fit => "the most bytes that the cache may take at a context",
            Self::Align => "kept channels of a head come in multiples of this",
            Self::Split => {
                "global takes the best channels of all heads and may miss the number; exact reaches it"
            }
            Self::Pairs => "closed keeps or drops both channels of a rotation pair together",
            Self::Floor => "how many channels every head keeps at least",
            Self::LayerFloor => "how many channels each head of this layer keeps at least",
            Self::Lock => "locked heads stay as they are, whatever else is set",
            Self::Rule => "where the importance comes from that channels are chosen by",
            Self::Blend => "a second rule, mixed into the first by rank",
            Self::Weight => "how much of the mix is the second rule",
            Self::Sink => "the first tokens, which keep every channel",
            Self::Recent => "the last tokens, which keep every channel",
            Self::Chunk => "how many tokens leave the recent window at once, to be pruned",
            Self::Context => "the length at which bytes are computed",
            Self::Hold => "whether changes wait until they are applied, or are at work at once",
        }
    }

    /// The name at the left.
    pub fn name(self, layer: usize) -> String {
        match self {
            Self::Base => "from".to_owned(),
            Self::Keep => "keep".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Fit => "fit".to_owned(),
            Self::Align => "align".to_owned(),
            Self::Split => "split".to_owned(),
            Self::Pairs => "pairs".to_owned(),
            Self::Floor => "floor".to_owned(),
            Self::LayerFloor => format!("floor L{layer}"),
            Self::Lock => format!("lock L{layer}"),
            Self::Rule => "rule".to_owned(),
            Self::Blend => "blend".to_owned(),
            Self::Weight => "weight".to_owned(),
            Self::Sink => "sink".to_owned(),
            Self::Recent => "recent".to_owned(),
            Self::Chunk => "chunk".to_owned(),
            Self::Context => "context".to_owned(),
            Self::Hold => "hold".to_owned(),
        }
    }

    /// Whether it is of one layer, beside a control of all.
    pub fn is_of_layer(self) -> bool {
        matches!(self, Self::LayerFloor | Self::Lock)
    }

    /// Its value, and whether it has an effect now. The share has none while a byte budget is set,
    /// and no selection setting has one while a mask is used as it is.
    pub fn value(self, draft: &Draft, around: &Around<'_>) -> (String, bool) {
        let selects = draft.base == Base::Selection;
        let shape = around.sources.shape;
        let text = match self {
            Self::Base => match &draft.base {
                Base::Verbatim(mask) => format!("{VERBATIM}{}", mask.label),
                Base::Selection if draft.allocates() => "sensitivity".to_owned(),
                Base::Selection => "selection".to_owned(),
            },
            Self::Keep => match draft.goal {
                // What is kept, and in brackets what was asked for, where those are not about the same:
                // importance that does not reach, rounding to the alignment, and edits by hand.
                Goal::Keep(keep)
                    if around.reach.is_some()
                        || selects && is_other(around.proposed.share, keep) =>
                {
                    format!(
                        "{:.1} % ({:.0})",
                        around.proposed.share * 100.0,
                        f64::from(keep) / 10.0
                    )
                }
                Goal::Keep(keep) => format!("{:.1} %", f64::from(keep) / 10.0),
                Goal::Fit { .. } | Goal::Bytes(_) => "as bytes allow".to_owned(),
            },
            Self::Bytes => match (draft.goal, &around.sources.sensitivity, around.measuring) {
                (Goal::Bytes(share), Some(_), _) => {
                    format!("{:.1} %", f64::from(share) / 10.0)
                }
                (_, Some(_), _) => "off".to_owned(),
                (_, None, Some(share)) => format!("measuring {:.0} %", share * 100.0),
                (_, None, None) => format!("{} measures", around.key(Command::Sense)),
            },
            Self::Fit => match draft.goal {
                Goal::Keep(_) | Goal::Bytes(_) => "off".to_owned(),
                Goal::Fit { bytes, tokens } => {
                    format!("{} at {}", numbers::bytes(bytes), count(tokens))
                }
            },
            Self::Align => draft.align.to_string(),
            Self::Split => split_name(draft.split).to_owned(),
            Self::Pairs => if draft.pairs { "closed" } else { "free" }.to_owned(),
            Self::Floor => match draft.floor {
                0 => "none".to_owned(),
                floor => format!("{floor} a head"),
            },
            Self::LayerFloor => match draft.layer_floors.get(&around.layer) {
                None => "as all".to_owned(),
                Some(floor) => format!("{floor} a head"),
            },
            Self::Lock => {
                let here = (0..shape.kv_heads)
                    .filter(|&head| draft.is_locked(shape, around.layer, head))
                    .count();
                format!("{here}/{} here · {} in all", shape.kv_heads, draft.locks.len())
            }
            Self::Rule => draft.rule.name.to_owned(),
            Self::Blend => draft.blend.map_or("off", |rule| rule.name).to_owned(),
            Self::Weight => format!("{} % of blend", draft.weight),
            Self::Sink => format!("{} tokens", count(draft.window.sink)),
            Self::Recent => format!("{} tokens", count(draft.window.recent)),
            Self::Chunk => format!("{} tokens", count(draft.window.chunk)),
            Self::Context => format!("{} tokens", count(around.context)),
            Self::Hold if around.hold => format!("on: {} applies", around.key(Command::Open)),
            Self::Hold => "off: at once".to_owned(),
        };
        let counts = match self {
            Self::Keep => selects && matches!(draft.goal, Goal::Keep(_)),
            Self::Bytes => draft.allocates(),
            Self::Fit => selects && matches!(draft.goal, Goal::Fit { .. }),
            Self::Weight => selects && !draft.allocates() && draft.blend.is_some(),
            Self::Align | Self::Pairs | Self::Floor | Self::LayerFloor => selects,
            Self::Split | Self::Rule | Self::Blend => selects && !draft.allocates(),
            _ => true,
        };
        (text, counts)
    }

    /// Changes a draft by `by` steps. Controls that are not part of a draft do not change it.
    pub fn step(self, draft: &mut Draft, by: i32, around: &Around<'_>) {
        let shape = around.sources.shape;
        match self {
            Self::Base => {
                draft.base = match draft.base {
                    Base::Verbatim(_) => Base::Selection,
                    Base::Selection => around.verbatim.clone(),
                };
            }
            Self::Keep => {
                let now = match draft.goal {
                    Goal::Keep(keep) => keep,
                    Goal::Fit { .. } | Goal::Bytes(_) => {
                        (around.proposed.share * f64::from(ALL)).round() as u16
                    }
                };
                draft.set(Set::Keep(stepped(i64::from(now), by, 10, 0, i64::from(ALL)) as u16));
            }
            Self::Bytes => {
                let now = match draft.goal {
                    Goal::Bytes(share) if draft.base == Base::Selection => i64::from(share),
                    _ => (around.proposed.middle * f64::from(ALL)).round() as i64,
                };
                draft.set(Set::Bytes(stepped(now, by, 10, 10, i64::from(ALL)) as u16));
            }
            Self::Fit => step_fit(draft, by, around),
            Self::Align => {
                let at =
                    ALIGNMENTS.iter().position(|&align| align == draft.align).unwrap_or(0) as i64;
                draft.set(Set::Align(
                    ALIGNMENTS[(at + i64::from(by)).clamp(0, ALIGNMENTS.len() as i64 - 1) as usize],
                ));
            }
            Self::Split => draft.set(Set::Split(if draft.split == Budget::Global {
                Budget::Exact
            } else {
                Budget::Global
            })),
            Self::Pairs => (draft.pairs, draft.base) = (!draft.pairs, Base::Selection),
            Self::Floor => {
                let floor =
                    stepped(draft.floor as i64, by, draft.align as i64, 0, shape.head_dim as i64);
                draft.set(Set::Floor(floor as usize));
            }
            Self::LayerFloor => step_layer_floor(draft, by, around),
            Self::Lock => {
                for head in 0..shape.kv_heads {
                    lock(draft, around, head, by > 0);
                }
            }
            Self::Rule => step_rule(draft, by, around),
            Self::Blend => step_blend(draft, by, around),
            Self::Weight => {
                draft.weight = stepped(i64::from(draft.weight), by, 5, 0, 100) as u8;
                draft.base = Base::Selection;
            }
            Self::Sink => {
                draft.window.sink =
                    stepped(draft.window.sink as i64, by, 4, 0, around.longest) as usize
            }
            Self::Recent => {
                draft.window.recent =
                    stepped(draft.window.recent as i64, by, 16, 1, around.longest) as usize
            }
            Self::Chunk => {
                let power = draft.window.chunk.max(1).ilog2() as i64 + i64::from(by);
                draft.window.chunk = 1 << power.clamp(0, around.longest.max(1).ilog2().into());
            }
            Self::Context | Self::Hold => {}
        }
    }
}

/// Changes the byte budget: one step is a hundredth of the dense cache at the context.
fn step_fit(draft: &mut Draft, by: i32, around: &Around<'_>) {
    let sources = around.sources;
    let dense = crate::mask::bytes::dense(sources.shape, around.context, sources.dtype.bytes());
    let dense = dense.total() as f64;
    let now = match draft.goal {
        Goal::Fit { bytes, tokens } if tokens == around.context => bytes,
        _ => around.proposed.bytes.total(),
    };
    let thousandths = (now as f64 / dense.max(1.0) * 1e3).round() as i64;
    let hundredths = stepped(thousandths, by, 10, 10, 1000) / 10;
    draft.set(Set::Fit((dense * hundredths as f64 / 100.0) as u64, around.context));
}

/// Changes the floor of the selected layer. One step below 0 removes it, and the general floor
/// applies.
fn step_layer_floor(draft: &mut Draft, by: i32, around: &Around<'_>) {
    let more = by > 0;
    draft.base = Base::Selection;
    match draft.layer_floors.get(&around.layer).copied() {
        Some(0) if !more => draft.layer_floors.remove(&around.layer),
        None if !more => None,
        before => {
            // From "as all" the first step is a floor of 0.
            let now = before.map_or(-(draft.align as i64), |floor| floor as i64);
            let most = around.sources.shape.head_dim as i64;
            let floor = stepped(now, by, draft.align as i64, 0, most);
            draft.layer_floors.insert(around.layer, floor as usize)
        }
    };
}

/// The next rule that has scores. The blend stays unless it is that rule.
fn step_rule(draft: &mut Draft, by: i32, around: &Around<'_>) {
    let rules: Vec<Rule> = Rule::ALL.into_iter().filter(|&rule| around.sources.has(rule)).collect();
    let blend = draft.blend;
    draft.set(Set::Rule(neighbour(&rules, draft.rule, by)));
    draft.blend = blend.filter(|&second| second != draft.rule);
}

/// The next rule to mix in, or none.
fn step_blend(draft: &mut Draft, by: i32, around: &Around<'_>) {
    let has = |rule: &Rule| around.sources.has(*rule) && *rule != draft.rule;
    let others = Rule::ALL.into_iter().filter(has).map(Some);
    let choices: Vec<Option<Rule>> = std::iter::once(None).chain(others).collect();
    draft.blend = neighbour(&choices, draft.blend, by);
    draft.base = Base::Selection;
}

/// The entry `by` places after `now`, wrapping around; counted from the first where `now` is
/// missing.
fn neighbour<T: Copy + PartialEq>(choices: &[T], now: T, by: i32) -> T {
    let at = choices.iter().position(|&choice| choice == now).unwrap_or(0) as i64;
    choices[(at + i64::from(by)).rem_euclid(choices.len() as i64) as usize]
}

/// Locks a head of the selected layer to the widths it has now, or unlocks it. A locked head does
/// not change.
pub fn lock(draft: &mut Draft, around: &Around<'_>, head: usize, locked: bool) {
    let row = around.layer * around.sources.shape.kv_heads + head;
    if locked {
        let widths = || HeadWidths::of(around.plan, around.layer, head);
        draft.locks.entry(row).or_insert_with(widths);
    } else {
        draft.locks.remove(&row);
    }
}

/// The name of a split in recipes and on screen.
pub fn split_name(split: Budget) -> &'static str {
    match split {
        Budget::Global => "global",
        Budget::Exact => "exact",
        Budget::UpstreamTies => "upstream-ties",
    }
}

/// The next multiple of `unit`, from a number that may lie between two multiples.
fn stepped(now: i64, by: i32, unit: i64, low: i64, high: i64) -> i64 {
    let at = if by > 0 { now.div_euclid(unit) } else { -(-now).div_euclid(unit) };
    ((at + i64::from(by)) * unit).clamp(low, high)
}

/// What the effect of a step depends on besides the draft.
pub struct Around<'a> {
    /// The keys, for values that name one.
    pub keys: &'a KeyTable,
    /// What masks are made from.
    pub sources: &'a Sources,
    /// The mask as it is saved.
    pub verbatim: &'a Base,
    /// The plan that is set.
    pub plan: &'a CachePlan,
    /// Its figures at the context.
    pub proposed: Tally,
    /// The share of channels with importance above 0, where more is asked for than the selection
    /// can keep.
    pub reach: Option<f64>,
    /// The selected layer.
    pub layer: usize,
    /// Context of the computed bytes, in tokens.
    pub context: usize,
    /// The longest context, in tokens.
    pub longest: i64,
    /// Whether changes wait until they are applied.
    pub hold: bool,
    /// Share of the running measurement of sensitivity that is done.
    pub measuring: Option<f32>,
}

impl Around<'_> {
    /// The key of a command of Tune; the command's name where it has none.
    fn key(&self, command: Command) -> String {
        let own = self.keys.key_of(KeyContext::Screen(Screen::Tune), command);
        own.unwrap_or_else(|| command.name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::tui::screen::tune::state::controls::stepped;

    #[test]
    fn steps_land_on_multiples_from_wherever_they_begin() {
        assert_eq!([stepped(312, 1, 10, 0, 1000), stepped(312, -1, 10, 0, 1000)], [320, 310]);
        assert_eq!([stepped(310, 5, 10, 0, 1000), stepped(310, -5, 10, 0, 1000)], [360, 260]);
        assert_eq!([stepped(0, -1, 10, 0, 1000), stepped(995, 5, 10, 0, 1000)], [0, 1000]);
        assert_eq!([stepped(1, 1, 16, 1, 4096), stepped(16, -1, 16, 1, 4096)], [16, 1]);
        assert_eq!(stepped(-8, 1, 8, 0, 64), 0);
    }
}
