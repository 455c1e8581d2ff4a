//! Names of persistent volumes, which tenants choose and which become files.
//!
//! ```text
//! "my data.v2" ─▶ my_data_v2        "../x", "/x", ".x" ─▶ refused
//! ```

use beth_protocol::content::machine::PersistentVolume;

use crate::limits;

/// The stem of a volume's file, which is never a path. What is no letter, digit,
/// `-` or `_` becomes `_`; separators are refused. A volume without a name is
/// called by its place among all volumes. The error is a sentence.
pub(crate) fn file_stem(volume: &PersistentVolume, index: usize) -> Result<String, String> {
    let name = volume.name.as_deref().filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Ok(format!("unamed_volume_{index}"));
    };
    let refuse = |reason: &str| Err(format!("the volume {name:?} {reason}"));
    if name.len() > limits::VOLUME_NAME_BYTES_MAX {
        return Err("a volume has too long a name".to_owned());
    }
    if name.contains(['/', '\\', '\0']) || name.starts_with('.') {
        return refuse("has a path as its name; use letters, digits, '-' and '_'");
    }
    let kept = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    Ok(name
        .chars()
        .map(|letter| if kept(letter) { letter } else { '_' })
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        let stem = |name: &str| {
            let volume = serde_json::json!({"persistence": "host", "size_mib": 1, "name": name});
            file_stem(&serde_json::from_value(volume).unwrap(), 3).ok()
        };
        for (name, expected) in [
            ("data", Some("data")),
            ("my data.v2", Some("my_data_v2")),
            ("", Some("unamed_volume_3")),
            ("../../etc/passwd", None),
            ("/etc/cron.d/x", None),
            ("..", None),
            ("a\\b", None),
            ("a\0b", None),
        ] {
            assert_eq!(stem(name).as_deref(), expected, "{name:?}");
        }
        assert_eq!(stem(&"x".repeat(300)), None);
    }
}
