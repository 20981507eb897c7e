//! The baseline against a reference written from its description and sharing nothing with it.

use std::collections::BTreeSet;

use kernel::ProtectionClass;
use proptest::prelude::*;

use super::generate;
use super::*;
use crate::{AdministerRequest, Area, EnrolRequest, EnterRequest, Factor, Reason, Risk};

/// The required assurance and the ids of the rules that ask for it; `None` where nothing is enough.
type Reference = (Option<Assurance>, Vec<&'static str>);

fn inactive() -> Reference {
    (None, vec!["inactive"])
}

fn reference_sign_in(request: &SignInRequest) -> Reference {
    use Sensitivity::{Critical, High, Low, Moderate};
    if !request.user.active {
        return inactive();
    }
    match (request.client.sensitivity, request.circumstances.network) {
        (Low, _) => (Some(Assurance::Aal1), vec![]),
        (Moderate, _) | (High, Network::Internal) => (Some(Assurance::Aal2), vec!["sign-in.moderate"]),
        (High, Network::Remote) => (Some(Assurance::Phr), vec!["sign-in.high.remote"]),
        (Critical, _) => (Some(Assurance::Phr), vec!["sign-in.critical"]),
    }
}

fn reference_administer(request: &AdministerRequest) -> Reference {
    let administrator = request.user.roles.iter().any(|role| role == "administrator");
    match (request.user.active, administrator) {
        (false, _) => (None, vec![]),
        (true, true) => (Some(Assurance::Phr), vec!["administer.phishing-resistant"]),
        (true, false) => (None, vec![]),
    }
}

fn reference_enrol(request: &EnrolRequest) -> Reference {
    match (request.user.active, request.circumstances.risk) {
        (false, _) => inactive(),
        (true, Risk::None | Risk::Low) => (Some(Assurance::Aal1), vec![]),
        (true, Risk::Medium | Risk::High) => (Some(Assurance::Aal2), vec!["enrol.after-failures"]),
    }
}

fn reference_enter(request: &EnterRequest) -> Reference {
    if !request.user.active {
        return inactive();
    }
    match (request.entitled, request.area.protection_class.get() >= 3) {
        (false, _) => (None, vec![]),
        (true, false) => (Some(Assurance::Aal1), vec![]),
        (true, true) => (Some(Assurance::Aal2), vec!["enter.class-3"]),
    }
}

fn ids(because: &[Reason]) -> BTreeSet<&str> {
    because.iter().map(|reason| reason.policy_id.as_str()).collect()
}

fn agree(decision: &Decision, (required, asking): &Reference, reached: Option<Assurance>) {
    assert!(!decision.because().is_empty());
    let found = ids(decision.because());
    match (decision, required) {
        (Decision::Deny { .. }, None) => assert!(asking.iter().all(|id| found.contains(id)), "{found:?}"),
        (Decision::Allow { required, .. }, Some(expect)) => {
            assert_eq!(required, expect);
            assert!(reached >= Some(*expect));
        }
        (Decision::StepUp { required, .. }, Some(expect)) => {
            assert_eq!(required, expect);
            assert!(reached < Some(*expect));
            if !asking.is_empty() {
                assert_eq!(found, asking.iter().copied().collect());
            }
        }
        _ => panic!("{decision:?}, expected {required:?}"),
    }
}

#[test]
fn every_combination_of_sign_in_agrees_with_the_reference() {
    let policies = &BASELINE_POLICIES;
    for sensitivity in Sensitivity::ALL {
        for network in [Network::Internal, Network::Remote] {
            for active in [true, false] {
                for reached in every_reached() {
                    let mut request = sign_in(sensitivity);
                    request.user.active = active;
                    request.circumstances.network = network;
                    request.circumstances.reached = reached;
                    agree(&policies.decide_sign_in(&request), &reference_sign_in(&request), reached);
                }
            }
        }
    }
}

#[test]
fn the_reasons_are_the_ones_a_user_needs() {
    let policies = &BASELINE_POLICIES;
    let check = |sensitivity, network, reached, expect: &str| {
        let mut request = sign_in(sensitivity);
        request.circumstances.network = network;
        request.circumstances.reached = reached;
        assert_eq!(line(&policies.decide_sign_in(&request)), expect);
    };
    use Network::{Internal, Remote};
    check(Sensitivity::Low, Remote, Some(Assurance::Aal1), "allow aal1: sign-in");
    check(Sensitivity::Low, Remote, None, "step up aal1: sign-in");
    check(Sensitivity::Moderate, Internal, Some(Assurance::Aal1), "step up aal2: sign-in.moderate");
    check(Sensitivity::Moderate, Internal, Some(Assurance::Phrh), "allow aal2: sign-in");
    check(Sensitivity::High, Remote, Some(Assurance::Aal1), "step up phr: sign-in.high.remote");
    check(Sensitivity::Critical, Remote, Some(Assurance::Aal2), "step up phr: sign-in.critical");
    let mut gone = sign_in(Sensitivity::Low);
    gone.user.active = false;
    gone.circumstances.reached = Some(Assurance::Phrh);
    assert_eq!(line(&policies.decide_sign_in(&gone)), "deny: inactive");
    assert_eq!(policies.decide_sign_in(&gone).because()[0].because, "This account is not active.");
}

#[test]
fn no_policy_brings_an_inactive_user_back() {
    let policies = parse(r#"@id("all") @because("Everything.") permit (principal, action, resource);"#);
    let gone = User { active: false, ..user("u") };
    let profile = access_profile("control-room");
    assert!(policies.decide_hold(&user("u"), &profile).held);
    let decision = policies.decide_hold(&gone, &profile);
    assert!(!decision.held);
    assert_eq!(ids(&decision.because), BTreeSet::from(["inactive"]));
    let request =
        AdministerRequest { user: gone, operation: "users.write".into(), circumstances: circumstances() };
    assert_eq!(line(&policies.decide_administer(&request)), "deny: inactive");
}

proptest! {
    #[test]
    fn any_sign_in_agrees_with_the_reference(request in generate::sign_in_request()) {
        let decision = BASELINE_POLICIES.decide_sign_in(&request);
        agree(&decision, &reference_sign_in(&request), request.circumstances.reached);
    }

    #[test]
    fn any_enrolment_agrees_with_the_reference(
        user in generate::user(),
        factor in prop::sample::select(&Factor::ALL[..]),
        circumstances in generate::circumstances(),
    ) {
        let request = EnrolRequest { user, factor, circumstances };
        let decision = BASELINE_POLICIES.decide_enrol(&request);
        agree(&decision, &reference_enrol(&request), request.circumstances.reached);
    }

    #[test]
    fn any_administration_agrees_with_the_reference(
        mut user in generate::user(),
        administrator: bool,
        operation: String,
        circumstances in generate::circumstances(),
    ) {
        if administrator {
            user.roles.push("administrator".into());
        }
        let request = AdministerRequest { user, operation, circumstances };
        let decision = BASELINE_POLICIES.decide_administer(&request);
        agree(&decision, &reference_administer(&request), request.circumstances.reached);
    }

    #[test]
    fn any_entry_agrees_with_the_reference(
        user in generate::user(),
        class in -1i64..=5,
        entitled: bool,
        circumstances in generate::circumstances(),
    ) {
        let protection_class = ProtectionClass::try_from(class).unwrap();
        let area = Area { id: "north".into(), protection_class, project: None };
        let request = EnterRequest { user, area, entitled, circumstances };
        let decision = BASELINE_POLICIES.decide_enter(&request);
        agree(&decision, &reference_enter(&request), request.circumstances.reached);
    }
}

#[test]
fn every_reason_is_there_in_german_too() {
    // Always among them: what no set can be without.
    for (id, known) in &BASELINE_POLICIES.known {
        let german = known.words.translated.get("de").unwrap_or_else(|| panic!("{id}"));
        assert_ne!(*german, known.words.because, "{id}");
    }
    let mut gone = sign_in(Sensitivity::Low);
    gone.user.active = false;
    let decision = BASELINE_POLICIES.decide_sign_in(&gone);
    let reason = &decision.because()[0];
    assert_eq!(reason.because_in("de"), "Dieses Konto ist nicht aktiv.");
    assert_eq!((reason.because_in("en"), reason.because_in("fr")), (&*reason.because, &*reason.because));
}
