//! Mail addresses: whom they find, and accounts from before they were kept.

use directory::user::{self, Profile, User, email};
use kernel::id::UserId;
use store::{Origin, sql};

use crate::house::House;
use crate::people::{create, delete, profile, update};

on_both_engines! {
    an_address_finds_whom_it_belongs_to_now,
    accounts_from_before_are_filled_in_page_by_page,
}

fn with(user_name: &str, addresses: &[&str]) -> Profile {
    let emails: Vec<_> = addresses.iter().map(|value| serde_json::json!({ "value": value })).collect();
    Profile { document: serde_json::json!({ "emails": emails }).to_string(), ..profile(user_name) }
}

async fn found(house: &House, address: &str) -> Option<Vec<UserId>> {
    let found = email::candidates(&house.db, address, 99).await.unwrap();
    found.map(|found| found.into_iter().map(|(_, id)| id).collect())
}

async fn an_address_finds_whom_it_belongs_to_now(house: House) {
    let db = &house.db;
    let ada = create(db, &with("ada", &["Ada@x", "shared@x", "ada@X"])).await.unwrap();
    house.advance(std::time::Duration::from_secs(1));
    let bo = create(db, &with("bo", &["shared@x"])).await.unwrap();
    assert_eq!(found(&house, "ADA@x").await.unwrap(), [ada.id]);
    assert_eq!(found(&house, "shared@x").await.unwrap(), [ada.id, bo.id], "in the order they were made");
    assert_eq!(email::candidates(db, "shared@x", 1).await.unwrap().unwrap().len(), 1);
    let ada = update(db, &ada, &with("ada", &["new@x"])).await.unwrap();
    assert_eq!(found(&house, "ada@x").await.unwrap(), []);
    assert_eq!(found(&house, "new@x").await.unwrap(), [ada.id]);
    delete(db, &bo).await.unwrap();
    assert_eq!(found(&house, "shared@x").await.unwrap(), []);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM user_email")).await, 1);
}

/// As a release without this table would have left them.
async fn from_before(house: &House, count: usize) -> Vec<User> {
    let mut users = Vec::new();
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    for n in 0..count {
        users.push(user::create(&mut tx, &with(&format!("u-{n}"), &[&format!("u-{n}@x")])).await.unwrap());
    }
    tx.run(sql!("DELETE FROM user_email WHERE email_key LIKE 'u-%'"), ()).await.unwrap();
    tx.run(sql!("UPDATE users SET emails_kept = FALSE WHERE emails_kept"), ()).await.unwrap();
    tx.commit().await.unwrap();
    users
}

async fn accounts_from_before_are_filled_in_page_by_page(house: House) {
    let db = &house.db;
    let users = from_before(&house, 450).await;
    let newer = create(db, &with("newer", &["newer@x"])).await.unwrap();
    assert_eq!(found(&house, "newer@x").await, None, "nobody is looked for where somebody may be missing");
    update(db, &users[0], &with("u-0", &["changed@x"])).await.unwrap();
    delete(db, &users[1]).await.unwrap();
    let (one, other) = tokio::join!(email::fill(db), email::fill(db));
    one.unwrap();
    other.unwrap();
    assert_eq!(found(&house, "newer@x").await.unwrap(), [newer.id]);
    assert_eq!(found(&house, "changed@x").await.unwrap(), [users[0].id]);
    assert_eq!(found(&house, "u-0@x").await.unwrap(), []);
    assert_eq!(found(&house, "u-1@x").await.unwrap(), []);
    assert_eq!(found(&house, "u-449@x").await.unwrap(), [users[449].id]);
    assert_eq!(house.count(sql!("SELECT COUNT(*) FROM user_email")).await, 450);
    email::fill(db).await.unwrap();
}
