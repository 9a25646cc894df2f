//! The inspector: screens on the engine's events.
//!
//! Data goes one way: a terminal event, an engine event or time becomes an
//! [`Action`](action::Action); [`update`](update::update) changes the [`State`](state::State) and
//! returns effects; the [runner](runner) performs them; the [view](view) draws the state.

pub mod action;
pub mod color;
pub mod config;
pub mod export;
mod geometry;
pub mod keys;
pub mod log;
pub mod paint;
pub mod record;
pub mod runner;
pub mod shade;
pub mod state;
pub mod summary;
pub mod terminal;
#[cfg(test)]
mod testing;
pub mod update;
pub mod view;
pub mod widget;
