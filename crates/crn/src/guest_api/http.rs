//! The same over HTTP, for machines whose own init passes their connections on
//! (compute.md §15.1): Firecracker gives the node a Unix socket for them.
//!
//! ```text
//! guest ─ vsock port 53 ─▶ v.sock_53 ─▶ a connection each, bounded ─▶ reply
//! ```
//!
//! Connections are this task's: they end with it, which ends with the machine.

use std::convert::Infallible;

use beth_protocol::ItemHash;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::{GuestApi, Question, Reply};
use crate::limits;

impl GuestApi {
    /// Answers one machine until it is dropped.
    pub(crate) async fn serve_http(self, listener: UnixListener, program: ItemHash) {
        let mut open = JoinSet::new();
        loop {
            let has_room = open.len() < limits::GUEST_CONNECTIONS_MAX;
            tokio::select! {
                accepted = listener.accept(), if has_room => match accepted {
                    Ok((stream, _)) => drop(open.spawn(self.clone().converse(stream, program.clone()))),
                    Err(_) => return,
                },
                Some(_) = open.join_next() => {}
            }
        }
    }

    async fn converse(self, stream: UnixStream, program: ItemHash) {
        let answering = service_fn(|request| {
            let (api, program) = (self.clone(), program.clone());
            async move { Ok::<_, Infallible>(api.respond(request, &program).await) }
        });
        let mut server = http1::Builder::new();
        let server = server.timer(TokioTimer::new()).keep_alive(false);
        let server = server.header_read_timeout(limits::QUERY_DEADLINE);
        let serving = server.serve_connection(TokioIo::new(stream), answering);
        // A guest that takes nothing, or talks nonsense, needs nothing more.
        let _ = tokio::time::timeout(limits::GUEST_CONNECTION_DEADLINE, serving).await;
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        program: &ItemHash,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, limits::REQUEST_BODY_BYTES_MAX)
            .collect()
            .await;
        let reply = match body {
            Ok(body) => {
                let question = Question {
                    method: head.method.as_str(),
                    path: head.uri.path(),
                    query: head.uri.query().unwrap_or_default(),
                    body: &body.to_bytes(),
                };
                let replying = self.reply(&question, program);
                let reply = tokio::time::timeout(limits::QUERY_DEADLINE, replying).await;
                reply.unwrap_or_else(|_| Reply::refused(504, "the node could not answer in time"))
            }
            Err(_) => Reply::refused(413, "the body broke off, or is longer than 1 MiB"),
        };
        let mut response = Response::new(Full::new(reply.body.into()));
        *response.status_mut() = reply.status.try_into().unwrap_or_default();
        if let Ok(kind) = HeaderValue::from_str(&reply.content_type) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        response
    }
}
