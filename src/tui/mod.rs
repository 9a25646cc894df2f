//! The inspector: screens that show the engine's events.
//!
//! Data flows one way: a terminal event, an engine event or a timer tick becomes an
//! [`Action`](app::action::Action); [`update`](app::update::update) changes the
//! [`State`](app::state::State) and returns effects; the [runner](app::runner) performs them; a
//! [frame](app::frame) shows the state.
//!
//! [`app`] holds what all screens share. Each [`screen`] has its own folder.

pub mod app;
pub mod color;
pub mod export;
pub mod fitting;
pub mod graphics;
pub mod paint;
pub mod screen;
#[cfg(test)]
mod testing;
pub mod widget;
