//! What the app shows.

use serde_json::Value;

use super::{Ended, EndedBy, RelyingPartyError, Session};
use crate::http::Response;
use crate::look::{escape, page};

const POLICY: &str = "\
    default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'";

const SIGN_IN: &str = "<p><a class=go href=\"/sign-in\">Sign in</a></p>";

/// Nobody is signed in.
pub(super) fn nobody(name: &str) -> Response {
    let body = "<h1>Nobody is signed in</h1><p>This app keeps no passwords. It sends you to your company's \
                sign-in and back.</p>";
    frame(200, name, &format!("{body}{SIGN_IN}"))
}

/// There is no provider yet.
pub(super) fn unconnected(name: &str) -> Response {
    let body =
        "<h1>Not connected</h1><p>This app does not know yet who signs people in. Try again in a moment.</p>";
    frame(503, name, body)
}

/// Somebody is signed in, and the provider just said so again.
pub(super) fn somebody(name: &str, session: &Session, userinfo: &Value) -> Response {
    let who = escape(display_name(userinfo, session.subject()));
    let row = |(label, value): (&str, &Value)| {
        let value = match value {
            Value::Null => return String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("<tr><td>{label}<td>{}", escape(&value))
    };
    let claims = &session.claims;
    let about = [
        ("Work address", &userinfo["email"]),
        ("Identifier", &claims["sub"]),
        ("Assurance", &claims["acr"]),
        ("Signed in with", &claims["amr"]),
    ];
    let about: String = about.into_iter().map(row).collect();
    let body = format!(
        "<h1>Signed in as {who}</h1><p class=calm>Confirmed by the identity provider just now.</p>\
         <table>{about}</table>\
         <table><tr><td>Substation North, 110 kV<td class=calm>in service\
         <tr><td>Substation Harbour, 110 kV<td class=calm>in service\
         <tr><td>Interconnector East<td>maintenance</table>\
         <form method=post action=\"/sign-out\"><button>Sign out of this app</button></form>"
    );
    frame(200, name, &body)
}

/// The provider no longer vouches for the person: so the app no longer lets them in.
pub(super) fn ended(name: &str, session: &Session, error: &RelyingPartyError) -> Response {
    let who = escape(display_name(&session.userinfo, session.subject()));
    let body = format!(
        "<h1 class=alarm>Access has ended</h1><p>The identity provider no longer vouches for {who}.</p>\
         <p><code>{}</code></p>{SIGN_IN}",
        escape(&error.to_string())
    );
    frame(403, name, &body)
}

/// It ended before the person came back.
pub(super) fn signed_out(name: &str, session: &Session, ended: Ended) -> Response {
    let who = escape(display_name(&session.userinfo, session.subject()));
    let (at, why) = (
        ended.at.strftime("%H:%M:%S%.3f UTC"),
        match ended.by {
            EndedBy::LogoutToken => "The identity provider said so by itself, with a signed logout token.",
            EndedBy::Refusal => "The identity provider no longer vouches for this session.",
        },
    );
    let body = format!(
        "<h1 class=alarm>You are signed out</h1><p>The session of {who} ended at {at}.</p><p>{why}</p>{SIGN_IN}"
    );
    frame(200, name, &body)
}

/// The provider could not be asked: nobody is let in, nobody is thrown out.
pub(super) fn unsure(name: &str, error: &RelyingPartyError) -> Response {
    let body = format!(
        "<h1>Cannot be checked</h1><p>The identity provider did not answer. Reload to try again.</p>\
         <p><code>{}</code></p>",
        escape(&error.to_string())
    );
    frame(503, name, &body)
}

/// A sign-in that came to nothing.
pub(super) fn failed(name: &str, error: &RelyingPartyError) -> Response {
    let said_no = matches!(error, RelyingPartyError::SentBack { .. });
    let body = format!(
        "<h1 class=alarm>You are not signed in</h1><p><code>{}</code></p>{SIGN_IN}",
        escape(&error.to_string())
    );
    frame(if said_no { 403 } else { 400 }, name, &body)
}

/// No such page.
pub(super) fn missing(name: &str) -> Response {
    frame(404, name, "<h1>No such page</h1><p><a href=\"/\">Back to the app</a></p>")
}

fn frame(status: u16, name: &str, body: &str) -> Response {
    page(status, name, POLICY, body)
}

fn display_name<'a>(userinfo: &'a Value, subject: &'a str) -> &'a str {
    let names = ["name", "preferred_username", "email"];
    names.into_iter().find_map(|name| userinfo[name].as_str()).unwrap_or(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_called_by_the_best_name_there_is() {
        let check = |userinfo: Value, expect: &str| assert_eq!(display_name(&userinfo, "u-1"), expect);
        check(serde_json::json!({ "name": "Ada", "email": "a@x.example" }), "Ada");
        check(serde_json::json!({ "email": "a@x.example" }), "a@x.example");
        check(serde_json::json!({}), "u-1");
    }
}
