//! Taking an old sealing key out of use, on a database with writers.

use crate::house::{House, on_both_engines};
use kernel::Ctx;
use keys::{
    Alg, KeyFileError, KeyRing, KeysError, RetireError, RotationPolicy, SealError, SealedColumn, SealingKeys,
    reseal, retire_key,
};
use serde_json::json;
use store::{Db, Origin, sql};

const SECRET: SealedColumn = SealedColumn::new("door_system", "secret_sealed", "name").versioned();

on_both_engines! {
    after_it_the_new_key_alone_opens_everything
    a_value_that_changes_meanwhile_is_never_undone
    a_value_that_does_not_open_is_named_and_left
    an_operator_changes_the_key_step_by_step_while_nodes_run
}

/// The old keys, and the keys of the file after its rotation.
fn rotated(ctx: &Ctx) -> (SealingKeys, SealingKeys, SealingKeys) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealing.keys");
    let old = SealingKeys::create_file(&path, ctx).unwrap();
    let new = SealingKeys::add_key(&path, ctx).unwrap();
    SealingKeys::promote_key(&path, &new).unwrap();
    let both = SealingKeys::load(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let new_line = text.lines().find(|line| line.starts_with(&new)).unwrap();
    let alone = folder.path().join("new.keys");
    std::fs::copy(&path, &alone).unwrap();
    std::fs::write(&alone, new_line).unwrap();
    (old, both, SealingKeys::load(&alone).unwrap())
}

async fn add_door_system(db: &Db, name: &str, sealed: Option<String>) {
    db.change(
        Origin::system(),
        sql!(
            "INSERT INTO door_system (name, version, connector, config, secret_sealed, updated_at) \
             VALUES ($1, 1, 'uhppote', '{}', $2, 0)"
        ),
        (name, sealed),
        Vec::new(),
    )
    .await
    .unwrap();
}

async fn secret(db: &Db, name: &str) -> (i64, Option<String>) {
    db.one(sql!("SELECT version, secret_sealed FROM door_system WHERE name = $1"), (name,)).await.unwrap()
}

async fn after_it_the_new_key_alone_opens_everything(house: House) {
    let db = &house.one;
    let (old, both, new) = rotated(db.ctx());
    for number in 0..230 {
        let name = format!("door-{number:03}");
        let value = old.seal(db.ctx(), SECRET.at(&name), name.as_bytes());
        add_door_system(db, &name, Some(value)).await;
    }
    add_door_system(db, "open", None).await;
    let ring = KeyRing::open(db.clone(), old, RotationPolicy::default()).await.unwrap();
    ring.sign_jwt(Alg::Rs256, "JWT", &json!({})).await.unwrap();

    assert_eq!(reseal(db, &both, &[SECRET]).await.unwrap(), 233, "secrets and signing keys");
    for number in [0, 99, 100, 229] {
        let name = format!("door-{number:03}");
        let (version, sealed) = secret(db, &name).await;
        assert_eq!(new.open(SECRET.at(&name), &sealed.unwrap()).unwrap().expose(), name.as_bytes());
        assert_eq!(version, 2, "whoever read it before must read it again");
    }
    assert_eq!(secret(db, "open").await, (1, None));
    assert_eq!(KeyRing::check(db, &new).await.unwrap(), 3);
    let recorded = sql!("SELECT COUNT(*) FROM fact WHERE kind = 'sealing_key.values-resealed'");
    assert_eq!(house.count(recorded.clone()).await, 4, "one for each transaction");

    assert_eq!(reseal(db, &both, &[SECRET]).await.unwrap(), 0);
    assert_eq!(reseal(db, &new, &[SECRET]).await.unwrap(), 0);
    assert_eq!(house.count(recorded).await, 4);
}

async fn a_value_that_changes_meanwhile_is_never_undone(house: House) {
    let (old, both, new) = rotated(house.one.ctx());
    add_door_system(&house.one, "hq", Some(old.seal(house.one.ctx(), SECRET.at("hq"), b"0"))).await;
    let writer = {
        let (db, old, both) = (house.two.clone(), old.clone(), both.clone());
        tokio::spawn(async move {
            for number in 1..=150 {
                let value = number.to_string();
                let sealed = old.seal(db.ctx(), SECRET.at("hq"), value.as_bytes());
                let put = sql!(
                    "UPDATE door_system SET secret_sealed = $1, version = version + 1 WHERE name = 'hq'"
                );
                db.change(Origin::system(), put, (sealed,), Vec::new()).await.unwrap();
                for _ in 0..4 {
                    let (_, sealed) = secret(&db, "hq").await;
                    let read = both.open(SECRET.at("hq"), &sealed.unwrap()).unwrap();
                    assert_eq!(read.expose(), value.as_bytes(), "what was written stands, however sealed");
                }
            }
        })
    };
    while !writer.is_finished() {
        reseal(&house.one, &both, &[SECRET]).await.unwrap();
    }
    writer.await.unwrap();
    while reseal(&house.one, &both, &[SECRET]).await.unwrap() > 0 {}
    let (_, sealed) = secret(&house.one, "hq").await;
    assert_eq!(new.open(SECRET.at("hq"), &sealed.unwrap()).unwrap().expose(), b"150");
}

async fn a_value_that_does_not_open_is_named_and_left(house: House) {
    let (old, both, _) = rotated(house.one.ctx());
    let moved = old.seal(house.one.ctx(), SECRET.at("elsewhere"), b"secret");
    add_door_system(&house.one, "hq", Some(moved.clone())).await;
    let error = reseal(&house.one, &both, &[SECRET]).await.unwrap_err();
    assert!(matches!(&error, KeysError::SealedValue { source: SealError::Broken, .. }), "{error}");
    assert!(error.to_string().starts_with("door_system.secret_sealed of \"hq\" cannot be opened"), "{error}");
    assert_eq!(secret(&house.one, "hq").await, (1, Some(moved)));
}

async fn an_operator_changes_the_key_step_by_step_while_nodes_run(house: House) {
    let db = &house.one;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealing.keys");
    let command = SealingKeys::create_file(&path, db.ctx()).unwrap();
    // Two nodes, each with what it has read: one reads the file again in time, the other last of all.
    let (quick, slow) = (SealingKeys::load(&path).unwrap(), SealingKeys::load(&path).unwrap());
    let ring = KeyRing::open(db.clone(), quick.clone(), RotationPolicy::default()).await.unwrap();
    ring.sign_jwt(Alg::Rs256, "JWT", &json!({})).await.unwrap();
    add_door_system(db, "hq", Some(slow.seal(db.ctx(), SECRET.at("hq"), b"secret"))).await;

    let old = command.current();
    let new = SealingKeys::add_key(&path, db.ctx()).unwrap();
    ring.maintain().await.unwrap();
    assert_eq!((quick.ids(), slow.ids()), (vec![old.clone(), new.clone()], vec![old.clone()]));
    SealingKeys::promote_key(&path, &new).unwrap();
    ring.maintain().await.unwrap();
    assert_eq!((quick.current(), slow.current()), (new.clone(), old.clone()));

    assert_eq!(reseal(db, &quick, &[SECRET]).await.unwrap(), 4);
    let (_, sealed) = secret(db, "hq").await;
    assert_eq!(slow.open(SECRET.at("hq"), &sealed.unwrap()).unwrap().expose(), b"secret");

    // A third node sealed with the old key while it had not read the file.
    add_door_system(db, "late", Some(command.seal(db.ctx(), SECRET.at("late"), b"late"))).await;
    let soon = retire_key(db, &path, &old, &[SECRET]).await.unwrap_err();
    assert!(matches!(soon, RetireError::TooSoon { seconds: 1..=120, .. }), "{soon}");
    house.advance(std::time::Duration::from_secs(600));
    let used = retire_key(db, &path, &old, &[SECRET]).await.unwrap_err();
    assert!(matches!(&used, RetireError::InUse { values: 1, .. }), "{used}");
    assert!(used.to_string().contains("door_system.secret_sealed; reseal first"), "{used}");
    let seals = retire_key(db, &path, &new, &[SECRET]).await.unwrap_err();
    assert!(matches!(seals, RetireError::File(KeyFileError::Seals { .. })), "{seals}");
    assert_eq!(SealingKeys::load(&path).unwrap().ids(), [new.clone(), old.clone()], "all refused");

    assert_eq!(reseal(db, &quick, &[SECRET]).await.unwrap(), 1);
    retire_key(db, &path, &old, &[SECRET]).await.unwrap();
    ring.maintain().await.unwrap();
    assert_eq!(quick.ids(), [new]);
    assert_eq!(KeyRing::check(db, &quick).await.unwrap(), 3);
}
