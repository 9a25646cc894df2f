//! The contents of a cache, token by token.

/// The stored key of one token.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredKey {
    /// All channels.
    Whole(Vec<f32>),
    /// The kept channels, in the order of [`HeadView::kept`](super::HeadView::kept).
    Packed(Vec<f32>),
    /// A middle token of a dropped head: neither key nor value is stored.
    Dropped,
}

/// Everything that is stored of one head, per token. Middle tokens of a head with codes are in
/// blocks instead.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadRows {
    /// Key of each token.
    pub keys: Vec<StoredKey>,
    /// Value of each token; `None` where the head dropped its middle.
    pub values: Vec<Option<Vec<f32>>>,
    /// Blocks of the middle, in the layout of a head with codes; none without.
    pub blocks: Vec<Vec<u8>>,
}
