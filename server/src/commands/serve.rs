//! `cardea serve`.

use directory::set_up;
use kernel::{Actor, Ctx};
use store::{Db, Origin, StoreError};
use web::Issuer;

use super::stop::Stop;
use super::{Outcome, say};
use crate::config::Config;
use crate::house::{self, Broken, House, Running};

pub(super) async fn run(config: Config, ctx: Ctx) -> Outcome {
    let mut stop = Stop::listen()?;
    // Before the database is touched: an old server may still run here.
    let listeners = house::listeners(&config)?;
    let house = tokio::select! {
        opened = House::open(config, ctx) => opened?,
        () = stop.asked() => return Ok(()),
    };
    let (db, issuer) = (house.db.clone(), house.issuer.clone());
    let mut running = house.run(listeners).await?;
    tracing::info!(issuer = issuer.as_str(), addresses = ?running.addresses, "serving");
    tokio::select! {
        () = stop.asked() => {}
        ended = attend(&mut running, &db, &issuer) => return Ok(ended?),
    }
    Ok(running.stop().await?)
}

/// Until it breaks.
async fn attend(running: &mut Running, db: &Db, issuer: &Issuer) -> Result<(), Broken> {
    if let Err(error) = offer_set_up(db, issuer).await {
        tracing::warn!(%error, "no link for the first administrator; the next start tries again");
    }
    running.ended().await
}

/// Shows the link for the first administrator, while there is none. To whoever looks at this process, not to the log:
/// logs travel, and whoever has the link administers.
async fn offer_set_up(db: &Db, issuer: &Issuer) -> Result<(), StoreError> {
    let offered = set_up::offer(db, Origin::of(Actor::Operator), issuer.as_str()).await?;
    if let Some((token, _)) = offered {
        let minutes = set_up::LINK_TIME.as_secs() / 60;
        say(format_args!(
            "Nobody administers yet. Whoever opens this link within {minutes} minutes becomes the first administrator:"
        ));
        say(idp::set_up_link(issuer, &token));
    }
    Ok(())
}
