//! What operators ask a running node through its socket ([`crate::control`]).
//!
//! | route | answer |
//! |---|---|
//! | `GET /peers` | [`Peers`] |
//! | `POST /repair` | a line of JSON now and then: `{"progress": …}`, at the end `{"report": …}` or `{"error": …}`; who leaves ends the repair |

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::future::BoxFuture;
use futures::stream;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use crate::context::Context;
use crate::control;
use crate::limits::{DRAIN_TIMEOUT, REPAIR_BYTES_PER_SECOND, REPAIR_PROGRESS_PERIOD};
use crate::peers::Peers;
use crate::repair::{Bounds, Progress, RepairError, Report, Wish};

/// A node, and when it stops.
#[derive(Clone)]
struct Desk {
    context: Arc<Context>,
    cancel: CancellationToken,
}

/// Serves the socket until cancelled. A node without it still runs.
pub(crate) async fn serve(context: Arc<Context>, cancel: CancellationToken) {
    let folder = &context.config.folder;
    let (listener, _socket) = match control::listen(folder) {
        Ok(listening) => listening,
        Err(failure) => {
            warn!(%failure, folder = %folder.display(), "there is no control socket: `beth ccn peers` and `beth ccn repair` cannot ask this node");
            return;
        }
    };
    let desk = Desk {
        context: context.clone(),
        cancel: cancel.clone(),
    };
    let stopped = cancel.clone().cancelled_owned();
    let served = axum::serve(listener, router(desk)).with_graceful_shutdown(stopped);
    let served = std::pin::pin!(served.into_future());
    let late = async {
        cancel.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        ended = served => if let Err(failure) = ended {
            warn!(%failure, "the control socket failed");
        },
        () = late => {}
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/peers", get(peers))
        .route("/repair", post(repair))
        .with_state(desk)
}

async fn peers(State(desk): State<Desk>) -> Response {
    let peers = json!(Peers::of(&desk.context).await);
    let headers = [(CONTENT_TYPE, "application/json")];
    (headers, peers.to_string()).into_response()
}

async fn repair(State(desk): State<Desk>, Query(wish): Query<Wish>) -> Response {
    info!(?wish, "an operator asks for a repair");
    let cancel = desk.cancel.child_token();
    let bounds = Bounds {
        bytes_per_second: REPAIR_BYTES_PER_SECOND,
        cancel: cancel.clone(),
    };
    let (sender, progress) = watch::channel(Progress::default());
    let repair = desk.context.repair.clone();
    let work = async move { repair.run(wish, &sender, bounds).await };
    let mut ticks = interval(REPAIR_PROGRESS_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = Telling {
        work: Some(Box::pin(work)),
        progress,
        ticks,
        _guard: cancel.drop_guard(),
    };
    let lines = stream::unfold(telling, |mut telling| async {
        let line = telling.line().await?;
        Some((Ok::<_, std::convert::Infallible>(line), telling))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    (headers, Body::from_stream(lines)).into_response()
}

/// A repair under way; dropping it ends the repair.
struct Telling {
    work: Option<BoxFuture<'static, Result<Report, RepairError>>>,
    progress: watch::Receiver<Progress>,
    ticks: Interval,
    _guard: DropGuard,
}

impl Telling {
    /// The next line; `None` behind the last one.
    async fn line(&mut self) -> Option<Bytes> {
        let work = self.work.as_mut()?;
        let value = tokio::select! {
            done = work => {
                self.work = None;
                match done {
                    Ok(report) => json!({"report": report}),
                    Err(failure) => json!({"error": failure.to_string()}),
                }
            }
            _ = self.ticks.tick() => json!({"progress": *self.progress.borrow()}),
        };
        Some(line_of(&value))
    }
}

fn line_of(value: &Value) -> Bytes {
    format!("{value}\n").into()
}
