//! What the tests of the device share: a logged-in client, and a server for the device to speak to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::date;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sim::controlid::{Device, DeviceOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::form_urlencoded;

pub(crate) const DEVICE: i64 = 14_227_560_204_340_541;
pub(crate) const CARD: i64 = 528_281_023_086;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the device's clock shows: noon of a Monday, counted as if it were UTC.
pub(crate) fn wall() -> i64 {
    date(2026, 3, 2).at(12, 0, 0, 0).in_tz("UTC").expect("UTC").timestamp().as_second()
}

/// The same moment, three hours west of Greenwich.
pub(crate) fn noon() -> Timestamp {
    Timestamp::from_second(wall() + 3 * 3600).expect("a moment")
}

/// Two portals, at noon.
pub(crate) fn options() -> DeviceOptions {
    DeviceOptions { portals: 2, ..DeviceOptions::new(DEVICE, Arc::new(noon)) }
}

/// A device, and somebody who is logged in.
pub(crate) struct Bench {
    pub(crate) device: Device,
    pub(crate) client: reqwest::Client,
    pub(crate) session: String,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::of(options()).await
    }

    pub(crate) async fn of(options: DeviceOptions) -> Self {
        let device = Device::start(options).await.expect("a free port");
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        let mut bench = Self { device, client, session: String::new() };
        bench.log_in().await;
        bench
    }

    pub(crate) async fn log_in(&mut self) {
        let answer = self.ask("login", json!({ "login": "admin", "password": "admin" })).await;
        self.session = answer["session"].as_str().expect("a session").to_owned();
    }

    pub(crate) fn request(&self, command: &str) -> RequestBuilder {
        let url = format!("{}{command}.fcgi", self.device.base_url());
        self.client.post(url).query(&[("session", &self.session)])
    }

    /// Status and body; a body that is not JSON is a string.
    pub(crate) async fn post(&self, command: &str, body: &Value) -> (u16, Value) {
        read(self.request(command).json(body)).await
    }

    /// What the device answers to what it does not refuse.
    pub(crate) async fn ask(&self, command: &str, body: Value) -> Value {
        let (status, answer) = self.post(command, &body).await;
        assert_eq!(status, 200, "{command} {body}: {answer}");
        answer
    }

    pub(crate) async fn create(&self, object: &str, values: Value) -> i64 {
        let answer = self.ask("create_objects", json!({ "object": object, "values": [values] })).await;
        answer["ids"][0].as_i64().expect("an id")
    }

    pub(crate) async fn load(&self, object: &str, filter: Value) -> Vec<Value> {
        let answer = self.ask("load_objects", json!({ "object": object, "where": filter })).await;
        answer[object].as_array().expect("rows").clone()
    }

    /// Somebody with that card who enters everywhere.
    pub(crate) async fn person(&self, card: i64) -> i64 {
        let user = self.create("users", json!({ "name": "Ana Lima", "registration": "17" })).await;
        self.create("user_groups", json!({ "user_id": user, "group_id": 1 })).await;
        self.create("cards", json!({ "value": card, "user_id": user })).await;
        user
    }

    /// Destroys a card and gives what the device says about it.
    pub(crate) async fn revoke(&self, card: i64) -> Value {
        self.ask("destroy_objects", json!({ "object": "cards", "where": { "cards": { "value": card } } }))
            .await
    }
}

pub(crate) async fn read(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a whole body");
    let body = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text) };
    (status, body.unwrap_or(Value::String(text)))
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "it never came to this: {what}");
}

/// A request that the device sent.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The value of that name in a form.
    pub(crate) fn form(&self, name: &str) -> String {
        let mut pairs = form_urlencoded::parse(self.body.as_bytes());
        let found = pairs.find(|(key, _)| key == name).expect("a field of that name");
        found.1.into_owned()
    }
}

/// What a server says; a status of 0 is silence.
type Says = Arc<Mutex<(u16, String)>>;

/// A server for the device: it remembers what it hears, and always says the same.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    says: Says,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let says = Arc::new(Mutex::new((200, String::new())));
        let (hears, answers) = (Arc::clone(&heard), Arc::clone(&says));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&hears), Arc::clone(&answers)));
            }
        });
        Self { address, heard, says, task }
    }

    pub(crate) fn says(&self, status: u16, body: impl ToString) {
        *self.says.lock().expect("no panic") = (status, body.to_string());
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }

    /// Waits for that many requests.
    pub(crate) async fn hears(&self, count: usize) -> Vec<Heard> {
        eventually("the server hears of it", || self.heard().len() >= count).await;
        self.heard()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, heard: Arc<Mutex<Vec<Heard>>>, says: Says) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= length(head)
        {
            break (head.to_owned(), body.to_owned());
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let path = head.split(' ').nth(1)?.to_owned();
    heard.lock().expect("no panic").push(Heard { path, body });
    let (status, text) = says.lock().expect("no panic").clone();
    if status == 0 {
        std::future::pending::<()>().await;
    }
    let length = text.len();
    let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + &text).as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

fn length(head: &str) -> usize {
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.map_or(0, |length| length.trim().parse().expect("a length"))
}
