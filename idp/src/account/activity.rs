//! What happened to a person's own account, as the journal has it: the newest first, page by page.
//!
//! Facts are found by their subject, which is the person or a card of the person, so nobody reads another's. A fact
//! whose body was erased still says what happened and when.
//!
//! To show another kind: a line in [`KINDS`], its words in [`in_words`].

use std::collections::{BTreeMap, BTreeSet};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::credential;
use directory::facts::{
    AuthenticatorAdded, AuthenticatorRemoved, ConsentGiven, ConsentWithdrawn, CredentialIssued,
    CredentialResumed, CredentialRevoked, CredentialSuspended, PasswordSet, RecoveryCodesMade, SessionEnded,
    SessionOpened, SessionRenewed, SignInRefused, UserActivated, UserDeactivated,
};
use kernel::id::FactId;
use kernel::{Subject, Timestamp};
use serde_json::Value;
use store::{FactBody as _, StoreError, StoredFact};
use web::Params;
use web::page::Frame;

use super::{ACTIVITY, Person, moment, person};
use crate::Idp;
use crate::destination::Own;
use crate::error::IdpError;
use crate::pages::with_cookie;
use crate::texts::{self, Texts};
use crate::visit::{Visit, Visitor};

/// So many on one page.
const PAGE: usize = 25;

/// What a person is shown.
const KINDS: [&str; 16] = [
    SessionOpened::KIND,
    SessionRenewed::KIND,
    SessionEnded::KIND,
    SignInRefused::KIND,
    PasswordSet::KIND,
    AuthenticatorAdded::KIND,
    AuthenticatorRemoved::KIND,
    RecoveryCodesMade::KIND,
    ConsentGiven::KIND,
    ConsentWithdrawn::KIND,
    CredentialIssued::KIND,
    CredentialSuspended::KIND,
    CredentialResumed::KIND,
    CredentialRevoked::KIND,
    UserDeactivated::KIND,
    UserActivated::KIND,
];

/// One page of what happened.
#[derive(Template)]
#[template(path = "account-activity.html")]
pub(crate) struct ActivityPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) lines: Vec<Line>,
    /// Where older ones are, if there are any.
    pub(crate) older: Option<String>,
}

/// One thing that happened, in words.
pub(crate) struct Line {
    pub(crate) what: String,
    /// The application, and the browser.
    pub(crate) details: Vec<String>,
    pub(crate) at: String,
    /// Something was refused or taken away.
    pub(crate) alarming: bool,
}

/// `GET /account/activity?before=…`.
pub(crate) async fn get(visitor: Visitor) -> HttpResponse {
    visitor.sees(show).await
}

async fn show(visit: &Visit<'_>) -> Result<HttpResponse, IdpError> {
    let Person { user, .. } = person(visit, Own::Activity).await?;
    let params = Params::parse(visit.request.query_string().as_bytes())?;
    let before = match params.one("before")? {
        Some(place) => Some(parse(place).ok_or(IdpError::invalid_request("there is no such page"))?),
        None => None,
    };
    let cards = credential::of_user(&visit.idp.db, user.id).await?;
    let subjects: Vec<Subject> =
        cards.iter().map(|card| card.id.subject()).chain([user.id.subject()]).collect();
    // One more than is shown says whether there are older ones.
    let limit = u32::try_from(PAGE + 1).unwrap_or(u32::MAX);
    let mut facts = store::newest(&visit.idp.db, &subjects, &KINDS, before, limit).await?;
    let more = facts.len() > PAGE;
    facts.truncate(PAGE);
    let older = facts.last().filter(|_| more).map(|last| format!("{ACTIVITY}?before={}", place(last)));
    let apps = app_names(visit.idp, &facts).await?;
    let frame = Frame::new(visit.passage.id(), visit.passage.locale());
    let t = texts::of(frame.locale);
    let lines = facts.iter().map(|fact| line(visit.idp, t, &apps, fact)).collect();
    let page = ActivityPage { frame: &frame, t, lines, older };
    Ok(with_cookie(frame.respond(StatusCode::OK, &page), visit.browser.cookie()))
}

/// Where a page ended.
fn place(last: &StoredFact) -> String {
    format!("{}.{}", last.at.as_millis(), last.id)
}

fn parse(place: &str) -> Option<(Timestamp, FactId)> {
    let (at, id) = place.split_once('.')?;
    Some((Timestamp::from_millis(at.parse().ok()?), id.parse().ok()?))
}

/// A body whatever its kind: of all, the same few fields are shown. Empty when it was erased.
fn body(fact: &StoredFact) -> Value {
    fact.body.as_deref().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default()
}

/// The names of the applications that these facts are about; one that is gone is called by its id.
async fn app_names(idp: &Idp, facts: &[StoredFact]) -> Result<BTreeMap<String, String>, StoreError> {
    let ids: BTreeSet<String> =
        facts.iter().filter_map(|fact| Some(body(fact)["client"].as_str()?.to_owned())).collect();
    let mut names = BTreeMap::new();
    for id in ids {
        let client = directory::client::get(&idp.db, &id).await?;
        names.insert(id.clone(), client.map_or(id, |client| client.name));
    }
    Ok(names)
}

fn line(idp: &Idp, t: &'static Texts, apps: &BTreeMap<String, String>, fact: &StoredFact) -> Line {
    let body = body(fact);
    let app = body["client"].as_str().and_then(|id| apps.get(id)).cloned();
    let device = body["device"].as_str().map(str::to_owned);
    let (what, alarming) = in_words(t, &fact.kind, &body);
    Line { what, details: app.into_iter().chain(device).collect(), at: moment(idp, fact.at), alarming }
}

/// What happened, and whether the person should look at it twice.
pub(crate) fn in_words(t: &'static Texts, kind: &str, body: &Value) -> (String, bool) {
    let a = &t.activity;
    let (text, alarming) = match kind {
        SessionOpened::KIND => (&a.signed_in, false),
        SessionRenewed::KIND => (&a.signed_in_again, false),
        SessionEnded::KIND => (&a.signed_out, false),
        SignInRefused::KIND => (refusal(t, body["reason"].as_str().unwrap_or_default()), true),
        PasswordSet::KIND => (&a.password_set, true),
        AuthenticatorAdded::KIND => (&a.added, false),
        AuthenticatorRemoved::KIND => (&a.removed, true),
        RecoveryCodesMade::KIND => (&a.codes_made, false),
        ConsentGiven::KIND => (&a.consent_given, false),
        ConsentWithdrawn::KIND => (&a.consent_withdrawn, false),
        CredentialIssued::KIND => (&a.badge_issued, false),
        CredentialSuspended::KIND => (&a.badge_suspended, true),
        CredentialResumed::KIND => (&a.badge_resumed, false),
        CredentialRevoked::KIND => (&a.badge_revoked, true),
        UserDeactivated::KIND => (&a.deactivated, true),
        UserActivated::KIND => (&a.activated, false),
        // INVARIANT: every one of KINDS is above; a test says so.
        _ => (&a.something, false),
    };
    (web::fill(text, "what", method(t, body["kind"].as_str().unwrap_or_default())), alarming)
}

fn method(t: &'static Texts, kind: &str) -> &'static str {
    match kind {
        "password" => &t.methods.password,
        "totp" => &t.methods.totp,
        "passkey" => &t.methods.passkey,
        "recovery-code" => &t.methods.codes,
        _ => &t.activity.a_method,
    }
}

fn refusal(t: &'static Texts, reason: &str) -> &'static String {
    let a = &t.activity;
    match reason {
        "wrong-credentials" => &a.wrong_credentials,
        "wrong-factor" => &a.wrong_factor,
        "denied-by-policy" => &a.denied_by_policy,
        "assurance-too-low" => &a.assurance_too_low,
        "consent-denied" => &a.consent_denied,
        "throttled-account" | "throttled-factor" | "throttled-address" => &a.throttled,
        _ => &a.refused,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use web::Locale;

    use super::*;

    #[test]
    fn every_kind_that_is_shown_has_words_of_its_own() {
        for locale in Locale::ALL {
            let t = texts::of(locale);
            let words: BTreeSet<String> =
                KINDS.iter().map(|kind| in_words(t, kind, &json!({ "kind": "totp" })).0).collect();
            assert_eq!(words.len(), KINDS.len(), "{words:?}");
            assert!(!words.contains(&t.activity.something));
            assert!(words.iter().all(|text| !text.contains('{')), "{words:?}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written_or_not_at_all() {
        let id = FactId::new(&kernel::Ctx::for_tests(1));
        assert_eq!(parse(&format!("12.{id}")), Some((Timestamp::from_millis(12), id)));
        for bad in ["", ".", "12", "12.", "x.y", &format!("{id}"), &format!("12.{id}'--")] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
