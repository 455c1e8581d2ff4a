//! The secret of this node: who reads its file may look inside, and what it
//! signs may be fetched without a wallet (compute.md §5.5).

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Length of the secret before base64, in bytes.
const SECRET_BYTES: usize = 32;

/// Least length of a file that is taken as it is, in characters.
const TOKEN_LENGTH_MIN: usize = 43;

/// The token in `login_token`.
#[derive(Clone)]
pub struct LocalToken(String);

impl LocalToken {
    /// The token of a folder, made now if there is none; only the owner of the
    /// file reads it. It stays the same, so that links signed before a restart
    /// are good after it.
    pub fn open(folder: &Path) -> std::io::Result<LocalToken> {
        let path = folder.join("login_token");
        if let Ok(text) = std::fs::read_to_string(&path)
            && text.trim().len() >= TOKEN_LENGTH_MIN
        {
            return Ok(LocalToken(text.trim().to_owned()));
        }
        let token = random_token()?;
        let part = folder.join("login_token.part");
        drop(std::fs::remove_file(&part));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&part)?;
        file.write_all(token.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, &path)?;
        Ok(LocalToken(token))
    }

    /// A token that somebody chose: for tests.
    pub fn of_text(text: &str) -> LocalToken {
        LocalToken(text.to_owned())
    }

    /// True for the token itself.
    pub fn is(&self, text: &str) -> bool {
        is_same(self.0.as_bytes(), text.as_bytes())
    }

    /// Signs a link to a backup that is good until `expires` (Unix seconds).
    pub fn sign_backup(&self, backup_id: &str, machine: &str, expires: i64) -> String {
        let text = format!("{backup_id}:{machine}:{expires}");
        const_hex::encode(hmac_sha256(self.0.as_bytes(), text.as_bytes()))
    }

    /// True when this node signed that link.
    pub fn signed_backup(
        &self,
        backup_id: &str,
        machine: &str,
        expires: i64,
        signature: &str,
    ) -> bool {
        let right = self.sign_backup(backup_id, machine, expires);
        is_same(right.as_bytes(), signature.as_bytes())
    }
}

impl std::fmt::Debug for LocalToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LocalToken")
    }
}

/// 32 random bytes as text for a URL.
pub(crate) fn random_token() -> std::io::Result<String> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(secret))
}

/// Compares without telling by its time where the difference is.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differences == 0
}

/// HMAC (RFC 2104) with SHA-256.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK_BYTES: usize = 64;
    let mut block = [0; BLOCK_BYTES];
    let hashed: [u8; 32];
    let key = if key.len() > BLOCK_BYTES {
        hashed = Sha256::digest(key).into();
        &hashed[..]
    } else {
        key
    };
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_token_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let made = LocalToken::open(folder.path()).unwrap();
        let path = folder.path().join("login_token");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(made.is(&text) && !made.is("") && !made.is(&text[1..]));
        assert!(LocalToken::open(folder.path()).unwrap().is(&text));
    }

    #[test]
    fn backup_presigned() {
        let text = include_str!("../../../../vectors/crn/auth_vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let case = &vectors["backup_presigned"];
        let member = |name: &str| case[name].as_str().unwrap();
        let token = LocalToken::of_text(member("secret_token"));
        let expires = case["expires"].as_i64().unwrap();
        let (id, machine) = (member("backup_id"), member("vm_hash"));
        let signature = token.sign_backup(id, machine, expires);
        assert_eq!(signature, member("signature"));
        assert!(token.signed_backup(id, machine, expires, &signature));
        assert!(!token.signed_backup(id, machine, expires + 1, &signature));
        assert!(!LocalToken::of_text("x").signed_backup(id, machine, expires, &signature));
    }

    #[test]
    fn launch_measure_of_the_vectors() {
        use base64::engine::general_purpose::STANDARD;
        let text = include_str!("../../../../vectors/crn/sev_vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let hex = |name: &str| const_hex::decode(vectors[name].as_str().unwrap()).unwrap();
        let measure = hmac_sha256(&hex("tik_hex"), &hex("hmac_input_hex"));
        assert_eq!(
            STANDARD.encode(measure),
            vectors["measure_b64"].as_str().unwrap()
        );
        let launch = STANDARD.decode(vectors["launch_measure_b64"].as_str().unwrap());
        assert_eq!(&launch.unwrap()[..32], measure);
        let long = hmac_sha256(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        );
        assert!(const_hex::encode(long).starts_with("60e431591ee0b67f"));
    }
}
