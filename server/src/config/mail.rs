//! `[mail]`: the SMTP server that takes our letters.

use std::path::PathBuf;

use serde::Deserialize;
use web::mail::{BadSmtp, Place, Sender, Smtp};

use super::{Config, ConfigError};
use crate::files;

/// `[mail]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// `smtps://host` (TLS from the first byte) or `smtp://host:port` (STARTTLS).
    pub url: String,
    /// Who letters come from: `Cardea <cardea@example.org>`.
    pub from: String,
    /// Whether TLS is required.
    #[serde(default)]
    pub tls: MailTls,
    /// The user, where the server asks for one.
    pub user: Option<String>,
    /// A file that holds the user's password.
    pub password_file: Option<PathBuf>,
    /// PEM of an authority that the server's certificate may come from, beside those of the system.
    pub authority: Option<PathBuf>,
    /// Whether whoever HR makes active is invited by a letter.
    #[serde(default = "yes")]
    pub invite_on_hire: bool,
}

fn yes() -> bool {
    true
}

/// Whether the way to the mail server is secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Nothing is said without it.
    #[default]
    Required,
    /// In clear, to this machine only.
    None,
}

fn wrong(key: &'static str, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Mail { key, reason: reason.to_string() }
}

impl Mail {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.place()?;
        self.sender()?;
        match (&self.user, &self.password_file) {
            (Some(_), None) => Err(wrong("user", "it needs a password_file")),
            (None, Some(_)) => Err(wrong("password_file", "it needs a user")),
            _ => Ok(()),
        }
    }

    fn place(&self) -> Result<Place, ConfigError> {
        Place::parse(&self.url, self.tls == MailTls::None).map_err(|error| match error {
            BadSmtp::PlainToOthers(_) | BadSmtp::Contradiction => wrong("tls", error),
            error => wrong("url", error),
        })
    }

    fn sender(&self) -> Result<Sender, ConfigError> {
        self.from.parse().map_err(|error| wrong("from", error))
    }
}

impl Config {
    /// The mail server, if there is one, with what its files hold.
    pub fn smtp(&self) -> Result<Option<Smtp>, ConfigError> {
        let Some(mail) = &self.mail else { return Ok(None) };
        let credentials = match (&mail.user, &mail.password_file) {
            (Some(user), Some(file)) => Some((user.clone(), self.secret("mail.password_file", file)?)),
            _ => None,
        };
        let read = |file: &PathBuf| {
            let path = self.path(file);
            files::read(&path).map_err(|error| wrong("authority", format!("{}: {error}", path.display())))
        };
        Ok(Some(Smtp {
            place: mail.place()?,
            from: mail.sender()?,
            hello: self.issuer()?.host().to_owned(),
            credentials,
            authority: mail.authority.as_ref().map(read).transpose()?,
        }))
    }
}
