//! One device over HTTP or HTTPS: who may send when, how long to wait, a session for each lane, and what counts as an
//! answer.
//!
//! A device is an administrator's password away from anybody on its network. So the session never stands in a log, and
//! before it is used the device must say that it is the one that the configuration means.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use kernel::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Mutex, SemaphorePermit};
use url::Url;

use super::object::{self, Object, Which};
use super::tls::{self, AnotherCertificate, Client, Failure, Fingerprint};
use crate::connector::lanes::{Lane, Lanes, Patience, Stands, Unanswered};

/// Unless the configuration says otherwise.
pub(super) const PATIENCE: Patience = Patience { reply: Duration::from_secs(1), attempts: 2 };

/// Requests of the revocation lane that may be under way at one device at once.
/// More than ever look and take away at once: those that only look must keep no revocation waiting.
const REVOCATIONS_AT_ONCE: usize = 16;

/// No answer of a device is longer.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// So much of what a device says in words is kept.
const WORDS: usize = 200;

/// The longest that a grant takes once it is its turn: more than a dozen requests.
pub(super) fn granting(patience: Patience) -> Duration {
    patience.request() * 4
}

/// The longest that one round of taking away or reading back takes, its turn included.
pub(super) fn round(patience: Patience) -> Duration {
    patience.request() * 2
}

/// How long a request that was given up may still be taken up: the system sends nothing again after the time for a
/// reply, and a device that was slow to take it has much longer than it should need.
pub(super) fn in_flight(patience: Patience) -> Duration {
    patience.request() * 2
}

/// The longest that a verb takes. The longest of all is a revocation that has to undo a grant: two rounds, and between
/// them the rest of the grant and what it may have left on the way.
pub(super) fn verb_limit(patience: Patience) -> Duration {
    round(patience) * 2 + granting(patience) + in_flight(patience) + patience.request()
}

/// The way to one device.
#[derive(Debug)]
pub(super) struct Wire {
    device_id: i64,
    url: Url,
    login: String,
    password: Secret<String>,
    patience: Patience,
    http: Client,
    lanes: Lanes,
    /// A lane that waits for a session keeps no other waiting.
    sessions: [Mutex<Option<Secret<String>>>; 2],
}

/// The right to send to a device now.
pub(super) struct Turn<'a> {
    wire: &'a Wire,
    lane: Lane,
    _permit: SemaphorePermit<'a>,
}

/// The device understood, and will not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

/// What became of a write.
pub(super) type Written<T> = Result<Result<T, Refused>, Unanswered>;

/// What one attempt came to.
enum Attempt {
    Answer(Vec<u8>),
    Refused(Refused),
    /// The session is over, or never was.
    NoSession,
}

#[derive(Deserialize)]
pub(super) struct Session {
    session: Secret<String>,
}

/// What a device says about itself (vendor's access API, "system information").
#[derive(Debug, Deserialize)]
pub(super) struct SystemInformation {
    #[serde(deserialize_with = "number_or_text")]
    pub(super) device_id: i64,
    #[serde(default)]
    version: Option<String>,
    /// Its wall clock, written as if it were UTC.
    #[serde(default)]
    pub(super) time: Option<i64>,
}

fn number_or_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let wrong = || serde::de::Error::custom("expected a number of 64 bits");
    match Value::deserialize(from)? {
        Value::String(text) => text.parse().map_err(|_| wrong()),
        Value::Number(number) => number.as_i64().ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

impl SystemInformation {
    pub(super) fn firmware(&self) -> String {
        self.version.as_deref().map_or_else(|| "unstated".into(), brief)
    }
}

impl Wire {
    /// `certificate` is the one that the device presents, if it is asked over HTTPS.
    pub(super) fn new(
        device_id: i64,
        url: Url,
        certificate: Option<Fingerprint>,
        login: String,
        password: Secret<String>,
        patience: Patience,
    ) -> Self {
        let http = tls::client(certificate, patience.reply);
        let lanes = Lanes::new(patience.request(), REVOCATIONS_AT_ONCE);
        let sessions = [Mutex::new(None), Mutex::new(None)];
        Self { device_id, url, login, password, patience, http, lanes, sessions }
    }

    pub(super) const fn device_id(&self) -> i64 {
        self.device_id
    }

    pub(super) const fn patience(&self) -> Patience {
        self.patience
    }

    /// Where it is reached: host and port.
    pub(super) fn address(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or(80);
        format!("{}:{port}", self.url.host_str().unwrap_or_default())
    }

    /// Waits for a turn in a lane.
    pub(super) async fn turn(&self, lane: Lane) -> Result<Turn<'_>, Unanswered> {
        let permit = self.lanes.turn(lane, self.device_id).await?;
        Ok(Turn { wire: self, lane, _permit: permit })
    }

    /// A turn in the lane of grants, if nobody has one.
    pub(super) fn turn_if_free(&self) -> Option<Turn<'_>> {
        let permit = self.lanes.turn_if_free(Lane::Grants)?;
        Some(Turn { wire: self, lane: Lane::Grants, _permit: permit })
    }

    /// For what takes many requests: however slow each is, together they end in time.
    pub(super) async fn bounded<T>(
        &self,
        limit: Duration,
        asking: impl Future<Output = Result<T, Unanswered>>,
    ) -> Result<T, Unanswered> {
        tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
            let limit = limit.as_millis();
            Err(Unanswered::Silent(format!("{} took longer than {limit} ms", self.device_id)))
        })
    }

    /// An error of a parser repeats what it met, however long that is.
    pub(super) fn garbled(&self, command: &str, what: impl std::fmt::Display) -> Unanswered {
        let what = brief(&what.to_string());
        Unanswered::Garbled(format!("{} at {} answers {command} with {what}", self.device_id, self.address()))
    }

    /// One request and its answer; `attempts` of them while nothing comes.
    async fn ask(
        &self,
        lane: Lane,
        command: &str,
        body: &Value,
        attempts: u32,
        stands: Stands<'_>,
    ) -> Written<Vec<u8>> {
        let mut silent = None;
        let mut signed_in = false;
        let mut left = attempts;
        while left > 0 {
            if !stands() {
                return Err(Unanswered::Withdrawn);
            }
            match self.attempt(lane, command, body, stands).await {
                Ok(Attempt::Answer(bytes)) => return Ok(Ok(bytes)),
                Ok(Attempt::Refused(refused)) => return Ok(Err(refused)),
                // Once: a device that takes a session back at once is at odds with itself.
                Ok(Attempt::NoSession) if !signed_in => signed_in = true,
                Ok(Attempt::NoSession) => return Err(self.garbled(command, "no session, twice")),
                Err(Unanswered::Silent(detail)) => {
                    left -= 1;
                    silent = Some(detail);
                }
                Err(unanswered) => return Err(unanswered),
            }
        }
        let detail = silent.unwrap_or_else(|| format!("{} was not asked", self.device_id));
        Err(Unanswered::Silent(detail))
    }

    async fn attempt(
        &self,
        lane: Lane,
        command: &str,
        body: &Value,
        stands: Stands<'_>,
    ) -> Result<Attempt, Unanswered> {
        let mut session = self.sessions[lane as usize].lock().await;
        if session.is_none() {
            *session = Some(self.sign_in().await?);
        }
        let token = session.clone();
        drop(session);
        // Signing in takes a while, in which it may have been overtaken.
        if !stands() {
            return Err(Unanswered::Withdrawn);
        }
        let attempt = self.post(command, body, token.as_ref()).await?;
        if matches!(attempt, Attempt::NoSession) {
            let mut session = self.sessions[lane as usize].lock().await;
            // Another request of this lane may have signed in anew meanwhile.
            if session.as_ref().map(Secret::expose) == token.as_ref().map(Secret::expose) {
                *session = None;
            }
        }
        Ok(attempt)
    }

    /// A new session with the device that is meant.
    async fn sign_in(&self) -> Result<Secret<String>, Unanswered> {
        let body = json!({ "login": self.login, "password": self.password.expose() });
        let session = match self.post("login", &body, None).await? {
            Attempt::Answer(bytes) => self.read::<Session>("login", &bytes)?.session,
            Attempt::NoSession | Attempt::Refused(_) => {
                return Err(self.garbled("login", "a refusal: check login and password"));
            }
        };
        match self.post("system_information", &json!({}), Some(&session)).await? {
            Attempt::Answer(bytes) => {
                let said: SystemInformation = self.read("system_information", &bytes)?;
                if said.device_id == self.device_id {
                    if let Err(unanswered) = self.have_denials_logged(&session).await {
                        // It is for proof alone: no revocation waits for it.
                        tracing::debug!(device = self.device_id, ?unanswered, "denials may not be logged");
                    }
                    return Ok(session);
                }
                Err(self.garbled("system_information", format!("another device's id, {}", said.device_id)))
            }
            Attempt::NoSession | Attempt::Refused(_) => Err(self.garbled("system_information", "a refusal")),
        }
    }

    /// A card that was denied is the last proof of a revocation, and a device may keep no trace of cards that it does
    /// not know. One that has no such setting is left as it is.
    async fn have_denials_logged(&self, session: &Secret<String>) -> Result<(), Unanswered> {
        let setting = "verbose_logging";
        let asked = json!({ "identifier": [setting] });
        if let Attempt::Answer(bytes) = self.post("get_configuration", &asked, Some(session)).await? {
            let set: Value = self.read("get_configuration", &bytes)?;
            if set["identifier"][setting] == "0" {
                let wanted = json!({ "identifier": { setting: "1" } });
                self.post("set_configuration", &wanted, Some(session)).await?;
            }
        }
        Ok(())
    }

    async fn post(
        &self,
        command: &str,
        body: &Value,
        session: Option<&Secret<String>>,
    ) -> Result<Attempt, Unanswered> {
        match tokio::time::timeout(self.patience.reply, self.exchange(command, body, session)).await {
            Ok(Ok((200, Some(bytes)))) => Ok(Attempt::Answer(bytes)),
            Ok(Ok((401, _))) => Ok(Attempt::NoSession),
            Ok(Ok((400, Some(bytes)))) => Ok(Attempt::Refused(refusal(&bytes))),
            Ok(Ok((status, Some(_)))) => Err(self.garbled(command, format!("status {status}"))),
            Ok(Ok((_, None))) => Err(self.garbled(command, "more than is ever asked for")),
            Ok(Err(error)) => match AnotherCertificate::behind(&*error) {
                // Nothing was asked, and asking again now shows the same.
                Some(another) => {
                    Err(Unanswered::Garbled(format!("{} at {}: {another}", self.device_id, self.address())))
                }
                // None of these errors names the request's address, which holds the session.
                None => Err(self.silent(command, &words(&*error))),
            },
            Err(_) => {
                let reply = self.patience.reply.as_millis();
                Err(self.silent(command, &format!("no answer within {reply} ms")))
            }
        }
    }

    /// The status and the body of what a device answers; no body if it is too long.
    async fn exchange(
        &self,
        command: &str,
        body: &Value,
        session: Option<&Secret<String>>,
    ) -> Result<(u16, Option<Vec<u8>>), Failure> {
        let mut url = self.url.clone();
        url.set_path(&format!("/{command}.fcgi"));
        if let Some(session) = session {
            url.query_pairs_mut().append_pair("session", session.expose());
        }
        let request = Request::post(url.as_str())
            .header(ACCEPT, "*/*")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let answer = self.http.request(request).await?;
        let status = answer.status().as_u16();
        let mut incoming = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if bytes.len() + data.len() > LONGEST_ANSWER {
                return Ok((status, None));
            }
            bytes.extend_from_slice(&data);
        }
        Ok((status, Some(bytes)))
    }

    fn silent(&self, command: &str, what: &str) -> Unanswered {
        Unanswered::Silent(format!("{} at {}, {command}: {what}", self.device_id, self.address()))
    }

    pub(super) fn read<T: DeserializeOwned>(&self, command: &str, bytes: &[u8]) -> Result<T, Unanswered> {
        // An empty body is how some commands say yes.
        let bytes = if bytes.is_empty() { b"{}" } else { bytes };
        serde_json::from_slice(bytes).map_err(|error| self.garbled(command, error))
    }
}

/// An error with what is behind it.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

/// The beginning of what a device says.
pub(super) fn brief(words: &str) -> String {
    words.chars().take(WORDS).collect()
}

pub(super) fn refusal(bytes: &[u8]) -> Refused {
    #[derive(Deserialize)]
    struct Said {
        error: String,
    }
    let said = serde_json::from_slice::<Said>(bytes).map(|said| said.error).unwrap_or_default();
    Refused(brief(&said))
}

impl Turn<'_> {
    pub(super) const fn device_id(&self) -> i64 {
        self.wire.device_id
    }

    /// Asks what may be asked twice.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        command: &str,
        body: &Value,
        stands: Stands<'_>,
    ) -> Result<T, Unanswered> {
        match self.wire.ask(self.lane, command, body, self.wire.patience.attempts, stands).await? {
            Ok(bytes) => self.wire.read(command, &bytes),
            Err(Refused(why)) => Err(self.wire.garbled(command, format!("a refusal: {why}"))),
        }
    }

    /// The rows that are meant, at most as many as a list may have.
    pub(super) async fn load<T: Object>(
        &self,
        which: &Which<'_>,
        stands: Stands<'_>,
    ) -> Result<Vec<T>, Unanswered> {
        match which {
            Which::Numbers(_, []) | Which::Texts(_, []) => Ok(Vec::new()),
            Which::Numbers(_, numbers) if numbers.len() > object::MOST => {
                let command = "load_objects";
                Err(self.wire.garbled(command, format!("more {} than can be asked about", T::NAME)))
            }
            which => self.rows(&object::load::<T>(Some(which), None), Some(which), stands).await,
        }
    }

    /// The same of an object that not every device has.
    pub(super) async fn load_if_known<T: Object>(&self, which: &Which<'_>) -> Result<Vec<T>, Unanswered> {
        if matches!(which, Which::Numbers(_, [])) {
            return Ok(Vec::new());
        }
        let (attempts, body) = (self.wire.patience.attempts, object::load::<T>(Some(which), None));
        match self.wire.ask(self.lane, "load_objects", &body, attempts, &|| true).await? {
            Ok(bytes) => self.rows_of(self.wire.read("load_objects", &bytes)?, Some(which)),
            Err(Refused(_)) => Ok(Vec::new()),
        }
    }

    /// What is set under a key; `None` where a device does not know it.
    pub(super) async fn setting(&self, section: &str, key: &str) -> Result<Option<String>, Unanswered> {
        let (attempts, body) = (self.wire.patience.attempts, json!({ section: [key] }));
        match self.wire.ask(self.lane, "get_configuration", &body, attempts, &|| true).await? {
            Ok(bytes) => {
                let set: Value = self.wire.read("get_configuration", &bytes)?;
                Ok(set[section][key].as_str().map(str::to_owned))
            }
            Err(Refused(_)) => Ok(None),
        }
    }

    /// So many rows in the order of their ids; from one on, if it is given.
    pub(super) async fn page<T: Object>(
        &self,
        from: Option<i64>,
        limit: usize,
        id: impl Fn(&T) -> i64,
    ) -> Result<Vec<T>, Unanswered> {
        let which = from.map(|from| Which::From("id", from));
        let body = object::load::<T>(which.as_ref(), Some(limit));
        let rows: Vec<T> = self.rows(&body, which.as_ref(), &|| true).await?;
        // Old firmware is said to pass over an order or a limit, too.
        let rising = rows.windows(2).all(|pair| id(&pair[0]) < id(&pair[1]));
        match rising && rows.len() <= limit {
            true => Ok(rows),
            false => Err(self.wire.garbled("load_objects", format!("other {} than were asked for", T::NAME))),
        }
    }

    async fn rows<T: Object>(
        &self,
        body: &Value,
        which: Option<&Which<'_>>,
        stands: Stands<'_>,
    ) -> Result<Vec<T>, Unanswered> {
        let answer: Value = self.ask("load_objects", body, stands).await?;
        self.rows_of(answer, which)
    }

    fn rows_of<T: Object>(&self, answer: Value, which: Option<&Which<'_>>) -> Result<Vec<T>, Unanswered> {
        object::rows(answer, which).map_err(|what| self.wire.garbled("load_objects", what))
    }

    /// Makes rows, and gives the id of the first. Never sent twice: nobody knows whether the first one arrived.
    pub(super) async fn create<T: Object>(&self, values: &[Value], stands: Stands<'_>) -> Written<i64> {
        #[derive(Deserialize)]
        struct Made {
            ids: Vec<i64>,
        }
        let command = "create_objects";
        let made = self.wire.ask(self.lane, command, &object::create::<T>(values), 1, stands).await?;
        Ok(match made {
            Ok(bytes) => {
                let Made { ids } = self.wire.read(command, &bytes)?;
                let first = ids.first().copied();
                Ok(first.ok_or_else(|| self.wire.garbled(command, "no id"))?)
            }
            Err(refused) => Err(refused),
        })
    }

    /// Makes rows that nobody needs the ids of.
    pub(super) async fn link<T: Object>(&self, values: &[Value], stands: Stands<'_>) -> Written<()> {
        let body = object::create::<T>(values);
        Ok(self.wire.ask(self.lane, "create_objects", &body, 1, stands).await?.map(drop))
    }

    /// Changes rows. That a device refuses is for reading back to find: some say so of what they did.
    pub(super) async fn modify<T: Object>(
        &self,
        values: &Value,
        which: &Which<'_>,
        stands: Stands<'_>,
    ) -> Result<(), Unanswered> {
        let body = object::modify::<T>(values, which);
        let attempts = self.wire.patience.attempts;
        self.wire.ask(self.lane, "modify_objects", &body, attempts, stands).await.map(|_| ())
    }

    /// Deletes rows, and gives how many the device says there were. Asked more than once only of what says itself
    /// whose it is: the number of a deleted user may be another's by the second time.
    pub(super) async fn destroy<T: Object>(
        &self,
        which: &Which<'_>,
        stands: Stands<'_>,
    ) -> Result<i64, Unanswered> {
        #[derive(Deserialize)]
        struct Changed {
            changes: i64,
        }
        let command = "destroy_objects";
        let attempts = match which {
            Which::Numbers("value", _) | Which::Texts(..) => self.wire.patience.attempts,
            _ => 1,
        };
        match self.wire.ask(self.lane, command, &object::destroy::<T>(which), attempts, stands).await? {
            Ok(bytes) => Ok(self.wire.read::<Changed>(command, &bytes)?.changes),
            Err(Refused(why)) => Err(self.wire.garbled(command, format!("a refusal: {why}"))),
        }
    }
}
