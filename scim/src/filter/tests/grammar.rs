//! Text to tree and back.

use proptest::prelude::*;

use super::any_filter;
use crate::filter::{Filter, MAX_LENGTH};
use crate::samples::{group_type, user_type};
use crate::schema::AttrPath;

/// The canonical text of what was read, or the error.
fn check(text: &str, want: &str) {
    let got = match Filter::parse(text) {
        Ok(filter) => filter.to_string(),
        Err(why) => format!("! {why}"),
    };
    assert_eq!(got, want, "{text}");
}

#[test]
fn the_grammar_of_rfc_7644_section_3_4_2_2_is_read() {
    for (text, want) in [
        (r#"userName eq "bjensen""#, r#"userName eq "bjensen""#),
        ("title pr", "title pr"),
        ("a eq 1 or b eq 2 and c eq 3", "a eq 1 or b eq 2 and c eq 3"),
        ("(a eq 1 or b eq 2) and c eq 3", "(a eq 1 or b eq 2) and c eq 3"),
        ("a pr or (b pr and c pr)", "a pr or b pr and c pr"),
        ("((a pr))", "a pr"),
        ("not (a pr)", "not (a pr)"),
        ("not(a pr)", "not (a pr)"),
        ("not (a pr) and b pr", "not (a pr) and b pr"),
        ("not (a pr and b pr)", "not (a pr and b pr)"),
        ("(a pr and b pr) and c pr", "(a pr and b pr) and c pr"),
        (r#"emails[type eq "work"]"#, r#"emails[type eq "work"]"#),
        (
            r#"emails[type eq "work" and not(value co "x") or primary eq true]"#,
            r#"emails[type eq "work" and not (value co "x") or primary eq true]"#,
        ),
        (
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
        ),
        ("a.b-c_1 ge -1.5e3", "a.b-c_1 ge -1500.0"),
        (r#"a eq "\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00""#, r#"a eq "\"\\/\b\f\n\r\tä😀""#),
        ("a ne null", "a ne null"),
        ("not pr", "not pr"),
        ("and pr or or pr", "and pr or or pr"),
        ("pr pr", "pr pr"),
        ("a eq 0", "a eq 0"),
        ("a eq 9223372036854775808", "a eq 9.223372036854776e18"),
    ] {
        check(text, want);
    }
}

#[test]
fn the_four_lenient_forms_are_read_scim_md_crates() {
    check(r#"a EQ "x" AND NOT (b Pr) Or c Sw "d""#, r#"a eq "x" and not (b pr) or c sw "d""#);
    check(r#"emails[type eq "work"].value eq "x""#, r#"emails[type eq "work" and value eq "x"]"#);
    check(
        r#"emails[type eq "a" or type eq "b"].value pr"#,
        r#"emails[(type eq "a" or type eq "b") and value pr]"#,
    );
    check(r#"members.$ref co "/Users/""#, r#"members.$ref co "/Users/""#);
    check(r#"members[$ref pr]"#, "members[$ref pr]");
    check(r#"active eq "True""#, r#"active eq "True""#);
    check("active eq TRUE", "active eq true");
    check("  ( a   pr\tand\nb pr ) ", "a pr and b pr");
    check("(a pr)and(b pr)", "a pr and b pr");
}

#[test]
fn errors_name_the_place() {
    for (text, want) in [
        ("", "! expected an attribute at the end"),
        ("userName", "! expected an operator (eq ne co sw ew gt ge lt le pr) at the end"),
        (
            "userName is \"x\"",
            "! expected an operator (eq ne co sw ew gt ge lt le pr) at character 10, found \"is \\\"x\\\"\"",
        ),
        (
            "userName eq",
            "! expected a value: a text in double quotes, a number, true, false or null at the end",
        ),
        (
            "a eq bob",
            "! expected a value: a text in double quotes, a number, true, false or null at character 6, found \"bob\"",
        ),
        (
            "a eq 'bob'",
            "! expected a value: a text in double quotes, a number, true, false or null at character 6, found \"'bob'\"",
        ),
        (
            "a eq \"bob",
            "! expected a text that ends in a double quote, with escapes as in JSON at character 6, found \"\\\"bob\"",
        ),
        ("ä pr", "! expected an attribute at character 1, found \"ä pr\""),
        ("(a pr", "! expected \")\" at the end"),
        ("a pr)", "! expected \"and\", \"or\" or the end at character 5, found \")\""),
        ("a pr b pr", "! expected \"and\", \"or\" or the end at character 6, found \"b pr\""),
        ("a pr and", "! expected an attribute at the end"),
        (
            "a pr and or b pr",
            "! expected an operator (eq ne co sw ew gt ge lt le pr) at character 13, found \"b pr\"",
        ),
        ("not a pr", "! expected an operator (eq ne co sw ew gt ge lt le pr) at character 5, found \"a pr\""),
        ("a[b pr", "! expected \"]\" at the end"),
        ("a[]", "! expected an attribute at character 3, found \"]\""),
        (
            "a[b[c pr]]",
            "! expected an operator (eq ne co sw ew gt ge lt le pr) at character 4, found \"[c pr]]\"",
        ),
        ("a[b pr].c", "! expected an operator (eq ne co sw ew gt ge lt le pr) at the end"),
        ("a[b pr].1 pr", "! expected a sub-attribute at character 9, found \"1 pr\""),
    ] {
        check(text, want);
    }
}

#[test]
fn what_json_refuses_as_a_value_is_refused() {
    for text in [
        r#"a eq "\x""#,
        r#"a eq "\ud800""#,
        "a eq \"\u{1}\"",
        r#"a eq "x\"#,
        r#"a eq "\u0000""#,
        "a eq 01",
        "a eq 1.",
        "a eq .5",
        "a eq +1",
        "a eq 1e999",
        "a eq --1",
        "a eq NaN",
        "a eq truex",
        "a eq nul",
        "a eq \"x\"y",
        "a pr orb pr",
        "a pr andb pr",
        "a.b.c pr",
        ".a pr",
        "a. pr",
        "1a pr",
        "urn: pr",
        ":a pr",
        "a,b pr",
        "a eq [1]",
        "a eq {}",
    ] {
        assert!(Filter::parse(text).is_err(), "{text}");
    }
}

#[test]
fn filters_are_bounded_in_depth_terms_and_length() {
    let nested = |depth: usize| format!("{}a pr{}", "(".repeat(depth), ")".repeat(depth));
    let negated = |depth: usize| format!("{}a pr{}", "not(".repeat(depth), ")".repeat(depth));
    let chain = |terms: usize| vec!["a pr"; terms].join(" or ");
    let siblings = |groups: usize| vec!["(a pr)"; groups].join(" or ");
    let long = |length: usize| format!("a eq \"{}\"", "x".repeat(length - 7));
    for (text, fits) in [
        (nested(64), true),
        (nested(65), false),
        (nested(20_000), false),
        (negated(64), true),
        (negated(65), false),
        ("(".repeat(30_000), false),
        ("a[".repeat(30_000), false),
        (siblings(100), true),
        (chain(1024), true),
        (chain(1025), false),
        (long(MAX_LENGTH), true),
        (long(MAX_LENGTH + 1), false),
    ] {
        assert_eq!(Filter::parse(&text).is_ok(), fits, "{} bytes", text.len());
    }
    assert_eq!(Filter::parse(&chain(1024)).unwrap().terms(), 1024);
}

proptest! {
    #[test]
    fn a_printed_filter_reads_back(filter in any_filter(true)) {
        let text = filter.to_string();
        prop_assert_eq!(Filter::parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error(text in "\\PC{0,80}") {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn any_soup_of_tokens_is_a_filter_or_an_error(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "userName", "emails", "members", "$ref", "value", "type", "eq", "ne", "pr", "gt", "and", "or", "not", "(", ")",
            "[", "]", ".", "\"work\"", "\"", "\\", "true", "null", "1", "-1.5", " ", "  ", "urn:a:b:c", "active", "ä",
        ]), 0..24),
        spaced in any::<bool>(),
    ) {
        let text = tokens.join(if spaced { " " } else { "" });
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter.clone()));
            let _ = filter.bind(user_type()).map(|bound| bound.matches(user_type(), &crate::value::Tree::default()));
            let _ = filter.bind(group_type());
        }
    }

    #[test]
    fn any_path_text_is_a_path_or_none(text in "\\PC{0,40}") {
        if let Some(path) = AttrPath::parse(&text) {
            prop_assert_eq!(AttrPath::parse(&path.to_string()), Some(path));
        }
    }
}
