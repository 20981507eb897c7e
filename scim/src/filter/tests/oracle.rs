//! Agreement with an independent parser, `scim_v2`, on what the RFC allows.
//!
//! It wants a space after `not` and before it a delimiter, and knows neither `$ref` nor a value path with a
//! sub-attribute, so those forms are left to the tables.

use proptest::prelude::*;
use scim_v2::filter::Filter as Oracle;

use super::any_filter;
use crate::filter::{Filter, Literal};

/// The same filter with every group of a kind within its like dissolved, as the oracle has it.
fn flat(filter: Filter) -> Filter {
    match filter {
        Filter::And(parts) => {
            let parts = parts.into_iter().map(flat).flat_map(|part| match part {
                Filter::And(inner) => inner,
                other => vec![other],
            });
            Filter::And(parts.collect())
        }
        Filter::Or(parts) => {
            let parts = parts.into_iter().map(flat).flat_map(|part| match part {
                Filter::Or(inner) => inner,
                other => vec![other],
            });
            Filter::Or(parts.collect())
        }
        Filter::Not(inner) => Filter::Not(Box::new(flat(*inner))),
        Filter::Has(attr, inner) => Filter::Has(attr, Box::new(flat(*inner))),
        Filter::Compare(attr, op, Literal::Decimal(number)) => {
            Filter::Compare(attr, op, Literal::Decimal(coarse(number)))
        }
        leaf => leaf,
    }
}

/// The oracle reads some fractions a bit off, so the last digits are left out of the comparison.
fn coarse(number: f64) -> f64 {
    format!("{number:.9e}").parse().expect("a number")
}

proptest! {
    #[test]
    fn the_oracle_reads_what_we_print_and_understands_the_same(filter in any_filter(true)) {
        let text = filter.to_string();
        let oracle: Oracle = match text.parse() {
            Ok(oracle) => oracle,
            Err(why) => return Err(TestCaseError::fail(format!("{text}: {why}"))),
        };
        let echoed = Filter::parse(&oracle.to_string()).expect("we read what it prints");
        prop_assert_eq!(flat(echoed), flat(filter), "{}", text);
    }

    #[test]
    fn we_read_whatever_the_oracle_reads(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "userName", "emails.type", "urn:a:b:c.d", "eq", "NE", "pr", "gt", "and", "or", "not", "(", ")", "(", ")",
            "emails[type eq \"work\"]", "a[", "]", "\"w\\u00e4\"", "true", "null", "1", "-1.5e3", "a pr", "b eq 1",
        ]), 1..14),
    ) {
        let text = tokens.join(" ");
        if text.parse::<Oracle>().is_ok() {
            prop_assert!(Filter::parse(&text).is_ok(), "{}", text);
        }
    }
}

#[test]
fn the_oracle_reads_the_legal_part_of_the_corpus() {
    for text in [
        r#"userName eq "bjensen""#,
        r#"name.familyName co "O'Malley""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
        "title pr",
        r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
        r#"title pr or userType eq "Intern""#,
        r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
        r#"userType ne "Employee" and not (emails co "example.com")"#,
        r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#,
        r#"emails[type eq "work"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
    ] {
        let oracle: Oracle = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
        let ours = Filter::parse(text).unwrap();
        assert_eq!(flat(Filter::parse(&oracle.to_string()).unwrap()), flat(ours), "{text}");
    }
}
