//! Facts: one thing that happened, immutable, recorded in the transaction of the change.
//!
//! A fact is an *envelope* (pseudonymous ids and a salted digest of the body), which is chained for ever,
//! and a *body*, which can be erased with its salt when its time is over without breaking the chain.
//!
//! To add a kind: a struct with [`FactBody`] in the room that records it, and its line in that room's `FACTS`
//! ([`FactKind`](crate::FactKind)).

use std::cmp::{Ordering, Reverse};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::id::FactId;
use kernel::{Actor, Ctx, RequestId, Subject, Timestamp, sha256};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::Shared;
use crate::delivery::{Hint, Statement, insert, insert_messages, raise_reconcilers};
use crate::sql::placeholders;
use crate::{Address, Db, Sinks, Sql, StoreError, Value};

/// The versioned body of one kind of fact: a struct with named fields, none of them called `v`.
pub trait FactBody: Serialize + DeserializeOwned {
    /// `noun.what-happened`, e.g. `user.deactivated`. Never changes.
    const KIND: &'static str;
    /// Raised when the body changes in a way that an old reader would misread; then [`FactBody::upgrade`] reads the
    /// bodies of before.
    const VERSION: u32 = 1;
    /// Whether something must be taken away from somebody: its deliveries overtake all others.
    const REVOKES: bool = false;
    /// Which kinds of things such a fact is about, as its subject or beside it; `*` is anything. For the catalogue.
    const ABOUT: &'static [&'static str] = &[];

    /// A body of an earlier version as one of this: messages may be on their way with it, and people look back for
    /// long. `None` when there was no such version.
    #[must_use]
    fn upgrade(_version: u32, _body: serde_json::Value) -> Option<serde_json::Value> {
        None
    }
}

/// A fact to be recorded.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What happened.
    pub kind: &'static str,
    /// To whom or what.
    pub subject: Subject,
    /// Other things it is about, for search.
    pub about: Vec<Subject>,
    /// Whether its deliveries overtake all others.
    pub revokes: bool,
    body: String,
    addresses: Vec<Address>,
}

impl Fact {
    /// A fact of the body's kind.
    #[must_use]
    pub fn new<B: FactBody>(subject: Subject, body: &B) -> Self {
        let mut json = serde_json::to_value(body).unwrap_or_default();
        debug_assert!(json.is_object(), "the body of {} is no struct with named fields", B::KIND);
        if let Some(object) = json.as_object_mut() {
            object.insert("v".into(), B::VERSION.into());
        }
        Self {
            kind: B::KIND,
            subject,
            about: Vec::new(),
            revokes: B::REVOKES,
            body: json.to_string(),
            addresses: Vec::new(),
        }
    }

    /// Also about this.
    #[must_use]
    pub fn about(mut self, other: Subject) -> Self {
        self.about.push(other);
        self
    }

    /// Also to this sink, beside those that [`Sinks`] names for the kind.
    #[must_use]
    pub fn to(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }
}

/// On whose behalf a transaction runs, and in answer to which request.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who causes the change.
    pub actor: Actor,
    /// The request or command, where there is one.
    pub request: Option<RequestId>,
}

impl Origin {
    /// The product itself, outside any request.
    #[must_use]
    pub fn system() -> Self {
        Self { actor: Actor::System, request: None }
    }

    /// Somebody, outside any request.
    #[must_use]
    pub fn of(actor: Actor) -> Self {
        Self { actor, request: None }
    }
}

/// A fact as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredFact {
    /// Its id.
    pub id: FactId,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub kind: String,
    /// `kind:id` of what it happened to.
    pub subject: String,
    /// `kind[:id]` of who caused it.
    pub actor: String,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// Salted digest of the body: SHA-256 over salt and body, in base64url.
    pub digest: String,
    /// The salt, until the body is erased.
    pub salt: Option<String>,
    /// The body as JSON, until it is erased.
    pub body: Option<String>,
    /// The place in the journal's order, once given.
    pub seq: Option<i64>,
    /// The chain's hash up to and with this fact, once given.
    pub chain: Option<String>,
}

impl StoredFact {
    /// The body, if it is of this kind, of this version or one that can be upgraded to it, and was not erased.
    #[must_use]
    pub fn read<B: FactBody>(&self) -> Option<B> {
        if self.kind != B::KIND {
            return None;
        }
        let json: serde_json::Value = serde_json::from_str(self.body.as_deref()?).ok()?;
        let version = u32::try_from(json.get("v")?.as_u64()?).ok()?;
        let json = match version.cmp(&B::VERSION) {
            Ordering::Less => B::upgrade(version, json)?,
            Ordering::Equal => json,
            // A later release recorded it.
            Ordering::Greater => return None,
        };
        serde_json::from_value(json).ok()
    }

    /// Whether its body was erased, as it is when its time is over: together with its salt.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.salt.is_none() && self.body.is_none()
    }

    /// Whether the body that is here is the one that was digested. An erased body cannot be checked.
    #[must_use]
    pub fn body_matches_digest(&self) -> bool {
        match (&self.salt, &self.body) {
            (Some(salt), Some(body)) => salt.len() == SALT_LENGTH && digest(salt, body) == self.digest,
            (None, None) => true,
            _ => false,
        }
    }
}

/// So many facts of each of these subjects at most, of these kinds, the newest first; `before` is where the page
/// before this one ended. For people who look back: ids and times say no order in which facts were committed, so what
/// comes late may be missed here, and whoever must miss nothing follows `seq`.
pub async fn newest(
    db: &Db,
    subjects: &[Subject],
    kinds: &[&str],
    before: Option<(Timestamp, FactId)>,
    limit: u32,
) -> Result<Vec<StoredFact>, StoreError> {
    let (at, id) =
        before.map_or((Timestamp::from_millis(i64::MAX), String::new()), |(at, id)| (at, id.to_string()));
    let text = format!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE subject = $1 AND (at, id) < ($2, $3) AND kind IN {} ORDER BY at DESC, id DESC LIMIT $4",
        format_args!("({})", placeholders(5, kinds.len()))
    );
    let mut all = Vec::new();
    // One by one: each is read along its index, and no further than the page.
    for subject in subjects {
        let fixed = [subject.into(), at.into(), id.as_str().into(), limit.into()];
        let values: Vec<Value> = fixed.into_iter().chain(kinds.iter().map(Value::from)).collect();
        all.extend(db.all::<StoredFact>(Sql::assembled(text.clone()), values).await?);
    }
    all.sort_by_key(|fact| Reverse((fact.at, fact.id)));
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(all)
}

/// How long each salt is: 16 random bytes in base64url.
///
/// INVARIANT: whoever verifies a digest demands it. Salt and body are digested without a mark between them, so with
/// another length a character could move from one to the other unseen.
pub const SALT_LENGTH: usize = 22;

fn digest(salt: &str, body: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(format!("{salt}{body}").as_bytes()))
}

/// What a transaction has recorded and not yet written: flushed once per commit.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    facts: Vec<Vec<Value>>,
    about: Vec<Vec<Value>>,
    messages: Vec<Hint>,
    reconciles: Vec<Hint>,
    wakes: Vec<String>,
}

impl Buffer {
    pub(crate) fn record(&mut self, ctx: &Ctx, origin: &Origin, sinks: &Sinks, fact: Fact) -> FactId {
        let id = FactId::new(ctx);
        let salt = URL_SAFE_NO_PAD.encode(ctx.random::<16>());
        for address in sinks.addressed(&fact).into_iter().chain(fact.addresses.iter().cloned()) {
            if address.reconcile {
                self.reconciles.push(Hint { address, fact: id });
            } else {
                self.messages.push(Hint { address, fact: id });
            }
        }
        for other in &fact.about {
            self.about.push(vec![id.into(), other.into(), fact.kind.into()]);
        }
        self.facts.push(vec![
            id.into(),
            ctx.now().into(),
            fact.kind.into(),
            fact.subject.into(),
            origin.actor.to_string().into(),
            origin.request.as_ref().map(|id| id.as_str().to_owned()).into(),
            digest(&salt, &fact.body).into(),
            salt.into(),
            fact.body.into(),
        ]);
        id
    }

    pub(crate) fn absorb(&mut self, mut other: Buffer) {
        self.facts.append(&mut other.facts);
        self.about.append(&mut other.about);
        self.messages.append(&mut other.messages);
        self.reconciles.append(&mut other.reconciles);
        self.wakes.append(&mut other.wakes);
    }

    pub(crate) fn raise(&mut self, hint: Hint) {
        self.reconciles.push(hint);
    }

    /// Takes out what is to be raised and comes, in the order of locking, before this row.
    pub(crate) fn take_raises_before(&mut self, sink: &str, subject: &Subject) -> Vec<Hint> {
        self.reconciles.extract_if(.., |hint| hint.address.key() < (sink, subject)).collect()
    }

    pub(crate) fn wake(&mut self, sink: &str) {
        self.wakes.push(sink.to_owned());
    }

    /// The sinks that have something to do once this is committed.
    pub(crate) fn wakes(&self) -> Vec<String> {
        let messages = self.messages.iter().map(|message| &message.address.sink);
        let reconciles = self.reconciles.iter().map(|reconcile| &reconcile.address.sink);
        let mut sinks: Vec<String> = messages.chain(reconciles).chain(&self.wakes).cloned().collect();
        sinks.sort();
        sinks.dedup();
        sinks
    }

    /// The statements that write all this, few and large: on SQLite a call costs more than its rows.
    pub(crate) fn statements(self, shared: &Shared) -> Vec<Statement> {
        let (ctx, positions) = (&shared.ctx, &shared.positions);
        let tuple = |columns: usize| move |first| format!("({})", placeholders(first, columns));
        let mut statements = insert(
            "INSERT INTO fact (id, at, kind, subject, actor, request_id, digest, salt, body) VALUES ",
            tuple(9),
            "",
            self.facts,
        );
        statements.extend(insert(
            "INSERT INTO fact_about (fact, subject, kind) VALUES ",
            tuple(3),
            "",
            self.about,
        ));
        statements.extend(insert_messages(ctx, positions, self.messages));
        statements.extend(raise_reconcilers(ctx, positions, self.reconciles));
        statements
    }
}
