//! `cardea presence`.

use clap::Args;
use directory::presence::{self, Present};
use kernel::Ctx;
use serde_json::json;

use super::{Failure, Outcome, open_existing, say};
use crate::config::Config;

/// Shows who is where, since when, and by which door, as far as doors tell.
///
/// It is what a roll call begins with, and no proof: a door says whom it let pass, not who went through, and who leaves
/// by a door without a reader on the way out is not seen to leave. After 16 hours a passage says nothing any more. The
/// server that runs reads the doors; what they tell while none runs is read when one does.
#[derive(Debug, Args)]
pub(super) struct Presence {
    /// Only who is in this area.
    #[arg(long)]
    area: Option<String>,
    /// As a JSON array.
    #[arg(long)]
    json: bool,
}

impl Presence {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let db = open_existing(&config, ctx).await?;
        if let Some(area) = &self.area {
            let areas = directory::door::areas(&db).await.map_err(Failure::unread)?;
            if areas.iter().all(|known| known.name != *area) {
                let known: Vec<&str> = areas.iter().map(|area| area.name.as_str()).collect();
                let known = known.join(", ");
                return Err(Failure::new(format!(
                    "no area is called {area:?}; declared are: {known}. Name one of them, or declare it (cardea \
                     apply)"
                )));
            }
        }
        let present = presence::list(&db, self.area.as_deref()).await.map_err(Failure::unread)?;
        match self.json {
            true => say(serde_json::to_string(&present.iter().map(as_json).collect::<Vec<_>>())?),
            false => show(&present),
        }
        Ok(())
    }
}

fn as_json(person: &Present) -> serde_json::Value {
    json!({
        "user": person.user_id, "user_name": person.user_name, "name": person.display_name, "area": person.area,
        "since": person.at.to_string(), "access_point": person.access_point,
    })
}

fn show(present: &[Present]) {
    for area in present.chunk_by(|a, b| a.area == b.area) {
        say(format_args!("{} ({}): {}", area[0].area_title, area[0].area, area.len()));
        for person in area {
            let Present { user_name, at, access_point, .. } = person;
            let name = person.display_name.as_deref().unwrap_or(user_name);
            say(format_args!("  {name} ({user_name}), since {at}, by {access_point}"));
        }
    }
    say(format_args!("{} person(s) whose whereabouts are known", present.len()));
}
