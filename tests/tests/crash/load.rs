//! Everybody at once, until the process is killed: two clerks of HR, people at their browsers, cards at the doors,
//! trouble on the wire, somebody who parts with something, and a hand that suspends and revokes cards.
//!
//! Each notes what is asked before it is asked, and what was answered when it was.

mod parting;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use kernel::Ctx;
use server::stage::{at_device, clock, payload};
use sim::browser::{Browser, BrowserError};
use sim::hr::{Hr, HrError};
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use world::{App, Served, VERIFIER};

use crate::model::{self, Act, CLERKS, Employee, Ending, Errand, Fate, Life, World};
use crate::plan::{Dice, Fault, Hand, Kill, Plan};
use crate::story::Story;

pub(crate) const PASSWORD: &str = "nine ducks on a cold river";
/// Whoever waits for an end to be acknowledged, or to be asked for, does not wait for ever.
const LONGEST: Duration = Duration::from_millis(400);
/// Nor does whoever waits until HR was answered at all: a busy machine may take its time, one that hangs is killed.
const FIRST: Duration = Duration::from_secs(5);

/// The load of one round.
pub(crate) struct Load<'a> {
    house: &'a Served,
    world: &'a RefCell<World>,
    story: &'a Story,
    /// The process is dead.
    is_over: Cell<bool>,
    /// Rung when HR was answered.
    answered: Notify,
    /// Rung when HR was told that somebody's access has ended.
    ended: Notify,
    /// Rung when somebody begins to part with something.
    parting: Notify,
}

/// The process did not answer: whoever asked it stops.
struct Gone;

impl<'a> Load<'a> {
    pub(crate) fn new(house: &'a Served, world: &'a RefCell<World>, story: &'a Story) -> Self {
        let (answered, ended, parting) = (Notify::new(), Notify::new(), Notify::new());
        Self { house, world, story, is_over: Cell::new(false), answered, ended, parting }
    }

    /// Until the process is dead, and everybody has noticed.
    pub(crate) async fn run(&self, plan: &Plan, process: Child) {
        let mut dice = plan.dice.clone();
        let clerks: [Dice; CLERKS] = std::array::from_fn(|_| dice.fork());
        let clerks = clerks.into_iter().enumerate().map(|(clerk, dice)| self.clerk(clerk, dice));
        tokio::join!(
            self.kill(plan.kill, process),
            futures_util::future::join_all(clerks),
            self.people(dice.fork()),
            self.doors(dice.fork()),
            self.trouble(plan),
            self.hand(plan, dice.fork()),
            self.part(plan, dice.fork()),
        );
    }

    /// Not for ever: in a round without it the process is killed all the same.
    async fn wait_for(&self, what: &Notify, happened: &str, did_not: &str) {
        let waited = timeout(LONGEST, what.notified()).await;
        self.story.tell(if waited.is_ok() { happened } else { did_not });
    }

    async fn kill(&self, when: Kill, mut process: Child) {
        // A process that has done nothing has nothing to lose.
        if timeout(FIRST, self.answered.notified()).await.is_err() {
            self.story.tell("HR was not answered");
        }
        let after = match when {
            Kill::At(after) => after,
            Kill::AfterEnd(after) => {
                self.wait_for(&self.ended, "an end is acknowledged", "nobody's access ended").await;
                after
            }
            Kill::AfterParting(after) => {
                self.wait_for(&self.parting, "an end is asked for", "nobody parts with anything").await;
                after
            }
        };
        sleep(after).await;
        let ended = process.try_wait().expect("it was started here");
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        process.kill().await.expect("it runs");
        self.is_over.set(true);
        self.world.borrow_mut().killed(&model::held(self.house));
        self.story.tell("killed");
    }

    async fn clerk(&self, clerk: usize, mut dice: Dice) {
        let hr = self.house.hr();
        while !self.is_over.get() {
            let errand = self.world.borrow_mut().errand(clerk, &mut dice);
            let Errand { n, act, .. } = errand;
            let outcome = carry_out(&hr, &errand).await;
            self.story.tell(format!("clerk {clerk}: {act:?} of {n}: {}", heard(&outcome)));
            match outcome {
                Ok(id) => {
                    self.world.borrow_mut().acknowledge(&errand, id);
                    self.answered.notify_one();
                    if act.ends() {
                        self.ended.notify_one();
                        self.is_dead_at_once(&errand).await;
                    }
                }
                Err(error) => match error.status() {
                    None => return,
                    // What it did before, nobody knows.
                    Some(500..) => self.world.borrow_mut().tally.errors += 1,
                    Some(_) => panic!("HR is refused {act:?} of {n}: {error}"),
                },
            }
            sleep(dice.millis(0..40)).await;
        }
    }

    /// HR was answered: from now on no token of before is good.
    async fn is_dead_at_once(&self, errand: &Errand) {
        let token = {
            let world = self.world.borrow();
            let mut before = world.lives.iter().rev();
            let is_one = |life: &&Life| life.n == errand.n && life.answered < errand.sent && life.is_whole();
            let life = before.find(is_one);
            life.and_then(|life| life.access.last().cloned())
        };
        let Some(token) = token else { return };
        if let Ok(answer) = self.house.app().introspect(&token).await {
            let tally = &mut self.world.borrow_mut().tally;
            if answer.status >= 500 {
                tally.errors += 1;
                return;
            }
            let is_dead = answer.status == 200 && answer.body["active"] == false;
            assert!(is_dead, "a token of {} after the end of the account: {answer:?}", errand.n);
            tally.dead_at_once += 1;
        }
    }

    async fn people(&self, mut dice: Dice) {
        let app = self.house.app();
        while !self.is_over.get() {
            let done = match dice.percent() {
                0..40 => self.sign_in(&app, &mut dice).await,
                40..75 => self.refresh(&app, &mut dice).await,
                _ => self.introspect(&app, &mut dice).await,
            };
            if done.is_err() {
                return;
            }
            sleep(dice.millis(2..20)).await;
        }
    }

    async fn sign_in(&self, app: &App, dice: &mut Dice) -> Result<(), Gone> {
        let who = {
            let world = self.world.borrow();
            let may = world.which(|employee| employee.active && employee.has_password);
            dice.one_of(&may).map(|n| (n, world.staff[n].person.user_name.clone()))
        };
        let Some((n, user_name)) = who else { return Ok(()) };
        let signed_in = sign_in(app, n, &user_name).await;
        match signed_in {
            Ok(Some(life)) => {
                self.story.tell(format!("{n} signed in"));
                let mut world = self.world.borrow_mut();
                world.tally.sign_ins += 1;
                world.lives.push(life);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.story.tell(format!("{n} did not sign in: {error}"));
                Err(Gone)
            }
        }
    }

    async fn refresh(&self, app: &App, dice: &mut Dice) -> Result<(), Gone> {
        let presented = {
            let world = self.world.borrow();
            let has_one = |at: &usize| world.lives[*at].refresh.is_some() && !world.lives[*at].is_spent;
            let all: Vec<usize> = (0..world.lives.len()).filter(has_one).collect();
            let is_dead = |life: &Life| life.tokens(&world.staff[life.n]) == Fate::Dead;
            let alive: Vec<usize> = all.iter().copied().filter(|at| !is_dead(&world.lives[*at])).collect();
            // Most lives are over: of all of them alike, hardly one would get another token late in a run.
            let first = if dice.chance(80) { dice.one_of(&alive) } else { None };
            let chosen = first.or_else(|| dice.one_of(&all));
            chosen.and_then(|at| Some((at, world.lives[at].refresh.clone()?)))
        };
        let Some((at, token)) = presented else { return Ok(()) };
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let answer = app.post("/token", &form).await;
        let mut world = self.world.borrow_mut();
        match answer {
            Ok(answer) if answer.status == 200 => {
                world.tally.refreshes += 1;
                world.lives[at].renew(&answer.body);
                Ok(())
            }
            // What it did before, nobody knows.
            Ok(answer) if answer.status >= 500 => {
                world.tally.errors += 1;
                world.lives[at].is_spent = true;
                Ok(())
            }
            Ok(answer) => {
                let life = &world.lives[at];
                let employee = &world.staff[life.n];
                let may_have_ended = employee.open.is_some() || life.tokens(employee) != Fate::Alive;
                assert!(may_have_ended, "a refresh token of {} is refused: {answer:?}", life.n);
                Ok(())
            }
            Err(_) => {
                world.lives[at].is_spent = true;
                Err(Gone)
            }
        }
    }

    async fn introspect(&self, app: &App, dice: &mut Dice) -> Result<(), Gone> {
        let token = {
            let world = self.world.borrow();
            let all: Vec<usize> = (0..world.lives.len()).collect();
            dice.one_of(&all).and_then(|at| world.lives[at].access.last().cloned())
        };
        let Some(token) = token else { return Ok(()) };
        app.introspect(&token).await.map(drop).map_err(|_| Gone)
    }

    /// Cards of all who ever had one, at every door. What the doors say of themselves is asked later.
    async fn doors(&self, mut dice: Dice) {
        while !self.is_over.get() {
            let card = dice.one_of(&self.world.borrow().cards());
            if let Some(card) = card {
                match dice.one_of(&[1, 2, 3]).unwrap_or(1) {
                    door @ 1..=2 => {
                        let _ = self.house.controller.swipe(card, door);
                    }
                    _ => {
                        self.house.device.swipe(1, at_device(card)).await;
                    }
                }
                self.world.borrow_mut().tally.swipes += 1;
            }
            sleep(dice.millis(10..50)).await;
        }
    }

    async fn trouble(&self, plan: &Plan) {
        let Some(outage) = plan.outage else { return };
        sleep(outage.at).await;
        if self.is_over.get() {
            return;
        }
        let mut world = self.world.borrow_mut();
        match outage.fault {
            Fault::Controller(misbehaviour) => {
                self.house.controller.misbehave(misbehaviour);
                world.tally.outages_at_headquarters += 1;
            }
            Fault::Device(misbehaviour) => {
                self.house.device.misbehave(misbehaviour);
                world.tally.outages_at_substation += 1;
            }
        }
        self.story.tell("the trouble begins");
    }

    /// A command is a process of its own: it is not killed with the house.
    async fn hand(&self, plan: &Plan, mut dice: Dice) {
        let Some(hand) = plan.hand else { return };
        let chosen = {
            let world = self.world.borrow();
            let may = world.which(|employee| may_be_handled(employee, hand));
            let suspended: Vec<usize> = may.iter().copied().filter(|n| world.staff[*n].by_hand).collect();
            // Else ever fewer cards would open anything: holders report theirs lost, and none brings it back.
            let is_first = hand == Hand::Suspend && dice.chance(50);
            let first = if is_first { dice.one_of(&suspended) } else { None };
            let chosen = first.or_else(|| dice.one_of(&may));
            chosen.and_then(|n| Some((n, world.staff[n].card?, world.staff[n].by_hand)))
        };
        let Some((n, card, was_suspended)) = chosen else { return };
        let verb = match hand {
            Hand::Revoke => "revoke",
            Hand::Suspend if was_suspended => "resume",
            Hand::Suspend => "suspend",
        };
        {
            let employee = &mut self.world.borrow_mut().staff[n];
            (employee.touched, employee.hand_is_open) = (true, true);
            employee.revoking = (hand == Hand::Revoke).then_some(card);
        }
        let written = format!("h10301:{}:{}", card / 100_000, card % 100_000);
        let said = self.house.cardea(&["credential", verb, &written, "--who", "Guard"]).await;
        self.story.tell(format!("{verb} the card of {n}: {said:?}"));
        // Whoever is told no does not know how far it came: the account may have ended meanwhile.
        if said.code != Some(0) {
            return;
        }
        let mut world = self.world.borrow_mut();
        match hand {
            Hand::Revoke => {
                world.tally.cards_revoked += 1;
                world.staff[n].lost(card);
            }
            Hand::Suspend => {
                world.tally.by_hand += 1;
                let employee = &mut world.staff[n];
                (employee.by_hand, employee.hand_is_open) = (!was_suspended, false);
            }
        }
    }
}

/// Whether something can be done to the card, and nobody else is doing anything to it.
fn may_be_handled(employee: &Employee, hand: Hand) -> bool {
    let has_card = employee.is_there && employee.card.is_some() && !employee.hand_is_open;
    // Nobody's card comes back whose account has ended.
    has_card && (hand == Hand::Revoke || employee.active || !employee.by_hand)
}

async fn carry_out(hr: &Hr, errand: &Errand) -> Result<Option<String>, HrError> {
    let id = errand.id.as_str();
    match errand.act {
        Act::Join => return hr.hire(&errand.person).await.map(Some),
        Act::Move(department) => hr.move_department(id, department).await,
        Act::Leave => hr.end_employment(id).await,
        Act::Return => hr.rehire(id).await,
        Act::Delete => hr.delete(id).await,
    }
    .map(|()| None)
}

fn heard(outcome: &Result<Option<String>, HrError>) -> String {
    outcome.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned())
}

/// Signs in with a new browser; `None` for somebody who gets no further, or whose code was worth nothing.
pub(crate) async fn sign_in(app: &App, n: usize, user_name: &str) -> Result<Option<Life>, BrowserError> {
    let mut browser = Browser::new(clock(&Ctx::system()));
    let began = Instant::now();
    let Some(code) = app.try_code(&mut browser, user_name, PASSWORD).await? else { return Ok(None) };
    let Ok(answer) = app.exchange(&code, VERIFIER).await else { return Ok(None) };
    if answer.status != 200 {
        return Ok(None);
    }
    let now = Instant::now();
    let id_token = answer.body["id_token"].as_str().and_then(payload).expect("an ID token is a JWS");
    let mut life = Life {
        n,
        browser,
        session: id_token["sid"].as_str().expect("an ID token names its session").to_owned(),
        began,
        answered: now,
        access: Vec::new(),
        refresh: None,
        renewed: now,
        is_spent: false,
        sign_out: Ending::No,
        revocation: Ending::No,
        unread: Vec::new(),
        first: String::new(),
        is_new: true,
        found_dead: 0,
    };
    life.renew(&answer.body);
    life.first = life.unread.concat();
    Ok(Some(life))
}

impl Life {
    /// The application was given tokens.
    pub(crate) fn renew(&mut self, tokens: &serde_json::Value) {
        let text = |name: &str| tokens[name].as_str().map(str::to_owned);
        let access = text("access_token").expect("an access token");
        let claims = payload(&access).expect("an access token is a JWS");
        self.unread.push(claims["jti"].as_str().expect("a token has an id").to_owned());
        self.access.push(access);
        self.refresh = text("refresh_token");
        self.renewed = Instant::now();
        self.is_new = true;
    }
}
