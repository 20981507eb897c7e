//! Tests of the room as a whole: what loads, what the baseline decides, and what holds for any policies.

mod baseline;
mod examples;
mod generate;
mod load;
mod properties;

use std::sync::LazyLock;

use kernel::{Assurance, ProtectionClass, Sensitivity, Timestamp};

use crate::{
    AccessProfile, BASELINE, Circumstances, Client, Decision, LocalTime, Network, Policies, Risk,
    SignInRequest, User,
};

static BASELINE_POLICIES: LazyLock<Policies> = LazyLock::new(|| Policies::parse(&[BASELINE]).unwrap());

/// An active user in nothing.
fn user(id: &str) -> User {
    User { id: id.into(), active: true, ..User::default() }
}

fn client(sensitivity: Sensitivity) -> Client {
    Client { id: "scada".into(), sensitivity, project: None }
}

fn access_profile(id: &str) -> AccessProfile {
    let protection_class = ProtectionClass::try_from(2).unwrap();
    AccessProfile { id: id.into(), areas: vec!["north".into()], protection_class, project: None }
}

/// Nothing unusual, from inside, nothing reached.
fn circumstances() -> Circumstances {
    Circumstances {
        reached: None,
        risk: Risk::None,
        risk_score: 0.0,
        network: Network::Internal,
        device_known: true,
        presence: None,
        time: LocalTime::at(Timestamp::from_millis(1_795_305_600_000), 3_600),
    }
}

fn sign_in(sensitivity: Sensitivity) -> SignInRequest {
    SignInRequest { user: user("u"), client: client(sensitivity), circumstances: circumstances() }
}

fn parse(text: &str) -> Policies {
    Policies::parse(&[("test.cedar", text)]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A decision in one line: `allow aal1: sign-in`.
fn line(decision: &Decision) -> String {
    let ids: Vec<_> = decision.because().iter().map(|reason| reason.policy_id.as_str()).collect();
    let what = match decision {
        Decision::Allow { required, .. } => format!("allow {required}"),
        Decision::StepUp { required, .. } => format!("step up {required}"),
        Decision::Deny { .. } => "deny".into(),
    };
    format!("{what}: {}", ids.join(", "))
}

/// Nothing reached, then each rung.
fn every_reached() -> impl Iterator<Item = Option<Assurance>> {
    [None].into_iter().chain(Assurance::ALL.map(Some))
}
