//! HTTP: the route table of all rooms, mounted once, on every listener.

use std::any::Any;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Once};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, Server};
use actix_web::rt::net::TcpStream as Served;
use actix_web::{App, HttpResponse, HttpServer, web};
use keys::KeyRing;
use kit::connection::{Connections, QUIET};
use kit::{Edge, Passage, Refuse, Refused, Route};
use rustix::net::Shutdown;
use rustls::ServerConfig;

use ::web as kit;

use crate::descriptors;
use crate::evidence;
use crate::health::{self, Health};
use crate::house::{House, OpenError};

/// How long a client may take to send the head of its first request; of later ones, [`QUIET`].
const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// How long a connection may rest between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a client may take to agree on TLS. Until then it is counted among all, and for no address.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How long what a client still sends is passed over, after an answer that ends its connection.
const GOODBYE: Duration = Duration::from_secs(1);
/// At least so many addresses it takes to have all connections, proxies of ours aside.
const ADDRESSES: usize = 4;
/// How long requests under way may take after a stop was asked for, in seconds.
const GRACE: u64 = 10;

/// Every endpoint of the house.
#[must_use]
pub fn routes() -> Vec<Route> {
    [health::routes(), evidence::routes(), idp::routes(), scim::routes()].concat()
}

/// Below these prefixes an unknown path is refused in a protocol's own form; the first that fits counts.
pub const REFUSED_BELOW: &[(&str, Refuse)] = &[("/scim/", scim::refuse), ("/", refuse_nowhere)];

/// People are shown a page, programs are told a problem.
fn refuse_nowhere(passage: &Passage, refused: Refused) -> HttpResponse {
    match passage.wants_page() {
        true => idp::refuse_as_page(passage, refused),
        false => kit::problem::refuse(passage, refused),
    }
}

/// A server over the listeners, not yet polled; with HTTPS by itself when `tls` is given.
pub(crate) fn server(
    house: &House,
    listeners: Vec<TcpListener>,
    tls: Option<ServerConfig>,
    workers: usize,
) -> Result<Server, OpenError> {
    let edge = Arc::new(Edge {
        ctx: house.db.ctx().clone(),
        issuer: house.issuer.clone(),
        proxies: house.config.proxies()?,
    });
    let limits = &house.config.http;
    let all = descriptors::connections(limits.connections);
    let per_address = per_address(limits.connections_per_address, all);
    let (connections, said) = (Connections::new(per_address, QUIET, edge.proxies.clone()), Once::new());
    // A worker that has as many as it may takes no more: further ones wait with the system until one has ended.
    let per_worker = (all / workers).max(1);
    let routes = routes();
    let rooms = Rooms::new(house)?;
    let app = move || {
        App::new()
            .app_data(rooms.health.clone())
            .app_data(rooms.keys.clone())
            .app_data(rooms.idp.clone())
            .app_data(rooms.scim.clone())
            .configure(|config| kit::mount(config, &edge, &routes, REFUSED_BELOW))
    };
    let mut server = HttpServer::new(app)
        .workers(workers)
        .max_connections(per_worker)
        // As many may agree on TLS at once as there may be connections: whoever does not, takes no turn of another.
        .max_connection_rate(per_worker)
        .tls_handshake_timeout(HANDSHAKE)
        .client_request_timeout(REQUEST_HEAD)
        .keep_alive(KEEP_ALIVE)
        .client_disconnect_timeout(GOODBYE)
        .shutdown_timeout(GRACE)
        .disable_signals()
        .on_connect(move |connection, belongings| {
            if let Some(socket) = socket_of(connection) {
                begin(&connections, socket, socket.try_clone_to_owned(), belongings, &said);
            }
        });
    for listener in listeners {
        let bound = match &tls {
            Some(tls) => server.listen_rustls_0_23(listener, tls.clone()),
            None => server.listen(listener),
        };
        server = bound
            .map_err(|error| OpenError::Listen { address: "listener".into(), reason: error.to_string() })?;
    }
    Ok(server.run())
}

/// How many connections one address may have, of so many in all.
fn per_address(wanted: usize, all: usize) -> usize {
    let most = (all / ADDRESSES).max(1);
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            all,
            "fewer connections from one address than http.connections_per_address: a quarter of all, so that others \
             are answered, too; raise http.connections, and the limit of open files where that is what is short"
        );
    }
    wanted.min(most)
}

/// The socket under a connection, in clear or encrypted.
fn socket_of(connection: &dyn Any) -> Option<BorrowedFd<'_>> {
    let socket = match connection.downcast_ref::<Served>() {
        Some(clear) => clear,
        None => connection.downcast_ref::<TlsStream<Served>>()?.get_ref().0,
    };
    Some(socket.as_fd())
}

/// A connection begins, with a second handle of its socket. Where there was none to be had, nobody could cut it later,
/// and so it is cut now.
fn begin(
    connections: &Connections,
    socket: BorrowedFd<'_>,
    handle: io::Result<OwnedFd>,
    belongings: &mut Extensions,
    said: &Once,
) {
    match handle {
        Ok(handle) => connections.begin(TcpStream::from(handle), belongings),
        Err(error) => {
            said.call_once(|| {
                tracing::error!(
                    %error,
                    "connections are cut as they come, and no more is said of it: raise the limit of open files \
                     (LimitNOFILE, ulimit -n), or lower http.connections"
                );
            });
            // What cannot be shut is shut already.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }
}

/// What each room's handlers are given.
struct Rooms {
    health: web::Data<Health>,
    keys: web::Data<KeyRing>,
    idp: web::Data<idp::Idp>,
    scim: web::Data<scim::Scim>,
}

impl Rooms {
    fn new(house: &House) -> Result<Self, OpenError> {
        let settings = house.config.idp()?;
        let internal = settings.internal_networks.clone();
        let exports = house.config.export.keys().cloned().collect();
        Ok(Self {
            health: web::Data::new(Health::new(house.db.clone(), house.ephemeral.clone(), internal, exports)),
            keys: web::Data::new(house.keys.clone()),
            idp: web::Data::new(idp::Idp::new(
                house.db.clone(),
                house.keys.clone(),
                house.policies.subscribe(),
                house.hasher.clone(),
                house.ephemeral.clone(),
                house.issuer.clone(),
                settings,
            )),
            scim: web::Data::new(scim::Scim::new(
                house.db.clone(),
                house.ephemeral.clone(),
                house.issuer.clone(),
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use kernel::Ctx;
    use keys::SealingKeys;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;
    use crate::config::Config;
    use crate::house::{Running, listen};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A house with one worker, and more lines in `[http]`.
    async fn running(more: &str) -> (tempfile::TempDir, Running) {
        let folder = tempfile::tempdir().unwrap();
        let ctx = Ctx::system();
        SealingKeys::create_file(&folder.path().join("sealing.key"), &ctx).unwrap();
        let text = format!("issuer = \"http://localhost:8080\"\n[http]\nworkers = 1\n{more}");
        let config = Config::parse(&text, folder.path()).unwrap();
        let house = House::open(config, ctx).await.unwrap();
        let running = house.run(vec![listen("127.0.0.1:0").unwrap()]).await.unwrap();
        (folder, running)
    }

    async fn connect(running: &Running) -> Served {
        Served::connect(running.addresses[0]).await.unwrap()
    }

    async fn say(client: &mut Served) {
        // Who was cut off may find out only by listening.
        let _ = client.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    }

    /// The whole answer, or nothing when the connection was cut.
    async fn hear(client: &mut Served) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"alive\n") && client.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn is_answered(client: &mut Served) -> bool {
        say(client).await;
        let heard = timeout(PATIENCE, hear(client)).await.expect("an answer, or the end");
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 200"), "{heard}");
        !heard.is_empty()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_address_does_not_take_the_connections_of_all() {
        let (_folder, running) = running("connections_per_address = 2").await;
        let (mut first, mut second) = (connect(&running).await, connect(&running).await);
        assert!(is_answered(&mut first).await && is_answered(&mut second).await);
        let mut third = connect(&running).await;
        assert!(!is_answered(&mut third).await, "it is cut at once");
        assert!(is_answered(&mut first).await, "who was in stays in");
        drop(second);
        let began = std::time::Instant::now();
        while !is_answered(&mut connect(&running).await).await {
            assert!(began.elapsed() < PATIENCE, "a place is free again");
        }
        running.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_address_has_a_quarter_of_all_connections_at_most() {
        assert_eq!([per_address(1_000, 8_000), per_address(1_000, 400), per_address(9, 2)], [1_000, 100, 1]);
        let (_folder, running) = running("connections = 8\nconnections_per_address = 8").await;
        let (mut first, mut second) = (connect(&running).await, connect(&running).await);
        assert!(is_answered(&mut first).await && is_answered(&mut second).await);
        assert!(!is_answered(&mut connect(&running).await).await, "it is cut at once");
        running.stop().await.unwrap();
    }

    #[test]
    fn a_connection_that_nobody_could_cut_later_is_cut_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (served, _) = listener.accept().unwrap();
        let (connections, mut belongings) =
            (Connections::new(9, QUIET, kit::Networks::default()), Extensions::new());
        let none_left = io::Error::from(rustix::io::Errno::MFILE);
        begin(&connections, served.as_fd(), Err(none_left), &mut belongings, &Once::new());
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it has ended, though its socket is still there");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_is_one_too_many_waits_until_a_place_is_free() {
        let (_folder, running) = running("connections = 1").await;
        let mut first = connect(&running).await;
        assert!(is_answered(&mut first).await);
        let mut second = connect(&running).await;
        say(&mut second).await;
        let waiting = timeout(Duration::from_millis(500), hear(&mut second)).await;
        assert!(waiting.is_err(), "{waiting:?}");
        drop(first);
        let heard = timeout(PATIENCE, hear(&mut second)).await.expect("an answer");
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
        drop(second);
        running.stop().await.unwrap();
    }
}
