//! Callbacks of a prefill and of a decode step.

use crate::Result;
use crate::cache::SequenceCache;
use crate::model::observed::ObservedRows;

/// Post-RoPE queries and keys and the values of one layer over a whole prompt, as given to a
/// prefill's observer.
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
/// `[batch, heads, head_dim]` and the caches. A device reads the queries only when they are looked
/// at. The thread that calls is any of the pool's.
pub type StepObserver<'a> = dyn FnMut(usize, &ObservedRows<'_>, &[&mut SequenceCache]) + Send + 'a;

/// Callbacks of a prefill.
pub struct PrefillHooks<'a> {
    /// Tokens that go through the linear layers at once.
    pub chunk: usize,
    /// Receives the share done, 0 to 1; an error cancels.
    pub progress: &'a mut dyn FnMut(f32) -> Result<()>,
    /// Called often, from any thread; an error cancels.
    pub keep_going: &'a (dyn Fn() -> Result<()> + Sync),
    /// Sees every layer's queries, keys and values.
    pub observe: &'a mut dyn FnMut(LayerView<'_>),
}

impl PrefillHooks<'_> {
    /// The default chunk: enough rows for the blocked product, and small activations.
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
