//! Rules on Rust text.

use crate::rust::Word;
use crate::tree::{File, Finding, Tree};

const LONGEST_FILE: usize = 700;

/// Findings for the words of code that `is_bad` names a reason for.
fn words(files: &[&File], is_bad: impl Fn(&File, &Word<'_>) -> Option<String>) -> Vec<Finding> {
    let in_file = |file: &File| -> Vec<Finding> {
        let bad = |word: Word<'_>| is_bad(file, &word).map(|reason| file.finding(word.line, reason));
        file.rust.words().filter_map(bad).collect()
    };
    files.iter().flat_map(|file| in_file(file)).collect()
}

/// Everybody else speaks to a database through `store::Tx`; the kernel's ids know how they are bound. Which
/// engine it is has to be said once, by the configuration, and by a test that runs on both.
pub(crate) fn only_store_names_a_database(tree: &Tree) -> Vec<Finding> {
    let files: Vec<_> = tree.rust().filter(|file| !file.is_in("store")).collect();
    let says_which = |file: &File| file.is_in("server/src/config") || file.is_in("tests") || is_tests(file);
    words(&files, |file, word| {
        let neutral = ["::FromRow", "::Type", "(flatten)", "(rename"]
            .iter()
            .any(|derive| word.after.starts_with(derive));
        let bad = match word.text {
            "sqlx" => !neutral,
            "sqlx_core" => !file.is_in("kernel"),
            "Sqlite" | "Postgres" => !says_which(file),
            name => names_driver(name),
        };
        bad.then(|| format!("`{}`: only store names a database; go through store::Tx", word.text))
    })
}

/// A file of its own for tests: `tests.rs`, or in a folder `tests` or `benches` of a crate or a module.
fn is_tests(file: &File) -> bool {
    file.path.ends_with("/tests.rs") || file.path.contains("/tests/") || file.path.contains("/benches/")
}

fn names_driver(name: &str) -> bool {
    let driver_type = |rest: &str| rest.starts_with(|c: char| c.is_ascii_uppercase());
    name.starts_with("Sqlite")
        || name.starts_with("Postgres")
        || name.strip_prefix("Pg").is_some_and(driver_type)
}

/// A decision depends on its inputs alone; its tests may do more.
pub(crate) fn policy_does_no_io(tree: &Tree) -> Vec<Finding> {
    const IO: [&str; 17] = [
        "fs",
        "net",
        "process",
        "env",
        "io",
        "thread",
        "os",
        "tokio",
        "actix_web",
        "reqwest",
        "sqlx",
        "store",
        "SystemTime",
        "Instant",
        "File",
        "TcpStream",
        "UdpSocket",
    ];
    const PRINT: [&str; 4] = ["print", "println", "eprint", "eprintln"];
    let files: Vec<_> = tree.rust().filter(|file| file.is_in("policy/src") && !is_tests(file)).collect();
    words(&files, |_, word| {
        let bad =
            IO.contains(&word.text) && word.is_in_path() || PRINT.contains(&word.text) && word.is_macro();
        bad.then(|| format!("`{}`: policy does no IO; give it what it needs as an input", word.text))
    })
}

/// Time is a parameter. (Clippy refuses these paths too, but not behind a renamed import or its own expect.)
pub(crate) fn the_clock_is_read_in_one_place(tree: &Tree) -> Vec<Finding> {
    const CLOCKS: [&str; 7] = ["SystemTime", "Timestamp", "Zoned", "Utc", "Local", "OffsetDateTime", "Uuid"];
    const READ: [&str; 4] = ["now", "now_utc", "now_local", "now_v7"];
    let files: Vec<_> = tree.rust().filter(|file| file.path != "kernel/src/ctx.rs").collect();
    words(&files, |_, word| {
        let clock = word.before.trim_end().strip_suffix("::")?;
        let reads = READ.contains(&word.text) && CLOCKS.iter().any(|name| ends_with_word(clock, name));
        reads.then(|| format!("`{}` reads the clock: take a kernel::Ctx and ask ctx.now()", word.text))
    })
}

fn ends_with_word(code: &str, name: &str) -> bool {
    let rest = code.strip_suffix(name);
    rest.is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// `#[expect]` complains when its reason is gone; `#[allow]` stays for ever.
pub(crate) fn no_lint_is_silenced_by_allow(tree: &Tree) -> Vec<Finding> {
    let in_file = |file: &File| -> Vec<Finding> {
        let allows =
            file.rust.attribute_words().filter(|word| word.text == "allow" && word.after.starts_with('('));
        allows.map(|word| file.finding(word.line, "use #[expect(lint, reason = \"…\")], not allow")).collect()
    };
    tree.rust().flat_map(in_file).collect()
}

/// What stands here is done and runs.
pub(crate) fn nothing_is_left_unfinished(tree: &Tree) -> Vec<Finding> {
    const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
    const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let in_file = |file: &File| -> Vec<Finding> {
        let code = file.rust.words().filter(|word| MACROS.contains(&word.text) && word.is_macro());
        let ignored = file.rust.attribute_words().filter(|word| word.text == "ignore");
        let found =
            code.chain(ignored).map(|word| file.finding(word.line, format!("`{}` is left", word.text)));
        let marks = crate::rust::words(&file.rust.comments).filter(|word| MARKS.contains(&word.text));
        found
            .chain(marks.map(|word| file.finding(word.line, format!("{}: do it, or file it", word.text))))
            .collect()
    };
    tree.rust().flat_map(in_file).collect()
}

/// The compiler forbids it in each crate; this holds for what no crate compiles, too.
pub(crate) fn nothing_is_unsafe(tree: &Tree) -> Vec<Finding> {
    let files: Vec<_> = tree.rust().collect();
    words(&files, |_, word| (word.text == "unsafe").then(|| "`unsafe` is forbidden".to_owned()))
}

/// What it is, what it deliberately is not, how to add one more. The tests of a module are no module.
pub(crate) fn every_module_says_what_it_is(tree: &Tree) -> Vec<Finding> {
    let modules = tree.rust().filter(|file| file.path.contains("/src/") && !is_tests(file));
    modules
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.finding(1, "begin with a `//!` comment that says what this module is"))
        .collect()
}

/// One thing in each file.
pub(crate) fn no_file_is_too_long_to_read(tree: &Tree) -> Vec<Finding> {
    let length = |file: &File| file.text.lines().count();
    tree.rust()
        .filter(|file| length(file) > LONGEST_FILE)
        .map(|file| {
            file.finding(LONGEST_FILE + 1, format!("{} lines: more than one thing in it?", length(file)))
        })
        .collect()
}
