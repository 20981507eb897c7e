//! `cardea exposure`.

use bridge::exposure;
use clap::Args;
use kernel::Ctx;

use super::{Failure, Outcome, open_existing, say};
use crate::config::Config;

/// Shows who could still open what, until when, and why.
///
/// CARD: a card that must open nothing (any more) and is not proven to be off every list. OPEN: a door that opens for
/// everybody. ORPHAN: a card on a list that is nobody's. KNOWN: one of nobody that somebody tolerates there by name,
/// and PAST: a way past every list, which cannot be asked for; both are no failure. Exit code 0: nothing of the first
/// three is known; 1: something is.
#[derive(Debug, Args)]
pub(super) struct Exposure {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

impl Exposure {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let db = open_existing(&config, ctx).await?;
        let found = exposure::report(&db).await.map_err(Failure::unread)?;
        match self.json {
            true => say(serde_json::to_string(&found)?),
            false => show(&found),
        }
        match found.is_none_known() {
            true => Ok(()),
            false => Err(Failure::new(
                "something could be opened that must not be. CARD: see cardea task list. OPEN: set the door to \
                 obey its list. ORPHAN: give the card an owner, take it off, or release it (cardea quarantine \
                 release)",
            )),
        }
    }
}

fn show(found: &exposure::Exposures) {
    found.cards.iter().for_each(|card| say(format_args!("CARD    {card}")));
    found.open_doors.iter().for_each(|door| say(format_args!("OPEN    {door}")));
    found.orphans.iter().for_each(|orphan| say(format_args!("ORPHAN  {orphan}")));
    found.tolerated.iter().for_each(|card| say(format_args!("KNOWN   {card}")));
    found.bypasses.iter().for_each(|bypass| say(format_args!("PAST    {bypass}")));
    say(format_args!(
        "{} card(s) could open what they must not, {} door(s) open for everybody, {} card(s) are nobody's",
        found.cards.len(),
        found.open_doors.len(),
        found.orphans.len()
    ));
}
