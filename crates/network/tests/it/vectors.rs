//! What upstream puts on the wire.

use base64::{Engine, engine::general_purpose::STANDARD};
use beth_network::{
    message_id,
    payload::{decode_candidates, encode_payload},
};
use serde_json::Value;

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn message_ids() {
    let vectors = read(include_str!(
        "../../../../vectors/network/p2p/gossipsub_message_id_vectors.json"
    ));
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 9);
    for vector in vectors {
        let data = STANDARD.decode(text(&vector["data_base64"])).unwrap();
        assert_eq!(
            message_id(&data),
            text(&vector["message_id_ascii"]),
            "{}",
            vector["label"]
        );
    }
}

#[test]
fn alive_messages_are_named_and_read_as_they_are() {
    let names = read(include_str!(
        "../../../../vectors/network/p2p/gossipsub_message_id_vectors.json"
    ));
    let alive = read(include_str!(
        "../../../../vectors/network/p2p/alive_messages.json"
    ));
    for message in alive["messages"].as_array().unwrap() {
        let message = text(message);
        let encoded = STANDARD.encode(message);
        let known = names["vectors"].as_array().unwrap().iter();
        let vector = known
            .clone()
            .find(|vector| text(&vector["data_base64"]) == encoded)
            .unwrap();
        assert_eq!(
            message_id(message.as_bytes()),
            text(&vector["message_id_ascii"])
        );
        assert_eq!(decode_candidates(message.as_bytes()), [message]);
    }
}

#[test]
fn percent_decoding() {
    let samples = read(include_str!(
        "../../../../vectors/network/p2p/message_topic_samples.json"
    ));
    for vector in samples["unquote_vectors"].as_array().unwrap() {
        let published = text(&vector["published_text"]);
        let candidates = decode_candidates(published.as_bytes());
        assert_eq!(candidates[0], published);
        assert_eq!(
            candidates.last().unwrap(),
            text(&vector["text_after_receiver_unquote"])
        );
        assert_eq!(
            candidates.len() == 1,
            vector["unchanged"].as_bool().unwrap(),
            "{published}"
        );
    }
}

#[test]
fn message_payloads() {
    let samples = read(include_str!(
        "../../../../vectors/network/p2p/message_topic_samples.json"
    ));
    let sample = &samples["sample"];
    let payload = encode_payload(text(&sample["payload_utf8"]));
    assert_eq!(payload, text(&sample["payload_utf8"]).as_bytes());
    assert_eq!(message_id(&payload), text(&sample["gossipsub_message_id"]));

    let example = &samples["percent_corruption_example"];
    let published = text(&example["payload_as_published_upstream"]);
    let escaped = encode_payload(published);
    assert_eq!(
        escaped,
        text(&example["payload_with_percent_escaped"]).as_bytes()
    );
    assert_eq!(decode_candidates(&escaped)[1], published);
}
