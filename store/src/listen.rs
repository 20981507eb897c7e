//! Nodes hear from each other, on PostgreSQL: which sink has work to do, and who is alive.
//!
//! What is committed is told afterwards, by one task that puts together what has come up: a notice inside a
//! transaction would take a lock of the whole database until its commit is on the disk, and so undo the server's
//! group commit. A notice may be lost; lanes look by themselves once a second.
//!
//! The connection that listens also holds this process's number as an advisory lock: that is how others know
//! that its claims are not those of a dead one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::Postgres;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::db::{Shared, answered};
use crate::sql::{bind, placeholders};
use crate::{Sql, Value};

/// The channel that carries sink names.
const WAKE_CHANNEL: &str = "cardea_wake";
/// So many names in one statement.
const NAMES_AT_ONCE: usize = 32;

/// Listens and tells until dropped.
#[derive(Debug)]
pub(crate) struct Neighbours {
    tasks: [JoinHandle<()>; 2],
    notices: Arc<Notices>,
}

/// The names of sinks that others must hear of: each once, so at most as many as there are sinks.
#[derive(Debug, Default)]
struct Notices {
    names: Mutex<BTreeSet<String>>,
    any: Notify,
}

impl Neighbours {
    pub(crate) fn start(pool: &PgPool, shared: &Arc<Shared>) -> Self {
        let notices = Arc::<Notices>::default();
        let listening = tokio::spawn(listen(pool.clone(), Arc::downgrade(shared)));
        let telling = tokio::spawn(tell_for_ever(pool.clone(), notices.clone()));
        Self { tasks: [listening, telling], notices }
    }

    /// Tells others soon that these sinks have work to do. After the commit.
    pub(crate) fn tell(&self, sinks: &[String]) {
        if !sinks.is_empty() {
            self.notices.names().extend(sinks.iter().cloned());
            self.notices.any.notify_one();
        }
    }

    /// Tells now what was not told yet: for a process that is about to end.
    pub(crate) async fn flush(&self, pool: &PgPool) {
        tell(pool, &self.notices).await;
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Notices {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A panic leaves the set whole: only its own operations run while it is held.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tell_for_ever(pool: PgPool, notices: Arc<Notices>) {
    while !pool.is_closed() {
        notices.any.notified().await;
        tell(&pool, &notices).await;
    }
}

async fn tell(pool: &PgPool, notices: &Notices) {
    let names: Vec<String> = std::mem::take(&mut *notices.names()).into_iter().collect();
    for names in names.chunks(NAMES_AT_ONCE) {
        if let Err(error) = notify(pool, names).await {
            tracing::debug!(%error, "other nodes were not told; they look by themselves within a second");
        }
    }
}

async fn notify(pool: &PgPool, names: &[String]) -> Result<(), sqlx::Error> {
    let mut values: Vec<Value> = vec![WAKE_CHANNEL.into()];
    values.extend(names.iter().map(Value::from));
    let arguments = bind::<Postgres>(values)?;
    let query = sqlx::query_with::<Postgres, _>(notices_text(names.len()).into_sqlx(), arguments);
    answered(query.execute(pool)).await.map(drop)
}

pub(crate) fn notices_text(names: usize) -> Sql {
    let each: Vec<String> =
        placeholders(2, names).split(", ").map(|name| format!("pg_notify($1, {name})")).collect();
    Sql::assembled(format!("SELECT {}", each.join(", ")))
}

async fn listen(pool: PgPool, shared: Weak<Shared>) {
    while !pool.is_closed() {
        if let Err(error) = hear(&pool, &shared).await
            && !pool.is_closed()
        {
            tracing::warn!(%error, "listening for other nodes failed; polling until it works again");
        }
        if shared.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn hear(pool: &PgPool, shared: &Weak<Shared>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(WAKE_CHANNEL).await?;
    let heard = hear_on(&mut listener, shared).await;
    // Before this connection is asked anything more: it may be silent, and meanwhile the server lets the number go.
    if let Some(shared) = shared.upgrade() {
        shared.holds_number(false);
    }
    // The connection goes back to the pool, and must not hold there what the next one needs.
    if !pool.is_closed() {
        answered(sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut listener)).await?;
    }
    heard
}

async fn hear_on(listener: &mut PgListener, shared: &Weak<Shared>) -> Result<(), sqlx::Error> {
    loop {
        let Some(known) = shared.upgrade() else { return Ok(()) };
        let held = take_number(listener, known.own_number).await?;
        known.holds_number(held);
        // What was said while nobody listened is unknown: everybody looks.
        known.wake_all();
        drop(known);
        while hear_one(listener, shared).await? {}
        if let Some(shared) = shared.upgrade() {
            shared.holds_number(false);
        }
    }
}

/// Waits for one notice. When none comes it asks whether the server is still there: one that was cut off in silence
/// would go on to believe that it holds the number, when others have long taken it for dead. `false` when the
/// connection was lost; it is restored by then.
async fn hear_one(listener: &mut PgListener, shared: &Weak<Shared>) -> Result<bool, sqlx::Error> {
    let Ok(heard) = tokio::time::timeout(SILENCE, listener.try_recv()).await else {
        let Some(known) = shared.upgrade() else { return Ok(true) };
        known.holds_number(hold_number(listener, known.own_number, known.has_number()).await?);
        return Ok(true);
    };
    let Some(notice) = heard? else { return Ok(false) };
    if let Some(shared) = shared.upgrade() {
        shared.wake(notice.payload());
    }
    Ok(true)
}

/// Asks for the number where it is not held yet, and else for any answer.
async fn hold_number(listener: &mut PgListener, number: i64, held: bool) -> Result<bool, sqlx::Error> {
    let text = if held { "SELECT $1 = $1" } else { "SELECT pg_try_advisory_lock($1)" };
    let asked = sqlx::query_as::<Postgres, (bool,)>(text).bind(number).fetch_one(&mut *listener);
    match tokio::time::timeout(SILENCE, asked).await {
        Ok(answer) => answer.map(|(held,)| held),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// `false` when the server has not noticed yet that our connection before this one is gone.
async fn take_number(listener: &mut PgListener, number: i64) -> Result<bool, sqlx::Error> {
    for _ in 0..TRIES {
        if hold_number(listener, number, false).await? {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tracing::warn!(
        "this node's claims wait for their leases should it die: another connection holds its number"
    );
    Ok(false)
}

/// After so long without a notice it is asked whether the server is still there, and so long it may take to answer:
/// together less than the half minute after which the server gives a silent client up (see `start.rs`).
const SILENCE: Duration = Duration::from_secs(10);
/// How often a connection asks for the number; while it does it does not hear, and lanes poll.
const TRIES: usize = 10;
