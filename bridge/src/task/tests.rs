//! What a look costs, by SQLite's plans (PostgreSQL's depend on its statistics); and how doors are noted.

use kernel::Ctx;
use store::{Db, DbConfig, Sinks, Sql};

use super::watch::{OPEN, PASSED, WAITING};
use super::{Named, OpenDoor, json, named};

async fn plan(db: &Db, text: &Sql) -> Vec<String> {
    let explain = Sql::assembled(format!("EXPLAIN QUERY PLAN {}", text.text()));
    let steps: Vec<(i64, i64, i64, String)> = db.all(explain, ()).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect()
}

#[test]
fn what_is_noted_of_a_door_covers_it_until_it_leads_to_something_worse() {
    let door = |class: Option<i64>| OpenDoor {
        access_point: "yard".into(),
        area: class.map(|class| format!("class {class}")),
        protection_class: class,
    };
    for (then, now, is_covered) in [
        (Some(1), Some(1), true),
        (Some(1), Some(-1), true),
        (Some(1), Some(2), false),
        // It is not configured any more.
        (Some(1), None, true),
        (None, None, true),
        (None, Some(-1), false),
    ] {
        let noted = named(&json(&[Named::from(&door(then))]));
        assert_eq!(noted.len(), 1);
        assert_eq!(noted[0].covers(&door(now)), is_covered, "{then:?} then, {now:?} now");
        assert!(!noted[0].covers(&OpenDoor { access_point: "main".into(), ..door(now) }));
    }
    // As it was written before.
    let old = Named { access_point: "yard".into(), protection_class: None };
    assert_eq!((named(r#"["yard"]"#), named("?")), (vec![old], vec![]));
}

#[tokio::test]
async fn a_look_reads_what_waits_and_what_is_open_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
    let db = Db::open(&config, Ctx::for_tests(1), Sinks::default()).await.unwrap();
    for (text, indexes) in [
        (WAITING, &["delivery_due (sink=? AND priority=? AND (due_at", "task_credential_id_door_system"][..]),
        (OPEN, &["task_credential_id_door_system", "delivery_sink_subject (sink=? AND subject=?)"]),
        (PASSED, &["task_accepted_until"]),
    ] {
        let steps = plan(&db, &text).await;
        for index in indexes {
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:#?}");
        }
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "sorted: {steps:#?}");
        // Every row of a table that grows: what is done, proven or closed.
        let reads_all = |step: &&String| {
            ["d", "delivery", "p", "t", "task"].iter().any(|name| {
                step.as_str() == format!("SCAN {name}")
                    || step.starts_with(&format!("SCAN {name} USING INDEX sqlite"))
            })
        };
        assert_eq!(steps.iter().find(reads_all), None, "{steps:#?}");
    }
}
