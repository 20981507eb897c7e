//! No statement of the directory reads what grows from end to end: each is asked how it would be run.

use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use store::Sql;

use crate::house::House;

/// Tables that hold a handful of rows, however large the company is; `below` and `belonging` are what a
/// recursion has just found.
const SMALL: [&str; 14] = [
    "below",
    "belonging",
    "client",
    "scim_connection",
    "policy",
    "area",
    "schedule",
    "door_system",
    "door_system_schedule",
    "access_point",
    "access_profile",
    "access_profile_point",
    "card_pool",
    "set_up_link",
];

/// What reads much because it answers much, each with the reason why that is no harm.
const KNOWN: [(&str, &str); 6] = [
    ("SELECT COUNT(*) FROM users WHERE deleted_at IS NULL", "a list's totalResults, from the index alone"),
    ("SELECT COUNT(*) FROM groups", "a list's totalResults, from the index alone"),
    ("FROM users WHERE deleted_at IS NULL ORDER BY created_at, id LIMIT $1 OFFSET $2", "SCIM's startIndex"),
    ("FROM groups ORDER BY created_at, id LIMIT $1 OFFSET $2", "SCIM's startIndex"),
    (
        "SELECT id FROM users WHERE NOT emails_kept AND deleted_at IS NULL LIMIT 1",
        "an index of those still to do, and one of them",
    ),
    (
        "WHERE NOT emails_kept AND deleted_at IS NULL ORDER BY id LIMIT $1) RETURNING id, document",
        "an index of those still to do, a page of them",
    ),
];

on_both_engines! {
    nothing_reads_a_growing_table_from_end_to_end,
}

/// Every text inside `sql!(…)` below a folder.
fn texts(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source: TokenStream = std::fs::read_to_string(&path).unwrap().parse().unwrap();
            texts_in(source, found);
        }
    }
}

fn texts_in(source: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = source.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let is_sql = at >= 2
            && matches!(&tokens[at - 1], TokenTree::Punct(mark) if mark.as_char() == '!')
            && matches!(&tokens[at - 2], TokenTree::Ident(name) if name == "sql");
        if is_sql && group.delimiter() == Delimiter::Parenthesis {
            let text: syn::LitStr = syn::parse2(group.stream()).unwrap();
            found.push(text.value());
        } else {
            texts_in(group.stream(), found);
        }
    }
}

fn is_known(text: &str) -> bool {
    KNOWN.iter().any(|(known, _)| text.ends_with(known))
}

async fn nothing_reads_a_growing_table_from_end_to_end(house: House) {
    let mut all = Vec::new();
    texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    assert!(all.len() > 90, "{} texts were found", all.len());
    for (known, _) in KNOWN {
        assert!(all.iter().any(|text| text.ends_with(known)), "no text ends like this any more: {known}");
    }
    let mut found = Vec::new();
    for text in &all {
        for table in read_whole(&house, text).await {
            if !SMALL.contains(&table.as_str()) && !is_known(text) {
                found.push(format!("{table}: {text}"));
            }
        }
    }
    assert!(found.is_empty(), "read from end to end:\n{}", found.join("\n"));
}

/// The tables of which this statement would read every row.
async fn read_whole(house: &House, text: &str) -> Vec<String> {
    match house.psql(&explanation(text)) {
        Some(plan) => plan
            .lines()
            .filter_map(|line| line.trim_start_matches([' ', '-', '>']).strip_prefix("Seq Scan on "))
            .map(|rest| rest.split(' ').next().unwrap_or_default().to_owned())
            .collect(),
        None => {
            let explain = Sql::assembled(format!("EXPLAIN QUERY PLAN {text}"));
            let plan: Vec<(i64, i64, i64, String)> = house.all(explain).await;
            let scans = plan.iter().filter_map(|(.., step)| step.strip_prefix("SCAN "));
            scans.map(|rest| named(text, rest.split(' ').next().unwrap_or_default())).collect()
        }
    }
}

/// SQLite says the alias: `FROM users u` is `u`.
fn named(text: &str, table: &str) -> String {
    let words: Vec<&str> = text.split([' ', ',', '(', ')', '\n']).filter(|word| !word.is_empty()).collect();
    let alias_of = |pair: &[&str]| (pair[1] == table).then(|| pair[0].to_owned());
    let after_from = |at: usize| matches!(words[at], "FROM" | "JOIN" | "UPDATE" | "INTO");
    (0..words.len().saturating_sub(2))
        .filter(|at| after_from(*at))
        .find_map(|at| alias_of(&words[at + 1..at + 3]))
        .unwrap_or_else(|| table.to_owned())
}

/// On an empty database a sequential scan is always cheapest: forbidden here, it is taken only when nothing else
/// can be.
fn explanation(text: &str) -> String {
    let count = (1..=20).rev().find(|n| text.contains(&format!("${n}"))).unwrap_or(0);
    let nulls = vec!["NULL"; count];
    let arguments = if nulls.is_empty() { String::new() } else { format!("({})", nulls.join(", ")) };
    format!(
        "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan;\n\
         PREPARE asked AS {text};\nEXPLAIN (COSTS OFF) EXECUTE asked{arguments};\n"
    )
}
