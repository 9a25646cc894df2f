//! Methods of Python's values that templates call.

mod case;
mod classes;
mod collections;
mod pad;
mod search;
mod split;
mod table;

pub use case::{capitalized, is_lower, is_upper};
pub use classes::is_space;
pub use pad::{Padding, indented, padded};
pub use search::replaced;
pub use split::{lines, stripped};
pub use table::{call, has, is_attribute, is_of_macro};
