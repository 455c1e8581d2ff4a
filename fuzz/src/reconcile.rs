//! What must hold of the frames of a reconciliation.

use beth_protocol::reconcile::frame::{Reply, Request};

/// A frame that is read is written as it was meant, and read again the same.
pub fn check(data: &[u8]) {
    if let Ok(request) = Request::from_bytes(data) {
        assert_eq!(Request::from_bytes(&request.to_bytes()), Ok(request));
    }
    if let Ok(reply) = Reply::from_bytes(data) {
        assert_eq!(Reply::from_bytes(&reply.to_bytes()), Ok(reply));
    }
}
