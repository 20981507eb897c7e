//! The file of sealing keys: the one secret that an operator keeps.
//!
//! A line per key, `kid base64url(32 bytes)`; the first line seals, all open; `#` begins a comment. Nobody
//! but its owner may read it. Whoever has this file and the database has every secret in it; whoever has the
//! database only has none.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use kernel::{Ctx, Secret};

use crate::seal::{SealingKeys, new_line};

/// A key file has a line a key; nobody rotates this often.
const MAX_BYTES: u64 = 256 * 1024;

const HEAD: &str = "\
# Cardea's sealing keys: the first one seals, all of them open. Back this file up apart from the database:
# without it the signing keys and the secrets of door systems are lost.
";

/// Why a key file cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is missing or cannot be read or written.
    #[error("sealing key file {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner may open it.
    #[error("sealing key file {path} may be opened by others (mode {mode:o}); run: chmod 600 {path}")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold what a key file holds.
    #[error("sealing key file {path}, line {line}: {reason}")]
    Text {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A new key file would replace one that is there, and with it all that it opens.
    #[error("sealing key file {0} exists already; it is not replaced, since what it sealed would be lost")]
    Exists(PathBuf),
}

impl SealingKeys {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`], with what to do; never a key in it.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let (text, _) = read(path)?;
        parse(path, text.expose())
    }

    /// Makes a key file with one new key, for its owner only. The folder must exist.
    pub fn create_file(path: &Path, ctx: &Ctx) -> Result<Self, KeyFileError> {
        let text = Secret::new(format!("{HEAD}{}", new_line(ctx).expose()));
        write_new(path, text.expose()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.into()),
            _ => failed(path)(source),
        })?;
        parse(path, text.expose())
    }

    /// Puts a new key on the first line and keeps all else. Then [`reseal`](crate::reseal) every sealed
    /// column with a process that has loaded the new file, and only then take old lines out.
    ///
    /// The file is replaced at once: a reader sees the old one or the new one.
    pub fn rotate_file(path: &Path, ctx: &Ctx) -> Result<Self, KeyFileError> {
        let (old, owner) = read(path)?;
        parse(path, old.expose())?;
        let text = Secret::new(format!("{}{}", new_line(ctx).expose(), old.expose()));
        let beside = path.with_extension("new");
        write_new(&beside, text.expose()).map_err(failed(&beside))?;
        // The service that reads it may not be who rotates it.
        chown(&beside, Some(owner.user), Some(owner.group)).map_err(failed(&beside))?;
        std::fs::rename(&beside, path).map_err(failed(path))?;
        sync_folder(path).map_err(failed(path))?;
        parse(path, text.expose())
    }
}

struct Owner {
    user: u32,
    group: u32,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_path_buf();
    move |source| KeyFileError::Io { path, source }
}

fn parse(path: &Path, text: &str) -> Result<SealingKeys, KeyFileError> {
    SealingKeys::parse(text).map_err(|(line, reason)| KeyFileError::Text { path: path.into(), line, reason })
}

fn read(path: &Path) -> Result<(Secret<String>, Owner), KeyFileError> {
    let file = File::open(path).map_err(failed(path))?;
    // Of the opened file, not of the path: the two may differ by the time of the second look.
    let metadata = file.metadata().map_err(failed(path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.into(), mode });
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed(path))?;
    let text = Secret::new(text);
    if text.expose().len() as u64 > MAX_BYTES {
        return Err(KeyFileError::Text {
            path: path.into(),
            line: 1,
            reason: "the file is larger than 256 KiB",
        });
    }
    Ok((text, Owner { user: metadata.uid(), group: metadata.gid() }))
}

/// Writes a file that must not exist yet, and waits until it and its name are on the disk.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The mode given at creation passes through the umask, which may take the owner's own right away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{SealError, SealedColumn};

    const COLUMN: SealedColumn = SealedColumn::new("door_system", "secret_sealed", "name");

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_key_file_is_its_owners_and_loads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        let ctx = Ctx::for_tests(1);
        let made = SealingKeys::create_file(&path, &ctx).unwrap();
        assert_eq!(mode(&path), 0o600);
        let sealed = made.seal(&ctx, COLUMN.at("hq"), b"secret");
        let loaded = SealingKeys::load(&path).unwrap();
        assert_eq!(loaded.open(COLUMN.at("hq"), &sealed).unwrap().expose(), b"secret");
    }

    #[test]
    fn a_key_file_is_never_replaced_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        let ctx = Ctx::for_tests(1);
        SealingKeys::create_file(&path, &ctx).unwrap();
        let before = fs::read(&path).unwrap();
        let error = SealingKeys::create_file(&path, &ctx).unwrap_err();
        assert!(matches!(error, KeyFileError::Exists(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn rotating_adds_a_first_line_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        let ctx = Ctx::for_tests(1);
        let old = SealingKeys::create_file(&path, &ctx).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let sealed = old.seal(&ctx, COLUMN.at("hq"), b"secret");

        let new = SealingKeys::rotate_file(&path, &ctx).unwrap();
        assert_ne!(new.current(), old.current());
        assert_eq!(mode(&path), 0o600);
        assert!(fs::read_to_string(&path).unwrap().ends_with(&text));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let loaded = SealingKeys::load(&path).unwrap();
        assert_eq!(loaded.current(), new.current());
        assert_eq!(loaded.open(COLUMN.at("hq"), &sealed).unwrap().expose(), b"secret");
        let again = new.seal(&ctx, COLUMN.at("hq"), b"secret");
        assert_eq!(
            old.open(COLUMN.at("hq"), &again).unwrap_err(),
            SealError::UnknownKey { kid: new.current().into() }
        );
    }

    #[test]
    fn a_file_that_others_may_open_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        SealingKeys::create_file(&path, &Ctx::for_tests(1)).unwrap();
        for exposed in [0o640, 0o604, 0o620, 0o601, 0o644, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(exposed)).unwrap();
            let error = SealingKeys::load(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Exposed { mode, .. } if mode == exposed), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
            assert!(SealingKeys::rotate_file(&path, &Ctx::for_tests(2)).is_err());
        }
        for owners in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(owners)).unwrap();
            assert!(SealingKeys::load(&path).is_ok(), "{owners:o}");
        }
    }

    #[test]
    fn a_wrong_file_is_named_with_its_line_and_never_with_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        let error = SealingKeys::load(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Io { .. }), "{error}");
        assert!(error.to_string().contains("sealing.keys"), "{error}");

        write_new(&path, "# mine\nmain tooshortsecret\n").unwrap();
        let error = SealingKeys::load(&path).unwrap_err();
        assert!(error.to_string().contains("sealing.keys, line 2: a key is 32 bytes"), "{error}");
        assert!(!error.to_string().contains("tooshort") && !format!("{error:?}").contains("tooshort"));
        assert!(SealingKeys::rotate_file(&path, &Ctx::for_tests(1)).is_err(), "nothing is built on it");

        fs::write(&path, "#".repeat(300 * 1024)).unwrap();
        assert!(SealingKeys::load(&path).unwrap_err().to_string().contains("larger than"));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(SealingKeys::load(&path).unwrap_err(), KeyFileError::Io { .. }));
    }
}
