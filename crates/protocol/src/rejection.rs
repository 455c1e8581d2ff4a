//! Why a message is refused: numeric codes and their details (processing.md §7).

use serde_json::{Value, json};

/// Wire-visible error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Code {
    InternalError = -1,
    InvalidFormat = 0,
    InvalidSignature = 1,
    PermissionDenied = 2,
    ContentUnavailable = 3,
    FileUnavailable = 4,
    BalanceInsufficient = 5,
    CreditInsufficient = 6,
    PostAmendNoTarget = 100,
    PostAmendTargetNotFound = 101,
    PostAmendAmend = 102,
    StoreRefNotFound = 200,
    StoreUpdateUpdate = 201,
    InvalidPaymentMethod = 202,
    VmRefNotFound = 300,
    VmVolumeNotFound = 301,
    VmAmendNotAllowed = 302,
    VmUpdateUpdate = 303,
    VmVolumeTooSmall = 304,
    ForgetNoTarget = 500,
    ForgetTargetNotFound = 501,
    ForgetForget = 502,
    ForgetNotAllowed = 503,
    ForgottenDuplicate = 504,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// True when the condition may heal by itself (a file arrives, a target
    /// appears), so that the message waits and is tried again.
    pub fn is_retryable(self) -> bool {
        use Code::*;
        matches!(
            self,
            InternalError
                | ContentUnavailable
                | FileUnavailable
                | PostAmendTargetNotFound
                | StoreRefNotFound
                | VmRefNotFound
                | VmVolumeNotFound
                | ForgetTargetNotFound
        )
    }

    /// A sentence for people: what happened and what to do.
    pub fn advice(self) -> &'static str {
        use Code::*;
        match self {
            InternalError => {
                "the node failed while processing this message; it is tried again, ask the operator for the log if it persists"
            }
            InvalidFormat => {
                "the message does not follow the format; correct the fields named in the details and sign it again"
            }
            InvalidSignature => {
                "the signature does not match chain, sender, type and item hash; sign exactly these four lines with the key of the sender"
            }
            PermissionDenied => {
                "the sender may not act for this address; sign with the owner's key or ask the owner for a delegation in its `security` aggregate"
            }
            ContentUnavailable => {
                "the content of this message could not be found on any node; upload it before publishing the message"
            }
            FileUnavailable => {
                "the file named by this message could not be found on any node; upload it before publishing the message"
            }
            BalanceInsufficient => {
                "the address holds too few tokens for everything it runs and stores; add tokens or forget something"
            }
            CreditInsufficient => {
                "the address has too few credits for one day of everything it pays with credits; add credits or forget something"
            }
            PostAmendNoTarget => "an amend needs `ref`: the item hash of the post to change",
            PostAmendTargetNotFound => {
                "the post to change is unknown to this node; check `ref`, or publish the post first"
            }
            PostAmendAmend => "an amend must name the original post, not another amend",
            StoreRefNotFound => {
                "`ref` names no stored file; check it, or publish the first version before its update"
            }
            StoreUpdateUpdate => {
                "an update must name the first version of the file, not another update"
            }
            InvalidPaymentMethod => "messages of this kind must be paid with credits by now",
            VmRefNotFound => "`replaces` names no program; check the hash",
            VmVolumeNotFound => {
                "code, runtime, data or a volume names a file that no STORE message has published; store the file first, wait until it is processed, then publish again"
            }
            VmAmendNotAllowed => "the program to replace does not allow amendments",
            VmUpdateUpdate => "an update must name the first version of the program",
            VmVolumeTooSmall => {
                "the volume is smaller than the image it is made from; increase `size_mib`"
            }
            ForgetNoTarget => "name at least one message or aggregate to forget",
            ForgetTargetNotFound => "a message to forget is unknown to this node or already gone",
            ForgetForget => "a FORGET message cannot be forgotten",
            ForgetNotAllowed => "the file is used by a program or instance; forget that one first",
            ForgottenDuplicate => "this message was forgotten and cannot be published again",
        }
    }

    /// Finds a code by its number.
    pub fn from_number(number: i32) -> Option<Code> {
        use Code::*;
        [
            InternalError,
            InvalidFormat,
            InvalidSignature,
            PermissionDenied,
            ContentUnavailable,
            FileUnavailable,
            BalanceInsufficient,
            CreditInsufficient,
            PostAmendNoTarget,
            PostAmendTargetNotFound,
            PostAmendAmend,
            StoreRefNotFound,
            StoreUpdateUpdate,
            InvalidPaymentMethod,
            VmRefNotFound,
            VmVolumeNotFound,
            VmAmendNotAllowed,
            VmUpdateUpdate,
            VmVolumeTooSmall,
            ForgetNoTarget,
            ForgetTargetNotFound,
            ForgetForget,
            ForgetNotAllowed,
            ForgottenDuplicate,
        ]
        .into_iter()
        .find(|code| code.number() == number)
    }
}

/// A refusal: a value, not an error of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// What kind of refusal.
    pub code: Code,
    /// Items of the `errors` list that is stored and served; empty = `null`.
    pub errors: Vec<Value>,
}

impl Rejection {
    /// A refusal without details.
    pub fn bare(code: Code) -> Rejection {
        Rejection {
            code,
            errors: Vec::new(),
        }
    }

    /// A refusal with one text.
    pub fn text(code: Code, text: impl Into<String>) -> Rejection {
        Rejection {
            code,
            errors: vec![Value::String(text.into())],
        }
    }

    /// A refusal with one object or several items.
    pub fn with(code: Code, errors: Vec<Value>) -> Rejection {
        Rejection { code, errors }
    }

    /// Code 0 with one text.
    pub fn invalid_format(text: impl Into<String>) -> Rejection {
        Rejection::text(Code::InvalidFormat, text)
    }

    /// The `details` member as served: `{"errors": […]}` or `null`.
    pub fn details(&self) -> Value {
        if self.errors.is_empty() {
            Value::Null
        } else {
            json!({ "errors": self.errors })
        }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error {}: {}", self.code.number(), self.code.advice())?;
        if !self.errors.is_empty() {
            write!(f, " ({})", Value::Array(self.errors.clone()))?;
        }
        Ok(())
    }
}
