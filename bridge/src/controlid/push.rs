//! The port at which devices reach us: their notifications, which are only a hint to look now, and in online mode their
//! questions ([`online`](super::online)).
//!
//! A notification carries no secret; whoever reaches our port can send one. So nothing of it is believed but that there
//! may be something to read, and reading is done by the ids of the log.
//!
//! Everything is bounded: what one connection may say and for how long, and how many there are at once. Where devices
//! ask, only their addresses are listened to, each with places of its own: nobody else takes up any, and no device
//! those of another.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::online::{self, Desk};
use super::transport::{Turn, Wire, brief};
use crate::connector::lanes::{Lane, Unanswered};
use crate::connector::port::Port;
use crate::connector::reminder::{RETRIED, Reminder};

/// How long one connection may take, all in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest that is read: notifications of several rows have some kilobytes.
const BODY: usize = 64 * 1024;
/// Connections at once, of all together; where devices ask, of each of them. What comes beside is cut off: a hint is
/// found by polling, and a question is asked again.
const AT_ONCE: usize = 32;
/// What devices put before the kind of notification. They write no slash before it.
const PATH: &str = "cardea/notifications";
/// How soon a port is tried again at which devices ask: until it is open, nobody enters.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Where we listen, once somebody wants to.
#[derive(Debug)]
pub(super) struct Ear {
    port: Port<TcpListener>,
    reminder: Reminder,
    hall: Arc<Hall>,
}

/// What becomes of what is heard.
#[derive(Debug)]
struct Hall {
    /// The devices that may hint.
    known: Vec<i64>,
    /// Rung at each hint. One that nobody waits for is kept for whoever waits next.
    hint: Notify,
    /// Of everybody, where nobody asks.
    places: Arc<Semaphore>,
    /// In online mode.
    desk: Option<Desk>,
}

/// Where a device sends its notifications.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Monitor {
    hostname: String,
    port: String,
    path: String,
}

impl Monitor {
    pub(super) fn read(set: &Value) -> Self {
        let text = |key: &str| brief(set["monitor"][key].as_str().unwrap_or_default());
        Self { hostname: text("hostname"), port: text("port"), path: text("path") }
    }

    pub(super) fn is(&self, address: SocketAddrV4) -> bool {
        let Self { hostname, port, path } = self;
        *hostname == address.ip().to_string() && *port == address.port().to_string() && path == PATH
    }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hostname.as_str() {
            "" => f.write_str("nobody"),
            hostname => write!(f, "{hostname}:{}/{}", self.port, self.path),
        }
    }
}

/// Where a device sends its notifications now.
pub(super) async fn monitor(turn: &Turn<'_>) -> Result<Monitor, Unanswered> {
    let asked = json!({ "monitor": ["hostname", "port", "path"] });
    let set: Value = turn.ask("get_configuration", &asked, &|| true).await?;
    Ok(Monitor::read(&set))
}

/// Has a device notify us, if it does not.
async fn have_notified(turn: &Turn<'_>, address: SocketAddrV4) -> Result<(), Unanswered> {
    if monitor(turn).await?.is(address) {
        return Ok(());
    }
    let (hostname, port) = (address.ip().to_string(), address.port().to_string());
    let monitor = json!({ "hostname": hostname, "port": port, "path": PATH, "request_timeout": "5000" });
    turn.ask::<Value>("set_configuration", &json!({ "monitor": monitor }), &|| true).await.map(drop)
}

impl Ear {
    /// `known`: the devices; `desk`: who answers them, in online mode.
    pub(super) fn new(bind: SocketAddrV4, known: Vec<i64>, desk: Option<Desk>) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let hall = Arc::new(Hall { known, hint: Notify::new(), places, desk });
        Self { port: Port::new(bind), reminder: Reminder::default(), hall }
    }

    /// Where devices shall send to; `None` before the port is open.
    pub(super) fn address(&self) -> Option<SocketAddrV4> {
        match self.port.socket()?.local_addr().ok()? {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        }
    }

    /// In online mode: who answers devices, and the address at which they shall ask, as far as it is known: another
    /// process may be the one that listens.
    pub(super) fn desk(&self) -> Option<(&Desk, Option<SocketAddrV4>)> {
        let bind = self.port.bind();
        let configured = (bind.port() != 0).then_some(bind);
        Some((self.hall.desk.as_ref()?, self.address().or(configured)))
    }

    /// Ends when one of the devices hints. Listens meanwhile, unless somebody has to at every moment.
    pub(super) async fn hinted(&self, wires: &[&Wire]) {
        tokio::select! {
            () = self.hall.hint.notified() => (),
            () = self.listen(wires), if self.hall.desk.is_none() => (),
        }
    }

    /// Answers what devices ask, if they do. Never ends.
    pub(super) async fn attend(&self, wires: &[&Wire]) {
        match self.hall.desk {
            Some(_) => self.listen(wires).await,
            None => std::future::pending().await,
        }
    }

    /// Hears what comes, and reminds devices of where to send to. Never ends.
    async fn listen(&self, wires: &[&Wire]) {
        let again = if self.hall.desk.is_some() { ASKED_AGAIN } else { RETRIED };
        let listener = self.port.opened(again, TcpListener::bind, |error| self.tell_closed(&error)).await;
        tokio::select! {
            () = hear(listener, &self.hall) => (),
            () = self.reminder.remind(wires, |wire| self.tell(wire)) => (),
        }
    }

    /// Of several processes one listens, so it may be as it should.
    fn tell_closed(&self, error: &io::Error) {
        match self.hall.desk {
            None => tracing::warn!(
                listen = %self.port.bind(), %error, "cannot listen to devices; events are found by polling"
            ),
            Some(_) => tracing::error!(
                listen = %self.port.bind(), %error,
                "cannot listen to devices that ask: unless another process of ours does, nobody enters by them"
            ),
        }
    }

    /// Whether the device notifies us now, and asks us where it should.
    async fn tell(&self, wire: &Wire) -> bool {
        self.have_told(wire).await.is_ok()
    }

    async fn have_told(&self, wire: &Wire) -> Result<(), Unanswered> {
        let Some(address) = self.address() else { return Ok(()) };
        // Who decides comes first, and a device that does not take the one takes the other.
        let asks = match &self.hall.desk {
            Some(desk) => desk.have_ask(wire, address).await,
            None => Ok(()),
        };
        let notifying = async { have_notified(&wire.turn(Lane::Grants).await?, address).await };
        asks.and(notifying.await)
    }
}

impl Hall {
    /// A place for one connection; `None` when it is not taken.
    fn place_for(&self, from: IpAddr) -> Option<OwnedSemaphorePermit> {
        let places = match &self.desk {
            Some(desk) => desk.places_of(from)?,
            None => &self.places,
        };
        places.clone().try_acquire_owned().ok()
    }

    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> Result<Option<Value>, StatusCode> {
        let path = request.uri().path().strip_prefix('/').unwrap_or_default().to_owned();
        let below = |base: &str| path.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        let (hint, asked) = (below(PATH), below(online::PATH));
        if hint.is_none() && (asked.is_none() || self.desk.is_none()) {
            return Err(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::POST {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let body = Limited::new(request.into_body(), BODY).collect().await.map(|body| body.to_bytes());
        match (asked, &self.desk) {
            // Also what is too long or cut short is answered: with a no.
            (Some(command), Some(desk)) => {
                let answer = desk.answer(command, &body.unwrap_or_default(), from).await;
                answer.map(Some).ok_or(StatusCode::NOT_FOUND)
            }
            _ => {
                let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
                let device = speaker(&body).ok_or(StatusCode::BAD_REQUEST)?;
                let is_known = device.is_some_and(|device| self.known.contains(&device));
                // One of our devices says that something happened.
                if hint == Some("dao") && is_known {
                    self.hint.notify_one();
                }
                Ok(None)
            }
        }
    }
}

/// Takes connections. Never ends.
async fn hear(listener: &TcpListener, hall: &Arc<Hall>) {
    let mut heard = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = heard.join_next(), if !heard.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    if let Some(place) = hall.place_for(from.ip()) {
                        heard.spawn(listen(stream, from.ip(), hall.clone(), place));
                    }
                }
                // The system has no place for one more connection: it may soon.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

/// Answers what comes over one connection.
async fn listen(stream: TcpStream, from: IpAddr, hall: Arc<Hall>, place: OwnedSemaphorePermit) {
    let service = service_fn(|request| respond(request, from, &hall));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever goes wrong costs a hint, and polling finds what it was about; or an answer, and nobody enters by it.
    let _ = timeout(PATIENCE, connection).await;
    drop(place);
}

async fn respond(
    request: Request<Incoming>,
    from: IpAddr,
    hall: &Hall,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match hall.answer(request, from).await {
        Ok(Some(answer)) => (StatusCode::OK, answer.to_string()),
        Ok(None) => (StatusCode::OK, String::new()),
        Err(status) => (status, String::new()),
    };
    let is_json = !body.is_empty();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if is_json {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

/// Which device a notification says it is from, if it says so; `None` when it is none.
pub(super) fn speaker(body: &[u8]) -> Option<Option<i64>> {
    let said: Value = serde_json::from_slice(body).ok()?;
    Some(said["device_id"].as_i64())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::super::config::OutOfReach;
    use super::*;
    use crate::connector::Nobody;

    async fn send(address: SocketAddr, path: &str, body: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sent = client.post(format!("http://{address}{path}")).body(body.to_owned()).send().await;
        sent.map_or(0, |answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn only_what_a_device_of_ours_says_of_its_log_is_a_hint() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ear = Ear::new("127.0.0.1:1".parse().unwrap(), vec![77], None);
        let changed = r#"{"object_changes": [], "device_id": 77}"#;
        let stranger = r#"{"object_changes": [], "device_id": 78}"#;
        let large = format!("{{\"device_id\": 77, \"x\": \"{}\"}}", "x".repeat(BODY));
        let talking = async {
            for (path, body, status) in [
                ("/cardea/notifications/dao", stranger, 200),
                ("/cardea/notifications/device_is_alive", changed, 200),
                ("/cardea/notifications/dao", "{", 400),
                ("/cardea/notifications/dao", &large, 413),
                ("/cardea/notificationsdao", changed, 404),
                // Nobody asks where nobody answers.
                ("/cardea/online/new_user_identified.fcgi", "device_id=77&card_value=1&portal_id=1", 404),
                ("/", changed, 404),
            ] {
                assert_eq!(send(address, path, body).await, status, "{path} {body:.40}");
            }
        };
        tokio::select! {
            biased;
            () = hear(&listener, &ear.hall) => unreachable!("it never ends"),
            () = ear.hall.hint.notified() => panic!("that was no hint"),
            () = talking => {}
        }
        let hint = async {
            assert_eq!(send(address, "/cardea/notifications/dao", changed).await, 200);
            ear.hall.hint.notified().await;
        };
        tokio::select! {
            () = hear(&listener, &ear.hall) => unreachable!("it never ends"),
            hinted = timeout(PATIENCE, hint) => hinted.expect("a hint"),
        }
    }

    #[tokio::test]
    async fn a_port_that_another_has_is_told_once_and_taken_when_it_is_free() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(bind) = other.local_addr().unwrap() else { panic!("an address of IPv4") };
        let places = Desk::new(&[], Arc::new(Nobody), TimeZone::UTC, OutOfReach::Deny);
        let ear = Ear::new(bind, vec![77], Some(places));
        // Whoever waits for hints gives up and comes again.
        for is_told in [false, true] {
            assert_eq!(ear.port.is_told(), is_told);
            assert!(timeout(Duration::from_millis(50), ear.listen(&[])).await.is_err());
        }
        drop(other);
        assert!(timeout(ASKED_AGAIN, ear.listen(&[])).await.is_err());
        assert!(ear.address().is_some() && !ear.port.is_told());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_to_its_end_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ear = Ear::new("127.0.0.1:1".parse().unwrap(), vec![77], None);
        let head = "POST /cardea/notifications/dao HTTP/1.1\r\nhost: cardea\r\ncontent-length: 40\r\n\r\n";
        let (body, half) = (format!("{head}{{\"device_id\": 77"), &head[..50]);
        let talking = async {
            for begun in ["", half, head, &body] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let before = Instant::now();
                stream.write_all(begun.as_bytes()).await.unwrap();
                let mut heard = Vec::new();
                // The end, or a connection that was reset.
                let _ = stream.read_to_end(&mut heard).await;
                let waited = before.elapsed().as_secs();
                assert!((4..=6).contains(&waited), "{waited} s: {begun}");
                assert!(!heard.starts_with(b"HTTP/1.1 200"), "{begun}");
            }
        };
        tokio::select! {
            () = hear(&listener, &ear.hall) => unreachable!("it never ends"),
            () = talking => {}
        }
    }

    #[tokio::test]
    async fn whoever_hogs_its_connections_gets_no_more_and_may_come_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ear = Ear::new("127.0.0.1:1".parse().unwrap(), vec![77], None);
        let changed = r#"{"object_changes": [], "device_id": 77}"#;
        let talking = async {
            let mut hogged = Vec::new();
            for _ in 0..AT_ONCE {
                hogged.push(TcpStream::connect(address).await.unwrap());
            }
            assert_eq!(send(address, "/cardea/notifications/dao", changed).await, 0);
            drop(hogged);
            while send(address, "/cardea/notifications/dao", changed).await != 200 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = hear(&listener, &ear.hall) => unreachable!("it never ends"),
            done = timeout(PATIENCE * 2, talking) => done.expect("it may come again"),
        }
    }
}
