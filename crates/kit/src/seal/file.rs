//! Wrapping keys in a file, its owner's alone.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{DataKey, KeyBytes, KeyWrap, Place, WrapError, WrapFuture, Wrapped};

const HEADER: &str = "# Wrapping keys, the newest last. Whoever has this file and the key store can read personal data.\n";

/// Why a file of wrapping keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("key file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It holds something else than keys.
    #[error("key file {path}: line {line} is not a name and 32 bytes in base64")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// It holds no key.
    #[error("key file {path} holds no key")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Others may read it.
    #[error("key file {path} may be read by others than its owner; chmod 600 mends that")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The key is needed or is not there.
    #[error("key file {path}: {why}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// Wrapping keys in a file: lines of a name and a key, the newest last. The file is read again when it has changed, so
/// that keys are rotated without a restart.
#[derive(Clone)]
pub struct FileKeys {
    path: Arc<Path>,
    kept: Arc<ArcSwap<Kept>>,
    older: Option<DataKey>,
    is_fixed: bool,
}

struct Kept {
    keys: Vec<DataKey>,
    changed: Option<Mark>,
}

/// What tells one state of the file from another. The time alone does not: clocks of file systems tick a few
/// milliseconds at a time, and a file can be replaced twice within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    modified: SystemTime,
    inode: u64,
    length: u64,
}

impl Mark {
    fn of(about: &fs::Metadata) -> Option<Self> {
        Some(Mark {
            modified: about.modified().ok()?,
            inode: about.ino(),
            length: about.len(),
        })
    }
}

impl FileKeys {
    /// The keys of a file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let kept = read(path)?;
        Ok(FileKeys {
            path: path.into(),
            kept: Arc::new(ArcSwap::from_pointee(kept)),
            older: None,
            is_fixed: false,
        })
    }

    /// One key and no file, for whoever keeps one secret for all purposes. It cannot be rotated.
    pub fn fixed(key: DataKey) -> Self {
        FileKeys {
            path: Path::new("").into(),
            kept: Arc::new(ArcSwap::from_pointee(Kept {
                keys: vec![key],
                changed: None,
            })),
            older: None,
            is_fixed: true,
        }
    }

    /// Unwraps with this key too; it never wraps.
    pub fn with_older(mut self, key: DataKey) -> Self {
        self.older = Some(key);
        self
    }

    /// The keys of a file; one with a new key is made, for its owner alone, when there is none. Of several processes
    /// that start at once, all get the key of the first.
    pub fn load_or_create(path: &Path, random: impl Fn(&mut [u8])) -> Result<Self, KeyFileError> {
        if !path.exists() {
            let draft = path.with_extension(format!("{}.new", std::process::id()));
            let made = write(&draft, &format!("{HEADER}{}", line(&random)))
                // A link fails when the name is taken: nobody sees half a file and nobody overwrites one.
                .and_then(|()| fs::hard_link(&draft, path));
            let removed = fs::remove_file(&draft);
            match made.and(removed) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(failed(path))?,
            }
        }
        Self::load(path)
    }

    /// The names of all keys, the newest last.
    pub fn names(&self) -> Vec<String> {
        let kept = self.kept.load();
        kept.keys.iter().map(|key| key.id().to_owned()).collect()
    }

    /// Adds a key, which wraps from now on; gives its name.
    pub fn rotate(&self, random: impl Fn(&mut [u8])) -> Result<String, KeyFileError> {
        self.require_file()?;
        let mut text = Zeroizing::new(fs::read_to_string(&self.path).map_err(failed(&self.path))?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&line(&random));
        self.replace(&text)?;
        Ok(self.names().pop().unwrap_or_default())
    }

    /// Takes a key away for good: what is still wrapped with it, in the key store or in a backup of it, is unreadable
    /// from then on. The newest stays.
    pub fn retire(&self, name: &str) -> Result<(), KeyFileError> {
        self.require_file()?;
        let names = self.names();
        let refused = |why: &str| KeyFileError::Refused {
            path: self.path.to_path_buf(),
            why: format!("{why}: {name}"),
        };
        if !names.iter().any(|known| known == name) {
            return Err(refused("there is no such key"));
        }
        if names.last().is_some_and(|newest| newest == name) {
            return Err(refused("the newest key cannot be retired; rotate first"));
        }
        let text = Zeroizing::new(fs::read_to_string(&self.path).map_err(failed(&self.path))?);
        let mut left = Zeroizing::new(String::with_capacity(text.len()));
        for line in text.lines() {
            if line.split_whitespace().next() != Some(name) {
                left.push_str(line);
                left.push('\n');
            }
        }
        self.replace(&left)
    }

    fn require_file(&self) -> Result<(), KeyFileError> {
        if !self.is_fixed {
            return Ok(());
        }
        Err(KeyFileError::Refused {
            path: self.path.to_path_buf(),
            why: "the wrapping key follows from the suite's own key; set sealing.wrapping_key_file"
                .into(),
        })
    }

    fn replace(&self, text: &str) -> Result<(), KeyFileError> {
        let draft = self
            .path
            .with_extension(format!("{}.new", std::process::id()));
        write(&draft, text)
            .and_then(|()| fs::rename(&draft, &self.path))
            .map_err(failed(&self.path))?;
        self.kept.store(Arc::new(read(&self.path)?));
        Ok(())
    }

    /// Reads the file again when it has changed. One that cannot be read leaves things as they are.
    fn refresh(&self) {
        if self.is_fixed {
            return;
        }
        let changed = mark(&self.path);
        if changed != self.kept.load().changed
            && let Ok(kept) = read(&self.path)
        {
            self.kept.store(Arc::new(kept));
        }
    }

    fn newest_key(&self) -> Result<DataKey, WrapError> {
        self.refresh();
        let kept = self.kept.load();
        let newest = kept.keys.last().cloned();
        newest.ok_or_else(|| WrapError::UnknownKey(String::new()))
    }

    fn key(&self, name: &str) -> Result<DataKey, WrapError> {
        self.refresh();
        let kept = self.kept.load();
        let all = kept.keys.iter().chain(&self.older);
        let found = all.into_iter().find(|key| key.id() == name).cloned();
        found.ok_or_else(|| WrapError::UnknownKey(name.to_owned()))
    }
}

impl std::fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FileKeys").field(&self.names()).finish()
    }
}

const WRAPPED: &str = "wrapped data key";

impl KeyWrap for FileKeys {
    fn newest(&self) -> WrapFuture<'_, String> {
        Box::pin(async { Ok(self.newest_key()?.id().to_owned()) })
    }

    fn wrap<'a>(&'a self, key: &'a KeyBytes, context: &'a str) -> WrapFuture<'a, Wrapped> {
        Box::pin(async move {
            let newest = self.newest_key()?;
            Ok(Wrapped {
                bytes: newest.seal(Place::new(WRAPPED, context, ""), &key[..]),
                wrapping_key: newest.id().to_owned(),
            })
        })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a str) -> WrapFuture<'a, KeyBytes> {
        Box::pin(async move {
            let key = self.key(&wrapped.wrapping_key)?;
            let opened = key.open(Place::new(WRAPPED, context, ""), &wrapped.bytes)?;
            let bytes = <[u8; 32]>::try_from(&opened[..]).map_err(|_| WrapError::Unreadable)?;
            Ok(Zeroizing::new(bytes))
        })
    }
}

fn line(random: &impl Fn(&mut [u8])) -> String {
    let (mut name, mut key) = ([0; 8], Zeroizing::new([0; 32]));
    random(&mut name);
    random(&mut key[..]);
    format!("wrap-{} {}\n", hex::encode(name), STANDARD.encode(&key[..]))
}

fn mark(path: &Path) -> Option<Mark> {
    fs::metadata(path).ok().as_ref().and_then(Mark::of)
}

fn read(path: &Path) -> Result<Kept, KeyFileError> {
    let about = fs::metadata(path).map_err(failed(path))?;
    if about.permissions().mode() & 0o077 != 0 && !is_mounted_secret(path) {
        return Err(KeyFileError::Open { path: path.into() });
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed(path))?);
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse(line).ok_or_else(|| KeyFileError::Malformed {
            path: path.into(),
            line: at + 1,
        })?;
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(KeyFileError::Empty { path: path.into() });
    }
    Ok(Kept {
        keys,
        changed: Mark::of(&about),
    })
}

/// Kubernetes mounts secrets as links into a folder named `..data`, readable by the pod's group; who may read them is
/// its business.
fn is_mounted_secret(path: &Path) -> bool {
    path.parent()
        .is_some_and(|folder| folder.join("..data").exists())
}

fn parse(line: &str) -> Option<DataKey> {
    let (name, key) = line.trim().split_once(char::is_whitespace)?;
    let key = Zeroizing::new(STANDARD.decode(key.trim()).ok()?);
    let bytes = <[u8; 32]>::try_from(&key[..]).ok()?;
    Some(DataKey::new(name, Zeroizing::new(bytes)))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_path_buf();
    move |source| KeyFileError::File { path, source }
}

#[cfg(test)]
mod security {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn random() -> impl Fn(&mut [u8]) {
        let next = AtomicU8::new(1);
        move |into: &mut [u8]| into.fill(next.fetch_add(1, Ordering::Relaxed))
    }

    #[tokio::test]
    async fn personal_data_keys_are_wrapped_by_the_newest_and_unwrapped_by_any() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wrapping.keys");
        let random = random();
        let keys = FileKeys::load_or_create(&path, &random).expect("made");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let data = Zeroizing::new([9; 32]);
        let old = keys.wrap(&data, "ann").await.expect("wrapped");
        // Another process rotates; this one sees it.
        let other = FileKeys::load_or_create(&path, &random).expect("the same file");
        let newest = other.rotate(&random).expect("rotated");
        assert_eq!(keys.newest().await.as_deref(), Ok(newest.as_str()));
        let new = keys.wrap(&data, "ann").await.expect("wrapped");
        assert_ne!(old.wrapping_key, new.wrapping_key);
        for wrapped in [&old, &new] {
            assert_eq!(keys.unwrap(wrapped, "ann").await, Ok(data.clone()));
            assert_eq!(
                keys.unwrap(wrapped, "bob").await,
                Err(WrapError::Unreadable)
            );
        }
        assert!(keys.retire(&newest).is_err(), "the newest stays");
        keys.retire(&old.wrapping_key).expect("retired");
        let gone = WrapError::UnknownKey(old.wrapping_key.clone());
        assert_eq!(other.unwrap(&old, "ann").await, Err(gone));
        assert_eq!(other.unwrap(&new, "ann").await, Ok(data));
        assert!(
            !format!("{keys:?}").contains("AQEB"),
            "names alone are printed"
        );
    }

    #[test]
    fn personal_data_keys_in_a_file_that_others_read_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wrapping.keys");
        FileKeys::load_or_create(&path, random()).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let error = FileKeys::load(&path).expect_err("open to others");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(&path, "wrap-1 not-a-key\n").expect("written");
        let error = FileKeys::load(&path).expect_err("no key");
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
