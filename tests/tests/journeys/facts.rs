//! The names of facts, over all crates.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_kind_of_fact_has_one_meaning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for room in ["store", "keys", "directory", "policy", "idp", "scim", "bridge", "audit", "server"] {
        for file in sources(&root.join(room).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            for kind in text.lines().filter_map(kind_in) {
                kinds.entry(kind.to_owned()).or_default().push(file.display().to_string());
            }
        }
    }
    assert!(kinds.contains_key("user.deactivated") && kinds.contains_key("placement.proven"), "{kinds:?}");
    assert!(kinds.len() > 30, "{}: {kinds:?}", kinds.len());
    for kind in audit::export::kinds_that_stand_out() {
        assert!(kinds.contains_key(kind), "{kind:?} is no kind of fact");
    }
    for (kind, files) in &kinds {
        assert_eq!(files.len(), 1, "{kind:?} stands in {files:?}");
    }
    let listed: Vec<&str> = server::catalogue::kinds().iter().map(|kind| kind.kind).collect();
    let found: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        listed, found,
        "the room's FACTS has a line for each kind that the room records, and no other"
    );
}

#[test]
fn a_kind_is_read_off_its_line() {
    for (line, kind) in [
        ("    const KIND: &'static str = \"alert.opened\";", Some("alert.opened")),
        ("    UserDeleted = \"user.deleted\" about [\"user\"] revokes true {", Some("user.deleted")),
        ("    UserActivated = \"user.activated\" about [\"user\"] {}", Some("user.activated")),
        ("    ConfigurationChanged = \"configuration.changed\" about [", Some("configuration.changed")),
        ("                const KIND: &'static str = $kind;", None),
        ("    const KIND: &'static str = \"access_logs\";", None),
        ("    let name = \"user.name\";", None),
    ] {
        assert_eq!(kind_in(line), kind, "{line}");
    }
}

/// `const KIND: &'static str = "…";`, or a line of the macro `facts!`: `Name = "…" about [… {`.
fn kind_in(line: &str) -> Option<&str> {
    let (before, after) = line.trim().split_once(" = \"")?;
    let (kind, rest) = after.split_once('"')?;
    let in_macro = before.starts_with(char::is_uppercase)
        && before.chars().all(char::is_alphanumeric)
        && rest.trim_end().ends_with(['{', '}', '[']);
    // Rows of devices have kinds, too; theirs are one word.
    let is_named = before == "const KIND: &'static str" || in_macro;
    (is_named && kind.contains('.')).then_some(kind)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|ext| ext == "rs")).collect()
}
