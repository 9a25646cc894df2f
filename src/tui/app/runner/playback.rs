//! Steering a recording.

use super::{EventSource, Runner};
use crate::Result;
use crate::decode::worker::Envelope;
use crate::tui::app::action::{Action, ReplayOrder};
use crate::tui::app::state::Dirty;

impl Runner<'_> {
    pub(super) fn steer(&mut self, how: ReplayOrder) -> Result<()> {
        let now = self.now_ms();
        let EventSource::Replay(player) = &mut self.source else { return Ok(()) };
        let events = match how {
            ReplayOrder::Pause => {
                player.pause();
                Vec::new()
            }
            ReplayOrder::Resume => {
                if player.is_at_end() {
                    player.restart(now);
                } else {
                    player.resume(now);
                }
                Vec::new()
            }
            ReplayOrder::Restart => {
                player.restart(now);
                Vec::new()
            }
            ReplayOrder::Forward => player.forward(),
            ReplayOrder::Back => player.back(),
            ReplayOrder::Seek(token) => player.seek(token, now),
            ReplayOrder::By(tokens) => player.seek_by(tokens, now),
            ReplayOrder::Share(share) => player.seek_share(f64::from(share) / 1e3, now),
            ReplayOrder::Speed(percent) => {
                player.set_speed(percent, now);
                Vec::new()
            }
        };
        let playback = player.playback(now);
        let stepped = !events.is_empty() && player.is_paused();
        for envelope in events {
            self.tell(Action::Engine(Box::new(envelope)));
        }
        if stepped {
            let generation = self.state.run.generation;
            self.tell(Action::Engine(Box::new(paused(generation))));
        }
        self.tell(Action::Played(playback));
        self.state.dirty = Dirty::Now;
        Ok(())
    }
}

/// A recording that was stepped through is paused, whatever its last event says.
fn paused(generation: u64) -> Envelope {
    Envelope { generation, at_ms: 0.0, dropped: 0, event: crate::decode::worker::Event::Paused }
}
