//! Recorded requests made real, and answers compared with recorded ones.

use axum::body::{Body, Bytes};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(response: Response) -> Answer {
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// The request of a recording.
pub fn request_of(entry: &Value) -> Request<Body> {
    let mut request = Request::builder()
        .method(entry["method"].as_str().unwrap())
        .uri(entry["path"].as_str().unwrap());
    for (name, value) in entry["request_headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap());
    }
    match entry["kind"].as_str() {
        Some("json") => request
            .header("content-type", "application/json")
            .body(Body::from(entry["json"].to_string())),
        Some("multipart") => {
            let body = form(entry["parts"].as_array().unwrap());
            request
                .header("content-type", "multipart/form-data; boundary=fixture")
                .body(Body::from(body))
        }
        Some("raw") => request.body(Body::from(bytes_of(entry))),
        Some("described") => request.body(Body::from(too_long().to_string())),
        _ => request.body(Body::empty()),
    }
    .unwrap()
}

/// The one request that is described instead of recorded.
fn too_long() -> Value {
    let content = serde_json::json!({"address": "a", "time": 1.0, "type": "t", "content": "x".repeat(200_001)});
    let text = content.to_string();
    let hash = beth_protocol::ItemHash::of_bytes(text.as_bytes());
    serde_json::json!({"message": {
        "sender": "a", "chain": "ETH", "type": "POST", "time": 1.0, "signature": "0x00",
        "item_type": "inline", "item_content": text, "item_hash": hash,
    }})
}

/// The bytes of a raw body or of a part.
pub fn bytes_of(entry: &Value) -> Vec<u8> {
    let encoded = entry["body_b64"].as_str().or(entry["b64"].as_str());
    if let Some(encoded) = encoded {
        return STANDARD.decode(encoded).unwrap();
    }
    for key in ["body_repeat", "repeat"] {
        let repeat = &entry[key];
        if repeat.is_object() {
            let mut bytes = repeat["prefix"]
                .as_str()
                .unwrap_or_default()
                .as_bytes()
                .to_vec();
            let unit = repeat["char"].as_str().unwrap();
            bytes.extend(
                unit.repeat(repeat["count"].as_u64().unwrap() as usize)
                    .bytes(),
            );
            return bytes;
        }
    }
    entry["body_text"]
        .as_str()
        .or(entry["text"].as_str())
        .unwrap_or_default()
        .as_bytes()
        .to_vec()
}

fn form(parts: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let name = part["name"].as_str().unwrap();
        body.extend(
            format!("--fixture\r\nContent-Disposition: form-data; name=\"{name}\"").bytes(),
        );
        if let Some(filename) = part["filename"].as_str() {
            body.extend(format!("; filename=\"{filename}\"").bytes());
        }
        if let Some(content_type) = part["content_type"].as_str() {
            body.extend(format!("\r\nContent-Type: {content_type}").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(bytes_of(part));
        body.extend(b"\r\n");
    }
    body.extend(b"--fixture--\r\n");
    body
}

/// What an answer has other than the recorded one. `ignored` are JSON pointers
/// (`*` for any element) or `*` for the whole body.
pub fn differences(
    expected: &Value,
    answer: &Answer,
    ignored: &[&str],
    status: Option<u16>,
) -> Vec<String> {
    let mut found = Vec::new();
    let expected_status = status.map_or_else(|| expected["status"].as_u64().unwrap(), u64::from);
    if u64::from(answer.status.as_u16()) != expected_status {
        found.push(format!(
            "status {} instead of {expected_status}: {}",
            answer.status,
            answer.text()
        ));
        return found;
    }
    let expected_type = expected["headers"]["content-type"]
        .as_str()
        .unwrap_or_default();
    if status.is_none() && answer.header("content-type") != expected_type {
        found.push(format!(
            "content type {:?} instead of {expected_type:?}",
            answer.header("content-type")
        ));
    }
    let lengths: &[&str] = match expected["body"].as_str() {
        // Of a HEAD; other lengths follow from the bodies.
        Some("") if ignored.is_empty() && status.is_none() => &["content-length"],
        _ => &[],
    };
    let always = [
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "allow",
    ];
    for &header in always.iter().chain(lengths) {
        let wanted = expected["headers"][header].as_str();
        if wanted.is_some_and(|wanted| answer.header(header) != wanted) {
            found.push(format!(
                "{header} {:?} instead of {wanted:?}",
                answer.header(header)
            ));
        }
    }
    if status.is_some() || ignored.contains(&"*") {
        return found;
    }
    let recorded = expected["body_b64"]
        .as_str()
        .map(|text| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
        .unwrap_or_else(|| expected["body"].as_str().unwrap_or_default().to_owned());
    found.extend(body_difference(&recorded, &answer.text(), ignored));
    found
}

fn body_difference(recorded: &str, answered: &str, ignored: &[&str]) -> Option<String> {
    let pair = (
        serde_json::from_str::<Value>(recorded),
        serde_json::from_str::<Value>(answered),
    );
    let (Ok(mut recorded_json), Ok(mut answered_json)) = pair else {
        // The reason why a cursor is invalid is the parser's own.
        let both_cursors = [recorded, answered]
            .iter()
            .all(|text| text.starts_with("Invalid cursor: "));
        let same = recorded == answered
            || (both_cursors && !recorded.ends_with("fields"))
            || (first_fault(recorded).is_some() && first_fault(recorded) == first_fault(answered));
        return (!same).then(|| format!("{answered:?} instead of {recorded:?}"));
    };
    for value in [&mut recorded_json, &mut answered_json] {
        normalise(value);
        for path in ignored {
            remove(value, &path.split('/').skip(1).collect::<Vec<_>>());
        }
    }
    first_difference(&recorded_json, &answered_json, "")
}

/// Kind and place of the first thing wrong with an upload's metadata; the
/// further ones depend on how a library goes on after the first.
fn first_fault(text: &str) -> Option<(Value, Value)> {
    let faults: Value =
        serde_json::from_str(text.strip_prefix("422: Could not decode metadata: ")?).ok()?;
    Some((faults[0]["type"].clone(), faults[0]["loc"].clone()))
}

/// Drops what changes with the clock or belongs to upstream's libraries.
fn normalise(value: &mut Value) {
    // One route answers with JSON in a JSON string.
    if let Some(inner) = value
        .as_str()
        .and_then(|text| text.starts_with("[{").then(|| serde_json::from_str(text)))
    {
        *value = inner.unwrap_or_default();
    }
    match value {
        Value::Object(members) => {
            members.shift_remove("reception_time");
            // Ours: sentences for people, which upstream does not give.
            members.shift_remove("advice");
            members.shift_remove("waits");
            let is_fault = members.contains_key("loc") && members.contains_key("msg");
            if is_fault {
                members.shift_remove("url");
                if members["loc"] == Value::Array(Vec::new()) {
                    members.shift_remove("input");
                }
            }
            members.values_mut().for_each(normalise);
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        _ => {}
    }
}

fn remove(value: &mut Value, path: &[&str]) {
    match (path, value) {
        ([last], Value::Object(members)) => drop(members.shift_remove(*last)),
        (["*", rest @ ..], Value::Array(items)) => {
            items.iter_mut().for_each(|item| remove(item, rest))
        }
        ([first, rest @ ..], Value::Object(members)) => {
            if let Some(member) = members.get_mut(*first) {
                remove(member, rest);
            }
        }
        _ => {}
    }
}

fn first_difference(recorded: &Value, answered: &Value, at: &str) -> Option<String> {
    match (recorded, answered) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                let Some(other) = b.get(key) else {
                    return Some(format!("{at}/{key} is missing"));
                };
                if let Some(found) = first_difference(value, other, &format!("{at}/{key}")) {
                    return Some(found);
                }
            }
            b.keys()
                .find(|key| !a.contains_key(*key))
                .map(|key| format!("{at}/{key} is too much"))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(index, (a, b))| first_difference(a, b, &format!("{at}/{index}"))),
        _ => (recorded != answered).then(|| format!("{at} is {answered} instead of {recorded}")),
    }
}
