//! `cardea invite USER`.

use clap::Args;
use directory::invitation;
use directory::user::{self, User};
use kernel::{Actor, Ctx};
use store::{Db, Origin};

use super::{Failure, Outcome, open_existing, say};
use crate::config::{Config, ConfigError};

#[derive(Debug, Args)]
pub(super) struct Invite {
    /// The user name, as HR wrote it.
    user: String,
    /// Send the link to the person's mail address instead of printing it.
    #[arg(long)]
    mail: bool,
}

impl Invite {
    pub(super) async fn run(self, config: Config, ctx: Ctx) -> Outcome {
        let issuer = config.issuer().map_err(ConfigError::from)?;
        let db = open_existing(&config, ctx).await?;
        let user = invitable(&db, &self.user).await?;
        match self.mail {
            true => send(&config, &db, &user).await,
            false => print(&db, &issuer, &user).await,
        }
    }
}

async fn invitable(db: &Db, user_name: &str) -> Result<User, Failure> {
    let Some(user) = user::by_user_name(db, user_name).await? else {
        return Err(Failure::new(format!("there is no user {user_name:?}; HR makes users over SCIM")));
    };
    if !user.active {
        return Err(Failure::new(format!("{user_name} is not active; HR must activate the account first")));
    }
    Ok(user)
}

/// Makes an invitation; the link works once, for 72 hours, and replaces earlier ones.
async fn print(db: &Db, issuer: &web::Issuer, user: &User) -> Outcome {
    let mut tx = db.write(Origin::of(Actor::Operator)).await?;
    let token = invitation::create(&mut tx, issuer.as_str(), user.id).await;
    let token = tx.end(token).await?;
    say(idp::invitation_link(issuer, &token));
    Ok(())
}

/// Asks for a letter with such a link; the server that runs writes and sends it.
async fn send(config: &Config, db: &Db, user: &User) -> Outcome {
    if config.mail.is_none() {
        return Err(Failure::new("mail is not set up; add [mail] to the configuration, or leave --mail out"));
    }
    let Some(email) = &user.email else {
        let name = &user.user_name;
        return Err(Failure::new(format!("HR knows no mail address of {name}; leave --mail out")));
    };
    let mut tx = db.write(Origin::of(Actor::Operator)).await?;
    idp::mail::ask_invitation(&mut tx, user.id);
    tx.commit().await?;
    say(format_args!("A letter to {email} waits for the server that runs; see: cardea deliveries"));
    Ok(())
}
