//! What the map keeps to itself: how deep it is drilled, how wide its columns are, what was searched.

/// How deep the map is drilled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// All layers.
    #[default]
    Model,
    /// One layer.
    Layer,
}

/// What the map keeps to itself.
#[derive(Debug, Clone, Default)]
pub struct MapState {
    /// How deep it is drilled.
    pub level: Level,
    /// Doublings of the column width; a head's bars follow it where it is negative.
    pub zoom: i8,
    /// The query of the last search.
    pub find: String,
}
