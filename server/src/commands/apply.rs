//! `cardea apply FILE`.

use std::path::PathBuf;

use clap::Args;
use kernel::Ctx;
use store::Db;

use super::{Failure, Outcome, open_existing, read, say, sealing};
use crate::apply::{Abandon, Declaration, Plan, carry_out, open_doors, plan, tested};
use crate::config::Config;
use crate::house;

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// The declaration, in TOML.
    file: PathBuf,
    /// Delete what is there and not declared.
    #[arg(long)]
    prune: bool,
    /// Change a door system although cards may stand on a controller that would not be spoken to any more: it is
    /// gone for good, or it is the same one at another address. What is not proven there stays pending in receipts.
    #[arg(long)]
    abandon: bool,
    /// Show the difference and stop.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before changing.
    #[arg(long, short)]
    yes: bool,
}

impl Apply {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let text = String::from_utf8_lossy(&read(&self.file)?).into_owned();
        let folder = self.file.parent().map(PathBuf::from).unwrap_or_default();
        let named =
            |error: crate::apply::FileError| Failure::new(format!("{}: {error}", self.file.display()));
        let wanted = Declaration::parse(&text).and_then(|declared| declared.items(&folder)).map_err(named)?;
        let sealing = sealing(&config)?;
        let db = match self.dry_run {
            true => open_existing(&config, ctx).await?,
            false => Db::open(&config.database()?, ctx, house::sinks(&config)).await?,
        };
        // So that what is recorded here reaches the doors of this deployment.
        open_doors(&db, &sealing).await?;
        let abandon = if self.abandon { Abandon::Controllers } else { Abandon::Nothing };
        let plan = plan(&db, &sealing, wanted, self.prune, abandon).await?;
        say(plan.to_string().trim_end());
        say_tested(&plan);
        if plan.is_empty() || self.dry_run {
            return Ok(());
        }
        if !self.yes && !asked("Apply these changes? [y/N] ")? {
            say("Nothing was changed.");
            return Ok(());
        }
        carry_out(&db, &sealing, &plan, abandon).await?;
        say("Applied.");
        Ok(())
    }
}

/// What each connector that doors will depend on was tested against.
fn say_tested(plan: &Plan) {
    for (system, tested) in tested(plan) {
        say(format_args!("  door_system {system}: {tested}"));
    }
}

/// Asks on the terminal. Without one nobody can answer: then `--yes` is needed.
#[expect(clippy::print_stdout, reason = "a question stays on its line")]
fn asked(question: &str) -> Result<bool, Failure> {
    use std::io::{IsTerminal as _, Write as _};
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to ask on; say --yes to apply, or --dry-run to look"));
    }
    print!("{question}");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
