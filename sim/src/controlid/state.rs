//! All that a device holds and knows, and what it makes of one request. Nothing here waits.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::command::{Answer, Command};
use super::misbehaviour::{Faults, Misbehaviour};
use super::options::DeviceOptions;
use super::outbox::Note;
use super::refusal::Refusal;
use super::row::{self, Row};
use super::schema::Object;
use super::session::Sessions;
use super::settings::Settings;
use super::store::{Room, Store};
use crate::http::Request;

/// How many requests are remembered; the oldest give way.
const REMEMBERED: usize = 10_000;

/// What stands for a secret in what is remembered.
const STRUCK: &str = "(struck)";

/// One request that reached the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The path, without the query and the session in it.
    pub path: String,
    /// The JSON body, without passwords; `null` if it was none.
    pub body: Value,
    /// The status that it was due.
    pub status: u16,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that reached the device.
    pub requests: u64,
    /// Those of them that were not carried out.
    pub refused: u64,
    /// Notifications that the monitor took.
    pub notified: u64,
    /// Notifications that were lost.
    pub lost: u64,
    /// Swipes for which the server was to be asked.
    pub asked: u64,
}

/// What becomes of a request.
pub(super) enum Outcome {
    Done(Answer),
    Refused(Refusal),
    /// The web server in front says no, in its own way.
    Elsewhere(u16),
}

impl Outcome {
    fn status(&self) -> u16 {
        match self {
            Self::Done(_) => 200,
            Self::Refused(refusal) => refusal.status,
            Self::Elsewhere(status) => *status,
        }
    }
}

/// The device without its sockets.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) settings: Settings,
    pub(super) sessions: Sessions,
    pub(super) faults: Faults,
    pub(super) options: DeviceOptions,
    pub(super) port: u16,
    pub(super) counters: Counters,
    pub(super) seen: VecDeque<Seen>,
    /// In contingency: the server did not answer, and is not asked.
    pub(super) alone: bool,
    started: Timestamp,
    /// How far its clock is ahead of the true local time, in seconds.
    drift: i64,
}

impl State {
    pub(super) fn new(options: DeviceOptions, port: u16) -> Self {
        Self {
            store: factory(&options),
            settings: Settings::factory(&options.unknown_settings),
            sessions: Sessions::new(options.session),
            faults: Faults::default(),
            port,
            counters: Counters::default(),
            seen: VecDeque::new(),
            alone: false,
            started: (options.now)(),
            drift: 0,
            options,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.options.now)()
    }

    /// Who it says it is.
    pub(super) fn device_id(&self) -> i64 {
        self.faults.other_device.unwrap_or(self.options.device_id)
    }

    /// That moment on the device's clock: local time, counted as if it were UTC.
    pub(super) fn local(&self, at: Timestamp) -> i64 {
        at.as_second() + i64::from(self.options.offset.seconds()) + self.drift
    }

    /// What the device's clock shows.
    pub(super) fn wall(&self) -> i64 {
        self.local(self.now())
    }

    pub(super) fn set_wall(&mut self, wall: i64) {
        self.drift += wall - self.wall();
    }

    /// Seconds since it was started.
    pub(super) fn uptime(&self) -> i64 {
        self.now().duration_since(self.started).as_secs().max(0)
    }

    pub(super) fn misbehave(&mut self, misbehaviour: Misbehaviour) {
        self.faults.add(misbehaviour);
        match misbehaviour {
            Misbehaviour::ForgetSessions => self.sessions.forget(),
            Misbehaviour::LoseClock => self.set_wall(0),
            Misbehaviour::ForgetObjects => {
                self.store = factory(&self.options);
                self.settings = Settings::factory(&self.options.unknown_settings);
                self.sessions.forget();
                self.alone = false;
            }
            _ => {}
        }
    }

    /// Whether the rows may be written, as far as the device has room.
    pub(super) fn has_room(&self, object: &Object, rows: &[Row]) -> Result<(), Refusal> {
        let known = |row: &Row| self.store.find("cards", "id", row::int(row, "id")).is_some();
        if self.faults.full && object.name == "cards" && !rows.iter().all(known) {
            return Err(Refusal::full());
        }
        Ok(())
    }

    /// The portal that an action opens. What opens none does nothing, and nobody is told, as was seen.
    pub(super) fn opens(&self, action: &str, parameters: &str) -> Option<i64> {
        let parameter = |name: &str| {
            let mut pairs = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(key, _)| *key == name)?.1.parse::<i64>().ok()
        };
        let portal = match action {
            "door" => parameter("door")?,
            // The module that the vendor puts beside the door has this number at every device.
            "sec_box" => (parameter("id")? == 65_793).then_some(1)?,
            _ => return None,
        };
        (1..=i64::from(self.options.portals)).contains(&portal).then_some(portal)
    }

    /// The server does not answer: from now on the device decides, if it may.
    pub(super) fn go_alone(&mut self) {
        self.alone = self.settings.may_go_alone();
    }

    /// Writes an access log and gives its number.
    pub(super) fn log(&mut self, given: &Row) -> i64 {
        let mut row = given.clone();
        let device_id = self.device_id();
        row.extend(row::ints(&[("time", self.wall()), ("device_id", device_id), ("log_type_id", -1)]));
        self.store.log(&row)
    }

    /// Answers one request.
    pub(super) fn serve(&mut self, request: &Request) -> Outcome {
        let outcome = self.outcome(request);
        if !self.settings.is_on("general", "online") {
            self.alone = false;
        }
        self.counters.requests += 1;
        let status = outcome.status();
        if status != 200 {
            self.counters.refused += 1;
        }
        let mut body = serde_json::from_str(&request.body).unwrap_or(Value::Null);
        strike(&mut body);
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen { path: request.path.clone(), body, status });
        outcome
    }

    fn outcome(&mut self, request: &Request) -> Outcome {
        if self.faults.server_error {
            return Outcome::Elsewhere(500);
        }
        let Some(command) = Command::at(&request.path) else { return Outcome::Elsewhere(404) };
        if !command.takes(&request.method) {
            return Outcome::Elsewhere(405);
        }
        match self.carry_out(command, request) {
            Ok(answer) => Outcome::Done(answer),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn carry_out(&mut self, command: Command, request: &Request) -> Result<Answer, Refusal> {
        let session = request.query("session").or_else(|| request.cookie("session").map(str::to_owned));
        let session = session.unwrap_or_default();
        if command.needs_session() && !self.sessions.is_valid(&session, self.now()) {
            return Err(Refusal::no_session());
        }
        let body = command.body(request)?;
        if !(self.faults.lie && command.writes()) {
            return command.carry_out(self, &body, &session);
        }
        let before = self.store.clone();
        let answer = command.carry_out(self, &body, &session);
        self.store = before;
        answer
    }

    /// What the monitor is to hear of all that changed; nothing if there is no monitor.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        let changes = self.store.take_changes();
        let Some(monitor) = self.settings.monitor() else { return Vec::new() };
        let device_id = self.device_id();
        let note = |change: super::store::Change| {
            let values = row::strings(change.object, &change.row);
            let change = json!({ "object": change.object.name, "type": change.kind, "values": values });
            let body = json!({ "object_changes": [change], "device_id": device_id });
            Note { url: format!("{}dao", monitor.base), timeout: monitor.timeout, body }
        };
        changes.into_iter().map(note).collect()
    }

    /// What the monitor is told now and then, if there is one.
    pub(super) fn sign_of_life(&self) -> Option<Note> {
        let monitor = self.settings.monitor()?;
        let body = json!({ "access_logs": self.logs(), "device_id": self.device_id(), "time": self.wall() });
        Some(Note { url: format!("{}device_is_alive", monitor.base), timeout: monitor.timeout, body })
    }

    /// How many access logs there are.
    pub(super) fn logs(&self) -> usize {
        self.store.rows("access_logs").len()
    }
}

fn factory(options: &DeviceOptions) -> Store {
    let room = Room { cards: options.cards, logs: options.logs };
    Store::factory(options.device_id, options.portals, room, options.dependents)
}

/// Takes out what nobody may read in a log.
fn strike(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(strike),
        Value::Object(members) => {
            for (name, value) in members {
                if ["password", "salt"].contains(&name.as_str()) {
                    *value = STRUCK.into();
                } else {
                    strike(value);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn state() -> State {
        let options =
            DeviceOptions { portals: 2, ..DeviceOptions::new(9, Arc::new(|| Timestamp::UNIX_EPOCH)) };
        State::new(options, 80)
    }

    #[test]
    fn an_action_opens_a_portal_that_there_is() {
        let state = state();
        let check = |action, parameters, expect| {
            assert_eq!(state.opens(action, parameters), expect, "{action} {parameters}");
        };
        check("door", "door=1", Some(1));
        check("door", "door=2, reason=1", Some(2));
        check("door", "door=3", None);
        check("door", "door=0", None);
        check("door", "id=1", None);
        check("door", "", None);
        check("sec_box", "id=65793, reason=3", Some(1));
        check("sec_box", "id=1", None);
        check("catra", "allow=both", None);
    }

    #[test]
    fn its_clock_is_local_and_can_be_lost_and_set() {
        let mut state = state();
        assert_eq!(state.wall(), -3 * 3600);
        state.misbehave(Misbehaviour::LoseClock);
        assert_eq!(state.wall(), 0);
        state.set_wall(1_000);
        assert_eq!(state.wall(), 1_000);
    }

    #[test]
    fn no_secret_is_remembered() {
        let mut body =
            json!({ "values": [{ "name": "Ana", "password": "p", "salt": ["s"] }], "password": 5 });
        strike(&mut body);
        let expect =
            json!({ "values": [{ "name": "Ana", "password": STRUCK, "salt": STRUCK }], "password": STRUCK });
        assert_eq!(body, expect);
    }
}
