//! The library's warnings on standard error, for commands that do not draw: one sentence a line. The
//! inspector has a log instead.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::output;

/// Prints warnings and errors of this program's own from now on.
pub fn start() {
    let subscriber = tracing_subscriber::registry().with(Lines);
    // In tests, a second command in one process prints as the first does.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let of = event.metadata();
        if *of.level() > Level::WARN || !of.target().starts_with(env!("CARGO_PKG_NAME")) {
            return;
        }
        let mut said = Said(String::new());
        event.record(&mut said);
        output::note(&format!("kscope: {}", said.0));
    }
}

/// The message of an event.
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_from_its_event() {
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        struct Heard(std::sync::Arc<std::sync::Mutex<Vec<String>>>);
        impl<S: Subscriber> Layer<S> for Heard {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let mut said = Said(String::new());
                event.record(&mut said);
                self.0.lock().unwrap().push(said.0);
            }
        }
        let subscriber = tracing_subscriber::registry().with(Heard(heard.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let name = "a \"name\"";
            tracing::warn!(other = 1, "about {name}: {}", 2);
        });
        assert_eq!(*heard.lock().unwrap(), ["about a \"name\": 2"]);
    }
}
