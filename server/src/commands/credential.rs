//! `cardea credential`: what a person does about a card today, whatever HR says tomorrow.

use std::fmt;

use clap::{ArgGroup, Args, Subcommand};
use directory::credential::{self, Credential, State};
use directory::{DirectoryError, user};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kernel::id::CredentialId;
use kernel::{Actor, Ctx, Day, Timestamp};
use store::{Db, Origin, Tx};

use super::{Failure, Outcome, USAGE, open_existing, say, sealing};
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
    /// Say from when to when a card opens what its holder is entitled to. What is not said is no limit.
    Validity(Validity),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("limits").required(true).multiple(true).args(["from", "until", "always"])))]
pub(super) struct Validity {
    #[command(flatten)]
    which: Which,
    /// The first day, like 2026-12-01: from midnight on, each door by its own local time.
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The last day, like 2026-12-24, or the moment of the end: 2026-12-24T17:00 by site.time_zone of the
    /// configuration, or with an offset, like 2026-12-24T17:00:00+01:00. At that moment the server that runs has the
    /// card taken off every door.
    #[arg(long, value_name = "DAY_OR_TIME")]
    until: Option<String>,
    /// Without any limit.
    #[arg(long, conflicts_with_all = ["from", "until"])]
    always: bool,
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

/// What is done to the cards.
#[derive(Clone, Copy, Debug)]
enum Deed {
    State(State),
    Validity { from: Option<Day>, until: Option<Timestamp> },
}

impl Credentials {
    fn deed(self, config: &Config) -> Result<(Which, Deed), Failure> {
        Ok(match self {
            Self::Suspend(which) => (which, Deed::State(State::Suspended)),
            Self::Revoke(which) => (which, Deed::State(State::Revoked)),
            Self::Resume(which) => (which, Deed::State(State::Active)),
            Self::Validity(Validity { which, always: true, .. }) => {
                (which, Deed::Validity { from: None, until: None })
            }
            Self::Validity(Validity { which, from, until, always: false }) => {
                let place = config.idp()?.time_zone;
                let until = until.map(|text| end(&text, &place)).transpose()?;
                (which, Deed::Validity { from, until })
            }
        })
    }

    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let (Which { which, who }, deed) = self.deed(&config)?;
        let sealing = sealing(&config)?;
        let db = open_existing(&config, ctx).await?;
        // So that what is recorded here reaches the doors of this deployment.
        open_doors(&db, &sealing).await?;
        let found = find(&db, &which).await?;
        let cards = concerned(found, deed, &which)?;
        let mut tx = db.write(Origin::of(Actor::Operator)).await?;
        let done = bring_to(&mut tx, &cards, deed, who.as_deref()).await;
        tx.end(done).await?;
        for card in &cards {
            say(format_args!("{} is {deed} now. `cardea serve` tells the doors.", written(card)));
        }
        Ok(())
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => fmt::Display::fmt(state, f),
            Self::Validity { from: None, until: None } => f.write_str("valid without limit"),
            Self::Validity { from: Some(from), until: None } => write!(f, "valid from {from} on"),
            Self::Validity { from: None, until: Some(until) } => write!(f, "valid until {until}"),
            Self::Validity { from: Some(from), until: Some(until) } => {
                write!(f, "valid from {from} until {until}")
            }
        }
    }
}

/// The moment from which on it is over: of a day, the midnight at its end.
fn end(text: &str, place: &TimeZone) -> Result<Timestamp, Failure> {
    let day = || text.parse::<Day>().ok()?.ends_in(place);
    // A day that is written in another way must not pass for its first moment.
    let local = || {
        let at = text.parse::<DateTime>().ok().filter(|_| text.contains(':'))?;
        place.to_ambiguous_zoned(at).compatible().ok().map(|at| Timestamp::from(at.timestamp()))
    };
    day().or_else(|| Timestamp::parse(text)).or_else(local).ok_or_else(|| {
        Failure::new(format!(
            "--until {text:?} is no day and no time: write it like 2026-12-24, 2026-12-24T17:00 or \
             2026-12-24T17:00:00+01:00"
        ))
        .code(USAGE)
    })
}

/// The cards that are meant.
async fn find(db: &Db, which: &str) -> Result<Vec<Credential>, Failure> {
    if let Ok(id) = which.parse::<CredentialId>() {
        return Ok(credential::get(db, id).await?.into_iter().collect());
    }
    if let Ok(card) = which.parse::<bridge::card::Card>() {
        let Some((format, facility, number)) = card.row() else { return Ok(Vec::new()) };
        return Ok(credential::by_card(db, format, facility, number).await?.into_iter().collect());
    }
    match user::by_user_name(db, which).await? {
        Some(user) => Ok(credential::of_user(db, user.id).await?),
        None => Err(Failure::new(format!(
            "{which:?} is no card (write it like h10301:123:1000), no credential's id and no user name"
        ))),
    }
}

/// Where to look when there is no card that the change concerns.
const BECAME: &str = "what became of cards: cardea audit search --kind credential --person USER";

/// Those of the found that the change concerns.
fn concerned(found: Vec<Credential>, deed: Deed, which: &str) -> Result<Vec<Credential>, Failure> {
    let concerns = |card: &Credential| match deed {
        Deed::State(State::Active) => card.suspended().is_some(),
        Deed::State(State::Suspended | State::Revoked) | Deed::Validity { .. } => {
            card.state.parse() != Ok(State::Revoked)
        }
    };
    let cards: Vec<Credential> = found.into_iter().filter(concerns).collect();
    match (cards.is_empty(), deed) {
        (false, _) => Ok(cards),
        (true, Deed::State(State::Active)) => {
            Err(Failure::new(format!("{which} has no suspended card to bring back; {BECAME}")))
        }
        (true, _) => Err(Failure::new(format!("{which} has no card that could open anything; {BECAME}"))),
    }
}

async fn bring_to(
    tx: &mut Tx,
    cards: &[Credential],
    deed: Deed,
    who: Option<&str>,
) -> Result<(), DirectoryError> {
    for card in cards {
        match deed {
            Deed::State(State::Active) => credential::resume(tx, card, who).await?,
            Deed::State(state) => credential::end(tx, card, state, who).await?,
            Deed::Validity { from, until } => credential::set_validity(tx, card, from, until, who).await?,
        }
    }
    Ok(())
}

fn written(card: &Credential) -> String {
    bridge::placement::card(&card.format, card.facility, card.number)
        .map_or_else(|_| card.id.to_string(), |card| card.to_string())
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;

    use super::*;

    #[test]
    fn an_end_is_a_day_or_a_moment_here_or_at_an_offset() {
        let here = TimeZone::fixed(offset(2));
        for (text, expect) in [
            ("2026-12-24", Some("2026-12-24T22:00:00Z")),
            ("2026-12-24T17:00", Some("2026-12-24T15:00:00Z")),
            ("2026-12-24T17:00:30", Some("2026-12-24T15:00:30Z")),
            ("2026-12-24 17:00", Some("2026-12-24T15:00:00Z")),
            ("2026-12-24T17:00:00+01:00", Some("2026-12-24T16:00:00Z")),
            ("2026-12-24T17:00:00Z", Some("2026-12-24T17:00:00Z")),
            ("tomorrow", None),
            ("17:00", None),
            ("2026-12-32", None),
            ("20261224", None),
        ] {
            let expect = expect.and_then(Timestamp::parse);
            assert_eq!(end(text, &here).ok(), expect, "{text}");
        }
    }
}
