//! Progress on standard error, where somebody is watching; nothing where not.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// A bar for bytes on their way out.
pub(super) fn upload(bytes: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("uploading {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
    bar(bytes as u64, style)
}

/// A bar for things that become so one after another.
pub(super) fn count(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {elapsed}");
    bar(total, style).with_message(what)
}

/// A spinner for a wait whose end cannot be foretold.
pub(super) fn wait(what: impl Into<String>) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what.into());
    spinner.enable_steady_tick(TICK);
    spinner
}

fn bar(total: u64, style: Result<ProgressStyle, indicatif::style::TemplateError>) -> ProgressBar {
    let bar = ProgressBar::new(total);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
