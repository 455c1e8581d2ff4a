//! An archive that a source sends, read while it comes.

use beth_protocol::dag::BlockName;
use beth_protocol::dag::car::{CarFault, CarReader, Section};
use beth_store::blobs::archive::ArchiveFault;
use reqwest::RequestBuilder;

use super::{GraphError, Shared, blocking, held};

/// Media type of archives.
const CAR: &str = "application/vnd.ipld.car";

/// Leads a walk on with an archive; true at its end. Bytes behind the last block
/// that is needed are not read.
pub(super) async fn read(request: RequestBuilder, walk: &Shared) -> Result<bool, GraphError> {
    let request = request.header(http::header::ACCEPT, CAR);
    // Nodes that look for it at each other would never find it.
    let request = request.header(http::header::CACHE_CONTROL, "only-if-cached");
    let mut response = request.send().await?.error_for_status()?;
    let mut reader = CarReader::new();
    while let Some(piece) = response.chunk().await? {
        let shared = walk.clone();
        let (back, is_whole) = blocking(move || {
            let mut walk = held(&shared);
            // Whatever is known to be missing may come next.
            walk.wanted(usize::MAX)?;
            reader.read(&piece, |section| match section {
                Section::Block {
                    name: BlockName::Hashed { digest, .. },
                    data,
                    ..
                } if walk.awaits(&digest) => {
                    walk.take_as(&digest, data)?;
                    walk.wanted(usize::MAX).map(drop)
                }
                _ => Ok(()),
            })?;
            Ok((reader, walk.is_whole()))
        })
        .await?;
        if is_whole {
            return Ok(true);
        }
        reader = back;
    }
    Ok(held(walk).is_whole())
}

impl From<CarFault> for GraphError {
    fn from(fault: CarFault) -> GraphError {
        GraphError::Fault(ArchiveFault::Car(fault))
    }
}
