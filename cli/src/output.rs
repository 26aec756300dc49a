//! The one way to the terminal. Answers go to stdout, everything about them to stderr.
//!
//! Invariant: a reader that went away never makes the process panic or changes what it does; commands that stream look
//! at [`Output::is_closed`] and end.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::{Message, Name};
use serde_json::Value;

use crate::args::{Color, Format};
use crate::exit::Failure;
use crate::render::{self, Look};

/// Where answers go, and how they look.
pub(crate) struct Output {
    format: Format,
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    closed: AtomicBool,
    out_color: bool,
    err_color: bool,
    live: bool,
}

// === impl Output ===

impl Output {
    /// To this process's own handles.
    pub(crate) fn new(format: Format, color: Color) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let color = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self {
            format,
            out_color: color(out.is_terminal()),
            err_color: color(err.is_terminal()),
            live: err.is_terminal() && format == Format::Table,
            out: Mutex::new(Box::new(out)),
            err: Mutex::new(Box::new(err)),
            closed: AtomicBool::new(false),
        }
    }

    /// Whether programs read the answer.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether someone watches stderr live.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Whether whoever read stdout went away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How text on stdout looks now.
    pub(crate) fn look(&self) -> Look {
        Look::now(self.out_color)
    }

    /// How text on stderr looks now.
    pub(crate) fn err_look(&self) -> Look {
        Look::now(self.err_color)
    }

    /// Lines of an answer for people; nothing when programs read.
    pub(crate) fn text(&self, text: &str) {
        if !self.is_json() {
            self.raw(text);
        }
    }

    /// One message: as JSON for programs, as `text` makes it for people.
    pub(crate) fn message<M: Message + Name>(
        &self,
        message: &M,
        text: impl FnOnce(&M, Look) -> String,
    ) -> Result<(), Failure> {
        if self.is_json() {
            self.json(&to_json(message)?);
        } else {
            self.raw(&text(message, self.look()));
        }
        Ok(())
    }

    /// One JSON document on a line of its own, whatever the format.
    pub(crate) fn json(&self, value: &Value) {
        self.raw(&value.to_string());
    }

    /// A line about what goes on; also when programs read, since they read stdout.
    pub(crate) fn note(&self, text: &str) {
        let mut err = self.err.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Nobody is left to tell.
        let _ = writeln!(err, "{text}");
    }

    /// Why the command failed: for people on stderr, and as the last line of stdout for programs.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.note(render::failure(failure, self.err_look()).trim_end());
        if self.is_json() {
            self.json(&failure.json());
        }
    }

    /// Bytes as they are, for whatever reads them; on a terminal without what could steer it.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if io::stdout().is_terminal() {
            let text = String::from_utf8_lossy(bytes);
            let safe = |c: char| c == '\n' || c == '\t' || !c.is_control();
            let text: String = text.chars().map(|c| if safe(c) { c } else { '\u{fffd}' }).collect();
            self.write(text.as_bytes());
        } else {
            self.write(bytes);
        }
    }

    /// Text as it is, closed by a line end.
    pub(crate) fn raw(&self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.write(format!("{text}{end}").as_bytes());
    }

    fn write(&self, bytes: &[u8]) {
        if self.is_closed() {
            return;
        }
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }
}

/// A message as canonical JSON.
pub(crate) fn to_json<M: Message + Name>(message: &M) -> Result<Value, Failure> {
    salvor_proto::json::to_json(message).map_err(|error| Failure::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_noticed_and_nothing_more() {
        let output = Output {
            format: Format::Table,
            out: Mutex::new(Box::new(Gone)),
            err: Mutex::new(Box::new(Gone)),
            closed: AtomicBool::new(false),
            out_color: false,
            err_color: false,
            live: false,
        };
        output.text("one");
        output.note("two");
        assert!(output.is_closed());
    }
}
