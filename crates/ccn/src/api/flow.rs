//! Bodies of lists, written row by row and sent piece by piece (core-api.md
//! §1.10).
//!
//! ```text
//!            ┌─ the list ends in the first piece ─▶ one body with its length
//!  read ─ piece
//!            └─ else ─▶ piece ─▶ client takes it ─▶ read ─ piece ─▶ … ─▶ the end
//! ```
//!
//! A piece is bounded in rows and bytes and is one consistent read, after the
//! last row of the piece before it: `pagination=0` takes no more memory than a
//! page, and a slow client holds neither a connection to the database nor a
//! snapshot. A read that fails breaks the body off, so that nobody takes a part
//! for the whole.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use beth_store::query::{Cut, Place, Reached};
use beth_store::{Error, State};
use bytes::Bytes;
use futures::stream;

use super::answer::{ApiError, json_body};
use super::cursor::{Paging, encode};
use crate::context::Context;
use crate::limits::{PIECE_BYTES_MAX, PIECE_ROWS_MAX};

/// A list that can be written.
pub trait Rows: Send + Sync + 'static {
    /// An exact place in it.
    type Mark: Copy + Send + Sync + 'static;
    /// The member of the body that holds it.
    const NAME: &'static str;

    /// Where a place that a client named is.
    fn mark(&self, state: &State<'_>, place: &Place) -> Result<Self::Mark, Error>;

    /// Writes rows, each after a comma unless `out` tells that it is the first,
    /// as long as `out` says so.
    fn write(
        &self,
        state: &State<'_>,
        cut: &Cut<Self::Mark>,
        out: &mut Piece,
    ) -> Result<Reached<Self::Mark>, Error>;

    /// Rows of the whole list.
    fn total(&self, state: &State<'_>) -> Result<u64, Error>;
}

/// The text of some rows.
#[derive(Default)]
pub struct Piece {
    /// What was written.
    pub text: Vec<u8>,
    /// The row written last.
    pub last: Option<Place>,
    has_rows: bool,
}

impl Piece {
    /// Begins another row.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        if self.has_rows {
            self.text.push(b',');
        }
        self.has_rows = true;
        &mut self.text
    }

    /// Ends a row; says whether there is room for another.
    pub fn end(&mut self, place: Place) -> ControlFlow<()> {
        self.last = Some(place);
        if self.text.len() < PIECE_BYTES_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

/// The rows that a request asks for, as far as they are written.
struct Flow<R: Rows> {
    rows: Arc<R>,
    paging: Paging,
    after: Option<R::Mark>,
    written: u64,
    is_done: bool,
}

/// Answers with a part of a list.
pub async fn answer<R: Rows>(
    context: Arc<Context>,
    rows: R,
    paging: Paging,
) -> Result<Response, ApiError> {
    let place = paging.place()?;
    let mut flow = Flow {
        rows: Arc::new(rows),
        paging,
        after: None,
        written: 0,
        is_done: false,
    };
    let (flow, first) = context
        .read(move |state| {
            if let Some(place) = place {
                flow.after = Some(flow.rows.mark(state, &place)?);
            }
            let first = flow.piece(state)?;
            Ok((flow, first))
        })
        .await?;
    if flow.is_done {
        return Ok(json_body(Body::from(first)));
    }
    let begun = (context, flow, Some(first));
    Ok(json_body(Body::from_stream(stream::try_unfold(
        begun, next,
    ))))
}

type Begun<R> = (Arc<Context>, Flow<R>, Option<Bytes>);

/// The next piece, once the client has taken the one before.
async fn next<R: Rows>(
    (context, mut flow, ready): Begun<R>,
) -> Result<Option<(Bytes, Begun<R>)>, Error> {
    if let Some(piece) = ready {
        return Ok(Some((piece, (context, flow, None))));
    }
    if flow.is_done {
        return Ok(None);
    }
    let (flow, piece) = context
        .read(move |state| {
            let piece = flow.piece(state)?;
            Ok((flow, piece))
        })
        .await
        .inspect_err(|failure| tracing::warn!(%failure, "a list was broken off"))?;
    Ok(Some((piece, (context, flow, None))))
}

impl<R: Rows> Flow<R> {
    /// Reads and writes the next piece.
    fn piece(&mut self, state: &State<'_>) -> Result<Bytes, Error> {
        let mut piece = Piece {
            has_rows: self.written > 0,
            ..Piece::default()
        };
        if self.written == 0 {
            piece.text = format!("{{\"{}\":[", R::NAME).into_bytes();
        }
        let (size, skip) = self.paging.extent();
        let left = size.saturating_sub(self.written);
        let cut = Cut {
            after: self.after,
            skip: if self.written == 0 { skip } else { 0 },
            rows: left.min(PIECE_ROWS_MAX),
        };
        let reached = self.rows.write(state, &cut, &mut piece)?;
        self.written += reached.rows;
        self.after = reached.last.or(self.after);
        self.is_done = reached.is_end || self.written >= size;
        if self.is_done {
            let end = self.end(state, &piece, reached.is_end)?;
            piece.text.extend_from_slice(end.as_bytes());
        }
        Ok(piece.text.into())
    }

    /// What follows the rows.
    fn end(&self, state: &State<'_>, piece: &Piece, is_end: bool) -> Result<String, Error> {
        Ok(match self.paging {
            Paging::Page { number, size } => {
                let before = number.saturating_sub(1).saturating_mul(size);
                let tells = self.written < size && (self.written > 0 || number <= 1);
                let total = if size == 0 || tells {
                    before + self.written
                } else {
                    // A total that was counted a while ago is never less
                    // than what was seen.
                    let seen = if self.written > 0 { before } else { 0 };
                    let total = self.rows.total(state)?;
                    total.max(seen.saturating_add(self.written))
                };
                format!(
                    "],\"pagination_item\":\"{}\",\"pagination_page\":{number},\"pagination_per_page\":{size},\"pagination_total\":{total}}}",
                    R::NAME
                )
            }
            Paging::Cursor { .. } => {
                let (size, _) = self.paging.extent();
                let next = match &piece.last {
                    Some(place) if !is_end => format!("\"{}\"", encode(place)),
                    _ => "null".to_owned(),
                };
                format!("],\"next_cursor\":{next},\"pagination_per_page\":{size}}}")
            }
        })
    }
}
