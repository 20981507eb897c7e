//! Random requests and random policies.
//!
//! [`accepted_policy`] draws from the language that the rule of `monotone.rs` admits, so each must load;
//! [`wild_policy`] draws from a wider one, so that what slips through the rule would be found out.

use kernel::{Assurance, Sensitivity, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{Circumstances, Client, LocalTime, Network, Risk, SignInRequest, User};

/// An id that policies below name, or any text at all.
fn id(prefix: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![4 => (0..3u8).prop_map(move |n| format!("{prefix}{n}")), 1 => any_text()]
}

/// Texts that break careless code.
pub(super) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        select(vec![
            "",
            "\"",
            "\\",
            "\\\"",
            "a\"b",
            "line\nbreak",
            "\0",
            "::",
            "User::\"x\"",
            "\u{202e}",
            "💡",
            "${x}"
        ])
        .prop_map(str::to_owned),
    ]
}

pub(super) fn user() -> impl Strategy<Value = User> {
    let ids = |prefix| prop::collection::vec(id(prefix), 0..4);
    let text = || prop::option::of(any_text());
    (id("u"), prop::bool::weighted(0.9), ids("g"), ids("r"), prop::option::of(id("d")), text(), text())
        .prop_map(|(id, active, groups, roles, department, title, employee_type)| User {
            id,
            active,
            groups,
            roles,
            department,
            title,
            employee_type,
        })
}

pub(super) fn circumstances() -> impl Strategy<Value = Circumstances> {
    let reached = prop::option::of(select(&Assurance::ALL[..]));
    let network = select(vec![Network::Internal, Network::Remote]);
    let time = (any::<i64>(), any::<i32>())
        .prop_map(|(at, offset)| LocalTime::at(Timestamp::from_millis(at), offset));
    let risk_score = prop_oneof![0.0..4.0f64, any::<f64>(), Just(f64::NAN)];
    (reached, select(&Risk::ALL[..]), risk_score, network, any::<bool>(), any::<Option<bool>>(), time)
        .prop_map(|(reached, risk, risk_score, network, device_known, presence, time)| Circumstances {
            reached,
            risk,
            risk_score,
            network,
            device_known,
            presence,
            time,
        })
}

pub(super) fn sign_in_request() -> impl Strategy<Value = SignInRequest> {
    let client = (id("c"), select(&Sensitivity::ALL[..]), prop::option::of(id("p")))
        .prop_map(|(id, sensitivity, project)| Client { id, sensitivity, project });
    (user(), client, circumstances()).prop_map(|(user, client, circumstances)| SignInRequest {
        user,
        client,
        circumstances,
    })
}

/// A condition whose rising parts are marked, so that it can be written either way round.
#[derive(Clone, Debug)]
enum Condition {
    /// Depends on neither assurance nor risk.
    Free(String),
    /// Rises with assurance and falls with risk.
    Rising(String),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    If(String, Box<Condition>, Box<Condition>),
}

impl Condition {
    /// As text that rises, or falls.
    fn write(&self, rising: bool) -> String {
        match self {
            Condition::Free(text) => format!("({text})"),
            Condition::Rising(text) if rising => format!("({text})"),
            Condition::Rising(text) => format!("!({text})"),
            Condition::Not(inner) => format!("!{}", parenthesised(&inner.write(!rising))),
            Condition::And(a, b) => format!("({} && {})", a.write(rising), b.write(rising)),
            Condition::Or(a, b) => format!("({} || {})", a.write(rising), b.write(rising)),
            Condition::If(choice, a, b) => {
                format!("(if {choice} then {} else {})", a.write(rising), b.write(rising))
            }
        }
    }
}

fn parenthesised(text: &str) -> String {
    format!("({text})")
}

fn free() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("context.device_known".to_owned()),
        Just("context.network == Network::\"remote\"".to_owned()),
        Just("context has presence && context.presence".to_owned()),
        Just("principal has title && principal.title like \"*a*\"".to_owned()),
        (0..4u8).prop_map(|n| format!("resource.sensitivity >= {n}")),
        (0..24u8).prop_map(|n| format!("context.time.hour < {n}")),
        (0..3u8).prop_map(|n| format!("principal in Group::\"g{n}\"")),
        (0..3u8).prop_map(|n| format!("resource in Project::\"p{n}\"")),
    ]
}

fn rising() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (1..6u8).prop_map(|n| format!("context.assurance >= {n}")),
        1 => (1..6u8).prop_map(|n| format!("{n} <= context.assurance")),
        2 => (0..4u8).prop_map(|n| format!("context.risk <= {n}")),
        1 => (0..4u8).prop_map(|n| format!("{n} >= context.risk")),
        1 => (0..4u8).prop_map(|n| format!("context.risk_score.lessThanOrEqual(decimal(\"{n}.5\"))")),
        1 => (0..4u8).prop_map(|n| format!("decimal(\"{n}.0\").greaterThanOrEqual(context.risk_score)")),
        1 => Just("context.assurance >= resource.sensitivity".to_owned()),
        1 => Just("context.assurance >= context.risk".to_owned()),
    ]
}

fn condition(
    leaf: impl Strategy<Value = Condition> + 'static,
    depth: u32,
    size: u32,
) -> impl Strategy<Value = Condition> {
    leaf.prop_recursive(depth, size, 2, |inner| {
        let two = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        prop_oneof![
            inner.prop_map(|a| Condition::Not(Box::new(a))),
            two.clone().prop_map(|(a, b)| Condition::And(a, b)),
            two.clone().prop_map(|(a, b)| Condition::Or(a, b)),
            (free(), two).prop_map(|(choice, (a, b))| Condition::If(parenthesised(&choice), a, b)),
        ]
    })
}

/// Effect and scope.
fn head() -> impl Strategy<Value = (bool, String)> {
    let named = |prefix: &'static str, form: &'static str| {
        (0..3u8).prop_map(move |n| form.replace('_', &format!("{prefix}{n}")))
    };
    let principal = prop_oneof![
        3 => Just("principal".to_owned()),
        1 => Just("principal is User".to_owned()),
        1 => named("u", "principal == User::\"_\""),
        1 => named("g", "principal in Group::\"_\""),
        1 => named("r", "principal is User in Role::\"_\""),
        1 => named("d", "principal in Department::\"_\""),
    ];
    let action = select(vec!["action == Action::\"signIn\"", "action in [Action::\"signIn\"]"]);
    let resource = prop_oneof![
        3 => Just("resource".to_owned()),
        1 => Just("resource is Client".to_owned()),
        1 => named("c", "resource == Client::\"_\""),
        1 => named("p", "resource in Project::\"_\""),
    ];
    (any::<bool>(), principal, action, resource).prop_map(|(permit, principal, action, resource)| {
        let effect = if permit { "permit" } else { "forbid" };
        (permit, format!("{effect} ({principal}, {action}, {resource})"))
    })
}

/// A policy that the rule must accept: graded and unable to fail, or able to fail and not graded.
pub(super) fn accepted_policy() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![free().prop_map(Condition::Free), rising().prop_map(Condition::Rising)];
    let graded =
        (head(), any::<bool>(), condition(leaf, 3, 10)).prop_map(|((permit, head), when, condition)| {
            let keyword = if when { "when" } else { "unless" };
            format!("{head} {keyword} {{ {} }}", condition.write(permit == when))
        });
    let failing =
        head().prop_map(|(_, head)| format!("{head} when {{ context.time.at * 3 > resource.sensitivity }}"));
    let open = head().prop_map(|(_, head)| head);
    prop_oneof![6 => graded, 1 => failing, 2 => open]
}

/// A policy for everybody that may or may not be monotone: a condition either way round, perhaps with
/// something in it that the rule does not admit. Small, so that many have nothing wrong that the rule should see.
pub(super) fn wild_policy() -> impl Strategy<Value = String> {
    let operator = select(vec![">=", ">", "<", "<=", "==", "!="]);
    let graded = select(vec!["context.assurance", "context.risk"]);
    let wrong = prop_oneof![
        3 => (graded, operator, 0..5u8).prop_map(|(what, operator, n)| format!("{what} {operator} {n}")),
        1 => (0..4u8).prop_map(|n| format!("[1, {n}].contains(context.assurance)")),
        1 => (rising(), free(), rising()).prop_map(|(a, b, c)| format!("if {a} then {b} else {c}")),
        1 => (0..4u8).prop_map(|n| format!("context.risk_score.greaterThan(decimal(\"{n}.5\"))")),
    ];
    let leaf = prop_oneof![
        6 => rising().prop_map(Condition::Rising),
        4 => free().prop_map(Condition::Free),
        2 => wrong.prop_map(Condition::Free),
    ];
    let clause = (select(vec!["when", "unless"]), any::<bool>(), condition(leaf, 2, 4));
    let clause = clause
        .prop_map(|(keyword, rising, condition)| format!("{keyword} {{ {} }}", condition.write(rising)));
    let effect = select(vec!["permit", "forbid"]);
    (effect, prop::collection::vec(clause, 1..3)).prop_map(|(effect, clauses)| {
        format!("{effect} (principal, action == Action::\"signIn\", resource) {}", clauses.join(" "))
    })
}

/// Named policies in one text.
pub(super) fn text(policies: &[String]) -> String {
    let named = policies.iter().enumerate();
    named.map(|(n, policy)| format!("@id(\"p{n}\") @because(\"Policy {n}.\")\n{policy};\n")).collect()
}
