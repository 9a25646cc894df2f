//! What a template is turned into before minijinja compiles it: its syntax tree with Python's
//! operators in place of minijinja's.

mod escapes;
mod expressions;
mod statements;

pub use statements::python;

/// What a pass over the tree knows of the place where it is.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Inside of a condition: an unknown filter matters when it is reached.
    conditional: bool,
    /// Inside of a macro, where `varargs` and `kwargs` have a meaning.
    in_macro: bool,
    /// Inside of anything.
    nested: bool,
}

/// The source and what is known of the environment.
struct Pass<'source, 'known> {
    source: &'source str,
    is_filter: &'known dyn Fn(&str) -> bool,
    is_test: &'known dyn Fn(&str) -> bool,
}
