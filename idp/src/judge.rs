//! What policy says about a sign-in, and what follows when it says no.

use std::net::IpAddr;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::client::Client;
use directory::facts::SignInRefused;
use directory::user::{self, User};
use kernel::id::UserId;
use kernel::{Actor, Assurance, Subject};
use policy::{Circumstances, Decision, LocalTime, Network, Reason, Risk, SignInRequest};
use store::{Fact, Tx};
use web::page::Frame;
use web::{Passage, fill};

use crate::authorize::{Asked, Prompt, Refusal};
use crate::error::IdpError;
use crate::texts::{self, Texts};
use crate::{Idp, locale, origin};

/// Whether this user may sign in to this client from there, having reached this rung.
pub(crate) async fn judge(
    idp: &Idp,
    user: &User,
    client: &Client,
    reached: Assurance,
    network: Network,
) -> Result<Decision, IdpError> {
    let request = SignInRequest {
        user: user::principal(&idp.db, user).await?,
        client: policy::Client {
            id: client.id.clone(),
            sensitivity: client.sensitivity(),
            project: client.project.clone(),
        },
        circumstances: circumstances(idp, reached, network),
    };
    let policies = idp.policies.borrow().clone();
    Ok(policies.decide_sign_in(&request))
}

/// Where a browser is.
pub(crate) fn network(idp: &Idp, address: IpAddr) -> Network {
    if idp.settings.internal_networks.hold(address) { Network::Internal } else { Network::Remote }
}

fn circumstances(idp: &Idp, reached: Assurance, network: Network) -> Circumstances {
    let now = idp.ctx().now();
    let offset = now.to_jiff().map_or(0, |at| idp.settings.time_zone.to_offset(at).seconds());
    Circumstances {
        reached: Some(reached),
        risk: Risk::None,
        risk_score: 0.0,
        network,
        device_known: false,
        presence: None,
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
        let body = SignInRefused {
            reason: self.reason.to_owned(),
            client: Some(client.to_owned()),
            because: in_words(self.because),
        };
        tx.record(Fact::new(user.subject(), &body).about(Subject::new("client", client)));
    }
}

/// Records that policy did not allow a sign-in, and says so: to the person on a page with the reason and a
/// way back, or to the application at once when it asked for no page.
pub(crate) async fn refuse(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    user: &User,
    verdict: &Verdict<'_>,
) -> Result<HttpResponse, IdpError> {
    let mut tx = idp.db.write(origin(Actor::User(user.id), passage.id())).await?;
    verdict.record(&mut tx, user.id, &asked.client.id);
    tx.commit().await?;
    if asked.wishes.prompt == Prompt::None {
        return Err(
            asked.send_back(idp, Refusal { error: verdict.error, description: "policy asks for more" })
        );
    }
    Ok(show(idp, passage, asked, verdict))
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
    pub(crate) back: String,
    pub(crate) back_href: &'a str,
}

fn show(idp: &Idp, passage: &Passage, asked: &Asked, verdict: &Verdict<'_>) -> HttpResponse {
    let locale = locale(passage, &asked.wishes.ui_locales);
    let t = texts::of(locale);
    let frame = Frame::new(passage.id(), locale);
    let title = if verdict.required.is_some() { &t.refused.step_up } else { &t.refused.denied };
    let denied = Refusal { error: "access_denied", description: "policy does not allow this sign-in" };
    let page = RefusedPage {
        frame: &frame,
        t,
        title: fill(title, "client", &asked.client.name),
        because: verdict.because.iter().map(|reason| reason.because.as_str()).collect(),
        needed: verdict.required.map(|rung| rung_in_words(t, rung)),
        back: fill(&t.refused.back, "client", &asked.client.name),
        back_href: &asked.location_of(idp, &denied),
    };
    frame.respond(StatusCode::FORBIDDEN, &page)
}

fn rung_in_words(t: &'static Texts, rung: Assurance) -> &'static str {
    match rung {
        Assurance::Aal1 => &t.rungs.aal1,
        Assurance::Aal2 => &t.rungs.aal2,
        Assurance::Phr => &t.rungs.phr,
        Assurance::Phrh => &t.rungs.phrh,
    }
}
