//! Programs behind names of their own: the TXT record `_aleph-id.<name>` says
//! which (compute.md §10.1).
//!
//! One question to the resolvers of this computer, by UDP; an answer counts only
//! if it is to that question. What was found, or not, is kept for a minute: the
//! names are whatever strangers write into a header.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use beth_protocol::ItemHash;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use crate::cache::Cache;

/// How long an answer is kept.
const AGE_MAX: Duration = Duration::from_secs(60);
/// Answers kept.
const NAMES_MAX: usize = 1024;
/// Questions under way.
const QUESTIONS_MAX: usize = 32;
/// How long a resolver may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest name, and longest label of one, in bytes.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// Type and class of the record.
const TXT: [u8; 4] = [0, 16, 0, 1];

static KNOWN: LazyLock<Cache<String, Option<ItemHash>>> =
    LazyLock::new(|| Cache::new(AGE_MAX, NAMES_MAX));
static QUESTIONS: Semaphore = Semaphore::const_new(QUESTIONS_MAX);

/// The program behind a host name.
pub(in super::super) async fn item_hash_of_name(host: &str) -> Option<ItemHash> {
    let name = host.split(':').next()?.trim_end_matches('.').to_lowercase();
    if name.parse::<IpAddr>().is_ok() || !name.contains('.') {
        return None;
    }
    let asked = async {
        let resolvers = resolvers().await;
        let name = format!("_aleph-id.{name}");
        let found = tokio::time::timeout(DEADLINE * 2, find(&name, &resolvers)).await;
        Ok::<_, ()>(found.unwrap_or_default())
    };
    KNOWN.or_ask(&name, asked).await.ok()?
}

async fn find(name: &str, resolvers: &[SocketAddr]) -> Option<ItemHash> {
    let _place = QUESTIONS.try_acquire().ok()?;
    for resolver in resolvers {
        let asked = tokio::time::timeout(DEADLINE, ask(name, *resolver)).await;
        if let Ok(Some(texts)) = asked {
            return texts.iter().find_map(|text| ItemHash::parse(text).ok());
        }
    }
    None
}

/// The texts of a name; `None` when that resolver gave no answer.
async fn ask(name: &str, resolver: SocketAddr) -> Option<Vec<String>> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).ok()?;
    let question = question(name)?;
    let query = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &question].concat();
    let own: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await.ok()?;
    socket.connect(resolver).await.ok()?;
    socket.send(&query).await.ok()?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        let answer = buffer.get(..length)?;
        if answer.get(..2) == Some(&id[..])
            && answer.get(12..12 + question.len()) == Some(&question[..])
        {
            return texts(answer, 12 + question.len());
        }
    }
}

fn question(name: &str) -> Option<Vec<u8>> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut question = Vec::with_capacity(name.len() + 6);
    for label in name.split('.') {
        let fits = (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        question.push(fits.then(|| u8::try_from(label.len()).ok()).flatten()?);
        question.extend_from_slice(label.as_bytes());
    }
    question.push(0);
    question.extend_from_slice(&TXT);
    Some(question)
}

/// The texts in an answer whose records begin at `place`.
fn texts(answer: &[u8], mut place: usize) -> Option<Vec<String>> {
    let is_answer = answer.get(2)? & 0x80 != 0;
    // The name has no such record, or does not exist: no text.
    if !is_answer || !matches!(answer.get(3)? & 0x0f, 0 | 3) {
        return None;
    }
    let count = u16::from_be_bytes(*answer.get(6..8)?.first_chunk()?);
    let mut found = Vec::new();
    for _ in 0..count {
        place = after_name(answer, place)?;
        let kind = answer.get(place..place + 4)?;
        let length = usize::from(u16::from_be_bytes(
            *answer.get(place + 8..place + 10)?.first_chunk()?,
        ));
        let data = answer.get(place + 10..place + 10 + length)?;
        if kind == TXT {
            found.push(joined(data)?);
        }
        place += 10 + length;
    }
    Some(found)
}

/// A name of labels, or of labels and a pointer.
fn after_name(answer: &[u8], mut place: usize) -> Option<usize> {
    loop {
        match *answer.get(place)? {
            0 => return Some(place + 1),
            length @ 1..=63 => place += 1 + usize::from(length),
            192.. => return Some(place + 2),
            _ => return None,
        }
    }
}

/// The strings of a record, each with its length before it, as one text.
fn joined(mut data: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        let (string, rest) = rest.split_at_checked(usize::from(length))?;
        bytes.extend_from_slice(string);
        data = rest;
    }
    String::from_utf8(bytes).ok()
}

/// The resolvers of this computer.
async fn resolvers() -> Vec<SocketAddr> {
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await;
    let text = text.unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = lines.filter_map(|rest| rest.trim().parse::<IpAddr>().ok());
    addresses.map(|address| (address, 53).into()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_names_a_program() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolver = server.local_addr().unwrap();
        let name = ItemHash::of_bytes(b"program");
        let said = name.clone();
        let serve = async move {
            let mut buffer = [0; 512];
            let (length, client) = server.recv_from(&mut buffer).await.unwrap();
            let query = &buffer[..length];
            let said = said.as_str().as_bytes();
            let (first, second) = said.split_at(40);
            let data = [&[40], first, &[24], second].concat();
            let record = [&[192, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 66], &data[..]].concat();
            let alias = [192, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 192, 12];
            let head = [&query[..2], &[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]].concat();
            let answer = [&head, &query[12..], &alias, &record].concat();
            // A guess of somebody else comes first.
            let mut guess = answer.clone();
            guess[0] ^= 1;
            server.send_to(&guess, client).await.unwrap();
            server.send_to(&answer, client).await.unwrap();
        };
        let asked = find("_aleph-id.app.example.org", std::slice::from_ref(&resolver));
        let (found, ()) = tokio::join!(asked, serve);
        assert_eq!(found, Some(name));
    }

    #[test]
    fn answers_of_any_shape_are_read_or_refused() {
        let head = |count: u8| [0, 0, 0x80, 0, 0, 1, 0, count, 0, 0, 0, 0];
        assert_eq!(texts(&head(0), 12), Some(vec![]));
        assert_eq!(texts(&head(1), 12), None, "a record is missing");
        assert_eq!(texts(&[0; 12], 12), None, "a question is no answer");
        let endless = [&head(1)[..], &[0, 0, 16, 0, 1, 0, 0, 0, 0, 255, 255, 1]].concat();
        assert_eq!(texts(&endless, 12), None);
        for bad in [
            "",
            "a..b",
            &"x".repeat(64),
            &"x.".repeat(200),
            "a b.c",
            "é.org",
        ] {
            assert_eq!(question(bad), None, "{bad}");
        }
        assert_eq!(joined(&[3, b'a']), None);
    }
}
