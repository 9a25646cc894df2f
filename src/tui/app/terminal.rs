//! The one owner of the terminal modes: every mode switched on here is switched off on every way
//! out.

use std::io::{Stdout, Write, stdout};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, queue};
use ratatui::layout::Rect;

use crate::tui::app::frame;
use crate::tui::app::state::State;
use crate::{Error, Result};

/// Whether the modes are on; the panic hook reads this.
static ENTERED: AtomicBool = AtomicBool::new(false);

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
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(lost)?;
        let guard = Self { terminal: ManuallyDrop::new(terminal), mouse };
        guard.switch_on()?;
        Ok(guard)
    }

    fn switch_on(&self) -> Result<()> {
        enable_raw_mode().map_err(lost)?;
        ENTERED.store(true, Ordering::SeqCst);
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

/// Undoes every mode, in reverse order. Errors are ignored: the terminal may be gone.
fn restore() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
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
        } else if !ENTERED.load(Ordering::SeqCst) {
            before(panic);
        }
    }));
}
