//! What policy says about a sign-in, and what follows when it says no.

use std::net::IpAddr;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::client::Client;
use directory::facts::SignInRefused;
use directory::presence;
use directory::user::User;
use kernel::id::UserId;
use kernel::{Assurance, Principal, Subject};
use policy::{
    Circumstances, Decision, EnrolRequest, Factor, LocalTime, Network, Reason, Risk, SignInRequest,
};
use store::{Fact, Tx};
use web::fill;
use web::page::Frame;

use crate::authorize::{Prompt, Refusal};
use crate::destination::Destination;
use crate::error::IdpError;
use crate::sign_in::attempts;
use crate::texts::{self, Texts};
use crate::visit::Visit;
use crate::{Idp, device};

/// Where and how somebody comes. A code or token that is presented by an application's server has no browser: what
/// was known of it was judged when the code was given, and counts as good afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scene {
    pub(crate) network: Network,
    pub(crate) device_known: bool,
    pub(crate) risk: Risk,
    /// Whether doors know the person to be on site; `None` when nobody knows.
    pub(crate) presence: Option<bool>,
}

impl From<Network> for Scene {
    fn from(network: Network) -> Self {
        Self { network, device_known: true, risk: Risk::None, presence: None }
    }
}

/// Whether this user may sign in to this client from there, having reached this rung.
pub(crate) fn judge(
    idp: &Idp,
    user: Principal,
    client: &Client,
    reached: Assurance,
    scene: impl Into<Scene>,
) -> Decision {
    let request = SignInRequest {
        user,
        client: policy::Client {
            id: client.id.clone(),
            sensitivity: client.sensitivity(),
            project: client.project.clone(),
        },
        circumstances: circumstances(idp, reached, scene.into()),
    };
    let policies = idp.policies.borrow().clone();
    policies.decide_sign_in(&request)
}

/// Whether this user may add this to sign in with, having reached this rung.
pub(crate) fn judge_enrolment(
    idp: &Idp,
    user: Principal,
    factor: Factor,
    reached: Assurance,
    scene: Scene,
) -> Decision {
    let request = EnrolRequest { user, factor, circumstances: circumstances(idp, reached, scene) };
    let policies = idp.policies.borrow().clone();
    policies.decide_enrol(&request)
}

/// How a browser comes that acts for this user.
///
/// The risk is a fixed level from simple signs: a device that is new to us is a little unusual, some failed attempts
/// at the account are unusual. A better score takes this place.
pub(crate) async fn scene(visit: &Visit<'_>, user: &User) -> Scene {
    let device_known = device::is_known(visit, user.id);
    let risk = match (attempts::have_failed(visit.idp, &user.user_name).await, device_known) {
        (true, _) => Risk::Medium,
        (false, false) => Risk::Low,
        (false, true) => Risk::None,
    };
    // Nobody is kept out because doors cannot be asked: then nobody knows.
    let presence = presence::on_site(&visit.idp.db, user.id).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "whether somebody is on site cannot be read");
        None
    });
    Scene { network: network(visit.idp, visit.passage.client()), device_known, risk, presence }
}

/// Where a browser is.
pub(crate) fn network(idp: &Idp, address: IpAddr) -> Network {
    if idp.settings.internal_networks.hold(address) { Network::Internal } else { Network::Remote }
}

fn circumstances(idp: &Idp, reached: Assurance, scene: Scene) -> Circumstances {
    let now = idp.ctx().now();
    let offset = now.to_jiff().map_or(0, |at| idp.settings.time_zone.to_offset(at).seconds());
    Circumstances {
        reached: Some(reached),
        risk: scene.risk,
        risk_score: f64::from(scene.risk as u8),
        network: scene.network,
        device_known: scene.device_known,
        presence: scene.presence,
        time: LocalTime::at(now, offset),
    }
}

/// Reasons as facts carry them: `policy: text`.
pub(crate) fn in_words(because: &[Reason]) -> Vec<String> {
    because.iter().map(|reason| format!("{}: {}", reason.policy_id, reason.because)).collect()
}

/// Why policy said no.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    /// As the fact says it.
    pub(crate) reason: &'static str,
    /// As the application is told (OpenID Connect Core, section 3.1.2.6).
    error: &'static str,
    required: Option<Assurance>,
    because: &'a [Reason],
}

impl<'a> Verdict<'a> {
    /// `None` when it said yes.
    pub(crate) fn of(decision: &'a Decision) -> Option<Self> {
        match decision {
            Decision::Allow { .. } => None,
            Decision::Deny { because } => {
                Some(Self { reason: "denied-by-policy", error: "access_denied", required: None, because })
            }
            Decision::StepUp { required, because } => Some(Self {
                reason: "assurance-too-low",
                error: "interaction_required",
                required: Some(*required),
                because,
            }),
        }
    }

    /// Records it in the transaction of what follows from it.
    pub(crate) fn record(&self, tx: &mut Tx, user: UserId, client: &str) {
        self.record_for(tx, user, Some(client.to_owned()), None);
    }

    fn record_for(&self, tx: &mut Tx, user: UserId, client: Option<String>, device: Option<String>) {
        let (reason, because) = (self.reason.to_owned(), in_words(self.because));
        let body = SignInRefused { reason, client: client.clone(), because, device };
        let fact = Fact::new(user.subject(), &body);
        tx.record(match client {
            Some(client) => fact.about(Subject::new("client", &client)),
            None => fact,
        });
    }
}

/// Records that policy did not allow a sign-in, and says so: to the person on a page with the reason and a
/// way back, or to the application at once when it asked for no page.
pub(crate) async fn refuse(
    visit: &Visit<'_>,
    destination: &Destination,
    user: &User,
    verdict: &Verdict<'_>,
    what_to_do: WhatToDo,
) -> Result<HttpResponse, IdpError> {
    let mut tx = visit.write_as(user.id).await?;
    verdict.record_for(&mut tx, user.id, destination.client_id(), visit.named_device());
    tx.commit().await?;
    if let Some(asked) = destination.asked().filter(|asked| asked.wishes.prompt == Prompt::None) {
        return Err(asked.send_back(visit.idp, Refusal { error: verdict.error, ..Refusal::POLICY }));
    }
    Ok(show(visit, destination, verdict, what_to_do))
}

/// What somebody can do who may not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhatToDo {
    /// Nothing that we know of: the reason must do.
    Nothing,
    /// Nothing that is strong enough is set up, and may not be set up from here.
    AskForFactor,
}

/// The page of who may not sign in.
#[derive(Template)]
#[template(path = "refused.html")]
pub(crate) struct RefusedPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) title: String,
    pub(crate) because: Vec<&'a str>,
    pub(crate) needed: Option<&'static str>,
    pub(crate) what_to_do: Option<&'static str>,
    pub(crate) back: String,
    pub(crate) back_href: &'a str,
}

fn show(
    visit: &Visit<'_>,
    destination: &Destination,
    verdict: &Verdict<'_>,
    what_to_do: WhatToDo,
) -> HttpResponse {
    let frame = destination.frame(visit.passage);
    let t = texts::of(frame.locale);
    let title = if verdict.required.is_some() { &t.refused.step_up } else { &t.refused.denied };
    let page = RefusedPage {
        frame: &frame,
        t,
        title: fill(title, "client", destination.name(t)),
        because: verdict.because.iter().map(|reason| reason.because_in(frame.locale.tag())).collect(),
        needed: verdict.required.map(|rung| rung_in_words(t, rung)),
        what_to_do: (what_to_do == WhatToDo::AskForFactor).then_some(t.refused.ask_for_factor.as_str()),
        back: fill(&t.refused.back, "client", destination.name(t)),
        back_href: &destination.way_back(visit.idp),
    };
    frame.respond(StatusCode::FORBIDDEN, &page)
}

/// A rung of assurance in plain words.
pub(crate) fn rung_in_words(t: &'static Texts, rung: Assurance) -> &'static str {
    match rung {
        Assurance::Aal1 => &t.rungs.aal1,
        Assurance::Aal2 => &t.rungs.aal2,
        Assurance::Phr => &t.rungs.phr,
        Assurance::Phrh => &t.rungs.phrh,
    }
}
