//! HTTP: the route table of all rooms, mounted once, on every listener.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use keys::KeyRing;
use kit::{Edge, Refuse, Route};

use ::web as kit;

use crate::evidence;
use crate::health::{self, Health};
use crate::house::{House, OpenError};
use crate::tls;

/// A client that sends its request slower than this is dropped.
const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// How long requests under way may take after a stop was asked for, in seconds.
const GRACE: u64 = 10;
/// Connections open at once, per worker.
const CONNECTIONS: usize = 5_000;

/// Every endpoint of the house.
#[must_use]
pub fn routes() -> Vec<Route> {
    [health::routes(), evidence::routes(), idp::routes(), scim::routes()].concat()
}

/// Below these prefixes an unknown path is refused in a protocol's own form.
pub const REFUSED_BELOW: &[(&str, Refuse)] = &[("/scim/", scim::refuse)];

/// A server over the listeners, not yet polled.
pub fn server(house: &House, listeners: Vec<TcpListener>, workers: usize) -> Result<Server, OpenError> {
    let edge = Arc::new(Edge {
        ctx: house.db.ctx().clone(),
        issuer: house.issuer.clone(),
        proxies: house.config.proxies()?,
    });
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
        .max_connections(CONNECTIONS)
        .client_request_timeout(REQUEST_HEAD)
        .shutdown_timeout(GRACE)
        .disable_signals();
    let tls = match &house.config.http.tls {
        None => None,
        Some(files) => {
            let (certificate, key) = (house.config.path(&files.certificate), house.config.path(&files.key));
            Some(tls::server_config(&certificate, &key)?)
        }
    };
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

/// What each room's handlers are given.
struct Rooms {
    health: web::Data<Arc<Health>>,
    keys: web::Data<KeyRing>,
    idp: web::Data<idp::Idp>,
    scim: web::Data<scim::Scim>,
}

impl Rooms {
    fn new(house: &House) -> Result<Self, OpenError> {
        let health = Health { db: house.db.clone(), ephemeral: house.ephemeral.clone() };
        Ok(Self {
            health: web::Data::new(Arc::new(health)),
            keys: web::Data::new(house.keys.clone()),
            idp: web::Data::new(idp::Idp::new(
                house.db.clone(),
                house.keys.clone(),
                house.sealing.clone(),
                house.policies.subscribe(),
                house.hasher.clone(),
                house.ephemeral.clone(),
                house.issuer.clone(),
                house.config.idp()?,
            )),
            scim: web::Data::new(scim::Scim::new(house.db.clone(), house.issuer.clone())),
        })
    }
}
