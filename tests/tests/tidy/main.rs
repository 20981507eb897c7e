//! The house's invariants of absence (ARCHITECTURE.md), read off the source tree.
//!
//! Each test first shows on made-up files that its rule can fail, then holds the rule against the tree.
//! To add an invariant: a function `fn(&Tree) -> Vec<Finding>` in the module of what it reads, and a test
//! here that `catches`, `passes` and `holds`.

mod crates;
mod documents;
mod rust;
mod source;
mod tree;

use tree::{Finding, Tree};

type Rule = fn(&Tree) -> Vec<Finding>;

/// The rule finds exactly one fault in this made-up file, on this line.
#[track_caller]
fn catches(rule: Rule, path: &str, text: &str, line: usize) {
    let found: Vec<_> = rule(&Tree::of(&[(path, text)])).into_iter().map(|f| (f.path, f.line)).collect();
    assert_eq!(found, [(path.to_owned(), line)], "in {text:?}");
}

/// The rule finds nothing in this made-up file.
#[track_caller]
fn passes(rule: Rule, path: &str, text: &str) {
    let found = rule(&Tree::of(&[(path, text)]));
    assert!(found.is_empty(), "in {text:?}: {}", tree::listing(&found));
}

/// The rule finds nothing in the house.
#[track_caller]
fn holds(rule: Rule) {
    let found = rule(&Tree::read());
    assert!(found.is_empty(), "{}", tree::listing(&found));
}

#[test]
fn only_store_names_a_database() {
    let rule = source::only_store_names_a_database;
    catches(rule, "idp/src/a.rs", "fn f(pool: &SqlitePool) {}", 1);
    catches(rule, "idp/src/a.rs", "\nuse x::PgPool;", 2);
    catches(rule, "server/src/a.rs", "enum Kind { Postgres }", 1);
    catches(rule, "scim/src/a.rs", "sqlx::query(\"\");", 1);
    catches(rule, "scim/src/a.rs", "use sqlx_core::row::Row;", 1);
    catches(rule, "tests/src/a.rs", "use sqlx::Row;", 1);
    catches(rule, "server/src/config/mod.rs", "fn open() -> SqlitePool {}", 1);
    passes(rule, "server/src/config/mod.rs", "DbConfig::Sqlite");
    passes(rule, "store/src/a.rs", "use sqlx::{Postgres, Sqlite};");
    passes(rule, "kernel/src/a.rs", "use sqlx_core::types::Type;");
    passes(
        rule,
        "scim/src/a.rs",
        "#[derive(sqlx::FromRow)] // no SqlitePool\nstruct A(&'static str, [Pgn; 1]);",
    );
    passes(rule, "tests/src/a.rs", "enum Engine { Sqlite, Postgres }");
    passes(rule, "keys/tests/a.rs", "DbConfig::Postgres");
    catches(rule, "keys/src/a.rs", "DbConfig::Postgres", 1);
    holds(rule);
}

#[test]
fn policy_does_no_io() {
    let rule = source::policy_does_no_io;
    catches(rule, "policy/src/a.rs", "use std::{fmt, fs};", 1);
    catches(rule, "policy/src/a.rs", "\nlet s = std::net::lookup(a);", 2);
    catches(rule, "policy/src/a.rs", "async fn f() { tokio::spawn(g()); }", 1);
    catches(rule, "policy/src/a.rs", "use std::time::Instant;", 1);
    catches(rule, "policy/src/a.rs", "println!();", 1);
    passes(rule, "policy/src/a.rs", "// std::fs\nlet net = \"std::fs\"; use std::fmt; use crate::engine;");
    passes(rule, "scim/src/a.rs", "use std::fs;");
    passes(rule, "policy/src/tests/a.rs", "use std::thread;");
    passes(rule, "policy/src/tests/a.rs", "use std::thread;");
    holds(rule);
}

#[test]
fn the_clock_is_read_in_one_place() {
    let rule = source::the_clock_is_read_in_one_place;
    catches(rule, "idp/src/a.rs", "let t = jiff::Timestamp::now();", 1);
    catches(rule, "tests/src/a.rs", "\nstd::time::SystemTime::now()", 2);
    passes(rule, "idp/src/a.rs", "ctx.now(); // not Timestamp::now()\nNotTimestamp::nowhere()");
    passes(rule, "kernel/src/ctx.rs", "jiff::Timestamp::now()");
    holds(rule);
}

#[test]
fn no_lint_is_silenced_by_allow() {
    let rule = source::no_lint_is_silenced_by_allow;
    catches(rule, "a/src/a.rs", "\n#[allow(dead_code)]\nfn f() {}", 2);
    catches(rule, "a/src/a.rs", "#![allow(missing_docs)]", 1);
    catches(rule, "a/src/a.rs", "#[cfg_attr(\n    test,\n    allow(dead_code)\n)]", 3);
    passes(
        rule,
        "a/src/a.rs",
        "#[expect(dead_code, reason = \"allow(x)\")]\nDecision::allow(x) // #[allow(y)]",
    );
    holds(rule);
}

#[test]
fn nothing_is_left_unfinished() {
    let rule = source::nothing_is_left_unfinished;
    catches(rule, "a/src/a.rs", "fn f() {\n    todo!()\n}", 2);
    catches(rule, "a/src/a.rs", "unimplemented!(\"x\")", 1);
    catches(rule, "a/src/a.rs", "dbg!(1)", 1);
    catches(rule, "a/src/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", 2);
    catches(rule, "a/src/a.rs", concat!("// TO", "DO: more"), 1);
    passes(rule, "a/src/a.rs", "let todo = ignore(\"todo!()\"); // nothing to do");
    holds(rule);
}

#[test]
fn nothing_is_unsafe() {
    let rule = source::nothing_is_unsafe;
    catches(rule, "a/src/a.rs", "fn f() {\n    unsafe { g() }\n}", 2);
    passes(rule, "a/src/a.rs", "#![forbid(unsafe_code)] // unsafe\n\"unsafe\"");
    holds(rule);
}

#[test]
fn every_module_says_what_it_is() {
    let rule = source::every_module_says_what_it_is;
    catches(rule, "a/src/a.rs", "use std::fmt;\n//! Late.", 1);
    catches(rule, "a/src/a.rs", "", 1);
    passes(rule, "a/src/a.rs", "//! What it is.\nuse std::fmt;");
    passes(rule, "a/tests/a.rs", "use std::fmt;");
    passes(rule, "a/src/b/tests.rs", "use super::*;");
    holds(rule);
}

#[test]
fn no_file_is_too_long_to_read() {
    let rule = source::no_file_is_too_long_to_read;
    catches(rule, "a/src/a.rs", &"x\n".repeat(701), 701);
    passes(rule, "a/src/a.rs", &"x\n".repeat(700));
    holds(rule);
}

const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = [\"kernel\", \"idp\", \"scim\"]");

/// As [`catches`], beside a workspace of three crates.
#[track_caller]
fn catches_in_workspace(rule: Rule, path: &str, text: &str, line: usize) {
    let found: Vec<_> =
        rule(&Tree::of(&[ROOT, (path, text)])).into_iter().map(|f| (f.path, f.line)).collect();
    assert_eq!(found, [(path.to_owned(), line)], "in {text:?}");
}

#[track_caller]
fn passes_in_workspace(rule: Rule, path: &str, text: &str) {
    let found = rule(&Tree::of(&[ROOT, (path, text)]));
    assert!(found.is_empty(), "in {text:?}: {}", tree::listing(&found));
}

#[test]
fn rooms_do_not_import_rooms() {
    let rule = crates::arrows_point_one_way;
    catches_in_workspace(
        rule,
        "idp/Cargo.toml",
        "[dependencies]\nkernel.workspace = true\nscim.workspace = true",
        3,
    );
    catches_in_workspace(rule, "kernel/Cargo.toml", "[dev-dependencies]\nidp = { workspace = true }", 2);
    catches_in_workspace(rule, "scim/Cargo.toml", "[dependencies]\nother = { package = \"cardea-idp\" }", 2);
    catches_in_workspace(
        rule,
        "idp/Cargo.toml",
        "[target.'cfg(unix)'.dependencies]\nscim.workspace = true",
        2,
    );
    catches_in_workspace(rule, "sim/Cargo.toml", "[dependencies]\nkernel.workspace = true", 2);
    catches_in_workspace(rule, "garage/Cargo.toml", "[dependencies]\n", 1);
    passes_in_workspace(
        rule,
        "idp/Cargo.toml",
        "[dependencies]\nkernel.workspace = true\nserde.workspace = true",
    );
    catches_in_workspace(rule, "idp/Cargo.toml", "[dependencies]\nsim.workspace = true", 2);
    passes_in_workspace(rule, "idp/Cargo.toml", "[dev-dependencies]\nsim.workspace = true");
    holds(rule);
}

#[test]
fn policy_depends_on_nothing_that_does_io() {
    let rule = crates::policy_depends_on_nothing_that_does_io;
    catches_in_workspace(
        rule,
        "policy/Cargo.toml",
        "[dependencies]\nserde.workspace = true\ntokio = \"1\"",
        3,
    );
    passes_in_workspace(rule, "policy/Cargo.toml", "[dependencies]\nserde.workspace = true");
    passes_in_workspace(rule, "scim/Cargo.toml", "[dependencies]\ntokio = \"1\"");
    holds(rule);
}

#[test]
fn every_crate_is_a_member_and_keeps_the_house_lints() {
    let rule = crates::every_crate_is_a_member_and_keeps_the_house_lints;
    catches_in_workspace(rule, "idp/Cargo.toml", "[package]\nname = \"cardea-idp\"", 1);
    catches_in_workspace(rule, "idp/Cargo.toml", "[lints]\nworkspace = false", 1);
    catches_in_workspace(rule, "garage/Cargo.toml", "[lints]\nworkspace = true", 1);
    passes_in_workspace(
        rule,
        "idp/Cargo.toml",
        "[package]\nname = \"cardea-idp\"\n[lints]\nworkspace = true",
    );
    holds(rule);
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    let rule = documents::migrations_are_numbered_without_a_gap;
    catches(rule, "migrations/0001-journal.sql", "", 1);
    catches(rule, "migrations/1_journal.sql", "", 1);
    catches(rule, "migrations/0001_Journal.sql", "", 1);
    catches(rule, "migrations/0002_journal.sql", "", 1);
    passes(rule, "migrations/0001_journal.sql", "");
    passes(rule, "migrations/postgres/tuning.sql", "");
    let twice = Tree::of(&[("migrations/0001_a.sql", ""), ("migrations/0001_b.sql", "")]);
    assert_eq!(rule(&twice).len(), 1);
    holds(rule);
}

#[test]
fn templates_escape_what_they_print() {
    let rule = documents::templates_escape_what_they_print;
    catches(rule, "templates/a.html", "<p>\n{{ name|safe }}", 2);
    catches(rule, "templates/a.html", "{{ name | safe }}", 1);
    catches(rule, "templates/a.html", "{{ name|e(\"none\") }}", 1);
    catches(rule, "templates/a.html", "{% filter safe %}{{ name }}{% endfilter %}", 1);
    catches(rule, "templates/live.html", "{{ people|safe }}{{ name|safe }}", 1);
    passes(rule, "templates/live.html", "{{ people|safe }}");
    passes(rule, "templates/a.html", "safe {{ name }} {{ name|upper }}");
    holds(rule);
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let rule = documents::no_file_names_a_machine_or_a_registry;
    catches(rule, "README.md", concat!("Run\n/ho", "me/me/x"), 2);
    catches(rule, "tests/run", concat!("cd /wo", "rk/main"), 1);
    catches(rule, "a.json", concat!("{\"resolved\": \"https://registry.npm", "js.org/x\"}"), 1);
    passes(rule, "README.md", concat!("https://example.com/wo", "rk/x and /usr/lib and frame/wo", "rk/y"));
    holds(rule);
}

#[test]
fn limits_are_what_the_document_says() {
    let rule = documents::limits_are_what_the_document_says;
    let code =
        ("a/src/a.rs", "const MOST: usize = 7;\n#[test]\nfn it_ends() {}\n#[cfg(test)]\nfn it_helps() {}");
    let more = (
        "a/tests/a.rs",
        "on_both_engines! { it_ends_on_both }\nasync fn it_ends_on_both(house: House) { it_helps(house); }\n\
         journeys!(on options(); it_ends_at_last);\n\
         #[tokio::test(flavor = \"x\")]\nasync fn it_ends_in_time() {}",
    );
    assert_eq!(rule(&Tree::of(&[code])).len(), 1, "no document");
    let found = |line: &str| rule(&Tree::of(&[code, more, ("docs/limits.md", line)])).len();
    assert_eq!(found("| a | 7 | [a](../a/src/a.rs) `MOST = 7` | `it_ends` |"), 0);
    assert_eq!(found("| a | 8 | [a](../a/src/a.rs) `MOST = 8` | `it_ends` |"), 1);
    assert_eq!(found("| a | 7 | [a](../a/src/a.rs) `LEAST = 7` | `it_ends` |"), 1);
    assert_eq!(found("| a | 7 | [b](../b/src/b.rs) `MOST = 7` | `it_ends` |"), 1);
    assert_eq!(found("| a | 7 | [a](../a/src/a.rs) `MOST = 7` | `it_never_ends` |"), 1);
    assert_eq!(found("| a | `it_ends_on_both`, `it_ends_at_last`, `it_ends_in_time` |"), 0);
    assert_eq!(found("| a | `it_helps` |"), 1, "a function that is no test");
    assert_eq!(found("Elsewhere `anything` may stand."), 0);
    holds(rule);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let rule = documents::links_between_documents_lead_somewhere;
    catches(rule, "README.md", "See\n[here](docs/none.md).", 2);
    catches(rule, "docs/a.md", "![picture](../none.svg \"title\")", 1);
    catches(rule, "README.md", "[one]: none.md\n", 1);
    catches(rule, "README.md", "<img src=\"none.svg\">", 1);
    passes(
        rule,
        "README.md",
        "[a](README.md#x) [b](#y) [c](https://example.com/z) `[d](none.md)`\n```\n[e](none)\n```",
    );
    passes(rule, "docs/a.md", "[itself](../docs/a.md) [folder](../docs/)");
    holds(rule);
}
