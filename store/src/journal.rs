//! Facts: one thing that happened, immutable, recorded in the transaction of the change.
//!
//! A fact is an *envelope* (pseudonymous ids and a salted digest of the body), which is chained for ever,
//! and a *body*, which can be erased with its salt when its time is over without breaking the chain.
//!
//! To add a kind: a struct with [`FactBody`] in the room that records it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::id::FactId;
use kernel::{Actor, Ctx, RequestId, Subject, Timestamp, sha256};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Address, Sinks, Value};

/// The versioned body of one kind of fact.
pub trait FactBody: Serialize + DeserializeOwned {
    /// `noun.what-happened`, e.g. `user.deactivated`. Never changes.
    const KIND: &'static str;
    /// Raised when the body changes in a way that an old reader would misread.
    const VERSION: u32 = 1;
    /// Whether something must be taken away from somebody: its deliveries overtake all others.
    const REVOKES: bool = false;
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
    /// The body, if it is of this kind and version and was not erased.
    #[must_use]
    pub fn read<B: FactBody>(&self) -> Option<B> {
        if self.kind != B::KIND {
            return None;
        }
        let json: serde_json::Value = serde_json::from_str(self.body.as_deref()?).ok()?;
        if json.get("v")?.as_u64()? != u64::from(B::VERSION) {
            return None;
        }
        serde_json::from_value(json).ok()
    }

    /// Whether the body that is here is the one that was digested. An erased body cannot be checked.
    #[must_use]
    pub fn body_matches_digest(&self) -> bool {
        match (&self.salt, &self.body) {
            (Some(salt), Some(body)) => digest(salt, body) == self.digest,
            (None, None) => true,
            _ => false,
        }
    }
}

fn digest(salt: &str, body: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(format!("{salt}{body}").as_bytes()))
}

/// What a transaction has recorded and not yet written: flushed once per commit.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) facts: Vec<[Value; 9]>,
    pub(crate) about: Vec<[Value; 3]>,
    pub(crate) messages: Vec<Message>,
    pub(crate) reconciles: Vec<Reconcile>,
}

/// A message row to be inserted.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) address: Address,
    pub(crate) fact: FactId,
}

/// A reconciler row to be raised.
#[derive(Debug, Clone)]
pub(crate) struct Reconcile {
    pub(crate) address: Address,
    pub(crate) fact: FactId,
}

impl Buffer {
    pub(crate) fn record(&mut self, ctx: &Ctx, origin: &Origin, sinks: &Sinks, fact: Fact) -> FactId {
        let id = FactId::new(ctx);
        let salt = URL_SAFE_NO_PAD.encode(ctx.random::<16>());
        for address in sinks.addressed(&fact).into_iter().chain(fact.addresses.iter().cloned()) {
            if address.reconcile {
                self.reconciles.push(Reconcile { address, fact: id });
            } else {
                self.messages.push(Message { address, fact: id });
            }
        }
        for other in &fact.about {
            self.about.push([id.into(), other.into(), fact.kind.into()]);
        }
        self.facts.push([
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
    }

    /// The sinks that have something to do once this is committed.
    pub(crate) fn wakes(&self) -> Vec<String> {
        let mut sinks: Vec<String> = self
            .messages
            .iter()
            .map(|message| message.address.sink.clone())
            .chain(self.reconciles.iter().map(|reconcile| reconcile.address.sink.clone()))
            .collect();
        sinks.sort();
        sinks.dedup();
        sinks
    }

    /// The statements that write all this, few and large: on SQLite a call costs more than its rows.
    pub(crate) fn statements(self, ctx: &Ctx) -> Vec<(crate::Sql, Vec<Value>)> {
        let mut statements = Vec::new();
        insert_rows(
            &mut statements,
            "INSERT INTO fact (id, at, kind, subject, actor, request_id, digest, salt, body) VALUES ",
            "",
            self.facts,
        );
        insert_rows(&mut statements, "INSERT INTO fact_about (fact, subject, kind) VALUES ", "", self.about);
        insert_rows(
            &mut statements,
            "INSERT INTO delivery (id, sink, subject, fact, reconcile, version, done_version, priority, due_at, \
             created_at, position) VALUES ",
            "",
            self.messages.into_iter().map(|message| crate::delivery::message_row(ctx, message)).collect(),
        );
        // One row per sink and subject, in one order everywhere: PostgreSQL refuses to touch a row twice in
        // one statement, and two transactions that lock in different orders would deadlock.
        let mut reconciles = self.reconciles;
        reconciles.sort_by(|a, b| a.address.key().cmp(&b.address.key()).then(b.address.priority.cmp(&a.address.priority)));
        reconciles.dedup_by(|later, first| later.address.key() == first.address.key());
        insert_rows(
            &mut statements,
            "INSERT INTO delivery (id, sink, subject, fact, reconcile, version, done_version, priority, due_at, \
             created_at, position) VALUES ",
            " ON CONFLICT (sink, subject) WHERE reconcile DO UPDATE SET version = delivery.version + 1, \
             fact = excluded.fact, attempt = 0, due_at = excluded.due_at, dead_at = NULL, \
             created_at = CASE WHEN delivery.due_at IS NULL THEN excluded.created_at ELSE delivery.created_at END, \
             priority = CASE WHEN excluded.priority > delivery.priority THEN excluded.priority \
             ELSE delivery.priority END",
            reconciles.into_iter().map(|reconcile| crate::delivery::reconcile_row(ctx, reconcile)).collect(),
        );
        statements
    }
}

/// At most this many rows in one statement, so that the set of distinct texts stays small enough to cache.
const ROWS_PER_INSERT: usize = 64;

fn insert_rows<const N: usize>(
    statements: &mut Vec<(crate::Sql, Vec<Value>)>,
    head: &str,
    tail: &str,
    rows: Vec<[Value; N]>,
) {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk: Vec<[Value; N]> = rows.by_ref().take(ROWS_PER_INSERT).collect();
        let tuples: Vec<String> =
            (0..chunk.len()).map(|row| format!("({})", crate::sql::placeholders(row * N + 1, N))).collect();
        let text = format!("{head}{}{tail}", tuples.join(", "));
        statements.push((crate::Sql::assembled(text), chunk.into_iter().flatten().collect()));
    }
}
