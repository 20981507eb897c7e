//! `cardea deliveries`.

use clap::Args;
use kernel::id::DeliveryId;
use kernel::{Actor, Ctx};
use store::{Db, Origin, delivery};

use super::{Failure, Outcome, open_existing, say};
use crate::config::Config;

/// Shows what waits on its way out of the house, and what was given up.
///
/// Whatever happens here is told to others: doors, applications, receipts. What cannot be told now waits and is tried
/// again, with longer and longer pauses. A wanted state (a card on a door) is tried for ever; a message is given up
/// after twelve attempts, kept, and shown here as DEAD. When you have mended what stood in its way, give it
/// another life with --retry.
#[derive(Debug, Args)]
pub(super) struct Deliveries {
    /// Give a dead message another life: its id, as shown. It is tried at once.
    #[arg(long, value_name = "ID")]
    retry: Option<DeliveryId>,
    /// Show at most so many of each.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

impl Deliveries {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let db = open_existing(&config, ctx).await?;
        match self.retry {
            Some(id) => retry(&db, id).await,
            None => show(&db, self.limit).await,
        }
    }
}

async fn retry(db: &Db, id: DeliveryId) -> Outcome {
    if !delivery::retry(db, Origin::of(Actor::Operator), id).await? {
        return Err(Failure::new(format!("no dead delivery has the id {id}; see: cardea deliveries")));
    }
    say(format_args!("{id} is due again; the server tries it at once."));
    Ok(())
}

async fn show(db: &Db, limit: i64) -> Outcome {
    let (waiting, dead) = (delivery::waiting(db, limit).await?, delivery::dead(db, limit).await?);
    for delivery in &waiting {
        let kind = if delivery.priority > 0 { "REVOKES" } else { "waits  " };
        say(format_args!(
            "{kind}  {}  to {} about {}, since {}, {} attempt(s){}",
            delivery.id,
            delivery.sink,
            delivery.subject,
            delivery.created_at,
            delivery.attempt,
            because(delivery.last_error.as_deref())
        ));
    }
    for letter in &dead {
        say(format_args!(
            "DEAD     {}  to {} about {}, since {}, {} attempt(s){}",
            letter.id,
            letter.sink,
            letter.subject,
            letter.dead_at,
            letter.attempt,
            because(letter.last_error.as_deref())
        ));
    }
    let (all_waiting, all_dead) = delivery::depth(db).await?;
    say(format_args!("{all_waiting} waiting, {all_dead} dead"));
    Ok(())
}

fn because(error: Option<&str>) -> String {
    error.map_or(String::new(), |error| format!(": {}", error.replace(['\n', '\r'], " ")))
}
