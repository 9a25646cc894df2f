//! The inspector: screens on the engine's events.
//!
//! Data goes one way: a terminal event, an engine event or time becomes an
//! [`Action`](app::action::Action); [`update`](app::update::update) changes the
//! [`State`](app::state::State) and returns effects; the [runner](app::runner) performs them; a
//! [frame](app::frame) shows the state.
//!
//! [`app`] is what all screens share. Each [`screen`] has a folder with everything of it.

pub mod app;
pub mod color;
pub mod export;
pub mod paint;
pub mod screen;
#[cfg(test)]
mod testing;
pub mod widget;
