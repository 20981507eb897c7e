//! Names of users and groups: when two spellings are one name, and what is no name.
//!
//! What it is not: it never changes what was given. HR reads its own spelling back; only the `…_key` columns
//! hold the folded one, made here because the engines' own `lower()` differ.

use unicode_normalization::UnicodeNormalization as _;

use crate::DirectoryError;

/// The most bytes of a name, an external id or a member reference, folded or not: each is a key of an index,
/// and PostgreSQL's take 2,700.
pub const LONGEST_NAME: usize = 1_024;

/// Folds a name so that spellings that people take for one are one: without spaces around it, in Unicode's
/// compatibility composition (NFKC) and default case folding.
///
/// RFC 7644, section 5, asks for PRECIS when user names are compared (RFC 8265, section 3.3: width, case and
/// normalization). Compatibility composition takes in the width; case folding is what RFC 7613 asked for, and
/// unlike lower case it does not depend on what stands around a letter: `Σ`, `σ` and `ς` are one, and so are
/// `ß`, `ẞ` and `ss`. It knows no language: `İ` is `i` with a dot above, and the dotless `ı` is no `i`.
/// Unicode promises that neither changes for characters that exist, so stored keys stay right.
#[must_use]
pub fn fold(name: &str) -> String {
    if name.is_ascii() {
        // What it comes to, without the tables.
        return name.trim().to_ascii_lowercase();
    }
    fold_beyond_ascii(name)
}

fn fold_beyond_ascii(name: &str) -> String {
    // Twice, since taking a character apart may lay one bare that has a case (Unicode, section 3.13, D146).
    let folded: String = fold_once(&fold_once(name)).nfkc().collect();
    folded.trim().to_owned()
}

/// Default case folding, from the mappings of the standard library: up and down again joins all that have a
/// capital in common. Only the dotless `ı` must not be joined with `i` by their common `I`.
fn fold_once(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkc() {
        match c {
            'ı' => folded.push(c),
            _ => folded.extend(c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)),
        }
    }
    folded
}

/// Refuses what is no name; `attribute` is what the caller calls it.
pub(crate) fn check(attribute: &str, name: &str) -> Result<(), DirectoryError> {
    let folded = fold(name);
    if folded.is_empty() {
        return Err(DirectoryError::Invalid(format!("{attribute} must not be empty")));
    }
    check_key(attribute, name)?;
    check_key(attribute, &folded)
}

/// Refuses what an index of either engine could not hold.
pub(crate) fn check_key(attribute: &str, key: &str) -> Result<(), DirectoryError> {
    if key.chars().any(char::is_control) {
        return Err(DirectoryError::Invalid(format!("{attribute} must not contain control characters")));
    }
    if key.len() > LONGEST_NAME {
        return Err(DirectoryError::Invalid(format!("{attribute} may have at most {LONGEST_NAME} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_that_people_take_for_one_are_one() {
        for (a, b) in [
            ("Ada@Example.org", "ada@example.ORG"),
            (" ada ", "ada"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "οδος"),
            ("ΣΑΣ.A", "σας.a"),
            ("Jose\u{301}", "José"),
            ("ÅNGSTRÖM", "a\u{30a}ngstro\u{308}m"),
            ("\u{212a}elvin", "kelvin"),
            ("ａｄａ＠ｅｘａｍｐｌｅ", "ada@example"),
            ("oﬃce", "OFFICE"),
            ("İnci", "i\u{307}nci"),
            ("ᏣᎳᎩ", "ꮳꮃꭹ"),
            ("ada\u{a0}lovelace", "ada lovelace"),
        ] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
    }

    #[test]
    fn different_names_stay_different() {
        for (a, b) in [
            ("ada", "adα"),
            ("ılgaz", "ilgaz"),
            ("İnci", "inci"),
            ("jose", "josé"),
            ("a.da", "ada"),
            ("o'neil", "oneil"),
        ] {
            assert_ne!(fold(a), fold(b), "{a} {b}");
        }
    }

    #[test]
    fn every_character_folds_for_good_and_as_its_capital_does() {
        // Beyond are tags, private use and nothing.
        for c in (0..0x3_2400).filter_map(char::from_u32) {
            let (text, capital) = (c.to_string(), c.to_uppercase().collect::<String>());
            let folded = fold(&text);
            assert_eq!(fold(&folded), folded, "{c} U+{:04X}", u32::from(c));
            if c != 'ı' {
                assert_eq!(fold(&capital), folded, "{c} U+{:04X}", u32::from(c));
            }
        }
    }

    #[test]
    fn the_short_way_for_ascii_comes_to_the_same() {
        for c in '\0'..='\u{7f}' {
            for name in [format!("{c}"), format!("{c}a{c}B{c}"), format!(" {c} ")] {
                assert_eq!(fold(&name), fold_beyond_ascii(&name), "{name:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn folding_is_for_good_and_blind_to_case_and_composition(name in "\\PC{0,24}") {
            let folded = fold(&name);
            prop_assert_eq!(fold(&folded), folded.clone());
            prop_assert_eq!(fold(&name.to_lowercase()), folded.clone());
            prop_assert_eq!(fold(&name.nfd().collect::<String>()), folded.clone());
            if !name.contains('ı') {
                prop_assert_eq!(fold(&name.to_uppercase()), folded);
            }
        }
    }

    #[test]
    fn what_is_no_name_is_refused_by_its_attribute() {
        let check = |name: &str| check("userName", name).map_err(|error| error.to_string());
        assert_eq!(check("ada"), Ok(()));
        assert_eq!(check(&"a".repeat(LONGEST_NAME)), Ok(()));
        for (name, problem) in [
            ("", "userName must not be empty"),
            (" \u{a0}\u{3000}", "userName must not be empty"),
            ("ad\0a", "userName must not contain control characters"),
            ("ada\n", "userName must not contain control characters"),
            (&"a".repeat(LONGEST_NAME + 1), "userName may have at most 1024 bytes"),
            // One character of three bytes that folds to eighteen.
            (&"ﷺ".repeat(LONGEST_NAME / 3), "userName may have at most 1024 bytes"),
        ] {
            assert_eq!(check(name), Err(problem.to_owned()), "{name:?}");
        }
    }
}
