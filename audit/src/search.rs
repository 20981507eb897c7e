//! Finding facts: about somebody, a door, an application, of a kind, in a time. For people who look back.
//!
//! What it is not: a feed. Ids and times say no order in which facts were committed, so what comes late may be missed
//! here; whoever must miss nothing follows `seq` ([`export`](crate::export)).

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
    conditions.extend(search.since.map(|since| format!("at >= {}", place(since.into()))));
    conditions.extend(search.until.map(|until| format!("at < {}", place(until.into()))));
    let limit = place(search.limit.into());
    let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
    // Ids begin with the time, so that reading backwards along them stops at the limit.
    let text = format!(
        "SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact \
         WHERE {conditions} ORDER BY id DESC LIMIT {limit}"
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
        assert_eq!(values.len(), 7);
        assert!(text.ends_with("ORDER BY id DESC LIMIT $7"), "{text}");
    }
}
