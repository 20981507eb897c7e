//! `cardea quarantine`: cards on a door system's list that are nobody's.

use bridge::card::Card;
use bridge::quarantine::{self, QuarantineError, Quarantined, State};
use clap::{Args, Subcommand};
use kernel::{Actor, Ctx};
use store::{Db, Origin};

use super::{Failure, Outcome, USAGE, open_existing, say};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Quarantine {
    /// Show cards that were nobody's and were taken off, where a door system is declared with
    /// unknown_cards = "quarantine".
    ///
    /// WAITS: to be taken off, and not proven to be. OFF: read to be on no list. KNOWN, with --all: tolerated by name.
    /// BRAKE: a door system with so many cards of nobody that none is taken off before somebody has looked. It is over
    /// when they are confirmed, or none is left that has no owner and is not released. Exit code 0, whatever there is:
    /// see exposure.
    List(List),
    /// Tolerate a card of nobody at a door system from now on. It is not put back on a list: whoever wants it there
    /// enters it at the device, and no sweep takes it off again.
    Release(Release),
    /// Undo a release: where the card stands on a list, the next sweep finds it.
    TakeBack(TakeBack),
    /// Say that the cards of nobody that were reported by now may be taken off, although there are so many. It counts
    /// once: at the next sweep, which begins within five minutes. Nothing is confirmed when another number was found
    /// since.
    Confirm(Confirm),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Also those that are tolerated (KNOWN).
    #[arg(long)]
    all: bool,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
    /// Show at most so many cards.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

#[derive(Debug, Args)]
pub(super) struct Release {
    /// As it is declared.
    door_system: String,
    /// As the list writes it, e.g. h10301:123:1000.
    card: Card,
    /// Who answers for it; the journal keeps the name.
    #[arg(long, value_name = "NAME")]
    who: String,
    /// Why.
    #[arg(long, value_name = "REASON")]
    because: String,
}

#[derive(Debug, Args)]
pub(super) struct TakeBack {
    /// As it is declared.
    door_system: String,
    /// As the list writes it, e.g. h10301:123:1000.
    card: Card,
    /// Who says so; the journal keeps the name.
    #[arg(long, value_name = "NAME")]
    who: String,
}

#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// As it is declared.
    door_system: String,
    /// How many there are, as the list shows (BRAKE).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    found: i64,
    /// Who has looked; the journal keeps the name.
    #[arg(long, value_name = "NAME")]
    who: String,
}

impl Quarantine {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let db = open_existing(&config, ctx).await?;
        match self {
            Self::List(list) => list.run(&db).await,
            Self::Release(release) => release.run(&db).await,
            Self::TakeBack(take_back) => take_back.run(&db).await,
            Self::Confirm(confirm) => confirm.run(&db).await,
        }
    }
}

impl List {
    async fn run(self, db: &Db) -> Outcome {
        let cards = quarantine::list(db, self.all, self.limit).await.map_err(Failure::unread)?;
        let brakes = quarantine::brakes(db).await.map_err(Failure::unread)?;
        if self.json {
            say(serde_json::json!({ "cards": cards, "brakes": brakes }));
            return Ok(());
        }
        brakes.iter().for_each(|brake| say(format_args!("BRAKE  {brake}")));
        cards.iter().for_each(show);
        say(format_args!(
            "{} card(s), {} door system(s) where somebody must look first",
            cards.len(),
            brakes.len()
        ));
        Ok(())
    }
}

fn show(card: &Quarantined) {
    let state = match card.state {
        State::Waits => "WAITS",
        State::Off => "OFF  ",
        State::Tolerated => "KNOWN",
    };
    say(format_args!("{state}  {card}"));
}

impl Release {
    async fn run(self, db: &Db) -> Outcome {
        let Self { door_system, card, who, because } = self;
        let origin = Origin::of(Actor::Operator);
        quarantine::release(db, origin, &door_system, &card, &who, &because).await.map_err(refused)?;
        say(format_args!(
            "{card} is tolerated at {door_system} from now on. Nothing was put on a list: enter it at the device."
        ));
        Ok(())
    }
}

impl TakeBack {
    async fn run(self, db: &Db) -> Outcome {
        let Self { door_system, card, who } = self;
        let origin = Origin::of(Actor::Operator);
        quarantine::take_back(db, origin, &door_system, &card, &who).await.map_err(refused)?;
        say(format_args!("{card} is not tolerated at {door_system} any more: the next sweep finds it."));
        Ok(())
    }
}

impl Confirm {
    async fn run(self, db: &Db) -> Outcome {
        let Self { door_system, found, who } = self;
        let origin = Origin::of(Actor::Operator);
        let confirmed = quarantine::confirm(db, origin, &door_system, found, &who).await;
        let (found, listed) = confirmed.map_err(refused)?;
        say(format_args!(
            "confirmed. {found} of {listed} cards at {door_system} may go: the next sweep takes them off, once."
        ));
        Ok(())
    }
}

fn refused(error: QuarantineError) -> Failure {
    let code = match error {
        QuarantineError::Invalid(_) => USAGE,
        _ => 1,
    };
    Failure::from(error).code(code)
}
