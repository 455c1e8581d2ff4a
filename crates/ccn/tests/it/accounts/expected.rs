//! What the recordings expect, in the form in which this node is asked.

use super::*;

/// Accounts A, B, C of the recordings.
pub const PEOPLE: [&str; 3] = [
    "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
    "0x1563915e194D8CfBA1943570603F7606A3115508",
    "0x5CbDd86a2FA8Dc4bDdd8a8f69dBa48572EeC07FB",
];

pub fn sorted(mut rows: Vec<Value>) -> Value {
    rows.sort_by_key(Value::to_string);
    rows.into()
}

/// What the recording expects of a message, in the form of [`World::submit`].
pub fn expected_message(step: &Value) -> Value {
    let expect = &step["expect"];
    let mut wanted = json!({"status": expect["status"]});
    if let Some(code) = expect.get("error_code") {
        wanted["error_code"] = code.clone();
        wanted["details"] = without_inputs(&expect["details"]);
        wanted["retried"] = expect["retried_before_rejection"].clone();
    }
    if expect.get("detail").is_some() {
        // One text in the recording: "rejected code=501 details={…}".
        let text = expect["detail"].as_str().unwrap();
        let (_, details) = text.split_once("details=").unwrap();
        wanted["error_code"] = 501.into();
        wanted["details"] = serde_json::from_str(details).unwrap();
        wanted["retried"] = true.into();
    }
    if let Some(confirmations) = expect.get("confirmations") {
        wanted["confirmations"] = confirmations.clone();
    }
    wanted
}

/// Texts of schema faults name kind, place and sentence here; upstream's also
/// repeat the input and link a library's manual.
pub fn without_inputs(details: &Value) -> Value {
    let Some(text) = details["errors"][0].as_str() else {
        return details.clone();
    };
    if !text.starts_with("Invalid credit") {
        return details.clone();
    }
    let (fault, _) = text.split_once(", 'input': ").unwrap();
    json!({"errors": [format!("{fault}}}]")]})
}

pub fn expected_state(step: &Value) -> Value {
    match step["value"].clone() {
        Value::Object(statuses) => {
            let short = statuses
                .into_iter()
                .map(|(hash, status)| (hash[..8].to_owned(), status));
            json!(short.collect::<BTreeMap<_, _>>())
        }
        Value::Array(mut rows) => {
            for row in &mut rows {
                if step["kind"].as_str().unwrap().starts_with("pins") {
                    row[1] = row[1].as_str().unwrap()[..8].into();
                }
            }
            sorted(rows)
        }
        other => other,
    }
}
