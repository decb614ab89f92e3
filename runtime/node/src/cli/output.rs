//! What commands print on standard output: text for people, or one JSON value for programs.

use std::io::{self, Write};

use serde_json::Value;

/// Where results go, and in which form.
pub(super) struct Output {
    json: bool,
}

impl Output {
    /// Text, or JSON.
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read this.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a reply: as it is for programs, or what `text` makes of it for people.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(super) fn print<F>(&self, value: &Value, text: F) -> anyhow::Result<()>
    where
        F: FnOnce(&Value) -> anyhow::Result<String>,
    {
        let mut shown = if self.json { serde_json::to_string_pretty(value)? } else { text(value)? };
        if !shown.is_empty() && !shown.ends_with('\n') {
            shown.push('\n');
        }
        self.bytes(shown.as_bytes())
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(super) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }
}

/// Whether a command failed only because nobody reads its output any more, as under `| head`.
pub(super) fn reader_left(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
}
