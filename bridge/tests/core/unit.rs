//! What no world needs: the routes.

use bridge::{configuration, entitlement, placement, receipt};
use directory::facts::{
    ConfigurationChanged, CredentialSuspended, EntitlementEnded, EntitlementGranted, UserActivated,
    UserDeactivated,
};
use kernel::Ctx;
use kernel::Subject;
use kernel::id::{CredentialId, UserId};
use store::{Db, DbConfig, Fact, Origin, Sinks, sql};

/// Which deliveries a fact makes: `(sink, subject, priority)`.
async fn deliveries(facts: Vec<Fact>) -> Vec<(String, String, i64)> {
    let folder = tempfile::tempdir().expect("a folder");
    let sinks = Sinks::default();
    entitlement::route(&sinks);
    configuration::route(&sinks);
    receipt::route(&sinks);
    placement::route(&sinks, "hq");
    let config = DbConfig::Sqlite { path: folder.path().join("cardea.db") };
    let db = Db::open(&config, Ctx::for_tests(1), sinks).await.expect("the database opens");
    let mut tx = db.write(Origin::system()).await.expect("a transaction");
    for fact in facts {
        tx.record(fact);
    }
    tx.commit().await.expect("it commits");
    let text = sql!("SELECT sink, subject, priority FROM delivery ORDER BY sink, subject");
    let found = db.all(text, ()).await.expect("rows");
    db.close().await;
    found
}

#[tokio::test]
async fn what_takes_away_overtakes_at_every_door_it_concerns() {
    let ctx = Ctx::for_tests(2);
    let (user, card) = (UserId::new(&ctx), CredentialId::new(&ctx));
    let (user_text, card_text) = (user.subject().to_string(), card.subject().to_string());
    let row = |sink: &str, subject: &str, priority: i64| (sink.to_owned(), subject.to_owned(), priority);
    let ended = || UserDeactivated { ended: directory::facts::Ended::default() };
    let profile = || "staff".to_owned();
    let configured = || ConfigurationChanged { change: "changed".into(), fields: Vec::new() };
    for (fact, expect) in [
        (
            Fact::new(card.subject(), &CredentialSuspended { credential: card, who: None })
                .about(user.subject()),
            vec![row("door:hq", &card_text, 1)],
        ),
        (
            Fact::new(user.subject(), &EntitlementEnded { access_profile: profile() }).about(card.subject()),
            vec![row("door:hq", &card_text, 1)],
        ),
        (
            Fact::new(
                user.subject(),
                &EntitlementGranted { access_profile: profile(), because: String::new() },
            )
            .about(card.subject()),
            vec![row("door:hq", &card_text, 0)],
        ),
        (
            Fact::new(user.subject(), &ended()).about(card.subject()),
            vec![row("entitlement", &user_text, 0), row("receipt", &user_text, 0)],
        ),
        (Fact::new(user.subject(), &UserActivated {}), vec![row("entitlement", &user_text, 0)]),
        (Fact::new(Subject::new("client", "app"), &configured()), vec![]),
        (
            Fact::new(Subject::new("access_profile", "staff"), &configured()),
            vec![row("configuration", "configuration:all", 0)],
        ),
    ] {
        let kind = fact.kind;
        assert_eq!(deliveries(vec![fact]).await, expect, "{kind}");
    }
}
