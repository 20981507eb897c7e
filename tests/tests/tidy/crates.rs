//! Rules on `Cargo.toml` files.

use toml::{Table, Value};

use crate::tree::{File, Finding, Tree};

/// Which crates of the house each may use: the map of ARCHITECTURE.md. Rooms (idp, scim, bridge, audit) meet
/// only in the directory and through facts; `sim` is an independent witness.
const ARROWS: [(&str, &[&str]); 15] = [
    ("kernel", &[]),
    ("store", &["kernel"]),
    ("keys", &["kernel", "store"]),
    ("web", &["kernel"]),
    ("policy", &["kernel"]),
    ("directory", &["kernel", "store", "keys"]),
    ("idp", &["kernel", "store", "keys", "web", "directory", "policy"]),
    ("scim", &["kernel", "store", "keys", "web", "directory"]),
    ("bridge", &["kernel", "store", "keys", "web", "directory", "policy"]),
    ("audit", &["kernel", "store", "keys", "web", "directory"]),
    (
        "server",
        &["kernel", "store", "keys", "web", "directory", "policy", "idp", "scim", "bridge", "audit", "sim"],
    ),
    ("sim", &[]),
    ("tests/parts", &[]),
    (
        "tests",
        &[
            "kernel",
            "store",
            "keys",
            "web",
            "directory",
            "policy",
            "idp",
            "scim",
            "bridge",
            "audit",
            "server",
            "sim",
            "tests/parts",
        ],
    ),
    ("fuzz", &["kernel", "store", "keys", "directory", "idp", "scim", "bridge", "server"]),
];

/// What `policy` may use from outside: crates that compute and do nothing else.
const PURE: [&str; 6] = ["cedar-policy", "cedar-policy-core", "serde", "serde_json", "thiserror", "proptest"];

struct Dependency {
    package: String,
    line: usize,
    for_tests: bool,
}

/// A crate of the house: its folder is its name.
struct Crate<'a> {
    name: &'a str,
    file: &'a File,
    manifest: Table,
}

fn parse(file: &File) -> Table {
    file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path))
}

fn crates(tree: &Tree) -> Vec<Crate<'_>> {
    let manifests = tree.files.iter().filter_map(|file| Some((file, file.path.strip_suffix("/Cargo.toml")?)));
    manifests.map(|(file, name)| Crate { name, file, manifest: parse(file) }).collect()
}

impl Crate<'_> {
    /// All dependencies, of any kind and for any target, each under the name of its package.
    fn dependencies(&self) -> Vec<Dependency> {
        let targets = self.manifest.get("target").and_then(Value::as_table);
        let tables = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        std::iter::once(&self.manifest)
            .chain(tables)
            .flat_map(|table| kinds.iter().filter_map(|kind| Some((*kind, table.get(*kind)?.as_table()?))))
            .flat_map(|(kind, table)| table.iter().map(move |(key, value)| (kind, key, value)))
            .map(|(kind, key, value)| Dependency {
                package: value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned(),
                line: self.line_of(key),
                for_tests: kind == "dev-dependencies",
            })
            .collect()
    }

    fn line_of(&self, key: &str) -> usize {
        let is_key = |line: &str| {
            let rest = line.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        };
        self.file.text.lines().position(is_key).map_or(1, |at| at + 1)
    }
}

/// A crate of the house by the name of its package or of its library.
fn house_name(package: &str) -> Option<&'static str> {
    let name = package.strip_prefix("cardea-").unwrap_or(package);
    ARROWS.iter().map(|(known, _)| *known).find(|known| known.rsplit('/').next() == Some(name))
}

/// Cargo then refuses what would break the map: no import without a dependency.
pub(crate) fn arrows_point_one_way(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for member in crates(tree) {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member.name) else {
            found.push(member.file.finding(1, "a crate without a row in ARROWS: say there what it may use"));
            continue;
        };
        for dependency in member.dependencies() {
            let Some(used) = house_name(&dependency.package).filter(|used| !allowed.contains(used)) else {
                continue;
            };
            // A test may drive a simulator, and needs its parts: both use no crate of the house themselves.
            if dependency.for_tests && ["sim", "tests/parts"].contains(&used) {
                continue;
            }
            let message =
                format!("{} may not use {used}: meet in the directory, or through facts", member.name);
            found.push(member.file.finding(dependency.line, message));
        }
    }
    found
}

/// The other half of "policy does no IO".
pub(crate) fn policy_depends_on_nothing_that_does_io(tree: &Tree) -> Vec<Finding> {
    let policy = crates(tree).into_iter().filter(|member| member.name == "policy");
    policy.flat_map(|member| impure(&member)).collect()
}

fn impure(policy: &Crate<'_>) -> Vec<Finding> {
    let outside = policy.dependencies().into_iter().filter(|used| house_name(&used.package).is_none());
    outside
        .filter(|used| !PURE.contains(&used.package.as_str()))
        .map(|used| {
            policy.file.finding(used.line, format!("{}: if it does no IO, add it to PURE", used.package))
        })
        .collect()
}

/// What is not in the workspace is neither linted nor tested.
pub(crate) fn every_crate_is_a_member_and_keeps_the_house_lints(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for member in crates(tree) {
        if !members(tree).iter().any(|name| name == member.name) {
            found.push(member.file.finding(1, "not a member of the workspace in Cargo.toml"));
        }
        let lints = member.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            found.push(member.file.finding(1, "say `[lints] workspace = true`"));
        }
    }
    found
}

fn members(tree: &Tree) -> Vec<String> {
    let root = tree.files.iter().find(|file| file.path == "Cargo.toml").map(parse).unwrap_or_default();
    let members =
        root.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    members.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}
