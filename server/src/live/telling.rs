//! Facts in words: what happened to people, at apps and at doors.
//!
//! What it is not: the whole journal. Facts about keys, codes, tokens and declarations are the machine's own and are
//! left out (a test names them); `cardea audit` has them all.

use std::collections::HashMap;

use bridge::connector::{AckLevel, EventKind};
use bridge::facts::{
    AlertClosed, AlertOpened, DeviationFound, DoorEventSeen, DoorEventsLost, PlacementProven, ReceiptIssued,
};
use directory::credential;
use directory::facts::{
    AuthenticatorAdded, AuthenticatorRemoved, CredentialIssued, CredentialResumed, CredentialRevoked,
    CredentialSuspended, EntitlementEnded, EntitlementGranted, GrantCreated, PasswordSet, RecoveryCodesMade,
    SessionEnded, SessionOpened, SessionRenewed, SignInRefused, UserActivated, UserChanged, UserCreated,
    UserDeactivated, UserDeleted,
};
use idp::mail::{LetterNotSent, LetterSent};
use kernel::id::{CredentialId, UserId};
use store::{Db, FactBody as _, StoreError, StoredFact};

use super::picture::readable;
use super::texts::{Texts, Whose};

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Hr,
    Person,
    Policy,
    Door,
    Mail,
    Proof,
    Alarm,
    /// An application, by its own name.
    App(String),
}

impl Who {
    pub(super) fn in_words<'a>(&'a self, t: &'a Whose) -> &'a str {
        match self {
            Self::Hr => &t.hr,
            Self::Person => &t.person,
            Self::Policy => &t.policy,
            Self::Door => &t.door,
            Self::Mail => &t.mail,
            Self::Proof => &t.proof,
            Self::Alarm => &t.alarm,
            Self::App(name) => name,
        }
    }
}

/// How it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// Something opens.
    Opens,
    /// Something is taken away, or refused.
    Closes,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Opens => "opens",
            Self::Closes => "closes",
        }
    }
}

/// What happened, to be said in any language.
pub(super) struct Told {
    pub(super) who: Who,
    pub(super) tone: Tone,
    pub(super) say: Box<dyn Fn(&Texts) -> String + Send + Sync>,
}

fn told(who: Who, tone: Tone, say: impl Fn(&Texts) -> String + Send + Sync + 'static) -> Option<Told> {
    Some(Told { who, tone, say: Box::new(say) })
}

/// Puts values into the places of a text, each once: what a value holds is never a place.
pub(super) fn put(text: &str, values: &[(&str, &str)]) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        said.push_str(before);
        let (place, after) = after.split_once('}').unwrap_or((after, ""));
        said.push_str(values.iter().find(|(name, _)| *name == place).map_or("", |(_, value)| value));
        rest = after;
    }
    said + rest
}

/// Names for ids.
#[derive(Default)]
pub(super) struct Names {
    people: HashMap<UserId, String>,
    /// By client id.
    pub(super) apps: HashMap<&'static str, String>,
}

impl Names {
    async fn person(&mut self, db: &Db, id: UserId) -> Result<String, StoreError> {
        if let Some(known) = self.people.get(&id) {
            return Ok(known.clone());
        }
        let user = directory::user::get(db, id).await?;
        let name = user.map(|user| user.display_name.unwrap_or(user.user_name));
        // Somebody who was deleted keeps the name that was heard before.
        let name = name.unwrap_or_else(|| id.to_string());
        self.people.insert(id, name.clone());
        Ok(name)
    }

    fn app(&self, client: &str) -> String {
        self.apps.get(client).cloned().unwrap_or_else(|| client.to_owned())
    }
}

/// A fact in words; nothing of one that is not told here.
pub(super) async fn tell(db: &Db, names: &mut Names, fact: &StoredFact) -> Result<Option<Told>, StoreError> {
    let name = match about(db, fact).await? {
        Some(id) => names.person(db, id).await?,
        None => String::new(),
    };
    let told = of_people(fact, &name).or_else(|| of_sign_ins(fact, &name, names));
    Ok(told.or_else(|| of_doors(fact, &name)).or_else(|| of_proof(fact, &name)))
}

/// Whom it is about.
async fn about(db: &Db, fact: &StoredFact) -> Result<Option<UserId>, StoreError> {
    if let Some(proven) = fact.read::<PlacementProven>() {
        return Ok(Some(proven.user));
    }
    if let Some(seen) = fact.read::<DoorEventSeen>() {
        return Ok(seen.user);
    }
    match fact.subject.split_once(':') {
        Some((UserId::KIND, id)) => Ok(id.parse().ok()),
        Some((CredentialId::KIND, id)) => {
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(credential::get(db, id).await?.map(|credential| credential.user_id))
        }
        _ => Ok(None),
    }
}

fn of_people(fact: &StoredFact, name: &str) -> Option<Told> {
    let name = name.to_owned();
    match fact.kind.as_str() {
        UserCreated::KIND => told(Who::Hr, Tone::Opens, move |t| put(&t.facts.created, &[("name", &name)])),
        UserChanged::KIND => {
            let what = fact.read::<UserChanged>()?.attributes.join(", ");
            told(Who::Hr, Tone::Plain, move |t| put(&t.facts.changed, &[("name", &name), ("what", &what)]))
        }
        UserDeactivated::KIND => {
            let ended = fact.read::<UserDeactivated>()?.ended;
            let counts = [ended.sessions, ended.grants, i64::try_from(ended.credentials.len()).unwrap_or(0)];
            let [sessions, grants, cards] = counts.map(|count| count.to_string());
            told(Who::Hr, Tone::Closes, move |t| {
                let counts =
                    [("name", &*name), ("sessions", &sessions), ("grants", &grants), ("cards", &cards)];
                put(&t.facts.deactivated, &counts)
            })
        }
        UserActivated::KIND => {
            told(Who::Hr, Tone::Opens, move |t| put(&t.facts.activated, &[("name", &name)]))
        }
        UserDeleted::KIND => told(Who::Hr, Tone::Closes, move |t| put(&t.facts.deleted, &[("name", &name)])),
        EntitlementGranted::KIND => {
            let granted = fact.read::<EntitlementGranted>()?;
            let (what, why) = (readable(&granted.access_profile), granted.because);
            told(Who::Policy, Tone::Opens, move |t| {
                put(&t.facts.entitled, &[("name", &name), ("what", &what), ("why", &why)])
            })
        }
        EntitlementEnded::KIND => {
            let what = readable(&fact.read::<EntitlementEnded>()?.access_profile);
            told(Who::Policy, Tone::Closes, move |t| {
                put(&t.facts.not_entitled, &[("name", &name), ("what", &what)])
            })
        }
        CredentialIssued::KIND => {
            told(Who::Policy, Tone::Opens, move |t| put(&t.facts.issued, &[("name", &name)]))
        }
        CredentialSuspended::KIND => {
            told(Who::Door, Tone::Closes, move |t| put(&t.facts.suspended, &[("name", &name)]))
        }
        CredentialResumed::KIND => {
            told(Who::Door, Tone::Opens, move |t| put(&t.facts.resumed, &[("name", &name)]))
        }
        CredentialRevoked::KIND => {
            told(Who::Door, Tone::Closes, move |t| put(&t.facts.revoked, &[("name", &name)]))
        }
        _ => None,
    }
}

fn of_sign_ins(fact: &StoredFact, name: &str, names: &Names) -> Option<Told> {
    let name = name.to_owned();
    let how = |assurance: &str, amr: &[String]| format!("{} ({assurance})", amr.join(" + "));
    match fact.kind.as_str() {
        PasswordSet::KIND => {
            told(Who::Person, Tone::Plain, move |t| put(&t.facts.password_set, &[("name", &name)]))
        }
        AuthenticatorAdded::KIND => {
            let kind = fact.read::<AuthenticatorAdded>()?.kind;
            told(Who::Person, Tone::Opens, move |t| {
                put(&t.facts.added, &[("name", &name), ("what", thing(&kind, t))])
            })
        }
        AuthenticatorRemoved::KIND => {
            let kind = fact.read::<AuthenticatorRemoved>()?.kind;
            told(Who::Person, Tone::Plain, move |t| {
                put(&t.facts.removed, &[("name", &name), ("what", thing(&kind, t))])
            })
        }
        RecoveryCodesMade::KIND => {
            told(Who::Person, Tone::Plain, move |t| put(&t.facts.codes_made, &[("name", &name)]))
        }
        SessionOpened::KIND => {
            let opened = fact.read::<SessionOpened>()?;
            let how = how(&opened.assurance, &opened.amr);
            told(Who::Person, Tone::Opens, move |t| {
                put(&t.facts.signed_in, &[("name", &name), ("how", &how)])
            })
        }
        SessionRenewed::KIND => {
            let renewed = fact.read::<SessionRenewed>()?;
            let how = how(&renewed.assurance, &renewed.amr);
            told(Who::Person, Tone::Opens, move |t| put(&t.facts.renewed, &[("name", &name), ("how", &how)]))
        }
        SignInRefused::KIND => {
            let why = readable(&fact.read::<SignInRefused>()?.reason);
            told(Who::Person, Tone::Closes, move |t| put(&t.facts.refused, &[("why", &why)]))
        }
        SessionEnded::KIND => {
            told(Who::Person, Tone::Closes, move |t| put(&t.facts.signed_out, &[("name", &name)]))
        }
        GrantCreated::KIND => {
            let app = names.app(&fact.read::<GrantCreated>()?.client);
            told(Who::App(app), Tone::Opens, move |t| put(&t.facts.let_in, &[("name", &name)]))
        }
        _ => None,
    }
}

fn of_doors(fact: &StoredFact, name: &str) -> Option<Told> {
    let name = name.to_owned();
    match fact.kind.as_str() {
        PlacementProven::KIND => {
            let proven = fact.read::<PlacementProven>()?;
            let (level, system) = (proven.level, proven.door_system);
            let wanted = proven.wanted != bridge::placement::ABSENT;
            told(Who::Door, if wanted { Tone::Opens } else { Tone::Closes }, move |t| {
                let text = match (wanted, level) {
                    (true, _) => &t.facts.placed,
                    (false, AckLevel::Recorded | AckLevel::Accepted) => &t.facts.absent_said,
                    (false, AckLevel::ObservedDenial) => &t.facts.refusal_seen,
                    (false, _) => &t.facts.absent,
                };
                put(text, &[("level", level.code()), ("name", &name), ("system", &system)])
            })
        }
        DoorEventSeen::KIND => {
            let event = fact.read::<DoorEventSeen>()?.event;
            let door = event.access_point.map(|point| readable(&point.0)).unwrap_or_default();
            let granted = match event.kind {
                EventKind::AccessGranted => true,
                EventKind::Denied(_) => false,
                _ => return None,
            };
            told(Who::Door, if granted { Tone::Opens } else { Tone::Closes }, move |t| {
                let text = if granted { &t.facts.opened } else { &t.facts.denied };
                let name = if name.is_empty() { &t.facts.stranger } else { &name };
                put(text, &[("door", &door), ("name", name)])
            })
        }
        DoorEventsLost::KIND => {
            let system = fact.read::<DoorEventsLost>()?.door_system;
            told(Who::Alarm, Tone::Closes, move |t| put(&t.facts.events_lost, &[("system", &system)]))
        }
        DeviationFound::KIND => {
            let found = fact.read::<DeviationFound>()?;
            let (system, what) = (found.door_system, format!("{} ({})", found.card, found.finding));
            told(Who::Alarm, Tone::Closes, move |t| {
                put(&t.facts.deviation, &[("system", &system), ("what", &what)])
            })
        }
        _ => None,
    }
}

fn of_proof(fact: &StoredFact, name: &str) -> Option<Told> {
    let name = name.to_owned();
    match fact.kind.as_str() {
        ReceiptIssued::KIND => {
            let issued = fact.read::<ReceiptIssued>()?;
            told(Who::Proof, Tone::Plain, move |t| receipt_in_words(&t.facts.receipt, &issued, t))
        }
        AlertOpened::KIND => {
            let opened = fact.read::<AlertOpened>()?;
            let (what, detail) = (readable(&opened.alert), opened.detail);
            told(Who::Alarm, Tone::Closes, move |t| {
                put(&t.facts.alert, &[("what", &what), ("detail", &detail)])
            })
        }
        AlertClosed::KIND => {
            let what = readable(&fact.read::<AlertClosed>()?.alert);
            told(Who::Alarm, Tone::Opens, move |t| put(&t.facts.alert_closed, &[("what", &what)]))
        }
        LetterSent::KIND => {
            let sent = fact.read::<LetterSent>()?;
            told(Who::Mail, Tone::Plain, move |t| {
                put(&t.facts.letter, &[("to", &sent.to), ("what", thing(&sent.letter, t))])
            })
        }
        LetterNotSent::KIND => {
            let why = readable(&fact.read::<LetterNotSent>()?.reason);
            told(Who::Mail, Tone::Closes, move |t| put(&t.facts.no_letter, &[("name", &name), ("why", &why)]))
        }
        _ => None,
    }
}

/// An app heard by itself that it is over.
pub(super) fn heard(app: &str, count: usize) -> Told {
    let say = move |t: &Texts| put(&t.facts.told, &[("count", &count.to_string())]);
    Told { who: Who::App(app.to_owned()), tone: Tone::Closes, say: Box::new(say) }
}

fn receipt_in_words(text: &str, issued: &ReceiptIssued, t: &Texts) -> String {
    let level = issued.level.map_or(t.things.none.as_str(), |level| level.code());
    let [edition, proven, doors] =
        [issued.revision.to_string(), issued.proven.to_string(), issued.doors.to_string()];
    put(text, &[("edition", &edition), ("proven", &proven), ("doors", &doors), ("level", level)])
}

/// What facts call something, in words; a word that is new stands for itself.
fn thing<'a>(word: &'a str, t: &'a Texts) -> &'a str {
    match word {
        "totp" => &t.things.totp,
        "passkey" => &t.things.passkey,
        "recovery-code" => &t.things.recovery_code,
        "password" => &t.things.password,
        "invitation" => &t.things.invitation,
        "recovery" => &t.things.recovery,
        "password-set" => &t.things.password_set,
        "authenticator-added" => &t.things.authenticator_added,
        "authenticator-removed" => &t.things.authenticator_removed,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds of people, apps and doors that are left out, and why: the machine's own, told by another fact, or of what
    /// the demo has not, which are apps of others, services and administrators.
    const UNTOLD: [&str; 18] = [
        "group.created",
        "group.changed",
        "group.deleted",
        "invitation.created",
        "authenticator.used",
        "authenticator.password-rehashed",
        "grant.redeemed",
        "grant.refreshed",
        "grant.ended",
        "client.signed-in",
        "credential.validity-changed",
        "configuration.changed",
        "invitation.asked",
        "recovery.asked",
        "consent.given",
        "consent.withdrawn",
        "set-up.offered",
        "set-up.done",
    ];

    #[test]
    fn a_value_is_never_a_place() {
        let said = put("{a} and {b}, {c}.", &[("a", "{b}"), ("b", "2")]);
        assert_eq!(said, "{b} and 2, .");
        assert_eq!(put("nothing", &[]), "nothing");
        assert_eq!(put("open {a", &[("a", "1")]), "open 1");
    }

    /// A kind that is new must be told or be left out on purpose.
    #[test]
    fn every_kind_of_the_directory_is_told_or_left_out_on_purpose() {
        let source = include_str!("telling.rs");
        let words = |kind: &str| {
            kind.split(['.', '-', '_']).map(|word| word[..1].to_uppercase() + &word[1..]).collect::<String>()
        };
        for kind in directory::facts::KINDS {
            // `authenticator.password-set` and `.recovery-codes-made` are named for what was set and made.
            let name = match *kind {
                "authenticator.password-set" => "PasswordSet".to_owned(),
                "authenticator.recovery-codes-made" => "RecoveryCodesMade".to_owned(),
                other => words(other),
            };
            let told = source.contains(&format!("        {name}::KIND => "));
            assert!(told != UNTOLD.contains(kind), "{kind} ({name}): told {told}");
        }
    }
}
