//! Days and hours that are to come: when what is wanted of a credential at a door system changes although nobody does
//! anything, its reconciler is told at that moment, as by any other change.
//!
//! One row per credential and door system, with the next such moment only; the look that follows notes the one after
//! it.
//! A row goes in the transaction of the fact that it becomes, so of many nodes one tells it, and no crash loses it.
//!
//! What it is not: it takes nothing off a list and puts nothing on one; that is the reconciler's work ([`super::Door`]).

use std::collections::BTreeMap;

use kernel::id::{CredentialId, UserId};
use kernel::{Subject, Timestamp};
use store::{Address, Db, Fact, Origin, StoreError, Tx, sql};

use super::{Turn, sink_name};
use crate::facts::{ValidityBegun, ValidityEnded};

/// How many are told in one transaction: the end of a large project must not hold others up.
const AT_ONCE: i64 = 100;

/// What is noted of a credential at a door system.
pub(super) async fn get(
    db: &Db,
    door_system: &str,
    credential: CredentialId,
) -> Result<Option<Turn>, StoreError> {
    let text = sql!("SELECT at, takes_away FROM placement_due WHERE door_system = $1 AND credential_id = $2");
    let row: Option<(Timestamp, bool)> = db.opt(text, (door_system, credential)).await?;
    Ok(row.map(|(at, takes_away)| Turn { at, takes_away }))
}

/// What is noted at a door system of credentials whose ids lie after the first and up to the second.
pub(crate) async fn between(
    db: &Db,
    door_system: &str,
    after: &str,
    up_to: CredentialId,
) -> Result<BTreeMap<CredentialId, Turn>, StoreError> {
    let rows: Vec<(CredentialId, Timestamp, bool)> = db
        .all(
            sql!(
                "SELECT credential_id, at, takes_away FROM placement_due \
                 WHERE door_system = $1 AND credential_id > $2 AND credential_id <= $3"
            ),
            (door_system, after, up_to),
        )
        .await?;
    Ok(rows.into_iter().map(|(credential, at, takes_away)| (credential, Turn { at, takes_away })).collect())
}

/// Notes when to look again, or that there is no such time.
pub(super) async fn note(
    db: &Db,
    door_system: &str,
    credential: CredentialId,
    turn: Option<Turn>,
) -> Result<(), StoreError> {
    let noted = match turn {
        Some(Turn { at, takes_away }) => {
            let text = sql!(
                "INSERT INTO placement_due (door_system, credential_id, at, takes_away) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (door_system, credential_id) DO UPDATE SET at = excluded.at, \
                 takes_away = excluded.takes_away"
            );
            db.change(Origin::system(), text, (door_system, credential, at, takes_away), Vec::new()).await
        }
        None => {
            let text = sql!("DELETE FROM placement_due WHERE door_system = $1 AND credential_id = $2");
            db.change(Origin::system(), text, (door_system, credential), Vec::new()).await
        }
    };
    noted.map(drop)
}

/// Tells the doors of every day and hour that has come. Answers how many.
pub async fn tell_due(db: &Db) -> Result<usize, StoreError> {
    let mut told = 0;
    loop {
        let due: Vec<Due> = db
            .all(
                sql!(
                    "SELECT d.door_system, d.credential_id, c.user_id, d.at, d.takes_away FROM placement_due d \
                     JOIN credential c ON c.id = d.credential_id WHERE d.at <= $1 \
                     ORDER BY d.at, d.door_system, d.credential_id LIMIT $2"
                ),
                (db.ctx().now(), AT_ONCE),
            )
            .await?;
        if due.is_empty() {
            return Ok(told);
        }
        let mut tx = db.write(Origin::system()).await?;
        let now = tell(&mut tx, &due).await;
        told += tx.end(now).await?;
    }
}

#[derive(Debug, sqlx::FromRow)]
struct Due {
    door_system: String,
    credential_id: CredentialId,
    user_id: UserId,
    at: Timestamp,
    takes_away: bool,
}

/// Records a fact for each that nobody else has told.
async fn tell(tx: &mut Tx, due: &[Due]) -> Result<usize, StoreError> {
    let mut told = 0;
    for Due { door_system, credential_id, user_id, at, takes_away } in due {
        let taken = tx
            .run(
                sql!(
                    "DELETE FROM placement_due WHERE door_system = $1 AND credential_id = $2 AND at = $3 \
                     AND takes_away = $4"
                ),
                (door_system, credential_id, at, takes_away),
            )
            .await?;
        if taken == 0 {
            continue;
        }
        told += 1;
        let (credential, user, door_system, at) = (*credential_id, *user_id, door_system.clone(), *at);
        let address = Address::reconcile(sink_name(&door_system), credential.subject()).revoking(*takes_away);
        let system = Subject::new("door_system", &door_system);
        let subject = credential.subject();
        let fact = match *takes_away {
            true => Fact::new(subject, &ValidityEnded { credential, user, door_system, at }),
            false => Fact::new(subject, &ValidityBegun { credential, user, door_system, at }),
        };
        tx.record(fact.about(user.subject()).about(system).to(address));
    }
    Ok(told)
}
