//! Who is entitled to which access profile, and why: what policy said when it was last asked.

use kernel::Timestamp;
use kernel::id::{CredentialId, UserId};
use store::{Db, Fact, StoreError, Tx, sql};

use crate::facts::{EntitlementEnded, EntitlementGranted};

/// One entitlement.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Entitlement {
    /// Who.
    pub user_id: UserId,
    /// What.
    pub access_profile: String,
    /// Which policies say so.
    pub because: String,
    /// Since when.
    pub since: Timestamp,
}

/// What a user is entitled to, by profile.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Entitlement>, StoreError> {
    db.all(
        sql!(
            "SELECT user_id, access_profile, because, since FROM entitlement WHERE user_id = $1 ORDER BY access_profile"
        ),
        (user,),
    )
    .await
}

/// Makes a user's entitlements what policy says: `(profile, because)`. Records each that came or went, about
/// the credentials that open by it; those that stay are not touched. Answers whether anything changed.
pub async fn settle(
    tx: &mut Tx,
    user: UserId,
    wanted: &[(String, String)],
    credentials: &[CredentialId],
) -> Result<bool, StoreError> {
    let concerning = |fact: Fact| credentials.iter().fold(fact, |fact, id| fact.about(id.subject()));
    let held: Vec<(String,)> =
        tx.all(sql!("SELECT access_profile FROM entitlement WHERE user_id = $1"), (user,)).await?;
    let mut changed = false;
    for (profile,) in &held {
        if !wanted.iter().any(|(name, _)| name == profile) {
            changed = true;
            tx.run(
                sql!("DELETE FROM entitlement WHERE user_id = $1 AND access_profile = $2"),
                (user, profile),
            )
            .await?;
            let body = EntitlementEnded { access_profile: profile.clone() };
            tx.record(concerning(Fact::new(user.subject(), &body)));
        }
    }
    for (profile, because) in wanted {
        if held.iter().any(|(name,)| name == profile) {
            continue;
        }
        changed = true;
        tx.run(
            sql!("INSERT INTO entitlement (user_id, access_profile, because, since) VALUES ($1, $2, $3, $4)"),
            (user, profile, because, tx.now()),
        )
        .await?;
        let body = EntitlementGranted { access_profile: profile.clone(), because: because.clone() };
        tx.record(concerning(Fact::new(user.subject(), &body)));
    }
    Ok(changed)
}

/// Ends what everybody has by an access profile that is going. Records each, about the credentials that opened
/// by it.
pub(crate) async fn end_all_of(tx: &mut Tx, access_profile: &str) -> Result<(), StoreError> {
    let ending: Vec<(UserId, Option<CredentialId>)> = tx
        .all(
            sql!(
                "SELECT e.user_id, c.id FROM entitlement e \
                 LEFT JOIN credential c ON c.user_id = e.user_id AND c.state = 'active' \
                 WHERE e.access_profile = $1 ORDER BY e.user_id, c.id"
            ),
            (access_profile,),
        )
        .await?;
    tx.run(sql!("DELETE FROM entitlement WHERE access_profile = $1"), (access_profile,)).await?;
    let body = EntitlementEnded { access_profile: access_profile.to_owned() };
    for of_user in ending.chunk_by(|(a, _), (b, _)| a == b) {
        let fact = Fact::new(of_user[0].0.subject(), &body);
        let opened_by = of_user.iter().filter_map(|(_, credential)| *credential);
        tx.record(opened_by.fold(fact, |fact, credential| fact.about(credential.subject())));
    }
    Ok(())
}
