//! What is refused when policies are loaded, and how it is said.

use super::*;
use crate::text::{MAX_NESTING, MAX_OPERATORS, MAX_SOURCE};
use crate::{BASELINE, Breach, Policies, PolicyError};

/// A policy for signing in with an id and a reason.
fn policy(effect_and_scope: &str, clauses: &str) -> String {
    format!("@id(\"p\") @because(\"Because.\") {effect_and_scope} {clauses};")
}

fn refusal(text: &str) -> PolicyError {
    Policies::parse(&[("a.cedar", text)]).expect_err(text)
}

const SIGN_IN: &str = "permit (principal, action == Action::\"signIn\", resource)";

#[test]
fn the_baseline_loads_alone_and_with_others() {
    Policies::parse(&[BASELINE]).unwrap();
    Policies::parse(&[BASELINE, ("more.cedar", &policy(SIGN_IN, ""))]).unwrap();
    Policies::parse(&[]).unwrap();
}

#[test]
fn every_refusal_names_its_place_and_what_to_write() {
    let check = |text: &str, expect: &[&str]| {
        let said = refusal(text).to_string();
        for part in expect {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    };
    check("\n\npermit (principal);", &["a.cedar:3", "@id"]);
    check("@id(\"x\")", &["a.cedar:1", "unexpected end"]);
    check("permit (principal, action, resource);", &["a.cedar:1", "`@id(\"…\")`"]);
    check("@id permit (principal, action, resource);", &["a.cedar:1", "`@id(\"…\")`"]);
    check("@id(\"a b\") permit (principal, action, resource);", &["a.cedar:1", "letters, digits"]);
    check("@id(\"no-permit\") permit (principal, action, resource);", &["other than `no-permit`"]);
    check("@id(\"x\") permit (principal, action, resource);", &["a.cedar:1", "`x`", "@because"]);
    check("@id(\"x\") @because(\" \") permit (principal, action, resource);", &["`x`", "@because"]);
    check("@id(\"x\") @because_de(\"Darum.\") permit (principal, action, resource);", &["`x`", "@because"]);
    check(
        "@id(\"x\") @because(\"So.\") @because_de(\"\") permit (principal, action, resource);",
        &["`x`", "@because_de"],
    );
    check("@id(\"x\") @because(\"two\\nlines\") permit (principal, action, resource);", &["one line"]);
    check(
        &format!("@id(\"x\") @because(\"{}\") permit (principal, action, resource);", "é".repeat(301)),
        &["300"],
    );
    check(&format!("{p}\n{p}", p = policy(SIGN_IN, "")), &["a.cedar:2", "`p`", "a.cedar:1"]);
    check("@id(\"inactive\") @because(\"x\") permit (principal, action, resource);", &["always.cedar:3"]);
    check(
        "@id(\"x\") @because(\"x\") permit (principal == ?principal, action, resource);",
        &["a.cedar:1", "template"],
    );
}

#[test]
fn policies_that_do_not_fit_the_schema_are_refused() {
    for (scope, clauses) in [
        (SIGN_IN, "when { context.asurance >= 2 }"),
        (SIGN_IN, "when { context.assurance >= \"2\" }"),
        (SIGN_IN, "when { context.presence }"),
        (SIGN_IN, "when { context.network == Network::\"remotely\" }"),
        (SIGN_IN, "when { context.network == \"remote\" }"),
        (SIGN_IN, "when { context.entitled }"),
        (SIGN_IN, "when { resource.protection_class >= 3 }"),
        (SIGN_IN, "when { principal.title == \"x\" }"),
        (SIGN_IN, "when { context.risk_score.lessThanOrEqual(decimal(\"99999999999999999.0\")) }"),
        ("permit (principal, action == Action::\"signin\", resource)", ""),
        ("permit (principal in Team::\"x\", action, resource)", ""),
        ("permit (principal, action == Action::\"hold\", resource)", "when { context.assurance >= 2 }"),
        // Assurance is not known when holding, and this speaks of every action.
        ("forbid (principal, action, resource)", "unless { context.assurance >= 2 }"),
        // Can never apply.
        ("permit (principal, action == Action::\"signIn\", resource is Area)", ""),
        (SIGN_IN, "when { false }"),
        // Text that reads otherwise than it runs.
        (SIGN_IN, "when { resource == Client::\"a\u{202e}b\" }"),
    ] {
        let found = refusal(&policy(scope, clauses));
        assert!(
            matches!(&found, PolicyError::Invalid { id, at, .. } if id == "p" && at.line == 1),
            "{clauses}: {found:?}"
        );
    }
}

#[test]
fn names_may_be_written_in_any_script() {
    for name in ["Netz Ω Офис", "Große Straße – Süd №5", "変電所 7", "محطة"] {
        let scope =
            format!("permit (principal in Department::\"{name}\", action == Action::\"signIn\", resource)");
        parse(&policy(&scope, &format!("when {{ principal has title && principal.title == \"{name}\" }}")));
    }
}

#[test]
fn a_policy_that_is_not_monotone_is_refused_by_name() {
    let found = refusal(&policy(
        "forbid (principal, action == Action::\"signIn\", resource)",
        "when { context.assurance >= 2 }",
    ));
    let PolicyError::NotMonotone { at, id, found: part, breach } = &found else { panic!("{found:?}") };
    assert_eq!(
        (at.to_string().as_str(), id.as_str(), part.as_str()),
        ("a.cedar:1", "p", "context.assurance >= 2")
    );
    assert_eq!(*breach, Breach::Direction);
    assert!(found.to_string().contains("forbid … unless"), "{found}");
}

#[test]
fn the_first_wrong_policy_is_the_one_named() {
    let text = "@id(\"a\") @because(\"x\") permit (principal, action, resource);\n\
                @id(\"b\") @because(\"x\") permit (principal, action, resource) when { principal.b };\n\
                @id(\"c\") @because(\"x\") permit (principal, action, resource) when { principal.c };";
    assert!(matches!(refusal(text), PolicyError::Invalid { id, at, .. } if id == "b" && at.line == 2));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_parsed() {
    let deep = policy(SIGN_IN, &format!("when {{ {}true{} }}", "(".repeat(100_000), ")".repeat(100_000)));
    assert!(matches!(refusal(&deep), PolicyError::TooComplex { at } if at.line == 1));
    let long = policy(SIGN_IN, &format!("when {{ true{} }}", " && true".repeat(5_000)));
    assert!(matches!(refusal(&long), PolicyError::TooComplex { .. }));
    assert!(
        matches!(refusal(&" ".repeat(MAX_SOURCE + 1)), PolicyError::SourceTooLong { name } if name == "a.cedar")
    );
}

/// The bounds hold the parser's and validator's recursion on a thread of 2 MiB, which this test runs on.
#[test]
fn what_is_just_small_enough_does_not_exhaust_the_stack() {
    let levels = MAX_NESTING - 1;
    let operators = MAX_OPERATORS - 10;
    for condition in [
        format!("{}context.device_known{}", "(".repeat(levels), ")".repeat(levels)),
        format!("{}true{}", "[".repeat(levels), "]".repeat(levels)),
        format!("{}true{}", "{a: ".repeat(levels), "}".repeat(levels)),
        format!("{}true", "if context.device_known then true else ".repeat(levels)),
        format!("{}true{}", "!(".repeat(levels), ")".repeat(levels)),
        format!("context.device_known{}", " && context.device_known".repeat(operators / 3)),
        format!("true{}", " || true".repeat(operators / 2)),
        format!("1{} > 0", " + 1".repeat(operators)),
        format!("1{} > 0", " * 1".repeat(operators)),
        format!("context{}", ".a".repeat(operators)),
        format!("context{}", "[\"a\"]".repeat(operators)),
        format!("context{}", ".isEmpty()".repeat(operators / 2)),
        "!".repeat(operators),
        "-".repeat(operators),
    ] {
        let built = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            // Whether it is valid does not matter here, only that there is an answer.
            let policies =
                Policies::parse(&[("a.cedar", &policy(SIGN_IN, &format!("when {{ {condition} }}")))]);
            policies.map(|policies| line(&policies.decide_sign_in(&sign_in(Sensitivity::Low))))
        });
        match built.unwrap().join().unwrap() {
            Ok(decision) => {
                assert!(decision.ends_with(": p") || decision.ends_with(": no-permit"), "{decision}")
            }
            Err(error) => assert!(!matches!(error, PolicyError::TooComplex { .. }), "{error}"),
        }
    }
}
