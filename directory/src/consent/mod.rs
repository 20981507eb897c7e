//! What a person lets an application of somebody else know. The organisation's own applications are not asked about:
//! an administrator consented for all when declaring them ([`crate::client::Client::third_party`]).
//!
//! A consent grows with each scope that is given, and is withdrawn as a whole; with it ends whatever the application
//! was granted. It opens nothing by itself: policy decides who may sign in where, and a session must be there.
//!
//! INVARIANT: whoever grants something in its name holds its row ([`hold`]) until the grant is written, and whoever
//! withdraws it takes the row first: consent, then grant, in this order everywhere. So no grant outlives the consent
//! that it rests on.

use std::collections::BTreeSet;

use kernel::id::UserId;
use kernel::{Subject, Timestamp};
use store::{Db, Fact, StoreError, Tx, sql};

use crate::facts::{ConsentGiven, ConsentWithdrawn};
use crate::session::grant;

/// What one person lets one application know.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Consent {
    /// The client.
    pub client_id: String,
    /// Its name.
    pub client_name: String,
    /// Scopes, space-separated.
    pub scope: String,
    /// When it was given last.
    pub given_at: Timestamp,
}

impl Consent {
    /// Whether everything that is asked for was consented to.
    #[must_use]
    pub fn covers(&self, asked: &str) -> bool {
        covers(&self.scope, asked)
    }
}

fn covers(scope: &str, asked: &str) -> bool {
    let given: BTreeSet<&str> = scope.split(' ').collect();
    asked.split(' ').all(|word| given.contains(word))
}

/// What this person lets this client know, if anything.
pub async fn get(db: &Db, user: UserId, client: &str) -> Result<Option<Consent>, StoreError> {
    db.opt(
        sql!(
            "SELECT n.client_id, c.name AS client_name, n.scope, n.given_at FROM consent n \
             JOIN client c ON c.id = n.client_id WHERE n.user_id = $1 AND n.client_id = $2"
        ),
        (user, client),
    )
    .await
}

/// All of one person, by the clients' names.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<Consent>, StoreError> {
    db.all(
        sql!(
            "SELECT n.client_id, c.name AS client_name, n.scope, n.given_at FROM consent n \
             JOIN client c ON c.id = n.client_id WHERE n.user_id = $1 ORDER BY c.name, n.client_id"
        ),
        (user,),
    )
    .await
}

/// Takes the row until this transaction ends. `false` when it is not there, or does not cover what is asked for.
pub async fn hold(tx: &mut Tx, user: UserId, client: &str, asked: &str) -> Result<bool, StoreError> {
    let held: Option<(String,)> = tx
        .opt(
            sql!(
                "UPDATE consent SET given_at = given_at WHERE user_id = $1 AND client_id = $2 RETURNING scope"
            ),
            (user, client),
        )
        .await?;
    Ok(held.is_some_and(|(scope,)| covers(&scope, asked)))
}

/// Records that a person consents to this scope, beside what was consented to before.
///
/// # Errors
/// [`StoreError::Conflict`] when the same person's first consent to this client is given at the same time.
pub async fn give(tx: &mut Tx, user: UserId, client: &str, scope: &str) -> Result<(), StoreError> {
    let now = tx.now();
    let earlier: Option<(String,)> = tx
        .opt(
            sql!("UPDATE consent SET given_at = $3 WHERE user_id = $1 AND client_id = $2 RETURNING scope"),
            (user, client, now),
        )
        .await?;
    let written = match earlier {
        Some((earlier,)) => {
            tx.run(
                sql!("UPDATE consent SET scope = $3 WHERE user_id = $1 AND client_id = $2"),
                (user, client, together(&earlier, scope)),
            )
            .await?
        }
        None => {
            tx.run(
                sql!(
                    "INSERT INTO consent (user_id, client_id, scope, given_at) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (user_id, client_id) DO NOTHING"
                ),
                (user, client, scope, now),
            )
            .await?
        }
    };
    if written != 1 {
        return Err(StoreError::Conflict);
    }
    let body = ConsentGiven { client: client.to_owned(), scope: scope.to_owned() };
    tx.record(Fact::new(user.subject(), &body).about(Subject::new("client", client)));
    Ok(())
}

/// The earlier scopes in their order, and then those that are new.
fn together(earlier: &str, more: &str) -> String {
    let given: BTreeSet<&str> = earlier.split(' ').collect();
    let new = more.split(' ').filter(|word| !given.contains(word));
    earlier.split(' ').chain(new).collect::<Vec<_>>().join(" ")
}

/// Takes a consent back, and ends whatever the client was granted by this person: its tokens are dead. `false` when
/// there was none (any more).
pub async fn withdraw(tx: &mut Tx, user: UserId, client: &str) -> Result<bool, StoreError> {
    let gone: Option<(String,)> = tx
        .opt(
            sql!("DELETE FROM consent WHERE user_id = $1 AND client_id = $2 RETURNING scope"),
            (user, client),
        )
        .await?;
    let Some((scope,)) = gone else { return Ok(false) };
    let grants = grant::end_all_of_client(tx, user, client).await?;
    let body = ConsentWithdrawn { client: client.to_owned(), scope, grants };
    tx.record(Fact::new(user.subject(), &body).about(Subject::new("client", client)));
    Ok(true)
}

/// Forgets what a person consented to whose account is going. The fact of the account's end says the rest.
pub(crate) async fn forget(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    tx.run(sql!("DELETE FROM consent WHERE user_id = $1"), (user,)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_covers_what_it_names_and_grows_by_what_is_new() {
        for (given, asked, expect) in [
            ("openid", "openid", true),
            ("openid profile email", "openid email", true),
            ("openid email", "openid profile email", false),
            ("openid profiles", "openid profile", false),
        ] {
            assert_eq!(covers(given, asked), expect, "{given:?} {asked:?}");
        }
        assert_eq!(together("openid email", "openid profile"), "openid email profile");
    }
}
