//! `cardea audit`.

use std::path::PathBuf;

use clap::Subcommand;
use kernel::Ctx;
use keys::{KeyRing, RotationPolicy, SealingKeys};

use super::{Failure, Outcome, UNAVAILABLE, UNREADABLE, open_existing, read, say, say_progress};
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
}

impl Audit {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let Self::Verify { keys } = self;
        let db = open_existing(&config, ctx).await?;
        let jwks = match keys {
            Some(file) => read(&file)?,
            None => {
                let sealing = SealingKeys::load(&config.path(&config.sealing.key_file))
                    .map_err(|error| Failure::from(error).code(UNREADABLE))?;
                let ring = KeyRing::read(db.clone(), sealing, RotationPolicy::default())
                    .await
                    .map_err(|error| Failure::from(error).code(UNAVAILABLE))?;
                ring.evidence_jwks().bytes.to_vec()
            }
        };
        let report = audit::verify(&db, &jwks, None, |progress| {
            say_progress(format_args!("verified {} of {} facts", progress.seq, progress.until));
        })
        .await
        .map_err(|error| Failure::from(error).code(UNAVAILABLE))?;
        conclude(&report)
    }
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
