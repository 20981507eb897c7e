//! Leaving a test whose part is missing: with a reason, and never in CI.

use std::fs::OpenOptions;
use std::io::Write;

/// Leaves the test with a reason, formatted as by `format!`; panics with it when `CI` is `true`.
///
/// For the body of a test that returns nothing.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::report_skip(&format!($($reason)+));
        return;
    }};
}

/// The part, or `None` after having said why the test that needs it is skipped.
///
/// # Panics
/// As [`report_skip`].
pub fn or_skip<T>(part: Option<T>, reason: &str) -> Option<T> {
    if part.is_none() {
        report_skip(reason);
    }
    part
}

/// The work of [`skip!`](crate::skip): prints `SKIP` with the test's name and the reason, and appends it
/// to the file named by `CARDEA_TEST_SKIPS`, from which `tests/run` tells it at the end.
///
/// # Panics
/// With the reason, when `CI` is `true`: there nothing may be skipped.
pub fn report_skip(reason: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "CI skips nothing: {reason}");
    let thread = std::thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    // A reason that cannot be told is no reason to fail the test.
    let _ = write!(std::io::stdout(), "SKIP {line}");
    if let Some(file) = super::from_environment("CARDEA_TEST_SKIPS") {
        let _ =
            OpenOptions::new().append(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
