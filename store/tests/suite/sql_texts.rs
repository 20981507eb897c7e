//! Every SQL text of every room prepares on both engines: what a misspelt column would otherwise tell a user.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};
use store::Sql;

use crate::house::House;

/// What only PostgreSQL has.
const POSTGRES_ONLY: [&str; 4] = ["FOR UPDATE", "pg_notify", "pg_try_advisory", "clock_timestamp"];
/// What is not a statement that can be prepared on its own.
const BOUNDARIES: [&str; 5] = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"];
/// Fewer would mean that the search is broken.
const AT_LEAST: usize = 180;

struct Text {
    place: String,
    sql: String,
}

/// The texts of all `sql!("…")` in the sources of the workspace's crates.
fn texts() -> Vec<Text> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(house).expect("the workspace") {
        sources(&entry.expect("an entry").path().join("src"), &mut files);
    }
    files.sort();
    let mut texts = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).expect("a source");
        let place = file.strip_prefix(house).expect("inside").display().to_string();
        let tokens =
            TokenStream::from_str(&source).unwrap_or_else(|error| panic!("{place} is no Rust: {error}"));
        find(tokens, &place, &mut texts);
    }
    texts
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Looks into every group of tokens, also the arguments of other macros. Comments are no tokens.
fn find(tokens: TokenStream, place: &str, texts: &mut Vec<Text>) {
    let mut before: [Option<String>; 2] = [None, None];
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            if before == [Some("sql".into()), Some("!".into())]
                && let Some(literal) = group.stream().into_iter().next()
                && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
            {
                let place = format!("{place}:{}", literal.span().start().line);
                texts.push(Text { place, sql: text.value() });
            }
            find(group.stream(), place, texts);
        }
        let [_, last] = before;
        before = [last, Some(token.to_string())];
    }
}

fn begins_with_any(sql: &str, words: &[&str]) -> bool {
    words.iter().any(|word| sql.trim_start().starts_with(word))
}

async fn prepare_all(house: &House) {
    let texts = texts();
    let ours = texts.iter().filter(|text| text.place.starts_with("store/")).count();
    assert!(
        ours >= 28 && texts.len() >= AT_LEAST,
        "only {} texts were found, {ours} of them here",
        texts.len()
    );
    let mut refused = Vec::new();
    for Text { place, sql } in texts {
        let of_this_engine = house.db.is_postgres() || !POSTGRES_ONLY.iter().any(|word| sql.contains(word));
        if !of_this_engine || begins_with_any(&sql, &BOUNDARIES) {
            continue;
        }
        if let Err(error) = house.db.prepare(Sql::assembled(sql.clone())).await {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            refused.push(format!("{place}: {cause}\n    {sql}"));
        }
    }
    assert!(refused.is_empty(), "{} texts do not prepare:\n{}", refused.len(), refused.join("\n"));
}

#[tokio::test]
async fn every_text_prepares_on_sqlite() {
    prepare_all(&House::sqlite().await).await;
}

#[tokio::test]
async fn every_text_prepares_on_postgres() {
    let Some(house) = House::postgres().await else { return };
    prepare_all(&house).await;
}

#[tokio::test]
async fn a_text_that_an_engine_does_not_understand_is_refused() {
    let house = House::sqlite().await;
    for text in ["SELECT nothing FROM thing", "SELEC 1", "SELECT 1 FROM nowhere"] {
        house.db.prepare(Sql::assembled(text.into())).await.unwrap_err();
    }
}

#[test]
fn texts_are_read_as_the_compiler_reads_them() {
    let source = r##"
        /// sql!("in a comment")
        const A: Sql = sql!("one \
                             line");
        fn f() {
            // sql!("in another")
            let s = "sql!(\"in a text\")";
            join!(g(sql!(r#"raw "quoted""#)), store::sql!("in a \u{6d}acro\n"));
            sql ! ("spaced");
            other!("not sql");
        }
    "##;
    let mut found = Vec::new();
    find(TokenStream::from_str(source).unwrap(), "f.rs", &mut found);
    let found: Vec<_> = found.iter().map(|text| (text.place.as_str(), text.sql.as_str())).collect();
    assert_eq!(
        found,
        [
            ("f.rs:3", "one line"),
            ("f.rs:8", "raw \"quoted\""),
            ("f.rs:8", "in a macro\n"),
            ("f.rs:9", "spaced")
        ]
    );
}
