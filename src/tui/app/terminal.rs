//! The one owner of the terminal modes: every mode switched on here is switched off on every way
//! out.

use std::io::{Stdout, Write, stdout};
use std::mem::ManuallyDrop;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use ratatui::crossterm::style::Print;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, queue};
use ratatui::layout::Rect;

use crate::tui::app::state::State;
use crate::tui::app::{fatal, frame};
use crate::{Error, Result};

/// The terminal in the modes that the inspector needs; dropping it restores the terminal.
pub struct TerminalGuard {
    /// Never dropped: ratatui's own destructor prints to standard error, which panics when the
    /// terminal is gone.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    mouse: bool,
}

fn lost(cause: std::io::Error) -> Error {
    Error::run(format!("the terminal: {cause}"))
}

impl TerminalGuard {
    /// Enters the modes. From here on, a panic of this thread restores the terminal before it
    /// prints. A panic of another thread goes to the log, because the owner of that thread turns it
    /// into an event.
    pub fn enter(mouse: bool) -> Result<Self> {
        install_panic_hook();
        check_size(ratatui::crossterm::terminal::size().map_err(lost)?)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(lost)?;
        let guard = Self { terminal: ManuallyDrop::new(terminal), mouse };
        guard.switch_on()?;
        Ok(guard)
    }

    fn switch_on(&self) -> Result<()> {
        fatal::watch();
        enable_raw_mode().map_err(lost)?;
        fatal::entered();
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)
            .map_err(lost)?;
        if self.mouse {
            execute!(stdout(), EnableMouseCapture).map_err(lost)?;
        }
        Ok(())
    }

    /// Columns and rows now.
    pub fn size(&self) -> Result<(u16, u16)> {
        let size = self.terminal.size().map_err(lost)?;
        check_size((size.width, size.height))?;
        Ok((size.width, size.height))
    }

    /// Draws a frame as one synchronized update, where the terminal supports it.
    pub fn draw(&mut self, state: &State) -> Result<()> {
        queue!(stdout(), BeginSynchronizedUpdate).map_err(lost)?;
        let drawn =
            self.terminal.draw(|frame| frame::render(state, frame.buffer_mut())).map(|_| ());
        execute!(stdout(), EndSynchronizedUpdate).map_err(lost)?;
        drawn.map_err(lost)
    }

    /// Clears the terminal, so that the next frame draws every cell.
    pub fn clear(&mut self) -> Result<()> {
        // Not `Terminal::clear`: it asks the terminal for the cursor position, and the answer would
        // arrive in the event stream.
        let (width, height) = self.size()?;
        self.terminal.resize(Rect::new(0, 0, width, height)).map_err(lost)
    }

    /// Rings the terminal's bell.
    pub fn ring(&mut self) -> Result<()> {
        execute!(stdout(), Print('\u{7}')).map_err(lost)
    }

    /// Stops the process, as Ctrl-Z does in any program, and returns when the shell continues it.
    #[cfg(unix)]
    pub fn suspend(&mut self) -> Result<()> {
        restore();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)
            .map_err(lost)?;
        self.switch_on()?;
        self.clear()
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Most cells of a terminal. A frame holds every cell; no screen has a tenth of these.
const MOST_CELLS: usize = 1 << 20;

/// Refuses a terminal that says of itself what cannot be.
fn check_size((width, height): (u16, u16)) -> Result<()> {
    match usize::from(width) * usize::from(height) <= MOST_CELLS {
        true => Ok(()),
        false => Err(Error::input(format!(
            "the terminal says that it has {width} columns and {height} rows: expected at most {} cells",
            crate::numbers::count(MOST_CELLS)
        ))),
    }
}

/// Undoes every mode, in reverse order. Errors are ignored: the terminal may be gone.
fn restore() {
    if !fatal::left() {
        return;
    }
    let _ = execute!(
        stdout(),
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}

fn install_panic_hook() {
    let owner = std::thread::current().id();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if crate::error::is_caught() {
            return;
        }
        tracing::error!("{panic}");
        if std::thread::current().id() == owner {
            restore();
            before(panic);
        } else if !fatal::is_entered() {
            before(panic);
        }
    }));
}
