//! What a message touches, and which messages may therefore not swap places.

/// A thing of the state, by name.
pub type Thing = String;

/// How a message touches a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its fate depends on it.
    Look,
    /// It contributes; contributions commute.
    Add,
    /// It replaces or ends it.
    Change,
    /// It waits until this message exists, by itself.
    Await,
}

/// One access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    pub thing: Thing,
    pub access: Access,
    /// Set by the message that brings this thing, a message, into being.
    pub is_birth: bool,
}

/// Why a later message must stay behind an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// The order of delivery must keep it.
    Kept,
    /// The node keeps it by itself: the later one waits for the earlier one.
    Awaited,
}

pub fn look(thing: impl Into<Thing>) -> Touch {
    touch(thing, Access::Look)
}

pub fn add(thing: impl Into<Thing>) -> Touch {
    touch(thing, Access::Add)
}

pub fn change(thing: impl Into<Thing>) -> Touch {
    touch(thing, Access::Change)
}

/// Looks at whether a message exists, and waits for it.
pub fn awaits(hash: &str) -> Touch {
    touch(message(hash), Access::Await)
}

/// The message itself comes into being.
pub fn birth(hash: &str) -> Touch {
    Touch {
        is_birth: true,
        ..change(message(hash))
    }
}

fn touch(thing: impl Into<Thing>, access: Access) -> Touch {
    Touch {
        thing: thing.into(),
        access,
        is_birth: false,
    }
}

pub fn message(hash: &str) -> Thing {
    format!("hash {hash}")
}

pub fn auth(owner: &str) -> Thing {
    format!("auth {owner}")
}

pub fn amends(hash: &str) -> Thing {
    format!("amends {hash}")
}

pub fn elements(owner: &str, key: &str) -> Thing {
    format!("elements {owner}/{key}")
}

pub fn tag(name: &str) -> Thing {
    format!("tag {name}")
}

pub fn uses(hash: &str) -> Thing {
    format!("uses {hash}")
}

pub fn funds(owner: &str) -> Thing {
    format!("funds {owner}")
}

pub const PRICE: &str = "price";

/// What binds two messages of a history; `None` when they may swap places.
pub fn bond(earlier: &[Touch], later: &[Touch]) -> Option<Bond> {
    let mut bond = None;
    for a in earlier {
        for b in later.iter().filter(|b| b.thing == a.thing) {
            if a.is_birth && b.access == Access::Await {
                return Some(Bond::Awaited);
            }
            if !commute(a.access, b.access) {
                bond = Some(Bond::Kept);
            }
        }
    }
    bond
}

fn commute(a: Access, b: Access) -> bool {
    use Access::{Add, Await, Look};
    match (a, b) {
        (Add, Add) => true,
        (a, b) => matches!(a, Look | Await) && matches!(b, Look | Await),
    }
}
