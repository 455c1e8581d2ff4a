//! The stream of messages over a WebSocket (core-api.md §11.1).
//!
//! ```text
//!  parameters ─▶ upgrade ─▶ place? ─▶ listen ─▶ history (listed) ─▶ live (typed)
//!      422          400      1013        │                            ▲
//!                                        └─ what happens meanwhile ───┘
//! ```
//!
//! A client that reads too slowly is cut off with a reason; nobody else
//! notices ([`crate::streams`]). Dates and blocks filter the history only. No
//! compression is offered: frames are small, and each would be compressed once
//! for every client.

mod socket;
mod status;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message as Frame, Utf8Bytes, WebSocketUpgrade};
use axum::response::Response;
use beth_protocol::ItemHash;
use beth_store::query::{Place, Window};
use beth_store::rows::StoredMessage;
use http::StatusCode;
use utoipa_axum::routes;

use super::answer::ApiError;
use super::messages::Listing;
use super::openapi::{Routes, params as described, refusals};
use super::params::{Bounds, Params};
use super::render::{self, ContentFormat};
use crate::context::Context;
use crate::events::Event;
use crate::limits::{STREAM_BATCH, STREAM_BUFFER_BYTES, STREAM_FRAME_BYTES_MAX};
use crate::streams::{Form, Interest, Listener, Open};
use socket::{Farewell, Gone, Socket};

/// Messages of the past that a stream begins with.
pub const HISTORY: Bounds = Bounds {
    default: 10,
    min: 0,
    max: 199,
};

/// Both streams.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(messages))
        .with(routes!(status::status))
}

/// A processed message as streams show it; empty for any other event.
pub(crate) fn typed_text(event: &Event, form: Form) -> String {
    let Event::Processed { message, typed, .. } = event else {
        return String::new();
    };
    let content = (form == Form::Full).then_some(typed);
    render::typed(message, content, &[]).to_string()
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Messages as they happen, over a WebSocket.
///
/// First the newest of the past, oldest first, as lists show them; then each
/// message as it comes into force, as look-ups show it. Dates filter the past.
#[utoipa::path(get, path = "/api/ws0/messages", operation_id = "streamMessages", tag = "stream",
    params(described::MessageFilters, described::History),
    responses((status = 101, description = "Frames of JSON text follow."),
        refusals::NoUpgrade, refusals::BadQuery))]
async fn messages(
    State(context): State<Arc<Context>>,
    mut params: Params,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let upgrade = upgraded(upgrade)?;
    let history = params.integer(&["history"], HISTORY);
    let listing = Listing::read(&mut params);
    params.finish()?;
    let streams = context.streams.clone();
    let tasks = streams.tasks().clone();
    let wanted = Wanted { listing, history };
    Ok(upgrade.on_upgrade(move |socket| {
        tasks.track_future(async move {
            let counters = &streams.counters;
            let mut socket = Socket::new(socket, &streams);
            let Some(place) = streams.message_place() else {
                return refuse(&counters.messages_rejected, socket).await;
            };
            let open = Open::count(&counters.messages_active);
            let farewell = serve(context, &mut socket, wanted).await;
            drop(open);
            // Who takes leave keeps the place: it still takes our memory.
            socket.close(farewell).await;
            drop(place);
        })
    }))
}

/// A request that asks for a WebSocket, set up for clients that only listen.
fn upgraded(upgrade: Upgrade) -> Result<WebSocketUpgrade, ApiError> {
    let upgrade = upgrade.map_err(|_| {
        let text = "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".";
        ApiError::text(StatusCode::BAD_REQUEST, text)
    })?;
    Ok(upgrade
        .max_message_size(STREAM_FRAME_BYTES_MAX)
        .max_frame_size(STREAM_FRAME_BYTES_MAX)
        .read_buffer_size(STREAM_BUFFER_BYTES)
        .write_buffer_size(STREAM_BUFFER_BYTES))
}

/// Turns a client away: all places are taken.
async fn refuse(rejected: &AtomicU64, mut socket: Socket) {
    rejected.fetch_add(1, Relaxed);
    socket.close(Farewell::TOO_MANY).await;
}

struct Wanted {
    listing: Listing,
    history: u64,
}

impl Wanted {
    fn form(&self) -> Form {
        match self.listing.format {
            ContentFormat::Full => Form::Full,
            ContentFormat::Headers | ContentFormat::None => Form::Bare,
        }
    }
}

/// Serves one client until its end; says how to take leave.
async fn serve(context: Arc<Context>, socket: &mut Socket, wanted: Wanted) -> Farewell {
    let interest = Interest::new(wanted.listing.filter.clone(), wanted.form());
    // Before the history is read, so that nothing falls between.
    let mut listener = context.streams.listen(interest);
    let Ok(past) = past(&context, &wanted).await else {
        return Farewell::NO_HISTORY;
    };
    // From here on only the listener matters: the node may stop meanwhile.
    drop(context);
    let mut sent = HashSet::new();
    let mut frames = Vec::new();
    for (hash, text) in past {
        sent.insert(hash);
        frames.push(Frame::text(text));
    }
    for part in frames.chunks(STREAM_BATCH) {
        if let Err(gone) = write(socket, &listener, part.to_vec()).await {
            return gone.farewell();
        }
    }
    drop(frames);
    match live(socket, &mut listener, sent).await {
        Ok(never) => match never {},
        Err(gone) => gone.farewell(),
    }
}

/// Nobody stops a stream but by going.
enum Never {}

async fn live(
    socket: &mut Socket,
    listener: &mut Listener,
    mut sent: HashSet<ItemHash>,
) -> Result<Never, Gone> {
    loop {
        let batch = tokio::select! {
            batch = listener.next() => batch?,
            heard = socket.listen() => {
                heard?;
                continue;
            }
        };
        let new = batch.iter().filter(|frame| !sent.remove(&frame.item_hash));
        let frames = new
            .filter_map(|frame| Utf8Bytes::try_from(frame.text.clone()).ok())
            .map(Frame::Text);
        write(socket, listener, frames.collect()).await?;
    }
}

async fn write(socket: &mut Socket, listener: &Listener, frames: Vec<Frame>) -> Result<(), Gone> {
    tokio::select! {
        biased;
        end = listener.cut() => Err(end.into()),
        written = socket.write(frames) => written,
    }
}

/// The newest messages in the order of the list, turned round.
async fn past(
    context: &Context,
    wanted: &Wanted,
) -> Result<Vec<(ItemHash, String)>, beth_store::Error> {
    if wanted.history == 0 {
        return Ok(Vec::new());
    }
    let filter = wanted.listing.filter.clone();
    let format = match wanted.form() {
        Form::Full => ContentFormat::Full,
        Form::Bare => ContentFormat::None,
    };
    let window = Window::<Place>::After {
        key: None,
        size: wanted.history,
    };
    context
        .read(move |state| {
            let page = state.messages(&filter, &window)?;
            let frame = |row: &StoredMessage| {
                let confirmations = state.confirmations_of(row.message.item_hash.as_str())?;
                Ok((
                    row.message.item_hash.clone(),
                    render::listed(row, format, &confirmations).to_string(),
                ))
            };
            page.rows.iter().rev().map(frame).collect()
        })
        .await
}
