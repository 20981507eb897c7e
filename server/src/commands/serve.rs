//! `cardea serve`.

use kernel::Ctx;

use super::Outcome;
use crate::config::Config;
use crate::house::{self, House};

pub(super) async fn run(config: Config, ctx: Ctx) -> Outcome {
    // Before the database is touched: an old server may still run here.
    let listeners = house::listeners(&config)?;
    let house = House::open(config, ctx).await?;
    let issuer = house.issuer.clone();
    let mut running = house.run(listeners).await?;
    tracing::info!(issuer = issuer.as_str(), addresses = ?running.addresses, "serving");
    tokio::select! {
        () = asked_to_stop() => {}
        ended = running.ended() => return Ok(ended?),
    }
    Ok(running.stop().await?)
}

/// Ctrl-C, or SIGTERM from whoever runs us.
pub(super) async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => if interrupted.is_err() { std::future::pending().await },
    }
}
