//! What a node says of itself.

use beth_protocol::alive::Alive;

/// What is read is written as something that reads the same.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(alive) = Alive::parse(text) {
        let again = Alive::parse(&alive.to_text());
        assert!(again.is_err() || again == Ok(alive));
    }
}
