#![no_main]
use beth_protocol::decimal::Decimal;
use beth_protocol::time::Timestamp;

// Times as cursors and envelopes have them, and decimal amounts: what is read
// is written as something that reads the same.
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(time) = Timestamp::from_iso(text) {
        assert_eq!(Timestamp::from_iso(&time.to_iso("+00:00")), Some(time));
    }
    if let Ok(value) = serde_json::from_str(text)
        && let Ok(time) = Timestamp::from_json(&value)
    {
        assert_eq!(Timestamp::from_json(&time.to_json()), Ok(time));
        assert_eq!(Timestamp::from_iso(&time.to_iso("Z")), Some(time));
    }
    if let Some(amount) = Decimal::parse(text) {
        let _ = (amount.to_cost_string(), amount.to_f64(), amount.ceil_u64());
        assert!(amount.floor_cost() <= amount);
    }
});
