//! The SMTP server that takes our letters: over TLS, with a bounded pool of connections, bounded in time.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use kernel::Secret;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error as SmtpError, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use url::Url;

use super::{Letter, Sender};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(8);
/// How long handing in a letter may take, all in all: below a lane's lease.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many connections are kept at most.
const CONNECTIONS: u32 = 2;
/// How long an idle one is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How the way to the server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte: `smtps://`.
    Implicit,
    /// STARTTLS, and nothing is said without it: `smtp://`.
    StartTls,
    /// In clear. To this machine only.
    Plain,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name or address; the certificate must be for it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way is kept secret.
    pub security: Security,
}

/// Why an SMTP server cannot be used as it is configured, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSmtp {
    /// Not of the form.
    #[error("{0:?} is no SMTP server; write it like smtps://mail.example.org or smtp://mail.example.org:587")]
    NotAServer(String),
    /// Secrets do not stand in an address.
    #[error("leave user and password out of the address; they have keys of their own")]
    Credentials,
    /// In clear to another machine.
    #[error("{0} is another machine, and links that set passwords go there: TLS cannot be switched off")]
    PlainToOthers(String),
    /// TLS that is switched on and off at once.
    #[error("smtps:// is TLS, and tls says none: write smtp://, or leave tls out")]
    Contradiction,
    /// The file with the authority's certificate.
    #[error("the authority's certificate cannot be used: {0}")]
    Authority(String),
}

impl Place {
    /// From an address and whether TLS is switched off.
    ///
    /// # Errors
    /// [`BadSmtp`] says what to write.
    pub fn parse(text: &str, plain: bool) -> Result<Self, BadSmtp> {
        let wrong = || BadSmtp::NotAServer(text.to_owned());
        let url = Url::parse(text).map_err(|_| wrong())?;
        let (security, usual) = match (url.scheme(), plain) {
            ("smtps", false) => (Security::Implicit, 465),
            ("smtp", false) => (Security::StartTls, 587),
            ("smtp", true) => (Security::Plain, 25),
            ("smtps", true) => return Err(BadSmtp::Contradiction),
            _ => return Err(wrong()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadSmtp::Credentials);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if host.is_empty() || !bare || url.port() == Some(0) {
            return Err(wrong());
        }
        if security == Security::Plain && !is_this_machine(&host) {
            return Err(BadSmtp::PlainToOthers(host));
        }
        Ok(Self { host, port: url.port().unwrap_or(usual), security })
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The server, and who we are to it.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Where it is.
    pub place: Place,
    /// Who letters come from.
    pub from: Sender,
    /// What we call ourselves: the issuer's host.
    pub hello: String,
    /// User and password, where the server asks for them.
    pub credentials: Option<(String, Secret<String>)>,
    /// PEM of an authority that the server's certificate may come from, beside those of the system.
    pub authority: Option<Vec<u8>>,
}

/// Why a letter was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Send it again later: the server is not there, busy, or does not let us in. It may have taken the letter.
    #[error("{0}")]
    Later(String),
    /// Sending it again cannot help: there is no such address, or the letter is not one.
    #[error("{0}")]
    Refused(String),
}

/// Takes letters.
#[async_trait]
pub trait Post: Send + Sync + 'static {
    /// Hands a letter in. Bounded in time.
    async fn send(&self, letter: &Letter) -> Result<(), MailError>;
}

/// An SMTP server that takes letters.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Sender,
}

impl Mailer {
    /// Speaks to nobody yet. Must be called inside the runtime: idle connections are closed by a task.
    ///
    /// # Errors
    /// [`BadSmtp::Authority`] when the certificate of the authority cannot be read.
    pub fn new(smtp: &Smtp) -> Result<Self, BadSmtp> {
        let Place { host, port, .. } = &smtp.place;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str())
            .port(*port)
            .tls(tls(smtp)?)
            .timeout(Some(CONNECT))
            .hello_name(ClientId::Domain(smtp.hello.clone()))
            .pool_config(PoolConfig::new().min_idle(0).max_size(CONNECTIONS).idle_timeout(IDLE));
        if let Some((user, password)) = &smtp.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().clone()));
        }
        Ok(Self { transport: builder.build(), from: smtp.from.clone() })
    }

    /// Whether the server answers and lets us in. Sends no letter.
    ///
    /// # Errors
    /// [`MailError::Later`], with what was said.
    pub async fn check(&self) -> Result<(), MailError> {
        match within(self.transport.test_connection()).await? {
            true => Ok(()),
            false => Err(MailError::Later("the server hung up".into())),
        }
    }
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailer")
    }
}

#[async_trait]
impl Post for Mailer {
    async fn send(&self, letter: &Letter) -> Result<(), MailError> {
        let message = letter.message(&self.from)?;
        within(self.transport.send(message)).await.map(drop)
    }
}

async fn within<T>(speaking: impl Future<Output = Result<T, SmtpError>>) -> Result<T, MailError> {
    match tokio::time::timeout(PATIENCE, speaking).await {
        Ok(outcome) => outcome.map_err(|error| said(&error)),
        Err(_) => Err(MailError::Later(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// A name that does not exist is refused for good. Who we are is not: the operator mends a password, and the
/// letters that waited go out (RFC 4954, section 6).
fn said(error: &SmtpError) -> MailError {
    let text = with_causes(error);
    let code = error.status().map(|code| code.to_string());
    let about_us = matches!(code.as_deref(), Some("530" | "534" | "535" | "538" | "554"));
    if error.is_permanent() && !about_us { MailError::Refused(text) } else { MailError::Later(text) }
}

fn with_causes(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn tls(smtp: &Smtp) -> Result<Tls, BadSmtp> {
    if smtp.place.security == Security::Plain {
        return Ok(Tls::None);
    }
    let wrong = |error: SmtpError| BadSmtp::Authority(with_causes(&error));
    let mut parameters = TlsParameters::builder(smtp.place.host.clone());
    if let Some(pem) = &smtp.authority {
        parameters = parameters.add_root_certificate(Certificate::from_pem(pem).map_err(wrong)?);
    }
    let parameters = parameters.build_rustls().map_err(wrong)?;
    Ok(match smtp.place.security {
        Security::Implicit => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, plain: bool) -> Result<(String, u16, Security), BadSmtp> {
        Place::parse(text, plain).map(|place| (place.host, place.port, place.security))
    }

    #[test]
    fn tls_is_required_and_off_for_this_machine_only() {
        for (text, plain, host, port, security) in [
            ("smtps://mail.example.org", false, "mail.example.org", 465, Security::Implicit),
            ("smtps://Mail.Example.org:2465/", false, "mail.example.org", 2465, Security::Implicit),
            ("smtp://mail.example.org", false, "mail.example.org", 587, Security::StartTls),
            ("smtp://127.0.0.1:25", false, "127.0.0.1", 25, Security::StartTls),
            ("smtp://localhost", true, "localhost", 25, Security::Plain),
            ("smtp://127.0.0.1:1025", true, "127.0.0.1", 1025, Security::Plain),
            ("smtp://[::1]:1025", true, "::1", 1025, Security::Plain),
        ] {
            assert_eq!(check(text, plain), Ok((host.to_owned(), port, security)), "{text}");
        }
        for host in ["mail.example.org", "10.0.0.7", "localhost.example.org", "0.0.0.0"] {
            assert_eq!(check(&format!("smtp://{host}"), true), Err(BadSmtp::PlainToOthers(host.into())));
        }
        assert_eq!(check("smtps://localhost", true), Err(BadSmtp::Contradiction));
    }

    #[test]
    fn an_address_is_a_server_and_nothing_more() {
        for text in [
            "",
            "mail.example.org",
            "mail.example.org:25",
            "http://mail.example.org",
            "smtp://",
            "smtp:///path",
            "smtps://mail.example.org/ehlo",
            "smtps://mail.example.org?tls=none",
            "smtps://mail.example.org#x",
            "smtps://mail.example.org:0",
            "smtps://mail.example.org:99999",
        ] {
            assert_eq!(check(text, false), Err(BadSmtp::NotAServer(text.into())), "{text}");
        }
        for text in ["smtps://ada@mail.example.org", "smtps://ada:secret@mail.example.org"] {
            assert_eq!(check(text, false), Err(BadSmtp::Credentials), "{text}");
        }
    }
}
