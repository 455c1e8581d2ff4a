//! The side that is asked.

use std::ops::ControlFlow;

use super::element::{Element, Range};
use super::frame::{Piece, Reply, Request};
use super::sketch::fill;
use super::{Part, Set};
use crate::limits::{RECONCILE_ELEMENTS_MAX, RECONCILE_SYMBOL_PLACES_MAX};

/// Answers a request about the own set. What is out of bounds is answered with
/// less than was asked for.
pub fn answer<S: Set>(set: &S, request: &Request) -> Result<Reply, S::Error> {
    match request {
        Request::Compare(claims) => {
            let mut compared = Vec::with_capacity(claims.len());
            for claim in claims {
                let own = set.summary(claim.range)?;
                let is_same = own.count == claim.count && own.fingerprint() == claim.fingerprint;
                compared.push(match is_same {
                    true => None,
                    false => Some(set.divide(claim.range)?.iter().map(piece).collect()),
                });
            }
            Ok(Reply::Compared(compared))
        }
        Request::Sketch {
            ranges,
            salt,
            places,
        } => {
            let last = places.start.saturating_add(RECONCILE_SYMBOL_PLACES_MAX);
            let places = places.start..places.end.min(last);
            let mut filling = fill(*salt, places);
            for range in ranges {
                set.each(*range, &mut |element| {
                    filling.add(element);
                    ControlFlow::Continue(())
                })?;
            }
            Ok(Reply::Symbols(filling.finish()))
        }
        Request::Elements(ranges) => elements(set, ranges),
    }
}

fn elements<S: Set>(set: &S, ranges: &[Range]) -> Result<Reply, S::Error> {
    let (mut found, mut is_end) = (Vec::new(), true);
    for range in ranges {
        set.each(*range, &mut |element: Element| {
            is_end = found.len() < RECONCILE_ELEMENTS_MAX;
            if is_end {
                found.push(element);
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(())
        })?;
        if !is_end {
            break;
        }
    }
    Ok(Reply::Elements { found, is_end })
}

fn piece(part: &Part) -> Piece {
    Piece {
        end: part.end,
        count: part.summary.count,
        fingerprint: part.summary.fingerprint(),
    }
}
