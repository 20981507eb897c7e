//! Finding facts: about somebody, a door, an application, of a kind, in a time. For people who look back.
//!
//! What it is not: a feed. Ids and times say no order in which facts were committed, so what comes late may be missed
//! here; whoever must miss nothing follows `seq` ([`export`](crate::export)).

use std::time::Duration;

use kernel::{Subject, Timestamp};
use store::{Db, Sql, StoreError, StoredFact, Value};

/// What is looked for: all conditions hold.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The fact is about one of each of these.
    pub about: Vec<Vec<Subject>>,
    /// Its kind, or with a dot at the end the beginning of its kind: `user.deactivated`, `user.`.
    pub kind: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// So many at most.
    pub limit: u32,
}

/// The facts that fit, the newest first.
pub async fn search(db: &Db, search: &Search) -> Result<Vec<StoredFact>, StoreError> {
    let (text, values) = statement(search);
    db.all(Sql::assembled(text), values).await
}

/// An id is made a moment before or after its fact's time is read.
const SLACK: Duration = Duration::from_secs(60);

/// No id of that time or later comes before it (UUID version 7: RFC 9562, section 5.7).
fn first_id(at: Timestamp) -> String {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    format!("{:08x}-{:04x}-7000-8000-000000000000", millis >> 16, millis & 0xffff)
}

fn statement(search: &Search) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut place = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    let mut conditions = Vec::new();
    for subjects in &search.about {
        let places: Vec<String> = subjects.iter().map(|subject| place(subject.into())).collect();
        let places = places.join(", ");
        // Each half along its own index.
        conditions.push(format!(
            "id IN (SELECT id FROM fact WHERE subject IN ({places}) UNION ALL \
             SELECT fact FROM fact_about WHERE subject IN ({places}))"
        ));
    }
    match search.kind.as_deref() {
        Some(kind) if kind.ends_with('.') => {
            // What follows the dot in ASCII ends all that begins with it.
            let end = format!("{}/", kind.trim_end_matches('.'));
            conditions.push(format!("kind >= {}", place(kind.into())));
            conditions.push(format!("kind < {}", place(end.as_str().into())));
        }
        Some(kind) => conditions.push(format!("kind = {}", place(kind.into()))),
        None => {}
    }
    // The ids bound what is walked along; the times decide.
    if let Some(since) = search.since {
        conditions.push(format!("at >= {}", place(since.into())));
        conditions.push(format!("id >= {}", place(first_id(since.minus(SLACK)).as_str().into())));
    }
    if let Some(until) = search.until {
        conditions.push(format!("at < {}", place(until.into())));
        conditions.push(format!("id < {}", place(first_id(until.plus(SLACK)).as_str().into())));
    }
    let limit = place(search.limit.into());
    let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
    // Ids begin with the time, so that reading backwards along them stops at the limit; of one kind, along its index.
    let order =
        match search.about.is_empty() && search.kind.as_deref().is_some_and(|kind| !kind.ends_with('.')) {
            true => "at DESC, id DESC",
            false => "id DESC",
        };
    let text = format!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE {conditions} ORDER BY {order} LIMIT {limit}"
    );
    (text, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_a_parameter_and_never_part_of_the_text() {
        let evil = "x' OR 1=1 --";
        let search = Search {
            about: vec![vec![Subject::new("user", evil)], vec![Subject::new("door_system", evil)]],
            kind: Some(format!("{evil}.")),
            since: Some(Timestamp::from_millis(1)),
            until: Some(Timestamp::from_millis(2)),
            limit: 3,
        };
        let (text, values) = statement(&search);
        assert!(!text.contains("OR 1=1"), "{text}");
        assert_eq!(values.len(), 9);
        assert!(text.ends_with("ORDER BY id DESC LIMIT $9"), "{text}");
    }

    #[test]
    fn ids_are_bounded_by_their_time() {
        let ctx = kernel::Ctx::for_tests(1);
        let (now, id) = (ctx.now(), kernel::id::FactId::new(&ctx).to_string());
        assert!(first_id(now) <= id && id < first_id(now.plus(Duration::from_millis(1))), "{id}");
        assert_eq!(first_id(Timestamp::from_millis(-5)), first_id(Timestamp::from_millis(0)));
    }
}
