//! Where each person was last let in: who is there when a building must be emptied, and what policies ask about.
//!
//! It is what doors tell, and no more. A door says whom it let pass, not who went through, and lets one card pass for
//! three people; whoever leaves by a door without a reader on the way out is still here. So it is a help and no proof,
//! and after [`KEPT`] it says nothing any more.
//!
//! What it is not: a history. There is one row a person, with the last passage; it goes with the account, and is
//! forgotten when it is over. Who passed when stands in the journal, as long as that keeps it.

use std::time::Duration;

use kernel::Timestamp;
use kernel::id::{FactId, UserId};
use store::{Db, Origin, StoreError, Tx, sql};

/// How long a passage says where somebody is: longer than any shift, shorter than until the next.
pub const KEPT: Duration = Duration::from_secs(16 * 3_600);

/// The protection class of what lies outside: whoever is let into such an area has left.
const OUTSIDE: i64 = -1;

/// A door let somebody pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Whom.
    pub user: UserId,
    /// Into what; `None` when somebody was let out and nobody says into what.
    pub area: Option<String>,
    /// Where.
    pub access_point: String,
    /// When.
    pub at: Timestamp,
    /// The fact that tells it.
    pub fact: FactId,
}

/// Where somebody is, as far as doors tell.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Present {
    /// Who.
    pub user_id: UserId,
    /// What that person signs in with.
    pub user_name: String,
    /// As the person is called.
    pub display_name: Option<String>,
    /// Where.
    pub area: String,
    /// How to show that; its name when it is not declared any more.
    pub area_title: String,
    /// By which access point.
    pub access_point: String,
    /// Since when.
    pub at: Timestamp,
}

/// Notes where somebody was let in, unless something later is known, or the account is not active (any more).
pub async fn pass(tx: &mut Tx, passage: &Passage) -> Result<(), StoreError> {
    let Passage { user, area, access_point, at, fact } = passage;
    tx.run(
        sql!(
            "INSERT INTO presence (user_id, area, access_point, at, fact) \
             SELECT u.id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS TEXT) FROM users u \
             WHERE u.id = $1 AND u.active AND u.deleted_at IS NULL \
             ON CONFLICT (user_id) DO UPDATE SET area = excluded.area, access_point = excluded.access_point, \
             at = excluded.at, fact = excluded.fact WHERE presence.at <= excluded.at"
        ),
        (user, area.clone(), access_point, at, fact),
    )
    .await
    .map(drop)
}

/// Forgets where somebody is, because the account ends.
pub(crate) async fn forget(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    tx.run(sql!("DELETE FROM presence WHERE user_id = $1"), (user,)).await.map(drop)
}

/// Forgets what is too long ago to say where anybody is. Answers of how many people.
///
/// It records no fact: nothing that is said changes by it.
pub async fn sweep(db: &Db) -> Result<u64, StoreError> {
    let over = db.ctx().now().minus(KEPT);
    db.change(Origin::system(), sql!("DELETE FROM presence WHERE at <= $1"), (over,), Vec::new()).await
}

/// Everybody whose whereabouts are known now, by area and name; of one area, if one is named.
pub async fn list(db: &Db, area: Option<&str>) -> Result<Vec<Present>, StoreError> {
    let over = db.ctx().now().minus(KEPT);
    let mut present: Vec<Present> = db
        .all(
            sql!(
                "SELECT p.user_id, u.user_name, u.display_name, p.area, COALESCE(a.title, p.area) AS area_title, \
                 p.access_point, p.at FROM presence p \
                 JOIN users u ON u.id = p.user_id AND u.active AND u.deleted_at IS NULL \
                 LEFT JOIN area a ON a.name = p.area WHERE p.area IS NOT NULL AND p.at > $1 \
                 ORDER BY p.area, u.user_name_key"
            ),
            (over,),
        )
        .await?;
    present.retain(|person| area.is_none_or(|area| person.area == area));
    Ok(present)
}

/// Whether somebody is known to be on site; `None` when nobody knows. Areas of protection class -1 are outside.
pub async fn on_site(db: &Db, user: UserId) -> Result<Option<bool>, StoreError> {
    let over = db.ctx().now().minus(KEPT);
    let last: Option<(i64,)> = db
        .opt(
            sql!(
                "SELECT a.protection_class FROM presence p JOIN area a ON a.name = p.area \
                 WHERE p.user_id = $1 AND p.at > $2"
            ),
            (user, over),
        )
        .await?;
    Ok(last.map(|(class,)| class > OUTSIDE))
}
