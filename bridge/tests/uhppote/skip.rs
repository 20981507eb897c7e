//! A test that cannot be tried here says so where the suite counts it, and in CI fails.

use std::io::Write as _;

/// Says why this test is skipped, on the output and in the file that `CARDEA_TEST_SKIPS` names.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI skips nothing: {reason}");
    let line = format!("{}: {reason}\n", std::thread::current().name().unwrap_or("a test"));
    // A reason that cannot be told is no reason to fail.
    let _ = write!(std::io::stdout(), "SKIP {line}");
    if let Ok(file) = std::env::var("CARDEA_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
