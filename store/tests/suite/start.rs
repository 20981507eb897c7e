//! Opening: what cannot be used is refused, with one clear error, and nothing is changed in it.

use std::sync::Arc;

use kernel::{Ctx, Secret};
use parts::skip;
use store::{Db, DbConfig, Origin, Sinks, StartError, StoreError, delivery, sql};

use crate::house::{House, MovedClock, config, ctx, folder, make, patient, settle};

on_every_engine!(
    opening_again_finds_everything,
    a_newer_database_is_refused,
    a_tampered_migration_is_refused,
    it_says_whether_it_works,
    while_the_clock_is_wrong_nothing_is_written_and_afterwards_again,
    looking_migrates_nothing,
    it_says_whether_it_can_be_written,
);

async fn open(config: &DbConfig) -> Result<Db, StartError> {
    patient(Db::open(config, ctx(&Arc::new(MovedClock::default())), Sinks::default())).await
}

async fn opening_again_finds_everything(house: House) {
    make(&house.db, "kept").await.unwrap();
    house.db.close().await;
    let again = house.another_node().await;
    let things: Vec<(String,)> = again.all(sql!("SELECT name FROM thing"), ()).await.unwrap();
    assert_eq!(things, [("kept".to_owned(),)]);
}

async fn a_newer_database_is_refused(house: House) {
    house
        .run(sql!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'of the future', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1"
        ))
        .await;
    let refused = open(&house.config).await.unwrap_err();
    assert!(matches!(refused, StartError::Newer(9999)), "{refused:?}");
    assert!(refused.to_string().contains("run that release"), "{refused}");
}

async fn a_tampered_migration_is_refused(house: House) {
    house
        .run(sql!(
            "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1) \
             WHERE version = 2"
        ))
        .await;
    let refused = open(&house.config).await.unwrap_err();
    assert!(matches!(refused, StartError::Tampered(2)), "{refused:?}");
}

async fn it_says_whether_it_works(house: House) {
    house.db.check().await.unwrap();
    house.db.close().await;
    house.db.check().await.unwrap_err();
}

/// Nobody calls a check in this test: whoever serves watches its clock.
async fn while_the_clock_is_wrong_nothing_is_written_and_afterwards_again(house: House) {
    let _serving = house.db.serve().await.unwrap();
    for off in [5_000, -5_000] {
        house.clock.set(off);
        if !house.db.is_postgres() {
            make(&house.db, &off.to_string()).await.expect("a file has no clock of its own");
            continue;
        }
        patient(async {
            while make(&house.db, &Ctx::system().random::<8>().map(|n| n.to_string()).concat()).await.is_ok()
            {
                settle().await;
            }
        })
        .await;
        let clock = |failed: Result<(), StoreError>| matches!(failed, Err(StoreError::Clock(4_900..=5_100)));
        assert!(clock(make(&house.db, "x").await), "in a transaction");
        let text = sql!("UPDATE thing SET n = n + 1");
        assert!(
            clock(house.db.change(Origin::system(), text, (), Vec::new()).await.map(drop)),
            "in a change"
        );
        let lease = std::time::Duration::from_secs(1);
        assert!(clock(delivery::claim(&house.db, "door", lease, 1, false).await.map(drop)), "in a claim");
        assert!(matches!(house.db.check().await, Err(StartError::Clock(_))), "and it says so");
        house.things().await;
        house.clock.set(0);
        patient(async {
            while make(&house.db, &off.to_string()).await.is_err() {
                settle().await;
            }
        })
        .await;
    }
}

/// What the writer's own connection is set to: a revocation that was acknowledged must survive a power cut.
#[tokio::test]
async fn the_writer_syncs_each_commit_keeps_a_log_and_checks_references() {
    let house = House::sqlite().await;
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let synchronous: (i64,) = tx.one(sql!("PRAGMA synchronous"), ()).await.unwrap();
    let journal: (String,) = tx.one(sql!("PRAGMA journal_mode"), ()).await.unwrap();
    let references: (i64,) = tx.one(sql!("PRAGMA foreign_keys"), ()).await.unwrap();
    assert_eq!((synchronous.0, journal.0.as_str(), references.0), (2, "wal", 1), "FULL, WAL, on");
    tx.refuse().await.unwrap();
}

/// What is erased must not lie for long where nobody looks.
#[tokio::test]
async fn what_is_deleted_is_written_over_and_a_log_that_grew_is_cut_off_again() {
    const LIMIT: u64 = 4 * 1024 * 1024;
    let house = House::sqlite().await;
    let DbConfig::Sqlite { path } = &house.config else { panic!("{:?}", house.config) };
    let log = format!("{}-wal", path.display());
    let length = || std::fs::metadata(&log).unwrap().len();
    let mut tx = house.db.write(Origin::system()).await.unwrap();
    let written_over: (i64,) = tx.one(sql!("PRAGMA secure_delete"), ()).await.unwrap();
    assert_eq!(written_over.0, 1);
    let large = sql!("INSERT INTO lease (name, holder, until) VALUES ('large', $1, 0)");
    tx.run(large, ("x".repeat(8 * 1024 * 1024),)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(length() > LIMIT, "{}", length());
    for name in ["one", "two", "three"] {
        make(&house.db, name).await.unwrap();
    }
    assert!(length() <= LIMIT, "{}", length());
}

/// The statements of a migration, without comments, in capital letters.
fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    code.join(" ").to_uppercase().split(';').map(|statement| statement.trim().to_owned()).collect()
}

/// A deferred constraint would fail a COMMIT that others share, and any constraint on what a commit itself writes
/// would fail them all.
#[test]
fn no_constraint_can_fail_a_shared_commit() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let (mut files, mut written_by_commits) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        files += 1;
        for statement in statements(&std::fs::read_to_string(&path).unwrap()) {
            let place = path.display();
            assert!(!statement.contains("DEFERR"), "{place}: {statement}");
            let mut words = statement.split_whitespace();
            let of = |table: Option<&str>| matches!(table, Some("FACT" | "FACT_ABOUT" | "DELIVERY"));
            if matches!(words.next(), Some("CREATE" | "ALTER"))
                && words.next() == Some("TABLE")
                && of(words.next())
            {
                written_by_commits += 1;
                for constraint in ["CHECK", "REFERENCES", "FOREIGN KEY"] {
                    assert!(!statement.contains(constraint), "{place}: {statement}");
                }
            }
        }
    }
    assert!(files >= 6 && written_by_commits >= 4, "{files} files, {written_by_commits} statements");
}

async fn look(config: &DbConfig) -> Result<Db, StartError> {
    patient(Db::open_existing(config, ctx(&Arc::new(MovedClock::default())), Sinks::default())).await
}

async fn looking_migrates_nothing(house: House) {
    look(&house.config).await.unwrap();
    let forget =
        sql!("DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)");
    house.run(forget).await;
    let refused = look(&house.config).await.unwrap_err();
    assert!(matches!(refused, StartError::Pending(1)), "{refused:?}");
    assert!(refused.to_string().contains("cardea serve"), "{refused}");
    house.run(sql!("DROP TABLE _sqlx_migrations")).await;
    assert!(matches!(look(&house.config).await, Err(StartError::Pending(2..))));
}

async fn it_says_whether_it_can_be_written(house: House) {
    house.db.check_writer().await.unwrap();
    house.db.check_writer().await.unwrap();
    house.run(sql!("DROP TABLE lease")).await;
    house.db.check().await.unwrap();
    house.db.check_writer().await.unwrap_err();
}

#[tokio::test]
async fn looking_makes_no_file() {
    let folder = folder();
    let path = folder.path().join("mistyped.db");
    let refused = look(&DbConfig::Sqlite { path: path.clone() }).await.unwrap_err();
    assert!(matches!(refused, StartError::Missing(_)), "{refused:?}");
    assert!(refused.to_string().contains("mistyped.db"), "{refused}");
    assert!(!path.exists());
    // An empty file is no database of ours, and stays empty.
    std::fs::write(&path, "").unwrap();
    let refused = look(&DbConfig::Sqlite { path: path.clone() }).await.unwrap_err();
    assert!(matches!(refused, StartError::Pending(_)), "{refused:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

fn unreachable(refused: &StartError, words: &[&str]) {
    assert!(matches!(refused, StartError::Unreachable { .. }), "{refused:?}");
    let text = refused.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

async fn at_once(config: &DbConfig) {
    let nodes: Vec<_> = (0..6)
        .map(|_| {
            let config = config.clone();
            tokio::spawn(async move { open(&config).await })
        })
        .collect();
    for node in nodes {
        let db = node.await.unwrap().expect("each finds it migrated or migrates it");
        assert_eq!(db.one::<(i64,)>(sql!("SELECT COUNT(*) FROM fact"), ()).await.unwrap(), (0,));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_open_an_empty_file_at_once() {
    let folder = folder();
    at_once(&DbConfig::Sqlite { path: folder.path().join("cardea.db") }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_may_open_an_empty_database_at_once() {
    let Some(database) = parts::postgres() else { skip!("{}", parts::NO_POSTGRES) };
    at_once(&config(&database)).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("cardea.db");
    let text = "Dear diary, ".repeat(1_000);
    std::fs::write(&path, &text).unwrap();
    let refused = open(&DbConfig::Sqlite { path: path.clone() }).await.unwrap_err();
    unreachable(&refused, &[&path.display().to_string(), "not a database", "another file is in its place"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_folder_that_is_missing_or_not_writable_is_refused() {
    let missing = folder().path().join("no such folder/cardea.db");
    // Nobody may make files there, not even root.
    let not_writable = "/proc/self/cardea.db".into();
    for path in [missing, not_writable] {
        let refused = open(&DbConfig::Sqlite { path: path.clone() }).await.unwrap_err();
        unreachable(&refused, &[&path.display().to_string(), "must exist", "must be writable"]);
    }
}

fn tables(database: &parts::Database) -> String {
    database.query("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'")
}

#[tokio::test]
async fn a_server_database_that_does_not_sort_bytewise_is_refused_before_it_is_changed() {
    for (how, named) in [
        ("ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'", "C.UTF-8"),
        ("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'", "en-US"),
        ("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'", "LATIN1"),
        ("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", "SQL_ASCII"),
    ] {
        let Some(database) = parts::postgres_made(how) else { skip!("{}", parts::NO_POSTGRES) };
        let refused = open(&config(&database)).await.unwrap_err();
        assert!(matches!(refused, StartError::Collation(_)), "{how}: {refused:?}");
        let text = refused.to_string();
        assert!(
            text.contains(named) && text.contains("CREATE DATABASE") && text.contains("LC_COLLATE 'C'"),
            "{text}"
        );
        assert_eq!(tables(&database), "0", "{how}");
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_more_than_2_s_off_is_refused_before_it_is_changed() {
    for (off, refused) in [(-3_000, true), (3_000, true), (-1_000, false), (1_000, false)] {
        let Some(database) = parts::postgres() else { skip!("{}", parts::NO_POSTGRES) };
        let opened = Db::open(&config(&database), ctx(&MovedClock::off_by(off)), Sinks::default()).await;
        match opened {
            Err(StartError::Clock(apart)) => {
                assert!(refused && (2_900..=3_100).contains(&apart), "{off}: {apart}")
            }
            other => assert!(!refused && other.is_ok(), "{off}: {other:?}"),
        }
        assert_eq!(tables(&database) == "0", refused, "{off}");
    }
}

#[tokio::test]
async fn a_clock_that_goes_wrong_later_is_found_by_the_check() {
    let Some(house) = House::postgres().await else { return };
    house.pass(std::time::Duration::from_secs(5));
    let refused = house.db.check().await.unwrap_err();
    assert!(matches!(refused, StartError::Clock(4_900..=5_100)), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_without_the_password() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = |url: String| DbConfig::Postgres { url: Secret::new(url), connections: 2 };
    let refused =
        open(&config(format!("postgres://cardea:secret-password@{nobody}/house"))).await.unwrap_err();
    unreachable(&refused, &[&format!("{nobody}/house")]);
    assert!(!format!("{refused} {refused:?}").contains("secret-password"), "{refused:?}");
    let refused =
        open(&config("postgres://cardea:secret-password@[nonsense/house".into())).await.unwrap_err();
    unreachable(&refused, &["PostgreSQL"]);
    assert!(!format!("{refused} {refused:?}").contains("secret-password"), "{refused:?}");
    let refused = open(&config("mysql://cardea:secret-password@localhost/house".into())).await.unwrap_err();
    unreachable(&refused, &[]);
    assert!(!format!("{refused} {refused:?}").contains("secret-password"), "{refused:?}");
}

#[tokio::test]
async fn a_server_without_the_database_is_told() {
    let Some(database) = parts::postgres() else { skip!("{}", parts::NO_POSTGRES) };
    let url = format!("{}_nowhere", database.url());
    let refused = open(&DbConfig::Postgres { url: Secret::new(url), connections: 2 }).await.unwrap_err();
    unreachable(&refused, &["_nowhere", "does not exist"]);
}
