//! State of the map: its level, its zoom, and the last search.

/// Level of the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// All layers.
    #[default]
    Model,
    /// One layer.
    Layer,
}

/// State of the map.
#[derive(Debug, Clone, Default)]
pub struct MapState {
    /// Current level.
    pub level: Level,
    /// Doublings of the column width. Negative values also apply to the bars of a head.
    pub zoom: i8,
    /// The query of the last search.
    pub find: String,
}
