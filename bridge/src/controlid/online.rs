//! Online mode: a device identifies who stands at its door, asks us, and does what we say (the vendor's "Pro" mode;
//! "Enterprise" asks the same of cards that it does not look up, and is answered, too).
//!
//! Cards stay on the device, which needs them to identify. What we answer rests on none of that: the question names the
//! card, and the [`Decider`] knows what it may open now. Whatever else a device may say of the person is not believed,
//! and a question without a card (a face, a finger, a code) is a no.
//!
//! *Who asks.* A device proves itself by nothing, so only the address that the configuration names may ask in its name,
//! and only about its own portals. An answer opens the door of whoever asked: who lies about its id learns what a card
//! may do, and opens nothing.
//!
//! *What devices are set to.* We set it ourselves and look again and again, as it is done for notifications: whoever
//! configures online mode means that we decide, and a device that was reset would go on alone until somebody saw the
//! alert. What a device did not take is a [`Finding`]; so is, for a while, that one which was right had to be set right
//! again. In standalone mode we take it back: a device that still asks us
//! would ask nobody.
//!
//! *While a device cannot ask,* it decides alone ("contingency"), by the lists that are written in standalone mode,
//! too. Unless the configuration wants that, it is forbidden; but old firmware cannot be told so.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::form_urlencoded;

use super::config::{DeviceConfig, Opens, OutOfReach};
use super::number;
use super::object::{Server, Which};
use super::push::Ear;
use super::transport::{Refused, Turn, Wire};
use crate::card::Card;
use crate::connector::lanes::{Lane, Unanswered};
use crate::connector::{AccessPointAddress, Asked, Decider, Finding, SET_OTHERWISE_TOLD, decided};

/// What devices put before the command that they call.
pub(super) const PATH: &str = "cardea/online";
/// What we are called among the servers that a device knows.
const NAME: &str = "cardea";
/// Connections of one device at once.
const AT_ONCE: usize = 16;
/// How long a device waits for us: twice as long as we take at most. And how often it asks before it gives up, as the
/// vendor has it.
const REQUEST_TIMEOUT_MS: &str = "2000";
const MAX_REQUEST_ATTEMPTS: &str = "3";

/// So many questions of one device are decided in [`WINDOW`]: more than anybody walks. Each is a fact for ever.
const QUESTIONS: u32 = 100;
/// See [`QUESTIONS`].
const WINDOW: Duration = Duration::from_secs(10);

/// Events of an answer (vendor's access API, "access logs").
const DENIED: i64 = 6;
const GRANTED: i64 = 7;

/// Where devices ask.
#[derive(Debug)]
pub(super) struct Desk {
    decider: Arc<dyn Decider>,
    time_zone: TimeZone,
    out_of_reach: OutOfReach,
    devices: HashMap<i64, Asker>,
    /// Connections at once, by the address that they come from.
    places: HashMap<IpAddr, Arc<Semaphore>>,
    /// What devices were found to be set to.
    seen: Mutex<HashMap<i64, Seen>>,
}

/// What is known of a device's settings.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// It was right once, as far as can be told: it knew us before we told it anything.
    was_right: bool,
    /// We have seen it right.
    is_noted: bool,
    /// When it was found otherwise after that.
    otherwise: Option<Instant>,
}

/// A device that may ask.
#[derive(Debug)]
struct Asker {
    address: IpAddr,
    /// Its portals by their ids, each with what opens there.
    portals: BTreeMap<i64, (AccessPointAddress, Opens)>,
    pace: Mutex<Pace>,
}

/// How fast a device asks.
#[derive(Debug, Default)]
struct Pace {
    /// When the window began in which it asks now.
    began: Option<Instant>,
    /// How many of its questions were decided in that.
    decided: u32,
    /// How many were not, since the last that was.
    refused: u64,
}

impl Asker {
    /// Whether a question is to be decided now: then how many before it were not.
    fn admitted(&self, now: Instant) -> Option<u64> {
        // Nothing but numbers is ever written here.
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            (pace.began, pace.decided) = (Some(now), 0);
        }
        if pace.decided >= QUESTIONS {
            pace.refused = pace.refused.saturating_add(1);
            if pace.refused == 1 {
                tracing::error!(device = %self.address, "it asks faster than anybody walks: nobody enters for now");
            }
            return None;
        }
        pace.decided += 1;
        Some(std::mem::take(&mut pace.refused))
    }
}

impl Desk {
    /// For these devices, whose addresses the configuration has checked to be such.
    pub(super) fn new(
        devices: &[DeviceConfig],
        decider: Arc<dyn Decider>,
        time_zone: TimeZone,
        out_of_reach: OutOfReach,
    ) -> Self {
        let asker = |device: &DeviceConfig| {
            let address = device.url.host_str()?.parse().ok()?;
            let portal = |(id, point): (&i64, &AccessPointAddress)| {
                Some((*id, (point.clone(), *device.opens.get(id)?)))
            };
            let portals = device.portals.iter().filter_map(portal).collect();
            Some((device.id, Asker { address, portals, pace: Mutex::default() }))
        };
        let devices: HashMap<i64, Asker> = devices.iter().filter_map(asker).collect();
        let places = devices.values().map(|asker| (asker.address, Arc::new(Semaphore::new(AT_ONCE))));
        Self { places: places.collect(), devices, decider, time_zone, out_of_reach, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<i64, Seen>> {
        // Entries are written whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a device had to be set right not long ago.
    fn was_set_otherwise(&self, device: i64) -> bool {
        let at = self.seen().get(&device).and_then(|seen| seen.otherwise);
        at.is_some_and(|at| at.elapsed() < SET_OTHERWISE_TOLD)
    }

    /// The places of whoever calls from there; `None` when it is nobody of ours.
    pub(super) fn places_of(&self, from: IpAddr) -> Option<&Arc<Semaphore>> {
        self.places.get(&from)
    }

    /// What a command is answered with; `None` when there is no such command.
    pub(super) async fn answer(&self, command: &str, body: &[u8], from: IpAddr) -> Option<Value> {
        match command {
            "new_user_identified.fcgi" | "new_card.fcgi" => {
                Some(self.decide(Question::read(body), from).await)
            }
            // Ends contingency: we are here.
            "device_is_alive.fcgi" => Some(json!({})),
            "session_is_valid.fcgi" => Some(json!({ "session_is_valid": true })),
            // Somebody inside pressed the button; the device's log says so, too.
            "new_rex_log.fcgi" => Some(json!({})),
            // A face, a finger, a code, a tag. A device that hears nothing takes us for gone, and may decide alone.
            _ if command.starts_with("new_") && command.ends_with(".fcgi") => {
                let cardless = |question: Question| Question { card: None, ..question };
                Some(self.decide(Question::read(body).map(cardless), from).await)
            }
            _ => None,
        }
    }

    async fn decide(&self, question: Option<Question>, from: IpAddr) -> Value {
        let Some(question) = question else {
            tracing::warn!(%from, "a question that cannot be read: nobody enters");
            return Question::default().answered(None);
        };
        let asker = self.devices.get(&question.device_id).filter(|asker| asker.address == from);
        let door = asker.and_then(|asker| Some((asker, asker.portals.get(&question.portal_id)?)));
        let Some((asker, (access_point, opens))) = door else {
            let Question { device_id, portal_id, .. } = question;
            tracing::warn!(%from, device_id, portal_id, "a question about no door of whoever asks: nobody enters");
            return question.answered(None);
        };
        let Some(refused_before) = asker.admitted(Instant::now()) else { return question.answered(None) };
        let asked = Asked {
            access_point: access_point.clone(),
            card: question.card,
            time_zone: self.time_zone.clone(),
            refused_before,
        };
        let verdict = decided(&*self.decider, &asked).await;
        let granted = verdict.granted && asked.card.is_some();
        tracing::debug!(%access_point, granted, because = %verdict.because, "a door asked");
        question.answered(granted.then(|| opens.action()))
    }

    /// Has a device ask us and nobody else, as far as it does not.
    pub(super) async fn have_ask(&self, wire: &Wire, address: SocketAddrV4) -> Result<(), Unanswered> {
        let turn = &wire.turn(Lane::Grants).await?;
        let base = base(address);
        let server = known_server(turn).await?;
        // Of one that did not know us, or that we failed to tell all, nothing was right before.
        let before = self.noted(wire.device_id(), server.is_some());
        let asked = turn.setting("general", "online").await?.as_deref() == Some("1")
            && is_asked(turn, server.as_ref()).await?;
        // To who begins to look, an address that we had before looks the same.
        let was_elsewhere = server.as_ref().is_none_or(|server| server.ip != base);
        if before.was_right && !asked || before.is_noted && was_elsewhere {
            self.found_otherwise(wire.device_id());
        }
        let server_id = have_server(turn, server, &base).await?.to_string();
        let client = json!({
            "server_id": server_id, "extract_template": "0",
            "request_timeout": REQUEST_TIMEOUT_MS, "max_request_attempts": MAX_REQUEST_ATTEMPTS,
        });
        // Whom to ask comes first: a device that is told to ask, and not whom, asks nobody.
        have_set(turn, "online_client", client).await?;
        have_set(turn, "general", json!({ "local_identification": "1", "online": "1" })).await?;
        // By itself, since firmware that does not know a setting refuses all that came with it.
        let contingency = turn.setting("online_client", CONTINGENCY).await?;
        let wanted = match self.out_of_reach {
            OutOfReach::Deny => "0",
            OutOfReach::Lists => "1",
        };
        if contingency.is_some_and(|set| set != wanted) {
            // To who begins to look, another wish of ours looks the same.
            if before.is_noted {
                self.found_otherwise(wire.device_id());
            }
            have_set(turn, "online_client", json!({ CONTINGENCY: wanted })).await?;
        }
        let mut seen = self.seen();
        let seen = seen.entry(wire.device_id()).or_default();
        (seen.was_right, seen.is_noted) = (true, true);
        Ok(())
    }

    /// What is known of a device that knows us, or did not until now.
    fn noted(&self, device: i64, is_known: bool) -> Seen {
        let new = || Seen { was_right: is_known, ..Seen::default() };
        *self.seen().entry(device).or_insert_with(new)
    }

    /// A device that was right is not any more. It is told also when it is set right at once.
    fn found_otherwise(&self, device: i64) {
        tracing::error!(device, "a device does not decide as it should; it is set right. Who changed it?");
        self.seen().entry(device).or_default().otherwise = Some(Instant::now());
    }
}

/// Whether a device may decide alone while it cannot ask. Not every firmware knows it; what does not, does.
const CONTINGENCY: &str = "contingency_enabled";

/// Where we are to a device: it appends the command.
fn base(address: SocketAddrV4) -> String {
    format!("http://{address}/{PATH}")
}

/// What is amiss with whom a device asks. Devices that nobody wanted to ask must not ask anybody.
pub(super) async fn findings(turn: &Turn<'_>, ear: Option<&Ear>) -> Result<Vec<Finding>, Unanswered> {
    let asks = turn.setting("general", "online").await?.as_deref() == Some("1");
    let Some((desk, address)) = ear.and_then(Ear::desk) else {
        return Ok(asks.then_some(Finding::AsksAnother).into_iter().collect());
    };
    let server = if asks { asked_server(turn).await? } else { None };
    let mut findings = Vec::new();
    findings.extend(desk.was_set_otherwise(turn.device_id()).then_some(Finding::WasSetOtherwise));
    let Some(server) = server else {
        findings.push(Finding::DecidesAlone);
        return Ok(findings);
    };
    // Where nobody knows the port yet, nobody can tell.
    findings
        .extend(address.is_some_and(|address| server.ip != base(address)).then_some(Finding::AsksAnother));
    let may_decide = turn.setting("online_client", CONTINGENCY).await?.as_deref() != Some("0");
    let must_not = desk.out_of_reach == OutOfReach::Deny;
    findings.extend((may_decide && must_not).then_some(Finding::WouldDecideAlone));
    Ok(findings)
}

/// Has a device that was told to ask us, and shall not any more, decide by its own lists again. Nobody answers it: it
/// would open for nobody until somebody set it by hand. What others told it is left as it is. Whether it is so now.
pub(super) async fn let_go(wire: &Wire) -> bool {
    let letting_go = async { take_back(&wire.turn(Lane::Grants).await?).await };
    let done = letting_go.await;
    if matches!(done, Ok(true)) {
        tracing::warn!(
            device = wire.device_id(),
            "a device asked us still; it decides by its own lists again"
        );
    }
    done.is_ok()
}

/// Whether there was something to take back.
async fn take_back(turn: &Turn<'_>) -> Result<bool, Unanswered> {
    if turn.setting("general", "online").await?.as_deref() != Some("1") {
        return Ok(false);
    }
    if asked_server(turn).await?.is_none_or(|server| server.name != NAME) {
        return Ok(false);
    }
    // In this order: whatever comes to an end in between, its lists count.
    if turn.setting("online_client", CONTINGENCY).await?.as_deref() == Some("0") {
        have_set(turn, "online_client", json!({ CONTINGENCY: "1" })).await?;
    }
    have_set(turn, "general", json!({ "online": "0" })).await?;
    Ok(true)
}

/// Whom a device asks.
async fn asked_server(turn: &Turn<'_>) -> Result<Option<Server>, Unanswered> {
    let id = turn.setting("online_client", "server_id").await?;
    let Some(id) = id.and_then(|id| id.parse().ok()) else { return Ok(None) };
    let found: Vec<Server> = turn.load(&Which::Numbers("id", &[id]), &|| true).await?;
    Ok(found.into_iter().next())
}

/// Whether a device asks the server with the id that this one has.
async fn is_asked(turn: &Turn<'_>, server: Option<&Server>) -> Result<bool, Unanswered> {
    let set = turn.setting("online_client", "server_id").await?;
    Ok(server.is_some_and(|server| set == Some(server.id.to_string())))
}

/// Us among the servers that a device knows.
async fn known_server(turn: &Turn<'_>) -> Result<Option<Server>, Unanswered> {
    let found: Vec<Server> = turn.load(&Which::Texts("name", &[NAME.to_owned()]), &|| true).await?;
    Ok(found.into_iter().filter(|server| server.name == NAME).min_by_key(|server| server.id))
}

/// The id of us among the servers that a device knows, made or mended.
async fn have_server(turn: &Turn<'_>, known: Option<Server>, base: &str) -> Result<i64, Unanswered> {
    let any = &|| true;
    match known {
        None => {
            let server = json!({ "name": NAME, "ip": base, "public_key": "" });
            let made = turn.create::<Server>(&[server], any).await?;
            let refused = |refused: Refused| {
                Unanswered::Garbled(format!("it does not take us as its server: {}", refused.0))
            };
            made.map_err(refused)
        }
        Some(server) => {
            if server.ip != base {
                turn.modify::<Server>(&json!({ "ip": base }), &Which::Numbers("id", &[server.id]), any)
                    .await?;
            }
            Ok(server.id)
        }
    }
}

/// Sets these keys of a section, unless all of them are set so.
async fn have_set(turn: &Turn<'_>, section: &str, wanted: Value) -> Result<(), Unanswered> {
    let keys: Vec<&String> = wanted.as_object().into_iter().flat_map(|keys| keys.keys()).collect();
    let set: Value = turn.ask("get_configuration", &json!({ section: keys }), &|| true).await?;
    if keys.iter().all(|key| set[section][key.as_str()] == wanted[key.as_str()]) {
        return Ok(());
    }
    turn.ask::<Value>("set_configuration", &json!({ section: wanted }), &|| true).await.map(drop)
}

impl Opens {
    /// What a device does when somebody may enter.
    fn action(self) -> Value {
        match self {
            Self::Relay(door) => json!({ "action": "door", "parameters": format!("door={door}") }),
            // The vendor's number of the module, and its word for "somebody was let in".
            Self::SecBox => json!({ "action": "sec_box", "parameters": "id=65793, reason=3" }),
        }
    }
}

/// What a device asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) device_id: i64,
    pub(super) portal_id: i64,
    card: Option<Card>,
    /// Whom the device takes it for. It is only told its own number back.
    pub(super) user_id: i64,
}

impl Question {
    /// `None` when it is no question, or one with two meanings.
    pub(super) fn read(form: &[u8]) -> Option<Self> {
        let fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(form).collect();
        let number = |name: &str| -> Option<i64> {
            let mut named = fields.iter().filter(|(key, _)| key == name);
            match (named.next().map_or("", |(_, value)| &**value), named.next()) {
                ("", None) => Some(0),
                (value, None) => value.parse().ok(),
                _ => None,
            }
        };
        let (device_id, portal_id) = (number("device_id")?, number("portal_id")?);
        let card = number::to_card(number("card_value")?);
        Some(Self { device_id, portal_id, card, user_id: number("user_id")? })
    }

    /// The answer as the vendor has it. Without an action nobody enters; people are called nothing.
    fn answered(&self, action: Option<Value>) -> Value {
        let event = if action.is_some() { GRANTED } else { DENIED };
        let actions: Vec<Value> = action.into_iter().collect();
        json!({ "result": {
            "event": event, "user_id": self.user_id, "user_name": "", "user_image": false,
            "portal_id": self.portal_id, "actions": actions,
        } })
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use url::Url;

    use super::*;
    use crate::connector::Verdict;

    /// Lets everybody in, and remembers what was said of questions before.
    #[derive(Debug, Default)]
    struct Everybody(Mutex<Vec<u64>>);

    #[async_trait]
    impl Decider for Everybody {
        async fn decide(&self, asked: &Asked) -> Verdict {
            self.0.lock().unwrap().push(asked.refused_before);
            Verdict { granted: true, because: String::new() }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_faster_than_anybody_walks_hears_no_and_that_is_counted() {
        let device = |id: i64, address: &str| DeviceConfig {
            id,
            url: Url::parse(address).unwrap(),
            certificate: None,
            portals: [(1, "main".into())].into(),
            opens: [(1, Opens::Relay(1))].into(),
        };
        let everybody = Arc::new(Everybody::default());
        let devices = [device(7, "http://10.0.0.7"), device(8, "http://10.0.0.8")];
        let desk = Desk::new(&devices, everybody.clone(), TimeZone::UTC, OutOfReach::Deny);
        let enters = async |id: i64| {
            let question = format!("device_id={id}&portal_id=1&card_value=9");
            let from = IpAddr::from([10, 0, 0, u8::try_from(id).unwrap()]);
            let answer = desk.answer("new_card.fcgi", question.as_bytes(), from).await.unwrap();
            answer["result"]["event"] == GRANTED
        };
        for _ in 0..QUESTIONS {
            assert!(enters(7).await);
        }
        for _ in 0..5 {
            assert!(!enters(7).await);
        }
        assert!(enters(8).await, "another has a pace of its own");
        assert_eq!(everybody.0.lock().unwrap().len(), QUESTIONS as usize + 1);
        tokio::time::advance(WINDOW).await;
        assert!(enters(7).await && enters(7).await);
        assert_eq!(everybody.0.lock().unwrap()[QUESTIONS as usize + 1..], [5_u64, 0]);
    }

    #[test]
    fn a_question_is_read_as_the_vendor_sends_it() {
        let form =
            b"device_id=14227560204340541&identifier_id=2003398144&event=8&user_id=6&duress=0&face_mask=&\
            time=1763779500&portal_id=1&uuid=0&card_value=528281023086&user_name=Ana+Lima&user_has_image=0";
        let card = Some("h10301:123:45678".parse().unwrap());
        let expect = Question { device_id: 14_227_560_204_340_541, portal_id: 1, card, user_id: 6 };
        assert_eq!(Question::read(form), Some(expect));
        // Somebody whom the device knows by something else, and Enterprise mode, in which it knows nobody.
        let face = Question::read(b"device_id=7&portal_id=1&user_id=6&card_value=").unwrap();
        assert_eq!((face.card, face.user_id), (None, 6));
        let enterprise = Question::read(b"device_id=7&portal_id=1&card_value=9&panic=0").unwrap();
        assert_eq!((enterprise.card, enterprise.user_id), (Some(Card::h10301(0, 9)), 0));
    }

    #[test]
    fn what_is_no_question_or_has_two_meanings_is_not_read() {
        for form in [
            "device_id=seven&portal_id=1&card_value=9",
            "device_id=7&portal_id=1&card_value=9&card_value=10",
            "device_id=7&portal_id=1&portal_id=2&card_value=9",
            "device_id=7&portal_id=1&card_value=18446744073709551615",
            "device_id=7&portal_id=1.0&card_value=9",
            "device_id=7&portal_id=1&card_value=9&user_id=x",
            "device_id=7&portal_id=1&card_value=\u{661}",
        ] {
            assert_eq!(Question::read(form.as_bytes()), None, "{form}");
        }
        // Of these nothing is said: no device and no door has the number 0.
        for form in [&b""[..], b"{\"device_id\": 7}", b"\xff\xfe&&==", b"card_value=0"] {
            let read = Question::read(form).unwrap();
            assert_eq!((read.device_id, read.portal_id, read.card), (0, 0, None), "{form:?}");
        }
    }

    #[test]
    fn an_answer_opens_only_with_a_yes() {
        let question = Question { device_id: 7, portal_id: 2, card: None, user_id: 6 };
        let result = |event: i64, actions: Value| {
            json!({ "result": {
                "event": event, "user_id": 6, "user_name": "", "user_image": false, "portal_id": 2,
                "actions": actions,
            } })
        };
        assert_eq!(question.answered(None), result(6, json!([])));
        let door = json!([{ "action": "door", "parameters": "door=1" }]);
        assert_eq!(question.answered(Some(Opens::Relay(1).action())), result(7, door));
        let module = json!([{ "action": "sec_box", "parameters": "id=65793, reason=3" }]);
        assert_eq!(question.answered(Some(Opens::SecBox.action())), result(7, module));
    }
}
