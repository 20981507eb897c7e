//! Structured logs on standard error: what happened, with request ids and dotted fields, and no secret.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{Log, LogFormat};

/// What is logged.
///
/// # Errors
/// The text is none that `tracing` understands: silence must not be found out when a log is needed.
pub(crate) fn filter(log: &Log) -> Result<EnvFilter, ParseError> {
    // Values are compared as texts: a pattern may take any amount of memory to prepare.
    EnvFilter::builder().with_regex(false).parse(&log.filter)
}

/// Starts logging. A second call has no effect: tests run many servers in one process.
pub fn start(log: &Log) {
    let filter = filter(log).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let _ = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
        LogFormat::Text => lines.compact().with_target(false).try_init(),
    };
}
