//! `cardea serve`.

use kernel::Ctx;

use super::Outcome;
use crate::config::Config;
use crate::house::House;

pub(super) async fn run(config: Config, ctx: Ctx) -> Outcome {
    let house = House::open(config, ctx).await?;
    let issuer = house.issuer.clone();
    let listeners = house.listeners()?;
    let mut running = house.run(listeners).await?;
    tracing::info!(issuer = issuer.as_str(), addresses = ?running.addresses, "serving");
    tokio::select! {
        () = asked_to_stop() => running.stop().await,
        () = running.ended() => return Err(super::Failure::new("serving ended unexpectedly; see the log")),
    }
    Ok(())
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
