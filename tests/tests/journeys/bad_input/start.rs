//! What keeps the server from starting: one line on standard error that says what to do, and an exit code.

use kernel::Ctx;
use store::sql;
use store::{Db, DbConfig, Origin, Sinks, Sql};
use world::{Served, Spoken, parts, skip};

/// Ended as something that failed, was not there or was misconfigured, with one line that says so.
#[track_caller]
fn refused(said: &Spoken, says: &str) {
    assert!(matches!(said.code, Some(1 | 69 | 78)), "{said:?}");
    assert!(said.err.contains(says), "{says:?} in {said:?}");
    let complaints = said.err.lines().filter(|line| line.starts_with("cardea: ")).count();
    assert_eq!(complaints, 1, "{said:?}");
    assert!(!said.err.contains("panicked"), "{said:?}");
}

fn config(house: &Served) -> String {
    std::fs::read_to_string(house.config()).unwrap()
}

#[tokio::test]
async fn a_wrong_config_key_is_named_with_its_line() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    house.write("cardea.toml", &config(&house).replace("[http]\n", "[http]\nlisen = [\"127.0.0.1:1\"]\n"));
    for command in ["serve", "check"] {
        let said = house.cardea(&[command]).await;
        refused(&said, "unknown field `lisen`");
        assert!(said.err.contains("line "), "{said:?}");
    }
    std::fs::remove_file(house.config()).unwrap();
    refused(&house.cardea(&["serve"]).await, "Make one with: cardea init");
}

#[tokio::test]
async fn a_missing_or_another_sealing_key_is_told() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let mut house = Served::prepare(&binary).await;
    // So that there is something sealed.
    house.serve().await;
    house.stop().await;
    let key = house.folder.path().join("sealing.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    refused(&house.cardea(&["serve"]).await, "sealing.key");
    keys::SealingKeys::create_file(&key, &Ctx::system()).unwrap();
    refused(&house.cardea(&["serve"]).await, "is not in the sealing key file; put that key's line back");
    std::fs::write(&key, kept).unwrap();
    house.must(&["check"]).await;
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let which = DbConfig::Sqlite { path: house.folder.path().join("cardea.sqlite") };
    let db = Db::open(&which, Ctx::system(), Sinks::default()).await.unwrap();
    let newer = Sql::assembled(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', TRUE, x'00', 0)"
            .into(),
    );
    db.change(Origin::system(), newer, (), Vec::new()).await.unwrap();
    let facts: (i64,) = db.one(sql!("SELECT COUNT(*) FROM fact"), ()).await.unwrap();
    for arguments in [&["serve"][..], &["apply", "--yes", &house.path("grid.toml")], &["audit", "verify"]] {
        refused(&house.cardea(arguments).await, "migrated by a newer release (migration 9999)");
    }
    let after: (i64,) = db.one(sql!("SELECT COUNT(*) FROM fact"), ()).await.unwrap();
    assert_eq!(after, facts);
    db.close().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let port = house.issuer.rsplit(':').next().unwrap().parse().unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    refused(
        &house.cardea(&["serve"]).await,
        "something listens there already; stop it, or change http.listen",
    );
}

#[tokio::test]
async fn a_postgres_database_that_sorts_as_english_is_refused() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let Some(database) = parts::postgres_sorting_as_english() else { skip!("{}", parts::NO_POSTGRES) };
    let house = Served::prepare(&binary).await;
    house.write("postgres.url", database.url());
    house.write("cardea.toml", &(config(&house) + "\n[database.postgres]\nurl_file = \"postgres.url\"\n"));
    refused(&house.cardea(&["serve"]).await, "LC_COLLATE 'C'");
    assert_eq!(
        database.query("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0",
        "nothing was made"
    );
}
