//! Archives that are not what they say: each is refused, with the reason, for
//! little work, and leaves nothing behind.

use std::time::{Duration, Instant};

use super::Storage;
use super::car::{
    Made, car, directory, file, file_of, header, node, raw, section, shard, symlink, varint,
};

/// What is wrong, root and archive, what is said about it.
type Case = (&'static str, (Made, Vec<u8>), &'static str);
/// Links a block again and again.
type Above<'a> = &'a dyn Fn(&Made) -> Made;

/// Every fault, and what is said about it.
fn faults() -> Vec<Case> {
    let leaf = raw(b"leaf");
    let root = directory(&[("leaf", &leaf)]);
    let mut lie = leaf.clone();
    lie.bytes = b"liar".to_vec();
    let part = file(&[&leaf]);
    let short = file_of(&[&leaf], 5);
    let other = Made {
        file_bytes: 3,
        ..leaf.clone()
    };
    let wrong_part = file_of(&[&other], 3);
    let folder_part = file_of(
        &[&Made {
            file_bytes: 4,
            ..root.clone()
        }],
        4,
    );
    let twice = directory(&[("a", &leaf), ("a", &leaf)]);
    let up = directory(&[("..", &leaf)]);
    let path = directory(&[("a/b", &leaf)]);
    let nameless = directory(&[("", &leaf)]);
    let link = symlink("/etc/passwd");
    let inner = shard(&[("00a", &leaf)]);
    let shards = shard(&[("00", &inner), ("01", &inner)]);
    let odd_shard = shard(&[("01", &part)]);
    let no_unixfs = node(&[], b"\x08\x09");
    let mut cbor = root.clone();
    cbor.cid[1] = 0x71;
    let with = |root: &Made, blocks: &[&Made]| (root.clone(), car(root, blocks));
    vec![
        (
            "a lie",
            with(&root, &[&root, &lie]),
            "the bytes of a block do not have the hash",
        ),
        ("a gap", with(&root, &[&root]), "is missing"),
        ("no root", with(&root, &[&leaf]), "is missing"),
        ("a codec", with(&cbor, &[]), "neither DAG-PB nor raw"),
        ("a size", with(&short, &[&short, &leaf]), "contradict"),
        (
            "a part",
            with(&wrong_part, &[&wrong_part, &leaf]),
            "no such part",
        ),
        (
            "a folder",
            with(&folder_part, &[&folder_part, &root, &leaf]),
            "no such part",
        ),
        (
            "a name twice",
            with(&twice, &[&twice, &leaf]),
            "two entries named \"a\"",
        ),
        ("upwards", with(&up, &[&up, &leaf]), "is no name"),
        ("a path", with(&path, &[&path, &leaf]), "is no name"),
        (
            "no name",
            with(&nameless, &[&nameless, &leaf]),
            "is no name",
        ),
        (
            "a link",
            with(&link, &[&link]),
            "neither a directory nor a file",
        ),
        (
            "a shard twice",
            with(&shards, &[&shards, &inner, &leaf]),
            "two entries named \"a\"",
        ),
        (
            "no shard",
            with(&odd_shard, &[&odd_shard, &part, &leaf]),
            "no piece of it",
        ),
        (
            "no UnixFS",
            with(&no_unixfs, &[&no_unixfs]),
            "neither a file nor a directory",
        ),
        (
            "a huge number",
            (root.clone(), [header(&root), vec![0xff; 10]].concat()),
            "malformed varint: exceeds 10 bytes",
        ),
        (
            "a huge block",
            (root.clone(), [header(&root), varint(1 << 40)].concat()),
            "blocks have at most",
        ),
        (
            "an end inside a block",
            (
                root.clone(),
                [header(&root), section(&root)[..20].to_vec()].concat(),
            ),
            "ends inside the section",
        ),
        (
            "an empty section",
            (root.clone(), [header(&root), vec![0]].concat()),
            "has no CID",
        ),
        (
            "a huge header",
            (root.clone(), [0x81, 0x40].to_vec()),
            "header exceeds maximum size (8193 > 8192)",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_refused_with_its_reason() {
    let storage = Storage::start().await;
    let blobs = storage.node.context.config.blobs_path();
    for (what, (root, archive), why) in faults() {
        let answer = storage.add_car(&archive, &root.text()).await;
        assert_eq!(answer.status, 422, "{what}: {}", answer.text());
        let text = answer.text();
        assert!(
            text.starts_with("422: Invalid CAR file: "),
            "{what}: {text}"
        );
        assert!(text.contains(why), "{what}: {text}");
        assert!(!storage.node.context.blobs.contains(&root.text()), "{what}");
    }
    assert_eq!(
        std::fs::read_dir(blobs.join("incoming")).unwrap().count(),
        0
    );
}

/// A few kilobytes that stand for more than there is: each level links the one
/// below it again and again.
#[tokio::test(flavor = "multi_thread")]
async fn what_unfolds_is_not_unfolded() {
    let storage = Storage::start().await;
    let leaf = raw(&[0; 1_000]);
    let file_bomb = |below: &Made| file(&[below; 50]);
    let names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let directory_bomb =
        |below: &Made| directory(&names.iter().map(|n| (&**n, below)).collect::<Vec<_>>());
    let slots: Vec<String> = (0..50).map(|n| format!("{n:02X}")).collect();
    let shard_bomb = |below: &Made| shard(&slots.iter().map(|n| (&**n, below)).collect::<Vec<_>>());
    let bombs: [(&str, Above<'_>, Made); 3] = [
        ("file", &file_bomb, leaf.clone()),
        ("directory", &directory_bomb, leaf.clone()),
        ("shard", &shard_bomb, shard(&[])),
    ];
    for (what, above, first) in bombs {
        // Beyond nine levels the sizes of a file do not fit their numbers.
        for levels in [8, 9] {
            let mut blocks = vec![leaf.clone(), first.clone()];
            let mut root = first.clone();
            for _ in 0..levels {
                root = above(&root);
                blocks.push(root.clone());
            }
            let started = Instant::now();
            let archive = car(&root, &blocks.iter().collect::<Vec<_>>());
            let answer = storage.add_car(&archive, &root.text()).await;
            assert_eq!(answer.status, 422, "{what}: {}", answer.text());
            assert!(
                answer.text().contains("unpacked it has more"),
                "{}",
                answer.text()
            );
            assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_has_an_end() {
    let storage = Storage::start().await;
    for (levels, status) in [(250, 200), (300, 422), (5_000, 422)] {
        let mut blocks = vec![raw(b"deep")];
        for _ in 0..levels {
            let below = blocks.last().unwrap();
            blocks.push(directory(&[("d", below)]));
        }
        let root = blocks.last().unwrap().clone();
        let archive = car(&root, &blocks.iter().collect::<Vec<_>>());
        let answer = storage.add_car(&archive, &root.text()).await;
        assert_eq!(answer.status, status, "{levels}: {}", answer.text());
        if status == 200 {
            let path = vec!["d"; levels].join("/");
            let path = format!("/api/v0/storage/raw/{}/{path}", root.text());
            assert_eq!(storage.node.get(&path).await.text(), "deep");
        }
    }
}

/// Larger than the node takes: refused while it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn size_has_an_end() {
    let storage = Storage::configured(|config| config.ipfs.max_upload_car_size = 1_000).await;
    let leaf = raw(&[1; 2_000]);
    let root = directory(&[("a", &leaf)]);
    let answer = storage
        .add_car(&car(&root, &[&leaf, &root]), &root.text())
        .await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.text(), "Maximum request body size 1000 exceeded.");
}
