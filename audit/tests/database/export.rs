//! The journal at a receiver: whole, whatever happens on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::export::{Export, ExportCut, ExportResumed, Exporter, Format, LARGEST, Syslog, Target};
use kernel::Subject;
use kernel::id::NodeId;
use keys::KeyRing;
use parts::{NO_RSYSLOG, Rsyslog, skip};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Db, Fact, FactBody, Origin, sql};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::house::{House, on_both_engines};
use crate::journal::ring;

on_both_engines! {
    a_receiver_that_is_killed_under_load_misses_nothing
    what_was_on_the_way_when_we_were_killed_comes_again_and_what_settled_does_not
    nothing_is_said_to_a_receiver_that_is_not_the_one
    a_file_has_every_fact_once_as_a_line_and_may_be_moved_away
}

#[derive(Serialize, Deserialize)]
struct Noted {
    text: String,
}

impl FactBody for Noted {
    const KIND: &'static str = "test.noted";
}

/// Short for a test, long enough for a receiver to write what it took.
const SETTLE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(90);

fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/certificates")
}

fn syslog(address: &str, name: &'static str) -> Target {
    let authority = CertificateDer::from_pem_file(certificates().join("authority.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Target::Syslog(Syslog { address: address.to_owned(), name: ServerName::try_from(name).unwrap(), tls })
}

fn export(target: Target, format: Format) -> Export {
    let host = "id.example.org".to_owned();
    Export { name: "siem".into(), target, format, host, settle: SETTLE, largest: LARGEST }
}

/// An exporter at work, and the audit follower before it.
struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(house: &House, ring: &KeyRing, export: Export) -> Self {
        let (stop, stopped) = watch::channel(false);
        let node = NodeId::new(house.one.ctx());
        let follow = audit::follow(house.one.clone(), ring.clone(), node, stopped.clone());
        let exporter = Exporter::new(house.one.clone(), node, export).run(stopped);
        Self { stop, tasks: vec![tokio::spawn(follow), tokio::spawn(exporter)] }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// As a crash of the process.
    fn kill(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn note(db: &Db, from: usize, count: usize) {
    for first in (from..from + count).step_by(100) {
        let mut tx = db.write(Origin::system()).await.unwrap();
        for number in first..(first + 100).min(from + count) {
            let body = Noted { text: format!("number {number}\n| = \\ é {}", "x".repeat(200)) };
            tx.record(Fact::new(Subject::new("test", number.to_string()), &body));
        }
        tx.commit().await.unwrap();
    }
}

async fn every_id(db: &Db) -> BTreeSet<String> {
    let rows: Vec<(String,)> = db.all(sql!("SELECT id FROM fact"), ()).await.unwrap();
    rows.into_iter().map(|(id,)| id).collect()
}

/// How often each id was received. A line that was cut off by a kill is no message.
fn ids(lines: &[String]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for line in lines {
        if let Ok(read) = serde_json::from_str::<Value>(line) {
            *ids.entry(read["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    ids
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

async fn arrives(db: &Db, received: impl Fn() -> Vec<String>) {
    until("every fact at the receiver", async || {
        let expect = every_id(db).await;
        let got: BTreeSet<String> = ids(&received()).into_keys().collect();
        got == expect
    })
    .await;
}

async fn a_receiver_that_is_killed_under_load_misses_nothing(house: House) {
    let ring = ring(&house.one).await;
    let folder = tempfile::tempdir().unwrap();
    let Some(mut rsyslog) = Rsyslog::prepare(folder.path(), &certificates()) else { skip!("{NO_RSYSLOG}") };
    rsyslog.start();
    let running =
        Running::start(&house, &ring, export(syslog(&rsyslog.address(), "localhost"), Format::Json));
    let burst = 7_000;
    for round in 0..3 {
        let (db, noted) = (house.one.clone(), round * burst);
        if round == 2 {
            // What it is sent now is written and acknowledged, and gone when it is killed.
            arrives(&house.one, || rsyslog.received()).await;
            rsyslog.freeze();
            note(&db, noted, 1_000).await;
            tokio::time::sleep(Duration::from_millis(2_500)).await;
        }
        let load = tokio::spawn(async move { note(&db, noted + 1_000, burst - 1_000).await });
        // At its beginning, in the middle of it, and frozen.
        if round == 1 {
            let enough = noted + burst / 3;
            until("some of a burst", async || ids(&rsyslog.received()).len() >= enough).await;
        }
        rsyslog.kill();
        load.await.unwrap();
        rsyslog.start();
    }
    arrives(&house.one, || rsyslog.received()).await;
    let received = ids(&rsyslog.received());
    // Settled by and by, so that a cut tomorrow sends nothing of today.
    until("a cursor at the end", async || {
        let last: (i64,) = house.one.one(sql!("SELECT MAX(seq) FROM fact"), ()).await.unwrap();
        store::follower::cursor(&house.one, "export:siem").await.unwrap() == last.0
    })
    .await;
    let of_kind = async |kind: &'static str| {
        let text = sql!("SELECT COUNT(*) FROM fact WHERE kind = $1 AND subject = 'export:siem'");
        house.one.one::<(i64,)>(text, (kind,)).await.unwrap().0
    };
    let (cut, resumed) = (of_kind(ExportCut::KIND).await, of_kind(ExportResumed::KIND).await);
    assert!(cut >= 1 && resumed >= 1 && cut - resumed <= 1, "{cut} cuts, back {resumed} times");
    running.end().await;
    let again = ids(&rsyslog.received());
    assert!(received.keys().all(|id| again.contains_key(id)));
}

async fn what_was_on_the_way_when_we_were_killed_comes_again_and_what_settled_does_not(house: House) {
    let ring = ring(&house.one).await;
    let folder = tempfile::tempdir().unwrap();
    let Some(mut rsyslog) = Rsyslog::prepare(folder.path(), &certificates()) else { skip!("{NO_RSYSLOG}") };
    rsyslog.start();
    let to = || export(syslog(&rsyslog.address(), "localhost"), Format::Json);
    let running = Running::start(&house, &ring, to());
    note(&house.one, 0, 50).await;
    arrives(&house.one, || rsyslog.received()).await;
    until("settled", async || store::follower::cursor(&house.one, "export:siem").await.unwrap() > 0).await;
    let settled = store::follower::cursor(&house.one, "export:siem").await.unwrap();
    note(&house.one, 50, 50).await;
    arrives(&house.one, || rsyslog.received()).await;
    running.kill();
    // The lease of whom was killed runs out.
    house.advance(Duration::from_secs(60));
    let running = Running::start(&house, &ring, to());
    note(&house.one, 100, 1).await;
    arrives(&house.one, || rsyslog.received()).await;
    running.end().await;
    let text = sql!("SELECT id, seq FROM fact WHERE kind = 'test.noted'");
    let all: Vec<(String, i64)> = house.one.all(text, ()).await.unwrap();
    let received = ids(&rsyslog.received());
    for (id, seq) in all {
        let times = received[&id];
        assert!(times <= if seq <= settled { 1 } else { 2 }, "{seq}, settled {settled}: {times} times");
    }
    let twice = received.values().filter(|times| **times == 2).count();
    assert!(twice > 0, "nothing was on the way: this test tries nothing");
}

async fn nothing_is_said_to_a_receiver_that_is_not_the_one(house: House) {
    let ring = ring(&house.one).await;
    let folder = tempfile::tempdir().unwrap();
    let Some(mut rsyslog) = Rsyslog::prepare(folder.path(), &certificates()) else { skip!("{NO_RSYSLOG}") };
    rsyslog.start();
    note(&house.one, 0, 10).await;
    let running =
        Running::start(&house, &ring, export(syslog(&rsyslog.address(), "siem.example.org"), Format::Json));
    let cut = sql!("SELECT body FROM fact WHERE kind = 'export.cut'");
    until("said why", async || house.one.opt::<(String,)>(cut.clone(), ()).await.unwrap().is_some()).await;
    let (body,): (String,) = house.one.one(cut, ()).await.unwrap();
    assert!(body.contains("certificate"), "{body}");
    running.end().await;
    assert!(rsyslog.received().is_empty());
}

async fn a_file_has_every_fact_once_as_a_line_and_may_be_moved_away(house: House) {
    let ring = ring(&house.one).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, moved) = (folder.path().join("facts.cef"), folder.path().join("facts.cef.1"));
    // Half a line, as a crash leaves it.
    std::fs::write(&file, "CEF:0|half").unwrap();
    let lines = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let running = Running::start(&house, &ring, export(Target::File(file.clone()), Format::Cef));
    note(&house.one, 0, 1_000).await;
    until("the first thousand", async || lines(&file).len() > 1_000).await;
    std::fs::rename(&file, &moved).unwrap();
    note(&house.one, 1_000, 500).await;
    let ids = || -> Vec<String> {
        let all = [lines(&moved), lines(&file)].concat();
        let id = |line: &String| Some(line.split("externalId=").nth(1)?.split(' ').next()?.to_owned());
        all.iter().filter_map(id).collect()
    };
    until("every fact in one of two files", async || {
        ids().into_iter().collect::<BTreeSet<_>>() == every_id(&house.one).await
    })
    .await;
    running.end().await;
    assert_eq!(ids().len(), ids().into_iter().collect::<BTreeSet<_>>().len(), "none comes twice");
    assert_eq!(lines(&moved)[0], "CEF:0|half");
    assert!(lines(&moved)[1].starts_with("CEF:0|Cardea|"), "{}", lines(&moved)[1]);
}
