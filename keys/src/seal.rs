//! Sealing at rest: AES-256-GCM, bound to the place where the value stands.
//!
//! A sealed value is the text `s1.<kid>.<base64url(nonce ‖ ciphertext ‖ tag)>` with `table \0 column \0 row`
//! as associated data: copied to another row, column or table it does not open. `s1` names this scheme.
//!
//! What it is not: it does not hide how long a value is, nor that it changed, nor bring an older value of
//! the same place to light that somebody wrote back.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Ctx, Secret};

use crate::derive::DerivingKey;

const SCHEME: &str = "s1.";

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Its sealing key is not here.
    #[error("it is sealed with key {kid:?}, which is not in the sealing key file; put that key's line back")]
    UnknownKey {
        /// The key that is missing.
        kid: String,
    },
    /// It was changed, or moved, or its key's line in the key file was.
    #[error(
        "it was changed or moved, or the key file holds another key under the same name; \
         put back the key file that belongs to this database"
    )]
    Broken,
}

/// A column that holds sealed values, and the column that tells its rows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedColumn {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) key: &'static str,
    pub(crate) versioned: bool,
}

impl SealedColumn {
    /// `key` is the table's primary key, one TEXT column. The names become part of SQL texts and of what
    /// values are bound to: they never change.
    #[must_use]
    pub const fn new(table: &'static str, column: &'static str, key: &'static str) -> Self {
        Self { table, column, key, versioned: false }
    }

    /// The table has a `version`: sealing a value anew raises it, so that nobody who read the row before
    /// writes the old text back.
    #[must_use]
    pub const fn versioned(self) -> Self {
        Self { versioned: true, ..self }
    }

    /// The place in the row with this key.
    #[must_use]
    pub const fn at<'a>(&self, row: &'a str) -> Place<'a> {
        Place { table: self.table, column: self.column, row }
    }
}

/// Where a sealed value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    table: &'static str,
    column: &'static str,
    row: &'a str,
}

impl Place<'_> {
    /// Unambiguous: names of tables and columns contain no NUL, and the row comes last.
    fn associated_data(&self) -> Aad<Vec<u8>> {
        Aad::from([self.table, self.column, self.row].join("\0").into_bytes())
    }
}

/// `table.column of row`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} of {:?}", self.table, self.column, self.row)
    }
}

/// The keys that seal: the first one seals, all of them open. Cheap to clone; all clones are one, and follow their
/// file ([`SealingKeys::refresh`]).
#[derive(Clone)]
pub struct SealingKeys(pub(crate) Arc<Held>);

/// INVARIANT: never empty, and no two keys have the same id.
pub(crate) type Keys = Arc<[SealingKey]>;

pub(crate) struct Held {
    /// `None` when they are in memory only.
    pub(crate) file: Option<PathBuf>,
    keys: RwLock<(Keys, Option<Edition>)>,
}

/// Which edition of the file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition {
    pub(crate) inode: (u64, u64),
    pub(crate) length: u64,
    pub(crate) changed: (i64, i64),
}

pub(crate) struct SealingKey {
    kid: String,
    cipher: LessSafeKey,
    deriver: DerivingKey,
}

impl SealingKeys {
    /// One new key, in memory only: what it seals cannot be opened by the next process.
    #[must_use]
    pub fn generate(ctx: &Ctx) -> Self {
        let (kid, bytes) = new_key(ctx);
        let cipher = cipher(bytes.expose()).expect("32 bytes are an AES-256 key");
        let deriver = DerivingKey::of(bytes.expose());
        Self::holding(None, Arc::new([SealingKey { kid, cipher, deriver }]), None)
    }

    pub(crate) fn holding(file: Option<PathBuf>, keys: Keys, edition: Option<Edition>) -> Self {
        Self(Arc::new(Held { file, keys: RwLock::new((keys, edition)) }))
    }

    pub(crate) fn keys(&self) -> Keys {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(crate) fn edition(&self) -> Option<Edition> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).1
    }

    pub(crate) fn replace(&self, keys: Keys, edition: Edition) {
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = (keys, Some(edition));
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn current(&self) -> String {
        self.keys()[0].kid.clone()
    }

    /// The ids of all keys, the one that seals first.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.keys().iter().map(|key| key.kid.clone()).collect()
    }

    /// Seals a value for its place.
    #[must_use]
    pub fn seal(&self, ctx: &Ctx, place: Place<'_>, value: &[u8]) -> String {
        let keys = self.keys();
        let key = &keys[0];
        let nonce = ctx.random::<NONCE_LEN>();
        let mut sealed = Vec::with_capacity(NONCE_LEN + value.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let tag = key
            .cipher
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                place.associated_data(),
                &mut sealed[NONCE_LEN..],
            )
            .expect("AES-GCM refuses nothing below 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        format!("{SCHEME}{}.{}", key.kid, URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what was sealed for this place. A key that is not known is looked for in the file, which may have
    /// changed: another node may seal with a key that was added since we read it.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<Secret<Vec<u8>>, SealError> {
        let (kid, body) = parts(sealed).ok_or(SealError::Broken)?;
        let known = |keys: &Keys| keys.iter().position(|key| key.kid == kid);
        let mut keys = self.keys();
        if known(&keys).is_none() && self.refresh().is_ok_and(|changed| changed) {
            keys = self.keys();
        }
        let at = known(&keys).ok_or_else(|| SealError::UnknownKey { kid: kid.to_owned() })?;
        let key = &keys[at];
        let sealed = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Broken)?;
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
        let mut value = ciphertext.to_vec();
        let length = match key.cipher.open_in_place(nonce, place.associated_data(), &mut value) {
            Ok(opened) => opened.len(),
            Err(_) => return Err(SealError::Broken),
        };
        value.truncate(length);
        Ok(Secret::new(value))
    }

    /// What follows from an input, by each key, the current one's first: see `derive.rs`. `purpose` is a
    /// fixed text without NUL that keeps uses apart.
    #[must_use]
    pub fn derive(&self, purpose: &str, input: &[u8]) -> Vec<[u8; 32]> {
        self.keys().iter().map(|key| key.deriver.derive(purpose, input)).collect()
    }

    /// Whether the current key sealed it, as far as the text says.
    pub(crate) fn sealed_with_current(&self, sealed: &str) -> bool {
        parts(sealed).is_some_and(|(kid, _)| kid == self.current())
    }
}

/// Shows the ids only.
impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// From the text of a key file; on failure the line, counted from 1, and what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Keys, (usize, &'static str)> {
    let mut keys: Vec<SealingKey> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = |reason| (number + 1, reason);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse_line(line).map_err(at)?;
        if keys.iter().any(|known| known.kid == key.kid) {
            return Err(at("another line has the same key id"));
        }
        keys.push(key);
    }
    if keys.is_empty() { Err((1, "there is no key in it")) } else { Ok(keys.into()) }
}

/// How every value begins that this key sealed.
pub(crate) fn beginning(kid: &str) -> String {
    format!("{SCHEME}{kid}.")
}

/// The key id and the body of a sealed value. Key ids contain no dot.
fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(SCHEME)?.split_once('.')
}

/// A new key as a line of a key file: the day it was made and some random letters as id, then the key.
pub(crate) fn new_line(ctx: &Ctx) -> Secret<String> {
    let (kid, bytes) = new_key(ctx);
    let encoded = Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose()));
    Secret::new(format!("{kid} {}\n", encoded.expose()))
}

fn new_key(ctx: &Ctx) -> (String, Secret<[u8; 32]>) {
    let letters = URL_SAFE_NO_PAD.encode(ctx.random::<6>());
    let day: String = ctx.now().to_string().chars().filter(char::is_ascii_digit).take(8).collect();
    (format!("{day}-{letters}"), Secret::new(ctx.random::<32>()))
}

fn parse_line(line: &str) -> Result<SealingKey, &'static str> {
    let (kid, encoded) =
        line.split_once(char::is_whitespace).ok_or("expected a key id, a space and the key")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if kid.len() > 64 || !kid.bytes().all(fits) {
        return Err("a key id has 1 to 64 letters, digits, - and _");
    }
    let wrong = |_| "a key is 32 bytes in base64url without padding: 43 characters";
    let bytes = Secret::new(URL_SAFE_NO_PAD.decode(encoded.trim()).map_err(|_| wrong(Unspecified))?);
    let (cipher, deriver) = (cipher(bytes.expose()).map_err(wrong)?, DerivingKey::of(bytes.expose()));
    Ok(SealingKey { kid: kid.to_owned(), cipher, deriver })
}

/// Fails when the key is not 32 bytes long.
fn cipher(bytes: &[u8]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMN: SealedColumn = SealedColumn::new("door_system", "secret_sealed", "name");

    fn parsed(text: &str) -> Result<SealingKeys, (usize, &'static str)> {
        parse(text).map(|keys| SealingKeys::holding(None, keys, None))
    }

    fn keys(seed: u64) -> (Ctx, SealingKeys) {
        let ctx = Ctx::for_tests(seed);
        let keys = SealingKeys::generate(&ctx);
        (ctx, keys)
    }

    #[test]
    fn a_sealed_value_names_its_scheme_and_key_and_never_repeats() {
        let (ctx, keys) = keys(1);
        let place = COLUMN.at("hq");
        let sealed = keys.seal(&ctx, place, b"secret");
        assert!(sealed.starts_with(&format!("s1.{}.", keys.current())), "{sealed}");
        assert!(keys.current().starts_with("20261122-"), "{}", keys.current());
        assert_ne!(sealed, keys.seal(&ctx, place, b"secret"));
        assert_eq!(keys.open(place, &sealed).unwrap().expose(), b"secret");
        assert_eq!(format!("{keys:?}"), format!("[{:?}]", keys.current()));
    }

    #[test]
    fn each_key_derives_its_own_and_the_current_one_comes_first() {
        let (one, two) = (format!("one {}", "A".repeat(43)), format!("two {}E", "A".repeat(42)));
        let derived = |text: &str| parsed(text).unwrap().derive("purpose", b"input");
        let (old, new) = (derived(&one), derived(&format!("{two}\n{one}")));
        assert_eq!((old.len(), new.len()), (1, 2));
        assert_eq!((old[0], new[0] == old[0]), (new[1], false));
    }

    #[test]
    fn a_value_opens_only_in_its_own_place() {
        let (ctx, keys) = keys(1);
        let sealed = keys.seal(&ctx, COLUMN.at("hq"), b"secret");
        for other in [
            COLUMN.at("hq2"),
            COLUMN.at(""),
            SealedColumn::new("door_system", "config", "name").at("hq"),
            SealedColumn::new("client", "secret_sealed", "name").at("hq"),
        ] {
            assert_eq!(keys.open(other, &sealed).unwrap_err(), SealError::Broken, "{other}");
        }
    }

    #[test]
    fn the_missing_key_is_named() {
        let (ctx, old) = keys(1);
        let (_, new) = keys(2);
        let sealed = old.seal(&ctx, COLUMN.at("hq"), b"secret");
        let error = new.open(COLUMN.at("hq"), &sealed).unwrap_err();
        assert_eq!(error, SealError::UnknownKey { kid: old.current() });
        assert!(error.to_string().contains(&old.current()), "{error}");
    }

    #[test]
    fn another_key_under_the_same_name_opens_nothing() {
        let ctx = Ctx::for_tests(3);
        let one = parsed(&format!("main {}", "A".repeat(43))).unwrap();
        let two = parsed(&format!("main {}E", "A".repeat(42))).unwrap();
        let sealed = one.seal(&ctx, COLUMN.at("hq"), b"secret");
        assert_eq!(two.open(COLUMN.at("hq"), &sealed).unwrap_err(), SealError::Broken);
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let ctx = Ctx::for_tests(4);
        let old_text = new_line(&ctx);
        let old = parsed(old_text.expose()).unwrap();
        let both = parsed(&format!("{}{}", new_line(&ctx).expose(), old_text.expose())).unwrap();
        let sealed = old.seal(&ctx, COLUMN.at("hq"), b"secret");
        assert_eq!(both.open(COLUMN.at("hq"), &sealed).unwrap().expose(), b"secret");
        assert!(old.sealed_with_current(&sealed) && !both.sealed_with_current(&sealed));
        assert!(both.sealed_with_current(&both.seal(&ctx, COLUMN.at("hq"), b"secret")));
    }

    #[test]
    fn a_key_file_is_read_strictly() {
        #[track_caller]
        fn check(text: &str, expect: Result<&str, (usize, &str)>) {
            let keys = parsed(text);
            let got = keys.map(|keys| keys.current());
            match (got, expect) {
                (Ok(kid), Ok(expected)) => assert_eq!(kid, expected),
                (Err((line, reason)), Err((at, part))) => {
                    assert_eq!(line, at, "{reason}");
                    assert!(reason.contains(part), "{reason}");
                }
                (got, expect) => panic!("{text:?}: {got:?}, expected {expect:?}"),
            }
        }
        let key = "A".repeat(43);
        check(&format!("# keys\n\n  a {key}  \nb {key}\n"), Ok("a"));
        check(&format!("a\t{key}"), Ok("a"));
        check("", Err((1, "no key")));
        check("# only words\n", Err((1, "no key")));
        check(&format!("a {key}\na {key}"), Err((2, "same key id")));
        check("a", Err((1, "a space and the key")));
        check(&format!("a {key}A"), Err((1, "43 characters")));
        check(&format!("a {key}="), Err((1, "43 characters")));
        check(&format!("a {}", "A".repeat(42)), Err((1, "43 characters")));
        check(&format!("# x\na.b {key}"), Err((2, "letters, digits")));
        check(&format!("{} {key}", "a".repeat(65)), Err((1, "letters, digits")));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_every_changed_character_is_found(
            value in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, to in "[A-Za-z0-9_-]"
        ) {
            let (ctx, keys) = keys(5);
            let sealed = keys.seal(&ctx, COLUMN.at("hq"), &value);
            let opened = keys.open(COLUMN.at("hq"), &sealed).unwrap();
            prop_assert_eq!(opened.expose(), &value);

            let at = at.index(sealed.len());
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != sealed);
            let in_kid = (SCHEME.len()..SCHEME.len() + keys.current().len()).contains(&at);
            match keys.open(COLUMN.at("hq"), &changed) {
                Err(SealError::UnknownKey { .. }) => prop_assert!(in_kid),
                Err(SealError::Broken) => prop_assert!(!in_kid),
                Ok(_) => prop_assert!(false, "opened {changed}"),
            }
        }

        #[test]
        fn no_text_makes_opening_panic(text in "(s1\\.)?[A-Za-z0-9._-]{0,80}|\\PC{0,80}") {
            let (_, keys) = keys(6);
            prop_assert!(keys.open(COLUMN.at("hq"), &text).is_err());
        }

        #[test]
        fn every_truncation_is_found(cut in 1usize..60) {
            let (ctx, keys) = keys(7);
            let sealed = keys.seal(&ctx, COLUMN.at("hq"), b"secret");
            let cut = sealed.len().saturating_sub(cut);
            prop_assert!(keys.open(COLUMN.at("hq"), &sealed[..cut]).is_err());
        }
    }
}
