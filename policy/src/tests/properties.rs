//! What holds for any policies that load and any request.

use cedar_policy::{Entities, PolicySet};
use kernel::ProtectionClass;
use proptest::prelude::*;

use super::generate::{self, accepted_policy, any_text, sign_in_request, wild_policy};
use super::*;
use crate::decide::Verdict;
use crate::entities::Query;
use crate::schema::VALIDATOR;
use crate::{AdministerRequest, Area, EnrolRequest, EnterRequest, Factor};

/// Scores on both sides of every bound that generated policies compare with.
const SCORES: [f64; 6] = [0.0, 0.5, 1.2, 2.5, 3.1, 1e9];

/// Whether the request is permitted at this rung, asked directly.
fn permitted(policies: &Policies, request: &SignInRequest, rung: Assurance) -> bool {
    let query = Query::sign_in(request).unwrap();
    let slices = policies.slices.of(&query);
    matches!(policies.judge(&slices, &query.entities, &query.at(Some(rung)).unwrap()), Verdict::Permitted(_))
}

fn at(request: &SignInRequest, risk: Risk, risk_score: f64) -> SignInRequest {
    let circumstances = Circumstances { risk, risk_score, ..request.circumstances.clone() };
    SignInRequest { circumstances, ..request.clone() }
}

/// How much a decision asks, rising: allow, step up by rung, deny.
fn demand(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow { .. } => 0,
        Decision::StepUp { required, .. } => required.rung(),
        Decision::Deny { .. } => u8::MAX,
    }
}

fn assert_monotone(policies: &Policies, request: &SignInRequest) {
    for risk in Risk::ALL {
        for score in SCORES {
            let rungs = Assurance::ALL.map(|rung| permitted(policies, &at(request, risk, score), rung));
            assert!(rungs.is_sorted(), "a higher assurance was refused: {rungs:?} at {risk:?} {score}");
        }
        let demands = SCORES.map(|score| demand(&policies.decide_sign_in(&at(request, risk, score))));
        assert!(demands.is_sorted(), "a higher score was asked less: {demands:?} at {risk:?}");
    }
    for score in SCORES {
        let demands = Risk::ALL.map(|risk| demand(&policies.decide_sign_in(&at(request, risk, score))));
        assert!(demands.is_sorted(), "a higher risk was asked less: {demands:?} at {score}");
    }
}

/// The same decision from all policies in one set, as if nothing had been cut.
fn decide_uncut(policies: &Policies, text: &str, request: &SignInRequest) -> Decision {
    let mut whole = PolicySet::new();
    for source in [include_str!("../always.cedar"), text] {
        for policy in source.parse::<PolicySet>().unwrap().policies() {
            let id = policy.annotation("id").unwrap().parse().unwrap();
            whole.add(policy.new_id(id)).unwrap();
        }
    }
    let query = Query::sign_in(request).unwrap();
    policies.lowest_permitted(&query, &[&whole], request.circumstances.reached).unwrap()
}

proptest! {
    #[test]
    fn accepted_policies_load_and_are_monotone_in_assurance_and_risk(
        drawn in prop::collection::vec(accepted_policy(), 1..6),
        request in sign_in_request(),
    ) {
        assert_monotone(&parse(&generate::text(&drawn)), &request);
    }

    #[test]
    fn whatever_loads_is_monotone_in_assurance_and_risk(
        drawn in prop::collection::vec(wild_policy(), 1..4),
        open: bool,
        request in sign_in_request(),
    ) {
        let alone = |policy: &String| generate::text(std::slice::from_ref(policy));
        let loads = |policy: &String| Policies::parse(&[("one", &alone(policy))]).is_ok();
        let mut loading: Vec<String> = drawn.into_iter().filter(loads).collect();
        if open {
            loading.push("permit (principal, action == Action::\"signIn\", resource)".into());
        }
        assert_monotone(&parse(&generate::text(&loading)), &request);
    }

    #[test]
    fn what_is_reached_decides_only_between_allow_and_step_up(
        drawn in prop::collection::vec(accepted_policy(), 1..6),
        mut request in sign_in_request(),
    ) {
        let policies = parse(&generate::text(&drawn));
        let mut required = Vec::new();
        for reached in every_reached() {
            request.circumstances.reached = reached;
            match policies.decide_sign_in(&request) {
                Decision::Allow { required: rung, .. } => {
                    prop_assert!(reached >= Some(rung));
                    required.push(Some(rung));
                }
                Decision::StepUp { required: rung, .. } => {
                    prop_assert!(reached < Some(rung));
                    required.push(Some(rung));
                }
                Decision::Deny { .. } => required.push(None),
            }
        }
        prop_assert!(required.windows(2).all(|pair| pair[0] == pair[1]), "{required:?}");
    }

    #[test]
    fn slices_decide_as_the_whole_does(
        drawn in prop::collection::vec(accepted_policy(), 1..10),
        request in sign_in_request(),
    ) {
        let text = generate::text(&drawn);
        let policies = parse(&text);
        prop_assert_eq!(policies.decide_sign_in(&request), decide_uncut(&policies, &text, &request));
    }

    #[test]
    fn any_input_gets_a_decision_with_a_reason(
        user in generate::user(),
        request in sign_in_request(),
        texts in prop::collection::vec(any_text(), 3),
        project in prop::option::of(any_text()),
        class in -1i64..=5,
        entitled: bool,
    ) {
        let policies = &BASELINE_POLICIES;
        let protection_class = ProtectionClass::try_from(class).unwrap();
        let circumstances = request.circumstances.clone();
        prop_assert!(!policies.decide_sign_in(&request).because().is_empty());
        let operation = texts[0].clone();
        let operation = AdministerRequest { user: user.clone(), operation, circumstances: circumstances.clone() };
        prop_assert!(!policies.decide_administer(&operation).because().is_empty());
        let enrolment = |factor| {
            EnrolRequest { user: user.clone(), factor, circumstances: circumstances.clone() }
        };
        let enrolments = Factor::ALL.map(enrolment);
        for enrolment in &enrolments {
            prop_assert!(!policies.decide_enrol(enrolment).because().is_empty());
        }
        let area = Area { id: texts[1].clone(), protection_class, project: project.clone() };
        let entry = EnterRequest { user: user.clone(), area, entitled, circumstances };
        prop_assert!(!policies.decide_enter(&entry).because().is_empty());
        let profile = AccessProfile { id: texts[2].clone(), areas: texts, protection_class, project };
        prop_assert!(!policies.decide_hold(&user, &profile).because.is_empty());

        let enrolments = enrolments.iter().map(Query::enrol);
        let others = [Query::sign_in(&request), Query::administer(&operation), Query::enter(&entry)];
        for query in others.into_iter().chain(enrolments) {
            let query = query.unwrap();
            for rung in Assurance::ALL {
                fits_the_schema(&query, Some(rung));
            }
        }
        fits_the_schema(&Query::hold(&user, &profile).unwrap(), None);
    }

    #[test]
    fn no_text_breaks_the_loader(text in any_text(), soup in policy_soup()) {
        // Accepted or refused: there is an answer, and it can be shown.
        for text in [text, soup] {
            if let Err(error) = Policies::parse(&[("soup", &text)]) {
                prop_assert!(error.to_string().starts_with("soup"), "{error}");
            }
        }
    }

    #[test]
    fn decisions_are_recorded_and_read_back(request in sign_in_request()) {
        let policies = &BASELINE_POLICIES;
        let decision = policies.decide_sign_in(&request);
        let json = serde_json::to_string(&decision).unwrap();
        prop_assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision.clone());
        // JSON has no infinities; a recorded score is finite.
        let request = at(&request, request.circumstances.risk, 1.25);
        let json = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(serde_json::from_str::<SignInRequest>(&json).unwrap(), request);
    }
}

/// Tokens of the language in no order.
fn policy_soup() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "@id(\"x\")",
        "@because(\"y\")",
        "permit",
        "forbid",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "principal",
        "action",
        "resource",
        "context",
        "when",
        "unless",
        "if",
        "then",
        "else",
        "in",
        "is",
        "has",
        "like",
        "==",
        "!=",
        "<",
        "<=",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "*",
        ".",
        ",",
        ";",
        "::",
        "User",
        "Action",
        "\"signIn\"",
        "1",
        "true",
        "\"",
        "//",
        "\n",
        "?principal",
        "decimal(\"1.0\")",
        "permit (principal, action, resource)",
        "context.assurance >= 2",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.join(" "))
}

fn fits_the_schema(query: &Query, rung: Option<Assurance>) {
    let request = query.at(rung).unwrap();
    let (principal, action) = (request.principal().unwrap().clone(), request.action().unwrap().clone());
    let (resource, context) = (request.resource().unwrap().clone(), request.context().unwrap().clone());
    cedar_policy::Request::new(principal, action, resource, context, Some(VALIDATOR.schema())).unwrap();
    Entities::from_entities(query.entities.iter().cloned(), Some(VALIDATOR.schema())).unwrap();
}

#[test]
fn a_decision_looks_only_at_what_can_apply() {
    let policies: Vec<String> = (0..1_000)
        .map(|n| match n % 4 {
            0 => format!("permit (principal in Group::\"group{n}\", action == Action::\"signIn\", resource)"),
            1 => format!("permit (principal, action == Action::\"signIn\", resource == Client::\"client{n}\")"),
            2 => format!("permit (principal in Role::\"role{n}\", action == Action::\"signIn\", resource in Project::\"p{n}\")"),
            _ => format!("permit (principal, action == Action::\"hold\", resource in Area::\"area{n}\")"),
        })
        .collect();
    let policies = parse(&generate::text(&policies));
    let mut request = sign_in(Sensitivity::Low);
    request.user.groups = vec!["group0".into(), "group4".into(), "elsewhere".into()];
    request.user.roles = vec!["role2".into()];
    request.client =
        Client { id: "client1".into(), sensitivity: Sensitivity::Low, project: Some("p6".into()) };
    let query = Query::sign_in(&request).unwrap();
    let slices = policies.slices.of(&query);
    let mut ids: Vec<String> =
        slices.iter().flat_map(|slice| slice.policies()).map(|p| p.id().to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["inactive", "p0", "p1", "p4"]);
}
/// Three parts, one of which always fails, in every arrangement: a policy of them is refused, or it fails (or
/// not) at every rung alike.
#[test]
fn what_fails_never_fails_on_one_side_of_a_rung_only() {
    let parts =
        ["context.assurance >= 2", "context.time.at * 9223372036854775807 > 0", "context.device_known"];
    let mut loaded = 0;
    for (a, b, c) in parts.iter().flat_map(|a| parts.iter().flat_map(move |b| parts.map(|c| (a, b, c)))) {
        for (one, two) in [("&&", "&&"), ("&&", "||"), ("||", "&&"), ("||", "||")] {
            for condition in [format!("({a} {one} {b}) {two} {c}"), format!("{a} {one} ({b} {two} {c})")] {
                loaded += how_many_load_and_are_monotone(&condition);
            }
        }
    }
    assert!(loaded > 100, "only {loaded} loaded");
}

/// Of the four policies with this condition, each beside an open permit where it needs one.
fn how_many_load_and_are_monotone(condition: &str) -> usize {
    const SCOPE: &str = "(principal, action == Action::\"signIn\", resource)";
    let mut loaded = 0;
    for (effect, beside) in [("permit", None), ("forbid", Some(format!("permit {SCOPE}")))] {
        for keyword in ["when", "unless"] {
            let policy = format!("{effect} {SCOPE} {keyword} {{ {condition} }}");
            let drawn: Vec<String> = [policy].into_iter().chain(beside.clone()).collect();
            let Ok(policies) = Policies::parse(&[("one", &generate::text(&drawn))]) else { continue };
            loaded += 1;
            for device_known in [true, false] {
                let circumstances = Circumstances { device_known, ..circumstances() };
                let request = SignInRequest { circumstances, ..sign_in(Sensitivity::Low) };
                let rungs = Assurance::ALL.map(|rung| permitted(&policies, &request, rung));
                assert!(rungs.is_sorted(), "{rungs:?}: {}", drawn[0]);
            }
        }
    }
    loaded
}
