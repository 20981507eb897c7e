//! A mail server and the mailboxes behind it: takes every letter over SMTP, delivers none, and shows them.
//!
//! To a script it is a witness of what was really sent: letters are read by `mail-parser`, none of whose code is ours.
//! To a person it is a web page at [`MailServer::home`], where an invitation is opened as it would be at work.
//!
//! It is strict where real servers are: commands in their order, lines that end in CRLF and have an end (RFC 5321).
//! Deliberately not here: TLS, authentication, refusals, delivery to anywhere, and more letters than [`KEPT`].
//!
//! - `smtp` takes letters, `letter` reads them, `page` shows them.

mod letter;
mod page;
mod smtp;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use crate::http::{Request, Responder};
pub use letter::Letter;

/// How many letters are kept; the oldest give way.
const KEPT: usize = 1_000;

/// What was taken so far.
struct Letters {
    kept: Mutex<VecDeque<Arc<Letter>>>,
    /// How many were taken.
    taken: watch::Sender<usize>,
}

impl Letters {
    fn take(&self, from: String, to: Vec<String>, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *self.taken.borrow() + 1;
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(Letter::read(number, from, to, bytes)));
        drop(kept);
        self.taken.send_replace(number);
    }

    fn all(&self) -> Vec<Arc<Letter>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A mail server on one port, and its mailboxes as a web page on another. Dropping it closes both.
pub struct MailServer {
    address: SocketAddr,
    home: Url,
    letters: Arc<Letters>,
    listening: JoinHandle<()>,
    /// Answers browsers for as long as it lives.
    _responder: Responder,
}

impl MailServer {
    /// Takes letters on a free loopback port, and shows them on another.
    ///
    /// # Errors
    /// If a port cannot be bound.
    pub async fn start() -> io::Result<Self> {
        let letters = Arc::new(Letters { kept: Mutex::default(), taken: watch::Sender::new(0) });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let listening = tokio::spawn(smtp::listen(listener, Arc::clone(&letters)));
        let shown = Arc::clone(&letters);
        let answer = move |request: Request| {
            let letters = Arc::clone(&shown);
            async move { page::answer(&request, &letters.all()) }
        };
        let responder = Responder::start((Ipv4Addr::LOCALHOST, 0).into(), answer).await?;
        let home = format!("http://localhost:{}/", responder.address().port());
        let home = Url::parse(&home).map_err(io::Error::other)?;
        Ok(Self { address, home, letters, listening, _responder: responder })
    }

    /// Where it takes letters: SMTP in clear.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page with all letters.
    #[must_use]
    pub fn home(&self) -> &Url {
        &self.home
    }

    /// The page with the letters to one address.
    #[must_use]
    pub fn mailbox(&self, address: &str) -> Url {
        let mut mailbox = self.home.clone();
        mailbox.query_pairs_mut().append_pair("to", address);
        mailbox
    }

    /// The letters that were taken for an address, oldest first.
    #[must_use]
    pub fn letters_to(&self, address: &str) -> Vec<Arc<Letter>> {
        self.letters.all().into_iter().filter(|letter| letter.is_to(address)).collect()
    }

    /// How many letters were taken; changes with each.
    #[must_use]
    pub fn taken(&self) -> watch::Receiver<usize> {
        self.letters.taken.subscribe()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[cfg(test)]
mod tests;
