//! Everything that lets somebody act, against everything that ends: what dies of what, cell by cell.
//!
//! To add a cause: a variant, what it does, and its row. To add a thing: the same, and its column.

use std::cell::RefCell;

use directory::authenticator::totp::Seed;
use directory::session;
use directory::user;
use store::Origin;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::step_up::{keys_of_ada, signed_by};
use super::world::{ISSUER, invite, undeclare};
use super::*;

on_both_engines! {
    what_rests_on_an_account_dies_with_it_and_what_rests_on_a_part_with_that_part,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    Nothing,
    Deactivated,
    Deleted,
    PasswordRecovered,
    SessionEnded,
    SignedOut,
    GrantRevoked,
    RefreshReused,
    ClientDeleted,
}
use Cause::{
    ClientDeleted, Deactivated, Deleted, GrantRevoked, Nothing, PasswordRecovered, RefreshReused,
    SessionEnded, SignedOut,
};

const THINGS: [&str; 13] = [
    "cookie",
    "code",
    "userinfo",
    "introspection",
    "refresh token",
    "invitation",
    "sign-in form",
    "step",
    "passkey step",
    "passkey challenge",
    "recovery link",
    "enrolment form",
    "consent question",
];

/// What still works afterwards, in the order of [`THINGS`].
const ROWS: [(Cause, [bool; 13]); 9] = [
    (Nothing, [true, true, true, true, true, true, true, true, true, true, true, true, true]),
    (
        Deactivated,
        [false, false, false, false, false, false, false, false, false, false, false, false, false],
    ),
    (Deleted, [false, false, false, false, false, false, false, false, false, false, false, false, false]),
    // The form was opened for the password that is no more; a passkey does not rest on it.
    (
        PasswordRecovered,
        [false, false, false, false, false, false, false, false, false, true, false, false, false],
    ),
    // The steps, the enrolment and the question are other sessions'.
    (SessionEnded, [false, false, false, false, false, true, true, true, true, true, true, true, true]),
    (SignedOut, [false, false, false, false, false, true, true, true, true, true, true, true, true]),
    // The code is of another grant.
    (GrantRevoked, [true, true, false, false, false, true, true, true, true, true, true, true, true]),
    (RefreshReused, [true, true, false, false, false, true, true, true, true, true, true, true, true]),
    // The forms are other applications'.
    (ClientDeleted, [true, false, false, false, false, true, true, true, true, true, true, true, true]),
];

/// All that Ada and `app` hold.
struct Held<'a> {
    world: &'a World,
    browser: Browser<'a>,
    code: String,
    access: String,
    first_refresh: String,
    refresh: String,
    invitation: String,
    other_browser: Browser<'a>,
    form: Answer,
    /// Signed in elsewhere, before a one-time code.
    at_a_step: (Browser<'a>, Answer, Seed),
    /// Signed in elsewhere, before a passkey.
    at_a_key: (Browser<'a>, Answer),
    /// Before a page that takes a passkey.
    challenged: (Browser<'a>, Answer),
    recovery: String,
    /// Signed in elsewhere, before another app for one-time codes.
    enrolling: (Browser<'a>, Answer),
    /// Signed in elsewhere, asked what an application of others may know.
    consenting: (Browser<'a>, Answer),
    device: RefCell<SoftPasskey>,
    keys: serde_json::Value,
}

impl<'a> Held<'a> {
    async fn furnish(world: &'a World) -> Self {
        let browser = world.browser();
        let code = browser.sign_in("app", &[]).await.code();
        let tokens = world.redeem(&code).await.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let first_refresh = text(&tokens["refresh_token"]);
        let refresh = text(&world.refresh(&first_refresh).await.json()["refresh_token"]);
        let refresh = text(&world.refresh(&refresh).await.json()["refresh_token"]);
        let code = browser.authorize("app", &[]).await.code();
        let link = crate::invitation_link(&world.idp.issuer, &invite(world).await);
        let other_browser = world.browser();
        let form = other_browser.sign_in_page("spa", &[]).await;
        let access = text(&tokens["access_token"]);
        let invitation = link.strip_prefix(ISSUER).unwrap().to_owned();
        let consenting = world.browser();
        let asks = consenting.sign_in("guest", &[]).await;
        let question = consenting.get(asks.location()).await;
        let (seed, mut device) = (world.give_totp().await, world.give_passkey().await);
        let keys = keys_of_ada(world).await;
        let enrolling = world.browser();
        let entrance = enrolling.sign_in_page("vault", &[]).await;
        let answer = signed_by(world, &mut device, &keys, &entrance);
        assert!(gets_in(&enrolling.send_passkey(&entrance, "/sign-in", &answer).await));
        let offer = enrolling.get("/enrol?way=totp&to=add-totp").await;
        let stepping = world.browser();
        let at = stepping.sign_in("moderate", &[]).await;
        let step = stepping.get(&at.location().replacen('?', "?way=totp&", 1)).await;
        let touching = world.browser();
        let key = touching.step_page(&touching.sign_in("vault", &[]).await).await;
        let asked = world.browser();
        let page = asked.sign_in_page("spa", &[]).await;
        Self {
            world,
            browser,
            code,
            access,
            first_refresh,
            refresh,
            invitation,
            other_browser,
            form,
            at_a_step: (stepping, step, seed),
            at_a_key: (touching, key),
            challenged: (asked, page),
            recovery: world.recovery_link().await,
            enrolling: (enrolling, offer),
            consenting: (consenting, question),
            device: RefCell::new(device),
            keys,
        }
    }

    async fn happens(&self, cause: Cause) {
        let world = self.world;
        match cause {
            Nothing => {}
            Deactivated => world.set_active(false).await,
            Deleted => {
                let seen = user::get(&world.db, world.ada).await.unwrap().unwrap();
                let mut tx = world.db.write(Origin::system()).await.unwrap();
                user::delete(&mut tx, &seen).await.unwrap();
                tx.commit().await.unwrap();
            }
            PasswordRecovered => self.recover().await,
            SessionEnded => {
                let cookie = self.browser.session().unwrap();
                let session = session::by_token(&world.db, &cookie).await.unwrap().unwrap();
                let mut tx = world.db.write(Origin::system()).await.unwrap();
                assert!(session::end(&mut tx, session.id).await.unwrap());
                tx.commit().await.unwrap();
            }
            SignedOut => {
                let page = self.browser.get("/logout").await;
                let (form_token, request) = (page.field("form_token"), page.field("request"));
                let form = [("form_token", form_token.as_str()), ("request", &request)];
                assert_eq!(self.browser.post("/logout", &form).await.status, 200);
            }
            GrantRevoked => {
                let form = [("token", self.access.as_str())];
                assert_eq!(world.call("/revoke", Some(("app", "app-secret")), &form).await.status, 200);
            }
            RefreshReused => assert_eq!(world.refresh(&self.first_refresh).await.status, 400),
            ClientDeleted => undeclare(world, "app").await,
        }
    }

    async fn recover(&self) {
        let browser = self.world.browser();
        let page = browser.get(&self.invitation).await;
        let (form_token, token) = (page.field("form_token"), page.field("token"));
        let new = "four green geese march";
        let form = [
            ("form_token", form_token.as_str()),
            ("token", &token),
            ("password", new),
            ("password_again", new),
        ];
        assert_eq!(browser.post("/invitation", &form).await.status, 200);
    }

    async fn works(&self, thing: &str) -> bool {
        let world = self.world;
        match thing {
            "cookie" => self.browser.authorize("spa", &[("prompt", "none")]).await.sent("code").is_some(),
            "code" => world.redeem(&self.code).await.status == 200,
            "userinfo" => world.userinfo(&self.access).await.status == 200,
            "introspection" => {
                let form = [("token", self.access.as_str())];
                let answer = world.call("/introspect", Some(("app", "app-secret")), &form).await;
                answer.status == 200 && answer.json()["active"] == true
            }
            "refresh token" => world.refresh(&self.refresh).await.status == 200,
            "invitation" => world.browser().get(&self.invitation).await.status == 200,
            "sign-in form" => {
                let answer = self.other_browser.enter(&self.form, "ada@example.org", PASSWORD).await;
                answer.status == 303
            }
            "step" => {
                let (browser, page, seed) = &self.at_a_step;
                gets_in(&browser.step(page, "totp", &world.code_of(seed)).await)
            }
            "passkey step" => {
                let (browser, page) = &self.at_a_key;
                let answer = signed_by(world, &mut self.device.borrow_mut(), &self.keys, page);
                gets_in(&browser.send_passkey(page, "/step-up", &answer).await)
            }
            "passkey challenge" => {
                let (browser, page) = &self.challenged;
                let answer = signed_by(world, &mut self.device.borrow_mut(), &self.keys, page);
                gets_in(&browser.send_passkey(page, "/sign-in", &answer).await)
            }
            "recovery link" => world.browser().get(&self.recovery).await.status == 200,
            "enrolment form" => {
                let (browser, page) = &self.enrolling;
                let added = browser.enrol_totp(page).await.1;
                added.status == 303 && added.location() == "/account/methods"
            }
            "consent question" => {
                let (browser, page) = &self.consenting;
                gets_in(&browser.decide(page, "allow").await)
            }
            other => panic!("what is {other}?"),
        }
    }
}

/// Whether an application gets a code.
fn gets_in(answer: &Answer) -> bool {
    answer.status == 303 && answer.location().starts_with("https://") && answer.sent("code").is_some()
}

async fn what_rests_on_an_account_dies_with_it_and_what_rests_on_a_part_with_that_part(world: World) {
    let mut wrong = Vec::new();
    let mut world = Some(world);
    for (cause, row) in ROWS {
        let here = world.take().expect("a world for each cause");
        let held = Held::furnish(&here).await;
        held.happens(cause).await;
        for (thing, expect) in THINGS.into_iter().zip(row) {
            if held.works(thing).await != expect {
                wrong.push(format!(
                    "after {cause:?} the {thing} should {}work",
                    if expect { "" } else { "not " }
                ));
            }
        }
        drop(held);
        world = Some(here.another().await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
