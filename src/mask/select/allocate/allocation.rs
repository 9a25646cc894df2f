//! The allocation itself: from sensitivity and options to a plan.

use super::head::{Choice, Head};
use super::options::AllocationOptions;
use super::problem::Problem;
use super::{runs, spend};
use crate::mask::{CachePlan, Sensitivity, Width};
use crate::{Error, Result};

/// A plan within a byte budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// The plan.
    pub plan: CachePlan,
    /// The sum of its predicted damages, in nats per token. It ranks plans; it is no forecast of a
    /// loss.
    pub predicted: f64,
    /// No plan within the budget has a smaller sum, aligned or not.
    pub least: f64,
    /// Bytes of its middle for a dense f16 cache's 1.
    pub bytes_share: f64,
    /// Bytes of 64 middle tokens that the budget allowed and the plan does not use.
    pub left: u64,
    /// The price at which the widths were chosen, in nats per byte of 64 middle tokens.
    pub price: f64,
}

/// Chooses a width for every K channel and every head's V, for the least sum of damages within the
/// budget.
///
/// With an alignment of 1 the sum exceeds the least possible by at most `price` times the bytes
/// that the choices at that price left before they were spent: less than one step of one run, V or
/// head. The plan leaves fewer bytes than the narrowest step that is still open would take, and none
/// that is predicted to do harm is taken. Ties are broken by layer, KV head and channel, the lower first.
///
/// # Errors
/// Options outside the shape or that contradict each other; a budget that the allowed widths, floors
/// and locks exceed.
pub fn allocate(sensitivity: &Sensitivity, options: &AllocationOptions) -> Result<Allocation> {
    let problem = Problem::new(sensitivity, options)?;
    for (head, (layer, kv_head)) in problem.heads.iter().zip(problem.shape.each_head()) {
        let most = head.most_channels();
        if head.drop == super::head::Drop::Never && most < head.floor {
            return Err(Error::input(format!(
                "locks let layer {layer}, KV head {kv_head} store {most} channels: expected at least its floor of {}",
                head.floor
            )));
        }
    }
    let alone = priced(&problem, &problem.heads, options)?;
    let least = alone.damage - alone.price * (problem.budget - alone.bytes) as f64;
    let gathered: Vec<Head> = problem
        .heads
        .iter()
        .map(|head| match problem.run {
            1 => head.clone(),
            run => runs::gathered(head, run, alone.price, &problem.costs),
        })
        .collect();
    let Priced { mut choices, price, bytes, .. } = match problem.run {
        1 => alone,
        _ => priced(&problem, &gathered, options)?,
    };
    let left = spend::spend(&gathered, &mut choices, price, &problem.costs, problem.budget - bytes);

    let (mut k, mut v, mut predicted) = (Vec::new(), Vec::new(), 0.0);
    for ((fine, gathered), choice) in problem.heads.iter().zip(&gathered).zip(&choices) {
        let choice = runs::exchanged(fine, gathered, choice);
        predicted += fine.damage(&choice);
        let mut widths = vec![Width::Zero; problem.shape.head_dim];
        for (unit, &width) in fine.units.iter().zip(&choice.k) {
            unit.channels.iter().for_each(|&channel| widths[channel] = width);
        }
        k.extend(widths);
        v.push(choice.v);
    }
    let plan = CachePlan::new(problem.shape, k, v, options.coding)?;
    let plan = if plan.is_mask() { CachePlan::of_mask(plan.mask()) } else { plan };
    let bytes_share = plan.bytes_share(options.chunk);
    Ok(Allocation { plan, predicted, least: least.max(0.0), bytes_share, left, price })
}

/// The choices of all heads at a price.
struct Priced {
    choices: Vec<Choice>,
    price: f64,
    damage: f64,
    bytes: u64,
}

impl Priced {
    fn at(problem: &Problem, heads: &[Head], price: f64) -> Self {
        let costs = &problem.costs;
        let choices: Vec<Choice> = heads.iter().map(|head| head.best(price, costs)).collect();
        let each = || heads.iter().zip(&choices);
        Self {
            damage: each().map(|(head, choice)| head.damage(choice)).sum(),
            bytes: each().map(|(head, choice)| head.bytes(choice, costs)).sum(),
            choices,
            price,
        }
    }
}

/// The choices at the lowest price that fits the budget.
fn priced(problem: &Problem, heads: &[Head], options: &AllocationOptions) -> Result<Priced> {
    let free = Priced::at(problem, heads, 0.0);
    if free.bytes <= problem.budget {
        return Ok(free);
    }
    // At this price every byte costs more than all damages together.
    let damages = heads.iter().map(|head| {
        let most = |damage: &[f64; 5]| damage.iter().copied().fold(0.0, f64::max);
        most(&head.v_damage) + head.units.iter().map(|unit| most(&unit.damage)).sum::<f64>()
    });
    let highest = damages.sum::<f64>() + 1.0;
    let mut fitting = Priced::at(problem, heads, highest);
    if fitting.bytes > problem.budget {
        return Err(problem.too_small(fitting.bytes, &options.target));
    }
    // The bits of positive numbers are ordered as the numbers are.
    let (mut low, mut high) = (0, highest.to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let tried = Priced::at(problem, heads, f64::from_bits(middle));
        if tried.bytes <= problem.budget {
            (fitting, high) = (tried, middle);
        } else {
            low = middle;
        }
    }
    Ok(fitting)
}
