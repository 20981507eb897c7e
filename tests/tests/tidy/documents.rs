//! Rules on what is not Rust: migrations, documents, and any text that is handed on.

use crate::rust::Word;
use crate::tree::{File, Finding, Tree};

/// `NNNN_name.sql`, from 0001 on without a gap: two branches that add the same number show it here.
pub(crate) fn migrations_are_numbered_without_a_gap(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut next = 1;
    for file in &tree.files {
        // Deeper folders hold no migrations but tuning for one engine, which is run at each start.
        let Some(name) = file.path.strip_prefix("migrations/").filter(|name| !name.contains('/')) else {
            continue;
        };
        match migration_number(name) {
            None => found.push(file.finding(1, "call it NNNN_name.sql, with a-z, 0-9 and _ in the name")),
            Some(number) if number != next => {
                found.push(file.finding(1, format!("number {number:04} where {next:04} is due")));
            }
            Some(_) => next += 1,
        }
    }
    found
}

fn migration_number(name: &str) -> Option<u32> {
    let (number, name) = name.strip_suffix(".sql")?.split_once('_')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let well_formed = number.len() == 4 && !name.is_empty() && name.chars().all(plain);
    number.parse().ok().filter(|_| well_formed)
}

/// What a person, an application or HR called something stands on a page as text. Only what a template made already is
/// printed as it is.
pub(crate) fn templates_escape_what_they_print(tree: &Tree) -> Vec<Finding> {
    const MADE: [(&str, &str); 2] =
        [("templates/live.html", "{{ people|safe }}"), ("templates/live.html", "{{ line|safe }}")];
    let bare = |file: &File, line: &str| {
        let rest = MADE.iter().filter(|(path, _)| *path == file.path);
        let rest = rest.fold(line.to_owned(), |line, (_, made)| line.replace(made, ""));
        rest.replace(' ', "").contains("|safe") || rest.contains("{% filter") || rest.contains("|e(")
    };
    let in_file = |file: &File| -> Vec<Finding> {
        let lines = file.text.lines().enumerate().filter(|(_, line)| bare(file, line));
        lines.map(|(at, _)| file.finding(at + 1, "print it escaped, as it comes")).collect()
    };
    tree.files.iter().filter(|file| file.path.ends_with(".html")).flat_map(in_file).collect()
}

/// What stands here must hold on any machine and behind any mirror. (`Cargo.lock` names cargo's own index.)
pub(crate) fn no_file_names_a_machine_or_a_registry(tree: &Tree) -> Vec<Finding> {
    // Put together, so that this file does not name them.
    let machine =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("C:\\Use", "rs\\")];
    let registry = [
        concat!("registry.npm", "js.org"),
        concat!("registry.yarn", "pkg.com"),
        concat!("py", "pi.org"),
        concat!("pythonhosted", ".org"),
        concat!("static.crates", ".io"),
        concat!("index.crates", ".io"),
        concat!("deb.debian", ".org"),
    ];
    let on_line = |line: &str| -> Option<&'static str> {
        let named = |path: &str| line.match_indices(path).any(|(at, _)| begins_path(&line[..at]));
        if machine.iter().any(|path| named(path)) {
            return Some("a path of one machine");
        }
        registry.iter().any(|host| line.contains(host)).then_some("a registry's host")
    };
    let in_file = |file: &File| -> Vec<Finding> {
        let lines = file.text.lines().enumerate();
        lines.filter_map(|(at, line)| Some(file.finding(at + 1, on_line(line)?))).collect()
    };
    tree.files.iter().filter(|file| file.path != "Cargo.lock").flat_map(in_file).collect()
}

/// An absolute path begins here: what stands before is no part of it or of an address.
fn begins_path(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || "._-~}$/".contains(c))
}

/// A limit that is written down is the one in the code, and a test of that name is there.
pub(crate) fn limits_are_what_the_document_says(tree: &Tree) -> Vec<Finding> {
    const PATH: &str = "docs/limits.md";
    let Some(document) = tree.files.iter().find(|file| file.path == PATH) else {
        return vec![Finding::missing(PATH)];
    };
    let is_test = |name: &str| tree.rust().any(|file| has_test(file, name));
    let mut found = Vec::new();
    for (at, line) in document.text.lines().enumerate().filter(|(_, line)| line.starts_with("| ")) {
        let path = line.split("](../").nth(1).and_then(|rest| rest.split(')').next());
        let file = path.and_then(|path| tree.files.iter().find(|file| file.path == path));
        for said in line.split('`').skip(1).step_by(2) {
            let holds = match said.split_once(" = ") {
                Some((name, value)) => file.is_some_and(|file| declares(file, name, value)),
                None => is_test(said),
            };
            if !holds {
                found.push(document.finding(at + 1, format!("`{said}` is not there")));
            }
        }
    }
    found
}

fn declares(file: &File, name: &str, value: &str) -> bool {
    let (start, end) = (format!("const {name}: "), format!(" = {value};"));
    file.text.lines().any(|line| line.contains(&start) && line.ends_with(&end))
}

/// A function that is a test, or is handed to a macro that makes tests of functions.
fn has_test(file: &File, name: &str) -> bool {
    let marked = |word: &Word<'_>| {
        let since = word.before.rsplit([';', '{', '}']).next().unwrap_or_default();
        let marks = ["#[test]", "::test]", "::test("];
        since.trim_end().ends_with("fn") && marks.iter().any(|mark| since.contains(mark))
    };
    let handed = |word: &Word<'_>| {
        macro_around(word).is_some_and(|name| name == "journeys" || name.starts_with("on_"))
    };
    let mut words = file.rust.words().filter(|word| word.text == name);
    file.rust.code.contains(name) && words.any(|word| marked(&word) || handed(&word))
}

/// The macro in whose brackets a word stands, if the innermost ones are a macro's.
fn macro_around<'a>(word: &Word<'a>) -> Option<&'a str> {
    let mut depth = 0;
    let open = word.before.rfind(|c: char| {
        depth += match c {
            ')' | ']' | '}' => 1,
            '(' | '[' | '{' => -1,
            _ => 0,
        };
        depth < 0
    })?;
    let call = word.before[..open].trim_end().strip_suffix('!')?;
    crate::rust::words(call).last().map(|word| word.text)
}

/// A document that points at a file of the house points at one that is there.
pub(crate) fn links_between_documents_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !resolve(&file.path, path).is_some_and(|path| path.is_empty() || tree.has(&path))
            {
                found.push(file.finding(line, format!("{target} is not there")));
            }
        }
    }
    found
}

/// Targets of links and pictures outside of code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if !in_code {
            found.extend(links_of_line(&without_code(line)).into_iter().map(|target| (at + 1, target)));
        }
    }
    found
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

fn links_of_line(line: &str) -> Vec<String> {
    let until = |rest: &str, end: &[char]| rest.split(end).next().unwrap_or_default().to_owned();
    let inline = line.split("](").skip(1).map(|rest| until(rest, &[')', ' ']));
    let html = ["src=\"", "href=\""].into_iter().flat_map(|name| line.split(name).skip(1));
    let named =
        line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, rest)| until(rest, &[' ']));
    inline.chain(html.map(|rest| until(rest, &['"']))).chain(named).collect()
}

/// A path relative to a document, from the root; `None` if it leaves the repository.
fn resolve(document: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
