//! Core nodes that lie about files, and disks that are full.

use std::path::Path;
use std::process::Command;

use beth_crn::core_node::CoreNode;
use beth_crn::download::{FileFault, Files};
use beth_protocol::ItemHash;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::microvm::fixture::run;

/// A core node that answers every request with a head and zeros without end.
async fn endless(head: &'static str) -> CoreNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(head.as_bytes()).await;
                let zeros = vec![0; 64 << 10];
                while stream.write_all(&zeros).await.is_ok() {}
            });
        }
    });
    CoreNode::new(&url).unwrap()
}

fn entries(folder: &Path) -> usize {
    ["incoming", "files"]
        .iter()
        .map(|name| std::fs::read_dir(folder.join(name)).unwrap().count())
        .sum()
}

#[test]
fn ten_gigabytes_announced_are_not_begun() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let core = endless("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n").await;
        let files = Files::open(core, folder.path()).unwrap();
        let fault = files.fetch(&ItemHash::of_bytes(b"any"), 1 << 20).await;
        assert!(
            matches!(fault, Err(FileFault::TooLarge { .. })),
            "{fault:?}"
        );
        assert_eq!(entries(folder.path()), 0);
    });
}

#[test]
fn more_than_announced_is_cut_off() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let core = endless("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
        let files = Files::open(core, folder.path()).unwrap();
        let fault = files.fetch(&ItemHash::of_bytes(b"any"), 1 << 20).await;
        assert!(
            matches!(fault, Err(FileFault::TooLarge { .. })),
            "{fault:?}"
        );
        assert_eq!(entries(folder.path()), 0);
    });
}

/// A small disk of its own; gone when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Disk {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(mounted.unwrap().success(), "a small disk needs root");
        Disk(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_stays() {
    let disk = Disk::new();
    run(async {
        let core = endless("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
        let files = Files::open(core, disk.0.path()).unwrap();
        let fault = files.fetch(&ItemHash::of_bytes(b"any"), 1 << 30).await;
        match fault {
            Err(fault @ FileFault::Disk { .. }) => {
                assert!(fault.to_string().contains("the disk is full"), "{fault}")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(entries(disk.0.path()), 0);
    });
}

#[test]
fn a_core_node_that_is_gone_is_named() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let files =
            Files::open(CoreNode::new("http://127.0.0.1:1").unwrap(), folder.path()).unwrap();
        let fault = files.fetch(&ItemHash::of_bytes(b"any"), 1 << 20).await;
        let text = fault.unwrap_err().to_string();
        assert!(text.contains("127.0.0.1:1"), "{text}");
        assert_eq!(entries(folder.path()), 0);
    });
}
