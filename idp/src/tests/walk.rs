//! An exhaustive walk over the sign-in flow: from every state that can be reached, everything that can be done, in
//! several tabs, with pages that were kept and are posted again, until nothing new is found. Whatever is done in
//! whatever order, no code is given for less than policy asks.
//!
//! A state is what decides what can happen next: what the browser's session rests on, what the account has, and which
//! pages lie in which tab. To add something that can be done: an [`Action`], what it does, its place in a menu.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use directory::authenticator::totp::Seed;
use directory::session;
use kernel::Assurance;
use kernel::id::UserId;
use serde_json::Value;
use store::{Origin, sql};
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::step_up::seed_of;
use super::*;

/// What leads to one application: as it wishes, or with a sign-in that is not older than the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    client: &'static str,
    anew: bool,
}

const fn to(client: &'static str) -> Flow {
    Flow { client, anew: false }
}

/// What can be done. The number is the tab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// The application sends the browser.
    Open(usize, Flow),
    Password(usize),
    Totp(usize),
    WrongTotp(usize),
    /// The code that was right before.
    OldTotp(usize),
    /// As the step that is asked for.
    Passkey(usize),
    EnrolTotp(usize),
    /// Its pages are forgotten.
    Close(usize),
    /// All sessions of the account end, from elsewhere.
    SignOut,
    /// An administrator takes everything but the password away.
    TakeAway,
}
use Action::{Close, EnrolTotp, OldTotp, Open, Passkey, Password, SignOut, TakeAway, Totp, WrongTotp};

/// A page that lies in a tab, and since when its flow is under way.
struct Page {
    flow: Flow,
    opened: i64,
    /// Its challenge was answered: it is good once.
    spent: bool,
    answer: Answer,
}

/// By path. Pages stay when they were used: the back button.
type Tab = BTreeMap<&'static str, Page>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    session: Option<BTreeSet<String>>,
    held: BTreeSet<String>,
    /// What leads where, and whether its challenge is spent.
    tabs: Vec<BTreeMap<&'static str, (Flow, bool)>>,
}

const PAGES: [&str; 3] = ["/sign-in", "/step-up", "/enrol"];

struct Walker<'a> {
    world: &'a World,
    user: UserId,
    user_name: &'static str,
    browser: Browser<'a>,
    tabs: Vec<Tab>,
    seed: Option<Seed>,
    used: Option<String>,
    device: Option<SoftPasskey>,
    /// What was really shown since the last sign-in, by the walk's own account.
    shown: BTreeSet<&'static str>,
    codes: usize,
}

impl<'a> Walker<'a> {
    fn new(world: &'a World, user: UserId, user_name: &'static str, tabs: usize) -> Self {
        let tabs = (0..tabs).map(|_| Tab::new()).collect();
        let browser = world.browser();
        let (seed, used, device, shown) = (None, None, None, BTreeSet::new());
        Self { world, user, user_name, browser, tabs, seed, used, device, shown, codes: 0 }
    }

    async fn state(&self) -> State {
        let session = match self.browser.session() {
            Some(token) => session::by_token(&self.world.db, &token).await.unwrap(),
            None => None,
        };
        let session = session.filter(|session| session.user_id == self.user);
        let proven = |session| {
            let words = crate::assurance::in_words(&crate::assurance::proven_in(&session));
            words.into_iter().collect()
        };
        let held = self.held().await;
        let flows = |tab: &Tab| tab.iter().map(|(path, page)| (*path, (page.flow, page.spent))).collect();
        State { session: session.map(proven), held, tabs: self.tabs.iter().map(flows).collect() }
    }

    async fn held(&self) -> BTreeSet<String> {
        let held = directory::authenticator::of_user(&self.world.db, self.user).await.unwrap();
        held.iter().filter_map(|held| Some(held.kind()?.to_string())).collect()
    }

    /// Does it, and follows where that leads. What cannot be done here and now changes nothing. The browser is always a
    /// new one to us, or the first sign-in would differ from all others.
    async fn go(&mut self, action: Action) {
        self.browser.cookies.borrow_mut().remove("__Host-cardea-device");
        match action {
            Open(tab, flow) => {
                let opened = self.world.ctx.now().as_secs();
                let more: &[_] = if flow.anew { &[("prompt", "login")] } else { &[] };
                let answer = self.browser.authorize(flow.client, more).await;
                self.follow(tab, flow, opened, answer).await;
            }
            Close(tab) => self.tabs[tab].clear(),
            SignOut => {
                let sessions = session::of_user(&self.world.db, self.user).await.unwrap();
                let mut tx = self.world.db.write(Origin::system()).await.unwrap();
                for session in sessions {
                    session::end(&mut tx, session.id).await.unwrap();
                }
                tx.commit().await.unwrap();
                self.shown.clear();
            }
            TakeAway => {
                let text = sql!("DELETE FROM authenticator WHERE user_id = $1 AND kind <> 'password'");
                let db = &self.world.db;
                db.change(Origin::system(), text, (self.user,), Vec::new()).await.unwrap();
            }
            Password(tab) => self.submit(tab, "/sign-in", action).await,
            EnrolTotp(tab) => self.submit(tab, "/enrol", action).await,
            Totp(tab) | WrongTotp(tab) | OldTotp(tab) | Passkey(tab) => {
                self.submit(tab, "/step-up", action).await;
            }
        }
    }

    async fn submit(&mut self, tab: usize, path: &'static str, action: Action) {
        let Some(mut page) = self.tabs[tab].remove(path) else { return };
        if page.spent {
            self.wait();
        }
        let has_totp = self.held().await.contains("totp");
        let answer = self.answer(&page.answer, action).await;
        if answer.as_ref().is_some_and(|answer| answer.status == 303) {
            match action {
                Password(_) => self.shown = BTreeSet::from(["password"]),
                Totp(_) => drop(self.shown.insert("totp")),
                Passkey(_) if !page.spent => drop(self.shown.insert("passkey")),
                // Another one shows nothing of who has one already.
                EnrolTotp(_) if !has_totp => drop(self.shown.insert("totp")),
                _ => {}
            }
        }
        page.spent |= answer.is_some() && matches!(action, Passkey(_));
        let (flow, opened) = (page.flow, page.opened);
        self.tabs[tab].insert(path, page);
        if let Some(answer) = answer {
            self.follow(tab, flow, opened, answer).await;
        }
    }

    async fn answer(&mut self, page: &Answer, action: Action) -> Option<Answer> {
        match action {
            Password(_) => Some(self.browser.enter(page, self.user_name, PASSWORD).await),
            Totp(_) => {
                // The next code: each is good once.
                self.world.advance(Duration::from_secs(30));
                let code = self.world.code_of(self.seed.as_ref()?);
                self.used = Some(code.clone());
                Some(self.browser.step(page, "totp", &code).await)
            }
            WrongTotp(_) => self.wrong(page, "000000").await,
            OldTotp(_) => {
                let code = self.used.clone()?;
                self.wrong(page, &code).await
            }
            Passkey(_) if page.body.contains("data-passkey") => {
                Some(self.browser.passkey(page, "/step-up", self.device.as_mut()?).await)
            }
            EnrolTotp(_) if page.body.contains("name=\"seed\"") => {
                self.world.advance(Duration::from_secs(30));
                let key = page.body.split("<code>").nth(1)?.split("</code>").next()?;
                let seed = seed_of(key);
                let code = self.world.code_of(&seed);
                self.seed = Some(seed);
                let (form_token, request) = (page.field("form_token"), page.field("request"));
                let sealed = page.field("seed");
                let form = [
                    ("form_token", form_token.as_str()),
                    ("request", &request),
                    ("way", "totp"),
                    ("seed", &sealed),
                    ("code", &code),
                    ("name", "Phone"),
                ];
                Some(self.browser.post("/enrol", &form).await)
            }
            _ => None,
        }
    }

    /// For so long that no counter stops what fails, and nothing looks unusual.
    fn wait(&self) {
        self.world.advance(Duration::from_secs(451));
    }

    async fn wrong(&mut self, page: &Answer, code: &str) -> Option<Answer> {
        self.wait();
        Some(self.browser.step(page, "totp", code).await)
    }

    /// Follows redirects of ours, keeps the page at the end, and looks at every code.
    async fn follow(&mut self, tab: usize, flow: Flow, opened: i64, mut answer: Answer) {
        for _ in 0..10 {
            if answer.status != 303 {
                return;
            }
            let location = answer.location().to_owned();
            if !location.starts_with('/') {
                return self.look_at(flow, opened, &answer).await;
            }
            // Where a one-time code will do, it is set up, not a passkey.
            let location = location.replacen("/enrol?", "/enrol?way=totp&", 1);
            answer = self.browser.get(&location).await;
            if answer.status == 200 {
                let path = PAGES.into_iter().find(|path| location.starts_with(path)).unwrap();
                self.tabs[tab].insert(path, Page { flow, opened, spent: false, answer });
                return;
            }
        }
        panic!("no end of redirects: {}", answer.location());
    }

    /// INVARIANT of the walk: a code's token says at least what policy asks of its application, and of a sign-in that
    /// must be new that it is.
    async fn look_at(&mut self, flow: Flow, opened: i64, answer: &Answer) {
        let Some(code) = answer.sent("code") else { return };
        let Flow { client, anew } = flow;
        assert!(answer.location().starts_with(&format!("https://{client}.")), "{}", answer.location());
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
        assert_eq!(said["sub"], Value::from(self.user.to_string()));
        assert!(!anew || said["auth_time"].as_i64() >= Some(opened), "{client}: {opened} {said}");
        self.codes += 1;
    }
}

/// What the walk has seen: from each state, where each action led. That may differ: sessions grow old meanwhile.
#[derive(Default)]
struct Map {
    untried: BTreeMap<State, Vec<Action>>,
    edges: BTreeMap<State, BTreeSet<(Action, State)>>,
}

impl Map {
    /// What to do here: something new, or the first step of the shortest way to where something is. `None` when all
    /// was tried.
    fn next(&mut self, here: &State, menu: &[Action]) -> Option<Action> {
        if let Some(action) = self.untried.entry(here.clone()).or_insert_with(|| menu.to_vec()).pop() {
            return Some(action);
        }
        let mut seen = BTreeSet::from([here]);
        let mut queue: VecDeque<(&State, Option<Action>)> = VecDeque::from([(here, None)]);
        while let Some((state, first)) = queue.pop_front() {
            if self.untried.get(state).is_none_or(|left| !left.is_empty()) {
                return first;
            }
            for (action, there) in self.edges.get(state).into_iter().flatten() {
                if seen.insert(there) {
                    queue.push_back((there, first.or(Some(*action))));
                }
            }
        }
        None
    }
}

/// Walks until nothing is untried. Answers how many states there are, and how many codes were given.
async fn walk(mut walker: Walker<'_>, menu: &[Action]) -> (usize, usize) {
    let mut map = Map::default();
    let mut here = walker.state().await;
    for _ in 0..20_000 {
        let Some(action) = map.next(&here, menu) else {
            let left: Vec<_> = map.untried.iter().filter(|(_, left)| !left.is_empty()).collect();
            assert!(left.is_empty(), "not come back to from {here:?}: {left:?}");
            return (map.untried.len(), walker.codes);
        };
        walker.go(action).await;
        let there = walker.state().await;
        // INVARIANT of the walk: a session says no more than what was shown.
        for said in there.session.iter().flatten() {
            let shown = walker.shown.iter().any(|shown| said.contains(shown));
            assert!(shown, "{here:?} {action:?}: {said}, but shown was {:?}", walker.shown);
        }
        map.edges.entry(here).or_default().insert((action, there.clone()));
        here = there;
    }
    panic!("the walk has no end: {} states", map.untried.len());
}

#[actix_web::test]
async fn no_order_of_steps_in_two_tabs_gives_a_code_for_less_than_policy_asks() {
    let world = World::sqlite().await;
    let mut walker = Walker::new(&world, world.ada, "ada@example.org", 2);
    walker.seed = Some(world.give_totp().await);
    walker.device = Some(world.give_passkey().await);
    let menu = [
        Open(0, to("moderate")),
        Open(1, to("vault")),
        Password(0),
        Password(1),
        Totp(0),
        WrongTotp(0),
        Totp(1),
        Passkey(1),
        Close(0),
        Close(1),
        SignOut,
    ];
    let (states, codes) = walk(walker, &menu).await;
    assert!(states > 60 && codes > 100, "{states} states, {codes} codes");
}

#[actix_web::test]
async fn no_order_of_steps_passes_an_old_sign_in_off_as_a_new_one() {
    let world = World::sqlite().await;
    let mut walker = Walker::new(&world, world.ada, "ada@example.org", 1);
    walker.seed = Some(world.give_totp().await);
    walker.device = Some(world.give_passkey().await);
    let anew = Flow { anew: true, ..to("moderate") };
    let menu = [
        Open(0, to("app")),
        Open(0, to("moderate")),
        Open(0, anew),
        Password(0),
        Totp(0),
        OldTotp(0),
        Passkey(0),
        Close(0),
        SignOut,
    ];
    let (states, codes) = walk(walker, &menu).await;
    assert!(states > 30 && codes > 100, "{states} states, {codes} codes");
}

#[actix_web::test]
async fn no_order_of_setting_up_and_taking_away_gives_a_code_for_less_than_policy_asks() {
    let world = World::sqlite().await;
    let walker = Walker::new(&world, world.bo, "bo@example.org", 1);
    let menu = [
        Open(0, to("moderate")),
        Open(0, to("vault")),
        Password(0),
        EnrolTotp(0),
        Totp(0),
        Close(0),
        SignOut,
        TakeAway,
    ];
    let (states, codes) = walk(walker, &menu).await;
    assert!(states > 30 && codes > 30, "{states} states, {codes} codes");
}
