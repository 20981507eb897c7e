//! A real syslog receiver, Debian's rsyslog, over TLS, in a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Why a test without [`Rsyslog`] is skipped.
pub const NO_RSYSLOG: &str = "no rsyslog: CARDEA_RSYSLOGD is not set (tests/run sets it)";

const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver that writes each message as a line to a file.
pub struct Rsyslog {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Rsyslog {
    /// One that will run in `folder`, with a certificate for `localhost` and its key in PEM, and the authority that
    /// signed it. `None` if `CARDEA_RSYSLOGD` is not set. It is not started yet.
    ///
    /// # Panics
    /// If its configuration cannot be written.
    #[must_use]
    pub fn prepare(folder: &Path, certificates: &Path) -> Option<Self> {
        let program = super::from_environment("CARDEA_RSYSLOGD")?.into();
        let port = free_port();
        let rsyslog = Self { program, folder: folder.to_owned(), port, process: None };
        let certificates = certificates.display();
        let received = rsyslog.received_file().display().to_string();
        let configuration = format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"64k\"\n  DefaultNetstreamDriverCAFile=\"{certificates}/authority.pem\"\n  \
             DefaultNetstreamDriverCertFile=\"{certificates}/server.pem\"\n  \
             DefaultNetstreamDriverKeyFile=\"{certificates}/server.key\")\n\
             module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
             template(name=\"line\" type=\"string\" string=\"%msg%\\n\")\n\
             ruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{received}\" template=\"line\") }}\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"all\")\n",
            folder.display()
        );
        fs::write(rsyslog.configuration(), configuration).expect("the folder is the test's");
        Some(rsyslog)
    }

    /// Where it listens: `localhost:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("rsyslog.conf")
    }

    fn received_file(&self) -> PathBuf {
        self.folder.join("received")
    }

    /// Starts it, and returns when it listens.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(&mut self) {
        let output = fs::File::create(self.folder.join("rsyslog.log")).expect("the folder is the test's");
        let mut command = Command::new(&self.program);
        command.arg("-n").arg("-f").arg(self.configuration()).arg("-i").arg(self.folder.join("rsyslog.pid"));
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a file")).stderr(output);
        self.process = Some(command.spawn().expect("rsyslogd runs"));
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let said = || fs::read_to_string(self.folder.join("rsyslog.log")).unwrap_or_default();
            assert!(Instant::now() < until, "rsyslog does not listen: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// From now on it reads nothing, and its machine takes what comes all the same.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        let told = Command::new("kill").args(["-STOP", &id]).status().expect("kill is everywhere");
        assert!(told.success(), "kill -STOP {id}");
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// All lines that it has written so far, the last perhaps half.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        let bytes = fs::read(self.received_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below the range from which outgoing connections take theirs, so that nobody takes it between two starts; for each
/// test of a process another one.
fn free_port() -> u16 {
    static GIVEN_OUT: AtomicU16 = AtomicU16::new(0);
    let given_out = GIVEN_OUT.fetch_add(1, Ordering::SeqCst);
    let begin = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap_or(0) + 100 * (given_out % 10);
    let free = (begin..32_000).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.expect("a free port")
}
