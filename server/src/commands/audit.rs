//! `cardea audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use directory::user;
use kernel::id::UserId;
use kernel::{Ctx, Subject};
use keys::{KeyRing, RotationPolicy};
use store::{Db, StoredFact};

use super::time::{Way, time_of};
use super::{Failure, Outcome, USAGE, exports, open_existing, read, say, say_progress, sealing};
use crate::catalogue;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check the whole journal: the order has no gap, the chain holds, bodies are what was digested, and
    /// nothing was cut off behind a signed checkpoint. Names the first line that was changed. Exit code 0: good;
    /// 1: changed; anything else: not verified.
    Verify {
        /// Evidence keys kept elsewhere (as served at /jwks/evidence), instead of those of this database.
        #[arg(long, value_name = "JWKS")]
        keys: Option<PathBuf>,
    },
    /// Find what happened: to a person, at a door, with an application, of a kind, in a time. The newest first; all
    /// conditions hold. What was found is what the journal says; `cardea audit verify` tells whether it was changed.
    #[command(after_help = EXAMPLES)]
    Search(Search),
    /// Show how each receiver of the journal stands: whether it is cut off, since when and why, how many facts it is
    /// behind, and up to when it has everything. Exit code 1 when one is cut off.
    Exports,
    /// Show every kind of fact: what it means, what it is about, and the fields of its body.
    Kinds {
        /// The JSON Schemas of all bodies, as one array.
        #[arg(long)]
        json: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  cardea audit search --person mira.holt@grid.example --since 7d
  cardea audit search --door control-room-door --since 2026-11-27T06:00:00Z --until 2026-11-27T18:00:00Z
  cardea audit search --kind user.deactivated --json";

/// What is looked for.
#[derive(Debug, Args)]
pub(super) struct Search {
    /// A user name, or the id of a user (also of one who was deleted).
    #[arg(long, value_name = "USER")]
    person: Option<String>,
    /// An access point or a door system.
    #[arg(long, value_name = "NAME")]
    door: Option<String>,
    /// The id of a client.
    #[arg(long, value_name = "CLIENT")]
    app: Option<String>,
    /// Anything else that facts are about, as they write it: KIND:ID.
    #[arg(long, value_name = "KIND:ID")]
    about: Vec<String>,
    /// A kind of fact, or its beginning up to a dot: user.deactivated, user.
    #[arg(long)]
    kind: Option<String>,
    /// Not before: a time (2026-11-27T06:00:00Z), a day (2026-11-27, in UTC), or so long ago (90m, 24h, 7d).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before: the same.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show at most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// One JSON object a line, as exports write it.
    #[arg(long)]
    json: bool,
}

impl Search {
    async fn run(self, db: &Db) -> Outcome {
        let search = self.conditions(db).await?;
        let facts = audit::search(db, &search).await.map_err(Failure::unread)?;
        for fact in &facts {
            match self.json {
                true => say(audit::export::json_line(fact)),
                false => say(line(fact)),
            }
        }
        let found = u32::try_from(facts.len()).unwrap_or(u32::MAX);
        if found == self.limit {
            say_progress(format_args!("there may be more: --limit shows {found}"));
        }
        if found == 0 {
            return Err(Failure::new("nothing was found"));
        }
        Ok(())
    }

    async fn conditions(&self, db: &Db) -> Result<audit::Search, Failure> {
        let now = db.ctx().now();
        let mut about = Vec::new();
        if let Some(person) = &self.person {
            about.push(vec![subject_of(db, person).await?]);
        }
        if let Some(door) = &self.door {
            about.push(vec![Subject::new("access_point", door), Subject::new("door_system", door)]);
        }
        about.extend(self.app.iter().map(|app| vec![Subject::new("client", app)]));
        for other in &self.about {
            let wrong = || Failure::new(format!("{other:?} is not KIND:ID")).code(USAGE);
            let (kind, id) = other.split_once(':').ok_or_else(wrong)?;
            about.push(vec![Subject::new(kind, id)]);
        }
        let time =
            |text: &Option<String>| text.as_deref().map(|text| time_of(text, now, Way::Back)).transpose();
        let (since, until) = (time(&self.since)?, time(&self.until)?);
        Ok(audit::Search { about, kind: self.kind.clone(), since, until, limit: self.limit })
    }
}

async fn subject_of(db: &Db, person: &str) -> Result<Subject, Failure> {
    if let Ok(id) = person.parse::<UserId>() {
        return Ok(id.subject());
    }
    let found = user::by_user_name(db, person).await.map_err(Failure::unread)?;
    let unknown =
        || Failure::new(format!("there is no user {person:?}; of one who was deleted, give the id"));
    found.map(|user| user.id.subject()).ok_or_else(unknown)
}

fn line(fact: &StoredFact) -> String {
    let StoredFact { at, kind, subject, actor, body, .. } = fact;
    let body = body.as_deref().unwrap_or("(the body was erased)");
    format!("{at}  {kind}  {subject}  by {actor}  {body}")
}

impl Audit {
    pub(super) async fn run(self, config: impl FnOnce() -> Result<Config, Failure>, ctx: Ctx) -> Outcome {
        match self {
            Self::Kinds { json } => show_kinds(json),
            Self::Exports => {
                let config = config()?;
                exports::show(&config, &open_existing(&config, ctx).await?).await
            }
            Self::Search(search) => search.run(&open_existing(&config()?, ctx).await?).await,
            Self::Verify { keys } => verify(config()?, ctx, keys).await,
        }
    }
}

fn show_kinds(as_json: bool) -> Outcome {
    match as_json {
        true => say(serde_json::to_string_pretty(&catalogue::schemas())?),
        false => say(catalogue::document().trim_end()),
    }
    Ok(())
}

async fn verify(config: Config, ctx: Ctx, keys: Option<PathBuf>) -> Outcome {
    let db = open_existing(&config, ctx).await?;
    let jwks = match keys {
        Some(file) => read(&file)?,
        None => {
            let sealing = sealing(&config)?;
            let ring = KeyRing::read(db.clone(), sealing, RotationPolicy::default())
                .await
                .map_err(Failure::unread)?;
            ring.evidence_jwks().bytes.to_vec()
        }
    };
    let report = audit::verify(&db, &jwks, None, |progress| {
        say_progress(format_args!("verified {} of {} facts", progress.seq, progress.until));
    })
    .await
    .map_err(Failure::unread)?;
    conclude(&report)
}

fn conclude(report: &audit::Report) -> Outcome {
    for finding in &report.findings {
        say(format_args!("CHANGED  {finding}"));
    }
    if report.more > 0 {
        say(format_args!("CHANGED  and {} more", report.more));
    }
    say(format_args!(
        "{} facts and {} checkpoints verified, {} bodies erased, {} facts not yet in the chain, {} findings",
        report.facts,
        report.checkpoints,
        report.erased,
        report.unsequenced,
        report.findings.len()
    ));
    match report.is_good() {
        true => Ok(()),
        false => Err(Failure::new("the journal was changed behind our back")),
    }
}
