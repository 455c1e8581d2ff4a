//! Small values that a program keeps on its node: one file a key.
//!
//! Bounded in keys and bytes; values are forgotten after a week. Keys are names
//! of letters, digits and underscores, so none is a path. Blocks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use beth_protocol::ItemHash;
use serde_json::json;

use super::{BYTES, Reply};
use crate::limits;

/// The caches of all programs.
pub(super) struct Cache {
    folder: PathBuf,
    /// Held while anything is written, so that bounds are kept.
    writing: Arc<Mutex<()>>,
}

/// The cache of one program.
pub(super) struct Shelf {
    folder: PathBuf,
    writing: Arc<Mutex<()>>,
}

/// True for what names a value.
pub(super) fn is_key(key: &str) -> bool {
    (1..=limits::CACHE_KEY_BYTES_MAX).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Cache {
    pub(super) fn open(folder: PathBuf) -> io::Result<Cache> {
        fs::create_dir_all(&folder)?;
        let writing = Arc::default();
        Ok(Cache { folder, writing })
    }

    pub(super) fn of(&self, program: &ItemHash) -> Shelf {
        Shelf {
            folder: self.folder.join(program.as_str()),
            writing: Arc::clone(&self.writing),
        }
    }
}

impl Shelf {
    pub(super) fn read(&self, key: &str) -> io::Result<Reply> {
        let path = self.folder.join(key);
        let missing = || Reply::refused(404, "No such key in cache");
        if !is_fresh(&path) {
            return Ok(missing());
        }
        match fs::read(&path) {
            Ok(value) => Ok(Reply::new(200, BYTES, value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(missing()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, key: &str, value: &[u8]) -> io::Result<Reply> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(&self.folder)?;
        let mut bytes = value.len() as u64;
        let mut keys = 1;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() == key {
                continue;
            }
            if !is_fresh(&entry.path()) {
                fs::remove_file(entry.path())?;
                continue;
            }
            bytes += entry.metadata()?.len();
            keys += 1;
        }
        if keys > limits::CACHE_KEYS_MAX || bytes > limits::CACHE_BYTES_MAX {
            return Ok(Reply::refused(
                507,
                "the cache of this program is full; delete some keys",
            ));
        }
        // No key has a dot: a reader sees the old value or the new one.
        let draft = self.folder.join(".draft");
        fs::write(&draft, value)?;
        fs::rename(&draft, self.folder.join(key))?;
        Ok(Reply::json(&json!(true)))
    }

    pub(super) fn remove(&self, key: &str) -> io::Result<Reply> {
        match fs::remove_file(self.folder.join(key)) {
            Ok(()) => Ok(Reply::json(&json!(1))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Reply::json(&json!(0))),
            Err(error) => Err(error),
        }
    }

    pub(super) fn list(&self, pattern: &str) -> io::Result<Reply> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_?*^-".contains(&byte);
        if pattern.is_empty()
            || pattern.len() > limits::CACHE_KEY_BYTES_MAX
            || !pattern.bytes().all(legal)
        {
            return Ok(Reply::refused(400, "Invalid key"));
        }
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Reply::json(&json!([])));
            }
            Err(error) => return Err(error),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_key(&name)
                && is_fresh(&entry.path())
                && matches(pattern.as_bytes(), name.as_bytes())
            {
                keys.push(name);
            }
        }
        keys.sort();
        Ok(Reply::json(&json!(keys)))
    }
}

fn is_fresh(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|data| data.modified());
    written.is_ok_and(|written| {
        let age = SystemTime::now()
            .duration_since(written)
            .unwrap_or_default();
        age < limits::CACHE_LIFETIME
    })
}

/// `*` is any text and `?` any letter. Steps back to the last star only, which
/// is as far as it ever needs to.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = name.get(from) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == letter => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((back, taken)) => {
                    *taken += 1;
                    (at, from) = (*back + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*c", "xxaxxbxxbxc", true),
            ("*a*b*c", "xxaxxbxxbx", false),
            ("b", "abc", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
        assert!(matches(&[b'*'; 200], &[b'a'; 200]));
    }

    #[test]
    fn keys_are_no_paths_and_programs_have_shelves_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache")).unwrap();
        let [one, two] = [b"one", b"two"].map(|name| cache.of(&ItemHash::of_bytes(name)));
        for wrong in ["", "..", "a/b", ".draft", "a.b", &"a".repeat(300)] {
            assert!(!is_key(wrong), "{wrong}");
        }
        assert_eq!(one.write("key", b"value").unwrap().status, 200);
        assert_eq!(one.read("key").unwrap().body, b"value");
        assert_eq!(two.read("key").unwrap().status, 404);
        assert_eq!(one.list("k*").unwrap().body, br#"["key"]"#);
        assert_eq!(two.list("*").unwrap().body, b"[]");
        assert_eq!(one.list("../*").unwrap().status, 400);
        assert_eq!(one.remove("key").unwrap().body, b"1");
        assert_eq!(one.remove("key").unwrap().body, b"0");
        let large = vec![0; limits::CACHE_BYTES_MAX as usize];
        assert_eq!(one.write("large", &large).unwrap().status, 200);
        assert_eq!(one.write("more", b"x").unwrap().status, 507);
        assert_eq!(one.write("large", b"x").unwrap().status, 200);
    }
}
