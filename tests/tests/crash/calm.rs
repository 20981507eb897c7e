//! After the crash: the house is served again, comes to rest, and is asked about everything.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bridge::{exposure, receipt};
use directory::credential::{self, Credential, State, SuspendedBy};
use kernel::Ctx;
use server::stage::payload;
use sim::hr::Hr;
use store::{Db, DbConfig, Origin, Sinks, delivery, sql};
use tokio::time::sleep;
use world::{App, Ears, Served};

use crate::device;
use crate::house::EXPORT;
use crate::journal::Journal;
use crate::load::sign_in;
use crate::model::{self, Act, Employee, Ending, Fate, Life, Rights, Tally, World};

/// Longer than what was tried in vain before waits; shorter than a claim, so that one that nobody gives back is missed.
const REST: Duration = Duration::from_secs(20);
/// How long a dead process keeps the others from giving facts their place, and the time to do so.
const ORDER: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(15);
/// How long a dead process keeps the others from exporting, and the time to do so.
const EXPORTED: Duration = Duration::from_secs(60);
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// All credentials that a test can give out.
const ALL: i64 = 10_000;
/// How often a life that ended is found to be dead before it is looked at with everything else only. Lives add up, and
/// each costs half a dozen requests: a long run would do little but ask about those of its first rounds, of which no
/// later one writes anything.
const LOOKS: usize = 2;
/// So many people are signed in before the next crash, and so many can.
const SIGNED_IN: usize = 4;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What this round was about.
    Round,
    /// All there ever was, and the whole journal.
    Everything,
}

/// While nobody serves: who was not asked about has, at both door systems, what it had.
pub(crate) fn others_are_as_they_were(house: &Served, world: &World) {
    let held = model::held(house);
    for employee in world.staff.iter().filter(|employee| !employee.touched) {
        let Some(card) = employee.card else { continue };
        let holds = held.get(&card).copied().unwrap_or_default();
        assert_eq!(
            holds,
            employee.rights(),
            "{card} of {}, whom nobody asked about",
            employee.person.user_name
        );
    }
}

/// While nobody serves: as if the leases of the dead process had run out. On a server they do so after half a minute;
/// so nearly no process would live long enough to export anything, and none would die of it.
pub(crate) async fn leases_run_out(house: &Served) {
    let config = house.database();
    if matches!(config, DbConfig::Postgres { .. }) {
        let db = Db::open_existing(&config, Ctx::system(), Sinks::default()).await.unwrap();
        db.change(Origin::system(), sql!("DELETE FROM lease"), (), Vec::new()).await.unwrap();
        db.close().await;
    }
}

/// Once it is served again.
pub(crate) async fn examine(
    house: &Served,
    world: &mut World,
    journal: &mut Journal,
    ears: &Ears,
    depth: Depth,
) {
    // Not before: as long as somebody else has a SQLite file open, it is not recovered as after a crash.
    let db = Db::open_existing(&house.database(), Ctx::system(), Sinks::default()).await.unwrap();
    let waited = rest(&db, house, journal).await;
    world.tally.longest_wait = world.tally.longest_wait.max(waited);
    let hr = house.hr();
    for employee in &mut world.staff {
        ask_hr(&hr, employee, depth, &mut world.tally).await;
    }
    ask_directory(&db, world, journal).await;
    assert_eq!(model::held(house), world.wanted(), "what the door systems hold, and what policy says");
    world.tally.left_behind = world.tally.left_behind.max(device::left_behind(&house.device));
    ask_about_lives(&house.app(), world, journal, ears, depth).await;
    ask_for_evidence(&db, world, depth).await;
    every_receipt_is_told(&db, world, journal).await;
    journal.is_sound();
    if depth == Depth::Everything {
        is_in_order(&db).await;
        is_exported(house, journal).await;
        let said = house.must(&["audit", "verify"]).await;
        assert!(said.contains(" 0 findings"), "{said}");
    }
    db.close().await;
}

/// Waits until every event at a door was heard and nothing is left to deliver; then reads the journal.
async fn rest(db: &Db, house: &Served, journal: &mut Journal) -> Duration {
    let began = Instant::now();
    let mut has_heard = false;
    loop {
        if !has_heard {
            journal.read(db).await;
            has_heard = journal.unheard(house).is_empty();
        }
        // Afterwards: what was heard may be told on.
        let (waiting, dead) = delivery::depth(db).await.unwrap();
        assert_eq!(dead, 0, "deliveries were given up");
        if has_heard && waiting == 0 {
            journal.read(db).await;
            return began.elapsed();
        }
        if began.elapsed() > REST {
            let (waiting, unheard) = (delivery::waiting(db, 20).await.unwrap(), journal.unheard(house));
            panic!("no rest within {REST:?}: {waiting:#?}; events without a fact: {unheard:?}");
        }
        sleep(LOOK).await;
    }
}

/// What HR was told is so; and what HR was not told is learned.
async fn ask_hr(hr: &Hr, employee: &mut Employee, depth: Depth, tally: &mut Tally) {
    if !employee.touched && depth == Depth::Round {
        return;
    }
    let open = employee.open.take();
    if let Some((Act::Join, _)) = open {
        employee.id = hr.find(&employee.person.user_name).await.unwrap().map(|user| user.id);
    }
    let Some(id) = &employee.id else {
        tally.did_not += usize::from(open.is_some());
        return;
    };
    let user = match hr.user(id).await {
        Ok(user) => Some(user),
        Err(error) if error.status() == Some(404) => None,
        Err(error) => panic!("{error}"),
    };
    let seen = user.as_ref().map(|user| {
        (user.active == Some(true), user.body[ENTERPRISE]["department"].as_str().unwrap_or_default())
    });
    if let Some((act, sent)) = open {
        let happened = match (act, seen) {
            (Act::Join, _) => true,
            (Act::Move(department), Some((_, now))) => now == department,
            (Act::Leave, Some((active, _))) => !active,
            (Act::Return, Some((active, _))) => active,
            (Act::Delete, seen) => seen.is_none(),
            (_, None) => false,
        };
        match happened {
            true => {
                employee.happened(act, sent);
                tally.happened += 1;
            }
            false => tally.did_not += 1,
        }
    }
    let expect = employee.is_there.then_some((employee.active, employee.department));
    assert_eq!(seen, expect, "{}: active, department", employee.person.user_name);
}

/// Cards: who has which, whether a hand has suspended it, which were revoked, and what the journal tells of each.
async fn ask_directory(db: &Db, world: &mut World, journal: &Journal) {
    let mut all: HashMap<String, Vec<Credential>> = HashMap::new();
    for card in credential::page(db, None, ALL).await.unwrap() {
        journal.tells_of_card(&card);
        all.entry(card.user_id.to_string()).or_default().push(card);
    }
    for employee in &mut world.staff {
        let Some(id) = employee.id.clone() else { continue };
        let cards = all.remove(&id).unwrap_or_default();
        let (revoked, kept): (Vec<&Credential>, Vec<&Credential>) =
            cards.iter().partition(|card| card.state.parse() == Ok(State::Revoked));
        let revoked: BTreeSet<u32> = revoked.into_iter().map(number).collect();
        if let Some(card) = employee.revoking.take().filter(|card| revoked.contains(card)) {
            employee.lost(card);
        }
        let who = &employee.person.user_name;
        // With HR's record the last one is revoked, too.
        let is_right =
            if employee.is_there { employee.gone == revoked } else { employee.gone.is_subset(&revoked) };
        assert!(is_right, "of {who} the cards {revoked:?} are revoked, and by hand {:?}", employee.gone);
        match kept[..] {
            [] => assert!(!employee.is_entitled(), "{who} is entitled and has no card"),
            [card] => {
                assert!(employee.is_there, "the card of {who}, who was deleted, is {}", card.state);
                let number = number(card);
                let known = *employee.card.get_or_insert(number);
                assert_eq!(known, number, "{who} has the same card until it is revoked");
                let by_hand = card.suspended() == Some(SuspendedBy::Hand);
                if std::mem::take(&mut employee.hand_is_open) {
                    employee.by_hand = by_hand;
                }
                assert_eq!(by_hand, employee.by_hand, "the card of {who} is suspended by hand");
                let is_active = card.is_active();
                let is_right = employee.rights() == Rights::default() || is_active;
                assert!(is_right, "{who} is entitled, and the card is {}", card.state);
                assert!(employee.active || !is_active, "{who} is gone, and the card is active");
            }
            _ => panic!("{who} has more than one card: {kept:?}"),
        }
        journal.tells_of_user(&id, employee.facts);
        journal.tells_of_profile(&id, employee.profile());
    }
    assert!(all.is_empty(), "cards of nobody: {all:?}");
}

/// As the controller numbers it.
fn number(card: &Credential) -> u32 {
    u32::try_from(card.facility * 100_000 + card.number).expect("a 26-bit card")
}

/// Sessions and tokens: of who has gone, all are refused, as is what somebody has ended; of everything else, none was
/// lost.
async fn ask_about_lives(app: &App, world: &mut World, journal: &Journal, ears: &Ears, depth: Depth) {
    let World { staff, lives, tally } = world;
    let mut ended = vec![0; staff.len()];
    for life in lives {
        for jti in life.unread.drain(..) {
            journal.tells_of_token(&jti);
        }
        let employee = &staff[life.n];
        learn_of_ends(life, employee, journal, tally);
        let (fate, tokens) = (life.fate(employee), life.tokens(employee));
        if fate != Fate::Unknown {
            journal.tells_of_life(life);
        }
        match (fate, tokens) {
            (Fate::Dead, _) => {
                let with_account = life.is_whole();
                ended[life.n] += usize::from(with_account);
                if life.found_dead < LOOKS || depth == Depth::Everything {
                    tally.lives_ended += usize::from(with_account && life.found_dead == 0);
                    life.found_dead += 1;
                    is_dead(app, life).await;
                    assert!(ears.know(&life.session), "the application was not told of an end of {}", life.n);
                }
            }
            (Fate::Alive, Fate::Dead) => {
                are_dead(app, life).await;
                is_signed_in(app, life, depth).await;
            }
            (Fate::Alive, _) => {
                lives_on(app, life, depth).await;
                tally.lived_on += 1;
            }
            (Fate::Unknown, _) => {}
        }
    }
    for (employee, ended) in staff.iter().zip(ended) {
        if let Some(id) = &employee.id {
            journal.tells_of_ends(id, ended);
        }
    }
}

/// What became of the ends that somebody has asked for. The facts say, and what lives is then held against them; what
/// was answered has its fact, unless the account had ended first and left nothing to end.
fn learn_of_ends(life: &mut Life, employee: &Employee, journal: &Journal, tally: &mut Tally) {
    let (n, began) = (life.n, life.began);
    let (sessions, grants) = journal.ends_of(life);
    let ends = [("session", &mut life.sign_out, sessions), ("grant", &mut life.revocation, grants)];
    for (what, ending, facts) in ends {
        let happened = facts > 0;
        match *ending {
            Ending::No | Ending::Told => continue,
            Ending::Open => {
                tally.partings_open += 1;
                tally.happened += usize::from(happened);
                tally.did_not += usize::from(!happened);
            }
            Ending::Answered(at) => assert!(
                happened || employee.may_have_ended(began, at),
                "no fact of the end of a {what} of {n}, which was answered"
            ),
        }
        *ending = if happened { Ending::Told } else { Ending::No };
    }
}

/// Nobody's sign-in is lost: neither its tokens nor its session.
async fn lives_on(app: &App, life: &mut Life, depth: Depth) {
    let n = life.n;
    if life.is_young() {
        let token = life.access.last().expect("it began with one");
        let answer = app.introspect(token).await.unwrap();
        assert!(answer.body["active"] == true, "a sign-in of {n} was lost: {answer:?}");
    }
    let is_asked = life.is_new || depth == Depth::Everything;
    if let Some(token) = life.refresh.as_ref().filter(|_| is_asked && !life.is_spent) {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let answer = app.post("/token", &form).await.unwrap();
        assert_eq!(answer.status, 200, "a refresh token of {n} was lost: {answer:?}");
        life.renew(&answer.body);
    }
    is_signed_in(app, life, depth).await;
}

/// The session lives on, whatever became of the tokens.
async fn is_signed_in(app: &App, life: &mut Life, depth: Depth) {
    if life.is_new || depth == Depth::Everything {
        let silently = app.silently(&mut life.browser).await.unwrap();
        assert_eq!(silently, None, "the session of {} was lost", life.n);
        life.is_new = false;
    }
}

/// Neither its tokens nor its session are good for anything.
async fn is_dead(app: &App, life: &mut Life) {
    are_dead(app, life).await;
    let silently = app.silently(&mut life.browser).await.unwrap();
    assert_eq!(silently.as_deref(), Some("login_required"), "the browser of {}", life.n);
}

/// No token of it is good for anything.
async fn are_dead(app: &App, life: &Life) {
    let n = life.n;
    for token in life.access.iter().rev().take(2) {
        let answer = app.introspect(token).await.unwrap();
        assert!(answer.status == 200 && answer.body["active"] == false, "a token of {n}: {answer:?}");
        assert_eq!(app.userinfo(token).await.unwrap().status, 401, "a token of {n}");
    }
    if let Some(token) = &life.refresh {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let answer = app.post("/token", &form).await.unwrap();
        assert_eq!(answer.refusal(), (400, "invalid_grant"), "a refresh token of {n}");
    }
}

/// Whoever has gone has a receipt that says that every door is shut, and nothing is known to be exposed.
async fn ask_for_evidence(db: &Db, world: &World, depth: Depth) {
    for employee in &world.staff {
        let Some(id) = employee.id.as_ref().filter(|_| !employee.active) else { continue };
        if !employee.touched && depth == Depth::Round {
            continue;
        }
        let edition = receipt::latest(db, id.parse().unwrap()).await.unwrap();
        let edition = edition.unwrap_or_else(|| panic!("{} has no receipt", employee.person.user_name));
        let receipt = payload(&edition.document).expect("a receipt is a JWS");
        let cause = if employee.is_there { "user.deactivated" } else { "user.deleted" };
        assert!(receipt["complete"] == true && receipt["cause"]["kind"] == cause, "{cause}: {receipt:#}");
    }
    let exposed = exposure::report(db).await.unwrap();
    assert!(exposed.is_none_known(), "{exposed:#?}");
}

/// Each edition of a receipt has its fact, and no fact has none.
async fn every_receipt_is_told(db: &Db, world: &World, journal: &mut Journal) {
    let began = Instant::now();
    loop {
        let text = sql!("SELECT user_id, COUNT(*) FROM receipt GROUP BY user_id");
        let kept: Vec<(String, i64)> = db.all(text, ()).await.unwrap();
        let kept: HashMap<String, i64> = kept.into_iter().collect();
        // Afterwards: of what is issued meanwhile there are more facts for a moment, never fewer.
        journal.read(db).await;
        let is_told = |id: &String| {
            let facts = i64::try_from(journal.receipts(id)).unwrap();
            let kept = kept.get(id).copied().unwrap_or_default();
            assert!(kept <= facts, "receipts of {id}: {kept} are kept, and {facts} facts tell of any");
            kept == facts
        };
        if world.staff.iter().filter_map(|employee| employee.id.as_ref()).all(is_told) {
            return;
        }
        assert!(began.elapsed() < REST, "facts tell of receipts that are not kept");
        sleep(LOOK).await;
    }
}

/// Waits until every fact has its place.
async fn is_in_order(db: &Db) {
    let began = Instant::now();
    loop {
        let text = sql!("SELECT COUNT(*) FROM fact WHERE seq IS NULL");
        let (without,): (i64,) = db.one(text, ()).await.unwrap();
        if without == 0 {
            return;
        }
        assert!(began.elapsed() < ORDER, "{without} facts have no place in the order");
        sleep(LOOK).await;
    }
}

/// Waits until the export has every fact that was read.
async fn is_exported(house: &Served, journal: &Journal) {
    let began = Instant::now();
    loop {
        let lines = std::fs::read_to_string(house.path(EXPORT)).unwrap_or_default();
        let missing = journal.not_exported(&lines);
        if missing == 0 {
            return;
        }
        assert!(began.elapsed() < EXPORTED, "{missing} facts were not exported");
        sleep(LOOK * 20).await;
    }
}

/// For the next round: somebody gets a password, and somebody signs in, so that there is something to lose.
pub(crate) async fn prepare(house: &Served, world: &mut World) {
    let app = house.app();
    let may_sign_in = world.which(|employee| employee.active && employee.has_password);
    if may_sign_in.len() < SIGNED_IN {
        let next = world.which(|employee| employee.active && !employee.has_password).into_iter().next();
        if let Some(n) = next {
            set_password(house, &world.staff[n].person.user_name).await;
            world.staff[n].has_password = true;
        }
    }
    let has_tokens = |n: usize, world: &World| {
        world.lives.iter().any(|life| life.n == n && life.tokens(&world.staff[n]) == Fate::Alive)
    };
    let waiting = world.which(|employee| employee.active && employee.has_password);
    if let Some(n) = waiting.into_iter().find(|n| !has_tokens(*n, world)) {
        let user_name = world.staff[n].person.user_name.clone();
        if let Some(life) = sign_in(&app, n, &user_name).await.unwrap() {
            world.tally.sign_ins += 1;
            world.lives.push(life);
        }
    }
    for employee in &mut world.staff {
        employee.touched = false;
    }
}

async fn set_password(house: &Served, user_name: &str) {
    let mut browser = sim::browser::Browser::new(server::stage::clock(&Ctx::system()));
    let link = house.must(&["invite", user_name]).await;
    let page = browser.get(link.trim()).await.unwrap();
    let form = page.form_with("password").unwrap();
    let password = crate::load::PASSWORD;
    let done = browser.submit(&form, &[("password", password), ("password_again", password)]).await.unwrap();
    assert_eq!(done.status, 200, "{}", done.text());
}
