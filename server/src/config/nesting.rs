//! TOML that nests no deeper than anybody needs.
//!
//! The parser bounds each key and each bracket, but not what they come to together: a short file could nest thousands
//! deep, and whoever walks through that needs more stack than there is.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The doors of a controller of a door system's settings are the eighth.
const DEEPEST: usize = 32;

/// Reads a text; the error names line and column.
///
/// # Errors
/// It is not TOML, not of this form, or nests too deep.
pub(crate) fn read_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let words = |error: toml::de::Error| error.to_string().trim_end().to_owned();
    let table = DeTable::parse(text).map_err(words)?.into_inner();
    if depth(DeValue::Table(table)) > DEEPEST {
        return Err(format!("it nests deeper than {DEEPEST}: no key of ours is that deep"));
    }
    toml::from_str(text).map_err(words)
}

/// How deep tables and lists stand in each other. Takes the value apart level by level, since also to drop one that is
/// deep would take its depth in stack.
fn depth(value: DeValue<'_>) -> usize {
    let mut depth = 0;
    let mut level = vec![value];
    while !level.is_empty() {
        let mut next = Vec::new();
        for value in level {
            match value {
                DeValue::Table(table) => next.extend(table.into_iter().map(|(_, value)| value.into_inner())),
                DeValue::Array(items) => next.extend(items.into_iter().map(Spanned::into_inner)),
                _ => {}
            }
        }
        depth += 1;
        level = next;
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, says: &str) {
        let read: Result<toml::Table, String> = read_toml(text);
        match read {
            Ok(_) => assert_eq!(says, "", "{text:.40}"),
            Err(why) => assert!(!says.is_empty() && why.contains(says), "{text:.40}: {why}"),
        }
    }

    #[test]
    fn what_nests_too_deep_is_refused_before_anybody_walks_through_it() {
        check("a = 1", "");
        check(&format!("a{} = 1", ".a".repeat(DEEPEST - 2)), "");
        check(&format!("a{} = 1", ".a".repeat(DEEPEST - 1)), "nests deeper");
        check(&format!("a = {}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST)), "nests deeper");
        let key = "a.".repeat(60);
        check(
            &format!("[{key}a]\n{}b = 1{}", format!("{key}a = {{ ").repeat(20), " }".repeat(20)),
            "nests deeper",
        );
        check("a = ", "line 1");
    }
}
