//! A Redis database for one test.
//!
//! Spoken to in the plain protocol (inline commands of RESP2), so that the witness shares no code with
//! the store.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use url::Url;

/// Why a test without [`redis`] is skipped.
pub const NO_REDIS: &str = "no Redis: CARDEA_TEST_REDIS is not set (tests/run sets it)";

/// In database 0: how many databases were given out.
const GIVEN_OUT: &str = "cardea:tests:given_out";
const PATIENCE: Duration = Duration::from_secs(10);

/// One of the server's numbered databases, empty, and emptied again when this value is dropped.
///
/// Channels of publish and subscribe are not part of it: they are the whole server's.
#[derive(Debug)]
pub struct Keyspace {
    url: Url,
    number: u64,
}

impl Keyspace {
    /// Where it is: `redis://:password@host:port/NUMBER`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        // One that stays full is passed over by the next; a test does not fail for it.
        if let Ok(mut connection) = Connection::open(&self.url) {
            let _ = connection.call(&format!("SELECT {}", self.number));
            let _ = connection.call("FLUSHDB");
        }
    }
}

/// The server itself, for tests that keep apart by prefixes of their keys: its URL.
#[must_use]
pub fn redis_server() -> Option<String> {
    super::from_environment("CARDEA_TEST_REDIS").map(|url| url.to_string_lossy().into_owned())
}

/// A Redis database that no other test uses.
///
/// `None` if `CARDEA_TEST_REDIS`, the URL of a server that may be flushed, is not set.
///
/// # Panics
/// If it is set and the server does not answer as Redis or has no empty database left.
#[must_use]
pub fn redis() -> Option<Keyspace> {
    let given = super::from_environment("CARDEA_TEST_REDIS")?;
    let given = given.to_string_lossy();
    let url = Url::parse(&given).unwrap_or_else(|error| panic!("CARDEA_TEST_REDIS: {error}"));
    Some(claim(url).unwrap_or_else(|error| panic!("cannot get a database from CARDEA_TEST_REDIS: {error}")))
}

/// Numbers are given out by the server itself: tests run in many processes at once.
fn claim(mut url: Url) -> Result<Keyspace, String> {
    let mut connection = Connection::open(&url)?;
    let databases = connection.databases()?;
    for _ in 1..databases {
        connection.call("SELECT 0")?;
        let given_out = connection.number(&format!("INCR {GIVEN_OUT}"))?;
        let number = 1 + given_out % (databases - 1);
        connection.call(&format!("SELECT {number}"))?;
        if connection.number("DBSIZE")? == 0 {
            url.set_path(&number.to_string());
            return Ok(Keyspace { url, number });
        }
    }
    Err(format!("none of its {databases} databases is empty"))
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(at: &Url) -> Result<Self, String> {
        let address = (at.host_str().unwrap_or("127.0.0.1"), at.port().unwrap_or(6379));
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let mut connection = Self(BufReader::new(stream));
        if let Some(password) = at.password() {
            connection.call(&format!("AUTH {} {password}", non_empty(at.username()).unwrap_or("default")))?;
        }
        Ok(connection)
    }

    /// One command whose answer is one line; an error of the server is an error here.
    fn call(&mut self, command: &str) -> Result<String, String> {
        let sent = self.0.get_mut().write_all(format!("{command}\r\n").as_bytes());
        sent.map_err(|error| error.to_string())?;
        let answer = self.line()?;
        match answer.strip_prefix('-') {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    fn number(&mut self, command: &str) -> Result<u64, String> {
        let answer = self.call(command)?;
        answer
            .strip_prefix(':')
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("{command}: {answer:?} is not a number"))
    }

    /// How many databases the server has: an array of a name and a value.
    fn databases(&mut self) -> Result<u64, String> {
        let array = self.call("CONFIG GET databases")?;
        let rest = [self.line()?, self.line()?, self.line()?, self.line()?];
        let count = rest[3].parse().ok().filter(|count| *count > 1);
        count.ok_or_else(|| format!("CONFIG GET databases: {array} {rest:?}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).map_err(|error| error.to_string())? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip;

    #[test]
    fn keyspaces_are_apart_and_emptied_at_the_end() {
        let (Some(one), Some(two)) = (redis(), redis()) else { skip!("{NO_REDIS}") };
        assert_ne!(one.number, two.number);
        let mut connection = Connection::open(&one.url).unwrap();
        connection.call(&format!("SELECT {}", one.number)).unwrap();
        connection.call("SET only here").unwrap();
        assert_eq!(connection.number("DBSIZE"), Ok(1));
        drop(one);
        assert_eq!(connection.number("DBSIZE"), Ok(0));
    }

    #[test]
    fn an_error_of_the_server_is_told() {
        let Some(keyspace) = redis() else { skip!("{NO_REDIS}") };
        let mut connection = Connection::open(&keyspace.url).unwrap();
        assert!(connection.call("NONSENSE").unwrap_err().contains("unknown command"));
    }
}
