//! Events in ArcSight's form at receivers that nobody here wrote, read as its guide says and not as they were written.

use std::collections::{BTreeMap, BTreeSet};

use audit::export::{Export, Format};
use parts::{Collector, Received};
use store::{StoredFact, follower};

use super::{Running, every_id, export, note_nasty, rsyslog, syslog, syslog_ng, until};
use crate::house::{House, on_both_engines};
use crate::journal::ring;

on_both_engines! {
    rsyslog_reads_every_event_as_it_is
    syslog_ng_reads_every_event_as_it_is
}

async fn rsyslog_reads_every_event_as_it_is(house: House) {
    let Some((_folder, rsyslog)) = rsyslog() else { return };
    reads_every_event_as_it_is(&house, rsyslog).await;
}

async fn syslog_ng_reads_every_event_as_it_is(house: House) {
    let Some((_folder, syslog_ng)) = syslog_ng() else { return };
    reads_every_event_as_it_is(&house, syslog_ng).await;
}

struct Event {
    header: Vec<String>,
    extension: BTreeMap<String, String>,
}

/// Where this character stands without a backslash before it.
fn bare(text: &str, wanted: char) -> Vec<usize> {
    let (mut found, mut is_escaped) = (Vec::new(), false);
    for (at, c) in text.char_indices() {
        if c == wanted && !is_escaped {
            found.push(at);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    found
}

fn unescaped(text: &str) -> String {
    let (mut read, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        read.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(c) => c,
                None => '\\',
            },
            c => c,
        });
    }
    read
}

impl Event {
    /// Seven fields that a pipe ends, then names with values: a bare equals sign is only behind a name, which a space
    /// separates from the value before it. `None` for a line that is only half there.
    fn read(text: &str) -> Option<Self> {
        let pipes = bare(text, '|');
        let mut from = 0;
        let mut header = Vec::new();
        for at in pipes.get(..7)? {
            header.push(unescaped(&text[from..*at]));
            from = at + 1;
        }
        let rest = &text[from..];
        let equals = bare(rest, '=');
        let names: Vec<usize> =
            equals.iter().map(|at| rest[..*at].rfind(' ').map_or(0, |space| space + 1)).collect();
        let mut extension = BTreeMap::new();
        for (number, (name, equals)) in names.iter().zip(&equals).enumerate() {
            let end = names.get(number + 1).map_or(rest.len(), |next| next - 1);
            let twice = extension.insert(rest[*name..*equals].to_owned(), unescaped(&rest[equals + 1..end]));
            assert_eq!(twice, None, "{text}");
        }
        Some(Self { header, extension })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.extension.get(name).map(String::as_str)
    }

    fn id(&self) -> Option<String> {
        self.get("externalId").map(str::to_owned)
    }
}

async fn reads_every_event_as_it_is(house: &House, mut collector: Collector) {
    let ring = ring(&house.one).await;
    collector.start();
    let target = syslog(&collector.address(), "localhost");
    let running =
        Running::start(&house.one, &ring, Export { enterprise: Some(32_473), ..export(target, Format::Cef) });
    note_nasty(&house.one, 0).await;
    let event = |received: &Received| Event::read(&received.text);
    until("every fact at the receiver", async || {
        let expect = every_id(&house.one).await;
        let got: BTreeSet<String> =
            collector.received().iter().filter_map(|received| event(received)?.id()).collect();
        got == expect
    })
    .await;
    running.end().await;
    let facts = follower::read(&house.one, 0, 10_000).await.unwrap();
    let facts: BTreeMap<String, StoredFact> =
        facts.into_iter().map(|fact| (fact.id.to_string(), fact)).collect();
    let (mut whole, mut longest) = (0, 0);
    for received in collector.received() {
        let event = event(&received).unwrap();
        let fact = &facts[&event.id().unwrap()];
        assert_eq!(
            (event.header.len(), &event.header[..3]),
            (7, &["CEF:0", "Cardea", "Cardea"].map(String::from)[..])
        );
        assert_eq!((&event.header[4], &received.id), (&fact.kind, &fact.kind));
        for (name, value) in [
            ("rt", fact.at.as_millis().to_string()),
            ("cn1", fact.seq.unwrap().to_string()),
            ("cs1", fact.subject.clone()),
            ("cs2", fact.actor.clone()),
            ("cs4", fact.digest.clone()),
        ] {
            assert_eq!(event.get(name), Some(value.as_str()), "{name} in {}", received.text);
        }
        longest = longest.max(received.text.len());
        match event.get("msg") {
            Some(body) => {
                assert_eq!(Some(body), fact.body.as_deref());
                whole += 1;
            }
            None => assert!(fact.body.as_ref().unwrap().len() > 6_500, "{}", received.text),
        }
    }
    assert!(whole > 40 && longest > 7_500, "{whole} came whole, the longest had {longest} bytes");
}
