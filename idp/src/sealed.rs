//! What a browser carries from one request to the next and can neither read nor change: a challenge and its state, a
//! seed that is not in an app yet, when a sign-in began.
//!
//! It is sealed for one purpose and one browser, and has an end. So looking at a page stores nothing, and nobody
//! fills our memory by looking; what must work only once leaves a mark when it is used ([`Kept::use_once`]).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Timestamp;
use keys::SealedColumn;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use web::browser::Browser;

use crate::Idp;
use crate::error::IdpError;

/// What it is for, and for how long it is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    name: &'static str,
    lasts: Duration,
}

impl Purpose {
    pub(crate) const fn new(name: &'static str, minutes: u64) -> Self {
        Self { name, lasts: Duration::from_secs(60 * minutes) }
    }

    const fn place(self) -> SealedColumn {
        SealedColumn::new("browser", self.name, "binding")
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    id: String,
    until: Timestamp,
    value: T,
}

/// Something that came back as it was given.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    id: String,
    purpose: Purpose,
    pub(crate) value: T,
}

/// Seals a value for a browser.
///
/// # Errors
/// [`IdpError::Failed`] when it cannot be written as JSON, which no value of ours cannot.
pub(crate) fn seal<T: Serialize>(
    idp: &Idp,
    browser: &Browser,
    purpose: Purpose,
    value: T,
) -> Result<String, IdpError> {
    let id = URL_SAFE_NO_PAD.encode(idp.ctx().random::<16>());
    let envelope = Envelope { id, until: idp.ctx().now().plus(purpose.lasts), value };
    let bytes = serde_json::to_vec(&envelope).map_err(IdpError::failed)?;
    Ok(idp.sealing.seal(idp.ctx(), purpose.place().at(&browser.binding(purpose.name)), &bytes))
}

/// Opens what this browser brings back. `None` when it is not for this purpose or browser, or too old.
pub(crate) fn open<T: DeserializeOwned>(
    idp: &Idp,
    browser: &Browser,
    purpose: Purpose,
    sealed: &str,
) -> Option<Kept<T>> {
    let bytes = idp.sealing.open(purpose.place().at(&browser.binding(purpose.name)), sealed).ok()?;
    let envelope: Envelope<T> = serde_json::from_slice(bytes.expose()).ok()?;
    let fresh = idp.ctx().now() < envelope.until;
    fresh.then_some(Kept { id: envelope.id, purpose, value: envelope.value })
}

impl<T> Kept<T> {
    /// Uses it up. `false` when that was done before: of many at once, one gets `true`.
    pub(crate) async fn use_once(&self, idp: &Idp) -> Result<bool, IdpError> {
        let key = format!("used:{}:{}", self.purpose.name, self.id);
        Ok(idp.ephemeral.put_once(&key, "", self.purpose.lasts).await?)
    }
}
