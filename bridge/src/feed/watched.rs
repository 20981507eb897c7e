//! Absences on their way to be watched: proven before a pass began, at doors whose events it has read to their end.
//! What is read there for the first time after that has happened after that.
//!
//! What it is not: it reads no events, and says nothing of what a denial proves.

use std::collections::BTreeMap;

use kernel::Timestamp;
use kernel::id::CredentialId;
use store::{Db, Origin, StoreError, Tx, sql};

use crate::connector::{AccessPointAddress, AckLevel};
use crate::placement::{self, Points};

/// How many absences are marked as watched in one transaction: a mass leaver must not hold others up.
const WATCHED_AT_ONCE: usize = 100;

/// Absences that were proven somewhere and are not watched there yet.
pub(super) async fn unwatched(db: &Db, door_system: &str) -> Result<Vec<Unwatched>, StoreError> {
    let text = sql!(
        "SELECT credential_id, version, points, ack FROM placement \
         WHERE door_system = $1 AND wanted = 'absent' AND watched_at IS NULL ORDER BY credential_id"
    );
    let absent: Vec<Unwatched> = db.all(text, (door_system,)).await?;
    Ok(absent.into_iter().filter(Unwatched::has_news).collect())
}

/// Marks as watched what was proven before a pass, at every access point whose events it has read: `unread` are those
/// that it could not.
pub(super) async fn watch(
    db: &Db,
    door_system: &str,
    proven: &[Unwatched],
    unread: &BTreeMap<AccessPointAddress, String>,
) -> Result<(), StoreError> {
    let at = db.ctx().now();
    let watched: Vec<_> = proven.iter().filter_map(|row| Some((row, row.watched(at, unread)?))).collect();
    for some in watched.chunks(WATCHED_AT_ONCE) {
        let mut tx = db.write(Origin::system()).await?;
        let noted = watch_in(&mut tx, door_system, some).await;
        tx.end(noted).await?;
    }
    Ok(())
}

/// An absence that was proven at some door and is not watched at all of them.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Unwatched {
    credential_id: CredentialId,
    version: i64,
    points: String,
    ack: i64,
}

impl Unwatched {
    fn parsed(&self) -> Points {
        serde_json::from_str(&self.points).unwrap_or_default()
    }

    fn has_news(&self) -> bool {
        self.is_proven()
            || self.parsed().values().any(|proof| proof.read_back_at.is_some() && proof.watched_at.is_none())
    }

    fn is_proven(&self) -> bool {
        self.ack >= AckLevel::ReadBack as i64
    }

    /// The points as they are after a pass, and whether all of them are watched then. `None` when it told nothing.
    fn watched(
        &self,
        at: Timestamp,
        unread: &BTreeMap<AccessPointAddress, String>,
    ) -> Option<(String, Option<Timestamp>)> {
        let mut points = self.parsed();
        let mut news = false;
        for (point, proof) in &mut points {
            if proof.read_back_at.is_some() && proof.watched_at.is_none() && !unread.contains_key(point) {
                proof.watched_at = Some(at);
                news = true;
            }
        }
        let whole = self.is_proven() && points.values().all(|proof| proof.watched_at.is_some());
        (news || whole).then(|| (placement::json(&points), whole.then_some(at)))
    }
}

async fn watch_in(
    tx: &mut Tx,
    door_system: &str,
    rows: &[(&Unwatched, (String, Option<Timestamp>))],
) -> Result<(), StoreError> {
    for (row, (points, watched_at)) in rows {
        // Only over the very row that was seen before the pass: a denial or another wish has changed it.
        tx.run(
            sql!(
                "UPDATE placement SET points = $5, watched_at = $6 WHERE door_system = $1 AND credential_id = $2 \
                 AND version = $3 AND points = $4 AND wanted = 'absent' AND watched_at IS NULL"
            ),
            (door_system, row.credential_id, row.version, &row.points, points, *watched_at),
        )
        .await?;
    }
    Ok(())
}
