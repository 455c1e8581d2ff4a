//! The node's figures over a WebSocket (core-api.md §11.2): now, and whenever
//! they have changed. Upstream lets late comers wait for a change, and shows
//! streams as zero; here neither.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message as Frame, Utf8Bytes};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::socket::{Gone, Socket};
use super::{Upgrade, refuse, upgraded};
use crate::api::answer::ApiError;
use crate::api::openapi::refusals;
use crate::context::Context;
use crate::limits::STATUS_PERIOD;
use crate::metrics::upstream;
use crate::streams::{End, Open};

/// The node's figures as they change, over a WebSocket.
///
/// Each frame is what `/metrics.json` answers: one at once, one whenever
/// something has changed.
#[utoipa::path(get, path = "/api/ws0/status", operation_id = "streamStatus", tag = "stream",
    responses((status = 101, description = "Frames of JSON text follow."), refusals::NoUpgrade))]
pub(super) async fn status(
    State(context): State<Arc<Context>>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let upgrade = upgraded(upgrade)?;
    let streams = context.streams.clone();
    let tasks = streams.tasks().clone();
    Ok(upgrade.on_upgrade(move |socket| {
        tasks.track_future(async move {
            let counters = &streams.counters;
            let mut socket = Socket::new(socket, &streams);
            let Some(place) = streams.status_place() else {
                return refuse(&counters.status_rejected, socket).await;
            };
            let open = Open::count(&counters.status_active);
            let stop = streams.stop();
            let gone = tokio::select! {
                () = stop.cancelled() => Gone::Ended(End::Stopping),
                gone = serve(context, &mut socket) => gone,
            };
            drop(open);
            socket.close(gone.farewell()).await;
            drop(place);
        })
    }))
}

async fn serve(context: Arc<Context>, socket: &mut Socket) -> Gone {
    let mut ticks = interval_at(Instant::now(), STATUS_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = Bytes::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = current(&context).await;
                if now.is_empty() || now == shown {
                    continue;
                }
                shown = now.clone();
                let frame = Utf8Bytes::try_from(now).map(Frame::Text);
                if let Err(gone) = socket.write(frame.into_iter().collect()).await {
                    return gone;
                }
            }
            heard = socket.listen() => if let Err(gone) = heard {
                return gone;
            }
        }
    }
}

async fn current(context: &Context) -> Bytes {
    let count = async {
        let sample = context.sampler.sample(context).await.ok()?;
        Some(Value::Object(upstream::fields(context, &sample)).to_string())
    };
    context.streams.board.figures(count).await
}
