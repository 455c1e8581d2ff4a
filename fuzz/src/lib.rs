//! What the fuzz targets share: what must hold, and how inputs are changed.
//!
//! ```text
//!  bytes ─▶ mutate: as JSON, as an encoded text, or byte by byte
//!        ─▶ target: parse ─▶ accepted? what was promised must hold
//! ```
//!
//! A target is a few lines in `targets/`; a check panics when a promise is
//! broken. Slowness is a finding too: see `-timeout` in `scripts/fuzz.sh`.

pub mod alive;
pub mod archive;
pub mod content;
pub mod envelope;
pub mod judgement;
pub mod mutate;
pub mod payload;
pub mod reconcile;
pub mod signature;

/// A target that reads a content of one type.
#[macro_export]
macro_rules! content_target {
    ($kind:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            $crate::content::check(beth_protocol::MessageType::$kind, data);
        });
        $crate::json_mutator!();
    };
}

/// A target that decodes the signatures of one scheme.
#[macro_export]
macro_rules! signature_target {
    ($scheme:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            $crate::signature::check(beth_protocol::chain::Scheme::$scheme, data);
        });
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate::signature(data, size, max_size, seed)
        });
    };
}

/// Changes inputs as JSON documents.
#[macro_export]
macro_rules! json_mutator {
    () => {
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate::json(data, size, max_size, seed)
        });
    };
}
