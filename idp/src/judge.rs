//! What policy says about a sign-in, and what follows when it says no.

use std::net::IpAddr;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::client::Client;
use directory::facts::SignInRefused;
use directory::user::{self, User};
use kernel::{Actor, Assurance, Subject};
use policy::{Circumstances, Decision, LocalTime, Network, Reason, Risk, SignInRequest};
use store::Fact;
use web::page::Frame;
use web::{Passage, fill};

use crate::authorize::{Asked, Prompt, Refusal};
use crate::error::IdpError;
use crate::texts::{self, Texts};
use crate::{Idp, locale, origin};

/// Whether this user may sign in to this client, having reached this rung.
pub(crate) async fn judge(
    idp: &Idp,
    user: &User,
    client: &Client,
    reached: Assurance,
    address: IpAddr,
) -> Result<Decision, IdpError> {
    let request = SignInRequest {
        user: principal(idp, user).await?,
        client: policy::Client {
            id: client.id.clone(),
            sensitivity: client.sensitivity(),
            project: client.project.clone(),
        },
        circumstances: circumstances(idp, reached, address),
    };
    let policies = idp.policies.borrow().clone();
    Ok(policies.decide_sign_in(&request))
}

/// A user as policies see one.
async fn principal(idp: &Idp, user: &User) -> Result<policy::User, IdpError> {
    let groups = user::all_groups(&idp.db, user.id).await?;
    Ok(policy::User {
        id: user.id.to_string(),
        active: user.active,
        groups: groups.into_iter().map(|(_, display_name)| display_name).collect(),
        roles: user.roles(),
        department: user.department.clone(),
        title: user.title.clone(),
        employee_type: None,
    })
}

fn circumstances(idp: &Idp, reached: Assurance, address: IpAddr) -> Circumstances {
    let now = idp.ctx().now();
    let offset = now.to_jiff().map_or(0, |at| idp.settings.time_zone.to_offset(at).seconds());
    let internal = idp.settings.internal_networks.hold(address);
    Circumstances {
        reached: Some(reached),
        risk: Risk::None,
        risk_score: 0.0,
        network: if internal { Network::Internal } else { Network::Remote },
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
struct Verdict<'a> {
    /// As the fact says it.
    reason: &'static str,
    /// As the application is told (OpenID Connect Core, section 3.1.2.6).
    error: &'static str,
    required: Option<Assurance>,
    because: &'a [Reason],
}

impl<'a> Verdict<'a> {
    fn of(decision: &'a Decision) -> Self {
        match decision {
            Decision::Deny { because } => {
                Self { reason: "denied-by-policy", error: "access_denied", required: None, because }
            }
            Decision::StepUp { required, because } | Decision::Allow { required, because } => Self {
                reason: "assurance-too-low",
                error: "interaction_required",
                required: Some(*required),
                because,
            },
        }
    }
}

/// Records that policy did not allow a sign-in, and says so: to the person on a page with the reason and a
/// way back, or to the application at once when it asked for no page.
pub(crate) async fn refuse(
    idp: &Idp,
    passage: &Passage,
    asked: &Asked,
    user: &User,
    decision: &Decision,
) -> Result<HttpResponse, IdpError> {
    let verdict = Verdict::of(decision);
    let body = SignInRefused {
        reason: verdict.reason.to_owned(),
        client: Some(asked.client.id.clone()),
        because: in_words(verdict.because),
    };
    let mut tx = idp.db.write(origin(Actor::User(user.id), passage.id())).await?;
    tx.record(Fact::new(user.id.subject(), &body).about(Subject::new("client", &asked.client.id)));
    tx.commit().await?;
    if asked.wishes.prompt == Prompt::None {
        return Err(
            asked.send_back(idp, Refusal { error: verdict.error, description: "policy asks for more" })
        );
    }
    Ok(show(idp, passage, asked, &verdict))
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
