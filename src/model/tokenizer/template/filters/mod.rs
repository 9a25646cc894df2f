//! Filters as Jinja has them on Python. What minijinja does the same is taken from there.

mod lists;
mod numbers;
mod order;
mod table;
mod texts;
mod wrap;

pub use lists::range;
pub use order::sort_by_key;
pub use table::{Filter, add, is_known, named};
pub use texts::escaped;
