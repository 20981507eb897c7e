//! Letters: who gets one, what it says, and what becomes of one that cannot be sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use directory::user::{self, Profile};
use kernel::id::UserId;
use keys::SealingKeys;
use store::{Ephemeral, Fact, Origin, StoredFact, delivery, sql};
use web::mail::{Letter, MailError, Post};

use super::*;
use crate::Settings;
use crate::mail::{self, Letters};

on_both_engines! {
    who_is_hired_gets_a_link_that_sets_a_password_once,
    a_letter_that_is_sent_twice_is_the_same_letter,
    the_token_is_kept_sealed_until_the_letter_is_taken_and_stands_in_no_fact,
    who_cannot_be_written_to_is_said_and_stops_nobody,
    what_the_server_refuses_for_good_is_kept_and_can_be_retried,
    a_letter_whose_fact_was_erased_before_it_was_retried_is_said_not_to_be_sent,
    a_letter_that_another_release_asked_for_waits_for_that_release,
    whoever_has_a_password_is_not_invited_when_the_account_comes_back,
    who_was_hired_ahead_of_time_is_invited_on_the_first_day,
    the_administrator_may_ask_for_a_letter,
    without_invite_on_hire_only_the_administrator_invites,
    what_changed_about_an_account_is_told_to_its_person_without_a_link,
    a_link_that_is_over_before_its_letter_goes_is_not_sent,
    a_letter_is_in_the_language_that_hr_knows,
}

/// Where letters end up, and what the server says to the next ones. One that fails may have been taken.
#[derive(Default)]
pub(crate) struct Tray {
    letters: Mutex<Vec<Letter>>,
    says: Mutex<VecDeque<MailError>>,
}

#[async_trait]
impl Post for Tray {
    async fn send(&self, letter: &Letter) -> Result<(), MailError> {
        self.letters.lock().unwrap().push(letter.clone());
        self.says.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

/// A house with mail.
pub(crate) struct Office {
    pub(crate) world: World,
    tray: Arc<Tray>,
    letters: Arc<Letters>,
}

impl Office {
    pub(crate) fn open(world: World) -> Self {
        mail::route(world.db.sinks(), true);
        let (tray, sealing) = (Arc::new(Tray::default()), SealingKeys::generate(&world.ctx));
        let settings = Settings { recovery_by_mail: true, ..Settings::default() };
        let (issuer, zone) = (world.idp.issuer.clone(), settings.time_zone.clone());
        let letters = Letters::new(world.db.clone(), sealing, tray.clone(), issuer, zone);
        let (ephemeral, hasher) = (Ephemeral::in_memory(world.ctx.clone()), world.hasher.clone());
        Self { world: world.rebuilt(ephemeral, hasher, settings), tray, letters: Arc::new(letters) }
    }

    /// The server says this to the next letter.
    fn says(&self, error: MailError) {
        self.tray.says.lock().unwrap().push_back(error);
    }

    /// Sends what is due, and gives what was handed in.
    pub(crate) async fn letters(&self) -> Vec<Letter> {
        mail::lane().drain(&self.world.db, self.letters.clone()).await.unwrap();
        std::mem::take(&mut *self.tray.letters.lock().unwrap())
    }

    async fn one_letter(&self) -> Letter {
        let mut letters = self.letters().await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters.remove(0)
    }

    async fn hire(&self, profile: Profile) -> UserId {
        let mut tx = self.world.db.write(Origin::system()).await.unwrap();
        let user = user::create(&mut tx, &profile).await.unwrap();
        tx.commit().await.unwrap();
        user.id
    }

    async fn record(&self, fact: Fact) {
        let mut tx = self.world.db.write(Origin::system()).await.unwrap();
        tx.record(fact);
        tx.commit().await.unwrap();
    }

    async fn set_active(&self, user: UserId, active: bool) {
        let seen = user::get(&self.world.db, user).await.unwrap().unwrap();
        let profile = Profile { active, ..profile(&seen.user_name) };
        let mut tx = self.world.db.write(Origin::system()).await.unwrap();
        user::update(&mut tx, &seen, &profile, vec![]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// `letter reason` of all letters that were not sent.
    async fn not_sent(&self) -> Vec<String> {
        let text = sql!("SELECT body FROM fact WHERE kind = 'letter.not-sent' ORDER BY at, id");
        let bodies: Vec<(String,)> = self.world.db.all(text, ()).await.unwrap();
        let said = |body: &str| {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            format!("{} {}", body["letter"].as_str().unwrap(), body["reason"].as_str().unwrap())
        };
        bodies.iter().map(|(body,)| said(body)).collect()
    }
}

pub(crate) fn profile(name: &str) -> Profile {
    Profile {
        user_name: name.into(),
        external_id: None,
        display_name: Some("Mira <Holt>".into()),
        email: Some(name.into()),
        department: None,
        title: None,
        active: true,
        document: "{}".into(),
    }
}

/// The path of the one link in a letter, which both of its forms have.
pub(crate) fn path_in(letter: &Letter) -> String {
    let links: Vec<&str> = letter.text.lines().filter(|line| line.contains("://")).collect();
    let [link] = links[..] else { panic!("{links:?} in {}", letter.text) };
    assert!(letter.html.contains(&format!("href=\"{link}\"")), "{}", letter.html);
    link.strip_prefix(world::ISSUER).unwrap_or_else(|| panic!("{link} is elsewhere")).to_owned()
}

pub(crate) async fn set_password(browser: &Browser<'_>, page: &Answer, password: &str) -> Answer {
    let (form_token, token) = (page.field("form_token"), page.field("token"));
    let form = [
        ("form_token", form_token.as_str()),
        ("token", &token),
        ("password", password),
        ("password_again", password),
    ];
    browser.post("/invitation", &form).await
}

const MIRA: &str = "mira@example.org";

async fn who_is_hired_gets_a_link_that_sets_a_password_once(world: World) {
    let office = Office::open(world);
    office.hire(profile(MIRA)).await;
    let letter = office.one_letter().await;
    assert_eq!(letter.to.to_string(), MIRA);
    assert_eq!(letter.subject, "Choose your password for id.example.org");
    assert!(letter.text.contains("Hello Mira <Holt>,"), "{}", letter.text);
    assert!(letter.html.contains("Hello Mira &#60;Holt&#62;,"), "{}", letter.html);
    let browser = office.world.browser();
    let page = browser.get(&path_in(&letter)).await;
    assert!(page.body.contains("Welcome."), "{}", page.body);
    assert_eq!(set_password(&browser, &page, PASSWORD).await.status, 200);
    assert_eq!(set_password(&browser, &page, PASSWORD).await.status, 410);
    let page = browser.sign_in_page("app", &[]).await;
    browser.enter(&page, MIRA, PASSWORD).await.code();
    let notice = office.one_letter().await;
    assert_eq!(notice.subject, "Your password for id.example.org was set");
}

async fn a_letter_that_is_sent_twice_is_the_same_letter(world: World) {
    let office = Office::open(world);
    office.hire(profile(MIRA)).await;
    office.says(MailError::Later("421 come back".into()));
    office.says(MailError::Later("421 come back".into()));
    let mut letters = Vec::new();
    for _ in 0..3 {
        letters.extend(office.letters().await);
        office.world.advance(std::time::Duration::from_secs(60));
    }
    let [one, two, three] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((&one.id, path_in(one)), (&two.id, path_in(two)));
    assert_eq!((&one.id, path_in(one)), (&three.id, path_in(three)));
    let text = sql!("SELECT COUNT(*) FROM fact WHERE kind = 'invitation.created'");
    assert_eq!(office.world.db.one::<(i64,)>(text, ()).await.unwrap().0, 1, "one link");
    let text = sql!("SELECT COUNT(*) FROM fact WHERE kind = 'letter.sent'");
    assert_eq!(office.world.db.one::<(i64,)>(text, ()).await.unwrap().0, 1);
    assert_eq!(delivery::depth(&office.world.db).await.unwrap(), (0, 0));
}

async fn the_token_is_kept_sealed_until_the_letter_is_taken_and_stands_in_no_fact(world: World) {
    let office = Office::open(world);
    let db = &office.world.db;
    office.hire(profile(MIRA)).await;
    office.says(MailError::Later("421 come back".into()));
    let letter = office.one_letter().await;
    let token = path_in(&letter).split_once("token=").unwrap().1.to_owned();
    let sealed = || async {
        let text = sql!("SELECT token_sealed FROM invitation WHERE letter IS NOT NULL");
        db.one::<(Option<String>,)>(text, ()).await.unwrap().0
    };
    let kept = sealed().await.unwrap();
    assert!(kept.starts_with("s1.") && !kept.contains(&token), "{kept}");
    office.world.advance(std::time::Duration::from_secs(60));
    office.one_letter().await;
    assert_eq!(sealed().await, None);
    let text = sql!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact ORDER BY id"
    );
    let facts: Vec<StoredFact> = db.all(text, ()).await.unwrap();
    assert!(facts.iter().any(|fact| fact.kind == "letter.sent"));
    for fact in facts {
        assert!(!format!("{fact:?}").contains(&token), "{fact:?}");
    }
}

async fn who_cannot_be_written_to_is_said_and_stops_nobody(world: World) {
    let office = Office::open(world);
    office.hire(Profile { email: None, ..profile("no-mail@example.org") }).await;
    office
        .hire(Profile { email: Some("x\r\nBcc: eve@example.org".into()), ..profile("odd@example.org") })
        .await;
    let gone = office.hire(profile("gone@example.org")).await;
    office.set_active(gone, false).await;
    office.hire(profile(MIRA)).await;
    assert_eq!(office.one_letter().await.to.to_string(), MIRA);
    let mut not_sent = office.not_sent().await;
    not_sent.sort();
    assert_eq!(not_sent, ["invitation bad-address", "invitation no-address", "invitation not-active"]);
    assert_eq!(delivery::depth(&office.world.db).await.unwrap(), (0, 0));
}

async fn what_the_server_refuses_for_good_is_kept_and_can_be_retried(world: World) {
    let office = Office::open(world);
    office.hire(profile(MIRA)).await;
    office.says(MailError::Refused("550 no such mailbox".into()));
    let refused = office.one_letter().await;
    let dead = delivery::dead(&office.world.db, 9).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].sink.as_str(), dead[0].last_error.as_deref()), ("mail", Some("550 no such mailbox")));
    assert!(delivery::retry(&office.world.db, Origin::system(), dead[0].id).await.unwrap());
    let letter = office.one_letter().await;
    assert_eq!((letter.id.clone(), path_in(&letter)), (refused.id.clone(), path_in(&refused)));
}

async fn a_letter_whose_fact_was_erased_before_it_was_retried_is_said_not_to_be_sent(world: World) {
    let office = Office::open(world);
    let db = &office.world.db;
    office.hire(profile(MIRA)).await;
    office.world.advance(std::time::Duration::from_secs(1));
    office.record(Fact::new(office.world.ada.subject(), &Added { kind: "passkey".into() })).await;
    for _ in 0..2 {
        office.says(MailError::Refused("550 no such mailbox".into()));
    }
    assert_eq!(office.letters().await.len(), 2);
    let erased = sql!(
        "UPDATE fact SET body = NULL, salt = NULL WHERE kind = 'user.created' OR kind = 'authenticator.added'"
    );
    assert!(db.change(Origin::system(), erased, (), Vec::new()).await.unwrap() >= 2);
    for dead in delivery::dead(db, 9).await.unwrap() {
        assert!(delivery::retry(db, Origin::system(), dead.id).await.unwrap());
    }
    assert!(office.letters().await.is_empty());
    let mut not_sent = office.not_sent().await;
    not_sent.sort();
    assert_eq!(not_sent, ["authenticator-added body-erased", "invitation body-erased"]);
    assert_eq!(delivery::depth(db).await.unwrap(), (0, 0));
}

async fn a_letter_that_another_release_asked_for_waits_for_that_release(world: World) {
    let office = Office::open(world);
    let db = &office.world.db;
    office.record(Fact::new(office.world.ada.subject(), &Added { kind: "passkey".into() })).await;
    let later =
        sql!("UPDATE fact SET body = REPLACE(body, '\"v\":1', '\"v\":2') WHERE kind = 'authenticator.added'");
    assert!(db.change(Origin::system(), later, (), Vec::new()).await.unwrap() > 0);
    assert!(office.letters().await.is_empty());
    assert_eq!(delivery::depth(db).await.unwrap(), (1, 0), "it waits");
    let read =
        sql!("UPDATE fact SET body = REPLACE(body, '\"v\":2', '\"v\":1') WHERE kind = 'authenticator.added'");
    assert!(db.change(Origin::system(), read, (), Vec::new()).await.unwrap() > 0);
    office.world.advance(std::time::Duration::from_secs(60));
    assert!(office.one_letter().await.text.contains("with a passkey since"));
}

async fn whoever_has_a_password_is_not_invited_when_the_account_comes_back(world: World) {
    let office = Office::open(world);
    office.world.set_active(false).await;
    office.world.set_active(true).await;
    assert!(office.letters().await.is_empty(), "Ada has one");
}

async fn who_was_hired_ahead_of_time_is_invited_on_the_first_day(world: World) {
    let office = Office::open(world);
    let mira = office.hire(Profile { active: false, ..profile(MIRA) }).await;
    assert!(office.letters().await.is_empty());
    assert!(office.not_sent().await.is_empty(), "nothing was due");
    office.set_active(mira, true).await;
    assert_eq!(office.one_letter().await.to.to_string(), MIRA);
}

async fn the_administrator_may_ask_for_a_letter(world: World) {
    let office = Office::open(world);
    let mut tx = office.world.db.write(Origin::system()).await.unwrap();
    mail::ask_invitation(&mut tx, office.world.ada);
    tx.commit().await.unwrap();
    let letter = office.one_letter().await;
    assert_eq!(letter.to.to_string(), "ada@example.org");
    assert_eq!(office.world.browser().get(&path_in(&letter)).await.status, 200);
}

async fn without_invite_on_hire_only_the_administrator_invites(world: World) {
    let office = Office::open(world);
    mail::route(office.world.db.sinks(), false);
    let mira = office.hire(profile(MIRA)).await;
    assert!(office.letters().await.is_empty());
    let mut tx = office.world.db.write(Origin::system()).await.unwrap();
    mail::ask_invitation(&mut tx, mira);
    tx.commit().await.unwrap();
    assert_eq!(office.one_letter().await.to.to_string(), MIRA);
}

/// As the directory records it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Added {
    kind: String,
}
impl store::FactBody for Added {
    const KIND: &'static str = concat!("authenticator", ".added");
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Removed {
    kind: String,
}
impl store::FactBody for Removed {
    const KIND: &'static str = concat!("authenticator", ".removed");
}

async fn what_changed_about_an_account_is_told_to_its_person_without_a_link(world: World) {
    let office = Office::open(world);
    let ada = office.world.ada.subject();
    office.record(Fact::new(ada.clone(), &Added { kind: "passkey".into() })).await;
    office.world.advance(std::time::Duration::from_secs(1));
    office.record(Fact::new(ada, &Removed { kind: "a-new-kind".into() })).await;
    let letters = office.letters().await;
    let texts: Vec<&str> = letters.iter().map(|letter| letter.text.as_str()).collect();
    let [added, removed] = texts[..] else { panic!("{texts:?}") };
    assert!(added.contains("with a passkey since") && added.contains("Ada@example.org"), "{added}");
    assert!(removed.contains("with another means any more"), "{removed}");
    for letter in &letters {
        assert!(!letter.text.contains("://") && !letter.html.contains("href"), "{letter:?}");
    }
}

async fn a_link_that_is_over_before_its_letter_goes_is_not_sent(world: World) {
    let office = Office::open(world);
    office.hire(profile(MIRA)).await;
    office.says(MailError::Later("421 come back".into()));
    office.one_letter().await;
    office.world.advance(directory::invitation::INVITATION_TIME);
    assert!(office.letters().await.is_empty());
    assert_eq!(office.not_sent().await, ["invitation link-over"]);
}

async fn a_letter_is_in_the_language_that_hr_knows(world: World) {
    let office = Office::open(world);
    for (document, subject) in [
        (r#"{"preferredLanguage":"de-AT"}"#, "Ihr Passwort für id.example.org"),
        (r#"{"preferredLanguage":"fr, de;q=0.5"}"#, "Ihr Passwort für id.example.org"),
        (r#"{"locale":"de_DE"}"#, "Ihr Passwort für id.example.org"),
        (r#"{"preferredLanguage":"fr"}"#, "Choose your password for id.example.org"),
        ("{}", "Choose your password for id.example.org"),
    ] {
        let name = format!("mira{}@example.org", document.len());
        office.hire(Profile { document: document.into(), ..profile(&name) }).await;
        assert_eq!(office.one_letter().await.subject, subject, "{document}");
    }
}

mod samples {
    //! Every letter, in every language, from a sample.

    use directory::invitation::Purpose;
    use directory::invitation::letter::Link;
    use jiff::tz::TimeZone;
    use kernel::{Secret, Timestamp};
    use web::Locale;

    use crate::mail::{Given, Occasion, Words};

    /// To add a letter: a line here.
    fn samples(locale: Locale) -> Vec<(&'static str, Words)> {
        let issuer = &super::world::ISSUER.parse().unwrap();
        let (zone, at) = (&TimeZone::UTC, Timestamp::from_secs(1_795_305_600));
        let given = Given { issuer, zone, user_name: "mira\r\n<b>", name: Some("Mira\nHolt & Co"), at };
        let nameless = Given { name: None, ..given };
        let link = Link { token: Secret::new("cdi_x".to_owned()), expires_at: at };
        let kind = || "totp".to_owned();
        vec![
            ("invitation", Words::of_link(locale, Purpose::Invitation, &link, &given)),
            ("recovery", Words::of_link(locale, Purpose::Recovery, &link, &nameless)),
            ("password-set", Words::of_notice(locale, &Occasion::PasswordSet, &given)),
            ("added", Words::of_notice(locale, &Occasion::Added(kind()), &given)),
            ("removed", Words::of_notice(locale, &Occasion::Removed(kind()), &given)),
        ]
    }

    fn unescaped(html: &str) -> String {
        html.replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#38;", "&")
    }

    #[test]
    fn every_letter_renders_whole_in_every_language_and_both_forms_say_the_same() {
        for locale in Locale::ALL {
            for (name, words) in samples(locale) {
                let (text, html) = words.render(locale).unwrap();
                assert!(
                    html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"),
                    "{name}"
                );
                assert!(html.contains(&format!("<html lang=\"{locale}\">")), "{name} {locale}");
                let link = words.link.iter().flat_map(|link| [&link.href, &link.limit, &link.action]);
                let parts = [&words.greeting, &words.text, &words.unexpected, &words.closing];
                for part in parts.into_iter().chain(link) {
                    assert!(text.contains(part.as_str()), "{name} {locale}: {part} in {text}");
                    assert!(unescaped(&html).contains(part.as_str()), "{name} {locale}: {part} in {html}");
                    assert!(!part.contains(['{', '}', '\n', '\r']), "{name} {locale}: {part}");
                }
                assert!(!words.subject.chars().any(char::is_control), "{name} {locale}");
                assert!(!text.contains("\n\n\n"), "{name} {locale}: {text}");
            }
        }
    }

    #[test]
    fn no_letter_runs_loads_or_tracks_anything() {
        for (name, words) in samples(Locale::En) {
            let (_, html) = words.render(Locale::En).unwrap();
            for bad in ["<script", "<img", "<link", "src=", "url(", "@import", " onload", "<b>"] {
                assert!(!html.contains(bad), "{name}: {bad}");
            }
            let addresses = html.matches("://").count();
            assert_eq!(addresses, if words.link.is_some() { 2 } else { 0 }, "{name}: {html}");
        }
    }

    #[test]
    fn a_name_is_one_line_and_opens_no_placeholder() {
        let issuer = &super::world::ISSUER.parse().unwrap();
        let (zone, at) = (&TimeZone::UTC, Timestamp::from_secs(1_795_305_600));
        let given =
            Given { issuer, zone, user_name: "{at}", name: Some("Mira\r\n\r\nhttps {user_name}"), at };
        let words = Words::of_notice(Locale::En, &Occasion::PasswordSet, &given);
        assert_eq!(words.greeting, "Hello Mira    https {user_name},");
        assert!(
            words.text.contains("your account {at} at id.example.org was set at 2026-11-22 00:00 UTC"),
            "{}",
            words.text
        );
    }
}
