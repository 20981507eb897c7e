//! What must be true, from nothing but what the clients were answered. What was asked and not answered may have
//! happened or not: it is *open* until somebody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use server::stage::{DEPARTMENT, DOMAIN};
use sim::browser::Browser;
use sim::hr::Person;
use world::Served;

use crate::plan::Dice;

/// HR writes about so many people at once, each about its own.
pub(crate) const CLERKS: usize = 2;
/// So many people each clerk keeps employed, more or less.
const STAFF: usize = 7;
/// Works in the transformer hall.
pub(crate) const HIGH_VOLTAGE: &str = "High Voltage";
/// Opens no door.
const ACCOUNTING: &str = "Accounting";
const DEPARTMENTS: [&str; 3] = [DEPARTMENT, HIGH_VOLTAGE, ACCOUNTING];

/// What HR writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Join,
    Move(&'static str),
    Leave,
    Return,
    Delete,
}

impl Act {
    /// Whether all access ends with it.
    pub(crate) const fn ends(self) -> bool {
        matches!(self, Self::Leave | Self::Delete)
    }
}

/// Something that HR is about to write.
pub(crate) struct Errand {
    /// Of the employee.
    pub(crate) n: usize,
    pub(crate) act: Act,
    pub(crate) person: Person,
    /// Of the user; empty for who is to join.
    pub(crate) id: String,
    pub(crate) sent: Instant,
}

/// The end of all access.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) sent: Instant,
    /// Since when it is known to have happened.
    pub(crate) known: Instant,
}

/// How many facts of each kind there must be about a user.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) created: u64,
    pub(crate) changed: u64,
    pub(crate) deactivated: u64,
    pub(crate) activated: u64,
    pub(crate) deleted: u64,
}

/// Somebody whom HR has hired, or has tried to.
pub(crate) struct Employee {
    pub(crate) person: Person,
    clerk: usize,
    /// Of the user, once it is known.
    pub(crate) id: Option<String>,
    /// Whether HR's record exists.
    pub(crate) is_there: bool,
    pub(crate) active: bool,
    pub(crate) department: &'static str,
    /// What HR has asked and nobody has answered, and when.
    pub(crate) open: Option<(Act, Instant)>,
    pub(crate) ends: Vec<End>,
    pub(crate) facts: Facts,
    /// The last card that was given out, as the controller numbers it.
    pub(crate) card: Option<u32>,
    /// Whether the card is suspended by hand.
    pub(crate) by_hand: bool,
    /// Whether it is not known what became of what was last done to the card. Nobody else does anything to it until
    /// somebody has looked.
    pub(crate) hand_is_open: bool,
    /// The card of which it is not known whether it was revoked.
    pub(crate) revoking: Option<u32>,
    /// Cards that were revoked by hand: they open nothing, ever again.
    pub(crate) gone: BTreeSet<u32>,
    pub(crate) has_password: bool,
    /// Whether anything was asked about this person in this round.
    pub(crate) touched: bool,
}

impl Employee {
    fn new(n: usize, clerk: usize, dice: &mut Dice) -> Self {
        let department = match dice.percent() {
            0..60 => DEPARTMENT,
            60..85 => HIGH_VOLTAGE,
            _ => ACCOUNTING,
        };
        let person = Person::new(&format!("Ada{n}"), "Holt", DOMAIN);
        Self {
            person: Person { department: Some(department.into()), ..person },
            clerk,
            id: None,
            is_there: false,
            active: false,
            department,
            open: None,
            ends: Vec::new(),
            facts: Facts::default(),
            card: None,
            by_hand: false,
            hand_is_open: false,
            revoking: None,
            gone: BTreeSet::new(),
            has_password: false,
            touched: false,
        }
    }

    /// Something that changes something.
    fn next(&self, dice: &mut Dice) -> Act {
        match (self.active, dice.percent()) {
            (true, 0..35) | (false, 0..20) => {
                let others = DEPARTMENTS.iter().copied().filter(|other| *other != self.department);
                let others: Vec<&'static str> = others.collect();
                Act::Move(dice.one_of(&others).unwrap_or(ACCOUNTING))
            }
            (true, 35..88) => Act::Leave,
            (false, 20..88) => Act::Return,
            _ => Act::Delete,
        }
    }

    /// It has happened: HR was answered, or somebody has looked.
    pub(crate) fn happened(&mut self, act: Act, sent: Instant) {
        match act {
            Act::Join => {
                (self.is_there, self.active) = (true, true);
                self.facts.created += 1;
            }
            Act::Move(department) => {
                self.department = department;
                self.facts.changed += 1;
            }
            Act::Leave => {
                self.active = false;
                self.facts.deactivated += 1;
            }
            Act::Return => {
                self.active = true;
                self.facts.activated += 1;
            }
            Act::Delete => {
                (self.is_there, self.active) = (false, false);
                self.facts.deleted += 1;
            }
        }
        if act.ends() {
            self.ends.push(End { sent, known: Instant::now() });
        }
    }

    /// The card was revoked: another one is given out where policy gives doors, and nobody has suspended that.
    pub(crate) fn lost(&mut self, card: u32) {
        self.gone.insert(card);
        (self.card, self.revoking) = (None, None);
        (self.by_hand, self.hand_is_open) = (false, false);
    }

    /// Whether all access may have ended between these two moments.
    pub(crate) fn may_have_ended(&self, from: Instant, to: Instant) -> bool {
        let is_ending = self.open.is_some_and(|(act, sent)| act.ends() && sent < to);
        is_ending || self.ends.iter().any(|end| end.sent < to && end.known > from)
    }

    /// Whether policy gives doors to this person.
    pub(crate) fn is_entitled(&self) -> bool {
        self.active && self.department != ACCOUNTING
    }

    /// The access profile that policy gives.
    pub(crate) fn profile(&self) -> Option<&'static str> {
        let profile = if self.department == DEPARTMENT { "operators" } else { "high-voltage" };
        self.is_entitled().then_some(profile)
    }

    /// What the card must open.
    pub(crate) fn rights(&self) -> Rights {
        match self.department {
            _ if !self.is_entitled() || self.by_hand => Rights::default(),
            DEPARTMENT => Rights { doors: [1, 0, 0, 0], gate: true },
            _ => Rights { doors: [0, 1, 0, 0], gate: false },
        }
    }
}

/// Where a card stands on a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// At the headquarters' controller, door by door.
    pub(crate) doors: [u8; 4],
    /// At the substation's device.
    pub(crate) gate: bool,
}

/// Every card that stands on a list, as the controller numbers it.
pub(crate) type Lists = BTreeMap<u32, Rights>;

/// What the two door systems hold.
pub(crate) fn held(house: &Served) -> Lists {
    let mut lists = Lists::new();
    for card in house.controller.cards() {
        lists.entry(card.number).or_default().doors = card.doors;
    }
    for card in house.device.cards() {
        // Facility × 2^32 + number, there; facility × 100,000 + number, here.
        let number = u32::try_from((card >> 32) * 100_000 + (card & 0xffff_ffff)).expect("a 26-bit card");
        lists.entry(number).or_default().gate = true;
    }
    lists
}

/// A browser in which somebody signed in, and the tokens that the application was given then and since.
pub(crate) struct Life {
    /// Of the employee.
    pub(crate) n: usize,
    pub(crate) browser: Browser,
    /// Its session, as the application knows it (`sid`).
    pub(crate) session: String,
    /// The first access token's id (`jti`).
    pub(crate) first: String,
    pub(crate) began: Instant,
    /// When the first tokens came.
    pub(crate) answered: Instant,
    pub(crate) access: Vec<String>,
    pub(crate) refresh: Option<String>,
    /// When the last access token came.
    pub(crate) renewed: Instant,
    /// The refresh token may have been used up.
    pub(crate) is_spent: bool,
    /// Of the session, by whoever signs out (`/logout`).
    pub(crate) sign_out: Ending,
    /// Of the grant and so of all tokens, by the application (`/revoke`). The session lives on.
    pub(crate) revocation: Ending,
    /// Ids of access tokens (`jti`) whose facts have not been looked for.
    pub(crate) unread: Vec<String>,
    /// Whether the application was given tokens, or asked for an end, since it was last found to be alive.
    pub(crate) is_new: bool,
    /// How often it was found to be dead.
    pub(crate) found_dead: usize,
}

/// The end of one thing, asked for by whoever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nobody has asked for it, or it did not happen.
    No,
    /// It was asked for and not answered.
    Open,
    /// It was asked for, and the answer of that moment was yes.
    Answered(Instant),
    /// There is a fact of it.
    Told,
}

impl Ending {
    const fn fate(self) -> Fate {
        match self {
            Self::No => Fate::Alive,
            Self::Open => Fate::Unknown,
            Self::Answered(_) | Self::Told => Fate::Dead,
        }
    }
}

/// What must be true of a life, or of its tokens. What rests on two things has the later of their fates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Alive,
    /// It began while all access was being ended, and before or after that; or its end is open.
    Unknown,
    Dead,
}

/// An access token lives for five minutes.
const YOUNG: Duration = Duration::from_secs(200);

impl Life {
    /// Of its session, once nothing is open about the account.
    pub(crate) fn fate(&self, employee: &Employee) -> Fate {
        self.with_account(employee).max(self.sign_out.fate())
    }

    /// Of its tokens.
    pub(crate) fn tokens(&self, employee: &Employee) -> Fate {
        self.fate(employee).max(self.revocation.fate())
    }

    /// Whether nobody has ended it, or a part of it, but with the account.
    pub(crate) fn is_whole(&self) -> bool {
        (self.sign_out, self.revocation) == (Ending::No, Ending::No)
    }

    fn with_account(&self, employee: &Employee) -> Fate {
        if !employee.active || employee.ends.iter().any(|end| end.sent > self.answered) {
            return Fate::Dead;
        }
        if employee.ends.iter().any(|end| end.known > self.began) {
            return Fate::Unknown;
        }
        Fate::Alive
    }

    pub(crate) fn is_young(&self) -> bool {
        self.renewed.elapsed() < YOUNG
    }
}

/// How much was asked of the house.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: usize,
    pub(crate) while_starting: usize,
    pub(crate) while_unanswered: usize,
    pub(crate) while_revoking: usize,
    pub(crate) while_granting: usize,
    pub(crate) joins: usize,
    pub(crate) moves: usize,
    pub(crate) ends: usize,
    pub(crate) returns: usize,
    /// What was not answered, and turned out to have happened.
    pub(crate) happened: usize,
    /// What was not answered, and turned out not to have happened.
    pub(crate) did_not: usize,
    /// What was answered with an error of the server.
    pub(crate) errors: usize,
    pub(crate) outages_at_headquarters: usize,
    pub(crate) outages_at_substation: usize,
    /// Cards that were suspended or brought back by hand.
    pub(crate) by_hand: usize,
    pub(crate) cards_revoked: usize,
    /// Cards that their holders reported lost.
    pub(crate) cards_lost: usize,
    pub(crate) sign_outs: usize,
    /// Grants that the application has ended.
    pub(crate) revocations: usize,
    /// Sign-outs and revocations that were asked for and not answered.
    pub(crate) partings_open: usize,
    pub(crate) sign_ins: usize,
    pub(crate) refreshes: usize,
    pub(crate) lives_ended: usize,
    /// Tokens that were found to be dead as soon as HR was answered.
    pub(crate) dead_at_once: usize,
    /// Sign-ins that were found to have outlived a crash whole.
    pub(crate) lived_on: usize,
    /// Sessions of which the application was told that they have ended.
    pub(crate) told: usize,
    /// Messages that it did not take at first.
    pub(crate) told_again: usize,
    /// Tokens that came to it twice.
    pub(crate) doubled: usize,
    pub(crate) swipes: usize,
    /// Users of ours at the device that have no card any more: what is left to tidy up there.
    pub(crate) left_behind: usize,
    pub(crate) longest_wait: Duration,
}

/// Everything that is known.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) staff: Vec<Employee>,
    pub(crate) lives: Vec<Life>,
    pub(crate) tally: Tally,
}

impl World {
    /// What this clerk writes next; it is open from now on.
    pub(crate) fn errand(&mut self, clerk: usize, dice: &mut Dice) -> Errand {
        let is_mine = |employee: &Employee| {
            employee.clerk == clerk && employee.is_there && employee.open.is_none() && employee.id.is_some()
        };
        let mine: Vec<usize> = (0..self.staff.len()).filter(|n| is_mine(&self.staff[*n])).collect();
        let grows = mine.len() < STAFF && dice.chance(35);
        let (n, act) = match dice.one_of(&mine).filter(|_| !grows) {
            Some(n) => (n, self.staff[n].next(dice)),
            None => {
                self.staff.push(Employee::new(self.staff.len(), clerk, dice));
                (self.staff.len() - 1, Act::Join)
            }
        };
        let (employee, sent) = (&mut self.staff[n], Instant::now());
        (employee.open, employee.touched) = (Some((act, sent)), true);
        Errand { n, act, person: employee.person.clone(), id: employee.id.clone().unwrap_or_default(), sent }
    }

    /// HR was told that it is done. `id` is that of a new user.
    pub(crate) fn acknowledge(&mut self, errand: &Errand, id: Option<String>) {
        let employee = &mut self.staff[errand.n];
        employee.open = None;
        employee.id = id.or_else(|| employee.id.take());
        employee.happened(errand.act, errand.sent);
        match errand.act {
            Act::Join => self.tally.joins += 1,
            Act::Move(_) => self.tally.moves += 1,
            Act::Leave | Act::Delete => self.tally.ends += 1,
            Act::Return => self.tally.returns += 1,
        }
    }

    /// What must stand on the lists, as far as it was answered.
    pub(crate) fn wanted(&self) -> Lists {
        let rights = self.staff.iter().filter_map(|employee| Some((employee.card?, employee.rights())));
        rights.filter(|(_, rights)| *rights != Rights::default()).collect()
    }

    /// Every card that was ever given out.
    pub(crate) fn cards(&self) -> Vec<u32> {
        let of = |employee: &Employee| {
            let mut cards: Vec<u32> = employee.gone.iter().copied().collect();
            cards.extend(employee.card);
            cards
        };
        self.staff.iter().flat_map(of).collect()
    }

    /// Those whom a condition holds for.
    pub(crate) fn which(&self, is_one: impl Fn(&Employee) -> bool) -> Vec<usize> {
        (0..self.staff.len()).filter(|n| is_one(&self.staff[*n])).collect()
    }

    /// Notes in which phases the process died.
    pub(crate) fn killed(&mut self, held: &Lists) {
        let wanted = self.wanted();
        let is_missing = |all: &Lists, from: &Lists| {
            all.iter().any(|(card, rights)| {
                let other = from.get(card).copied().unwrap_or_default();
                let door_is = |n: usize| rights.doors[n] != 0 && other.doors[n] == 0;
                (0..4).any(door_is) || rights.gate && !other.gate
            })
        };
        let is_open = |employee: &Employee| employee.open.is_some();
        self.tally.kills += 1;
        self.tally.while_unanswered += usize::from(self.staff.iter().any(is_open));
        self.tally.while_revoking += usize::from(is_missing(held, &wanted));
        self.tally.while_granting += usize::from(is_missing(&wanted, held));
    }
}
