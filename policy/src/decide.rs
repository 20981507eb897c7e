//! Decisions: the lowest assurance that is permitted is what we ask for.

use std::collections::BTreeMap;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as CedarDecision, Effect, Entities, PolicyId, PolicySet,
    Request, Response,
};
use kernel::Assurance;
use serde::{Deserialize, Serialize};

use crate::entities::{Fault, Query};
use crate::policies::Policies;
use crate::request::{AccessProfile, AdministerRequest, EnrolRequest, EnterRequest, SignInRequest, User};

/// The `policy_id` of the reason when nothing forbids a request and nothing permits it. No policy has it.
pub const NO_PERMIT: &str = "no-permit";

/// One reason for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// The policy's `@id`, or [`NO_PERMIT`].
    pub policy_id: String,
    /// The policy's `@because`: for the user. [`Reason::because_in`] says it in the user's language.
    pub because: String,
    /// The same in other languages, by tag: the policy's `@because_de` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub translated: BTreeMap<String, String>,
    /// For the log: why the policy could not be evaluated, and so counts against the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What to do about a request. Every decision has at least one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// The assurance reached is enough.
    Allow {
        /// The lowest assurance that would have been enough.
        required: Assurance,
        /// The policies that permit it.
        because: Vec<Reason>,
    },
    /// A higher assurance would be enough: ask for it.
    StepUp {
        /// The lowest assurance that is enough.
        required: Assurance,
        /// The policies that forbid the rung below; when none does, those that permit from `required` on.
        because: Vec<Reason>,
    },
    /// No assurance is enough.
    Deny {
        /// The policies that forbid it.
        because: Vec<Reason>,
    },
}

impl Decision {
    /// The reasons, whatever was decided.
    #[must_use]
    pub fn because(&self) -> &[Reason] {
        match self {
            Decision::Allow { because, .. }
            | Decision::StepUp { because, .. }
            | Decision::Deny { because } => because,
        }
    }
}

/// Whether a user is entitled to an access profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldDecision {
    /// Whether the user may hold it.
    pub held: bool,
    /// The policies that permit or forbid it: at least one reason.
    pub because: Vec<Reason>,
}

impl Policies {
    /// Whether a user may sign in to a client, and at which assurance.
    #[must_use]
    pub fn decide_sign_in(&self, request: &SignInRequest) -> Decision {
        self.climb(Query::sign_in(request), request.circumstances.reached)
    }

    /// Whether a user may add something to sign in with, and at which assurance.
    #[must_use]
    pub fn decide_enrol(&self, request: &EnrolRequest) -> Decision {
        self.climb(Query::enrol(request), request.circumstances.reached)
    }

    /// Whether a user may do an operation of the console or API, and at which assurance.
    #[must_use]
    pub fn decide_administer(&self, request: &AdministerRequest) -> Decision {
        self.climb(Query::administer(request), request.circumstances.reached)
    }

    /// Whether a user may pass into an area now, and with how many factors shown at the door.
    #[must_use]
    pub fn decide_enter(&self, request: &EnterRequest) -> Decision {
        self.climb(Query::enter(request), request.circumstances.reached)
    }

    /// Whether a user is entitled to an access profile.
    #[must_use]
    pub fn decide_hold(&self, user: &User, access_profile: &AccessProfile) -> HoldDecision {
        let verdict = Query::hold(user, access_profile).and_then(|query| {
            let request = query.at(None)?;
            Ok(self.judge(&self.slices.of(&query), &query.entities, &request))
        });
        match verdict {
            Ok(Verdict::Permitted(because)) => HoldDecision { held: true, because },
            Ok(Verdict::Refused(refusal)) => HoldDecision { held: false, because: refusal.into_reasons() },
            Err(fault) => HoldDecision { held: false, because: vec![Reason::of_fault(fault)] },
        }
    }

    fn climb(&self, query: Result<Query, Fault>, reached: Option<Assurance>) -> Decision {
        query
            .and_then(|query| self.lowest_permitted(&query, &self.slices.of(&query), reached))
            .unwrap_or_else(|fault| Decision::Deny { because: vec![Reason::of_fault(fault)] })
    }

    /// Asks at each rung, rising, until one is permitted. Higher ones are too (`monotone.rs`).
    pub(crate) fn lowest_permitted(
        &self,
        query: &Query,
        slices: &[&PolicySet],
        reached: Option<Assurance>,
    ) -> Result<Decision, Fault> {
        let mut below = Refusal::default();
        for required in Assurance::ALL {
            match self.judge(slices, &query.entities, &query.at(Some(required))?) {
                Verdict::Permitted(because) if reached >= Some(required) => {
                    return Ok(Decision::Allow { required, because });
                }
                Verdict::Permitted(permits) => {
                    let because = if below.forbids.is_empty() { permits } else { below.forbids };
                    return Ok(Decision::StepUp { required, because });
                }
                Verdict::Refused(refusal) => below = refusal,
            }
        }
        Ok(Decision::Deny { because: below.into_reasons() })
    }

    /// What the slices together say of one request. Fails closed: a forbid that cannot be evaluated holds, a
    /// permit that cannot be evaluated does not.
    pub(crate) fn judge(&self, slices: &[&PolicySet], entities: &Entities, request: &Request) -> Verdict {
        let authorizer = Authorizer::new();
        let mut found = Found::default();
        for slice in slices {
            self.collect(&authorizer.is_authorized(request, slice, entities), &mut found);
        }
        if found.permits.is_empty() || !found.forbids.is_empty() {
            Verdict::Refused(Refusal {
                forbids: in_order(found.forbids),
                failed_permits: in_order(found.failed_permits),
            })
        } else {
            Verdict::Permitted(in_order(found.permits))
        }
    }

    fn collect(&self, response: &Response, found: &mut Found) {
        let holding = match response.decision() {
            CedarDecision::Allow => &mut found.permits,
            CedarDecision::Deny => &mut found.forbids,
        };
        holding.extend(response.diagnostics().reason().map(|id| self.reason(id, None)));
        for AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors() {
            let is_permit =
                self.known.get(error.policy_id()).is_some_and(|known| known.effect == Effect::Permit);
            let failed = if is_permit { &mut found.failed_permits } else { &mut found.forbids };
            failed.push(self.reason(error.policy_id(), Some(error.inner().to_string())));
        }
    }

    fn reason(&self, id: &PolicyId, fault: Option<String>) -> (usize, Reason) {
        let known = self.known.get(id);
        let words = known.map(|known| known.words.clone()).unwrap_or_default();
        (
            known.map_or(usize::MAX, |known| known.position),
            Reason { policy_id: id.to_string(), because: words.because, translated: words.translated, fault },
        )
    }
}

impl Reason {
    /// What the user is told, in the language of this tag if the policy has it in that.
    #[must_use]
    pub fn because_in(&self, language: &str) -> &str {
        self.translated.get(language).unwrap_or(&self.because)
    }

    fn of_fault(Fault(fault): Fault) -> Self {
        Self { fault: Some(fault), ..Self::no_permit() }
    }

    fn no_permit() -> Self {
        let translated = BTreeMap::from([("de".into(), "Keine Regel erlaubt dies.".into())]);
        Self { policy_id: NO_PERMIT.into(), because: "No rule permits this.".into(), translated, fault: None }
    }
}

/// What one request came to.
pub(crate) enum Verdict {
    Permitted(Vec<Reason>),
    Refused(Refusal),
}

#[derive(Default)]
pub(crate) struct Refusal {
    /// The forbids that hold, and those that could not be evaluated.
    forbids: Vec<Reason>,
    failed_permits: Vec<Reason>,
}

impl Refusal {
    fn into_reasons(self) -> Vec<Reason> {
        let mut because = self.forbids;
        because.extend(self.failed_permits);
        if because.is_empty() {
            because.push(Reason::no_permit());
        }
        because
    }
}

/// Reasons with the positions of their policies.
#[derive(Default)]
struct Found {
    permits: Vec<(usize, Reason)>,
    forbids: Vec<(usize, Reason)>,
    failed_permits: Vec<(usize, Reason)>,
}

fn in_order(mut reasons: Vec<(usize, Reason)>) -> Vec<Reason> {
    reasons.sort_by_key(|(position, _)| *position);
    reasons.into_iter().map(|(_, reason)| reason).collect()
}
