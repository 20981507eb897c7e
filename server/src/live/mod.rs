//! The live page of the demo: people, where they are signed in, what they carry to doors, and what happens, as it
//! happens.
//!
//! It has an address of its own, on loopback, and is no part of what `cardea serve` serves: whoever reaches it plays HR
//! and walks through doors. It shows what its three witnesses say (the directory, the journal, the simulated apps),
//! and decides nothing.
//!
//! - [`Play`] is what can be done: hire, swipe, end. The terminal does the same.
//! - `hub` watches; `telling` puts facts into words; `picture` is how things stand; `events` sends both to browsers as
//!   server-sent events; `page` is what they look like.
//!
//! To tell of another kind of fact: an arm in `telling::tell` and its words in `templates/messages/live-*.toml`.

mod events;
mod hub;
mod page;
mod picture;
mod play;
mod telling;
mod texts;

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::web::{Data, to};
use actix_web::{App, HttpServer};
use kit::{Edge, Issuer, Method, Networks, Route, Visibility};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::house::{OpenError, listen};
use crate::stage::Stage;
use hub::Hub;
pub use play::{Play, PlayError};

use ::web as kit;

/// A few small fields.
const FORM: usize = 4 * 1024;

/// Every endpoint of the page. None of them is the product's.
fn routes() -> Vec<Route> {
    let browser = |method, path, handler| Route::new(method, path, Visibility::Browser, handler);
    vec![
        browser(Method::Get, "/", || to(page::get)),
        browser(Method::Get, "/events", || to(events::get)),
        browser(Method::Post, "/hire", || to(page::hire)).body_limit(FORM),
        browser(Method::Post, "/swipe", || to(page::swipe)).body_limit(FORM),
        browser(Method::Post, "/end", || to(page::end)).body_limit(FORM),
    ]
}

/// What handlers are given.
pub(crate) struct Room {
    play: Arc<Play>,
    hub: Arc<Hub>,
    issuer: Issuer,
}

/// The page, while it is shown.
pub struct Live {
    home: String,
    handle: ServerHandle,
    served: JoinHandle<std::io::Result<()>>,
    watching: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Live {
    /// Shows the page of a stage at a free port, or at this one.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn open(stage: &Arc<Stage>, play: &Arc<Play>, port: u16) -> Result<Self, OpenError> {
        let listener: TcpListener = listen(&format!("127.0.0.1:{port}"))?;
        let bound = |error: std::io::Error| OpenError::Listen {
            address: "the live page".into(),
            reason: error.to_string(),
        };
        let home = format!("http://localhost:{}", listener.local_addr().map_err(bound)?.port());
        let issuer: Issuer =
            home.parse().map_err(|error: kit::BadIssuer| bound(std::io::Error::other(error)))?;
        let hub = Arc::new(Hub::begin(stage, play).await);
        let edge =
            Arc::new(Edge { ctx: stage.ctx.clone(), issuer: issuer.clone(), proxies: Networks::default() });
        let room = Data::new(Room { play: play.clone(), hub: hub.clone(), issuer });
        let routes = routes();
        let app = move || {
            App::new().app_data(room.clone()).configure(|config| kit::mount(config, &edge, &routes, &[]))
        };
        let server = HttpServer::new(app).workers(1).shutdown_timeout(1).disable_signals().listen(listener);
        let server = server.map_err(bound)?.run();
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            home,
            handle: server.handle(),
            served: tokio::spawn(server),
            watching: tokio::spawn(hub.watch(stopped)),
            stop,
        })
    }

    /// Its address, with no slash at the end.
    #[must_use]
    pub fn home(&self) -> &str {
        &self.home
    }

    /// Ends it: whoever reads events is hung up on.
    pub async fn close(self) {
        self.stop.send_replace(true);
        // Whoever watched is gone, which closes the streams; then nothing keeps the server.
        let _ = self.watching.await;
        self.handle.stop(true).await;
        let _ = self.served.await;
    }
}
