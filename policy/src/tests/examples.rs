//! Policies as an organisation would write them, and what they decide.

use super::*;
use crate::{BASELINE, EnterRequest, HoldDecision, NO_PERMIT, Reason};

fn held(decision: &HoldDecision) -> (bool, Vec<&str>) {
    (decision.held, decision.because.iter().map(|reason| reason.policy_id.as_str()).collect())
}

#[test]
fn a_birthright_follows_the_department() {
    let policies = parse(
        r#"
        @id("control-room")
        @because("Grid Operations works in the control room.")
        permit (
            principal in Department::"Grid Operations",
            action == Action::"hold",
            resource == AccessProfile::"control-room"
        );

        @id("north.contractors")
        @because("Contractors enter the north site by escort only.")
        forbid (principal, action == Action::"hold", resource in Area::"north")
        when { principal has employee_type && principal.employee_type == "contractor" };
        "#,
    );
    let operator = User { department: Some("Grid Operations".into()), ..user("u") };
    let decision = policies.decide_hold(&operator, &access_profile("control-room"));
    assert_eq!(
        decision,
        HoldDecision {
            held: true,
            because: vec![Reason {
                policy_id: "control-room".into(),
                because: "Grid Operations works in the control room.".into(),
                translated: Default::default(),
                fault: None,
            }],
        }
    );
    let check = |user: &User, profile: &str, expect: (bool, Vec<&str>)| {
        assert_eq!(held(&policies.decide_hold(user, &access_profile(profile))), expect);
    };
    check(&operator, "vault", (false, vec![NO_PERMIT]));
    check(
        &User { department: Some("Grid operations".into()), ..user("u") },
        "control-room",
        (false, vec![NO_PERMIT]),
    );
    check(
        &User { groups: vec!["Grid Operations".into()], ..user("u") },
        "control-room",
        (false, vec![NO_PERMIT]),
    );
    let contractor = User { employee_type: Some("contractor".into()), ..operator.clone() };
    check(&contractor, "control-room", (false, vec!["north.contractors"]));
    check(&User { active: false, ..operator }, "control-room", (false, vec!["inactive"]));
}

#[test]
fn the_strictest_of_baseline_project_and_risk_wins() {
    let text = r#"
        @id("substation-7")
        @because("Substation 7 needs a device-bound key.")
        forbid (principal, action == Action::"signIn", resource in Project::"substation-7")
        unless { context.assurance >= 4 };

        @id("risky")
        @because("Something about this sign-in is unusual.")
        forbid (principal, action == Action::"signIn", resource)
        unless { context.risk <= 1 || context.assurance >= 3 };

        @id("hostile")
        @because("This sign-in looks like an attack.")
        forbid (principal, action == Action::"signIn", resource)
        unless { context.risk_score.lessThanOrEqual(decimal("9.5")) };
    "#;
    let policies = Policies::parse(&[BASELINE, ("own.cedar", text)]).unwrap();
    let check = |project: Option<&str>, risk, risk_score, expect: &str| {
        let mut request = sign_in(Sensitivity::Moderate);
        request.client.project = project.map(Into::into);
        request.circumstances =
            Circumstances { reached: Some(Assurance::Aal2), risk, risk_score, ..circumstances() };
        assert_eq!(line(&policies.decide_sign_in(&request)), expect);
    };
    check(None, Risk::None, 0.1, "allow aal2: sign-in");
    check(None, Risk::Medium, 1.2, "step up phr: risky");
    check(Some("substation-7"), Risk::None, 0.1, "step up phrh: substation-7");
    check(Some("substation-7"), Risk::Medium, 1.2, "step up phrh: substation-7");
    check(None, Risk::High, 9.5, "step up phr: risky");
    check(None, Risk::High, 9.6, "deny: hostile");
    check(None, Risk::None, f64::NAN, "deny: hostile");
}

#[test]
fn when_nothing_forbids_the_rung_below_the_permit_above_is_the_reason() {
    let policies = parse(
        r#"@id("two") @because("With two factors.")
        permit (principal, action == Action::"signIn", resource) when { context.assurance >= 2 };"#,
    );
    assert_eq!(line(&policies.decide_sign_in(&sign_in(Sensitivity::Low))), "step up aal2: two");
}

#[test]
fn nothing_is_permitted_by_silence() {
    let decision = Policies::parse(&[]).unwrap().decide_sign_in(&sign_in(Sensitivity::Low));
    assert_eq!(line(&decision), "deny: no-permit");
    assert_eq!(decision.because()[0].because, "No rule permits this.");
}

#[test]
fn a_policy_that_fails_counts_against_the_request_and_says_so() {
    let failing = |effect: &str| {
        let clause = "when { context.time.at * 9000000 > 0 }";
        format!(
            r#"@id("f") @because("Fails.") {effect} (principal, action == Action::"signIn", resource) {clause};"#
        )
    };
    let fault = |decision: &Decision| decision.because().iter().find_map(|reason| reason.fault.clone());
    let request = sign_in(Sensitivity::Low);

    let forbidding = Policies::parse(&[BASELINE, ("f", &failing("forbid"))]).unwrap();
    let decision = forbidding.decide_sign_in(&request);
    assert_eq!(line(&decision), "deny: f");
    assert!(fault(&decision).unwrap().contains("overflow"), "{decision:?}");

    let decision = parse(&failing("permit")).decide_sign_in(&request);
    assert_eq!(line(&decision), "deny: f");
    assert!(fault(&decision).unwrap().contains("overflow"), "{decision:?}");

    // Another permit is enough.
    let permitting = Policies::parse(&[BASELINE, ("f", &failing("permit"))]).unwrap();
    assert_eq!(line(&permitting.decide_sign_in(&request)), "step up aal1: sign-in");
}

#[test]
fn an_entity_that_is_not_there_fails_closed() {
    let policies = parse(
        r#"@id("other") @because("As long as the owner is here.")
        permit (principal, action == Action::"signIn", resource) when { User::"owner".active };"#,
    );
    let decision = policies.decide_sign_in(&sign_in(Sensitivity::Low));
    assert_eq!(line(&decision), "deny: other");
    assert!(decision.because()[0].fault.is_some());
}

#[test]
fn a_door_asks_for_a_second_factor_where_the_class_does() {
    let policies = &BASELINE_POLICIES;
    let check = |class: i64, entitled, reached, expect: &str| {
        let area = crate::Area {
            id: "vault".into(),
            protection_class: ProtectionClass::try_from(class).unwrap(),
            project: None,
        };
        let circumstances = Circumstances { reached: Some(reached), ..circumstances() };
        let request = EnterRequest { user: user("u"), area, entitled, circumstances };
        assert_eq!(line(&policies.decide_enter(&request)), expect);
    };
    check(2, true, Assurance::Aal1, "allow aal1: enter");
    check(3, true, Assurance::Aal1, "step up aal2: enter.class-3");
    check(3, true, Assurance::Aal2, "allow aal2: enter");
    check(-1, false, Assurance::Phrh, "deny: no-permit");
}
