//! An exhaustive walk over the sign-in flow: every order of a few actions, in two tabs, with pages kept and posted again.
//! Whatever is done in whatever order, no code is given for less than policy asks.

use std::collections::BTreeMap;
use std::time::Duration;

use directory::authenticator::totp::Seed;
use kernel::Assurance;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::*;

/// What somebody can do. Pages are kept per tab, so a later action may use an old one: the back button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Open(usize, &'static str),
    Password(usize),
    Totp(usize),
    WrongTotp(usize),
    OldTotp(usize),
    Passkey(usize),
    AnotherSignsOut,
}

const ACTIONS: [Action; 13] = [
    Action::Open(0, "app"),
    Action::Open(0, "moderate"),
    Action::Open(1, "vault"),
    Action::Open(1, "moderate"),
    Action::Password(0),
    Action::Password(1),
    Action::Totp(0),
    Action::Totp(1),
    Action::WrongTotp(0),
    Action::OldTotp(1),
    Action::Passkey(0),
    Action::Passkey(1),
    Action::AnotherSignsOut,
];

/// How many actions a walk has.
const DEPTH: usize = 2;

/// Every walk begins with one of these, which are worth continuing.
const BEGINNINGS: [&[Action]; 4] = [
    &[Action::Open(0, "moderate"), Action::Password(0)],
    &[Action::Open(0, "app"), Action::Open(1, "vault"), Action::Password(1)],
    &[Action::Open(0, "moderate"), Action::Open(1, "vault"), Action::Password(0), Action::Totp(0)],
    &[Action::Open(1, "vault"), Action::Password(1), Action::Passkey(1), Action::AnotherSignsOut],
];

struct Walker<'a> {
    world: &'a World,
    browser: Browser<'a>,
    tabs: [BTreeMap<&'static str, Answer>; 2],
    seed: &'a Seed,
    device: &'a mut SoftPasskey,
    used: Option<String>,
    codes: usize,
}

impl Walker<'_> {
    async fn go(&mut self, action: Action) {
        let Some((tab, answer)) = self.act(action).await else { return };
        self.follow(tab, answer).await;
    }

    async fn act(&mut self, action: Action) -> Option<(usize, Answer)> {
        match action {
            Action::Open(tab, client) => Some((tab, self.browser.authorize(client, &[]).await)),
            Action::Password(tab) => {
                let page = self.tabs[tab].get("/sign-in")?;
                Some((tab, self.browser.enter(page, "ada@example.org", PASSWORD).await))
            }
            Action::Totp(tab) => {
                let code = self.world.code_of(self.seed);
                self.used = Some(code.clone());
                self.step(tab, &code).await
            }
            Action::WrongTotp(tab) => self.step(tab, "000000").await,
            Action::OldTotp(tab) => {
                let code = self.used.clone()?;
                self.step(tab, &code).await
            }
            Action::Passkey(tab) => {
                let page =
                    self.tabs[tab].get("/step-up").filter(|page| page.body.contains("data-passkey"))?;
                Some((tab, self.browser.passkey(page, "/step-up", self.device).await))
            }
            Action::AnotherSignsOut => {
                let mut tx = self.world.db.write(store::Origin::system()).await.unwrap();
                for session in directory::session::of_user(&self.world.db, self.world.ada).await.unwrap() {
                    directory::session::end(&mut tx, session.id).await.unwrap();
                }
                tx.commit().await.unwrap();
                None
            }
        }
    }

    async fn step(&mut self, tab: usize, code: &str) -> Option<(usize, Answer)> {
        let page = self.tabs[tab].get("/step-up")?;
        Some((tab, self.browser.step(page, "totp", code).await))
    }

    /// Follows redirects of ours, keeps the page at the end, and looks at every code.
    async fn follow(&mut self, tab: usize, mut answer: Answer) {
        while answer.status == 303 {
            let location = answer.location().to_owned();
            if !location.starts_with('/') {
                return self.look_at(&answer).await;
            }
            answer = self.browser.get(&location).await;
            if answer.status == 200 {
                let path = if location.starts_with("/sign-in") { "/sign-in" } else { "/step-up" };
                self.tabs[tab].insert(path, answer);
                return;
            }
        }
    }

    /// INVARIANT of the walk: a code's token says at least what policy asks of its application.
    async fn look_at(&mut self, answer: &Answer) {
        let Some(code) = answer.sent("code") else { return };
        let client = ["app", "moderate", "vault"]
            .into_iter()
            .find(|client| answer.location().starts_with(&format!("https://{client}.")))
            .unwrap();
        let uri = format!("https://{client}.example.org/callback");
        let form = super::world::redemption(&code, &uri, VERIFIER);
        let secret = format!("{client}-secret");
        let tokens = self.world.call("/token", Some((client, &secret)), &form).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        let said = super::world::claims(tokens.json()["id_token"].as_str().unwrap()).1;
        let reached: Assurance = said["acr"].as_str().unwrap().parse().unwrap();
        let required = match client {
            "app" => Assurance::Aal1,
            "moderate" => Assurance::Aal2,
            _ => Assurance::Phr,
        };
        assert!(reached >= required, "{client}: {said}");
        self.codes += 1;
    }
}

/// All continuations of a length.
fn continuations(length: usize) -> Vec<Vec<Action>> {
    if length == 0 {
        return vec![Vec::new()];
    }
    let shorter = continuations(length - 1);
    let longer = |walk: &Vec<Action>| {
        let walk = walk.clone();
        ACTIONS.iter().map(move |action| [walk.as_slice(), &[*action]].concat())
    };
    shorter.iter().flat_map(longer).collect()
}

#[actix_web::test]
async fn no_order_of_steps_gives_a_code_for_less_than_policy_asks() {
    let world = World::sqlite().await;
    let (seed, mut device) = (world.give_totp().await, world.give_passkey().await);
    let (mut walks, mut codes) = (0, 0);
    for beginning in BEGINNINGS {
        for more in continuations(DEPTH) {
            let tabs = [BTreeMap::new(), BTreeMap::new()];
            let browser = world.browser();
            let (world, seed, device) = (&world, &seed, &mut device);
            let mut walker = Walker { world, browser, tabs, seed, device, used: None, codes: 0 };
            for action in beginning.iter().chain(&more) {
                walker.go(*action).await;
            }
            walks += 1;
            codes += walker.codes;
            // Another step of the clock, and counters that are over, for the next walk.
            world.advance(Duration::from_secs(301));
        }
    }
    assert!(walks == 4 * ACTIONS.len().pow(2) && codes > 300, "{walks} walks reached {codes} codes");
}
