//! Recovery codes: ten look-up secrets (NIST SP 800-63B-4, 3.1.2) for the day on which phone and key are lost.
//!
//! Each works once. New ones replace all that are left. They are sealed, not hashed: 80 random bits are too many
//! to guess here, where guesses are counted, and too few for a fast hash that somebody took home.

use kernel::id::{AuthenticatorId, UserId};
use kernel::{Ctx, Secret, constant_time_eq};
use keys::SealingKeys;
use store::{Db, Fact, StoreError, Tx, sql};

use super::{Kind, SEALED};
use crate::facts::{AuthenticatorUsed, RecoveryCodesMade};
use crate::{DirectoryError, user};

/// So many are handed out at once.
pub const COUNT: usize = 10;

/// Crockford's base 32, 5 bits each: i, l and o are read as 1, 1 and 0.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 16;

/// Ten new codes, to be shown once.
#[must_use]
pub fn generate(ctx: &Ctx) -> Vec<Secret<String>> {
    (0..COUNT).map(|_| Secret::new(in_fours(&letters(ctx)))).collect()
}

fn letters(ctx: &Ctx) -> Vec<u8> {
    // 256 is a multiple of 32: no letter is likelier than another.
    ctx.random::<LENGTH>().iter().map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()]).collect()
}

fn in_fours(letters: &[u8]) -> String {
    let fours: Vec<String> =
        letters.chunks(4).map(|four| String::from_utf8_lossy(four).into_owned()).collect();
    fours.join("-")
}

/// As it was typed, in the one form in which it is compared.
fn plain(typed: &str) -> Secret<String> {
    let kept = typed.chars().filter(|char| !char.is_whitespace() && *char != '-').take(2 * LENGTH);
    let meant = kept.map(|char| match char.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        char => char,
    });
    Secret::new(meant.collect())
}

/// Replaces whatever codes a user has.
///
/// # Errors
/// [`DirectoryError::NotFound`] when the user is not active (any more).
pub async fn replace(
    tx: &mut Tx,
    sealing: &SealingKeys,
    user: UserId,
    codes: &[Secret<String>],
) -> Result<(), DirectoryError> {
    if !user::hold(tx, user).await? {
        return Err(DirectoryError::NotFound("active user"));
    }
    tx.run(sql!("DELETE FROM authenticator WHERE user_id = $1 AND kind = 'recovery-code'"), (user,)).await?;
    for code in codes {
        let id = AuthenticatorId::new(tx.ctx());
        let sealed =
            sealing.seal(tx.ctx(), SEALED.at(&id.to_string()), plain(code.expose()).expose().as_bytes());
        tx.run(
            sql!(
                "INSERT INTO authenticator (id, user_id, kind, verifier, version, created_at, sealed) \
                 VALUES ($1, $2, 'recovery-code', '', 1, $3, $4)"
            ),
            (id, user, tx.now(), sealed),
        )
        .await?;
    }
    let count = i64::try_from(codes.len()).unwrap_or(i64::MAX);
    tx.record(Fact::new(user.subject(), &RecoveryCodesMade { count }));
    Ok(())
}

/// Which of a user's codes this is. Every one is compared, so the time tells nothing.
pub async fn matching(
    db: &Db,
    sealing: &SealingKeys,
    user: UserId,
    typed: &str,
) -> Result<Option<AuthenticatorId>, DirectoryError> {
    let sql = sql!("SELECT id, sealed FROM authenticator WHERE user_id = $1 AND kind = 'recovery-code'");
    let rows: Vec<(AuthenticatorId, String)> = db.all(sql, (user,)).await?;
    let typed = plain(typed);
    let mut found = None;
    for (id, sealed) in rows {
        let code = sealing.open(SEALED.at(&id.to_string()), &sealed)?;
        if constant_time_eq(code.expose(), typed.expose().as_bytes()) {
            found = Some(id);
        }
    }
    Ok(found)
}

/// Uses a code up: of many who come with the same at once, one gets `true`.
pub async fn use_up(tx: &mut Tx, user: UserId, id: AuthenticatorId) -> Result<bool, StoreError> {
    let used = tx
        .run(
            sql!("DELETE FROM authenticator WHERE id = $1 AND user_id = $2 AND kind = 'recovery-code'"),
            (id, user),
        )
        .await?;
    if used == 1 {
        let body =
            AuthenticatorUsed { kind: Kind::RecoveryCode.to_string(), left: Some(left(tx, user).await?) };
        tx.record(Fact::new(user.subject(), &body).about(id.subject()));
    }
    Ok(used == 1)
}

async fn left(tx: &mut Tx, user: UserId) -> Result<i64, StoreError> {
    let sql = sql!("SELECT COUNT(*) FROM authenticator WHERE user_id = $1 AND kind = 'recovery-code'");
    let (left,): (i64,) = tx.one(sql, (user,)).await?;
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_readable_and_all_different() {
        let codes = generate(&Ctx::for_tests(1));
        let distinct: BTreeSet<&str> = codes.iter().map(|code| code.expose().as_str()).collect();
        assert_eq!((codes.len(), distinct.len()), (COUNT, COUNT));
        for code in distinct {
            assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4], "{code}");
            assert!(!code.contains(['i', 'l', 'o', 'u']), "{code}");
        }
        assert_eq!(LETTERS.iter().collect::<BTreeSet<_>>().len(), 32);
    }

    #[test]
    fn how_a_code_is_typed_does_not_matter() {
        for typed in ["0145-abcd-wxyz-6781", "0145abcdwxyz6781", " oI45 ABCD WXYZ 678l\n"] {
            assert_eq!(plain(typed).expose(), "0145abcdwxyz6781", "{typed:?}");
        }
        assert_eq!(plain(&"x".repeat(10_000)).expose().len(), 2 * LENGTH, "what is longer is no code");
    }
}
