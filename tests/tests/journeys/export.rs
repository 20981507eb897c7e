//! A receiver that asks who we are: without a certificate, with one for another name, and with the right one.
//!
//! It is syslog-ng. rsyslog 8.2302 was seen to keep a connection with a wrong name open for more than half a minute,
//! once in three runs; what a receiver does with a living connection nobody can see (`audit::export`).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use world::parts::{self, Collector};
use world::{Engines, Served, skip, until, within};

/// Whom the receiver lets in.
const NAME: &str = "cardea.example.org";
/// A connection must live on for half a minute before it counts, and a rest between two attempts may be as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What signs certificates for both sides.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    fn new() -> Self {
        let (mut params, key) = (params("Authority"), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, as `NAME.pem` and `NAME.key`.
    fn write(&self, folder: &Path, file: &str, name: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name).signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(folder.join(format!("{file}.pem")), certificate).unwrap();
        std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

/// All facts of a kind, or of all kinds.
async fn facts(house: &Served, kind: Option<&str>) -> Vec<Value> {
    let kind: Vec<&str> = kind.into_iter().flat_map(|kind| ["--kind", kind]).collect();
    let asked = [&["audit", "search", "--json", "--limit", "100000"][..], &kind[..]].concat();
    let said = house.cardea(&asked).await;
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn exported(house: &Served) -> Value {
    let ready = reqwest::get(format!("{}/health/ready", house.issuer)).await.unwrap();
    assert_eq!(ready.status(), 200, "that nobody hears of it is no reason to restart");
    ready.json::<Value>().await.unwrap()["exports"][0].clone()
}

fn id_of(fact: &Value) -> String {
    fact["id"].as_str().unwrap().to_owned()
}

/// Nothing is lost and each is told once, whatever was wrong in between and however often the process began anew.
async fn only_whoever_shows_the_right_certificate_delivers(engines: Engines) {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let folder = tempfile::tempdir().unwrap();
    let Some(mut collector) = Collector::syslog_ng(folder.path(), folder.path(), Some(NAME)) else {
        skip!("{}", parts::NO_SYSLOG_NG)
    };
    let authority = Authority::new();
    std::fs::write(folder.path().join("authority.pem"), &authority.pem).unwrap();
    authority.write(folder.path(), "server", "localhost");
    collector.start();
    let mut house = Served::prepare_on(&binary, engines).await;
    house.write("siem.pem", &authority.pem);
    let address = collector.address();
    let config = std::fs::read_to_string(house.config()).unwrap();
    let section = format!(
        "\n[export.siem]\nsyslog = \"{address}\"\nauthority = \"siem.pem\"\nsettle_seconds = 30\n\
         enterprise_number = 32473\n"
    );

    // None at all.
    house.write("cardea.toml", &format!("{config}{section}"));
    house.serve().await;
    let cut =
        until("the outage in the journal", async || facts(&house, Some("export.cut")).await.pop()).await;
    let why = "it asks for a certificate, and none is configured";
    assert!(cut["body"]["reason"].as_str().unwrap().contains(why), "{cut}");
    assert!(house.log().contains(why), "{}", house.log());
    // What health knows it looked up a moment ago.
    let stands = until("the outage in what health says", async || {
        Some(exported(&house).await).filter(|stands| stands["cut"] == true)
    })
    .await;
    assert!(stands["reason"].as_str().unwrap().contains(why), "{stands}");
    let shown = house.cardea(&["audit", "exports"]).await;
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.out.contains(&format!("CUT    siem  to {address}: cut off since 2")), "{shown:?}");
    assert!(shown.out.contains(why), "{shown:?}");
    let checked = house.cardea(&["check"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(
        checked.out.contains(&format!("WRONG  export siem: {address} cannot be reached: ")),
        "{checked:?}"
    );
    assert!(checked.out.contains("WRONG  export siem, delivery: cut off since 2"), "{checked:?}");
    assert_eq!(house.stop().await, Some(0));

    // One for another name. The process is another, the outage is the same.
    let own = house.folder.path().to_owned();
    authority.write(&own, "own", "www.example.org");
    house.write("cardea.toml", &format!("{config}{section}certificate = \"own.pem\"\nkey = \"own.key\"\n"));
    house.serve().await;
    within(PATIENCE, "why, in the log", async || house.log().contains("may not accept it").then_some(()))
        .await;
    assert!(collector.received().is_empty(), "nothing was said to a receiver that does not know us");

    // The right one, while the process runs.
    authority.write(&own, "own", NAME);
    within(PATIENCE, "every fact at the receiver", async || {
        let expect: BTreeSet<String> = facts(&house, None).await.iter().map(id_of).collect();
        let received = collector.received();
        let ids = received.iter().filter_map(|it| it.structured_data["fact@32473"]["id"].as_str());
        let got: BTreeSet<String> = ids.map(str::to_owned).collect();
        (got == expect).then_some(())
    })
    .await;
    within(PATIENCE, "the end of the outage", async || {
        let stands = exported(&house).await;
        (stands["cut"] == false && stands["delivered"].is_string()).then_some(())
    })
    .await;
    let (cut, resumed) =
        (facts(&house, Some("export.cut")).await, facts(&house, Some("export.resumed")).await);
    assert_eq!((cut.len(), resumed.len()), (1, 1), "{cut:?} {resumed:?}");
    let shown = house.must(&["audit", "exports"]).await;
    assert!(shown.starts_with(&format!("ok     siem  to {address}: ")), "{shown}");
    let checked = house.cardea(&["check"]).await.out;
    for says in [
        &format!("export siem: {address} can be reached"),
        "export siem, our certificate: the certificate is valid until",
        "export siem, delivery: ",
    ] {
        assert!(checked.contains(&format!("ok     {says}")), "{says} in {checked}");
    }
    assert_eq!(house.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_ng_takes_facts_only_by_the_right_certificate_on_sqlite() {
    only_whoever_shows_the_right_certificate_delivers(Engines::light()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_ng_takes_facts_only_by_the_right_certificate_on_postgres() {
    let Some(engines) = Engines::heavy() else { skip!("{}", world::NO_ENGINES) };
    only_whoever_shows_the_right_certificate_delivers(engines).await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told_before_anything_begins() {
    let Some(binary) = parts::binary() else { skip!("{}", parts::NO_BINARY) };
    let house = Served::prepare(&binary).await;
    let (own, authority) = (house.folder.path().to_owned(), Authority::new());
    let config = std::fs::read_to_string(house.config()).unwrap();
    let section = "\n[export.siem]\nsyslog = \"localhost:9\"\ncertificate = \"own.pem\"\nkey = \"own.key\"\n";
    house.write("cardea.toml", &format!("{config}{section}"));
    authority.write(&own, "own", NAME);
    let right = std::fs::read_to_string(own.join("own.key")).unwrap();
    authority.write(&own, "own", NAME);
    for (key, says) in [
        (right.as_str(), "export.siem: certificate and key cannot be used together"),
        ("no PEM", "export.siem.key "),
    ] {
        house.write("own.key", key);
        let said = house.cardea(&["serve"]).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(says), "{says}: {said:?}");
        let said = house.cardea(&["check"]).await;
        assert!(
            said.code == Some(1) && said.out.contains("WRONG  export siem, our certificate: "),
            "{said:?}"
        );
        assert!(said.out.contains(says), "{says}: {said:?}");
    }
}
