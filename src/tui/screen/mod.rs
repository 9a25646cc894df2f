//! The screens, one folder each, with its state, keys, update, layout, view and tests. A new screen
//! is a folder with a [`ScreenParts`] called `SCREEN`, and a line in [`Screen`].

mod parts;
#[cfg(test)]
mod tests;

pub use parts::{Press, ScreenParts, Typed, Typing, Wheel};

/// Declares the screens from one line each: its documentation, its variant, its folder, and the
/// type of its own state (`()` for none). rustfmt does not see modules that a macro declares, so CI
/// passes it every file by name.
macro_rules! screens {
    ($($(#[doc = $doc:literal])+ $variant:ident => $folder:ident($own:ty),)*) => {
        $(pub mod $folder;)*

        /// The screens, in the order of their tabs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Screen { $($(#[doc = $doc])+ $variant,)* }

        impl Screen {
            /// All screens in the order of their tabs.
            pub const ALL: [Self; [$(stringify!($folder),)*].len()] = [$(Self::$variant,)*];

            /// The name in configuration and exports: that of its folder.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($folder),)* }
            }

            /// The name of the command that shows it.
            pub fn command_name(self) -> &'static str {
                match self { $(Self::$variant => concat!("show-", stringify!($folder)),)* }
            }

            /// The name of the line of its side panel.
            pub fn side_name(self) -> &'static str {
                match self { $(Self::$variant => concat!(stringify!($folder), ".side"),)* }
            }

            /// The parts that its folder defines.
            pub fn parts(self) -> &'static ScreenParts {
                match self { $(Self::$variant => &$folder::SCREEN,)* }
            }
        }

        /// The state of each screen.
        #[derive(Debug, Clone, Default)]
        pub struct ScreenStates { $($(#[doc = $doc])+ pub $folder: $own,)* }
    };
}

screens! {
    /// All layers and heads, or one layer.
    Map => map(map::state::MapState),
    /// One head.
    Head => head(head::state::HeadLook),
    /// Dense against masked.
    Ab => ab(ab::state::AbView),
    /// Another mask while the model decodes; its state exists once a model is loaded.
    Tune => tune(Option<tune::state::Tuning>),
    /// Memory and speed.
    Perf => perf(()),
    /// Learning a mask.
    Learn => learn(learn::state::Learning),
    /// Text, prompt and sampling.
    Text => text(text::state::TextState),
    /// What fits, how fast it is, what it costs.
    Plan => plan(plan::state::Planning),
    /// What masks lose on tasks and texts.
    Eval => eval(eval::state::Evaluation),
    /// Masks and plans side by side, over the same tokens.
    Bench => bench(bench::state::MaskBench),
}
