//! SQL texts and their parameters.
//!
//! Every text is written inside [`sql!`](crate::sql), which takes a literal only: that is the injection
//! rule, and it lets one test find and prepare every text on both engines. A text that must be built at
//! run time goes through [`Sql::assembled`], from fixed parts and `$n` only.

use std::borrow::Cow;

use kernel::Timestamp;

/// One SQL text in the subset that both engines understand, with `$1` parameters.
#[derive(Clone, Debug)]
pub struct Sql(pub(crate) Cow<'static, str>);

impl Sql {
    /// For [`sql!`](crate::sql) only.
    #[doc(hidden)]
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// A text put together from fixed parts and `$n` placeholders.
    ///
    /// INVARIANT: no part of it came from outside; every outside value is a parameter.
    #[must_use]
    pub fn assembled(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_sqlx(self) -> sqlx::SqlStr {
        match self.0 {
            Cow::Borrowed(text) => sqlx::SqlSafeStr::into_sql_str(text),
            Cow::Owned(text) => sqlx::SqlSafeStr::into_sql_str(sqlx::AssertSqlSafe(text)),
        }
    }
}

/// A fixed SQL text: `sql!("SELECT … WHERE id = $1")`.
#[macro_export]
macro_rules! sql {
    ($text:literal) => {
        $crate::Sql::fixed($text)
    };
}

/// `$1, $2, …`: `count` placeholders from `$first`, for lists (there is no common `= ANY`).
#[must_use]
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// A parameter. Typed nulls, because PostgreSQL wants to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// BOOLEAN.
    Bool(Option<bool>),
    /// BIGINT.
    Int(Option<i64>),
    /// TEXT.
    Text(Option<String>),
    /// BYTEA.
    Bytes(Option<Vec<u8>>),
}

macro_rules! into_value {
    ($($from:ty => $variant:ident($convert:expr);)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Value { Value::$variant(Some($convert(value))) }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Value { Value::$variant(value.map($convert)) }
        }
    )*};
}

into_value! {
    bool => Bool(|v| v);
    &bool => Bool(|v: &bool| *v);
    i64 => Int(|v| v);
    &i64 => Int(|v: &i64| *v);
    i32 => Int(i64::from);
    u32 => Int(i64::from);
    u8 => Int(i64::from);
    Timestamp => Int(|v: Timestamp| v.as_millis());
    &Timestamp => Int(|v: &Timestamp| v.as_millis());
    &str => Text(str::to_owned);
    &&str => Text(|v: &&str| (*v).to_owned());
    String => Text(|v| v);
    &String => Text(String::clone);
    &[u8] => Bytes(<[u8]>::to_vec);
    Vec<u8> => Bytes(|v| v);
    &Vec<u8> => Bytes(Vec::clone);
}

macro_rules! id_values {
    ($($id:ident)*) => { into_value! {$(
        kernel::id::$id => Text(|v: kernel::id::$id| v.to_string());
        &kernel::id::$id => Text(|v: &kernel::id::$id| v.to_string());
    )*} };
}
id_values! {
    UserId GroupId SessionId GrantId AuthenticatorId CredentialId FactId DeliveryId ReceiptId InvitationId
    ScimConnectionId NodeId TaskId
}
into_value! {
    kernel::Subject => Text(|v: kernel::Subject| v.to_string());
    &kernel::Subject => Text(|v: &kernel::Subject| v.to_string());
}

/// Parameters: a tuple of up to fifteen values, `()`, or a `Vec<Value>` built at run time.
pub trait Params: Send {
    /// In the order of `$1, $2, …`.
    fn values(self) -> Vec<Value>;
}

impl Params for () {
    fn values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl Params for Vec<Value> {
    fn values(self) -> Vec<Value> {
        self
    }
}

macro_rules! tuple_params {
    ($($name:ident)+) => {
        impl<$($name: Into<Value> + Send),+> Params for ($($name,)+) {
            #[expect(non_snake_case, reason = "one type parameter, one variable")]
            fn values(self) -> Vec<Value> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    };
}
tuple_params!(A);
tuple_params!(A B);
tuple_params!(A B C);
tuple_params!(A B C D);
tuple_params!(A B C D E);
tuple_params!(A B C D E F);
tuple_params!(A B C D E F G);
tuple_params!(A B C D E F G H);
tuple_params!(A B C D E F G H I);
tuple_params!(A B C D E F G H I J);
tuple_params!(A B C D E F G H I J K);
tuple_params!(A B C D E F G H I J K L);
tuple_params!(A B C D E F G H I J K L M);
tuple_params!(A B C D E F G H I J K L M N);
tuple_params!(A B C D E F G H I J K L M N O);

/// Binds values to a statement of one engine.
pub(crate) fn bind<DB: sqlx::Database>(values: Vec<Value>) -> Result<DB::Arguments, StoreErrorOnBind>
where
    DB::Arguments: sqlx::Arguments<Database = DB>,
    Option<bool>: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    Option<i64>: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    Option<String>: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    Option<Vec<u8>>: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
{
    use sqlx::Arguments as _;
    let mut arguments = DB::Arguments::default();
    for value in values {
        match value {
            Value::Bool(v) => arguments.add(v),
            Value::Int(v) => arguments.add(v),
            Value::Text(v) => arguments.add(v),
            Value::Bytes(v) => arguments.add(v),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}
pub(crate) type StoreErrorOnBind = sqlx::Error;

/// A JSON document in a TEXT column (`sqlx::types::Json` does not decode from TEXT on PostgreSQL).
#[derive(Clone, Debug, PartialEq)]
pub struct JsonText<T>(pub T);

impl<DB: sqlx::Database, T> sqlx::Type<DB> for JsonText<T>
where
    str: sqlx::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <str as sqlx::Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <str as sqlx::Type<DB>>::compatible(ty)
    }
}

impl<'r, DB: sqlx::Database, T: serde::de::DeserializeOwned> sqlx::Decode<'r, DB> for JsonText<T>
where
    &'r str: sqlx::Decode<'r, DB>,
{
    fn decode(value: <DB as sqlx::Database>::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(Self(serde_json::from_str(<&str as sqlx::Decode<DB>>::decode(value)?)?))
    }
}

impl<T: serde::Serialize> From<&JsonText<T>> for Value {
    fn from(value: &JsonText<T>) -> Value {
        // Our own types: maps have string keys and no value fails to serialise.
        Value::Text(Some(serde_json::to_string(&value.0).unwrap_or_default()))
    }
}
