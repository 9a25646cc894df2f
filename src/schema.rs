//! What JSON outputs say of themselves: the name of their schema, and its version.

/// The version of all JSON outputs: it grows when a key changes its meaning, its unit or its place,
/// or goes. New keys may come without that.
pub const SCHEMA_VERSION: u32 = 1;

/// The full name of a schema: `kscope.mask.show`.
pub fn name_of(schema: &str) -> String {
    format!("kscope.{}", schema.replace(' ', "."))
}
