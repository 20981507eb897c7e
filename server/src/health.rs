//! Health that tells the truth: alive means that the process answers, ready that it can do its work now: read,
//! write and keep what it writes, count and remember.
//!
//! Anybody may ask, and often: everything is asked once a second at most, and answers are shared. What exactly is
//! wrong concerns those inside (loopback and the site's internal networks); all others are told yes or no.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web};
use audit::export::{Standing, standing};
use bridge::alert;
use kernel::Timestamp;
use serde::Serialize;
use store::{Db, Ephemeral, delivery};
use tokio::sync::Mutex;
use web_kit::{Method, Networks, Passage, Route, Visibility};

use ::web as web_kit;

/// How long an answer is as good as a new one.
const FRESH: Duration = Duration::from_secs(1);
/// How long each part may take to answer before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(3);

/// What readiness asks.
pub struct Health {
    db: Db,
    ephemeral: Ephemeral,
    internal: Networks,
    /// The names of those who hand the journal on.
    exports: Vec<String>,
    /// Held while asking: whoever comes meanwhile waits for that answer.
    last: Mutex<Option<(Instant, Arc<Condition>)>>,
}

/// The answer of `/health/ready`, to those inside.
#[derive(Debug, Serialize)]
pub struct Condition {
    /// Whether work can be done.
    pub ready: bool,
    /// `ok`, or what is wrong.
    pub database: String,
    /// `ok`, or what is wrong.
    pub ephemeral: String,
    /// Deliveries that wait or are being worked on.
    pub deliveries_waiting: Option<i64>,
    /// Deliveries that were given up.
    pub deliveries_dead: Option<i64>,
    /// Alerts that are open: they need people, not a restart.
    pub alerts: Option<i64>,
    /// Receivers of the journal: they need people, too.
    pub exports: Option<Vec<Exported>>,
}

/// How a receiver of the journal stands.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// The configuration's name for it.
    pub name: String,
    /// How many facts it does not have for sure. Some always are on the way.
    pub behind: i64,
    /// When the last fact was recorded up to which it has everything.
    pub delivered: Option<String>,
    /// Whether it is cut off.
    pub cut: bool,
    /// Since when.
    pub since: Option<String>,
    /// Why, as it began.
    pub reason: Option<String>,
}

impl From<Standing> for Exported {
    fn from(standing: Standing) -> Self {
        let Standing { name, behind, delivered, cut } = standing;
        let is_cut = cut.is_some();
        let (since, reason) = cut.map_or((None, None), |outage| (outage.since, outage.reason));
        let text = |at: Timestamp| at.to_string();
        Self { name, behind, delivered: delivered.map(text), cut: is_cut, since: since.map(text), reason }
    }
}

/// The rows of the table.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::Get, "/health/live", Visibility::Operations, || web::to(live)),
        Route::new(Method::Get, "/health/ready", Visibility::Operations, || web::to(ready)),
    ]
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("alive\n")
}

async fn ready(health: web::Data<Health>, passage: Passage) -> HttpResponse {
    let condition = health.condition().await;
    let mut answer = match condition.ready {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    match passage.client().is_loopback() || health.internal.hold(passage.client()) {
        true => answer.json(&*condition),
        false => answer.json(serde_json::json!({ "ready": condition.ready })),
    }
}

impl Health {
    /// Over what is asked; `internal` are told details, of the exports of these names, too.
    #[must_use]
    pub fn new(db: Db, ephemeral: Ephemeral, internal: Networks, exports: Vec<String>) -> Self {
        Self { db, ephemeral, internal, exports, last: Mutex::default() }
    }

    /// What is the matter now, or was a second ago.
    pub async fn condition(&self) -> Arc<Condition> {
        let mut last = self.last.lock().await;
        if let Some((at, condition)) = &*last
            && at.elapsed() < FRESH
        {
            return condition.clone();
        }
        let condition = Arc::new(self.ask().await);
        if !condition.ready {
            tracing::warn!(?condition, "not ready");
        }
        *last = Some((Instant::now(), condition.clone()));
        condition
    }

    /// Asks everything that work needs.
    async fn ask(&self) -> Condition {
        let database = async {
            self.db.check().await.map_err(|error| error.to_string())?;
            self.db.check_writer().await.map_err(|error| format!("it can be read, but not written: {error}"))
        };
        let ephemeral = async {
            let put = self.ephemeral.put("readiness", "asked", PATIENCE);
            put.await.map_err(|error| error.to_string())
        };
        let (database, ephemeral) = tokio::join!(in_time(database), in_time(ephemeral));
        let (counts, exports) = tokio::join!(in_time(self.counts()), in_time(self.exported()));
        let counts = counts.ok();
        let said = |outcome: Result<(), String>| outcome.err().unwrap_or_else(|| "ok".into());
        Condition {
            ready: database.is_ok() && ephemeral.is_ok(),
            database: said(database),
            ephemeral: said(ephemeral),
            deliveries_waiting: counts.map(|(waiting, ..)| waiting),
            deliveries_dead: counts.map(|(_, dead, _)| dead),
            alerts: counts.map(|(.., alerts)| alerts),
            exports: exports.ok(),
        }
    }

    async fn exported(&self) -> Result<Vec<Exported>, String> {
        let mut exports = Vec::new();
        for name in &self.exports {
            exports.push(standing(&self.db, name).await.map_err(|error| error.to_string())?.into());
        }
        Ok(exports)
    }

    async fn counts(&self) -> Result<(i64, i64, i64), String> {
        let said = |error: store::StoreError| error.to_string();
        let (waiting, dead) = delivery::depth(&self.db).await.map_err(said)?;
        Ok((waiting, dead, alert::open_count(&self.db).await.map_err(said)?))
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| late())
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use kernel::{Actor, Ctx};
    use serde_json::{Value, json};
    use store::{Origin, Sinks};
    use web_kit::Edge;

    use super::*;
    use crate::config::Config;

    struct House {
        folder: tempfile::TempDir,
        db: Db,
    }

    async fn open(folder: &tempfile::TempDir) -> Db {
        let config = Config::parse("issuer = \"http://localhost:8080\"", folder.path()).unwrap();
        let config = config.database().unwrap();
        Db::open(&config, Ctx::system(), Sinks::default()).await.unwrap()
    }

    impl House {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = open(&folder).await;
            Self { folder, db }
        }

        /// Asked by a peer; the proxy is 127.0.0.9, and 10.0.0.0/8 is internal.
        async fn ask(&self, peer: &str, forwarded: Option<&str>) -> (u16, Value) {
            let ephemeral = Ephemeral::in_memory(self.db.ctx().clone());
            let internal = Networks::parse(&["10.0.0.0/8"]).unwrap();
            let health =
                web::Data::new(Health::new(self.db.clone(), ephemeral, internal, vec!["siem".into()]));
            let edge = Arc::new(Edge {
                ctx: self.db.ctx().clone(),
                issuer: "https://id.example.org".parse().unwrap(),
                proxies: Networks::parse(&["127.0.0.9"]).unwrap(),
            });
            let mount = |config: &mut web::ServiceConfig| web_kit::mount(config, &edge, &routes(), &[]);
            let app = init_service(App::new().app_data(health).configure(mount)).await;
            let request =
                TestRequest::get().uri("/health/ready").peer_addr(format!("{peer}:9").parse().unwrap());
            let request = match forwarded {
                Some(client) => request.insert_header(("x-forwarded-for", client)),
                None => request,
            };
            let answer = call_service(&app, request.to_request()).await;
            (answer.status().as_u16(), read_body_json(answer).await)
        }
    }

    #[actix_web::test]
    async fn only_those_inside_are_told_what_is_wrong() {
        let house = House::new().await;
        house.db.close().await;
        for (peer, forwarded) in [("127.0.0.1", None), ("10.1.2.3", None), ("127.0.0.9", Some("10.1.2.3"))] {
            let (status, said) = house.ask(peer, forwarded).await;
            assert_eq!((status, &said["ready"]), (503, &json!(false)), "{peer} {forwarded:?}");
            assert_eq!(said["ephemeral"], "ok");
            assert!(said["database"].as_str().is_some_and(|text| text.len() > 5 && text != "ok"), "{said}");
        }
        for (peer, forwarded) in [
            ("192.0.2.7", None),
            ("127.0.0.9", Some("192.0.2.7")),
            ("127.0.0.9", None),
            ("127.0.0.9", Some("me")),
        ] {
            assert_eq!(
                house.ask(peer, forwarded).await,
                (503, json!({ "ready": false })),
                "{peer} {forwarded:?}"
            );
        }
    }

    #[actix_web::test]
    async fn a_database_that_cannot_be_written_is_not_ready() {
        let house = House::new().await;
        let (status, said) = house.ask("127.0.0.1", None).await;
        assert_eq!((status, &said["ready"], &said["database"]), (200, &json!(true), &json!("ok")));
        // Another process has the one writer's place and does not give it back.
        let other = open(&house.folder).await;
        let held = other.write(Origin::of(Actor::Operator)).await.unwrap();
        let (status, said) = house.ask("127.0.0.1", None).await;
        assert_eq!(status, 503, "{said}");
        assert!(said["database"].as_str().unwrap().contains("no answer within 3 s"), "{said}");
        drop(held);
    }

    #[actix_web::test]
    async fn a_receiver_of_the_journal_that_is_cut_off_is_told_and_no_reason_to_restart() {
        let house = House::new().await;
        let (status, said) = house.ask("127.0.0.1", None).await;
        let none: Option<&str> = None;
        let whole = json!([{
            "name": "siem", "behind": 0, "delivered": none, "cut": false, "since": none, "reason": none
        }]);
        assert_eq!((status, &said["exports"]), (200, &whole));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let nowhere = house.folder.path().join("no folder").join("facts.jsonl");
        let export = audit::export::Export {
            name: "siem".into(),
            target: audit::export::Target::File(nowhere),
            format: audit::export::Format::Json,
            host: "id.example.org".into(),
            settle: audit::export::SETTLE,
            overlap: audit::export::OVERLAP,
            largest: audit::export::LARGEST,
            enterprise: None,
        };
        let node = kernel::id::NodeId::new(house.db.ctx());
        let exporter =
            tokio::spawn(audit::export::Exporter::new(house.db.clone(), node, export).run(stopped));
        let cut = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let (status, said) = house.ask("127.0.0.1", None).await;
                assert_eq!(status, 200, "{said}");
                if said["exports"][0]["cut"] == true {
                    return said["exports"][0].clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let cut = cut.await.unwrap();
        assert!(cut["reason"].as_str().is_some_and(|reason| reason.contains("No such file")), "{cut}");
        assert!(cut["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{cut}");
        stop.send_replace(true);
        exporter.await.unwrap();
    }

    #[tokio::test]
    async fn asking_often_costs_one_look_a_second() {
        let house = House::new().await;
        let ephemeral = Ephemeral::in_memory(house.db.ctx().clone());
        let health = Health::new(house.db.clone(), ephemeral, Networks::default(), Vec::new());
        let (first, second) = tokio::join!(health.condition(), health.condition());
        assert!(Arc::ptr_eq(&first, &second));
        tokio::time::sleep(FRESH).await;
        assert!(!Arc::ptr_eq(&first, &health.condition().await));
    }
}
