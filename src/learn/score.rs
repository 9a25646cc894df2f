//! Training-free importance: moments of keys and queries over windows of a text.

use crate::Result;
use crate::decode::moments::MomentSums;
use crate::model::decoder::{Decoder, PrefillHooks};

/// Runs text through a model in windows of at most `window` tokens and sums up moments. A last
/// window shorter than a quarter is skipped unless it is the only one. `progress` gets the share
/// done and may cancel.
pub fn gather(
    decoder: &Decoder,
    texts: &[Vec<u32>],
    window: usize,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<MomentSums> {
    let window = window.min(decoder.config().max_context);
    let pieces: Vec<&[u32]> = texts
        .iter()
        .flat_map(|text| text.chunks(window).enumerate())
        .filter(|(at, piece)| !piece.is_empty() && (*at == 0 || piece.len() * 4 >= window))
        .map(|(_, piece)| piece)
        .collect();
    let mut moments = MomentSums::new(decoder.config())?;
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut done = 0;
    for piece in pieces {
        let (before, share) = (done as f32 / total as f32, piece.len() as f32 / total as f32);
        decoder.prefill(
            piece,
            &mut [],
            PrefillHooks {
                chunk: PrefillHooks::CHUNK,
                progress: &mut |part| progress(before + part * share),
                keep_going: &|| Ok(()),
                observe: &mut |view| moments.add(&view),
            },
        )?;
        done += piece.len();
    }
    Ok(moments)
}
