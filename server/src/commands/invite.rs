//! `cardea invite USER`.

use clap::Args;
use directory::{invitation, user};
use kernel::{Actor, Ctx};
use store::{Db, Origin};

use super::{Failure, Outcome, open_existing, say};
use crate::config::{Config, ConfigError};

#[derive(Debug, Args)]
pub(super) struct Invite {
    /// The user name, as HR wrote it.
    user: String,
}

impl Invite {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let issuer = config.issuer().map_err(ConfigError::from)?;
        let db = open_existing(&config, ctx).await?;
        let link = invite(&db, &issuer, &self.user).await?;
        say(link);
        Ok(())
    }
}

/// Makes an invitation; the link works once, for 72 hours, and replaces earlier ones.
pub(super) async fn invite(db: &Db, issuer: &web::Issuer, user_name: &str) -> Result<String, Failure> {
    let Some(user) = user::by_user_name(db, user_name).await? else {
        return Err(Failure::new(format!("there is no user {user_name:?}; HR makes users over SCIM")));
    };
    if !user.active {
        return Err(Failure::new(format!("{user_name} is not active; HR must activate the account first")));
    }
    let mut tx = db.write(Origin::of(Actor::Operator)).await?;
    let token = invitation::create(&mut tx, user.id).await;
    let token = tx.end(token).await?;
    Ok(idp::invitation_link(issuer, &token))
}
