//! The catalogue of facts: it is what the documentation says, no version of a body means two things, and what is
//! recorded is as it says.

mod compatible;
mod least;
mod valid;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kernel::id::FactId;
use kernel::{Ctx, Timestamp};
use serde_json::{Value, json};
use server::catalogue;
use store::{Db, FactKind, StoredFact, sql};

const RENEW: &str =
    "CARDEA_RENEW_FACTS=1 cargo nextest run -p cardea-tests --test journeys the_documentation_is_what";

fn kept_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(kept_in(name)).unwrap_or_default()
}

/// What the code says now, and every version that it does not know any more.
fn with_earlier(kept: &[Value], now: Vec<Value>) -> Vec<Value> {
    let key = |entry: &Value| (entry["kind"].as_str().unwrap().to_owned(), entry["version"].as_u64());
    let mut all: BTreeMap<_, Value> = kept.iter().map(|entry| (key(entry), entry.clone())).collect();
    all.extend(now.into_iter().map(|entry| (key(&entry), entry)));
    all.into_values().collect()
}

#[test]
fn the_documentation_is_what_the_code_says_and_no_version_means_two_things() {
    let kept: Vec<Value> = serde_json::from_str(&read("facts.json")).unwrap();
    let now = catalogue::schemas();
    let broken = compatible::promises_broken(&kept, &now);
    assert!(
        broken.is_empty(),
        "{}\n\nJournals hold such bodies, and others read them by docs/facts.json. Undo the change; or raise VERSION of \
         the kind, have whoever reads it understand both versions, and renew the documentation with\n    {RENEW}",
        broken.join("\n")
    );
    let schemas = serde_json::to_string_pretty(&with_earlier(&kept, now)).unwrap() + "\n";
    for (name, text) in [("facts.md", catalogue::document()), ("facts.json", schemas)] {
        if std::env::var_os("CARDEA_RENEW_FACTS").is_some() {
            fs::write(kept_in(name), &text).unwrap();
        }
        assert!(read(name) == text, "docs/{name} is not what the code says. Renew it with\n    {RENEW}");
    }
}

#[test]
fn earlier_versions_stay_in_the_documentation() {
    let entry =
        |kind: &str, version: u32, about: &str| json!({ "kind": kind, "version": version, "about": [about] });
    let kept = [entry("a", 1, "old"), entry("b", 1, "old")];
    let all = with_earlier(&kept, vec![entry("a", 2, "new"), entry("b", 1, "new"), entry("c", 1, "new")]);
    assert_eq!(all, [entry("a", 1, "old"), entry("a", 2, "new"), entry("b", 1, "new"), entry("c", 1, "new")]);
}

/// Every version of every kind whose bodies nobody reads any more: deliveries on their way with such a fact would fail,
/// and people who look back see nothing.
fn unread(kept: &[Value], kinds: &[FactKind]) -> Vec<String> {
    let is_read = |entry: &&Value| {
        let body = least::least(&entry["schema"]);
        let kind = entry["kind"].as_str().unwrap();
        let faults = valid::faults(&entry["schema"], &body, kind);
        assert!(faults.is_empty(), "{faults:?} in {body}");
        let fact = StoredFact {
            id: FactId::new(&Ctx::system()),
            at: Timestamp::EPOCH,
            kind: kind.to_owned(),
            subject: "user:ada".into(),
            actor: "system".into(),
            request_id: None,
            digest: String::new(),
            salt: Some(String::new()),
            body: Some(body.to_string()),
            seq: None,
            chain: None,
        };
        kinds.iter().any(|kind| kind.reads(&fact))
    };
    let unread = kept.iter().filter(|entry| !is_read(entry));
    unread.map(|entry| format!("{} in version {}", entry["kind"], entry["version"])).collect()
}

#[test]
fn every_version_that_journals_hold_is_read() {
    let mut kept: Vec<Value> = serde_json::from_str(&read("facts.json")).unwrap();
    let kinds = catalogue::kinds();
    assert_eq!(unread(&kept, &kinds), [""; 0], "say in FactBody::upgrade how it is read");
    // As after a VERSION was raised and nothing else.
    let alert = kept.iter_mut().find(|entry| entry["kind"] == "alert.opened").unwrap();
    alert["version"] = 0.into();
    alert["schema"]["properties"]["v"]["const"] = 0.into();
    assert_eq!(unread(&kept, &kinds), ["\"alert.opened\" in version 0"]);
}

/// Everything that was recorded is of a kind in the catalogue, valid by its schema, and about what it says.
pub(crate) async fn has_every_fact_of(db: &Db) {
    let kinds = catalogue::kinds();
    let by_name: BTreeMap<&str, _> = kinds.iter().map(|kind| (kind.kind, (kind, kind.schema()))).collect();
    let facts: Vec<StoredFact> = db
        .all(
            sql!("SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact"),
            (),
        )
        .await
        .unwrap();
    assert!(!facts.is_empty(), "nothing was recorded");
    for fact in &facts {
        let Some((kind, schema)) = by_name.get(fact.kind.as_str()) else {
            panic!("{} is in no catalogue", fact.kind);
        };
        assert!(is_about(kind.about, &fact.subject), "{} is about {}", fact.kind, fact.subject);
        let Some(body) = &fact.body else { continue };
        let faults = valid::faults(schema, &serde_json::from_str(body).unwrap(), &fact.kind);
        assert!(faults.is_empty(), "{faults:?} in {body}");
        assert!(kind.reads(fact), "{body} does not read as {}", fact.kind);
    }
    let others: Vec<(String, String)> =
        db.all(sql!("SELECT DISTINCT kind, subject FROM fact_about"), ()).await.unwrap();
    for (kind, subject) in others {
        assert!(is_about(by_name[kind.as_str()].0.about, &subject), "{kind} is about {subject}");
    }
}

fn is_about(kinds: &[&str], subject: &str) -> bool {
    let kind = subject.split_once(':').map_or("", |(kind, _)| kind);
    kinds.contains(&"*") || kinds.contains(&kind)
}
