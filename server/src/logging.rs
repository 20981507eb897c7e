//! Structured logs on standard error: what happened, with request ids and dotted fields, and no secret.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{Log, LogFormat};

/// The library that speaks HTTP.
const HTTP: &str = "actix_http";
/// Each request that is none is an error to it, and so whoever sends such could fill the log.
const OF_STRANGERS: &str = "actix_http::h1::dispatcher=off";

/// What is logged. What strangers get wrong at the parser is not, unless the configured text says something of that
/// library.
///
/// # Errors
/// The text is none that `tracing` understands: silence must not be found out when a log is needed.
pub(crate) fn filter(log: &Log) -> Result<EnvFilter, ParseError> {
    // Values are compared as texts: a pattern may take any amount of memory to prepare.
    let filter = EnvFilter::builder().with_regex(false);
    match log.filter.contains(HTTP) {
        true => filter.parse(&log.filter),
        false => filter.parse(format!("{OF_STRANGERS},{}", log.filter)),
    }
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

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Whether these are logged: what actix-http says of a request that is none, and what else it and we say.
    fn check(text: &str, of_strangers: bool, of_http: bool, of_house: bool) {
        let filter = filter(&Log { filter: text.into(), ..Log::default() }).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            let heard = [
                tracing::enabled!(target: "actix_http::h1::dispatcher", Level::ERROR),
                tracing::enabled!(target: "actix_http::h1::service", Level::ERROR),
                tracing::enabled!(target: "server::http", Level::ERROR),
            ];
            assert_eq!(heard, [of_strangers, of_http, of_house], "{text:?}");
        });
    }

    #[test]
    fn strangers_do_not_fill_the_log_unless_somebody_wants_to_read_them() {
        check("info", false, true, true);
        check("debug,bridge=trace", false, true, true);
        check("off", false, false, false);
        check("info,actix_http=debug", true, true, true);
        check("info,actix_http::h1::dispatcher=error", true, true, true);
        check("info,actix_http=off", false, false, true);
        assert!(filter(&Log { filter: "info,[".into(), ..Log::default() }).is_err());
    }
}
