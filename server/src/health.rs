//! Health that tells the truth: alive means that the process answers, ready that it can do its work now.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use bridge::alert;
use serde::Serialize;
use store::{Db, Ephemeral, delivery};
use web_kit::{Method, Route, Visibility};

use ::web as web_kit;

/// What readiness asks.
#[derive(Clone)]
pub struct Health {
    /// The database.
    pub db: Db,
    /// Counters and short-lived values.
    pub ephemeral: Ephemeral,
}

/// The answer of `/health/ready`.
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
    pub alerts: Option<usize>,
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

async fn ready(health: web::Data<Arc<Health>>) -> HttpResponse {
    let condition = health.condition().await;
    match condition.ready {
        true => HttpResponse::Ok().json(condition),
        false => HttpResponse::ServiceUnavailable().json(condition),
    }
}

impl Health {
    /// Asks everything that work needs.
    pub async fn condition(&self) -> Condition {
        let (database, ephemeral) = tokio::join!(self.db.check(), self.ephemeral.check());
        let said = |outcome: Result<(), String>| outcome.err().unwrap_or_else(|| "ok".into());
        let depth = delivery::depth(&self.db).await.ok();
        Condition {
            ready: database.is_ok() && ephemeral.is_ok(),
            database: said(database.map_err(|error| error.to_string())),
            ephemeral: said(ephemeral.map_err(|error| error.to_string())),
            deliveries_waiting: depth.map(|(waiting, _)| waiting),
            deliveries_dead: depth.map(|(_, dead)| dead),
            alerts: alert::open_alerts(&self.db).await.ok().map(|alerts| alerts.len()),
        }
    }
}
