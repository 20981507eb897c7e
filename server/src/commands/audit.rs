//! `cardea audit`.

use clap::Subcommand;
use kernel::Ctx;
use store::Db;

use super::{Failure, Outcome, say};
use crate::config::Config;
use crate::house;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check the whole journal: the order has no gap, the chain holds, bodies are what was digested, and
    /// nothing was cut off behind a signed checkpoint. Names the first line that was changed.
    Verify,
}

impl Audit {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let Self::Verify = self;
        let db = Db::open(&config.database()?, ctx, house::sinks()).await?;
        let report = verify(&db).await?;
        for finding in &report.findings {
            say(format_args!("CHANGED  {finding}"));
        }
        say(format_args!(
            "{} facts, {} not yet in the chain, {} bodies erased, {} findings",
            report.facts,
            report.unsequenced,
            report.erased,
            report.findings.len()
        ));
        match report.findings.is_empty() {
            true => Ok(()),
            false => Err(Failure::new("the journal was changed behind our back")),
        }
    }
}

async fn verify(db: &Db) -> Result<audit::Report, Failure> {
    Ok(audit::verify(db).await?)
}
