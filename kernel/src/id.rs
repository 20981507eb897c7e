//! Typed ids. Each is a UUIDv7 made from [`Clock`](crate::Clock) and [`Entropy`](crate::Entropy), never
//! reused, stored as TEXT. A function that takes a [`UserId`] cannot be handed a [`ClientId`].
//!
//! To add a kind: one line in the `typed_ids!` call below.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Ctx, Timestamp};

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// What this id names, as facts and logs write it.
            pub const KIND: &'static str = $kind;

            /// A new id: time-ordered by the context's clock, random by its entropy.
            #[must_use]
            pub fn new(ctx: &Ctx) -> Self {
                let mut random = [0u8; 10];
                ctx.entropy.fill(&mut random);
                let millis = u64::try_from(ctx.now().as_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// The instant from which this id was made, to the millisecond.
            #[must_use]
            pub fn made_at(self) -> Timestamp {
                let bytes = self.0.as_bytes();
                let millis = bytes[..6].iter().fold(0i64, |sum, byte| sum << 8 | i64::from(*byte));
                Timestamp::from_millis(millis)
            }

            /// The same id as the subject of a fact or a delivery.
            #[must_use]
            pub fn subject(self) -> Subject {
                Subject { kind: $kind.into(), id: self.to_string() }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", $kind, self.0)
            }
        }

        /// Accepts only the canonical lower-case hyphenated form, so one id has one spelling.
        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let id = Uuid::try_parse(text).map_err(|_| NotAnId($kind))?;
                let mut canonical = [0u8; 36];
                if id.hyphenated().encode_lower(&mut canonical) == text { Ok(Self(id)) } else { Err(NotAnId($kind)) }
            }
        }

        impl<DB: sqlx_core::database::Database> sqlx_core::types::Type<DB> for $name
        where
            str: sqlx_core::types::Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <str as sqlx_core::types::Type<DB>>::type_info()
            }
            fn compatible(ty: &DB::TypeInfo) -> bool {
                <str as sqlx_core::types::Type<DB>>::compatible(ty)
            }
        }

        impl<'r, DB: sqlx_core::database::Database> sqlx_core::decode::Decode<'r, DB> for $name
        where
            &'r str: sqlx_core::decode::Decode<'r, DB>,
        {
            fn decode(
                value: <DB as sqlx_core::database::Database>::ValueRef<'r>,
            ) -> Result<Self, sqlx_core::error::BoxDynError> {
                Ok(<&str as sqlx_core::decode::Decode<DB>>::decode(value)?.parse()?)
            }
        }
    )*};
}

typed_ids! {
    /// A person's account. It is also the `sub` of OpenID Connect and the SCIM `id`.
    UserId = "user";
    /// A set of users; also the SCIM `id`.
    GroupId = "group";
    /// One browser's sign-in: `sid` in tokens.
    SessionId = "session";
    /// What a user allowed a client: the family of tokens made from one authorization code.
    GrantId = "grant";
    /// What a user signs in with: password, TOTP, passkey, recovery code.
    AuthenticatorId = "authenticator";
    /// What a person carries to a door: card, fob, key, PIN.
    CredentialId = "credential";
    /// One thing that happened.
    FactId = "fact";
    /// One fact on its way to one sink, or one row of a reconciler.
    DeliveryId = "delivery";
    /// The evidence that a revocation reached its doors.
    ReceiptId = "receipt";
    /// What somebody does about a revocation that is not proven.
    TaskId = "task";
    /// A single-use link that lets a person set a first password.
    InvitationId = "invitation";
    /// A SCIM client (an HR system) that may write here.
    ScimConnectionId = "scim_connection";
    /// A process that serves: holder of leases.
    NodeId = "node";
}

/// The text is not a canonical id of the kind named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {0} id: expected a lower-case UUID")]
pub struct NotAnId(&'static str);

/// What a fact or delivery is about: a kind and an id, as texts.
///
/// Objects that an administrator names (a client, a door system, an area) use their name as id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The kind of thing, e.g. `user`, `door_system`.
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl Subject {
    /// A subject from a kind and anything that prints as its id.
    #[must_use]
    pub fn new(kind: impl Into<String>, id: impl fmt::Display) -> Self {
        Self { kind: kind.into(), id: id.to_string() }
    }
}

/// `kind:id`, the form in which journal columns hold it. A kind never contains a colon.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

impl FromStr for Subject {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (kind, id) = text.split_once(':').ok_or(NotAnId("subject"))?;
        Ok(Self { kind: kind.into(), id: id.into() })
    }
}

/// Who caused a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The product itself: a timer, a reconciler, a rule.
    System,
    /// A person, by account.
    User(UserId),
    /// An HR system, by its SCIM connection.
    ScimConnection(ScimConnectionId),
    /// An application, by client id.
    Client(String),
    /// A door system, by name.
    DoorSystem(String),
    /// A person at the command line, who holds the config and the sealing key.
    Operator,
    /// Somebody not signed in.
    Anonymous,
}

/// `kind` or `kind:id`, the form in which the journal holds it.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::System => f.write_str("system"),
            Actor::User(id) => write!(f, "user:{id}"),
            Actor::ScimConnection(id) => write!(f, "scim_connection:{id}"),
            Actor::Client(id) => write!(f, "client:{id}"),
            Actor::DoorSystem(name) => write!(f, "door_system:{name}"),
            Actor::Operator => f.write_str("operator"),
            Actor::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// One request or command on its way through the house; in each log line and fact that it causes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// A fresh id: 96 random bits in base64url.
    #[must_use]
    pub fn new(ctx: &Ctx) -> Self {
        use base64::Engine as _;
        let mut random = [0u8; 12];
        ctx.entropy.fill(&mut random);
        Self(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuid_v7_in_the_order_of_the_clock() {
        let ctx = Ctx::for_tests(7);
        let first = UserId::new(&ctx);
        ctx.advance_for_tests(std::time::Duration::from_millis(1));
        let second = UserId::new(&ctx);
        assert!(first < second);
        assert_eq!(first.made_at(), Timestamp::from_millis(second.made_at().as_millis() - 1));
        assert_eq!(first.to_string().as_bytes()[14], b'7', "version nibble");
        assert_eq!(first.to_string().parse::<UserId>(), Ok(first));
    }

    #[test]
    fn one_id_has_one_spelling() {
        let id = UserId::new(&Ctx::for_tests(7)).to_string();
        for other in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            String::new(),
        ] {
            assert!(other.parse::<UserId>().is_err(), "{other}");
        }
    }

    #[test]
    fn subjects_print_and_parse() {
        let subject = Subject::new("door_system", "hq:north");
        assert_eq!(subject.to_string(), "door_system:hq:north");
        assert_eq!(subject.to_string().parse(), Ok(subject));
    }
}
