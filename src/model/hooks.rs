//! What a prefill and a decode step call while they run.

use crate::Result;
use crate::cache::SequenceCache;
use crate::model::observed::ObservedRows;

/// Post-RoPE queries and keys and the values of one layer over a whole prompt, as prefill hands
/// them to an observer.
pub struct LayerView<'a> {
    /// Layer index.
    pub layer: usize,
    /// `[tokens, heads, head_dim]`.
    pub q: ObservedRows<'a>,
    /// `[tokens, kv_heads, head_dim]`.
    pub k: ObservedRows<'a>,
    /// `[tokens, kv_heads, head_dim]`.
    pub v: ObservedRows<'a>,
}

/// Called by a decode step after each layer's attention, with the layer, its rotated queries
/// `[batch, heads, head_dim]` and the caches.
pub type StepObserver<'a> = dyn FnMut(usize, &[f32], &[&mut SequenceCache]) + 'a;

/// What a prefill calls while it runs.
pub struct PrefillHooks<'a> {
    /// Tokens worked on at once in the linear layers.
    pub chunk: usize,
    /// Gets the share done, 0 to 1; an error cancels.
    pub progress: &'a mut dyn FnMut(f32) -> Result<()>,
    /// Asked often, from any thread; an error cancels.
    pub keep_going: &'a (dyn Fn() -> Result<()> + Sync),
    /// Sees every layer's queries, keys and values.
    pub observe: &'a mut dyn FnMut(LayerView<'_>),
}

impl PrefillHooks<'_> {
    /// Tokens worked on at once where nothing else is asked for: enough rows for the blocked
    /// product, small activations.
    pub const CHUNK: usize = 512;
}

/// Runs `f` with hooks that watch nothing and never cancel.
pub fn with_quiet_hooks<T>(f: impl FnOnce(PrefillHooks<'_>) -> T) -> T {
    f(PrefillHooks {
        chunk: PrefillHooks::CHUNK,
        progress: &mut |_| Ok(()),
        keep_going: &|| Ok(()),
        observe: &mut |_| (),
    })
}
