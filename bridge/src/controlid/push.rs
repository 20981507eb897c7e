//! Notifications that devices send: only a hint to look now.
//!
//! A notification carries no secret; whoever reaches our port can send one. So nothing of it is believed but that there
//! may be something to read, and reading is done by the ids of the log.

use std::convert::Infallible;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::transport::{Turn, Wire};
use crate::connector::lanes::{Lane, Unanswered};
use crate::connector::reminder::{RETRIED, Reminder};

/// How long one notification may take, all in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest that is read: notifications of several rows have some kilobytes.
const BODY: usize = 64 * 1024;
/// Notifications that are read at once; more wait.
const AT_ONCE: usize = 32;
/// What devices put before the kind of notification. They write no slash before it.
const PATH: &str = "cardea/notifications";

/// Where we listen, once somebody wants to.
#[derive(Debug)]
pub(super) struct Ear {
    bind: SocketAddrV4,
    listener: OnceCell<TcpListener>,
    reminder: Reminder,
}

/// Where a device sends its notifications.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Monitor {
    hostname: String,
    port: String,
    path: String,
}

impl Monitor {
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
    let text = |key: &str| set["monitor"][key].as_str().unwrap_or_default().to_owned();
    Ok(Monitor { hostname: text("hostname"), port: text("port"), path: text("path") })
}

impl Ear {
    pub(super) fn new(bind: SocketAddrV4) -> Self {
        Self { bind, listener: OnceCell::new(), reminder: Reminder::default() }
    }

    /// Where devices shall send to; `None` before the port is open.
    pub(super) fn address(&self) -> Option<SocketAddrV4> {
        match self.listener.get()?.local_addr().ok()? {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        }
    }

    /// Ends when one of the devices hints. Meanwhile reminds them all where to send to.
    pub(super) async fn hinted(&self, wires: &[&Wire]) {
        let listener = loop {
            match self.listener.get_or_try_init(|| TcpListener::bind(self.bind)).await {
                Ok(listener) => break listener,
                Err(error) => {
                    tracing::warn!(listen = %self.bind, %error, "cannot listen for door events; polling finds them");
                    sleep(RETRIED).await;
                }
            }
        };
        let known: Vec<i64> = wires.iter().map(|wire| wire.device_id()).collect();
        tokio::select! {
            () = hear(listener, &known) => (),
            () = self.reminder.remind(wires, |wire| self.tell(wire)) => (),
        }
    }

    /// Whether the device notifies us now.
    async fn tell(&self, wire: &Wire) -> bool {
        self.have_notified(wire).await.is_ok()
    }

    async fn have_notified(&self, wire: &Wire) -> Result<(), Unanswered> {
        let Some(address) = self.address() else { return Ok(()) };
        let turn = wire.turn(Lane::Grants).await?;
        if monitor(&turn).await?.is(address) {
            return Ok(());
        }
        let (hostname, port) = (address.ip().to_string(), address.port().to_string());
        let monitor = json!({ "hostname": hostname, "port": port, "path": PATH, "request_timeout": "5000" });
        turn.ask::<Value>("set_configuration", &json!({ "monitor": monitor }), &|| true).await.map(drop)
    }
}

/// Ends at the first notification of a device of ours.
async fn hear(listener: &TcpListener, known: &[i64]) {
    let (hint, mut hinted) = mpsc::channel(1);
    let mut heard = JoinSet::new();
    loop {
        tokio::select! {
            _ = hinted.recv() => return,
            Some(_) = heard.join_next(), if !heard.is_empty() => {}
            accepted = listener.accept(), if heard.len() < AT_ONCE => match accepted {
                Ok((stream, _)) => drop(heard.spawn(listen(stream, known.to_vec(), hint.clone()))),
                // The system has no place for one more connection: it may soon.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

/// Reads what comes over one connection.
async fn listen(stream: TcpStream, known: Vec<i64>, hint: mpsc::Sender<()>) {
    let service = service_fn(|request| answer(request, &known, &hint));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever goes wrong costs a hint, and polling finds what it was about.
    let _ = timeout(PATIENCE, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    known: &[i64],
    hint: &mpsc::Sender<()>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = match is_hint(request, known).await {
        Ok(true) => {
            // One hint waits already: it is the same.
            let _ = hint.try_send(());
            StatusCode::OK
        }
        Ok(false) => StatusCode::OK,
        Err(status) => status,
    };
    Ok(response)
}

/// Whether one of our devices says that something happened.
async fn is_hint(request: Request<Incoming>, known: &[i64]) -> Result<bool, StatusCode> {
    let kind = request.uri().path().strip_prefix('/').and_then(|path| path.strip_prefix(PATH));
    let Some(kind) = kind.and_then(|rest| rest.strip_prefix('/')).map(str::to_owned) else {
        return Err(StatusCode::NOT_FOUND);
    };
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let body = Limited::new(request.into_body(), BODY).collect().await;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
    let said: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let device = said["device_id"].as_i64();
    Ok(kind == "dao" && device.is_some_and(|device| known.contains(&device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(address: SocketAddr, path: &str, body: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sent = client.post(format!("http://{address}{path}")).body(body.to_owned()).send().await;
        sent.map_or(0, |answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn only_what_a_device_of_ours_says_of_its_log_is_a_hint() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
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
                ("/", changed, 404),
            ] {
                assert_eq!(send(address, path, body).await, status, "{path} {body:.40}");
            }
        };
        tokio::select! {
            biased;
            () = hear(&listener, &[77]) => panic!("that was no hint"),
            () = talking => {}
        }
        let hint = send(address, "/cardea/notifications/dao", changed);
        let (_, status) = tokio::join!(timeout(PATIENCE, hear(&listener, &[77])), hint);
        // The answer may be cut off by the end of waiting.
        assert!([0, 200].contains(&status), "{status}");
    }
}
