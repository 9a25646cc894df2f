//! What all screens share: the state and its updates, keys, mouse, lists, the frame around a
//! screen, and the runner that does the I/O.

pub mod action;
pub mod areas;
pub mod chord;
pub mod config;
pub mod cursor;
pub mod engine;
pub mod find;
pub mod frame;
pub mod header;
pub mod key_rows;
pub mod keys;
pub mod lists;
pub mod log;
pub mod log_pane;
pub mod memory;
pub mod model;
pub mod mouse;
pub mod pairs;
pub mod palette;
pub mod record;
pub mod run;
pub mod runner;
pub mod shader;
pub mod side;
pub mod state;
pub mod steer;
pub mod strips;
pub mod summary;
pub mod table;
pub mod tabs;
pub mod terminal;
pub mod text_lines;
pub mod update;
