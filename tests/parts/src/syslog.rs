//! Real syslog receivers that nobody here wrote, over TLS (RFC 5425), each in a folder of its own: Debian's rsyslog and
//! syslog-ng.
//!
//! To add one: a function that makes a [`Collector`] of its program, its arguments and its configuration.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::port::free_port;

/// Why a test without [`Collector::rsyslog`] is skipped.
pub const NO_RSYSLOG: &str = "no rsyslog: CARDEA_RSYSLOGD is not set (tests/run sets it)";
/// Why a test without [`Collector::syslog_ng`] is skipped.
pub const NO_SYSLOG_NG: &str = "no syslog-ng: CARDEA_SYSLOG_NG is not set (tests/run sets it)";

const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver that writes each message as a line to a file: structured data as JSON, MSGID and message, between tabs.
pub struct Collector {
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

/// A message as a receiver understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The elements of its structured data, unescaped; null without any.
    pub structured_data: Value,
    /// Its MSGID.
    pub id: String,
    /// The message itself.
    pub text: String,
}

impl Received {
    /// `None` for a line that is only half there.
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, '\t');
        let (structured_data, id, text) = (parts.next()?, parts.next()?, parts.next()?);
        let mut structured_data: Value = serde_json::from_str(structured_data).unwrap_or_default();
        // syslog-ng puts all elements under one name.
        if let Some(elements) = structured_data.get_mut("_SDATA") {
            structured_data = elements.take();
        }
        Some(Self { structured_data, id: id.to_owned(), text: text.to_owned() })
    }
}

impl Collector {
    /// An rsyslog that will run in `folder`. `certificates` holds `server.pem` for `localhost`, `server.key`, and the
    /// `authority.pem` that signed it. With `permitted`, whoever sends must show a certificate of that authority for
    /// that name. `None` if `CARDEA_RSYSLOGD` is not set. It is not started yet.
    ///
    /// # Panics
    /// If its configuration cannot be written.
    #[must_use]
    pub fn rsyslog(folder: &Path, certificates: &Path, permitted: Option<&str>) -> Option<Self> {
        let program = super::from_environment("CARDEA_RSYSLOGD")?.into();
        let port = free_port();
        let who = match permitted {
            None => "StreamDriver.AuthMode=\"anon\"".to_owned(),
            Some(name) => format!("StreamDriver.AuthMode=\"x509/name\" PermittedPeer=[\"{name}\"]"),
        };
        let (folder, certificates) = (folder.to_owned(), certificates.display());
        let configuration = format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"64k\"\n  \
             DefaultNetstreamDriverCAFile=\"{certificates}/authority.pem\"\n  \
             DefaultNetstreamDriverCertFile=\"{certificates}/server.pem\"\n  \
             DefaultNetstreamDriverKeyFile=\"{certificates}/server.key\")\n\
             module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" {who})\n\
             module(load=\"mmpstrucdata\")\n\
             template(name=\"line\" type=\"list\") {{\n  \
             property(name=\"$!rfc5424-sd\") constant(value=\"\\t\")\n  \
             property(name=\"msgid\") constant(value=\"\\t\") property(name=\"msg\") constant(value=\"\\n\") }}\n\
             ruleset(name=\"all\") {{ action(type=\"mmpstrucdata\")\n  \
             action(type=\"omfile\" file=\"{0}/received\" template=\"line\") }}\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"all\")\n",
            folder.display()
        );
        let file = |name: &str| folder.join(name).display().to_string();
        let arguments =
            vec!["-n".into(), "-f".into(), file("rsyslog.conf"), "-i".into(), file("rsyslog.pid")];
        fs::write(file("rsyslog.conf"), configuration).expect("the folder is the test's");
        Some(Self { program, arguments, folder, port, process: None })
    }

    /// The same of syslog-ng. `None` if `CARDEA_SYSLOG_NG` is not set.
    ///
    /// # Panics
    /// As [`Collector::rsyslog`].
    #[must_use]
    pub fn syslog_ng(folder: &Path, certificates: &Path, permitted: Option<&str>) -> Option<Self> {
        let program = super::from_environment("CARDEA_SYSLOG_NG")?.into();
        let port = free_port();
        let who = match permitted {
            None => "peer-verify(\"optional-untrusted\")".to_owned(),
            Some(name) => format!("peer-verify(\"required-trusted\") trusted-dn(\"*{name}*\")"),
        };
        let (folder, certificates) = (folder.to_owned(), certificates.display());
        let configuration = format!(
            "@version: current\n\
             options {{ keep-hostname(yes); use-dns(no); stats-freq(0); log-msg-size(65536); }};\n\
             source sent {{ syslog(ip(\"127.0.0.1\") port({port}) transport(\"tls\")\n  \
             tls(key-file(\"{certificates}/server.key\") cert-file(\"{certificates}/server.pem\")\n    \
             ca-file(\"{certificates}/authority.pem\") {who})); }};\n\
             destination lines {{ file(\"{}/received\"\n  \
             template(\"$(format-json --key .SDATA.*)\\t$MSGID\\t$MSG\\n\") template-escape(no)); }};\n\
             log {{ source(sent); destination(lines); flags(flow-control); }};\n",
            folder.display()
        );
        let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
        let arguments = vec![
            "--foreground".into(),
            "--stderr".into(),
            "--no-caps".into(),
            file("cfgfile", "syslog-ng.conf"),
            file("persist-file", "persist"),
            file("pidfile", "pid"),
            file("control", "control"),
        ];
        fs::write(folder.join("syslog-ng.conf"), configuration).expect("the folder is the test's");
        Some(Self { program, arguments, folder, port, process: None })
    }

    /// Where it listens: `localhost:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Starts it, and returns when it listens.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(&mut self) {
        let log = self.folder.join("log");
        let output = fs::File::create(&log).expect("the folder is the test's");
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(output.try_clone().expect("a file")).stderr(output);
        self.process = Some(command.spawn().expect("it runs"));
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < until, "{} does not listen: {}", self.program.display(), said());
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

    /// Kills it (SIGKILL), as a crash of it would end it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// All messages that it has written so far; of the last perhaps only a part.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        let bytes = fs::read(self.folder.join("received")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().filter_map(Received::read).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.kill();
    }
}
