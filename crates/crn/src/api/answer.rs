//! From a program's answer to a response (compute.md §10.2, point 5).
//!
//! Differences to upstream, both repairs: an answer of status 404 passes
//! unchanged, and `content-encoding` stays, since the body does.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use beth_protocol::ItemHash;
use hyper::ext::ReasonPhrase;

use crate::limits;
use crate::pool::Answered;

const ITEM_HASH: HeaderName = HeaderName::from_static("aleph-program-itemhash");
const CODE_REF: HeaderName = HeaderName::from_static("aleph-program-code-ref");

/// The response to one call.
pub(super) fn response(
    item_hash: &ItemHash,
    answered: Answered,
    is_head: bool,
    bytes_max: Option<u64>,
) -> Response {
    let answer = answered.answer;
    let status = StatusCode::from_u16(answer.status)
        .ok()
        .filter(|status| status.as_u16() >= 200);
    let Some(status) = status else {
        return invalid();
    };
    let size_bytes = answer.body.size_bytes();
    let body = match bytes_max {
        Some(bytes_max) if size_bytes.is_some_and(|bytes| bytes > bytes_max) => return invalid(),
        Some(bytes_max) => answer.body.limited(bytes_max),
        None => answer.body,
    };
    let mut response = Response::new(Body::new(body.timed(limits::ANSWER_IDLE_DEADLINE)));
    *response.status_mut() = status;
    let header_bytes = answer.headers.iter();
    let header_bytes: usize = header_bytes
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if answer.headers.len() > limits::ANSWER_HEADERS_MAX
        || header_bytes > limits::ANSWER_HEADER_BYTES_MAX
    {
        return invalid();
    }
    let headers = response.headers_mut();
    for (name, value) in &answer.headers {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            return invalid();
        };
        if name != header::TRANSFER_ENCODING && headers.try_append(name, value).is_err() {
            return invalid();
        }
    }
    // A length that is not the body's would garble the connection; only HEAD may announce
    // another, and a stream, whose connection is cut when it is not true.
    if let Some(size_bytes) = size_bytes
        && !(is_head && headers.contains_key(header::CONTENT_LENGTH))
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size_bytes));
    }
    name(headers, item_hash, &answered.code_ref);
    if size_bytes != Some(0) && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
    }
    response
}

/// Says which program answers.
pub(super) fn name(headers: &mut HeaderMap, item_hash: &ItemHash, code_ref: &ItemHash) {
    for (name, value) in [(ITEM_HASH, item_hash), (CODE_REF, code_ref)] {
        if let Ok(value) = HeaderValue::from_str(value.as_str()) {
            headers.insert(name, value);
        }
    }
}

/// The program's answer cannot be passed on.
fn invalid() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(b"Invalid response from VM"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::error;
    use crate::executor::{Answer, Fault};
    use crate::pool::CallFault;
    use http_body_util::BodyExt;
    use rmpv::Value as Pack;
    use serde_json::Value;

    /// Recorded answers that are repaired here: a program's 404 passes
    /// unchanged; headers that are texts are refused by the executor.
    const REPAIRED: [&str; 3] = ["program_404_json", "program_404_binary", "str_headers"];

    /// Recorded answers that are not about a program's reply.
    const ROUTING: [&str; 3] = ["suffix_no_slash", "by_host_about_path", "by_host_static"];

    fn member<'a>(map: &'a Pack, name: &str) -> Option<&'a Pack> {
        map.as_map()?
            .iter()
            .find(|(key, _)| key.as_str() == Some(name))
            .map(|(_, value)| value)
    }

    fn bytes(value: &Pack) -> Vec<u8> {
        value
            .as_slice()
            .map(<[u8]>::to_vec)
            .or_else(|| value.as_str().map(|text| text.as_bytes().to_vec()))
            .unwrap()
    }

    /// What an executor makes of a guest's recorded reply.
    fn outcome(reply: &str) -> Result<Answer, Fault> {
        if reply.starts_with("TimeoutError") {
            return Err(Fault::Timeout);
        }
        let reply = const_hex::decode(reply).unwrap();
        let reply = rmpv::decode::read_value(&mut &reply[..])
            .map_err(|_| Fault::Died("no reply".into()))?;
        if let Some(traceback) = member(&reply, "traceback") {
            return Err(Fault::Raised {
                traceback: traceback.as_str().unwrap().into(),
            });
        }
        let start = member(&reply, "headers").ok_or_else(|| Fault::Died("no map".into()))?;
        let headers = member(start, "headers").unwrap().as_array().unwrap().iter();
        Ok(Answer {
            status: member(start, "status").unwrap().as_u64().unwrap() as u16,
            headers: headers
                .map(|pair| (bytes(&pair[0]), bytes(&pair[1])))
                .collect(),
            body: bytes(member(member(&reply, "body").unwrap(), "body").unwrap()).into(),
        })
    }

    fn respond(case: &Value) -> Response {
        let item_hash =
            ItemHash::parse("63faf8b5db1cf8d965e6a464a0cb8062af8e7df131729e48738342d956f29ace")
                .unwrap();
        let code_ref =
            ItemHash::parse("7eb2eca2378ea8855336ed76c8b26219f1cb90234d04441de9cf8cb1c649d003")
                .unwrap();
        match outcome(case["vm_result_msgpack_hex"].as_str().unwrap()) {
            Ok(answer) => response(
                &item_hash,
                Answered { answer, code_ref },
                case["request"][0] == "HEAD",
                None,
            ),
            Err(fault) => error::of_call(&CallFault::Fault(fault)),
        }
    }

    fn sorted(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
        headers.retain(|(name, _)| name != "server" && name != "content-length");
        headers.sort();
        headers
    }

    #[tokio::test]
    async fn recorded_replies() {
        let text = include_str!("../../../../vectors/crn/program_invocation.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        for (name, case) in vectors["cases"].as_object().unwrap() {
            if REPAIRED.contains(&name.as_str()) || ROUTING.contains(&name.as_str()) {
                continue;
            }
            let response = respond(case);
            assert_eq!(
                response.status().as_u16(),
                case["status"].as_u64().unwrap() as u16,
                "{name}"
            );
            let ours = response.headers().iter();
            let ours = ours.map(|(name, value)| {
                (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
            });
            // The body is passed on as it is, so what describes it is too.
            let ours = ours.filter(|(name, _)| name != "content-encoding" && name != "vary");
            let theirs = case["headers"].as_array().unwrap().iter();
            let theirs = theirs.map(|pair| {
                (
                    pair[0].as_str().unwrap().to_lowercase(),
                    pair[1].as_str().unwrap().to_owned(),
                )
            });
            // A reply that is no reply kills the machine here, and the answer says so.
            if !matches!(name.as_str(), "garbage" | "truncated") {
                assert_eq!(sorted(ours.collect()), sorted(theirs.collect()), "{name}");
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let recorded = case["body"].as_str().unwrap();
                assert!(body == recorded || name == "head", "{name}: {body:?}");
            }
        }
    }

    #[test]
    fn more_headers_than_a_response_can_carry_are_refused() {
        let item_hash =
            ItemHash::parse("63faf8b5db1cf8d965e6a464a0cb8062af8e7df131729e48738342d956f29ace")
                .unwrap();
        let answered = |headers: Vec<(Vec<u8>, Vec<u8>)>| Answered {
            answer: Answer {
                status: 200,
                headers,
                body: crate::body::Body::empty(),
            },
            code_ref: item_hash.clone(),
        };
        let many = |count| (0..count).map(|n| (format!("x-{n}").into_bytes(), b"1".to_vec()));
        let long = vec![(b"x".to_vec(), vec![b'1'; limits::ANSWER_HEADER_BYTES_MAX])];
        for (headers, status) in [
            (many(limits::ANSWER_HEADERS_MAX).collect(), 200),
            (many(40_000).collect(), 502),
            (long, 502),
        ] {
            let response = response(&item_hash, answered(headers), false, None);
            assert_eq!(response.status().as_u16(), status);
        }
    }

    #[tokio::test]
    async fn a_programs_404_passes_unchanged() {
        let text = include_str!("../../../../vectors/crn/program_invocation.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        for (name, body) in [
            ("program_404_json", &b"{\"detail\":\"Not Found\"}"[..]),
            ("program_404_binary", b"\xff\xfe\0"),
        ] {
            let response = respond(&vectors["cases"][name]);
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            assert!(
                response.headers().contains_key(ITEM_HASH)
                    && response.headers().contains_key(CODE_REF)
            );
            assert_eq!(
                response.into_body().collect().await.unwrap().to_bytes(),
                body,
                "{name}"
            );
        }
    }
}
