//! Room for files that arrive. Nobody knows yet whose they are, so what all of
//! them take together is bounded, and the disk is never filled by them.
//!
//! ```text
//!  upload ─▶ Claim (one of so many) ─▶ bytes, as they come ─▶ dropped: all given back
//!              503                      503, or 507 when the disk has no room
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::answer::ApiError;
use crate::limits::{DISK_LOOK_BYTES, INCOMING_BYTES_MAX, UPLOADS_MAX};
use crate::metrics::sample::disk_free_bytes;

/// Seconds after which a refused upload may come back.
const RETRY_SECONDS: u64 = 10;

/// What files that arrive may take.
#[derive(Debug)]
pub struct Space {
    places: Arc<Semaphore>,
    incoming_bytes: AtomicU64,
    folder: PathBuf,
    free_bytes_min: u64,
}

/// One file that arrives.
#[derive(Debug)]
pub struct Claim {
    space: Arc<Space>,
    bytes: u64,
    /// Size at which the disk is looked at again.
    look_at: u64,
    _place: OwnedSemaphorePermit,
}

impl Space {
    /// Files go to this folder; so much of its disk stays free.
    pub fn new(folder: PathBuf, free_bytes_min: u64) -> Space {
        Space {
            places: Arc::new(Semaphore::new(UPLOADS_MAX)),
            incoming_bytes: AtomicU64::new(0),
            folder,
            free_bytes_min,
        }
    }

    /// Begins one more file.
    pub fn claim(self: &Arc<Space>) -> Result<Claim, ApiError> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| busy("too many files arrive at this node at once"))?;
        self.expect_disk()?;
        Ok(Claim {
            space: self.clone(),
            bytes: 0,
            look_at: DISK_LOOK_BYTES,
            _place: place,
        })
    }

    fn expect_disk(&self) -> Result<(), ApiError> {
        // A disk that says nothing is not known to be full.
        let free = disk_free_bytes(&self.folder).unwrap_or(u64::MAX);
        if free >= self.free_bytes_min {
            return Ok(());
        }
        Err(ApiError::text(
            StatusCode::INSUFFICIENT_STORAGE,
            "the disk of this node is nearly full: use another node, or ask its operator to make room",
        ))
    }
}

impl Claim {
    /// So many bytes more came.
    pub fn take(&mut self, bytes: u64) -> Result<(), ApiError> {
        let before = self
            .space
            .incoming_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > INCOMING_BYTES_MAX {
            return Err(busy(
                "the files that arrive at this node take too much room",
            ));
        }
        if self.bytes >= self.look_at {
            self.look_at = self.bytes.saturating_add(DISK_LOOK_BYTES);
            self.space.expect_disk()?;
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let given = &self.space.incoming_bytes;
        given.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn busy(what: &str) -> ApiError {
    let text = format!("{what}: try again in {RETRY_SECONDS} s, or use another node");
    ApiError::text(StatusCode::SERVICE_UNAVAILABLE, text).after(RETRY_SECONDS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_bounded_in_number_and_size() {
        let space = Arc::new(Space::new("/".into(), 0));
        let claims: Vec<Claim> = (0..UPLOADS_MAX).map(|_| space.claim().unwrap()).collect();
        assert!(space.claim().is_err());
        drop(claims);
        let (mut one, mut other) = (space.claim().unwrap(), space.claim().unwrap());
        one.take(INCOMING_BYTES_MAX - 10).unwrap();
        other.take(10).unwrap();
        assert!(other.take(1).is_err());
        drop(other);
        one.take(10).unwrap();
        drop(one);
        assert_eq!(space.incoming_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_disk_without_room_takes_nothing() {
        assert!(Arc::new(Space::new("/".into(), u64::MAX)).claim().is_err());
    }
}
