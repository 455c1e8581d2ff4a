//! The stream of messages over a WebSocket (core-api.md §11.1).
//!
//! ```text
//!  parameters ─▶ upgrade ─▶ subscribe ─▶ history (listed) ─▶ live (typed), pings
//!      422                     │                               ▲
//!                              └── events that happen meanwhile ┘
//! ```
//!
//! A client that reads too slowly falls behind the bounded queue of events and
//! is disconnected; nobody else notices. Dates filter the history only.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use beth_protocol::content::PostContent;
use beth_protocol::{Content, ItemHash};
use beth_store::query::messages::MessageFilter;
use beth_store::query::{Place, Span, Window};
use beth_store::rows::StoredMessage;
use http::StatusCode;
use serde_json::Value;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use utoipa_axum::routes;

use super::answer::ApiError;
use super::messages::Listing;
use super::openapi::{Routes, params as described, refusals};
use super::params::{Bounds, Params};
use super::render::{self, ContentFormat};
use crate::context::Context;
use crate::events::Event;
use crate::limits::{STREAM_FRAME_BYTES_MAX, STREAM_PING_PERIOD, STREAM_SEND_TIMEOUT, STREAMS_MAX};

/// Messages of the past that a stream begins with.
pub const HISTORY: Bounds = Bounds {
    default: 10,
    min: 0,
    max: 199,
};
const TRY_AGAIN_LATER: u16 = 1013;
const GOING_AWAY: u16 = 1001;

/// The stream.
pub fn routes() -> Routes {
    Routes::new().answered_by(routes!(described_messages), messages())
}

/// Messages as they happen, over a WebSocket.
///
/// First the newest of the past, oldest first, as lists show them; then each
/// message as it comes into force, as look-ups show it. Dates filter the past.
#[utoipa::path(get, path = "/api/ws0/messages", operation_id = "streamMessages", tag = "stream",
    params(described::MessageFilters, described::History),
    responses((status = 101, description = "Frames of JSON text follow."),
        refusals::NoUpgrade, refusals::BadQuery))]
async fn described_messages() {}

/// `GET /api/ws0/messages`.
pub fn messages() -> MethodRouter<Arc<Context>> {
    let places = Arc::new(Semaphore::new(STREAMS_MAX));
    get(
        async move |State(context): State<Arc<Context>>, params: Params, upgrade: Upgrade| {
            open(context, params, upgrade, places)
        },
    )
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

fn open(
    context: Arc<Context>,
    mut params: Params,
    upgrade: Upgrade,
    places: Arc<Semaphore>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let text = "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".";
        return ApiError::text(StatusCode::BAD_REQUEST, text).into_response();
    };
    let history = params.integer(&["history"], HISTORY);
    let listing = Listing::read(&mut params);
    if let Err(error) = params.finish() {
        return error.into_response();
    }
    // Those who listen send nothing of interest.
    let upgrade = upgrade
        .max_message_size(STREAM_FRAME_BYTES_MAX)
        .max_frame_size(STREAM_FRAME_BYTES_MAX);
    upgrade.on_upgrade(async move |mut socket| match places.try_acquire_owned() {
        Ok(place) => serve(context, socket, Wanted { listing, history }, place).await,
        Err(_) => close(&mut socket, TRY_AGAIN_LATER, "Too many connections").await,
    })
}

struct Wanted {
    listing: Listing,
    history: u64,
}

impl Wanted {
    fn is_full(&self) -> bool {
        self.listing.format == ContentFormat::Full
    }
}

async fn serve(
    context: Arc<Context>,
    mut socket: WebSocket,
    wanted: Wanted,
    place: OwnedSemaphorePermit,
) {
    // Subscribed before the history is read, so that nothing falls between.
    let events = context.events.subscribe();
    let Ok(past) = past(&context, &wanted).await else {
        return close(&mut socket, 1011, "the history could not be read").await;
    };
    // From here on only events matter: the node may stop while we are open.
    drop(context);
    let mut sent = HashSet::new();
    for (hash, frame) in past {
        sent.insert(hash);
        if send(&mut socket, Frame::text(frame)).await.is_err() {
            return;
        }
    }
    live(&mut socket, &wanted, events, &sent).await;
    drop(place);
}

/// The newest messages in the order of the list, turned round.
async fn past(
    context: &Context,
    wanted: &Wanted,
) -> Result<Vec<(ItemHash, String)>, beth_store::Error> {
    if wanted.history == 0 || wanted.listing.is_empty() {
        return Ok(Vec::new());
    }
    let filter = wanted.listing.filter.clone();
    let format = if wanted.is_full() {
        ContentFormat::Full
    } else {
        ContentFormat::None
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

async fn live(
    socket: &mut WebSocket,
    wanted: &Wanted,
    mut events: Receiver<Arc<Event>>,
    sent: &HashSet<ItemHash>,
) {
    let filter = MessageFilter {
        span: Span::default(),
        ..wanted.listing.filter.clone()
    };
    let mut pings = interval_at(Instant::now() + STREAM_PING_PERIOD, STREAM_PING_PERIOD);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_alive = true;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => {
                    let Event::Processed { message, typed, .. } = &*event else { continue };
                    if !event.is_announced() || sent.contains(&message.message.item_hash) || !passes(&filter, message, typed) {
                        continue;
                    }
                    let content = wanted.is_full().then_some(typed);
                    let frame = render::typed(message, content, &[]).to_string();
                    if send(socket, Frame::text(frame)).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => return close(socket, TRY_AGAIN_LATER, "Too slow").await,
                Err(RecvError::Closed) => return close(socket, GOING_AWAY, "").await,
            },
            frame = socket.recv() => match frame {
                // Pings are answered by the protocol itself; the rest is ignored.
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => is_alive = true,
            },
            _ = pings.tick() => {
                if !is_alive || send(socket, Frame::Ping(Default::default())).await.is_err() {
                    return;
                }
                is_alive = false;
            }
        }
    }
}

async fn send(socket: &mut WebSocket, frame: Frame) -> Result<(), ()> {
    match timeout(STREAM_SEND_TIMEOUT, socket.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    // The other side may be gone already.
    let _ = send(
        socket,
        Frame::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        })),
    )
    .await;
}

/// The filter of a list, asked of one message that was just processed.
fn passes(filter: &MessageFilter, stored: &StoredMessage, typed: &Content) -> bool {
    let message = &stored.message;
    let one_of = |wanted: &Option<Vec<String>>, found: Option<&str>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| found.is_some_and(|found| wanted.iter().any(|word| word == found)))
    };
    let about = About::of(typed);
    let has_tag = |wanted: &Vec<String>| {
        about
            .tags(&stored.content)
            .any(|tag| wanted.iter().any(|word| word == tag))
    };
    one_of(&filter.types, Some(message.message_type.as_str()))
        && filter
            .statuses
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&stored.status))
        && one_of(&filter.senders, Some(&message.sender))
        && one_of(&filter.owners, Some(typed.address()))
        && one_of(&filter.refs, about.reference)
        && one_of(&filter.content_hashes, about.file)
        && one_of(&filter.content_keys, about.key)
        && one_of(&filter.content_types, about.content_type)
        && one_of(&filter.chains, Some(message.chain.as_str()))
        && one_of(&filter.channels, message.channel.as_deref())
        && one_of(&filter.hashes, Some(message.item_hash.as_str()))
        && one_of(
            &filter.payment_types,
            typed.payment().map(|payment| payment.payment_type.as_str()),
        )
        && filter.tags.as_ref().is_none_or(has_tag)
}

/// What a content is found by.
#[derive(Default)]
struct About<'a> {
    content_type: Option<&'a str>,
    reference: Option<&'a str>,
    key: Option<&'a str>,
    file: Option<&'a str>,
    /// Where the tags are.
    tags_in: Option<&'static str>,
}

impl<'a> About<'a> {
    fn of(content: &'a Content) -> About<'a> {
        let none = About::default();
        match content {
            Content::Post(post @ PostContent { post_type, .. }) => About {
                content_type: Some(post_type),
                reference: post.reference(),
                tags_in: Some("/content/tags"),
                ..none
            },
            Content::Aggregate(aggregate) => About {
                key: Some(aggregate.key()),
                tags_in: Some("/content/tags"),
                ..none
            },
            Content::Store(store) => About {
                reference: store.reference.as_deref(),
                file: Some(store.item_hash.as_str()),
                tags_in: Some("/tags"),
                ..none
            },
            Content::Program(program) => About {
                content_type: Some(&program.machine_type),
                tags_in: Some("/metadata/tags"),
                ..none
            },
            Content::Instance(_) | Content::VerifiedProgram(_) => About {
                tags_in: Some("/metadata/tags"),
                ..none
            },
            Content::Forget(_) => none,
        }
    }

    fn tags(&self, raw: &'a Value) -> impl Iterator<Item = &'a str> {
        let list = self
            .tags_in
            .and_then(|path| raw.pointer(path))
            .and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }
}
