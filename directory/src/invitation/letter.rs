//! The link of a letter. It is made when the letter is written first, and found again when it is written once
//! more, so that whoever gets the letter twice has the same link twice.
//!
//! For that the token must be kept in clear, which nothing else here does. So it is sealed to its row, and gone
//! when the letter was taken, when the link was used or replaced, or when its time is over. No fact carries it.

use kernel::id::{FactId, InvitationId, UserId};
use kernel::{Secret, Timestamp, Token};
use keys::{SealedColumn, SealingKeys};
use store::{Db, Origin, StoreError, Tx, sql};

use super::{New, Purpose, insert};
use crate::{DirectoryError, user};

/// Where the token stands, sealed.
pub const SEALED: SealedColumn = SealedColumn::new("invitation", "token_sealed", "id");

/// A link that can be sent.
#[derive(Clone, Debug)]
pub struct Link {
    /// What stands in its address.
    pub token: Token,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Kept {
    id: InvitationId,
    expires_at: Timestamp,
    token_sealed: Option<String>,
}

/// The link of the letter about a fact, made if there is none. `None` when the link is over already, or its user is
/// not active: then there is nothing to send.
///
/// # Errors
/// [`DirectoryError::Sealed`] when the sealing key is missing.
pub async fn link(
    db: &Db,
    sealing: &SealingKeys,
    issuer: &str,
    fact: FactId,
    user: UserId,
    purpose: Purpose,
) -> Result<Option<Link>, DirectoryError> {
    let text = sql!("SELECT id, expires_at, token_sealed FROM invitation WHERE letter = $1");
    match db.opt::<Kept>(text, (fact,)).await? {
        Some(kept) => open(db, sealing, &kept),
        None => make(db, sealing, issuer, fact, user, purpose).await,
    }
}

fn open(db: &Db, sealing: &SealingKeys, kept: &Kept) -> Result<Option<Link>, DirectoryError> {
    let living = kept.expires_at > db.ctx().now();
    let Some(sealed) = kept.token_sealed.as_deref().filter(|_| living) else { return Ok(None) };
    let token = sealing.open(SEALED.at(&kept.id.to_string()), sealed)?;
    let token = Secret::new(String::from_utf8_lossy(token.expose()).into_owned());
    Ok(Some(Link { token, expires_at: kept.expires_at }))
}

async fn make(
    db: &Db,
    sealing: &SealingKeys,
    issuer: &str,
    fact: FactId,
    user: UserId,
    purpose: Purpose,
) -> Result<Option<Link>, DirectoryError> {
    let new = New::generate(db.ctx(), purpose);
    let sealed = sealing.seal(db.ctx(), SEALED.at(&new.id.to_string()), new.token.expose().as_bytes());
    let mut tx = db.write(Origin::system()).await?;
    let made = insert_if_active(&mut tx, issuer, user, &new, (fact, sealed)).await;
    let made = tx.end(made).await?;
    Ok(made.map(|expires_at| Link { token: new.token, expires_at }))
}

async fn insert_if_active(
    tx: &mut Tx,
    issuer: &str,
    user: UserId,
    new: &New,
    letter: (FactId, String),
) -> Result<Option<Timestamp>, StoreError> {
    if !user::hold(tx, user).await? {
        return Ok(None);
    }
    insert(tx, issuer, user, new, Some(letter)).await.map(Some)
}

/// The letter about a fact was taken: its token is not needed again.
pub async fn taken(tx: &mut Tx, fact: FactId) -> Result<(), StoreError> {
    tx.run(sql!("UPDATE invitation SET token_sealed = NULL WHERE letter = $1"), (fact,)).await.map(drop)
}

/// Forgets the tokens of links whose time is over; those of used and replaced ones are gone already. Records no fact:
/// nobody can do less afterwards.
pub async fn forget_over(db: &Db) -> Result<u64, StoreError> {
    let text =
        sql!("UPDATE invitation SET token_sealed = NULL WHERE token_sealed IS NOT NULL AND expires_at <= $1");
    db.change(Origin::system(), text, (db.ctx().now(),), Vec::new()).await
}
