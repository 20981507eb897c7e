//! An exhaustive walk over the sign-in flow: from every state that can be reached, everything that can be done, in
//! several tabs, with pages that were kept and are posted again, until nothing new is found. Whatever is done in
//! whatever order, no code is given for less than policy asks.
//!
//! A state is what decides what can happen next: what the browser's session rests on, what the account has, and which
//! pages lie in which tab. To add something that can be done: an [`Action`], what it does, its place in a menu.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use directory::authenticator::totp::Seed;
use directory::session;
use kernel::Assurance;
use kernel::id::UserId;
use serde_json::Value;
use store::{Origin, Params, Sql, sql};
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use super::step_up::{keys_of_ada, signed_by};
use super::*;

on_both_engines! {
    no_order_of_steps_in_two_tabs_gives_a_code_for_less_than_policy_asks,
    no_order_of_steps_passes_an_old_sign_in_off_as_a_new_one,
    no_order_of_setting_up_and_taking_away_gives_a_code_for_less_than_policy_asks,
    no_passkey_on_the_sign_in_page_gives_a_code_for_less_than_policy_asks,
    no_recovery_code_gives_a_code_for_less_than_policy_asks,
    no_order_of_two_people_in_one_browser_gives_one_what_the_other_showed,
}

/// What leads to one application: as it wishes, with a sign-in that is not older than the request, or without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    client: &'static str,
    prompt: Option<&'static str>,
}

const fn to(client: &'static str) -> Flow {
    Flow { client, prompt: None }
}

const fn anew(client: &'static str) -> Flow {
    Flow { client, prompt: Some("login") }
}

const fn silently(client: &'static str) -> Flow {
    Flow { client, prompt: Some("none") }
}

/// Whoever sits there. Every other factor is Ada's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Ada,
    Bo,
}
use Who::{Ada, Bo};

/// What can be done. The number is the tab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// The application sends the browser.
    Open(usize, Flow),
    Password(usize, Who),
    Totp(usize),
    WrongTotp(usize),
    /// The code that was right before.
    OldTotp(usize),
    RecoveryCode(usize),
    OldRecoveryCode(usize),
    /// On the sign-in page, with nothing else.
    PasskeyAlone(usize),
    /// As the step that is asked for.
    Passkey(usize),
    EnrolTotp(usize),
    /// Its pages are forgotten.
    Close(usize),
    /// All sessions of everybody end, from elsewhere.
    SignOut,
    /// An administrator takes everything but the password away.
    TakeAway,
}
use Action::{
    Close, EnrolTotp, OldRecoveryCode, OldTotp, Open, Passkey, PasskeyAlone, Password, RecoveryCode, SignOut,
    TakeAway, Totp, WrongTotp,
};

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
    /// Whose, and what it rests on.
    session: Option<(Who, BTreeSet<String>)>,
    held: BTreeSet<String>,
    /// What leads where, and whether its challenge is spent.
    tabs: Vec<BTreeMap<&'static str, (Flow, bool)>>,
}

const PAGES: [&str; 3] = ["/sign-in", "/step-up", "/enrol"];

/// What was really shown in the browser since the last sign-in, and by whom: by the walk's own account.
#[derive(Default)]
struct Shown {
    by: Option<Who>,
    factors: BTreeSet<&'static str>,
}

/// Time stands still, but for what must be newer than something: what is remembered never grows old, so where an action
/// leads follows from the state.
struct Walker<'a> {
    world: &'a World,
    /// Who sets up and loses factors.
    whose: Who,
    browser: Browser<'a>,
    tabs: Vec<Tab>,
    seed: Option<Seed>,
    /// The one-time code that was accepted last.
    used: Option<String>,
    recovery_codes: Vec<String>,
    used_recovery_code: Option<String>,
    /// The code that was sent last.
    tried: Option<String>,
    device: Option<SoftPasskey>,
    /// Of the device, as a page asks for them.
    keys: Value,
    shown: Shown,
    steps: u32,
    codes: usize,
}

impl<'a> Walker<'a> {
    fn new(world: &'a World, whose: Who, tabs: usize) -> Self {
        Self {
            world,
            whose,
            browser: world.browser(),
            tabs: (0..tabs).map(|_| Tab::new()).collect(),
            seed: None,
            used: None,
            recovery_codes: Vec::new(),
            used_recovery_code: None,
            tried: None,
            device: None,
            keys: Value::Null,
            shown: Shown::default(),
            steps: 0,
            codes: 0,
        }
    }

    /// Ada has an app for one-time codes and a security key.
    async fn equipped(world: &'a World, tabs: usize) -> Self {
        let seed = Some(world.give_totp().await);
        let device = Some(world.give_passkey().await);
        let keys = keys_of_ada(world).await;
        Self { seed, device, keys, ..Self::new(world, Ada, tabs) }
    }

    async fn give_recovery_codes(&mut self) {
        let codes = self.world.give_recovery_codes().await;
        self.recovery_codes = codes.iter().map(|code| code.expose().clone()).collect();
    }

    fn id_of(&self, who: Who) -> UserId {
        match who {
            Ada => self.world.ada,
            Bo => self.world.bo,
        }
    }

    async fn state(&self) -> State {
        let session = match self.browser.session() {
            Some(token) => session::by_token(&self.world.db, &token).await.unwrap(),
            None => None,
        };
        let proven = |session: session::Session| {
            let who = if session.user_id == self.world.ada { Ada } else { Bo };
            let words = crate::assurance::in_words(&crate::assurance::proven_in(&session));
            (who, words.into_iter().collect())
        };
        let held = self.held().await;
        let flows = |tab: &Tab| tab.iter().map(|(path, page)| (*path, (page.flow, page.spent))).collect();
        State { session: session.map(proven), held, tabs: self.tabs.iter().map(flows).collect() }
    }

    async fn held(&self) -> BTreeSet<String> {
        let held = directory::authenticator::of_user(&self.world.db, self.id_of(self.whose)).await.unwrap();
        held.iter().filter_map(|held| Some(held.kind()?.to_string())).collect()
    }

    async fn change(&self, text: Sql, values: impl Params) {
        self.world.db.change(Origin::system(), text, values, Vec::new()).await.unwrap();
    }

    /// Of which step the last one-time code was that was used.
    async fn last_step(&self, step: i64) {
        self.change(sql!("UPDATE authenticator SET last_step = $1 WHERE kind = 'totp'"), (step,)).await;
    }

    /// Does it, and follows where that leads. What cannot be done here and now changes nothing.
    ///
    /// The browser is always a new one to us, or the first sign-in would differ from all others, and comes from
    /// another address each time, or a hundred failures would end the walk.
    async fn go(&mut self, action: Action) {
        self.browser.cookies.borrow_mut().remove("__Host-cardea-device");
        self.steps += 1;
        self.browser.address.set(Some(Ipv4Addr::from(0x0a00_0000 + self.steps).into()));
        match action {
            Open(tab, flow) => {
                if flow.prompt == Some("login") {
                    self.world.advance(Duration::from_secs(1));
                }
                let opened = self.world.ctx.now().as_secs();
                let more: Vec<_> = flow.prompt.iter().map(|prompt| ("prompt", *prompt)).collect();
                let answer = self.browser.authorize(flow.client, &more).await;
                self.follow(tab, flow, opened, answer).await;
            }
            Close(tab) => self.tabs[tab].clear(),
            SignOut => {
                for who in [Ada, Bo] {
                    let sessions = session::of_user(&self.world.db, self.id_of(who)).await.unwrap();
                    let mut tx = self.world.db.write(Origin::system()).await.unwrap();
                    for session in sessions {
                        session::end(&mut tx, session.id).await.unwrap();
                    }
                    tx.commit().await.unwrap();
                }
                self.shown = Shown::default();
            }
            TakeAway => {
                let text = sql!("DELETE FROM authenticator WHERE user_id = $1 AND kind <> 'password'");
                self.change(text, (self.id_of(self.whose),)).await;
            }
            Password(tab, _) | PasskeyAlone(tab) => self.submit(tab, "/sign-in", action).await,
            EnrolTotp(tab) => self.submit(tab, "/enrol", action).await,
            Totp(tab) | WrongTotp(tab) | OldTotp(tab) | RecoveryCode(tab) | OldRecoveryCode(tab)
            | Passkey(tab) => self.submit(tab, "/step-up", action).await,
        }
    }

    async fn submit(&mut self, tab: usize, path: &'static str, action: Action) {
        let Some(mut page) = self.tabs[tab].remove(path) else { return };
        let (held, before) = (self.held().await, self.browser.session());
        let answer = self.answer(&page.answer, action).await;
        // Whatever is accepted renews the session. What is sent where nothing is asked any more is not looked at.
        let accepted = self.browser.session().is_some() && self.browser.session() != before;
        let refused = answer.as_ref().is_some_and(|answer| answer.status == 422);
        if accepted {
            self.note(action, page.spent, &held).await;
        }
        if refused {
            self.forgive().await;
        }
        page.spent |= (accepted || refused) && matches!(action, Passkey(_) | PasskeyAlone(_));
        let (flow, opened) = (page.flow, page.opened);
        self.tabs[tab].insert(path, page);
        if let Some(answer) = answer {
            self.follow(tab, flow, opened, answer).await;
        }
    }

    /// Takes down what was shown just now. Ada's code in a session of Bo's shows nothing.
    async fn note(&mut self, action: Action, spent: bool, held: &BTreeSet<String>) {
        let factor = match action {
            Password(_, who) => {
                self.shown = Shown { by: Some(who), factors: BTreeSet::from(["password"]) };
                return;
            }
            PasskeyAlone(_) if !spent => {
                self.shown = Shown { by: Some(Ada), factors: BTreeSet::from(["passkey"]) };
                return;
            }
            Totp(_) => {
                self.used = self.tried.take();
                "totp"
            }
            RecoveryCode(_) => {
                self.used_recovery_code = self.tried.take();
                self.recovery_codes.pop();
                if self.recovery_codes.is_empty() {
                    self.give_recovery_codes().await;
                }
                "recovery-code"
            }
            Passkey(_) if !spent => "passkey",
            // Another one shows nothing of who has one already.
            EnrolTotp(_) if !held.contains("totp") && self.held().await.contains("totp") => "totp",
            _ => return,
        };
        if self.shown.by == Some(self.whose) {
            self.shown.factors.insert(factor);
        }
    }

    /// No counter stops the walk, and nothing looks unusual: what failed is forgotten.
    async fn forgive(&self) {
        let idp = &self.world.idp;
        for (who, name) in [(Ada, "ada@example.org"), (Bo, "bo@example.org")] {
            crate::sign_in::attempts::forget(idp, self.id_of(who), name).await;
        }
    }

    async fn answer(&mut self, page: &Answer, action: Action) -> Option<Answer> {
        match action {
            Password(_, Ada) => Some(self.browser.enter(page, "ada@example.org", PASSWORD).await),
            Password(_, Bo) => Some(self.browser.enter(page, "bo@example.org", PASSWORD).await),
            Totp(_) => {
                let code = self.world.code_of(self.seed.as_ref()?);
                // As if it were the next one; afterwards it is an old one.
                self.last_step(0).await;
                let answer = self.browser.step(page, "totp", &code).await;
                self.last_step(self.world.ctx.now().as_secs() / 30).await;
                self.tried = Some(code);
                Some(answer)
            }
            WrongTotp(_) => Some(self.browser.step(page, "totp", "000000").await),
            OldTotp(_) => {
                let used = self.used.clone()?;
                Some(self.browser.step(page, "totp", &used).await)
            }
            RecoveryCode(_) => {
                let code = self.recovery_codes.last()?.clone();
                let answer = self.browser.step(page, "recovery-code", &code).await;
                self.tried = Some(code);
                Some(answer)
            }
            OldRecoveryCode(_) => {
                let used = self.used_recovery_code.clone()?;
                Some(self.browser.step(page, "recovery-code", &used).await)
            }
            PasskeyAlone(_) => {
                let answer = signed_by(self.world, self.device.as_mut()?, &self.keys, page);
                Some(self.browser.send_passkey(page, "/sign-in", &answer).await)
            }
            Passkey(_) if page.body.contains("data-passkey") => {
                Some(self.browser.passkey(page, "/step-up", self.device.as_mut()?).await)
            }
            EnrolTotp(_) if page.body.contains("name=\"seed\"") => {
                let had_one = self.held().await.contains("totp");
                let (seed, answer) = self.browser.enrol_totp(page).await;
                if !had_one && self.held().await.contains("totp") {
                    self.seed = Some(seed);
                }
                Some(answer)
            }
            _ => None,
        }
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
        let Flow { client, prompt } = flow;
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
        let by = self.shown.by.map(|who| self.id_of(who).to_string());
        assert_eq!(said["sub"].as_str(), by.as_deref(), "{client}: another person's");
        let anew = prompt == Some("login");
        assert!(!anew || said["auth_time"].as_i64() >= Some(opened), "{client}: {opened} {said}");
        self.codes += 1;
    }
}

/// What the walk has seen: from each state, where each action led, the last time.
#[derive(Default)]
struct Map {
    untried: BTreeMap<State, Vec<Action>>,
    edges: BTreeMap<State, BTreeMap<Action, State>>,
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
        // INVARIANT of the walk: a session says no more than what was shown, and by whom.
        if let Some((who, rests_on)) = &there.session {
            assert_eq!(Some(*who), walker.shown.by, "{here:?} {action:?}");
            for said in rests_on {
                let shown = walker.shown.factors.iter().any(|shown| said.contains(shown));
                assert!(shown, "{here:?} {action:?}: {said}, but shown was {:?}", walker.shown.factors);
            }
        }
        map.edges.entry(here).or_default().insert(action, there.clone());
        here = there;
    }
    panic!("the walk has no end: {} states", map.untried.len());
}

async fn no_order_of_steps_in_two_tabs_gives_a_code_for_less_than_policy_asks(world: World) {
    let menu = [
        Open(0, to("moderate")),
        Open(1, to("vault")),
        Password(0, Ada),
        Password(1, Ada),
        Totp(0),
        WrongTotp(0),
        Totp(1),
        Passkey(1),
        Close(0),
        Close(1),
        SignOut,
    ];
    let (states, codes) = walk(Walker::equipped(&world, 2).await, &menu).await;
    assert!(states > 60 && codes > 100, "{states} states, {codes} codes");
}

async fn no_order_of_steps_passes_an_old_sign_in_off_as_a_new_one(world: World) {
    let menu = [
        Open(0, to("app")),
        Open(0, to("moderate")),
        Open(0, anew("moderate")),
        Password(0, Ada),
        Totp(0),
        OldTotp(0),
        Passkey(0),
        Close(0),
        SignOut,
    ];
    let (states, codes) = walk(Walker::equipped(&world, 1).await, &menu).await;
    assert!(states > 30 && codes > 100, "{states} states, {codes} codes");
}

async fn no_order_of_setting_up_and_taking_away_gives_a_code_for_less_than_policy_asks(world: World) {
    let menu = [
        Open(0, to("moderate")),
        Open(0, to("vault")),
        Password(0, Bo),
        EnrolTotp(0),
        Totp(0),
        Close(0),
        SignOut,
        TakeAway,
    ];
    let (states, codes) = walk(Walker::new(&world, Bo, 1), &menu).await;
    assert!(states > 30 && codes > 30, "{states} states, {codes} codes");
}

async fn no_passkey_on_the_sign_in_page_gives_a_code_for_less_than_policy_asks(world: World) {
    let menu = [
        Open(0, to("moderate")),
        Open(0, to("vault")),
        Open(0, silently("vault")),
        Open(0, silently("moderate")),
        Password(0, Ada),
        PasskeyAlone(0),
        Totp(0),
        Passkey(0),
        Close(0),
        SignOut,
    ];
    let (states, codes) = walk(Walker::equipped(&world, 1).await, &menu).await;
    assert!(states > 30 && codes > 30, "{states} states, {codes} codes");
}

async fn no_recovery_code_gives_a_code_for_less_than_policy_asks(world: World) {
    let menu = [
        Open(0, to("moderate")),
        Open(0, to("vault")),
        Open(0, anew("moderate")),
        Password(0, Ada),
        RecoveryCode(0),
        OldRecoveryCode(0),
        Passkey(0),
        Close(0),
        SignOut,
    ];
    let mut walker = Walker::equipped(&world, 1).await;
    walker.give_recovery_codes().await;
    let (states, codes) = walk(walker, &menu).await;
    assert!(states > 30 && codes > 30, "{states} states, {codes} codes");
}

async fn no_order_of_two_people_in_one_browser_gives_one_what_the_other_showed(world: World) {
    let menu = [
        Open(0, to("vault")),
        Open(1, to("app")),
        Password(0, Ada),
        Password(0, Bo),
        Password(1, Bo),
        Passkey(0),
        PasskeyAlone(0),
        Close(0),
        Close(1),
        SignOut,
    ];
    let (states, codes) = walk(Walker::equipped(&world, 2).await, &menu).await;
    assert!(states > 60 && codes > 100, "{states} states, {codes} codes");
}
