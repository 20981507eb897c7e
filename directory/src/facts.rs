//! The facts that rooms hear of each other by. Bodies are versioned; names are for ever.
//!
//! Envelopes carry ids only. A body may name people and is erased when its time is over.
//!
//! To add a kind: its name, what it is about and its fields below; the documentation of each is what the catalogue
//! of facts says of it.

use kernel::id::CredentialId;
use kernel::{Day, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{FactBody, FactKind};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $kind:literal about [$($about:literal),+] $(revokes $revokes:literal)? { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
            pub struct $name { $($(#[$field_doc])* pub $field: $ty,)* }
            impl FactBody for $name {
                const KIND: &'static str = $kind;
                const ABOUT: &'static [&'static str] = &[$($about),+];
                $(const REVOKES: bool = $revokes;)?
            }
        )*
        /// Every kind of this list.
        pub const KINDS: &[&str] = &[$($kind),*];

        /// The same, as the catalogue has them.
        pub const FACTS: &[FactKind] = &[$(FactKind::of::<$name>()),*];
    };
}

facts! {
    /// An HR system or an administrator made an account.
    UserCreated = "user.created" about ["user"] {
        /// The name to sign in with.
        user_name: String,
        /// Whether it may sign in.
        active: bool,
    }
    /// Attributes of an account changed.
    UserChanged = "user.changed" about ["user"] {
        /// Their names, without values.
        attributes: Vec<String>,
    }
    /// An account lost everything it could do; its sessions, grants and codes are dead and its credentials
    /// are on no list any more.
    UserDeactivated = "user.deactivated" about ["user", "client", "credential"] revokes true {
        /// What ended with it.
        ended: Ended,
    }
    /// An account may sign in again. No session or grant returns; credentials return by policy.
    UserActivated = "user.activated" about ["user"] {}
    /// An account is gone for good, and so are its credentials.
    UserDeleted = "user.deleted" about ["user", "client", "credential"] revokes true {
        /// What ended with it.
        ended: Ended,
    }
    /// A group was made.
    GroupCreated = "group.created" about ["group", "user"] {
        /// Its name.
        display_name: String,
        /// Ids of members.
        members: Vec<String>,
    }
    /// A group's name, attributes or members changed.
    GroupChanged = "group.changed" about ["group", "user"] {
        /// Names of attributes.
        attributes: Vec<String>,
        /// Ids of members that joined.
        added: Vec<String>,
        /// Ids of members that left.
        removed: Vec<String>,
    }
    /// A group is gone.
    GroupDeleted = "group.deleted" about ["group", "user"] revokes true {
        /// Ids of those who were members.
        members: Vec<String>,
    }
    /// A single-use link was made with which a person sets a password.
    InvitationCreated = "invitation.created" about ["user"] {
        /// Its id.
        invitation: String,
        /// `invitation`, `recovery`.
        #[serde(default = "invitation")]
        purpose: String,
    }
    /// A password was set.
    PasswordSet = "authenticator.password-set" about ["user", "client"] {
        /// The id of the invitation that was used up for it.
        invitation: Option<String>,
        /// What ended with the earlier password.
        #[serde(default)]
        ended: EndedSignIns,
    }
    /// A user has one more way to sign in.
    AuthenticatorAdded = "authenticator.added" about ["user", "authenticator"] {
        /// `totp`, `passkey`.
        kind: String,
    }
    /// A way to sign in was taken away.
    AuthenticatorRemoved = "authenticator.removed" about ["user", "authenticator"] {
        /// Its kind.
        kind: String,
    }
    /// A user proved to have an authenticator; what that opened is told by the session.
    AuthenticatorUsed = "authenticator.used" about ["user", "authenticator"] {
        /// Its kind.
        kind: String,
        /// How many recovery codes are left.
        left: Option<i64>,
    }
    /// A user has new recovery codes, and no older ones any more.
    RecoveryCodesMade = "authenticator.recovery-codes-made" about ["user"] {
        /// How many.
        count: i64,
    }
    /// The password that was just given was hashed anew, at today's cost. It is the same password.
    PasswordRehashed = "authenticator.password-rehashed" about ["user"] {}
    /// A browser's sign-in succeeded.
    SessionOpened = "session.opened" about ["user", "session", "client"] {
        /// Its id.
        session: String,
        /// For which client, if for one.
        client: Option<String>,
        /// The rung reached.
        assurance: String,
        /// Methods used (RFC 8176).
        amr: Vec<String>,
        /// Why policy asked for this much and no more.
        because: Vec<String>,
        /// As its owner would call the browser, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    }
    /// The person of a session signed in again: another cookie, the same session, and its grants stay.
    SessionRenewed = "session.renewed" about ["user", "session", "client"] {
        /// Its id.
        session: String,
        /// For which client, if for one.
        client: Option<String>,
        /// The rung reached this time.
        assurance: String,
        /// Methods used this time (RFC 8176).
        amr: Vec<String>,
        /// Why policy asked for this much and no more.
        because: Vec<String>,
        /// As its owner would call the browser, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    }
    /// A sign-in did not succeed.
    SignInRefused = "sign-in.refused" about ["user", "client"] {
        /// `wrong-credentials`, `wrong-factor` (of somebody signed in), `inactive`, `other-user` (than the client
        /// asked for), `denied-by-policy`, `assurance-too-low`, `consent-denied` (by the person); `throttled-account`,
        /// `throttled-factor` and `throttled-address` once in a window, when it begins.
        reason: String,
        /// For which client, if for one.
        client: Option<String>,
        /// What policy says about it.
        because: Vec<String>,
        /// As its owner would call the browser, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    }
    /// A session ended.
    SessionEnded = "session.ended" about ["user", "session", "client"] revokes true {
        /// Its id.
        session: String,
        /// How many grants ended with it.
        grants: i64,
        /// As its owner would call the browser, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    }
    /// A user was signed in to a client.
    GrantCreated = "grant.created" about ["user", "grant", "client"] {
        /// Its id.
        grant: String,
        /// The client.
        client: String,
        /// What was asked for.
        scope: String,
    }
    /// A client exchanged the code of a grant for tokens.
    GrantRedeemed = "grant.redeemed" about ["user", "grant", "client"] {
        /// Its id.
        grant: String,
        /// The client.
        client: String,
        /// `jti` of the access token.
        token: String,
    }
    /// A client exchanged a refresh token of a grant for new tokens.
    GrantRefreshed = "grant.refreshed" about ["user", "grant", "client"] {
        /// Its id.
        grant: String,
        /// The client.
        client: String,
        /// `jti` of the access token.
        token: String,
        /// Whether the refresh token had been answered a moment ago: that answer may have been lost.
        again: bool,
    }
    /// A grant ended: its tokens are dead.
    GrantEnded = "grant.ended" about ["user", "grant", "client"] revokes true {
        /// Its id.
        grant: String,
        /// `revoked-by-client`, `code-reused`, `code-misused` (wrong client, redirect URI or verifier),
        /// `code-expired`, `refresh-reused`; `denied-by-policy` and `assurance-too-low` (when a code or refresh token
        /// was presented).
        reason: String,
    }
    /// A service was given a token for itself. Such tokens die by themselves and nothing is kept of them, so this is
    /// noted of the first, and once a minute while it goes on.
    ClientSignedIn = "client.signed-in" about ["client"] {
        /// `jti` of the access token.
        token: String,
    }
    /// A person lets an application of somebody else know something.
    ConsentGiven = "consent.given" about ["user", "client"] {
        /// The client.
        client: String,
        /// What was consented to this time.
        scope: String,
    }
    /// A person lets an application know nothing any more: what it was granted is dead.
    ConsentWithdrawn = "consent.withdrawn" about ["user", "client"] revokes true {
        /// The client.
        client: String,
        /// All that had been consented to.
        scope: String,
        /// How many grants ended with it.
        grants: i64,
    }
    /// A card was given to a user.
    CredentialIssued = "credential.issued" about ["credential", "user"] {
        /// Its id.
        credential: CredentialId,
        /// The pool it came from.
        pool: String,
    }
    /// A credential was taken off every list, and may come back.
    CredentialSuspended = "credential.suspended" about ["credential", "user"] revokes true {
        /// Its id.
        credential: CredentialId,
        /// The person who did it, where a hand did.
        who: Option<String>,
    }
    /// A suspended credential is valid again.
    CredentialResumed = "credential.resumed" about ["credential", "user"] {
        /// Its id.
        credential: CredentialId,
        /// The person who did it, where a hand did.
        who: Option<String>,
    }
    /// A credential was taken off every list for good.
    CredentialRevoked = "credential.revoked" about ["credential", "user"] revokes true {
        /// Its id.
        credential: CredentialId,
        /// The person who did it, where a hand did.
        who: Option<String>,
    }
    /// Somebody said from when to when a credential opens anything.
    CredentialValidityChanged = "credential.validity-changed" about ["credential", "user"] {
        /// Its id.
        credential: CredentialId,
        /// The first day, in the local time of each door.
        valid_from: Option<Day>,
        /// From when on it opens nothing, in milliseconds.
        valid_until: Option<Timestamp>,
        /// The person who did it, where a hand did.
        who: Option<String>,
    }
    /// Policy gives a user an access profile.
    EntitlementGranted = "entitlement.granted" about ["user", "credential"] {
        /// Its name.
        access_profile: String,
        /// Which policies say so.
        because: String,
    }
    /// Policy no longer gives a user an access profile.
    EntitlementEnded = "entitlement.ended" about ["user", "credential"] revokes true {
        /// Its name.
        access_profile: String,
    }
    /// A link was shown with which the first administrator is made.
    SetUpOffered = "set-up.offered" about ["group"] {
        /// Until when it is good, in milliseconds.
        until: i64,
    }
    /// Somebody became the first administrator.
    SetUpDone = "set-up.done" about ["user", "group"] {}
    /// An administrator changed a part of the configuration that lives in the database.
    ConfigurationChanged = "configuration.changed" about [
        "client", "scim_connection", "policy", "area", "schedule", "door_system", "access_point", "access_profile", "card_pool"
    ] {
        /// `created`, `changed`, `deleted`.
        change: String,
        /// Names of what changed in it; secrets only by name.
        fields: Vec<String>,
    }
}

/// Older facts knew no other purpose.
fn invitation() -> String {
    "invitation".into()
}

/// Sign-ins that died together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedSignIns {
    /// Browser sessions.
    pub sessions: i64,
    /// Grants, and so every token of theirs.
    pub grants: i64,
    /// Authorization codes not yet redeemed.
    pub codes: i64,
}

/// What died with an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// Browser sessions.
    pub sessions: i64,
    /// Grants, and so every token of theirs.
    pub grants: i64,
    /// Authorization codes not yet redeemed.
    pub codes: i64,
    /// Invitations not yet used.
    pub invitations: i64,
    /// Credentials taken off every list.
    pub credentials: Vec<CredentialId>,
}
