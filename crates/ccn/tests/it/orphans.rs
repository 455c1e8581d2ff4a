//! Contents on the disk that no row knows are deleted in the end.

use beth_ccn::pipeline::now;
use beth_ccn::{CcnConfig, node};
use beth_protocol::time::Timestamp;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_on_the_disk_is_collected() {
    let folder = tempfile::tempdir().unwrap();
    let context = node::offline(CcnConfig::in_folder(folder.path())).unwrap();
    let orphan = context.blobs.put(b"written, never registered").unwrap();
    let upload = context.blobs.put(b"written and registered").unwrap();
    let registered = context.pipeline.add_upload(&upload.hash, upload.size_bytes);
    registered.await.unwrap();
    let collect = async |hours: i64| {
        let at = Timestamp::from_micros(now().micros() + hours * 3_600_000_000);
        context.jobs.run("garbage_collector", at).await.unwrap();
        (
            context.blobs.contains(&orphan.hash),
            context.blobs.contains(&upload.hash),
        )
    };
    // It was just written: whoever wrote it may be about to register it.
    assert_eq!(collect(0).await, (true, true));
    assert_eq!(collect(2).await, (false, true));
    assert_eq!(collect(26).await, (false, false));
}
