//! The file of sealing keys: the one secret that an operator keeps.
//!
//! A line per key, `kid base64url(32 bytes)`; the first line seals, all open; `#` begins a comment. Nobody
//! but its owner may read it. Whoever has this file and the database has every secret in it; whoever has the
//! database only has none.
//!
//! An operator changes the key that seals in steps, since nodes read the file at different times: see the crate's
//! documentation. Each step replaces the file at once: a reader sees the old one or the new one.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use kernel::{Ctx, Secret, Timestamp};

use crate::seal::{Edition, Keys, SealingKeys, new_line, parse};

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
    /// Another command is changing the key file, or one was interrupted while it did.
    #[error("sealing key file {path}: another change is under way; if none is, remove {beside}", beside = beside(.path).display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// The key that a step is about is not in the file.
    #[error("sealing key file {path} has no key {kid:?}")]
    NoSuchKey {
        /// Which file.
        path: PathBuf,
        /// The key that was named.
        kid: String,
    },
    /// The key that seals cannot be taken out.
    #[error("key {kid:?} is the one that seals; promote another first")]
    Seals {
        /// The key that was named.
        kid: String,
    },
}

impl SealingKeys {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`], with what to do; never a key in it.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let file = read(path)?;
        let keys = checked(path, file.text.expose())?;
        Ok(Self::holding(Some(path.into()), keys, Some(file.edition)))
    }

    /// Reads the file again, if it was changed; `false` when it was not, or the keys have no file. On failure the
    /// keys stay as they were.
    ///
    /// [`KeyRing::maintain`](crate::KeyRing::maintain) does so each time, and so does whoever meets a key that is
    /// not known.
    pub fn refresh(&self) -> Result<bool, KeyFileError> {
        let Some(path) = &self.0.file else { return Ok(false) };
        let metadata = std::fs::metadata(path).map_err(failed(path))?;
        if self.edition() == Some(edition(&metadata)) {
            return Ok(false);
        }
        let file = read(path)?;
        self.replace(checked(path, file.text.expose())?, file.edition);
        tracing::info!(keys = ?self, "the sealing key file was read again");
        Ok(true)
    }

    /// Makes a key file with one new key, for its owner only. The folder must exist.
    pub fn create_file(path: &Path, ctx: &Ctx) -> Result<Self, KeyFileError> {
        let text = Secret::new(format!("{HEAD}{}", new_line(ctx).expose()));
        write_new(path, text.expose()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.into()),
            _ => failed(path)(source),
        })?;
        Self::load(path)
    }

    /// Step 1: adds a new key, which opens and does not seal yet. Answers its id.
    pub fn add_key(path: &Path, ctx: &Ctx) -> Result<String, KeyFileError> {
        let line = new_line(ctx);
        edit(path, |text| {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            Ok(Secret::new(format!("{text}{end}{}", line.expose())))
        })?;
        Ok(kid_of(line.expose()).unwrap_or_default().to_owned())
    }

    /// Step 2, once every node has read the file with the new key: from now on it seals.
    pub fn promote_key(path: &Path, kid: &str) -> Result<(), KeyFileError> {
        edit(path, |text| {
            let (line, rest) = taken_out(path, text, kid)?;
            let first = rest.iter().position(|line| kid_of(line).is_some()).unwrap_or(rest.len());
            let lines = rest[..first].iter().copied().chain([line]).chain(rest[first..].iter().copied());
            Ok(Secret::new(lines.map(|line| format!("{line}\n")).collect()))
        })
    }

    /// Takes a key out that does not seal. What it sealed is lost: [`retire_key`](crate::retire_key) looks first.
    pub(crate) fn remove_key(path: &Path, kid: &str) -> Result<(), KeyFileError> {
        edit(path, |text| {
            if text.lines().find_map(kid_of) == Some(kid) {
                return Err(KeyFileError::Seals { kid: kid.into() });
            }
            let (_, rest) = taken_out(path, text, kid)?;
            Ok(Secret::new(rest.iter().map(|line| format!("{line}\n")).collect()))
        })
    }

    /// When the file was last changed.
    pub(crate) fn changed_at(path: &Path) -> Result<Timestamp, KeyFileError> {
        let metadata = std::fs::metadata(path).map_err(failed(path))?;
        Ok(Timestamp::from_millis(metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000))
    }
}

/// The key id on a line, if there is a key on it.
fn kid_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('#') { None } else { line.split_whitespace().next() }
}

/// The line of a key, and all others.
fn taken_out<'a>(path: &Path, text: &'a str, kid: &str) -> Result<(&'a str, Vec<&'a str>), KeyFileError> {
    let (found, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| kid_of(line) == Some(kid));
    match found.first() {
        Some(&line) => Ok((line, rest)),
        None => Err(KeyFileError::NoSuchKey { path: path.into(), kid: kid.into() }),
    }
}

/// The file that a change is written to. While it is there nobody else changes the key file.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn edit(
    path: &Path,
    change: impl FnOnce(&str) -> Result<Secret<String>, KeyFileError>,
) -> Result<(), KeyFileError> {
    let beside = beside(path);
    let new = create_new(&beside).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Busy { path: path.into() },
        _ => failed(&beside)(source),
    })?;
    let edited = edit_into(new, &beside, path, change);
    if edited.is_err() {
        // That it cannot be removed either is told by the next change.
        let _ = std::fs::remove_file(&beside);
    }
    edited
}

fn edit_into(
    new: File,
    beside: &Path,
    path: &Path,
    change: impl FnOnce(&str) -> Result<Secret<String>, KeyFileError>,
) -> Result<(), KeyFileError> {
    let old = read(path)?;
    checked(path, old.text.expose())?;
    let text = change(old.text.expose())?;
    checked(path, text.expose())?;
    fill(new, text.expose()).map_err(failed(beside))?;
    // The service that reads it may not be who changes it.
    chown(beside, Some(old.owner.user), Some(old.owner.group)).map_err(failed(beside))?;
    std::fs::rename(beside, path).map_err(failed(path))?;
    sync_folder(path).map_err(failed(path))
}

struct KeyFile {
    text: Secret<String>,
    owner: Owner,
    edition: Edition,
}

struct Owner {
    user: u32,
    group: u32,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_path_buf();
    move |source| KeyFileError::Io { path, source }
}

fn checked(path: &Path, text: &str) -> Result<Keys, KeyFileError> {
    parse(text).map_err(|(line, reason)| KeyFileError::Text { path: path.into(), line, reason })
}

fn edition(metadata: &Metadata) -> Edition {
    Edition {
        inode: (metadata.dev(), metadata.ino()),
        length: metadata.size(),
        changed: (metadata.mtime(), metadata.mtime_nsec()),
    }
}

fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
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
    let owner = Owner { user: metadata.uid(), group: metadata.gid() };
    Ok(KeyFile { text, owner, edition: edition(&metadata) })
}

/// Writes a file that must not exist yet, and waits until it and its name are on the disk.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    fill(create_new(path)?, text)?;
    sync_folder(path)
}

fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The mode given at creation passes through the umask, which may take the owner's own right away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn fill(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
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
    fn a_new_key_opens_first_and_seals_once_it_is_promoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        let ctx = Ctx::for_tests(1);
        let node = SealingKeys::create_file(&path, &ctx).unwrap();
        let old = node.current();
        let sealed = node.seal(&ctx, COLUMN.at("hq"), b"secret");

        let new = SealingKeys::add_key(&path, &ctx).unwrap();
        assert!(node.refresh().unwrap() && !node.refresh().unwrap(), "read once");
        assert_eq!(node.ids(), [old.clone(), new.clone()], "it opens, and does not seal yet");
        assert_eq!(mode(&path), 0o600);

        SealingKeys::promote_key(&path, &new).unwrap();
        assert!(node.refresh().unwrap());
        assert_eq!(node.ids(), [new.clone(), old.clone()]);
        assert_eq!(node.open(COLUMN.at("hq"), &sealed).unwrap().expose(), b"secret");
        assert!(fs::read_to_string(&path).unwrap().starts_with(HEAD), "the words at its head stay there");

        assert!(matches!(SealingKeys::remove_key(&path, &new), Err(KeyFileError::Seals { .. })));
        SealingKeys::remove_key(&path, &old).unwrap();
        assert_eq!(SealingKeys::load(&path).unwrap().ids(), [new]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_node_that_has_not_read_the_file_again_finds_a_new_key_when_it_meets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        let ctx = Ctx::for_tests(1);
        let slow = SealingKeys::create_file(&path, &ctx).unwrap();
        let also_slow = slow.clone();
        let new = SealingKeys::add_key(&path, &ctx).unwrap();
        SealingKeys::promote_key(&path, &new).unwrap();
        let quick = SealingKeys::load(&path).unwrap();
        let sealed = quick.seal(&ctx, COLUMN.at("hq"), b"secret");
        assert_eq!(slow.open(COLUMN.at("hq"), &sealed).unwrap().expose(), b"secret");
        assert_eq!(also_slow.current(), new, "all clones are one");
        let stranger = SealingKeys::generate(&ctx).seal(&ctx, COLUMN.at("hq"), b"secret");
        assert!(matches!(slow.open(COLUMN.at("hq"), &stranger), Err(SealError::UnknownKey { .. })));
    }

    #[test]
    fn a_file_that_has_become_unusable_leaves_the_keys_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        let ctx = Ctx::for_tests(1);
        let node = SealingKeys::create_file(&path, &ctx).unwrap();
        let before = node.ids();
        fs::write(&path, "half a li").unwrap();
        assert!(node.refresh().is_err());
        fs::remove_file(&path).unwrap();
        assert!(node.refresh().is_err());
        assert_eq!(node.ids(), before);
    }

    #[test]
    fn two_changes_at_once_are_one_after_the_other_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.keys");
        SealingKeys::create_file(&path, &Ctx::for_tests(1)).unwrap();
        fs::write(beside(&path), "").unwrap();
        let refused = SealingKeys::add_key(&path, &Ctx::for_tests(2)).unwrap_err();
        assert!(matches!(refused, KeyFileError::Busy { .. }), "{refused}");
        assert!(
            refused.to_string().contains("remove") && refused.to_string().contains("sealing.new"),
            "{refused}"
        );
        fs::remove_file(beside(&path)).unwrap();
        SealingKeys::add_key(&path, &Ctx::for_tests(2)).unwrap();
        assert!(matches!(SealingKeys::promote_key(&path, "nobody"), Err(KeyFileError::NoSuchKey { .. })));
        assert!(!beside(&path).exists(), "a step that failed stands in nobody's way");
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
            assert!(SealingKeys::add_key(&path, &Ctx::for_tests(2)).is_err());
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
        assert!(SealingKeys::add_key(&path, &Ctx::for_tests(1)).is_err(), "nothing is built on it");

        fs::write(&path, "#".repeat(300 * 1024)).unwrap();
        assert!(SealingKeys::load(&path).unwrap_err().to_string().contains("larger than"));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(SealingKeys::load(&path).unwrap_err(), KeyFileError::Io { .. }));
    }
}
