//! Online mode: what the device asks its server, and what it takes for an answer.
//!
//! In Pro mode the device identifies and the server decides; in Enterprise mode the server does both. An answer counts
//! if it is a 200 with JSON as the vendor shows it; anything else is no answer, and the device asks again until it has
//! no more attempts. Not said, and taken here: one swipe makes all attempts, a member of the result that the vendor
//! does not list spoils the answer, and the actions are carried out whatever the event says.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::decision::{self, event};
use super::outbox::Note;
use super::row;
use super::state::State;

/// More bytes than these are no answer.
const ANSWER: usize = 64 * 1024;

/// The reader, as the vendor numbers them: `win0`.
pub(super) const IDENTIFIER: i64 = 2_003_398_144;

/// What the vendor lists in a result.
const RESULT: [&str; 8] =
    ["event", "user_id", "user_name", "user_image", "user_image_hash", "portal_id", "actions", "message"];

/// Where the server is: the `ip` of its row in `devices`, which may be a whole address.
fn server(state: &State) -> Option<String> {
    let server = state.store.find("devices", "id", state.settings.server_id()?)?;
    let ip = row::text(server, "ip").trim_end_matches('/');
    match ip {
        "" => None,
        _ if ip.contains("://") => Some(ip.to_owned()),
        _ => Some(format!("http://{ip}")),
    }
}

/// A question to the server.
#[derive(Debug)]
pub(super) struct Question {
    url: String,
    form: Vec<(&'static str, String)>,
    timeout: Duration,
    attempts: u64,
}

impl Question {
    /// What a card at a portal makes the device ask; nothing if it has no server.
    pub(super) fn about(state: &State, portal: i64, card: i64) -> Option<Self> {
        let mut form = vec![
            ("device_id", state.device_id().to_string()),
            ("identifier_id", IDENTIFIER.to_string()),
            ("portal_id", portal.to_string()),
            ("card_value", card.to_string()),
            ("time", state.wall().to_string()),
            ("uuid", format!("{:08x}", state.counters.asked)),
        ];
        let command = if state.settings.is_on("general", "local_identification") {
            let user = decision::identify(&state.store, card);
            let event = if user.is_some() { event::PENDING } else { event::NOT_IDENTIFIED };
            form.push(("event", event.to_string()));
            form.push(("user_id", user.map_or(0, |user| row::int(user, "id")).to_string()));
            form.push(("user_name", user.map_or("", |user| row::text(user, "name")).to_owned()));
            form.extend([("user_has_image", "0".to_owned()), ("duress", "0".to_owned())]);
            "new_user_identified.fcgi"
        } else {
            form.push(("panic", "0".to_owned()));
            "new_card.fcgi"
        };
        let url = format!("{}/{command}", server(state)?);
        let settings = &state.settings;
        Some(Self { url, form, timeout: settings.patience(), attempts: settings.attempts() })
    }

    /// Asks until there is an answer, or no attempt is left.
    pub(super) async fn ask(&self, client: &reqwest::Client) -> Option<Verdict> {
        for _ in 0..self.attempts {
            if let Ok(Some(verdict)) = tokio::time::timeout(self.timeout, self.attempt(client)).await {
                return Some(verdict);
            }
        }
        None
    }

    async fn attempt(&self, client: &reqwest::Client) -> Option<Verdict> {
        let mut response = client.post(&self.url).form(&self.form).send().await.ok()?;
        if response.status() != reqwest::StatusCode::OK {
            return None;
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER {
                return None;
            }
        }
        Verdict::read(&body)
    }
}

/// Asks a server that did not answer whether it is back; nothing if there is no server.
pub(super) fn knock(state: &State) -> Option<Note> {
    let url = format!("{}/device_is_alive.fcgi", server(state)?);
    Some(Note { url, timeout: state.settings.patience(), body: json!({ "access_logs": state.logs() }) })
}

/// What the server decided.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) event: u8,
    /// Nothing is whoever the device identified.
    pub(super) user_id: Option<i64>,
    /// Names and parameters.
    pub(super) actions: Vec<(String, String)>,
}

impl Verdict {
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let result = only(body.get("result")?, &RESULT)?;
        let event = result.get("event")?.as_u64().and_then(|event| u8::try_from(event).ok());
        let event = event.filter(|event| (1..=15).contains(event))?;
        let fits = |name: &str, fits: fn(&Value) -> bool| result.get(name).is_none_or(fits);
        let texts =
            ["user_name", "user_image_hash", "message"].iter().all(|name| fits(name, Value::is_string));
        if !texts || !fits("portal_id", Value::is_i64) || !fits("user_image", Value::is_boolean) {
            return None;
        }
        let user_id = match result.get("user_id") {
            None => None,
            Some(user_id) => Some(user_id.as_i64()?),
        };
        let actions = match result.get("actions") {
            None => Vec::new(),
            Some(actions) => actions.as_array()?.iter().map(action).collect::<Option<Vec<_>>>()?,
        };
        Some(Self { event, user_id, actions })
    }
}

fn action(value: &Value) -> Option<(String, String)> {
    let members = only(value, &["action", "parameters"])?;
    let text = |name: &str| Some(members.get(name)?.as_str()?.to_owned());
    Some((text("action")?, text("parameters")?))
}

/// An object with no other members than these.
fn only<'a>(value: &'a Value, known: &[&str]) -> Option<&'a Map<String, Value>> {
    value.as_object().filter(|members| members.keys().all(|name| known.contains(&name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Option<Verdict> {
        Verdict::read(body.to_string().as_bytes())
    }

    #[test]
    fn an_answer_as_the_vendor_shows_it_counts() {
        let body = json!({ "result": {
            "event": 7, "user_id": 6, "user_name": "Neal Caffrey", "user_image": false, "portal_id": 1,
            "actions": [{ "action": "door", "parameters": "door=1" }], "message": "hello",
        } });
        let actions = vec![("door".to_owned(), "door=1".to_owned())];
        assert_eq!(read(&body), Some(Verdict { event: 7, user_id: Some(6), actions }));
        let short = json!({ "result": { "event": 6 } });
        assert_eq!(read(&short), Some(Verdict { event: 6, user_id: None, actions: Vec::new() }));
    }

    #[test]
    fn anything_else_is_no_answer() {
        let result = |name: &str, value: Value| {
            let mut body = json!({ "result": { "event": 7 } });
            body["result"][name] = value;
            body
        };
        let cases = [
            json!({}),
            json!([]),
            json!({ "result": 7 }),
            json!({ "result": {} }),
            result("event", json!("7")),
            result("event", json!(0)),
            result("event", json!(16)),
            result("event", json!(263)),
            result("user_id", json!("6")),
            result("user_name", json!(6)),
            result("user_image", json!(0)),
            result("portal_id", json!("1")),
            result("message", json!(null)),
            result("granted", json!(true)),
            result("actions", json!({})),
            result("actions", json!([{ "action": "door" }])),
            result("actions", json!([{ "action": "door", "parameters": 1 }])),
            result("actions", json!([{ "action": "door", "parameters": "door=1", "portal": 1 }])),
        ];
        for body in &cases {
            assert_eq!(read(body), None, "{body}");
        }
        assert_eq!(Verdict::read(b"{\"result\":{\"event\":7}"), None, "it is cut short");
    }
}
