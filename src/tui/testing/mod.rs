//! Shared code of the inspector tests: a session without model or engine, keys and commands, a
//! learning run, results of an evaluation, and frames as text.

mod evaluation;
mod frames;
mod input;
mod learning;
mod session;

pub use evaluation::{EVALUATED, evaluated};
pub use frames::{draw, frames, text};
pub use input::{act, key, letters, looked_for, mouse, rebind};
pub use learning::{factors, learned, learning, tell_learning};
pub use session::{
    LARGE, SMALL, answer, blank, head_detail, info, lost, measured, noise, pair, planned, send,
    sensitivity, session, session_of, token,
};
