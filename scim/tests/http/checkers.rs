//! Programs that others wrote to judge SCIM servers: PyPI `scim2-cli` (with `scim2-tester`) and `scim-sanity`,
//! from the Python environment that `tests/run` installs (`CARDEA_PYTHON`).

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::house::House;

/// Runs a checker against a house with nobody in it; what it printed. `None`, with a word about it, when it
/// is not installed.
async fn judge(program: &str, arguments: impl FnOnce(&str, &str) -> Vec<String>) -> Option<Output> {
    let program = installed(program)?;
    let house = House::on_a_file().await;
    let (base, server) = house.serve();
    let arguments = arguments(&base, house.token.expose());
    let run = move || {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).env("NO_PROXY", "localhost").env("NO_COLOR", "1");
        command.output().unwrap()
    };
    let output = actix_web::web::block(run).await.unwrap();
    server.stop(false).await;
    Some(output)
}

fn installed(program: &str) -> Option<PathBuf> {
    let found = parts::or_skip(parts::python(), parts::NO_PYTHON)?.with_file_name(program);
    if !found.exists() {
        parts::report_skip(&format!("{program} is not installed beside CARDEA_PYTHON"));
        return None;
    }
    Some(found)
}

#[track_caller]
fn text(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[actix_web::test]
async fn scim2_tester_finds_nothing() {
    let arguments = |base: &str, token: &str| {
        ["--url", base, "--header", &format!("Authorization: Bearer {token}"), "test"]
            .map(str::to_owned)
            .into()
    };
    let Some(output) = judge("scim", arguments).await else { return };
    let text = text(&output);
    let verdicts = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    assert!(output.status.success(), "{text}");
    assert!(verdicts("SUCCESS ") > 130, "{text}");
    for word in ["ERROR ", "CRITICAL ", "SKIPPED ", "DEVIATION "] {
        assert_eq!(verdicts(word), 0, "{text}");
    }
}

#[actix_web::test]
async fn scim_sanity_finds_nothing() {
    let arguments = |base: &str, token: &str| {
        ["probe", base, "--token", token, "--i-accept-side-effects"].map(str::to_owned).into()
    };
    let Some(output) = judge("scim-sanity", arguments).await else { return };
    let text = text(&output);
    assert!(output.status.success() && text.contains("All tests passed"), "{text}");
    assert!(!text.contains("[WARN]") && !text.contains("[FAIL]"), "{text}");
    assert_eq!(text.matches("[SKIP]").count(), 3, "agents, which we do not have: {text}");
}
