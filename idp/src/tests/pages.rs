//! Every page, in every language, from a sample.

use std::process::Command;

use askama::Template;
use directory::authenticator::totp::Seed;
use kernel::{Ctx, RequestId};
use serde_json::json;
use web::Locale;
use web::page::Frame;

use crate::account::AccountPage;
use crate::account::activity::{self, ActivityPage, in_words};
use crate::account::apps::{self, AppsPage, Consented};
use crate::account::badge::{self, BadgePage};
use crate::account::methods::{self, CodesPage, MethodsPage};
use crate::account::sessions::{self, SessionsPage};
use crate::authorize::SCOPES;
use crate::ceremony::PasskeyForm;
use crate::consent::page::{ConsentPage, learns};
use crate::enrol::{EnrolPage, TotpOffer};
use crate::home::HomePage;
use crate::invite::InvitationPage;
use crate::judge::RefusedPage;
use crate::logout::LogoutPage;
use crate::pages::MessagePage;
use crate::recover::RecoverPage;
use crate::set_up::SetUpPage;
use crate::sign_in::SignInPage;
use crate::step_up::{Code, StepUpPage};
use crate::steps::Way;
use crate::texts::{self, Errors, Message, Texts};

/// To add a page: a line here.
fn samples(locale: Locale) -> Vec<(&'static str, String)> {
    let frame = &Frame::new(&RequestId::new(&Ctx::for_tests(1)), locale);
    let t = texts::of(locale);
    let to = || web::fill(&t.sign_in.to, "client", "Grid Console");
    let form_token = || "token".to_owned();
    let because = || vec!["This critical application needs a phishing-resistant sign-in."];
    let scripted = &frame.clone().scripted(true);
    let sign_in = |frame, problem, user_name: &str, passkey| {
        let recover = Some(crate::recover::PATH);
        SignInPage {
            frame,
            t,
            to: to(),
            request: "a=b",
            form_token: form_token(),
            user_name,
            problem,
            passkey,
            recover,
        }
        .render()
        .unwrap()
    };
    let step_up = |frame, way: Way, passkey, problem| {
        StepUpPage {
            frame,
            t,
            to: to(),
            because: because(),
            request: "a=b",
            form_token: form_token(),
            way: way.word(),
            code: Code::of(way, t),
            passkey,
            problem,
            others: vec![("/step-up?way=recovery-code&a=b".to_owned(), &t.step_up.use_recovery_code)],
            back: web::fill(&t.refused.back, "client", "Grid Console"),
            back_href: "https://app.example.org/callback?error=access_denied",
        }
        .render()
        .unwrap()
    };
    let enrol = |frame, title, way: Way, totp, passkey| {
        EnrolPage {
            frame,
            t,
            title,
            to: to(),
            because: because(),
            request: "a=b",
            form_token: form_token(),
            way: way.word(),
            totp,
            passkey,
            problem: Some(&t.enrol.wrong_code),
            others: vec![("/enrol?way=totp&a=b".to_owned(), &t.enrol.totp_instead)],
            back: web::fill(&t.refused.back, "client", "Grid Console"),
            back_href: "https://app.example.org/callback?error=access_denied",
        }
        .render()
        .unwrap()
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
        what_to_do: needed.map(|_| t.refused.ask_for_factor.as_str()),
        back: web::fill(&t.refused.back, "client", "Grid Console"),
        back_href: "https://app.example.org/callback?error=access_denied",
    };
    let mut pages = vec![
        ("home", HomePage { frame, t, discovery: "/.well-known/openid-configuration" }.render().unwrap()),
        ("sign-in", sign_in(scripted, None, "", Some(passkey_form("get")))),
        ("sign-in-wrong", sign_in(frame, Some(&t.sign_in.wrong), "mira.holt@example.org", None)),
        ("step-up-totp", step_up(frame, Way::Totp, None, Some(t.step_up.wrong_code.as_str()))),
        ("step-up-recovery-code", step_up(frame, Way::RecoveryCode, None, None)),
        ("step-up-passkey", step_up(scripted, Way::Passkey, Some(passkey_form("get")), None)),
        ("enrol-totp", enrol(frame, &t.enrol.totp_title, Way::Totp, Some(totp_offer()), None)),
        (
            "enrol-passkey",
            enrol(scripted, &t.enrol.passkey_title, Way::Passkey, None, Some(passkey_form("create"))),
        ),
        ("consent", consent(frame, t)),
        ("set-up", set_up(frame, t, None)),
        ("set-up-problem", set_up(frame, t, Some(&t.set_up.bad_email))),
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
        set_up_link_gone,
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
        ("set-up-link-gone", set_up_link_gone),
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
    pages.extend(account(frame, t));
    let question = LogoutPage { frame, t, form_token: "token".to_owned(), request: "state=x" };
    pages.push(("logout", question.render().unwrap()));
    let (title, text) = (&t.logout.done, &t.logout.done_text);
    pages.push(("logout-done", MessagePage { frame, t, title, text, reference: None }.render().unwrap()));
    let (title, text) = (t.recovery.sent.as_str(), t.recovery.sent_text.as_str());
    let sent = MessagePage { frame, t, title, text, reference: None };
    pages.push(("recover-sent", sent.render().unwrap()));
    pages
}

fn account(frame: &Frame, t: &'static Texts) -> Vec<(&'static str, String)> {
    let at = || "2026-11-27 09:45".to_owned();
    let method = |kind: &'static str, about| methods::Line {
        id: "0193".into(),
        kind,
        name: "My phone".into(),
        about,
        added: at(),
        used: Some(at()),
        removable: kind != t.methods.password,
    };
    let methods_page = MethodsPage {
        frame,
        t,
        form_token: "token".into(),
        lines: vec![
            method(&t.methods.password, None),
            method(&t.methods.passkey, Some(t.methods.device_bound.as_str())),
        ],
        codes_left: 9,
        passkey_href: "/enrol?way=passkey&to=add-passkey".into(),
        totp_href: "/enrol?way=totp&to=add-totp".into(),
    };
    let session = |here| sessions::Line {
        id: "0198c5a0-0000-7000-8000-000000000000".into(),
        device: "Samsung Internet, Android".into(),
        here,
        rung: &t.rungs.aal2,
        signed_in: at(),
        seen: at(),
    };
    let sessions_page =
        |lines, more| SessionsPage { frame, t, form_token: "token".into(), lines, more }.render().unwrap();
    let more = web::fill(&t.sessions.more, "count", "12");
    let many = (0..sessions::MOST).map(|_| session(false)).collect();
    let overview = AccountPage { frame, t, name: "Mira Holt", user_name: "mira.holt@example.org" };
    let app = |name: &str, consent| apps::Line {
        client: "grid".into(),
        name: name.into(),
        signed_in: Some(at()),
        consent,
    };
    let consented = || Consented { learns: learns(t, &SCOPES.join(" ")), given: at() };
    let apps_page = |lines| AppsPage { frame, t, form_token: "token".into(), lines }.render().unwrap();
    let card = |state: &'static str, opens| badge::Card {
        id: "0193".into(),
        number: "••• 42".into(),
        state,
        opens,
        issued: at(),
    };
    let profile = |title: &str, areas: &[&str]| badge::Profile {
        title: title.into(),
        areas: areas.iter().map(|area| (*area).to_owned()).collect(),
    };
    let badge_page = |cards, profiles| {
        BadgePage { frame, t, form_token: "token".into(), cards, profiles }.render().unwrap()
    };
    let happened = |kind: &str, body: serde_json::Value| {
        let (what, alarming) = in_words(t, kind, &body);
        let details = vec!["Grid Console".to_owned(), "Firefox, Linux".to_owned()];
        activity::Line { what, details, at: at(), alarming }
    };
    let story = vec![
        happened("session.opened", json!({})),
        happened("sign-in.refused", json!({ "reason": "wrong-credentials" })),
        happened("authenticator.added", json!({ "kind": "passkey" })),
        happened("credential.issued", json!({})),
        happened("session.ended", json!({})),
    ];
    let activity_page = |lines, older: Option<&str>| {
        ActivityPage { frame, t, lines, older: older.map(str::to_owned) }.render().unwrap()
    };
    vec![
        (
            "account-badge",
            badge_page(
                vec![card(&t.badge.active, true), card(&t.badge.revoked, false)],
                vec![
                    profile("Grid operators", &["Control room", "Substation North", "Yard"]),
                    profile("Staff", &["Main entrance"]),
                ],
            ),
        ),
        ("account-badge-none", badge_page(Vec::new(), Vec::new())),
        ("account-activity", activity_page(story, Some("/account/activity?before=1.0193"))),
        ("account-activity-none", activity_page(Vec::new(), None)),
        ("account", overview.render().unwrap()),
        ("account-methods", methods_page.render().unwrap()),
        ("account-codes", CodesPage { frame, t, codes: vec!["0145-abcd-wxyz-6781"; 10] }.render().unwrap()),
        ("account-sessions", sessions_page(vec![session(true), session(false)], None)),
        ("account-sessions-many", sessions_page(many, Some(more))),
        ("account-apps", apps_page(vec![app("Grid Console", None), app("Trip Planner", Some(consented()))])),
        ("account-apps-none", apps_page(Vec::new())),
    ]
}

fn set_up(frame: &Frame, t: &'static Texts, problem: Option<&'static str>) -> String {
    let (display_name, email) = problem.map_or(("", ""), |_| ("Mira Holt", "mira.holt"));
    SetUpPage {
        frame,
        t,
        token: "cdu_x",
        form_token: "token".into(),
        user_name: email,
        display_name,
        email,
        problem,
    }
    .render()
    .unwrap()
}

fn consent(frame: &Frame, t: &'static Texts) -> String {
    ConsentPage {
        frame,
        t,
        title: web::fill(&t.consent.title, "client", "Trip Planner"),
        answering: web::fill(&t.consent.answering, "name", "Mira Holt"),
        learns: learns(t, &SCOPES.join(" ")),
        user: "0193".into(),
        request: "a=b",
        form_token: "token".into(),
    }
    .render()
    .unwrap()
}

/// As large as one can become: twenty keys, each with a long id and a state of its own.
fn passkey_form(kind: &'static str) -> PasskeyForm {
    let (options, ceremony) = ("o".repeat(6_000), "c".repeat(30_000));
    PasskeyForm { action: "/step-up", kind, options, ceremony }
}

fn totp_offer() -> TotpOffer {
    let seed = Seed::generate(&Ctx::for_tests(1));
    let handover = seed.handover("id.example.org", "mira.holt@example.org").unwrap();
    TotpOffer {
        seed: "s1.k.x".into(),
        uri: handover.uri.expose().clone(),
        key: handover.key.expose().clone(),
        qr_path: handover.qr_path.expose().clone(),
        qr_side: handover.qr_size + 8,
    }
}

/// To look at them: `CARDEA_PAGES=/tmp/pages cargo nextest run -p cardea-idp pages`.
#[test]
fn every_page_can_be_looked_at() {
    let Some(folder) = std::env::var_os("CARDEA_PAGES") else { return };
    write_all(std::path::Path::new(&folder));
}

/// Writes each as `LOCALE/NAME.html`; answers how many.
fn write_all(folder: &std::path::Path) -> usize {
    let mut count = 0;
    for locale in Locale::ALL {
        let folder = folder.join(locale.tag());
        std::fs::create_dir_all(&folder).unwrap();
        for (name, html) in samples(locale) {
            std::fs::write(folder.join(format!("{name}.html")), html).unwrap();
            count += 1;
        }
    }
    count
}

/// Each as a browser shows it, wide and light, narrow and dark, judged by axe-core: `tests/clients/pages.mjs`.
#[test]
fn who_sees_or_hears_or_types_otherwise_finds_the_way_on_every_page() {
    let Some(clients) = parts::or_skip(parts::node_clients(), parts::NO_NODE_CLIENTS) else { return };
    let folder = tempfile::tempdir().unwrap();
    let pages = write_all(folder.path());
    let node = Command::new("node").arg(clients.join("pages.mjs")).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&node.stdout);
    assert!(node.status.success(), "{said}{}", String::from_utf8_lossy(&node.stderr));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["checked"], json!(2 * pages), "light and dark");
}

#[test]
fn no_page_is_larger_than_sixty_kilobytes() {
    for locale in Locale::ALL {
        for (name, html) in samples(locale) {
            assert!(html.len() < 60_000, "{name} {locale}: {}", html.len());
        }
    }
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
fn no_page_loads_anything_or_runs_anything_but_our_one_script() {
    for (name, html) in samples(Locale::En) {
        let nonce = html.matches("<style nonce=\"").count();
        assert_eq!((nonce, html.matches("<style").count()), (1, 1), "{name}");
        let script = html.matches("<script nonce=\"").count();
        let asks = html.contains("data-passkey");
        assert_eq!(
            (script, html.matches("<script").count()),
            (usize::from(asks), usize::from(asks)),
            "{name}"
        );
        for bad in ["javascript:", " style=\"", " onclick", " onload", "src=\"http", "@import", "url("] {
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
