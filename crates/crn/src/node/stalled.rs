//! Connections whose other end takes nothing.
//!
//! What is written to such a connection stays in the system's buffers, and who
//! writes waits: with it the call, and its place among the node's. The system
//! ends a connection by itself only when the other end does not even say that
//! it is there. Here it is told to end it in that case too.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// From now on a connection whose other end takes nothing of what waits for it
/// for `limit` is ended by the system.
pub(super) fn end_after(stream: impl AsFd, limit: Duration) -> rustix::io::Result<()> {
    let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, milliseconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn who_takes_nothing_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).await;
        let _reader = reader.unwrap();
        let (mut writer, _) = listener.accept().await.unwrap();
        end_after(&writer, Duration::from_secs(1)).unwrap();
        let writing = async {
            let piece = vec![0; 1 << 20];
            loop {
                if let Err(error) = writer.write_all(&piece).await {
                    return error;
                }
            }
        };
        let error = tokio::time::timeout(Duration::from_secs(60), writing).await;
        assert_eq!(error.unwrap().kind(), std::io::ErrorKind::TimedOut);
    }
}
