//! Vectors and forgeries.

use super::*;
use beth_protocol::Account;
use beth_protocol::signature::delegate;
use serde_json::json;

const DOMAIN: &str = "crn.example.org";

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../vectors/crn/auth_vectors.json")).unwrap()
}

fn doorkeeper() -> Doorkeeper {
    Doorkeeper::new(DOMAIN, CoreNode::new("http://127.0.0.1:1").unwrap())
}

fn secret(vector: &Value) -> [u8; 32] {
    use base64::Engine;
    let text = vector["ephemeral_private_jwk"]["d"].as_str().unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    engine.decode(text).unwrap().try_into().unwrap()
}

fn wrapped(payload: &str, signature: &str) -> String {
    json!({"payload": const_hex::encode(payload), "signature": signature}).to_string()
}

#[test]
fn wallets_of_the_vectors_are_admitted() {
    let vectors = vectors();
    for name in ["jwk_eth", "jwk_sol"] {
        let vector = &vectors[name];
        let text = |pointer: &str| vector.pointer(pointer).unwrap().as_str().unwrap();
        let now = time(text("/now")).unwrap();
        let asked = Asked {
            method: text("/http_method"),
            path: text("/http_path"),
        };
        let (statement, operation) = (
            text("/headers/X-SignedPubKey"),
            text("/headers/X-SignedOperation"),
        );
        let door = doorkeeper();
        let admit = |asked, now| door.admit(Some(statement), Some(operation), asked, now);
        let operator = admit(asked, now).unwrap();
        assert_eq!(operator.address, text("/expected_authenticated_sender"));
        let at = |seconds: i64| Timestamp::from_micros(now.micros() + seconds * 1_000_000);
        assert_eq!(admit(asked, at(120)).unwrap(), operator);
        assert!(admit(asked, at(-120)).is_ok());
        assert_eq!(admit(asked, at(121)), Err(Refusal::OperationFields));
        assert_eq!(admit(asked, at(-121)), Err(Refusal::OperationFields));
        let frame = json!({"auth": {
            "X-SignedPubKey": serde_json::from_str::<Value>(statement).unwrap(),
            "X-SignedOperation": serde_json::from_str::<Value>(operation).unwrap(),
        }});
        let by_frame = door.admit_frame(&frame.to_string(), now).unwrap();
        assert_eq!(by_frame, operator);
        let elsewhere = Doorkeeper::new("other.org", door.core.clone());
        let refused = elsewhere.admit_frame(&frame.to_string(), now);
        assert_eq!(refused, Err("Invalid domain".into()));
        // Every byte that is signed counts.
        for (header, wrong) in [(0, Refusal::WalletSignature), (1, Refusal::KeySignature)] {
            let forged = |text: &str| {
                let mut value: Value = serde_json::from_str(text).unwrap();
                let payload = const_hex::decode(value["payload"].as_str().unwrap()).unwrap();
                let forged = String::from_utf8(payload).unwrap() + " ";
                value["payload"] = json!(const_hex::encode(forged));
                value.to_string()
            };
            let (mut statement, mut operation) = (statement.to_owned(), operation.to_owned());
            match header {
                0 => statement = forged(&statement),
                _ => operation = forged(&operation),
            }
            let refused = door.admit(Some(&statement), Some(&operation), asked, now);
            assert_eq!(refused, Err(wrong), "{name}");
        }
    }
}

/// What the recorded cases `f_*` change, and what becomes of it.
#[test]
fn forgeries_are_refused() {
    let vectors = vectors();
    let vector = &vectors["jwk_eth"];
    let account = Account::ethereum(vector["wallet_private_key"].as_str().unwrap()).unwrap();
    let secret = secret(vector);
    let now = time(vector["now"].as_str().unwrap()).unwrap();
    let path = vector["http_path"].as_str().unwrap();
    let statement: Value =
        serde_json::from_str(vector["pubkey_payload_utf8"].as_str().unwrap()).unwrap();
    let operation: Value =
        serde_json::from_str(vector["operation_payload_utf8"].as_str().unwrap()).unwrap();
    let say = |changes: Value| {
        let mut payload = statement.clone();
        for (name, value) in changes.as_object().unwrap() {
            payload[name] = value.clone();
        }
        let payload = payload.to_string();
        wrapped(&payload, &account.sign_text(payload.as_bytes()))
    };
    let ask = |changes: Value| {
        let mut payload = operation.clone();
        for (name, value) in changes.as_object().unwrap() {
            payload[name] = value.clone();
        }
        let payload = payload.to_string();
        let signature = delegate::sign(payload.as_bytes(), &secret).unwrap();
        wrapped(&payload, &const_hex::encode(signature))
    };
    let door = doorkeeper();
    let asked = Asked {
        method: "POST",
        path,
    };
    let admit = |statement: &str, operation: &str| {
        let admitted = door.admit(Some(statement), Some(operation), asked, now);
        admitted.map_err(|refusal| (refusal.status(), refusal.to_string()))
    };
    let (good, right) = (say(json!({})), ask(json!({})));
    assert!(admit(&good, &right).is_ok());
    let other = json!({"domain": "other.example.org"});
    assert!(admit(&say(other), &right).is_ok(), "register 4: kept");
    for (changes, status, text) in [
        (
            json!({"expires": "2026-03-01T11:59:59Z"}),
            401,
            "Token expired",
        ),
        (
            json!({"expires": "2099-12-31T23:59:59"}),
            400,
            "Invalid X-SignedPubKey data",
        ),
        (
            json!({"expires": 4102444799u64}),
            400,
            "Invalid X-SignedPubKey data",
        ),
        (
            json!({"expires": "soon"}),
            400,
            "Invalid X-SignedPubKey data",
        ),
        (json!({"chain": "BASE"}), 400, "Invalid X-SignedPubKey data"),
        (json!({"chain": "SOL"}), 401, "Invalid signature"),
        (
            json!({"pubkey": {"kty": "EC"}}),
            400,
            "Invalid X-SignedPubKey data",
        ),
        (
            json!({"address": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"}),
            401,
            "Invalid signature",
        ),
    ] {
        let refused = admit(&say(changes.clone()), &right);
        assert_eq!(refused, Err((status, text.into())), "{changes}");
    }
    let fields = "Invalid X-SignedOperation fields";
    for (changes, status, text) in [
        (
            json!({"domain": "evil.org"}),
            401,
            "Invalid domain: Signed: 'evil.org' != Request: 'crn.example.org'",
        ),
        (
            json!({"method": "GET"}),
            401,
            "Invalid method. Signed: 'GET' !=  request:'POST",
        ),
        (json!({"method": "post"}), 400, fields),
        (json!({"method": "PUT"}), 400, fields),
        (json!({"time": "2026-03-01T12:00:00"}), 400, fields),
        (json!({"time": "2026-03-01T12:02:01Z"}), 400, fields),
        (json!({"time": null}), 400, fields),
    ] {
        let refused = admit(&good, &ask(changes.clone()));
        assert_eq!(refused, Err((status, text.into())), "{changes}");
    }
    for good_time in [
        json!(1772366400),
        json!(1772366399.5),
        json!("2026-03-01T13:02:00.000+01:00"),
    ] {
        assert!(
            admit(&good, &ask(json!({"time": good_time}))).is_ok(),
            "{good_time}"
        );
    }
    let elsewhere = admit(&good, &ask(json!({"path": "/control/x"})));
    let text = format!("Invalid path. Signed: '/control/x' !=  requested path: '{path}'");
    assert_eq!(elsewhere, Err((401, text)));
    let der = json!({"payload": const_hex::encode(operation.to_string()), "signature": "3006020101020101"});
    assert_eq!(
        admit(&good, &der.to_string()),
        Err((401, "Signature could not verified".into()))
    );
    for bad in [
        "{",
        "[]",
        r#"{"payload": "zz", "signature": "00"}"#,
        r#"{"payload": "7b7d"}"#,
    ] {
        assert_eq!(admit(&good, bad), Err((400, fields.into())), "{bad}");
    }
    assert_eq!(
        admit("{", &right),
        Err((400, "Invalid X-SignedPubKey format".into()))
    );
    assert_eq!(
        admit("[]", &right),
        Err((400, "Invalid X-SignedPubKey data".into()))
    );
    let missing = door.admit(None, Some(&right), asked, now).unwrap_err();
    assert_eq!(missing.to_string(), "Missing X-SignedPubKey header");
    let missing = door.admit(Some(&good), None, asked, now).unwrap_err();
    assert_eq!(missing.to_string(), "Missing X-SignedOperation header");
}

#[test]
fn times_say_their_zone() {
    let noon = time("2026-03-01T12:00:00Z").unwrap();
    for same in [
        "2026-03-01T12:00:00.000000Z",
        "2026-03-01 12:00:00.0000009+00:00",
        "2026-03-01T10:30:00-01:30",
        "2026-03-01T12:00:00.000z",
    ] {
        assert_eq!(time(same), Some(noon), "{same}");
    }
    for bad in [
        "",
        "Z",
        "2026-03-01T12:00:00",
        "2026-03-01",
        "2026-03-01T12:00:00+0x:00",
        "é-03:00é",
    ] {
        assert_eq!(time(bad), None, "{bad}");
    }
}

#[test]
fn names_of_this_computer_are_one_name() {
    assert!(["localhost", "127.0.0.1", "::1", "[::1]"].map(is_here) == [true; 4]);
    for name in ["crn.example.org", "localhost.example.org", "127.0.0.11", ""] {
        assert!(!is_here(name), "{name}");
    }
    let vector = &vectors()["jwk_eth"];
    let text = |pointer: &str| vector.pointer(pointer).unwrap().as_str().unwrap();
    let asked = Asked {
        method: text("/http_method"),
        path: text("/http_path"),
    };
    let here = Doorkeeper::new("localhost", doorkeeper().core.clone());
    let statement = Some(text("/headers/X-SignedPubKey"));
    let operation = Some(text("/headers/X-SignedOperation"));
    // What was signed for a node elsewhere is not for this one.
    assert!(matches!(
        here.admit(statement, operation, asked, time(text("/now")).unwrap()),
        Err(Refusal::Domain { .. })
    ));
}
