//! One-time passwords by the clock (RFC 6238): six digits, 30 seconds, SHA-1, as every app on a phone expects.
//!
//! The seed is sealed to its row. A code is accepted from the step before to the step after, for clocks that
//! differ, and each step only once: whoever looks over a shoulder comes too late.
//!
//! What it is not: it counts no guesses. A million codes are few, so whoever asks must count first.

use kernel::id::{AuthenticatorId, UserId};
use kernel::{Ctx, Secret, Timestamp};
use keys::SealingKeys;
use qrcodegen::{QrCode, QrCodeEcc};
use store::{Db, Fact, StoreError, Tx, sql};
use totp_rs::{Builder, Totp};

use super::{Kind, SEALED, has_place, tidy_name};
use crate::facts::{AuthenticatorAdded, AuthenticatorUsed};
use crate::{DirectoryError, user};

/// A seed's length: 160 bits (RFC 4226, section 4, R6).
const SEED: usize = 20;

/// A seed that a person is about to take into an app.
#[derive(Clone, Debug)]
pub struct Seed(Secret<Vec<u8>>);

impl Seed {
    /// A new one.
    #[must_use]
    pub fn generate(ctx: &Ctx) -> Self {
        Self(Secret::new(ctx.random::<SEED>().to_vec()))
    }

    /// From what [`Seed::as_bytes`] gave. `None` when it has another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == SEED).then(|| Self(Secret::new(bytes.to_vec())))
    }

    /// The seed itself, to be sealed while the person fetches the phone.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// The time step of which this is the code, if it is one of the step now, before or after, and that step
    /// comes after `last`.
    #[must_use]
    pub fn step_of(&self, code: &str, now: Timestamp, last: Option<i64>) -> Option<i64> {
        let digits: String = code.chars().filter(|char| !char.is_whitespace()).collect();
        let seconds = u64::try_from(now.as_secs()).ok()?;
        let step = self.clock("", "")?.check(&digits, seconds)?;
        i64::try_from(step).ok().filter(|step| last.is_none_or(|last| *step > last))
    }

    /// The code of a moment: what the app on the phone shows. For tests and simulators.
    #[must_use]
    pub fn code_at(&self, now: Timestamp) -> Option<String> {
        let seconds = u64::try_from(now.as_secs()).ok()?;
        Some(self.clock("", "")?.generate(seconds).to_string())
    }

    /// How the seed gets into an app.
    #[must_use]
    pub fn handover(&self, issuer: &str, account: &str) -> Option<Handover> {
        let clock = self.clock(issuer, account)?;
        let uri = Secret::new(clock.to_url().ok()?);
        let qr = QrCode::encode_text(uri.expose(), QrCodeEcc::Medium).ok()?;
        let key = Secret::new(in_fours(&clock.secret().to_base32()));
        Some(Handover { qr_size: qr.size(), qr_path: Secret::new(path_of(&qr)), uri, key })
    }

    /// Colons would end a name early in the address.
    fn clock(&self, issuer: &str, account: &str) -> Option<Totp> {
        let plain = |text: &str| text.replace(':', " ");
        let builder = Builder::new().with_secret(self.as_bytes().to_vec()).with_account_name(plain(account));
        let builder = if issuer.is_empty() { builder } else { builder.with_issuer(Some(plain(issuer))) };
        builder.build().ok()
    }
}

/// The same seed in three forms.
#[derive(Clone, Debug)]
pub struct Handover {
    /// `otpauth://totp/…`, for a tap on the phone itself.
    pub uri: Secret<String>,
    /// A QR code of it for the camera: the `d` of an SVG path over a square of `qr_size`.
    pub qr_path: Secret<String>,
    /// The side of that square, in modules; a quiet zone of four more belongs around it (ISO/IEC 18004).
    pub qr_size: i32,
    /// Base32 in groups of four, for typing.
    pub key: Secret<String>,
}

/// Dark modules, as one horizontal stroke for each run of them.
fn path_of(qr: &QrCode) -> String {
    let mut path = String::new();
    for y in 0..qr.size() {
        let mut x = 0;
        while x < qr.size() {
            let run = (x..qr.size()).take_while(|x| qr.get_module(*x, y)).count();
            let run = i32::try_from(run).unwrap_or(i32::MAX);
            if run > 0 {
                path.push_str(&format!("M{x} {y}h{run}v1h-{run}z"));
            }
            x += run.max(1);
        }
    }
    path
}

fn in_fours(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// One that a user has.
#[derive(sqlx::FromRow)]
struct Row {
    id: AuthenticatorId,
    sealed: String,
    last_step: Option<i64>,
}

/// Adds one whose first code was right at `step`: that code is used up.
///
/// # Errors
/// [`DirectoryError::NotFound`] when the user is not active (any more); [`DirectoryError::Invalid`] when there
/// are too many already.
pub async fn add(
    tx: &mut Tx,
    sealing: &SealingKeys,
    user: UserId,
    name: &str,
    seed: &Seed,
    step: i64,
) -> Result<AuthenticatorId, DirectoryError> {
    if !user::hold(tx, user).await? {
        return Err(DirectoryError::NotFound("active user"));
    }
    if !has_place(tx, user, Kind::Totp).await? {
        return Err(DirectoryError::too_many("authenticators"));
    }
    let id = AuthenticatorId::new(tx.ctx());
    let sealed = sealing.seal(tx.ctx(), SEALED.at(&id.to_string()), seed.as_bytes());
    tx.run(
        sql!(
            "INSERT INTO authenticator (id, user_id, kind, verifier, version, created_at, name, sealed, last_step) \
             VALUES ($1, $2, 'totp', '', 1, $3, $4, $5, $6)"
        ),
        (id, user, tx.now(), tidy_name(name), sealed, step),
    )
    .await?;
    let body = AuthenticatorAdded { kind: Kind::Totp.to_string() };
    tx.record(Fact::new(user.subject(), &body).about(id.subject()));
    Ok(id)
}

/// Which of a user's authenticators shows this code now, and the step that it is of. Nothing is used up yet:
/// that is [`use_up`]'s.
pub async fn matching(
    db: &Db,
    sealing: &SealingKeys,
    user: UserId,
    code: &str,
) -> Result<Option<(AuthenticatorId, i64)>, DirectoryError> {
    let sql = sql!("SELECT id, sealed, last_step FROM authenticator WHERE user_id = $1 AND kind = 'totp'");
    let rows: Vec<Row> = db.all(sql, (user,)).await?;
    let now = db.ctx().now();
    for row in rows {
        let seed = sealing.open(SEALED.at(&row.id.to_string()), &row.sealed)?;
        let step = Seed::from_bytes(seed.expose()).and_then(|seed| seed.step_of(code, now, row.last_step));
        if let Some(step) = step {
            return Ok(Some((row.id, step)));
        }
    }
    Ok(None)
}

/// Uses a code up: of many who come with the same at once, one gets `true`.
pub async fn use_up(tx: &mut Tx, user: UserId, id: AuthenticatorId, step: i64) -> Result<bool, StoreError> {
    let used = tx
        .run(
            sql!(
                "UPDATE authenticator SET last_step = $3, last_used_at = $4 WHERE id = $1 AND user_id = $2 \
                 AND last_step < $3"
            ),
            (id, user, step, tx.now()),
        )
        .await?;
    if used == 1 {
        let body = AuthenticatorUsed { kind: Kind::Totp.to_string(), left: None };
        tx.record(Fact::new(user.subject(), &body).about(id.subject()));
    }
    Ok(used == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// RFC 6238, appendix B: the last six digits of the SHA-1 column.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let seed = Seed::from_bytes(b"12345678901234567890").unwrap();
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_secs(seconds);
            assert_eq!(seed.code_at(now).as_deref(), Some(code), "{seconds}");
            assert_eq!(seed.step_of(code, now, None), Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_from_the_step_before_to_the_step_after_and_each_step_once() {
        let seed = Seed::generate(&Ctx::for_tests(1));
        let shown = Timestamp::from_secs(1_800_000_000);
        let step = 1_800_000_000 / 30;
        let code = seed.code_at(shown).unwrap();
        for (seconds, expect) in [(-31, false), (-1, true), (0, true), (29, true), (59, true), (60, false)] {
            let now = Timestamp::from_secs(1_800_000_000 + seconds);
            assert_eq!(seed.step_of(&code, now, None).is_some(), expect, "{seconds}");
        }
        for (last, expect) in [(step - 1, Some(step)), (step, None), (step + 1, None)] {
            assert_eq!(seed.step_of(&code, shown, Some(last)), expect);
        }
    }

    #[test]
    fn spaces_do_not_matter_and_nothing_but_six_digits_is_a_code() {
        let seed = Seed::from_bytes(b"12345678901234567890").unwrap();
        let now = Timestamp::from_secs(59);
        for code in ["287 082", " 287082 ", "2 8 7 0 8 2"] {
            assert!(seed.step_of(code, now, None).is_some(), "{code:?}");
        }
        for code in ["", "287083", "28708", "2870822", "+87082", "28708a", "٢٨٧٠٨٢"] {
            assert!(seed.step_of(code, now, None).is_none(), "{code:?}");
        }
    }

    #[test]
    fn a_seed_is_handed_over_by_camera_tap_and_keyboard() {
        let seed = Seed::from_bytes(b"12345678901234567890").unwrap();
        let handover = seed.handover("Nordnetz: Energie", "ada@example.org").unwrap();
        let uri = url::Url::parse(handover.uri.expose()).unwrap();
        assert_eq!((uri.scheme(), uri.host_str()), ("otpauth", Some("totp")));
        assert!(uri.as_str().contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{uri}");
        assert_eq!(handover.key.expose(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert_eq!(dark_modules(&handover), {
            let qr = QrCode::encode_text(handover.uri.expose(), QrCodeEcc::Medium).unwrap();
            let side = 0..qr.size();
            side.clone()
                .flat_map(|y| side.clone().map(move |x| (x, y)))
                .filter(|(x, y)| qr.get_module(*x, *y))
                .count()
        });
        assert!(format!("{handover:?}").matches("[secret]").count() == 3);
    }

    /// The area that the path covers.
    fn dark_modules(handover: &Handover) -> usize {
        let runs = handover.qr_path.expose().split('h').skip(1).step_by(2);
        runs.map(|run| run.split('v').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    #[test]
    fn seeds_differ() {
        let ctx = Ctx::for_tests(1);
        ctx.advance_for_tests(Duration::from_secs(1));
        assert_ne!(Seed::generate(&ctx).as_bytes(), Seed::generate(&ctx).as_bytes());
    }
}
