//! Whom a mail address belongs to: every address of every account, by its folded beginning.
//!
//! What it is not: it does not decide whether an address matches. The key only finds candidates; whoever asks
//! compares the whole address by its own rule.

use std::collections::BTreeSet;

use kernel::Timestamp;
use kernel::id::UserId;
use serde::Deserialize;
use store::{Db, Origin, Sql, StoreError, Tx, Value, sql};

use crate::fold;

/// How much of a folded address is its key, in characters. An index of PostgreSQL takes 2,700 bytes.
const KEY_LENGTH: usize = 256;
/// How many accounts are filled in at once.
const PAGE: i64 = 200;
/// At most this many addresses in one statement.
const ADDRESSES_PER_STATEMENT: usize = 500;

fn key(address: &str) -> String {
    fold(address).chars().take(KEY_LENGTH).collect()
}

/// The keys of the SCIM attribute `emails`.
fn keys(document: &str) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Emails {
        #[serde(default)]
        emails: Vec<Email>,
    }
    #[derive(Deserialize)]
    struct Email {
        value: Option<String>,
    }
    let read: Result<Emails, _> = serde_json::from_str(document);
    let emails = read.map(|document| document.emails).unwrap_or_default();
    emails.into_iter().filter_map(|email| email.value).map(|address| key(&address)).collect()
}

/// Accounts that may have this address, in the order they were made, `limit` at most: all that have it, in any
/// spelling, and perhaps others whose address begins alike.
///
/// `None` while accounts from before addresses were kept are still being filled in: look through all of them.
pub async fn candidates(
    db: &Db,
    address: &str,
    limit: i64,
) -> Result<Option<Vec<(Timestamp, UserId)>>, StoreError> {
    // In this order: whoever is filled in meanwhile is found.
    let unkept: Option<(UserId,)> =
        db.opt(sql!("SELECT id FROM users WHERE NOT emails_kept AND deleted_at IS NULL LIMIT 1"), ()).await?;
    if unkept.is_some() {
        return Ok(None);
    }
    let text = sql!(
        "SELECT u.created_at, u.id FROM user_email e JOIN users u ON u.id = e.user_id AND u.deleted_at IS NULL \
         WHERE e.email_key = $1 ORDER BY u.created_at, u.id LIMIT $2"
    );
    db.all(text, (key(address), limit)).await.map(Some)
}

/// Writes what differs between two documents of an account.
pub(super) async fn follow(tx: &mut Tx, user: UserId, before: &str, after: &str) -> Result<(), StoreError> {
    if before == after {
        return Ok(());
    }
    let (before, after) = (keys(before), keys(after));
    for gone in before.difference(&after) {
        tx.run(sql!("DELETE FROM user_email WHERE user_id = $1 AND email_key = $2"), (user, gone)).await?;
    }
    add(tx, user, after.difference(&before).collect()).await
}

/// Forgets the addresses of an account that is going.
pub(super) async fn forget(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    tx.run(sql!("DELETE FROM user_email WHERE user_id = $1"), (user,)).await.map(drop)
}

async fn add(tx: &mut Tx, user: UserId, keys: Vec<&String>) -> Result<(), StoreError> {
    for batch in keys.chunks(ADDRESSES_PER_STATEMENT) {
        let tuples: Vec<String> = (0..batch.len()).map(|n| format!("(${}, $1)", n + 2)).collect();
        let text = format!(
            "INSERT INTO user_email (email_key, user_id) VALUES {} ON CONFLICT (email_key, user_id) DO NOTHING",
            tuples.join(", ")
        );
        let keys = batch.iter().map(|key| Value::from(*key));
        tx.run(Sql::assembled(text), [Value::from(user)].into_iter().chain(keys).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Fills in the addresses of accounts from before they were kept, a page in a transaction of its own, until none
/// is left. It may be stopped at any point and run again, by several at once.
pub async fn fill(db: &Db) -> Result<(), StoreError> {
    while fill_page(db).await? {}
    Ok(())
}

async fn fill_page(db: &Db) -> Result<bool, StoreError> {
    let mut tx = db.write(Origin::system()).await?;
    let filled = fill_in(&mut tx).await;
    tx.end(filled).await
}

/// Whether there was somebody to fill in.
async fn fill_in(tx: &mut Tx) -> Result<bool, StoreError> {
    // Their rows are held: no change comes between reading a document and writing its addresses.
    let text = sql!(
        "UPDATE users SET emails_kept = TRUE WHERE deleted_at IS NULL AND id IN \
         (SELECT id FROM users WHERE NOT emails_kept AND deleted_at IS NULL ORDER BY id LIMIT $1) \
         RETURNING id, document"
    );
    let page: Vec<(UserId, String)> = tx.all(text, (PAGE,)).await?;
    for (user, document) in &page {
        add(tx, *user, keys(document).iter().collect()).await?;
    }
    Ok(!page.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_folded_beginnings_of_every_address() {
        let check = |document: &str, expect: &[&str]| {
            let expect: BTreeSet<String> = expect.iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(keys(document), expect, "{document}");
        };
        check("{}", &[]);
        check("[", &[]);
        check(
            r#"{"emails":[{"value":"Ada@Example.org"},{"value":"ada@example.ORG","type":"work"}]}"#,
            &["ada@example.org"],
        );
        check(r#"{"emails":[{"type":"work"},{"value":" b@x "}]}"#, &["b@x"]);
        let long = "é".repeat(KEY_LENGTH + 1);
        check(&format!(r#"{{"emails":[{{"value":"{long}"}}]}}"#), &[&"é".repeat(KEY_LENGTH)]);
    }
}
