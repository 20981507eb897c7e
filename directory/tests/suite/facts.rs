//! Facts: each kind reads back as it was recorded, says its version, and revokes exactly when it takes something away.

use std::collections::BTreeSet;

use directory::facts::*;
use kernel::id::CredentialId;
use kernel::{Subject, Timestamp};
use store::{Fact, FactBody, Origin, StoredFact, Tx, sql};

use crate::house::House;

on_both_engines! {
    every_kind_reads_back_and_says_its_version,
}

/// Those that take something away from somebody.
const REVOKING: [&str; 9] = [
    "user.deactivated",
    "user.deleted",
    "group.deleted",
    "session.ended",
    "grant.ended",
    "consent.withdrawn",
    "credential.suspended",
    "credential.revoked",
    "entitlement.ended",
];

/// Whether a stored fact reads back as what was recorded.
type ReadsBack = Box<dyn Fn(&StoredFact) -> bool + Send>;

/// Records one fact of a kind, and remembers how to see that it reads back.
struct Recorded<'a> {
    tx: &'a mut Tx,
    checks: Vec<(&'static str, ReadsBack)>,
}

impl Recorded<'_> {
    fn one<B: FactBody + PartialEq + Send + 'static>(&mut self, body: B) {
        let fact = Fact::new(Subject::new("test", B::KIND), &body);
        assert_eq!(fact.revokes, B::REVOKES);
        assert_eq!(B::REVOKES, REVOKING.contains(&B::KIND), "{}", B::KIND);
        self.tx.record(fact);
        let reads_back = move |stored: &StoredFact| {
            let json: serde_json::Value = serde_json::from_str(stored.body.as_deref().unwrap()).unwrap();
            json["v"] == B::VERSION
                && stored.read::<B>().as_ref() == Some(&body)
                && stored.body_matches_digest()
        };
        self.checks.push((B::KIND, Box::new(reads_back)));
    }
}

fn record_people(recorded: &mut Recorded<'_>, credential: CredentialId) {
    let text = |text: &str| text.to_owned();
    let ended = Ended { sessions: 1, grants: 2, codes: 3, invitations: 4, credentials: vec![credential] };
    recorded.one(UserCreated { user_name: text("Zoë \"Z\""), active: true });
    recorded.one(UserChanged { attributes: vec![text("title")] });
    recorded.one(UserDeactivated { ended: ended.clone() });
    recorded.one(UserActivated {});
    recorded.one(UserDeleted { ended });
    recorded.one(GroupCreated { display_name: text("g"), members: vec![text("a")] });
    recorded.one(GroupChanged {
        attributes: vec![text("x")],
        added: vec![text("a")],
        removed: vec![text("b")],
    });
    recorded.one(GroupDeleted { members: vec![] });
    recorded.one(InvitationCreated { invitation: text("i"), purpose: text("recovery") });
    let ended = EndedSignIns { sessions: 1, grants: 2, codes: 3 };
    recorded.one(PasswordSet { invitation: None, ended });
    recorded.one(PasswordRehashed {});
    recorded.one(AuthenticatorAdded { kind: text("totp") });
    recorded.one(AuthenticatorUsed { kind: text("recovery-code"), left: Some(9) });
    recorded.one(AuthenticatorRemoved { kind: text("passkey") });
    recorded.one(RecoveryCodesMade { count: 10 });
}

fn record_access(recorded: &mut Recorded<'_>, credential: CredentialId) {
    let text = |text: &str| text.to_owned();
    recorded.one(SessionOpened {
        session: text("s"),
        client: Some(text("c")),
        assurance: text("aal1"),
        amr: vec![text("pwd")],
        because: vec![text("p")],
        device: Some(text("Firefox, Linux")),
    });
    recorded.one(SessionRenewed {
        session: text("s"),
        client: None,
        assurance: text("aal1"),
        amr: vec![text("pwd")],
        because: vec![text("p")],
        device: None,
    });
    recorded.one(SignInRefused { reason: text("inactive"), client: None, because: vec![], device: None });
    recorded.one(SessionEnded { session: text("s"), grants: 7, device: Some(text("Edge, Windows")) });
    recorded.one(GrantCreated { grant: text("g"), client: text("c"), scope: text("openid") });
    recorded.one(GrantRedeemed { grant: text("g"), client: text("c"), token: text("jti") });
    let (grant, client, token) = (text("g"), text("c"), text("jti"));
    recorded.one(GrantRefreshed { grant, client, token, again: true });
    recorded.one(GrantEnded { grant: text("g"), reason: text("code-reused") });
    recorded.one(ClientSignedIn { token: text("jti") });
    recorded.one(ConsentGiven { client: text("c"), scope: text("openid") });
    recorded.one(ConsentWithdrawn { client: text("c"), scope: text("openid"), grants: 2 });
    recorded.one(CredentialIssued { credential, pool: text("staff") });
    recorded.one(CredentialSuspended { credential, who: None });
    recorded.one(CredentialResumed { credential, who: None });
    recorded.one(CredentialRevoked { credential, who: None });
    let (valid_from, valid_until) =
        ("2026-11-01".parse().ok(), Some(Timestamp::from_millis(1_795_000_000_001)));
    recorded.one(CredentialValidityChanged { credential, valid_from, valid_until, who: Some(text("w")) });
    recorded.one(EntitlementGranted { access_profile: text("p"), because: text("b") });
    recorded.one(EntitlementEnded { access_profile: text("p") });
    recorded.one(SetUpOffered { until: 1 });
    recorded.one(SetUpDone {});
    recorded.one(ConfigurationChanged { change: text("created"), fields: vec![text("f")] });
}

async fn every_kind_reads_back_and_says_its_version(house: House) {
    let db = &house.db;
    let mut tx = db.write(Origin::system()).await.unwrap();
    let mut recorded = Recorded { tx: &mut tx, checks: Vec::new() };
    let credential = CredentialId::new(db.ctx());
    record_people(&mut recorded, credential);
    record_access(&mut recorded, credential);
    let checks = recorded.checks;
    tx.commit().await.unwrap();
    let text =
        sql!("SELECT id, at, kind, subject, actor, request_id, digest, salt, body, seq, chain FROM fact");
    let stored: Vec<StoredFact> = house.all(text).await;
    assert_eq!(stored.len(), checks.len());
    for fact in &stored {
        for (kind, reads_back) in &checks {
            assert_eq!(
                *kind == fact.kind,
                kind == &fact.kind.as_str() && reads_back(fact),
                "{kind}: {fact:?}"
            );
        }
    }
    let recorded: BTreeSet<&str> = checks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(recorded, KINDS.iter().copied().collect(), "every kind of the directory is tried here");
    assert_eq!(recorded.len(), KINDS.len(), "and each has a name of its own");
    for kind in KINDS {
        let (noun, happened) = kind.split_once('.').unwrap();
        let is_name =
            |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(is_name(noun) && is_name(happened), "{kind}");
    }
}
