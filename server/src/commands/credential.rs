//! `cardea credential`: what a person does about a card today, whatever HR says tomorrow.

use clap::{Args, Subcommand};
use directory::credential::{self, Credential, State};
use directory::{DirectoryError, user};
use kernel::id::CredentialId;
use kernel::{Actor, Ctx};
use keys::SealingKeys;
use store::{Db, Origin, Tx};

use super::{Failure, Outcome, open_existing, say};
use crate::apply::open_doors;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Credentials {
    /// Take a card off every door for a while: it is mislaid, or its holder is to stay out. Only `resume` brings it
    /// back, whatever HR says meanwhile, and the holder gets no other card.
    Suspend(Which),
    /// Take a card off every door for good: it is lost. Who is still entitled gets the next card of a pool.
    Revoke(Which),
    /// Bring a suspended card back. Its holder's account must be active.
    Resume(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// A card as it is written (h10301:123:1000), a credential's id, or a user name: then all cards of that user.
    #[arg(value_name = "USER_OR_CARD")]
    which: String,
    /// Who does this; the journal keeps it.
    #[arg(long, env = "USER")]
    who: Option<String>,
}

impl Credentials {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let (Which { which, who }, state) = match self {
            Self::Suspend(which) => (which, State::Suspended),
            Self::Revoke(which) => (which, State::Revoked),
            Self::Resume(which) => (which, State::Active),
        };
        let sealing = SealingKeys::load(&config.path(&config.sealing.key_file))?;
        let db = open_existing(&config, ctx).await?;
        // So that what is recorded here reaches the doors of this deployment.
        open_doors(&db, &sealing).await?;
        let found = find(&db, &which).await?;
        let cards = concerned(found, state, &which)?;
        let mut tx = db.write(Origin::of(Actor::Operator)).await?;
        let done = bring_to(&mut tx, &cards, state, who.as_deref()).await;
        tx.end(done).await?;
        for card in &cards {
            say(format_args!("{} is {state} now. `cardea serve` tells the doors.", written(card)));
        }
        Ok(())
    }
}

/// The cards that are meant.
async fn find(db: &Db, which: &str) -> Result<Vec<Credential>, Failure> {
    if let Ok(id) = which.parse::<CredentialId>() {
        return Ok(credential::get(db, id).await?.into_iter().collect());
    }
    if let Ok(card) = which.parse::<bridge::card::Card>() {
        let number = card.number().and_then(|number| i64::try_from(number).ok()).unwrap_or(-1);
        let facility = i64::from(card.facility().unwrap_or(0));
        let found = credential::by_card(db, card.format().as_str(), facility, number).await?;
        return Ok(found.into_iter().collect());
    }
    match user::by_user_name(db, which).await? {
        Some(user) => Ok(credential::of_user(db, user.id).await?),
        None => Err(Failure::new(format!(
            "{which:?} is no card (write it like h10301:123:1000), no credential's id and no user name"
        ))),
    }
}

/// Those of the found that the change concerns.
fn concerned(found: Vec<Credential>, state: State, which: &str) -> Result<Vec<Credential>, Failure> {
    let concerns = |card: &Credential| match state {
        State::Active => card.suspended().is_some(),
        State::Suspended | State::Revoked => card.state.parse() != Ok(State::Revoked),
    };
    let cards: Vec<Credential> = found.into_iter().filter(concerns).collect();
    match (cards.is_empty(), state) {
        (false, _) => Ok(cards),
        (true, State::Active) => Err(Failure::new(format!("{which} has no suspended card to bring back"))),
        (true, _) => Err(Failure::new(format!("{which} has no card that could open anything"))),
    }
}

async fn bring_to(
    tx: &mut Tx,
    cards: &[Credential],
    state: State,
    who: Option<&str>,
) -> Result<(), DirectoryError> {
    for card in cards {
        match state {
            State::Active => credential::resume(tx, card, who).await?,
            State::Suspended | State::Revoked => credential::end(tx, card, state, who).await?,
        }
    }
    Ok(())
}

fn written(card: &Credential) -> String {
    bridge::placement::card(&card.format, card.facility, card.number)
        .map_or_else(|_| card.id.to_string(), |card| card.to_string())
}
