//! `cardea keys`: changing the key that seals what is secret in the database, with nodes running.

use std::path::Path;

use ::keys::{SealedColumn, SealingKeys, reseal, retire_key};
use clap::Subcommand;
use kernel::Ctx;
use store::Db;

use super::{Failure, Outcome, open_existing, say, sealing_of};
use crate::config::Config;

/// Sealed columns beside the signing keys'. To seal another: a line here.
const COLUMNS: &[SealedColumn] =
    &[bridge::systems::SECRET, directory::authenticator::SEALED, directory::invitation::letter::SEALED];

/// The sealing keys: the first one seals what is secret in the database, all of them open it.
///
/// To change the one that seals, with nodes running: `cardea keys add`, and copy the key file to every node that has
/// one of its own. A minute later `cardea keys promote ID`, and copy it again. Two minutes later `cardea keys retire
/// OLD-ID`: it seals everything anew and takes the old key out; copy the file once more. Keep the old key as long as
/// you keep backups that were made with it.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Show the keys, and which one seals.
    Status,
    /// Add a new key, which opens and does not seal yet.
    Add,
    /// From now on this key seals. Every node must have read it: they look once a minute.
    Promote {
        /// Its id, as `keys status` shows it.
        id: String,
    },
    /// Seal anew what this key has sealed, and take it out of the file.
    Retire {
        /// Its id, as `keys status` shows it.
        id: String,
    },
}

impl Keys {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let path = config.path(&config.sealing.key_file);
        match self {
            Self::Status => status(&path),
            Self::Add => add(&path, &ctx),
            Self::Promote { id } => promote(&path, &id),
            Self::Retire { id } => retire(&open_existing(&config, ctx).await?, &path, &id).await,
        }
    }
}

fn status(path: &Path) -> Outcome {
    let keys = sealing_of(path)?;
    let seals = keys.current();
    for id in keys.ids() {
        say(format_args!("{}  {id}", if id == seals { "seals" } else { "opens" }));
    }
    Ok(())
}

fn add(path: &Path, ctx: &Ctx) -> Outcome {
    let id = SealingKeys::add_key(path, ctx)?;
    say(format_args!(
        "Added {id}. Nodes with a key file of their own need a copy; all have read it a minute later."
    ));
    say(format_args!("Then: cardea keys promote {id}"));
    Ok(())
}

fn promote(path: &Path, id: &str) -> Outcome {
    let before = sealing_of(path)?.current();
    SealingKeys::promote_key(path, id)?;
    say(format_args!("{id} seals from now on. Nodes with a key file of their own need a copy."));
    if before != id {
        say(format_args!("In two minutes: cardea keys retire {before}"));
    }
    Ok(())
}

async fn retire(db: &Db, path: &Path, id: &str) -> Outcome {
    let keys = sealing_of(path)?;
    if keys.current() == id {
        return Err(Failure::new(format!("{id} is the key that seals; promote another first")));
    }
    let mut resealed = 0;
    // Until nothing is left that a node has sealed with the old key meanwhile.
    loop {
        match reseal(db, &keys, COLUMNS).await? {
            0 => break,
            values => resealed += values,
        }
    }
    say(format_args!("{resealed} value(s) sealed anew."));
    retire_key(db, path, id, COLUMNS).await?;
    say(format_args!(
        "{id} is out of the file; keep a copy as long as you keep backups that were made with it."
    ));
    Ok(())
}
