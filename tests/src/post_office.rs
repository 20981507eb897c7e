//! A mail server that nobody here wrote, in a process of its own, which can be closed and opened again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use parts::free_port;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::until::until;

/// The certificate that it shows where TLS is asked for, for `localhost`; signed by `authority.pem` beside it.
const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/certificates");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/smtp.py");

/// A mail server on a port of its own, and all letters that it has taken.
pub struct PostOffice {
    /// Where it listens while it is open.
    pub port: u16,
    python: PathBuf,
    arguments: Vec<String>,
    letters: Arc<Mutex<Vec<Value>>>,
    process: Option<Child>,
}

impl PostOffice {
    /// One that speaks in clear, not opened yet. `python` is what [`parts::python`](crate::parts::python) gives.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn new(python: &Path) -> Self {
        let (port, letters, arguments) = (free_port(), Arc::default(), Vec::new());
        Self { port, python: python.into(), arguments, letters, process: None }
    }

    /// The same for `localhost` over TLS (STARTTLS), for this user alone.
    #[must_use]
    pub fn for_user(self, user: &str, password: &str) -> Self {
        let file = |name: &str| format!("{CERTIFICATES}/{name}");
        let arguments = vec![file("server.pem"), file("server.key"), user.into(), password.into()];
        Self { arguments, ..self }
    }

    /// The authority that signed its certificate.
    #[must_use]
    pub fn authority() -> String {
        format!("{CERTIFICATES}/authority.pem")
    }

    /// Takes letters from now on.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn open(&mut self) {
        let mut process = Command::new(&self.python)
            .arg(SCRIPT)
            .arg(self.port.to_string())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python runs");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let ready = lines.next_line().await.expect("it can be read");
        assert_eq!(ready.as_deref(), Some("\"ready\""));
        let letters = self.letters.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let letter = serde_json::from_str(&line).expect("a letter is a line of JSON");
                letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
            }
        });
        self.process = Some(process);
    }

    /// Ends at once, as a crash would.
    ///
    /// # Panics
    /// If it is not open.
    pub async fn close(&mut self) {
        self.process.take().expect("it is open").kill().await.expect("it runs");
    }

    /// All letters that were taken for an address, in order.
    #[must_use]
    pub fn letters_to(&self, address: &str) -> Vec<Value> {
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.iter().filter(|letter| letter["to"][0] == address).cloned().collect()
    }

    /// The letter of this number, from 0, once it has come.
    pub async fn letter_to(&self, address: &str, number: usize) -> Value {
        until("a letter", async || self.letters_to(address).into_iter().nth(number)).await
    }
}
