//! The one owner of the terminal modes: every mode switched on here is switched off on every way
//! out.

use std::collections::VecDeque;
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
use crate::tui::app::{fatal, frame, pictures};
use crate::tui::graphics;
use crate::tui::graphics::{Graphics, PlacedPicture};
use crate::{Error, Result, error};

/// The terminal in the modes that the inspector needs; dropping it restores the terminal.
pub struct TerminalGuard {
    /// Never dropped: ratatui's own destructor prints to standard error, which panics when the
    /// terminal is gone.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    mouse: bool,
    /// Pictures that the terminal has, the newest last, and how they got there.
    pictures: VecDeque<u32>,
    graphics: Graphics,
}

/// Most pictures that the terminal keeps.
const PICTURES: usize = 6;

fn lost(cause: std::io::Error) -> Error {
    Error::run(format!("the terminal: {}", error::plain(&cause)))
}

impl TerminalGuard {
    /// Enters the modes. From here on, a panic of this thread restores the terminal before it
    /// prints. A panic of another thread goes to the log, because the owner of that thread turns it
    /// into an event.
    pub fn enter(mouse: bool) -> Result<Self> {
        install_panic_hook();
        check_size(ratatui::crossterm::terminal::size().map_err(lost)?)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(lost)?;
        let terminal = ManuallyDrop::new(terminal);
        let guard = Self { terminal, mouse, pictures: VecDeque::new(), graphics: Graphics::Cells };
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

    /// Sends the pictures of the screen that the terminal does not have yet.
    fn send_pictures(&mut self, state: &State) -> Result<()> {
        pictures::placed(state).into_iter().try_for_each(|picture| self.send(state, picture))
    }

    fn send(&mut self, state: &State, picture: PlacedPicture) -> Result<()> {
        if self.pictures.contains(&picture.id) {
            return Ok(());
        }
        let Some(raster) = pictures::raster(state, picture) else { return Ok(()) };
        let cells = (picture.area.width, picture.area.height);
        let mut sent = graphics::transmit(picture.id, &raster, cells, state.graphics)?;
        self.graphics = state.graphics;
        self.pictures.push_back(picture.id);
        if self.pictures.len() > PICTURES
            && let Some(old) = self.pictures.pop_front()
        {
            sent += &graphics::forget(old, state.graphics);
        }
        stdout().write_all(sent.as_bytes()).map_err(lost)
    }

    /// Draws a frame as one synchronized update, where the terminal supports it.
    pub fn draw(&mut self, state: &State) -> Result<()> {
        self.send_pictures(state)?;
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
        // The terminal may have forgotten them with the screen.
        self.pictures.clear();
        self.clear()
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        for id in self.pictures.drain(..) {
            let direct = graphics::forget(id, self.graphics);
            let _ = stdout().write_all(direct.as_bytes());
        }
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
