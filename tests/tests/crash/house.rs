//! The house that is killed: as in the demo, with a third department, an application that listens, an export, and less
//! patience with doors.

use std::fs;
use std::path::Path;

use world::{Ears, Engines, Served};

use crate::model::HIGH_VOLTAGE;

/// The file that the journal is exported to.
pub(crate) const EXPORT: &str = "facts.jsonl";

/// Made, and not served yet.
pub(crate) async fn prepare(binary: &Path, engines: Engines, ears: &Ears) -> Served {
    let house = Served::prepare_on(binary, engines).await;
    let policy = format!(
        "[policy.high-voltage]\ntext = '''\n@id(\"high-voltage\")\n@because(\"It works in the transformer hall.\")\n\
         permit (\n    principal in Department::\"{HIGH_VOLTAGE}\",\n    action == Action::\"hold\",\n    \
         resource == AccessProfile::\"high-voltage\"\n);\n'''\n"
    );
    let mut declaration = house.declaration();
    // A door that is silent is given up soon, so that a round meets every stage of that.
    follow(&mut declaration, "[door_system.headquarters.config]\n", "timeout_ms = 200\nattempts = 2\n");
    follow(&mut declaration, "login = \"cardea\"\n", "timeout_ms = 250\nattempts = 2\n");
    // Of each session by its own token.
    let listens =
        format!("backchannel_logout_uri = \"{}\"\nbackchannel_logout_session_required = true\n", ears.uri());
    follow(&mut declaration, "name = \"Grid Console\"\n", &listens);
    house.write("grid.toml", &format!("{declaration}\n{policy}"));
    house.must(&["apply", "--yes", &house.path("grid.toml")]).await;
    let mut config = fs::read_to_string(house.config()).unwrap().replace("\"debug\"", "\"info\"");
    // A sign-in must not wait until everybody else on a busy machine has rested.
    follow(&mut config, "[passwords]\n", "nice = 0\n");
    config.push_str(&format!("\n[export.disk]\nfile = \"{EXPORT}\"\n"));
    house.write("cardea.toml", &config);
    house
}

/// Puts more lines behind a line that the text has.
fn follow(text: &mut String, line: &str, more: &str) {
    assert!(text.contains(line), "{line:?} is not in {text}");
    *text = text.replace(line, &format!("{line}{more}"));
}
