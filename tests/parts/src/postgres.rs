//! A fresh PostgreSQL database for one test.
//!
//! Spoken to through `psql`, so that the witness shares no code with the store, and so that a database
//! can be dropped without an async runtime.

use std::hash::{BuildHasher as _, RandomState};
use std::process::{Command, Stdio};

use url::Url;

/// Why a test without [`postgres`] is skipped.
pub const NO_POSTGRES: &str = "no PostgreSQL: CARDEA_TEST_POSTGRES is not set (tests/run sets it)";

/// A database that is dropped, with whoever is still connected, after this value is.
#[derive(Debug)]
pub struct Database {
    admin: Url,
    name: String,
    url: Url,
}

impl Database {
    /// Where it is: `postgres://user:password@host:port/cardea_…`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a statement in it and gives what `psql` prints unaligned: a line per row, `|` between columns.
    ///
    /// # Panics
    /// If the statement fails: the test cannot go on.
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        psql(&self.url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Not waited for: dropping waits for every connection that is just signing in, also to other databases, and the
        // one who signs in may be a task on this very thread. One that stays goes with its cluster.
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = command(&self.admin, &sql).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if let Ok(mut dropping) = dropping {
            std::thread::spawn(move || dropping.wait());
        }
    }
}

/// A new empty database as the house wants it: UTF-8, sorted bytewise (collation `C`).
///
/// `None` if `CARDEA_TEST_POSTGRES`, a superuser's URL, is not set.
///
/// # Panics
/// If it is set and the database cannot be made.
#[must_use]
pub fn postgres() -> Option<Database> {
    postgres_made("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
}

/// A new empty database that the house must refuse: UTF-8, sorted by the rules of English (ICU), although
/// its `datcollate` says `C`.
///
/// `None` and panics as [`postgres`].
#[must_use]
pub fn postgres_sorting_as_english() -> Option<Database> {
    postgres_made("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
}

/// A new empty database made in this way: the options of `CREATE DATABASE … TEMPLATE template0`.
///
/// `None` and panics as [`postgres`].
#[must_use]
pub fn postgres_made(how: &str) -> Option<Database> {
    let given = super::from_environment("CARDEA_TEST_POSTGRES")?;
    let given = given.to_string_lossy();
    let admin = Url::parse(&given).unwrap_or_else(|error| panic!("CARDEA_TEST_POSTGRES: {error}"));
    let name = fresh_name();
    psql(&admin, &format!("CREATE DATABASE {name} TEMPLATE template0 {how}"))
        .unwrap_or_else(|error| panic!("cannot create a database with CARDEA_TEST_POSTGRES: {error}"));
    let mut url = admin.clone();
    url.set_path(&name);
    Some(Database { admin, name, url })
}

/// `cardea_` and 16 random hexadecimal digits: tests run in many processes at once.
fn fresh_name() -> String {
    format!("cardea_{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn command(at: &Url, sql: &str) -> Command {
    // No start-up file: it could print. The URL goes by the environment, since it holds a password.
    let mut command = Command::new("psql");
    command
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
        .arg(format!("--command={sql}"))
        .env("PGHOST", at.host_str().unwrap_or("127.0.0.1"))
        .env("PGPORT", at.port().unwrap_or(5432).to_string())
        .env("PGUSER", at.username())
        .env("PGPASSWORD", at.password().unwrap_or_default())
        .env("PGDATABASE", at.path().trim_start_matches('/'))
        .env("PGOPTIONS", "--client-min-messages=warning")
        .stdin(Stdio::null());
    command
}

fn psql(at: &Url, sql: &str) -> Result<String, String> {
    let output = command(at, sql).output().map_err(|error| format!("psql: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip;

    const SORTED: &str =
        "SELECT string_agg(word, ' ' ORDER BY word) FROM (VALUES ('b'), ('A'), ('a')) AS w(word)";

    #[test]
    fn databases_are_apart_sorted_bytewise_and_dropped_at_the_end() {
        let (Some(one), Some(two)) = (postgres(), postgres()) else { skip!("{NO_POSTGRES}") };
        let _ = one.query("CREATE TABLE only_here (id BIGINT)");
        assert_eq!(two.query("SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'"), "0");
        assert_eq!(one.query(SORTED), "A a b");

        let count_one = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", one.name());
        assert_eq!(two.query(&count_one), "1");
        drop(one);
        let began = std::time::Instant::now();
        while two.query(&count_one) != "0" {
            assert!(began.elapsed() < std::time::Duration::from_secs(60), "it is dropped in the end");
        }
    }

    #[test]
    fn the_english_database_sorts_otherwise_though_its_datcollate_says_c() {
        let Some(database) = postgres_sorting_as_english() else { skip!("{NO_POSTGRES}") };
        assert_eq!(database.query(SORTED), "a A b");
        assert_eq!(
            database.query("SELECT datcollate FROM pg_database WHERE datname = current_database()"),
            "C"
        );
    }
}
