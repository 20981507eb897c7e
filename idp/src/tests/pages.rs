//! Every page, in every language, from a sample.

use askama::Template;
use kernel::{Ctx, RequestId};
use web::Locale;
use web::page::Frame;

use crate::invite::InvitationPage;
use crate::judge::RefusedPage;
use crate::pages::MessagePage;
use crate::recover::RecoverPage;
use crate::sign_in::SignInPage;
use crate::texts::{self, Errors, Message};

/// To add a page: a line here.
fn samples(locale: Locale) -> Vec<(&'static str, String)> {
    let frame = &Frame::new(&RequestId::new(&Ctx::for_tests(1)), locale);
    let t = texts::of(locale);
    let sign_in = |wrong, user_name: &str| {
        let (to, form_token) = (web::fill(&t.sign_in.to, "client", "Grid Console"), "token".to_owned());
        let recover = Some(crate::recover::PATH);
        SignInPage { frame, t, to, request: "a=b", form_token, user_name, wrong, recover }.render().unwrap()
    };
    let invitation = |problem| {
        let (form_token, user_name) = ("token".to_owned(), "mira.holt@example.org");
        let intro = &t.invitation.intro;
        InvitationPage { frame, t, intro, token: "cdi_x", form_token, user_name, problem }.render().unwrap()
    };
    let recover = || RecoverPage { frame, t, form_token: "token".to_owned() }.render().unwrap();
    let refused = |title: &str, needed| RefusedPage {
        frame,
        t,
        title: web::fill(title, "client", "Grid Console"),
        because: vec!["This critical application needs a phishing-resistant sign-in."],
        needed,
        back: web::fill(&t.refused.back, "client", "Grid Console"),
        back_href: "https://app.example.org/callback?error=access_denied",
    };
    let mut pages = vec![
        ("sign-in", sign_in(false, "")),
        ("sign-in-wrong", sign_in(true, "mira.holt@example.org")),
        ("invitation", invitation(None)),
        ("recover", recover()),
        ("invitation-problem", invitation(Some(t.invitation.too_short.as_str()))),
        ("refused-step-up", refused(&t.refused.step_up, Some(t.rungs.phr.as_str())).render().unwrap()),
        ("refused-denied", refused(&t.refused.denied, None).render().unwrap()),
    ];
    let Errors {
        unknown_client,
        unregistered_redirect,
        invalid_request,
        foreign_form,
        invitation_gone,
        no_recovery,
        throttled,
        busy,
        failed,
        not_found,
    } = &t.errors;
    for (name, Message { title, text }) in [
        ("unknown-client", unknown_client),
        ("unregistered-redirect", unregistered_redirect),
        ("invalid-request", invalid_request),
        ("foreign-form", foreign_form),
        ("invitation-gone", invitation_gone),
        ("no-recovery", no_recovery),
        ("throttled", throttled),
        ("busy", busy),
        ("failed", failed),
        ("not-found", not_found),
    ] {
        let page = MessagePage { frame, t, title, text, reference: Some("Jx0aRt_3") };
        pages.push((name, page.render().unwrap()));
    }
    let done =
        MessagePage { frame, t, title: &t.invitation.done, text: &t.invitation.done_text, reference: None };
    pages.push(("invitation-done", done.render().unwrap()));
    let (title, text) = (t.recovery.sent.as_str(), t.recovery.sent_text.as_str());
    let sent = MessagePage { frame, t, title, text, reference: None };
    pages.push(("recover-sent", sent.render().unwrap()));
    pages
}

#[test]
fn every_page_renders_whole_in_every_language() {
    for locale in Locale::ALL {
        for (name, html) in samples(locale) {
            assert!(html.starts_with("<!doctype html>"), "{name} {locale}");
            assert!(html.contains(&format!("<html lang=\"{locale}\">")), "{name} {locale}");
            assert!(html.trim_end().ends_with("</html>"), "{name} {locale}");
            assert!(!html.contains("{client}"), "{name} {locale}: a value is not filled in");
        }
    }
}

#[test]
fn no_page_runs_or_loads_anything() {
    for (name, html) in samples(Locale::En) {
        let nonce = html.matches("<style nonce=\"").count();
        assert_eq!((nonce, html.matches("<style").count()), (1, 1), "{name}");
        for bad in
            ["<script", "javascript:", " style=\"", " onclick", " onload", "src=\"http", "@import", "url("]
        {
            assert!(!html.contains(bad), "{name}: {bad}");
        }
    }
}

#[test]
fn every_field_that_a_person_fills_in_has_a_label() {
    for (name, html) in samples(Locale::En) {
        for (at, _) in html.match_indices("<input") {
            let tag = html[at..].split('>').next().unwrap();
            let before = &html[..at];
            let labelled = before.rfind("<label").unwrap_or(0) > before.rfind("</label").unwrap_or(0);
            assert!(tag.contains("type=\"hidden\"") || labelled, "{name}: {tag}");
        }
    }
}
