//! The page that asks for consent.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use directory::user::User;
use web::fill;
use web::page::Frame;

use crate::authorize::Asked;
use crate::destination::Destination;
use crate::texts::{self, Texts};
use crate::visit::Visit;

/// Who wants to know what.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) t: &'static Texts,
    pub(crate) title: String,
    /// Who answers.
    pub(crate) answering: String,
    /// What the application will know, in words.
    pub(crate) learns: Vec<&'static str>,
    pub(crate) user: String,
    pub(crate) request: &'a str,
    pub(crate) form_token: String,
}

/// What an application learns by these scopes, in words. A scope without words here says its own name on no page, so a
/// test holds the list against the scopes that there are.
pub(crate) fn learns(t: &'static Texts, scope: &str) -> Vec<&'static str> {
    scope.split(' ').filter_map(|word| in_words(t, word)).collect()
}

fn in_words(t: &'static Texts, scope: &str) -> Option<&'static str> {
    Some(match scope {
        "openid" => &t.consent.openid,
        "profile" => &t.consent.profile,
        "email" => &t.consent.email,
        "address" => &t.consent.address,
        "phone" => &t.consent.phone,
        _ => return None,
    })
}

/// Shows it.
pub(super) fn show(visit: &Visit<'_>, destination: &Destination, asked: &Asked, user: &User) -> HttpResponse {
    let frame = destination.frame(visit.passage);
    let t = texts::of(frame.locale);
    let name = user.display_name.as_deref().unwrap_or(&user.user_name);
    let page = ConsentPage {
        frame: &frame,
        t,
        title: fill(&t.consent.title, "client", &asked.client.name),
        answering: fill(&t.consent.answering, "name", name),
        learns: learns(t, &asked.wishes.scope),
        user: user.id.to_string(),
        request: &destination.carried(),
        form_token: visit.browser.form_token(),
    };
    frame.respond(StatusCode::OK, &page)
}

#[cfg(test)]
mod tests {
    use web::Locale;

    use super::*;
    use crate::authorize::SCOPES;

    #[test]
    fn every_scope_is_said_in_words() {
        let t = texts::of(Locale::En);
        for scope in SCOPES {
            assert!(in_words(t, scope).is_some(), "{scope}");
        }
        assert_eq!(learns(t, "openid email"), [&t.consent.openid, &t.consent.email]);
    }
}
