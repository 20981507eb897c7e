//! An auditor who reads along: every fact once, as soon as it is committed, whether or not it has its place in the
//! order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use bridge::facts::{DeviationFound, DoorEventSeen, DoorEventsLost, ReceiptIssued};
use directory::credential::{Credential, State};
use directory::facts::{
    CredentialIssued, CredentialResumed, CredentialRevoked, CredentialSuspended, Ended, EntitlementEnded,
    EntitlementGranted, GrantCreated, GrantEnded, GrantRedeemed, GrantRefreshed, SessionEnded, SessionOpened,
    UserActivated, UserChanged, UserCreated, UserDeactivated, UserDeleted,
};
use kernel::id::{FactId, UserId};
use kernel::{Ctx, Subject, Timestamp};
use store::{Db, FactBody as _, StoredFact, sql};
use world::Served;

use crate::model::{Ending, Facts, Life};

/// A fact is dated when it is recorded, and seen when it is committed: no later than this.
const COMMITS: Duration = Duration::from_secs(15);

/// An event of a door system: by its name and its own number.
type Event = (String, u64);

/// All that was read.
#[derive(Default)]
pub(crate) struct Journal {
    /// Read from here on.
    since: Timestamp,
    known: HashSet<FactId>,
    /// How many facts there are, by subject and kind.
    counts: HashMap<(String, String), u64>,
    /// How many facts tell of an access token, by its id; and the grant that the first of a grant's was made of.
    tokens: HashMap<String, u64>,
    grants: HashMap<String, String>,
    /// How many facts tell that a session or a grant began, and that it ended by itself, by its id.
    begun: HashMap<String, u64>,
    ended: HashMap<String, u64>,
    /// How many sessions and grants ended with an account, by its subject.
    swept: HashMap<String, (i64, i64)>,
    /// Access profiles that an account was given, less those that were taken away, by its subject and their name.
    profiles: HashMap<(String, String), i64>,
    /// How many facts tell of an event.
    events: BTreeMap<Event, u64>,
    /// What should never have been found.
    found: Vec<String>,
}

impl Journal {
    /// Reads what is new.
    pub(crate) async fn read(&mut self, db: &Db) {
        let now = Ctx::system().now();
        let text = sql!(
            "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact WHERE at >= $1"
        );
        let facts: Vec<StoredFact> = db.all(text, (self.since,)).await.unwrap();
        self.since = now.minus(COMMITS);
        for fact in facts {
            if self.known.insert(fact.id) {
                self.take(fact);
            }
        }
    }

    fn take(&mut self, fact: StoredFact) {
        let redeemed = fact.read::<GrantRedeemed>().map(|body| body.token);
        let refreshed = fact.read::<GrantRefreshed>().map(|body| body.token);
        for token in redeemed.into_iter().chain(refreshed) {
            *self.tokens.entry(token).or_default() += 1;
        }
        if let Some(body) = fact.read::<GrantRedeemed>() {
            self.grants.insert(body.token, body.grant);
        }
        let begun = fact.read::<SessionOpened>().map(|body| body.session);
        for id in begun.into_iter().chain(fact.read::<GrantCreated>().map(|body| body.grant)) {
            *self.begun.entry(id).or_default() += 1;
        }
        let ended = fact.read::<SessionEnded>().map(|body| body.session);
        for id in ended.into_iter().chain(fact.read::<GrantEnded>().map(|body| body.grant)) {
            *self.ended.entry(id).or_default() += 1;
        }
        let swept = fact.read::<UserDeactivated>().map(|body| body.ended);
        let swept = swept.or_else(|| fact.read::<UserDeleted>().map(|body| body.ended));
        if let Some(Ended { sessions, grants, .. }) = swept {
            let all = self.swept.entry(fact.subject.clone()).or_default();
            *all = (all.0 + sessions, all.1 + grants);
        }
        let granted = fact.read::<EntitlementGranted>().map(|body| (body.access_profile, 1));
        let ended = fact.read::<EntitlementEnded>().map(|body| (body.access_profile, -1));
        for (profile, one) in granted.into_iter().chain(ended) {
            *self.profiles.entry((fact.subject.clone(), profile)).or_default() += one;
        }
        if let Some(seen) = fact.read::<DoorEventSeen>() {
            *self.events.entry((seen.door_system, seen.event.index)).or_default() += 1;
        }
        if [DeviationFound::KIND, DoorEventsLost::KIND].contains(&fact.kind.as_str()) {
            self.found.push(format!("{} of {}: {:?}", fact.kind, fact.subject, fact.body));
        }
        *self.counts.entry((fact.subject, fact.kind)).or_default() += 1;
    }

    /// Events that the door systems have kept and no fact tells of.
    pub(crate) fn unheard(&self, house: &Served) -> BTreeSet<Event> {
        let at_headquarters = house.controller.events().into_iter().map(|event| u64::from(event.index));
        let at_substation = house.device.rows("access_logs").into_iter().filter_map(|log| log["id"].as_u64());
        let at_headquarters = at_headquarters.map(|index| ("headquarters".to_owned(), index));
        let at_substation = at_substation.map(|index| ("substation".to_owned(), index));
        at_headquarters.chain(at_substation).filter(|event| !self.events.contains_key(event)).collect()
    }

    /// How many of the facts that were read are on no whole line of an export.
    pub(crate) fn not_exported(&self, lines: &str) -> usize {
        let whole = lines.lines().filter(|line| line.ends_with('}'));
        let id = |line: &str| line.strip_prefix("{\"id\":\"")?.get(..36)?.parse::<FactId>().ok();
        let exported: HashSet<FactId> = whole.filter_map(id).collect();
        self.known.difference(&exported).count()
    }

    /// No event was recorded twice, and nothing was found that a delivery should have put right: the sweep at each
    /// start hides what is lost on its way to a door, but not from the journal.
    pub(crate) fn is_sound(&self) {
        let doubled: Vec<_> = self.events.iter().filter(|(_, count)| **count != 1).collect();
        assert!(doubled.is_empty(), "events that were recorded more than once: {doubled:?}");
        assert!(self.found.is_empty(), "{:#?}", self.found);
    }

    /// Each change of an account has its fact, and no fact has none.
    pub(crate) fn tells_of_user(&self, id: &str, facts: Facts) {
        let of = |kind: &str| self.count(&Subject::new(UserId::KIND, id), kind);
        let told = [
            of(UserCreated::KIND),
            of(UserChanged::KIND),
            of(UserDeactivated::KIND),
            of(UserActivated::KIND),
            of(UserDeleted::KIND),
        ];
        let Facts { created, changed, deactivated, activated, deleted } = facts;
        let expect = [created, changed, deactivated, activated, deleted];
        assert_eq!(told, expect, "facts of {id}: created, changed, deactivated, activated, deleted");
    }

    /// Each change of a card raised its version by one and has its fact.
    pub(crate) fn tells_of_card(&self, card: &Credential) {
        let of = |kind: &str| self.count(&card.id.subject(), kind);
        let changes = [CredentialSuspended::KIND, CredentialResumed::KIND, CredentialRevoked::KIND].map(of);
        let changes: u64 = changes.iter().sum();
        let told = (of(CredentialIssued::KIND), i64::try_from(changes).ok());
        assert_eq!(told, (1, Some(card.version - 1)), "facts of {card:?}: issued, changed");
        let is_revoked = card.state.parse() == Ok(State::Revoked);
        assert_eq!(of(CredentialRevoked::KIND), u64::from(is_revoked), "facts of {card:?}: revoked");
    }

    /// The application has the token: so there is its fact, once.
    pub(crate) fn tells_of_token(&self, jti: &str) {
        let count = self.tokens.get(jti).copied().unwrap_or_default();
        assert_eq!(count, 1, "facts of the access token {jti}");
    }

    /// The application has tokens of it: so its session and its grant began once. Each ended once if somebody has ended
    /// it, and otherwise not but with the account, or the grant with its session.
    pub(crate) fn tells_of_life(&self, life: &Life) {
        let n = life.n;
        for (id, ending) in [(&life.session, life.sign_out), (self.grant(life), life.revocation)] {
            let of = |all: &HashMap<String, u64>| all.get(id).copied().unwrap_or_default();
            let expect = (1, u64::from(ending == Ending::Told));
            assert_eq!((of(&self.begun), of(&self.ended)), expect, "facts of {id} of {n}: begun, ended");
        }
    }

    /// How many facts tell that its session ended by itself, and how many that its grant did.
    pub(crate) fn ends_of(&self, life: &Life) -> (u64, u64) {
        let of = |id: &String| self.ended.get(id).copied().unwrap_or_default();
        (of(&life.session), of(self.grant(life)))
    }

    fn grant(&self, life: &Life) -> &String {
        self.grants.get(&life.first).unwrap_or_else(|| panic!("no fact of a grant of {}", life.n))
    }

    /// With an account everything ended that lived then: so many sign-ins at least, and none that was never opened or
    /// had ended before.
    pub(crate) fn tells_of_ends(&self, id: &str, at_least: usize) {
        let user = Subject::new(UserId::KIND, id);
        let (sessions, grants) = self.swept.get(&user.to_string()).copied().unwrap_or_default();
        let of = |kind: &str| i64::try_from(self.count(&user, kind)).unwrap();
        let (opened, alone) = (of(SessionOpened::KIND), of(SessionEnded::KIND));
        let least = i64::try_from(at_least).unwrap();
        assert!(
            least <= sessions && sessions + alone <= opened && least <= grants,
            "of {id} {least} sign-ins ended at least, {sessions} sessions and {grants} grants by the facts of the ends, \
             {alone} sessions alone, and {opened} sessions were opened"
        );
    }

    /// What policy gives now was given once more than it was taken, and everything else as often.
    pub(crate) fn tells_of_profile(&self, id: &str, now: Option<&str>) {
        let user = Subject::new(UserId::KIND, id).to_string();
        for profile in ["operators", "high-voltage"] {
            let held = self.profiles.get(&(user.clone(), profile.to_owned())).copied().unwrap_or_default();
            assert_eq!(held, i64::from(now == Some(profile)), "{profile} of {id}: given less taken");
        }
    }

    /// How many receipts were issued about a user.
    pub(crate) fn receipts(&self, id: &str) -> u64 {
        self.count(&Subject::new(UserId::KIND, id), ReceiptIssued::KIND)
    }

    fn count(&self, subject: &Subject, kind: &str) -> u64 {
        self.counts.get(&(subject.to_string(), kind.to_owned())).copied().unwrap_or_default()
    }
}
