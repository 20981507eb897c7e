//! The rule that makes decisions monotone: a policy may only *reward* assurance and *punish* risk.
//!
//! Call `context.assurance >= N` and `context.risk <= N` rising conditions: more assurance or less risk can
//! only make them true. They stay rising under `&&` and `||`, and `!` turns them around. A `permit` must rise
//! (its `when` rises, its `unless` falls) and a `forbid` must fall (its `when` falls, its `unless` rises).
//! Then the set of permits that hold only grows with the assurance and shrinks with the risk, the set of
//! forbids the other way round, and so the decision is monotone whatever the policies are.
//!
//! One hole is left: a condition that can fail when it is evaluated (an overflow) may fail on the one side of
//! an `||` that a higher assurance reaches. So a policy that reads assurance or risk may not contain anything
//! that can fail. One that reads neither may: it fails or not regardless of them.
//!
//! Works on Cedar's public syntax tree, which keeps the policy as it was written.

use cedar_policy::pst::{BinaryOp, Clause, Effect, Expr, Literal, Template, UnaryOp, Var};

/// How a policy breaks the rule. Prints as what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Assurance or risk is compared with the wrong operator.
    #[error(
        "compare assurance only with `context.assurance >= N`, and risk only with `context.risk <= N` or \
         `context.risk_score.lessThanOrEqual(decimal(\"N.0\"))`; say the opposite with `!` or `unless`"
    )]
    Operator,
    /// The condition would take away what a higher assurance or a lower risk earns.
    #[error(
        "this would punish a higher assurance or a lower risk; write `permit … when` or `forbid … unless` \
         around `context.assurance >= N` and `context.risk <= N` (each `!` turns the condition around)"
    )]
    Direction,
    /// Assurance or risk stands in something else than a comparison joined by `&&`, `||` and `!`.
    #[error(
        "assurance and risk may stand only in `context.assurance >= N`, `context.risk <= N` and \
         `context.risk_score.lessThanOrEqual(decimal(\"N.0\"))`, joined by `&&`, `||` and `!`; a choice \
         between two conditions is two policies"
    )]
    Form,
    /// The policy reads assurance or risk and contains something that can fail when it is evaluated.
    #[error(
        "a policy that reads assurance or risk must not be able to fail: arithmetic, date arithmetic and \
         attributes of anything but principal, resource and context belong into a policy of their own"
    )]
    CanFail,
}

/// Which way a condition may move when the assurance rises or the risk falls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From false to true only.
    Rising,
    /// From true to false only.
    Falling,
}

impl Direction {
    fn turned(self) -> Self {
        match self {
            Direction::Rising => Direction::Falling,
            Direction::Falling => Direction::Rising,
        }
    }
}

/// The breach and the part of the policy where it is, or nothing.
pub(crate) fn check(policy: &Template) -> Result<(), (Breach, String)> {
    let clauses = policy.clauses();
    if !clauses.iter().any(|clause| is_graded(condition(clause))) {
        return Ok(());
    }
    for clause in clauses {
        if let Some(found) = what_can_fail(condition(clause)) {
            return Err((Breach::CanFail, found));
        }
        let wanted = match (policy.effect, clause) {
            (Effect::Permit, Clause::When(_)) | (Effect::Forbid, Clause::Unless(_)) => Direction::Rising,
            (Effect::Permit, Clause::Unless(_)) | (Effect::Forbid, Clause::When(_)) => Direction::Falling,
        };
        check_condition(condition(clause), wanted)?;
    }
    Ok(())
}

fn condition(clause: &Clause) -> &Expr {
    match clause {
        Clause::When(condition) | Clause::Unless(condition) => condition,
    }
}

fn check_condition(condition: &Expr, wanted: Direction) -> Result<(), (Breach, String)> {
    if !is_graded(condition) {
        return Ok(());
    }
    let breach = match condition {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => return check_condition(expr, wanted.turned()),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            check_condition(left, wanted)?;
            return check_condition(right, wanted);
        }
        Expr::IfThenElse { cond, then_expr, else_expr } if !is_graded(cond) => {
            check_condition(then_expr, wanted)?;
            return check_condition(else_expr, wanted);
        }
        Expr::BinaryOp { op, left, right } => match rises(*op, left, right) {
            Ok(()) if wanted == Direction::Rising => return Ok(()),
            Ok(()) => Breach::Direction,
            Err(breach) => breach,
        },
        _ => Breach::Form,
    };
    Err((breach, condition.to_string()))
}

/// Whether a comparison rises: on its greater side stands assurance, on its smaller side risk, or what
/// depends on neither.
fn rises(op: BinaryOp, left: &Expr, right: &Expr) -> Result<(), Breach> {
    let (greater, smaller) = match op {
        BinaryOp::GreaterEq | BinaryOp::DecimalGreaterEq => (left, right),
        BinaryOp::LessEq | BinaryOp::DecimalLessEq => (right, left),
        _ if is_assurance(left) || is_assurance(right) || is_risk(left) || is_risk(right) => {
            return Err(Breach::Operator);
        }
        _ => return Err(Breach::Form),
    };
    if (is_assurance(greater) || !is_graded(greater)) && (is_risk(smaller) || !is_graded(smaller)) {
        Ok(())
    } else if is_assurance(smaller) || is_risk(greater) {
        Err(Breach::Operator)
    } else {
        Err(Breach::Form)
    }
}

fn is_assurance(expr: &Expr) -> bool {
    context_attribute(expr) == Some("assurance")
}

fn is_risk(expr: &Expr) -> bool {
    matches!(context_attribute(expr), Some("risk" | "risk_score"))
}

fn context_attribute(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::GetAttr { expr, attr } if **expr == Expr::Var(Var::Context) => Some(attr),
        _ => None,
    }
}

/// Whether the value can depend on assurance or risk. The context as a whole does.
fn is_graded(expr: &Expr) -> bool {
    expr.reduce(
        &|part| match part {
            Expr::GetAttr { expr, .. } if **expr == Expr::Var(Var::Context) => {
                Some(is_assurance(part) || is_risk(part))
            }
            Expr::HasAttr { expr, attrs } if **expr == Expr::Var(Var::Context) => {
                Some(matches!(attrs.first().as_str(), "assurance" | "risk" | "risk_score"))
            }
            Expr::Var(Var::Context) => Some(true),
            _ => None,
        },
        &|a, b| a || b,
        false,
    )
}

/// A part that can fail when it is evaluated although the policy is strictly valid.
fn what_can_fail(expr: &Expr) -> Option<String> {
    expr.reduce(
        &|part| if can_fail(part) { Some(Some(part.to_string())) } else { None },
        &|a: Option<String>, b| a.or(b),
        None,
    )
}

/// Whether this node itself can fail. What Cedar adds in future counts as failing until it is listed here.
fn can_fail(node: &Expr) -> bool {
    match node {
        Expr::Literal(_) | Expr::Var(_) | Expr::Set(_) | Expr::Record(_) => false,
        Expr::HasAttr { .. } | Expr::Like { .. } | Expr::Is { .. } | Expr::IfThenElse { .. } => false,
        // Principal and resource are always there; an entity that a policy names may not be.
        Expr::GetAttr { expr, .. } => !is_given(expr),
        Expr::UnaryOp { op: UnaryOp::Neg, expr } => {
            !matches!(**expr, Expr::Literal(Literal::Long(n)) if n != i64::MIN)
        }
        Expr::UnaryOp { op, .. } => !matches!(
            op,
            // Strict validation admits the constructors with valid literals only.
            UnaryOp::Decimal
                | UnaryOp::Ip
                | UnaryOp::Datetime
                | UnaryOp::Duration
                | UnaryOp::Not
                | UnaryOp::IsEmpty
                | UnaryOp::IsIPv4
                | UnaryOp::IsIPV6
                | UnaryOp::IsLoopback
                | UnaryOp::IsMulticast
        ),
        Expr::BinaryOp { op, .. } => !matches!(
            op,
            BinaryOp::Eq
                | BinaryOp::NotEq
                | BinaryOp::And
                | BinaryOp::Or
                | BinaryOp::Less
                | BinaryOp::LessEq
                | BinaryOp::Greater
                | BinaryOp::GreaterEq
                | BinaryOp::DecimalLessThan
                | BinaryOp::DecimalLessEq
                | BinaryOp::DecimalGreater
                | BinaryOp::DecimalGreaterEq
                | BinaryOp::In
                | BinaryOp::Contains
                | BinaryOp::ContainsAll
                | BinaryOp::ContainsAny
                | BinaryOp::IsInRange
        ),
        _ => true,
    }
}

fn is_given(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) => true,
        Expr::GetAttr { expr, .. } => is_given(expr),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rule says of a policy for signing in, given as `permit|forbid` and clauses.
    fn rule(policy: &str) -> Result<(), (Breach, String)> {
        let (effect, clauses) = policy.split_once(' ').unwrap();
        let text = format!("{effect} (principal, action == Action::\"signIn\", resource) {clauses};");
        let policy =
            cedar_policy::Policy::parse(None, &text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        check(policy.to_pst().unwrap().body())
    }

    #[test]
    fn policies_that_reward_assurance_and_punish_risk_are_accepted() {
        for policy in [
            "permit when { context.assurance >= 2 }",
            "forbid unless { context.assurance >= 2 }",
            "permit unless { !(context.assurance >= 2) }",
            "forbid when { !(context.assurance >= 2) }",
            "permit when { 2 <= context.assurance }",
            r#"permit when { context["assurance"] >= 2 }"#,
            "permit when { context.risk <= 1 }",
            "permit when { 1 >= context.risk }",
            "forbid when { !(context.risk <= 1) }",
            "forbid unless { context.risk <= 1 || context.assurance >= 3 }",
            r#"forbid unless { context.risk_score.lessThanOrEqual(decimal("0.9")) }"#,
            r#"forbid unless { decimal("0.9").greaterThanOrEqual(context.risk_score) }"#,
            // The other side may be anything that depends on neither.
            "permit when { context.assurance >= resource.sensitivity }",
            "permit when { context.assurance >= -1 }",
            "permit when { context.assurance >= (if context.device_known then 2 else 3) }",
            // Assurance must outweigh the risk.
            "permit when { context.assurance >= context.risk }",
            // A choice by something else.
            "permit when { if context.device_known then context.assurance >= 2 else context.assurance >= 3 }",
            // Double turns, and a clause that reads neither.
            "permit when { !(!(context.assurance >= 2 && context.device_known)) }",
            r#"forbid when { context.network == Network::"remote" } unless { context.assurance >= 3 }"#,
            "permit when { context has presence && context.presence && context.assurance >= 2 }",
            // What can fail, away from assurance and risk.
            "forbid when { context.time.at + 1 > 0 }",
        ] {
            assert_eq!(rule(policy), Ok(()), "{policy}");
        }
    }

    #[test]
    fn policies_that_could_punish_assurance_or_reward_risk_are_refused() {
        for (policy, breach, found) in [
            ("forbid when { context.assurance >= 2 }", Breach::Direction, "context.assurance >= 2"),
            ("permit unless { context.assurance >= 2 }", Breach::Direction, "context.assurance >= 2"),
            ("permit when { !(context.assurance >= 2) }", Breach::Direction, "context.assurance >= 2"),
            ("forbid when { !(!(context.risk <= 2)) }", Breach::Direction, "context.risk <= 2"),
            (
                "forbid when { context.device_known && (context.risk <= 1 || context.device_known) }",
                Breach::Direction,
                "context.risk <= 1",
            ),
            (
                "forbid unless { if context.device_known then !(context.assurance >= 2) else true }",
                Breach::Direction,
                "context.assurance >= 2",
            ),
            ("permit when { context.assurance > 1 }", Breach::Operator, "context.assurance > 1"),
            ("forbid when { context.assurance < 2 }", Breach::Operator, "context.assurance < 2"),
            ("permit when { context.assurance <= 2 }", Breach::Operator, "context.assurance <= 2"),
            ("permit when { 2 >= context.assurance }", Breach::Operator, "2 >= context.assurance"),
            ("permit when { context.assurance == 2 }", Breach::Operator, "context.assurance == 2"),
            ("permit when { context.assurance != 2 }", Breach::Operator, "context.assurance != 2"),
            ("forbid when { context.risk >= 2 }", Breach::Operator, "context.risk >= 2"),
            ("permit when { context.risk < 2 }", Breach::Operator, "context.risk < 2"),
            (
                "permit when { context.risk >= context.assurance }",
                Breach::Operator,
                "context.risk >= context.assurance",
            ),
            (
                "permit when { context.assurance >= context.assurance }",
                Breach::Operator,
                "context.assurance >= context.assurance",
            ),
            (
                r#"forbid when { context.risk_score.greaterThan(decimal("0.9")) }"#,
                Breach::Operator,
                r#"(context.risk_score).greaterThan(decimal("0.9"))"#,
            ),
            (
                "permit when { [1, 2].contains(context.risk) }",
                Breach::Operator,
                "[1, 2].contains(context.risk)",
            ),
            (
                "permit when { [context.assurance].contains(2) }",
                Breach::Form,
                "[context.assurance].contains(2)",
            ),
            ("permit when { {a: context.assurance}.a >= 2 }", Breach::CanFail, "{a: context.assurance}.a"),
            ("permit when { {a: context.risk} == {a: 1} }", Breach::Form, "{a: context.risk} == {a: 1}"),
            ("permit when { context has assurance }", Breach::Form, "context has assurance"),
            ("permit when { context == context }", Breach::Form, "context == context"),
            ("permit when { [context].contains(context) }", Breach::Form, "[context].contains(context)"),
            (
                "permit when { if context.assurance >= 2 then true else false }",
                Breach::Form,
                "if context.assurance >= 2 then true else false",
            ),
            (
                "permit when { (if context.device_known then context.assurance else 1) >= 2 }",
                Breach::Form,
                "(if context.device_known then context.assurance else 1) >= 2",
            ),
            ("permit when { context.assurance + 1 >= 2 }", Breach::CanFail, "context.assurance + 1"),
            (
                "permit when { context.assurance >= 2 || context.time.at + 1 > 0 }",
                Breach::CanFail,
                "context.time.at + 1",
            ),
            (
                "permit when { context.assurance >= 2 } unless { -context.time.at > 0 }",
                Breach::CanFail,
                "-context.time.at",
            ),
            (
                r#"permit when { context.assurance >= 2 && User::"u".active }"#,
                Breach::CanFail,
                r#"User::"u".active"#,
            ),
            (
                r#"permit when { context.assurance >= 2 && datetime("2026-11-22").toDate() == datetime("2026-11-22") }"#,
                Breach::CanFail,
                r#"datetime("2026-11-22").toDate()"#,
            ),
        ] {
            let (found_breach, at) = rule(policy).expect_err(policy);
            assert_eq!(found_breach, breach, "{policy}");
            let plain = |text: &str| text.replace(['(', ')', ' ', '"'], "");
            assert_eq!(plain(&at), plain(found), "{policy}");
        }
    }
}
