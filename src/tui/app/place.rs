//! A place in the model: a layer, a KV head, a channel.

/// The selected layer, head and channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the layer.
    pub layer: usize,
    /// Index of the KV head.
    pub head: usize,
    /// Index of the channel.
    pub channel: usize,
}
