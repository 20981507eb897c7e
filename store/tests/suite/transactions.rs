//! Transactions: nothing is lost, nothing is half-done, and both engines say the same.

use std::sync::Arc;

use kernel::Timestamp;
use store::{Address, Db, Origin, StoreError, Value, delivery, sql};

use crate::house::{House, insert, made, make, patient, settle, subject};
use crate::wire::far_node;

on_every_engine!(
    two_hundred_writers_at_once_are_all_served,
    a_lost_update_is_refused,
    read_modify_write_under_load_loses_nothing,
    a_taken_value_names_the_same_index,
    every_unique_index_is_named_as_taken_names_it,
    after_an_error_nothing_can_be_kept,
    after_a_statement_that_was_cancelled_nothing_can_be_kept,
    what_is_refused_or_dropped_leaves_nothing,
    only_what_is_committed_is_seen_from_outside,
    a_commit_that_fails_keeps_nothing,
    a_change_records_its_fact_when_it_changed_something,
    values_come_back_as_they_went,
    pages_are_sorted_bytewise,
    the_common_subset_means_the_same,
    a_missing_row_is_told,
    a_value_that_does_not_read_is_told,
    after_closing_everything_is_there_and_nobody_writes,
    completing_and_raising_at_once_does_not_deadlock,
);

async fn two_hundred_writers_at_once_are_all_served(house: House) {
    let writers: Vec<_> = (0..200)
        .map(|n| {
            let db = house.db.clone();
            tokio::spawn(async move {
                let name = format!("{n:03}");
                if n % 2 == 0 {
                    let text = sql!("INSERT INTO thing (name, n, version) VALUES ($1, 0, 1)");
                    return db.change(Origin::system(), text, (&name,), vec![made(&name)]).await.map(drop);
                }
                let mut tx = db.write(Origin::system()).await?;
                let (count,): (i64,) = tx.one(sql!("SELECT COUNT(*) FROM thing"), ()).await?;
                insert(&mut tx, &name).await?;
                tx.run(sql!("UPDATE thing SET n = $1 WHERE name = $2"), (count, &name)).await?;
                tx.record(made(&name));
                tx.commit().await
            })
        })
        .collect();
    for (n, writer) in writers.into_iter().enumerate() {
        patient(writer).await.unwrap().unwrap_or_else(|error| panic!("writer {n}: {error:?}"));
    }
    let expected: Vec<_> = (0..200).map(|n| format!("{n:03}")).collect();
    assert_eq!(house.things().await, expected);
    assert_eq!(house.facts().await, 200);
}

const NEXT_VERSION: store::Sql =
    sql!("UPDATE thing SET n = $1, version = version + 1 WHERE name = $2 AND version = $3");

async fn a_lost_update_is_refused(house: House) {
    make(&house.db, "row").await.unwrap();
    let mut faster = house.db.write(Origin::system()).await.unwrap();
    faster.run_versioned(NEXT_VERSION, (10i64, "row", 1i64)).await.unwrap();
    faster.commit().await.unwrap();
    let mut slower = house.db.write(Origin::system()).await.unwrap();
    let refused = slower.run_versioned(NEXT_VERSION, (20i64, "row", 1i64)).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert!(
        matches!(slower.commit().await, Err(StoreError::Conflict)),
        "and cannot be committed all the same"
    );
    assert_eq!(house.one::<(i64, i64)>(sql!("SELECT n, version FROM thing")).await, (10, 2));
}

async fn read_modify_write_under_load_loses_nothing(house: House) {
    make(&house.db, "row").await.unwrap();
    let add_one = |db: Db| async move {
        let mut tx = db.write(Origin::system()).await?;
        let (n, version): (i64, i64) = tx.one(sql!("SELECT n, version FROM thing"), ()).await?;
        let outcome = tx.run_versioned(NEXT_VERSION, (n + 1, "row", version)).await;
        tx.end(outcome).await
    };
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let db = house.db.clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    while let Err(error) = add_one(db.clone()).await {
                        assert!(matches!(error, StoreError::Conflict), "{error:?}");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        patient(writer).await.unwrap();
    }
    assert_eq!(house.one::<(i64,)>(sql!("SELECT n FROM thing")).await, (100,));
}

async fn a_taken_value_names_the_same_index(house: House) {
    house.run(sql!("CREATE TABLE place (area TEXT NOT NULL, room BIGINT, closed_at BIGINT, key TEXT NOT NULL, PRIMARY KEY (area, key))")).await;
    house.run(sql!("CREATE UNIQUE INDEX place_room ON place (room)")).await;
    house.run(sql!("CREATE UNIQUE INDEX place_area_room ON place (area, room)")).await;
    house.run(sql!("CREATE UNIQUE INDEX place_key ON place (key) WHERE closed_at IS NULL")).await;
    let place = |area: &str, room: Option<i64>, closed_at: Option<i64>, key: &str| {
        let values: Vec<Value> = vec![area.into(), room.into(), closed_at.into(), key.into()];
        let db = house.db.clone();
        async move {
            let text = sql!("INSERT INTO place (area, room, closed_at, key) VALUES ($1, $2, $3, $4)");
            db.change(Origin::system(), text, values, Vec::new()).await
        }
    };
    place("a", Some(1), None, "k").await.unwrap();
    place("b", None, Some(1), "k").await.expect("the partial index does not see closed ones");
    for (taken, outcome) in [
        ("place_pkey", place("b", None, Some(2), "k").await),
        ("place_room", place("c", Some(1), None, "l").await),
        ("place_key", place("c", None, None, "k").await),
    ] {
        let error = outcome.unwrap_err();
        assert!(error.is_taken(taken), "{taken}: {error:?}");
    }
    house.run(sql!("DROP INDEX place_room")).await;
    let error = place("a", Some(1), None, "m").await.unwrap_err();
    assert!(error.is_taken("place_area_room"), "{error:?}");
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let taken =
        tx.run(sql!("INSERT INTO place (area, key, closed_at) VALUES ('a', 'k', 1)"), ()).await.unwrap_err();
    assert!(taken.is_taken("place_pkey"), "{taken:?}");
}

/// `Taken` is told by `table_column[_column]`: so must the indexes be called.
async fn every_unique_index_is_named_as_taken_names_it(house: House) {
    let indexes: Vec<(String, String, String)> = if house.db.is_postgres() {
        house
            .all(sql!(
                "SELECT i.relname::text, t.relname::text, string_agg(a.attname::text, '_' ORDER BY k.n) \
                 FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid \
                 CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k (attnum, n) \
                 JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum \
                 WHERE x.indisunique AND NOT x.indisprimary AND t.relnamespace = 'public'::regnamespace \
                 GROUP BY i.relname, t.relname"
            ))
            .await
    } else {
        house
            .all(sql!(
                "SELECT i.name, t.name, (SELECT group_concat(name, '_') FROM (SELECT name FROM pragma_index_info(i.name) \
                 ORDER BY seqno)) FROM sqlite_master t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' \
                 AND i.\"unique\" = 1 AND i.origin <> 'pk'"
            ))
            .await
    };
    assert!(indexes.len() > 3, "{indexes:?}");
    for (index, table, columns) in indexes {
        assert_eq!(index, format!("{table}_{columns}"));
    }
}

async fn after_an_error_nothing_can_be_kept(house: House) {
    make(&house.db, "there").await.unwrap();
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "before").await.unwrap();
    tx.record(made("before"));
    insert(&mut tx, "there").await.unwrap_err();
    assert!(
        insert(&mut tx, "after").await.unwrap_err().is_taken("thing_pkey"),
        "the first error is told again"
    );
    assert!(tx.commit().await.unwrap_err().is_taken("thing_pkey"));
    assert_eq!(house.things().await, ["there"]);
    assert_eq!(house.facts().await, 1);
}

async fn after_a_statement_that_was_cancelled_nothing_can_be_kept(house: House) {
    loop {
        let mut tx = house.db.write(Origin::system()).await.unwrap();
        insert(&mut tx, "before").await.unwrap();
        // Cancelled, unless it was faster.
        if futures_util::poll!(std::pin::pin!(insert(&mut tx, "cancelled"))).is_pending() {
            assert!(matches!(tx.commit().await, Err(StoreError::Conflict)));
            break;
        }
    }
    assert!(house.things().await.is_empty());
}

async fn what_is_refused_or_dropped_leaves_nothing(house: House) {
    for refuse in [true, false] {
        let mut tx = house.db.write(Origin::system()).await.unwrap();
        insert(&mut tx, "undone").await.unwrap();
        tx.record(made("undone").to(Address::message("mail", subject("undone"))));
        if refuse { tx.refuse().await.unwrap() } else { drop(tx) }
    }
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "undone").await.unwrap();
    let ended: Result<(), StoreError> = tx.end(Err(StoreError::Busy)).await;
    assert!(matches!(ended, Err(StoreError::Busy)), "its own error, not another: {ended:?}");
    make(&house.db, "kept").await.unwrap();
    assert_eq!(house.things().await, ["kept"]);
    assert_eq!((house.facts().await, delivery::depth(&house.db).await.unwrap()), (1, (0, 0)));
}

async fn only_what_is_committed_is_seen_from_outside(house: House) {
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "new").await.unwrap();
    assert!(house.things().await.is_empty());
    let inside: Vec<(String,)> = tx.all(sql!("SELECT name FROM thing"), ()).await.unwrap();
    assert_eq!(inside, [("new".to_owned(),)]);
    tx.commit().await.unwrap();
    assert_eq!(house.things().await, ["new"]);
}

/// On SQLite the members of the group cannot know; PostgreSQL says what it was.
async fn a_commit_that_fails_keeps_nothing(house: House) {
    house
        .run(sql!(
            "CREATE TABLE child (thing TEXT NOT NULL REFERENCES thing (name) DEFERRABLE INITIALLY DEFERRED)"
        ))
        .await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "new").await.unwrap();
    tx.run(sql!("INSERT INTO child (thing) VALUES ('nobody')"), ()).await.unwrap();
    tx.record(made("new"));
    let failed = tx.commit().await;
    match house.db.is_postgres() {
        true => assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}"),
        false => assert!(matches!(failed, Err(StoreError::OutcomeUnknown)), "{failed:?}"),
    }
    make(&house.db, "later").await.unwrap();
    assert_eq!(house.things().await, ["later"]);
    assert_eq!(house.facts().await, 1);
}

async fn a_change_records_its_fact_when_it_changed_something(house: House) {
    make(&house.db, "row").await.unwrap();
    let change = |name: &'static str| {
        let text = sql!("UPDATE thing SET n = n + 1 WHERE name = $1");
        house.db.change(Origin::system(), text, (name,), vec![made(name), made("second")])
    };
    assert_eq!(change("nobody").await.unwrap(), 0);
    assert_eq!(house.facts().await, 1);
    assert_eq!(change("row").await.unwrap(), 1);
    assert_eq!(house.facts().await, 3);
    let bare = sql!("UPDATE thing SET n = n + 1");
    assert_eq!(house.db.change(Origin::system(), bare, (), Vec::new()).await.unwrap(), 1);
    assert_eq!(house.facts().await, 3);
    assert_eq!(house.one::<(i64,)>(sql!("SELECT n FROM thing")).await, (2,));
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Everything {
    yes: bool,
    no: Option<bool>,
    number: i64,
    missing: Option<i64>,
    text: String,
    bytes: Vec<u8>,
    at: Timestamp,
    list: store::JsonText<Vec<String>>,
}

async fn values_come_back_as_they_went(house: House) {
    house
        .run(sql!(
            "CREATE TABLE everything (yes BOOLEAN NOT NULL, no BOOLEAN, number BIGINT NOT NULL, missing BIGINT, \
             text TEXT NOT NULL, bytes BYTEA NOT NULL, at BIGINT NOT NULL, list TEXT NOT NULL)"
        ))
        .await;
    let went = Everything {
        yes: true,
        no: None,
        number: i64::MIN,
        missing: None,
        text: "Ünï '; DROP TABLE thing; -- \u{1F6AA}".into(),
        bytes: vec![0, 255, b'\'', 0],
        at: house.db.ctx().now(),
        list: store::JsonText(vec!["a".into(), "\"".into()]),
    };
    let text = sql!("INSERT INTO everything VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    let values = (went.yes, went.no, went.number, went.missing, &went.text, &went.bytes, went.at, &went.list);
    house.db.change(Origin::system(), text, values, Vec::new()).await.unwrap();
    assert_eq!(house.one::<Everything>(sql!("SELECT * FROM everything")).await, went);
}

async fn pages_are_sorted_bytewise(house: House) {
    for name in ["b", "A", "a", "Z", "ä", "_", "a-b", "ab"] {
        make(&house.db, name).await.unwrap();
    }
    assert_eq!(house.things().await, ["A", "Z", "_", "a", "a-b", "ab", "b", "ä"]);
    let after: Vec<(String,)> = house
        .db
        .all(sql!("SELECT name FROM thing WHERE (n, name) > ($1, $2) ORDER BY n, name LIMIT 2"), (0i64, "a"))
        .await
        .unwrap();
    assert_eq!(after, [("a-b".to_owned(),), ("ab".to_owned(),)]);
}

async fn the_common_subset_means_the_same(house: House) {
    for name in ["one", "two", "three"] {
        make(&house.db, name).await.unwrap();
    }
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let upsert = sql!(
        "INSERT INTO thing (name, n, version) VALUES ($1, $2, 1) ON CONFLICT (name) DO UPDATE SET n = excluded.n \
         RETURNING version, n"
    );
    assert_eq!(tx.one::<(i64, i64)>(upsert, ("two", 2i64)).await.unwrap(), (1, 2));
    let nothing = sql!("INSERT INTO thing (name, n, version) VALUES ($1, 9, 9) ON CONFLICT DO NOTHING");
    assert_eq!(tx.run(nothing, ("two",)).await.unwrap(), 0);
    let copy = sql!(
        "WITH source AS (SELECT name, n FROM thing WHERE n > $1) \
         INSERT INTO thing (name, n, version) SELECT name || '-copy', n, 1 FROM source"
    );
    assert_eq!(tx.run(copy, (0i64,)).await.unwrap(), 1);
    let from = sql!(
        "UPDATE thing SET n = other.n + 1 FROM thing AS other WHERE thing.name = 'one' AND other.name = 'two'"
    );
    assert_eq!(tx.run(from, ()).await.unwrap(), 1);
    let counted = sql!("SELECT COUNT(*) FILTER (WHERE n > 0), CAST(SUM(n) AS BIGINT) FROM thing");
    assert_eq!(tx.one::<(i64, i64)>(counted, ()).await.unwrap(), (3, 7));
    let ranked: Vec<(String, i64)> = tx
        .all(sql!("SELECT name, ROW_NUMBER() OVER (ORDER BY n DESC, name) FROM thing ORDER BY 2"), ())
        .await
        .unwrap();
    assert_eq!(ranked[0], ("one".into(), 1));
    let gone: Vec<(String,)> =
        tx.all(sql!("DELETE FROM thing WHERE n = $1 RETURNING name"), (0i64,)).await.unwrap();
    assert_eq!(gone, [("three".to_owned(),)]);
    tx.commit().await.unwrap();
    assert_eq!(house.things().await, ["one", "two", "two-copy"]);
}

async fn a_missing_row_is_told(house: House) {
    assert_eq!(house.db.opt::<(i64,)>(sql!("SELECT n FROM thing"), ()).await.unwrap(), None);
    let missing = house.db.one::<(i64,)>(sql!("SELECT n FROM thing"), ()).await;
    assert!(
        matches!(&missing, Err(StoreError::Inconsistent(text)) if text.contains("SELECT n FROM thing")),
        "{missing:?}"
    );
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    tx.one::<(i64,)>(sql!("SELECT n FROM thing"), ()).await.unwrap_err();
    assert!(matches!(tx.commit().await, Err(StoreError::Inconsistent(_))));
}

async fn a_value_that_does_not_read_is_told(house: House) {
    make(&house.db, "not an id").await.unwrap();
    let read = house.db.all::<(kernel::id::UserId,)>(sql!("SELECT name FROM thing"), ()).await;
    assert!(matches!(read, Err(StoreError::Inconsistent(_))), "{read:?}");
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "other").await.unwrap();
    tx.all::<(kernel::id::UserId,)>(sql!("SELECT name FROM thing"), ()).await.unwrap_err();
    assert!(matches!(tx.commit().await, Err(StoreError::Inconsistent(_))));
    assert_eq!(house.things().await, ["not an id"]);
}

async fn after_closing_everything_is_there_and_nobody_writes(house: House) {
    let tx = house.db.write(Origin::system()).await.unwrap();
    let db = house.db.clone();
    let waiting = tokio::spawn(async move { make(&db, "in line").await });
    settle().await;
    let db = house.db.clone();
    let closing = tokio::spawn(async move { db.close().await });
    settle().await;
    tx.commit().await.unwrap();
    patient(closing).await.unwrap();
    patient(waiting).await.unwrap().unwrap();
    let refused = patient(make(&house.db, "too late")).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert!(house.db.all::<(String,)>(sql!("SELECT name FROM thing"), ()).await.is_err());
    let again = house.another_node().await;
    let there: Vec<(String,)> = again.all(sql!("SELECT name FROM thing"), ()).await.unwrap();
    assert_eq!(there, [("in line".to_owned(),)]);
}

/// A reconciler that completes its row raises others in the same transaction; a request raises the same rows.
async fn completing_and_raising_at_once_does_not_deadlock(house: House) {
    const SINKS: [&str; 3] = ["a", "b", "c"];
    async fn raise(db: Db) -> Result<(), StoreError> {
        let mut tx = db.write(Origin::system()).await?;
        tx.record(
            SINKS.iter().fold(made("x"), |fact, sink| fact.to(Address::reconcile(*sink, subject("x")))),
        );
        tx.commit().await
    }
    raise(house.db.clone()).await.unwrap();
    let house = Arc::new(house);
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let house = house.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..60 {
                raise(house.db.clone()).await.expect("raised without a deadlock");
            }
        }));
    }
    for sink in SINKS {
        let house = house.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..60 {
                let lease = std::time::Duration::from_secs(5);
                for row in delivery::claim(&house.db, sink, lease, 1, false).await.unwrap() {
                    let mut tx = house.db.write(Origin::system()).await.unwrap();
                    let others = SINKS.iter().filter(|other| **other != sink);
                    tx.record(
                        others
                            .fold(made("x"), |fact, other| fact.to(Address::reconcile(*other, subject("x")))),
                    );
                    row.complete(&mut tx).await.expect("completed without a deadlock");
                    tx.commit().await.expect("committed without a deadlock");
                }
            }
        }));
    }
    for task in tasks {
        patient(task).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_connection_was_cut_is_of_unknown_outcome() {
    let Some(house) = House::postgres().await else { return };
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    insert(&mut tx, "cut").await.unwrap();
    let (backend,): (i32,) = tx.one(sql!("SELECT pg_backend_pid()"), ()).await.unwrap();
    let cut = sql!("SELECT pg_terminate_backend(CAST($1 AS INTEGER))");
    assert_eq!(house.db.one::<(bool,)>(cut, (i64::from(backend),)).await.unwrap(), (true,));
    let unknown = tx.commit().await;
    assert!(matches!(unknown, Err(StoreError::OutcomeUnknown)), "{unknown:?}");
    make(&house.db, "later").await.expect("another connection is used");
    assert_eq!(house.things().await, ["later"]);
}

/// Whoever holds the one writer of SQLite, and does nothing with it, holds nobody for ever.
#[tokio::test]
async fn who_waits_too_long_for_a_turn_hears_that_it_is_busy() {
    let house = House::sqlite().await;
    let held = house.db.write(Origin::system()).await.unwrap();
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    assert!(matches!(house.db.write(Origin::system()).await, Err(StoreError::Busy)));
    assert_eq!(before.elapsed().as_secs(), 10);
    tokio::time::resume();
    held.refuse().await.unwrap();
    make(&house.db, "later").await.unwrap();
}

/// A claim may have been made although nobody heard so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_connection_was_cut_is_of_unknown_outcome() {
    let Some(house) = House::postgres().await else { return };
    let mut lock = house.db.write(Origin::system()).await.unwrap();
    lock.run(sql!("LOCK TABLE delivery IN ACCESS EXCLUSIVE MODE"), ()).await.unwrap();
    let db = house.db.clone();
    let lease = std::time::Duration::from_secs(30);
    let claim = tokio::spawn(async move { delivery::claim(&db, "door", lease, 1, false).await });
    let cut = sql!(
        "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE delivery%'"
    );
    patient(async {
        while house.one::<(i64,)>(cut.clone()).await == (0,) {
            settle().await;
        }
    })
    .await;
    let unknown = patient(claim).await.unwrap();
    assert!(matches!(unknown, Err(StoreError::OutcomeUnknown)), "{unknown:?}");
    lock.refuse().await.unwrap();
}

#[tokio::test]
async fn a_server_that_falls_silent_holds_nobody_for_ever() {
    let Some(house) = House::postgres().await else { return };
    let (cut, is_cut) = tokio::sync::watch::channel(false);
    let far = far_node(&house, is_cut).await;
    let mut tx = far.write(Origin::system()).await.unwrap();
    insert(&mut tx, "one").await.unwrap();
    cut.send(true).unwrap();
    let asked = tokio::spawn(async move {
        let failed = insert(&mut tx, "two").await;
        (failed, tx.commit().await)
    });
    settle().await;
    tokio::time::pause();
    // While a blocking task runs, tokio does not skip to the next timer by itself.
    let (held, released) = std::sync::mpsc::channel::<()>();
    let blocking = tokio::task::spawn_blocking(move || released.recv());
    assert!(!asked.is_finished());
    for _ in 0..2 {
        tokio::time::advance(std::time::Duration::from_secs(36)).await;
        settle().await;
    }
    let (failed, committed) = patient(asked).await.unwrap();
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    assert!(committed.is_err());
    drop(held);
    let _ = blocking.await;
}
