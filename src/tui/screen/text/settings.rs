//! The sampling settings: they apply from the next run on.

use crate::decode::sampler::Sampling;
use crate::tui::app::run::NextRun;
use crate::tui::app::state::State;

/// A setting of the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplingSetting {
    /// Temperature.
    Temperature,
    /// Top-p (nucleus).
    TopP,
    /// Top-k: the number of likeliest tokens.
    TopK,
    /// Min-p: the share of the likeliest token.
    MinP,
    /// Repeat penalty.
    RepeatPenalty,
    /// Seed of the draws.
    Seed,
    /// Most tokens to generate.
    MaxNew,
    /// What an end token does.
    End,
}

/// All settings, in the order of the screen.
pub const SETTINGS: [SamplingSetting; 8] = [
    SamplingSetting::Temperature,
    SamplingSetting::TopP,
    SamplingSetting::TopK,
    SamplingSetting::MinP,
    SamplingSetting::RepeatPenalty,
    SamplingSetting::Seed,
    SamplingSetting::MaxNew,
    SamplingSetting::End,
];

impl SamplingSetting {
    /// The name on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::TopP => "top-p",
            Self::TopK => "top-k",
            Self::MinP => "min-p",
            Self::RepeatPenalty => "repeat penalty",
            Self::Seed => "seed",
            Self::MaxNew => "max new tokens",
            Self::End => "end of text",
        }
    }

    /// What it does, for `i`.
    pub fn about(self) -> &'static str {
        match self {
            Self::Temperature => {
                "0 takes the likeliest token always; the higher, the more often others are drawn"
            }
            Self::TopP => "draws among the likeliest tokens that together have this probability",
            Self::TopK => "draws among so many of the likeliest tokens",
            Self::MinP => "leaves out tokens less likely than this share of the likeliest one",
            Self::RepeatPenalty => "makes tokens that were said already less likely",
            Self::Seed => "decides what is drawn: the same seed draws the same",
            Self::MaxNew => "after so many tokens a run ends",
            Self::End => "whether the model's own end of text ends the run",
        }
    }

    /// Its value in the run on screen, where that went on with another than it begins with.
    pub fn in_this_run(self, state: &State) -> Option<String> {
        let (sampling, ignore_end) = state.run.went_on.clone()?;
        let went = NextRun { sampling, ignore_end, ..state.plan.clone() };
        let (now, next) = (self.value_in(&went), self.value_in(&state.plan));
        (now != next).then_some(now.0)
    }

    /// Its value for the next run, and an explanation where the number alone does not say what it
    /// means.
    pub fn value(self, state: &State) -> (String, &'static str) {
        self.value_in(&state.plan)
    }

    fn value_in(self, plan: &NextRun) -> (String, &'static str) {
        let Sampling { repeat_penalty, temperature, top_k, top_p, min_p, seed } = plan.sampling;
        match self {
            Self::Temperature if temperature == 0.0 => ("0".to_owned(), "greedy"),
            Self::Temperature => (format!("{temperature:.1}"), ""),
            Self::TopP => (format!("{top_p:.2}"), if top_p >= 1.0 { "all" } else { "" }),
            Self::TopK => (top_k.to_string(), if top_k == 0 { "all" } else { "" }),
            Self::MinP => (format!("{min_p:.2}"), if min_p == 0.0 { "off" } else { "" }),
            Self::RepeatPenalty => {
                (format!("{repeat_penalty:.2}"), if repeat_penalty == 1.0 { "off" } else { "" })
            }
            Self::Seed => (seed.to_string(), ""),
            Self::MaxNew if plan.max_new > MOST_NEW => ("all".to_owned(), "fit"),
            Self::MaxNew => (plan.max_new.to_string(), ""),
            Self::End if plan.ignore_end => ("ignore".to_owned(), "go on"),
            Self::End => ("stops".to_owned(), ""),
        }
    }
}

/// Largest number of tokens that can be set; the next step means as many as the context holds.
const MOST_NEW: usize = 1 << 17;

/// A smaller (-1) or larger (1) value of the selected setting.
pub fn change(state: &mut State, direction: i8) {
    let up = direction > 0;
    let sampling = &mut state.plan.sampling;
    let moved = |value: f32, by: f32, low: f32, high: f32| {
        let next = if up { value + by } else { value - by };
        // Rounded to whole steps, so that f32 errors do not add up.
        ((next / by).round() * by).clamp(low, high)
    };
    match SETTINGS[state.screens.text.setting.min(SETTINGS.len() - 1)] {
        SamplingSetting::Temperature => {
            sampling.temperature = moved(sampling.temperature, 0.1, 0.0, 5.0)
        }
        SamplingSetting::TopP => sampling.top_p = moved(sampling.top_p, 0.05, 0.05, 1.0),
        SamplingSetting::TopK => {
            sampling.top_k = match (up, sampling.top_k) {
                (true, 0) => 1,
                (true, k) => (k * 2).min(4096),
                (false, k) => k / 2,
            }
        }
        SamplingSetting::MinP => sampling.min_p = moved(sampling.min_p, 0.01, 0.0, 1.0),
        SamplingSetting::RepeatPenalty => {
            sampling.repeat_penalty = moved(sampling.repeat_penalty, 0.05, 0.5, 2.0)
        }
        SamplingSetting::Seed => {
            sampling.seed =
                if up { sampling.seed.wrapping_add(1) } else { sampling.seed.wrapping_sub(1) }
        }
        SamplingSetting::End => state.plan.ignore_end = up,
        SamplingSetting::MaxNew => {
            let now = state.plan.max_new;
            state.plan.max_new = match up {
                true if now >= MOST_NEW => usize::MAX >> 1,
                true => now * 2,
                false => now.min(2 * MOST_NEW).div_ceil(2),
            };
        }
    }
}
