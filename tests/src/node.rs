//! One process that serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::until::until;

/// `cardea serve` with a configuration of its own: begun, killed, begun again.
pub struct Node {
    binary: PathBuf,
    config: PathBuf,
    /// Where it is reached itself, whatever stands before it.
    pub address: String,
    process: Option<Child>,
}

impl Node {
    pub(crate) fn new(binary: &Path, config: PathBuf, address: String) -> Self {
        Self { binary: binary.into(), config, address, process: None }
    }

    /// Serves until killed or told to stop; returns when it is ready. The log grows beside the configuration, as does
    /// what it says besides.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn serve(&mut self) {
        self.start();
        let ready = format!("{}/health/ready", self.address);
        until("a server that is ready", async || {
            reqwest::get(&ready).await.ok().filter(|answer| answer.status().is_success()).map(drop)
        })
        .await;
    }

    /// Begins to serve, ready or not.
    ///
    /// # Panics
    /// If the binary does not run.
    pub fn start(&mut self) {
        let open = |suffix| {
            let file =
                fs::OpenOptions::new().create(true).append(true).open(self.config.with_extension(suffix));
            file.expect("the folder is ours")
        };
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.config).arg("serve").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(open("said.txt")).stderr(open("log.json"));
        self.process = Some(command.spawn().expect("the binary runs"));
    }

    /// Ends the process at once, as a crash of it would (SIGKILL): the machine goes on and loses nothing that was
    /// written. What a power cut would take besides, the settings of the database keep; the store's suite looks at them
    /// (`the_writer_syncs_each_commit_keeps_a_log_and_checks_references`).
    ///
    /// # Panics
    /// If none runs.
    pub async fn kill(&mut self) {
        self.process.take().expect("it is served").kill().await.expect("it runs");
    }

    /// Gives the process away: to whoever ends it while others still speak to the house.
    ///
    /// # Panics
    /// If none runs.
    pub fn release(&mut self) -> Child {
        self.process.take().expect("it is served")
    }

    /// Asks the process to end (SIGTERM) and gives its exit code.
    ///
    /// # Panics
    /// If none runs.
    pub async fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it is served");
        let id = process.id().expect("it runs").to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill is everywhere");
        assert!(told.success(), "kill -TERM {id}");
        process.wait().await.expect("it was started here").code()
    }

    /// All that was said to whoever looks at the process.
    ///
    /// # Panics
    /// If nothing was served.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.config.with_extension("said.txt")).expect("it was served")
    }

    /// Where it logs.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.config.with_extension("log.json")
    }

    /// All that was logged.
    ///
    /// # Panics
    /// If nothing was served.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).expect("it was served")
    }
}
