//! An outage: one fact at its beginning and one at its end, whichever nodes see either.
//!
//! The node that holds the exporter's lease says so. That it was said is a mark in the database, beside the cursor: the
//! first place in the journal that the receiver has not taken since, and 0 while it is reached. The mark moves in the
//! transaction of the fact, and only under the lease; so it survives the process, and a node that lost the lease
//! without knowing says nothing.

use kernel::{Subject, Timestamp};
use store::{Db, Fact, FactBody as _, Lease, Origin, StoreError, StoredFact, Tx, follower, sql};

use super::{ExportCut, ExportResumed, cursor_of};

/// The mark's name. No exporter's own name has a colon.
fn mark_of(name: &str) -> String {
    format!("{}:cut", cursor_of(name))
}

fn subject_of(name: &str) -> Subject {
    Subject::new("export", name)
}

/// What became of what there was to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is in the journal now.
    Now,
    /// It was said before.
    Before,
    /// Another node has the lease, and the word.
    NotOurs,
}

/// The receiver is out of reach.
pub(super) async fn begin(db: &Db, lease: &Lease, name: &str, reason: String) -> Result<Said, StoreError> {
    let mark = mark_of(name);
    // The answer for all attempts of an outage but the first costs no write.
    if follower::cursor(db, &mark).await? > 0 {
        return Ok(Said::Before);
    }
    let after = follower::cursor(db, &cursor_of(name)).await?;
    let fact = Fact::new(subject_of(name), &ExportCut { reason, after });
    say(db, lease, &mark, (0, after + 1), fact).await
}

/// The receiver takes what it is sent, everything after this place.
pub(super) async fn end(db: &Db, lease: &Lease, name: &str, after: i64) -> Result<Said, StoreError> {
    let mark = mark_of(name);
    let marked = follower::cursor(db, &mark).await?;
    if marked == 0 {
        return Ok(Said::Before);
    }
    let fact = Fact::new(subject_of(name), &ExportResumed { after });
    say(db, lease, &mark, (marked, 0), fact).await
}

async fn say(
    db: &Db,
    lease: &Lease,
    mark: &str,
    (from, to): (i64, i64),
    fact: Fact,
) -> Result<Said, StoreError> {
    let mut tx = db.write(Origin::system()).await?;
    let said = say_in(&mut tx, lease, mark, (from, to), fact).await;
    tx.end(said).await
}

async fn say_in(
    tx: &mut Tx,
    lease: &Lease,
    mark: &str,
    (from, to): (i64, i64),
    fact: Fact,
) -> Result<Said, StoreError> {
    if !lease.stays(tx).await? {
        return Ok(Said::NotOurs);
    }
    if !follower::move_in(tx, mark, from, to).await? {
        return Ok(Said::Before);
    }
    tx.record(fact);
    Ok(Said::Now)
}

/// How an exporter stands, by what the database knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Facts that have their place in the journal and are not settled at the receiver. Some always are on the way.
    pub behind: i64,
    /// When the last fact that is settled was recorded; `None` before the first.
    pub delivered: Option<Timestamp>,
    /// The outage, while there is one.
    pub cut: Option<Outage>,
}

/// An outage that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it was noticed; `None` if the journal no longer says.
    pub since: Option<Timestamp>,
    /// Why, as it began; `None` when that was erased.
    pub reason: Option<String>,
}

/// How the exporter of this name stands.
pub async fn standing(db: &Db, name: &str) -> Result<Standing, StoreError> {
    let marked = follower::cursor(db, &mark_of(name)).await?;
    let settled = follower::cursor(db, &cursor_of(name)).await?;
    let (head,): (i64,) = db.one(sql!("SELECT seq FROM chain_head"), ()).await?;
    let at = sql!("SELECT at FROM fact WHERE seq = $1");
    let delivered: Option<(Timestamp,)> = db.opt(at, (settled,)).await?;
    let cut = if marked > 0 { Some(outage(db, name).await?) } else { None };
    Ok(Standing {
        name: name.to_owned(),
        // The head was read after the cursor, so it is never behind it.
        behind: head - settled,
        delivered: delivered.map(|(at,)| at),
        cut,
    })
}

async fn outage(db: &Db, name: &str) -> Result<Outage, StoreError> {
    let latest: Vec<StoredFact> = store::newest(db, &[subject_of(name)], &[ExportCut::KIND], None, 1).await?;
    let cut = latest.first();
    Ok(Outage {
        since: cut.map(|fact| fact.at),
        reason: cut.and_then(StoredFact::read::<ExportCut>).map(|cut| cut.reason),
    })
}
