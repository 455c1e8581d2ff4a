//! Where this node answers otherwise than the recorded one, and why.

use serde_json::Value;

/// A step with another outcome on purpose.
pub struct Difference {
    /// Index of the step.
    pub step: usize,
    ours: &'static str,
    /// Why, with the decision of the specification.
    #[allow(dead_code)]
    reason: &'static str,
}

impl Difference {
    /// What this node answers.
    pub fn ours(&self) -> Value {
        serde_json::from_str(self.ours).unwrap()
    }
}

const fn differs(step: usize, ours: &'static str, reason: &'static str) -> Difference {
    Difference { step, ours, reason }
}

const NO_STUB: &str = "the recording node's IPFS was a stub that answered without content; here the file is missing and the \
     message waits for it";
const SIGNATURE_OBJECT: &str =
    "messages.md §7.1: an object is read as its compact text, which is a wrong signature here";
const NOT_AN_OBJECT: &str = "messages.md §4: upstream crashes on a fetched content that is no object; the decision is code 0";
const KEY_OBJECT: &str = "messages.md §8.3: {\"name\": x} counts as x";
const POINTER: &str = "processing.md §10: upstream's pointer to the last revision moves back to an older element; here it is the \
     newest by content time";
const TIES: &str = "processing.md §10: upstream fails on equal times; merging is deterministic here, by time and then by hash";
const UNKNOWN_CARD: &str = "processing.md §7: code -1 may have details; upstream's are lost with the exception, here they name the card";
const PLAIN_KEY: &str = "messages.md §8.5: keys of aggregates are arbitrary texts";

/// scenario_envelope.json
pub const ENVELOPE: &[Difference] = &[
    differs(
        53,
        r#"{"status":"rejected","error_code":1}"#,
        SIGNATURE_OBJECT,
    ),
    differs(66, r#"{"status":"pending","error_code":3}"#, NO_STUB),
    differs(68, r#"{"status":"pending","error_code":3}"#, NO_STUB),
    differs(75, r#"{"status":"rejected","error_code":0}"#, NOT_AN_OBJECT),
];

/// scenario_aggregates_forgets.json
pub const AGGREGATES: &[Difference] = &[
    differs(0, r#"{"status":"processed"}"#, KEY_OBJECT),
    differs(
        7,
        r#"[{"a":1,"b":{"y":2},"c":null,"m":1,"z":9},"23370247",1699999990.0,false]"#,
        POINTER,
    ),
    differs(
        9,
        r#"[{"a":7,"b":{"y":2},"c":null,"m":1,"z":9},"23370247",1699999990.0,false]"#,
        POINTER,
    ),
    differs(14, r#"{"status":"processed"}"#, TIES),
    differs(
        15,
        r#"[{"a":8,"b":8,"c":null,"m":1,"z":9},"583ba9cb",1699999990.0,false]"#,
        TIES,
    ),
    differs(
        17,
        r#"[{"a":8,"b":8,"c":null,"m":1,"q":8,"z":9},"d38ff250",1699999990.0,false]"#,
        TIES,
    ),
    differs(26, r#"{"status":"processed"}"#, PLAIN_KEY),
];

/// scenario_vms_costs.json
pub const MACHINES: &[Difference] = &[differs(
    50,
    r#"{"status":"pending","error_code":-1,"details":{"errors":["no price for graphics card '10de:0000'"]}}"#,
    UNKNOWN_CARD,
)];
