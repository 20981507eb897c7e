//! The journal at a receiver: whole, whatever happens on the way.

mod cef;
mod pace;
mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::export::{
    Export, ExportCut, ExportResumed, Exporter, Format, LARGEST, OVERLAP, Syslog, Target, json_line, standing,
};
use kernel::id::NodeId;
use kernel::{Subject, Timestamp};
use keys::KeyRing;
use parts::{Collector, NO_RSYSLOG, NO_SYSLOG_NG, Received, or_skip};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Db, Fact, FactBody, Origin, StoredFact, follower, sql};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::house::{House, on_both_engines};
use crate::journal::ring;

on_both_engines! {
    a_receiver_that_is_killed_under_load_misses_nothing
    what_was_on_the_way_when_we_were_killed_comes_again_and_what_settled_does_not
    nothing_is_said_to_a_receiver_that_is_not_the_one
    a_file_has_every_fact_once_as_a_line_and_may_be_moved_away
    an_outage_is_told_once_whichever_nodes_see_it
    rsyslog_reads_every_fact_as_it_is
    syslog_ng_reads_every_fact_as_it_is
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

/// An rsyslog that asks nobody for a certificate, not started yet, and the folder that it will run in. `None`, with a
/// word about it, where there is none.
fn rsyslog() -> Option<(TempDir, Collector)> {
    in_a_folder(Collector::rsyslog, NO_RSYSLOG)
}

/// The same of syslog-ng.
fn syslog_ng() -> Option<(TempDir, Collector)> {
    in_a_folder(Collector::syslog_ng, NO_SYSLOG_NG)
}

fn in_a_folder(
    collector: fn(&Path, &Path, Option<&str>) -> Option<Collector>,
    missing: &str,
) -> Option<(TempDir, Collector)> {
    let folder = tempfile::tempdir().unwrap();
    let collector = or_skip(collector(folder.path(), &certificates(), None), missing)?;
    Some((folder, collector))
}

fn trusting(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let authority = CertificateDer::from_pem_file(certificates().join("authority.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn syslog(address: &str, name: &'static str) -> Target {
    syslog_over(address, name, &[&TLS13, &TLS12])
}

fn syslog_over(address: &str, name: &'static str, versions: &[&'static SupportedProtocolVersion]) -> Target {
    let (address, name) = (address.to_owned(), ServerName::try_from(name).unwrap());
    let tls = trusting(versions);
    Target::Syslog(Syslog { address, name, tls: Arc::new(move |_: Timestamp| Ok(tls.clone())) })
}

fn export(target: Target, format: Format) -> Export {
    let host = "id.example.org".to_owned();
    Export {
        name: "siem".into(),
        target,
        format,
        host,
        settle: SETTLE,
        overlap: OVERLAP,
        largest: LARGEST,
        enterprise: None,
    }
}

/// An exporter at work, and the audit follower before it.
struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(db: &Db, ring: &KeyRing, export: Export) -> Self {
        let (stop, stopped) = watch::channel(false);
        let node = NodeId::new(db.ctx());
        let follow = audit::follow(db.clone(), ring.clone(), node, stopped.clone());
        let exporter = Exporter::new(db.clone(), node, export).run(stopped);
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

/// How often each id was received. What was cut off by a kill is no message.
fn ids(messages: &[Received]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for message in messages {
        if let Ok(read) = serde_json::from_str::<Value>(&message.text) {
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

async fn arrives(db: &Db, received: impl Fn() -> Vec<Received>) {
    until("every fact at the receiver", async || {
        let expect = every_id(db).await;
        let got: BTreeSet<String> = ids(&received()).into_keys().collect();
        got == expect
    })
    .await;
}

/// How often it was said that it is cut off, and that it is back.
async fn outages(db: &Db) -> (i64, i64) {
    let of_kind = async |kind: &'static str| {
        let text = sql!("SELECT COUNT(*) FROM fact WHERE kind = $1 AND subject = 'export:siem'");
        db.one::<(i64,)>(text, (kind,)).await.unwrap().0
    };
    (of_kind(ExportCut::KIND).await, of_kind(ExportResumed::KIND).await)
}

async fn a_receiver_that_is_killed_under_load_misses_nothing(house: House) {
    let ring = ring(&house.one).await;
    let Some((_folder, mut rsyslog)) = rsyslog() else { return };
    rsyslog.start();
    let running =
        Running::start(&house.one, &ring, export(syslog(&rsyslog.address(), "localhost"), Format::Json));
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
    let (cut, resumed) = outages(&house.one).await;
    assert!(cut >= 1 && resumed >= 1 && cut - resumed <= 1, "{cut} cuts, back {resumed} times");
    running.end().await;
    let again = ids(&rsyslog.received());
    assert!(received.keys().all(|id| again.contains_key(id)));
}

async fn what_was_on_the_way_when_we_were_killed_comes_again_and_what_settled_does_not(house: House) {
    let ring = ring(&house.one).await;
    let Some((_folder, mut rsyslog)) = rsyslog() else { return };
    rsyslog.start();
    let to = || export(syslog(&rsyslog.address(), "localhost"), Format::Json);
    let running = Running::start(&house.one, &ring, to());
    note(&house.one, 0, 50).await;
    arrives(&house.one, || rsyslog.received()).await;
    until("settled", async || store::follower::cursor(&house.one, "export:siem").await.unwrap() > 0).await;
    let settled = store::follower::cursor(&house.one, "export:siem").await.unwrap();
    note(&house.one, 50, 50).await;
    arrives(&house.one, || rsyslog.received()).await;
    running.kill();
    // The lease of whom was killed runs out.
    house.advance(Duration::from_secs(60));
    let running = Running::start(&house.one, &ring, to());
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
    let Some((_folder, mut rsyslog)) = rsyslog() else { return };
    rsyslog.start();
    note(&house.one, 0, 10).await;
    let running = Running::start(
        &house.one,
        &ring,
        export(syslog(&rsyslog.address(), "siem.example.org"), Format::Json),
    );
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
    let running = Running::start(&house.one, &ring, export(Target::File(file.clone()), Format::Cef));
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

async fn an_outage_is_told_once_whichever_nodes_see_it(house: House) {
    let ring = ring(&house.one).await;
    let folder = tempfile::tempdir().unwrap();
    let mounted = folder.path().join("mounted");
    let to = || export(Target::File(mounted.join("facts.jsonl")), Format::Json);
    let (first, second) = (Running::start(&house.one, &ring, to()), Running::start(&house.two, &ring, to()));
    note(&house.one, 0, 10).await;
    until("said", async || outages(&house.one).await == (1, 0)).await;
    // Each gives the other its turn after each attempt, at the latest after 5 s.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(outages(&house.one).await, (1, 0), "two nodes have tried");
    let stands = standing(&house.two, "siem").await.unwrap();
    let why = stands.cut.unwrap().reason.unwrap();
    assert!(why.contains("No such file") && stands.delivered.is_none() && stands.behind >= 10, "{why}");
    // In the middle of it both die, and another process goes on.
    first.kill();
    second.kill();
    house.advance(Duration::from_secs(60));
    let third = Running::start(&house.two, &ring, to());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(outages(&house.one).await, (1, 0), "another process has tried");
    std::fs::create_dir(&mounted).unwrap();
    until("said that it is over", async || outages(&house.one).await == (1, 1)).await;
    // The next one is another.
    std::fs::remove_dir_all(&mounted).unwrap();
    note(&house.one, 10, 10).await;
    until("said again", async || outages(&house.one).await == (2, 1)).await;
    std::fs::create_dir(&mounted).unwrap();
    until("over again", async || outages(&house.one).await == (2, 2)).await;
    until("everything delivered", async || {
        let stands = standing(&house.one, "siem").await.unwrap();
        stands.cut.is_none() && stands.behind == 0 && stands.delivered.is_some()
    })
    .await;
    third.end().await;
    assert_eq!(outages(&house.one).await, (2, 2));
}

async fn rsyslog_reads_every_fact_as_it_is(house: House) {
    let Some((_folder, rsyslog)) = rsyslog() else { return };
    reads_every_fact_as_it_is(&house, rsyslog).await;
}

async fn syslog_ng_reads_every_fact_as_it_is(house: House) {
    let Some((_folder, syslog_ng)) = syslog_ng() else { return };
    reads_every_fact_as_it_is(&house, syslog_ng).await;
}

/// What breaks frames, structured data and JSON where they are not written well.
const NASTY: &str =
    "\"q\" \\ \\\" ] [x y=\"z\"] \u{e9}\u{2603}\u{1d11e} \u{7f}\u{85} | = <13>1 - 17 %msg% ${MSG} '";

async fn note_nasty(db: &Db, from: usize) {
    let mut tx = db.write(Origin::system()).await.unwrap();
    for number in from..from + 80 {
        // From short ones past what is sent at most.
        let (subject, filling) = (format!("{NASTY} {number}"), "x".repeat((number - from) * 120));
        let body = Noted { text: format!("{NASTY}\u{0}\u{1}\t\r\n\u{1b}{filling}") };
        tx.record(Fact::new(Subject::new("test", subject), &body));
    }
    tx.commit().await.unwrap();
}

async fn reads_every_fact_as_it_is(house: &House, mut collector: Collector) {
    let ring = ring(&house.one).await;
    collector.start();
    for (version, from) in [(&TLS12, 0), (&TLS13, 1_000)] {
        let target = syslog_over(&collector.address(), "localhost", &[version]);
        let export = Export { enterprise: Some(32_473), ..export(target, Format::Json) };
        let running = Running::start(&house.one, &ring, export);
        note_nasty(&house.one, from).await;
        arrives(&house.one, || collector.received()).await;
        running.end().await;
    }
    let facts = follower::read(&house.one, 0, 10_000).await.unwrap();
    let facts: BTreeMap<String, StoredFact> =
        facts.into_iter().map(|fact| (fact.id.to_string(), fact)).collect();
    let (mut whole, mut longest) = (0, 0);
    for received in collector.received() {
        let element = &received.structured_data["fact@32473"];
        let fact = &facts[element["id"].as_str().unwrap()];
        let expect = json!({
            "id": fact.id.to_string(),
            "seq": fact.seq.unwrap().to_string(),
            "subject": fact.subject,
            "actor": fact.actor,
        });
        assert_eq!((element, &received.id), (&expect, &fact.kind));
        let line = json_line(fact);
        longest = longest.max(received.text.len());
        if received.text == line {
            whole += 1;
            continue;
        }
        let read: Value = serde_json::from_str(&received.text).unwrap();
        assert!(line.len() > 7_000 && read["body"].is_null(), "{}", received.text);
        assert_eq!(read["digest"], json!(fact.digest));
    }
    assert!(whole > 100 && longest > 7_500, "{whole} came whole, the longest had {longest} bytes");
}
