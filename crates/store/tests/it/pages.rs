//! Every list equals what filtering all messages one by one gives, whatever
//! index was chosen; pages and cursors cut it without gaps or repeats.

mod confirmed;
mod others;

use std::fmt::Debug;

use beth_protocol::time::Timestamp;
use beth_protocol::{ItemHash, MessageType, Status};
use beth_store::Error;
use beth_store::query::aggregates::{AggregateFilter, AggregateSort};
use beth_store::query::messages::{Blocks, Mark, MessageFilter, MessageSort};
use beth_store::query::posts::{PostFilter, PostMark, PostSort};
use beth_store::query::{Cut, Order, Page, Span, Window};
use serde_json::Value;

use crate::world::{CHANNELS, Dice, Entry, KEYS, POST_TYPES, REFS, SENDERS, TAGS, World, moment};

const EVERYTHING: u64 = 0;

fn strings(dice: &mut Dice, words: &[&str]) -> Option<Vec<String>> {
    if dice.below(4) > 0 || words.is_empty() {
        return None;
    }
    let mut chosen: Vec<String> = (0..=dice.below(3))
        .map(|_| (*dice.one(words)).to_owned())
        .collect();
    if dice.below(6) == 0 {
        chosen.push("nobody".into());
    }
    Some(chosen)
}

fn span(dice: &mut Dice) -> Span {
    let mut time = || (dice.below(4) == 0).then(|| moment(dice));
    Span {
        start: time(),
        end: time(),
    }
}

fn order(dice: &mut Dice) -> Order {
    *dice.one(&[Order::Descending, Order::Ascending])
}

fn among(wanted: &Option<Vec<String>>, found: Option<&str>) -> bool {
    wanted
        .as_ref()
        .is_none_or(|wanted| found.is_some_and(|found| wanted.iter().any(|word| word == found)))
}

fn inside(span: Span, time: Timestamp) -> bool {
    span.start.is_none_or(|start| time >= start) && span.end.is_none_or(|end| time < end)
}

fn tagged(wanted: &Option<Vec<String>>, tags: &Value) -> bool {
    let has = |word: &String| {
        tags.as_array()
            .is_some_and(|tags| tags.iter().any(|tag| tag == word.as_str()))
    };
    wanted.as_ref().is_none_or(|wanted| wanted.iter().any(has))
}

fn sorted<K: Ord>(mut rows: Vec<(Timestamp, K)>, order: Order) -> Vec<K> {
    rows.sort_by(|a, b| {
        let time = if order == Order::Ascending {
            a.0.cmp(&b.0)
        } else {
            b.0.cmp(&a.0)
        };
        time.then_with(|| a.1.cmp(&b.1))
    });
    rows.into_iter().map(|(_, key)| key).collect()
}

/// Reads a list whole, by pages, and by cursor; every way must give `expected`.
fn check<T, K: Clone, H: PartialEq + Debug>(
    expected: &[H],
    read: impl Fn(&Window<K>) -> Result<Page<T, K>, Error>,
    name: impl Fn(&T) -> H,
    shown: &dyn Debug,
) {
    let names = |page: &Page<T, K>| page.rows.iter().map(&name).collect::<Vec<_>>();
    let whole = read(&Window::Page {
        number: 1,
        size: EVERYTHING,
    })
    .unwrap();
    assert_eq!(names(&whole), expected, "whole: {shown:?}");
    assert_eq!(whole.total, expected.len() as u64, "total: {shown:?}");
    for (number, chunk) in expected.chunks(7).enumerate() {
        let page = read(&Window::Page {
            number: number as u64 + 1,
            size: 7,
        })
        .unwrap();
        assert_eq!(names(&page), chunk, "page {number}: {shown:?}");
        assert_eq!(
            page.total,
            expected.len() as u64,
            "total of page {number}: {shown:?}"
        );
    }
    let beyond = read(&Window::Page {
        number: 1_000,
        size: 7,
    })
    .unwrap();
    assert_eq!(
        (beyond.rows.len(), beyond.total),
        (0, expected.len() as u64),
        "beyond: {shown:?}"
    );
    let (mut key, mut walked) = (None, Vec::new());
    loop {
        let page = read(&Window::After { key, size: 5 }).unwrap();
        walked.extend(names(&page));
        assert!(
            walked.len() <= expected.len(),
            "the cursor goes in circles: {shown:?}"
        );
        match page.next {
            Some(next) => key = Some(next),
            None => break,
        }
    }
    assert_eq!(walked, expected, "cursor: {shown:?}");
}

fn message_filter(dice: &mut Dice, world: &World) -> MessageFilter {
    let hashes: Vec<&str> = world
        .entries
        .iter()
        .map(|entry| entry.message.item_hash.as_str())
        .collect();
    let files: Vec<String> = (0..6u8)
        .map(|n| ItemHash::of_bytes(&[n]).to_string())
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    MessageFilter {
        types: strings(dice, &["POST", "AGGREGATE", "STORE", "FORGET"]),
        statuses: (dice.below(8) == 0)
            .then(|| vec![*dice.one(&[Status::Processed, Status::Removing, Status::Pending])]),
        senders: strings(dice, &SENDERS),
        owners: strings(dice, &SENDERS),
        refs: strings(dice, &REFS).filter(|_| dice.below(3) == 0),
        content_hashes: strings(dice, &files).filter(|_| dice.below(3) == 0),
        content_keys: strings(dice, &KEYS).filter(|_| dice.below(3) == 0),
        content_types: strings(dice, &POST_TYPES).filter(|_| dice.below(2) == 0),
        chains: strings(dice, &["ETH", "SOL"]),
        channels: strings(dice, &CHANNELS),
        tags: strings(dice, &TAGS),
        hashes: strings(dice, &hashes).filter(|_| dice.below(5) == 0),
        payment_types: strings(dice, &["hold", "credit"]).filter(|_| dice.below(4) == 0),
        span: span(dice),
        blocks: Blocks {
            start: height(dice),
            end: height(dice),
        },
        sort: MessageSort::Time,
        order: order(dice),
    }
}

fn height(dice: &mut Dice) -> Option<i64> {
    (dice.below(10) == 0).then(|| 98 + dice.below(16) as i64)
}

fn in_blocks(blocks: Blocks, entry: &Entry) -> bool {
    let height = entry.confirmed.map(|(_, height)| height);
    blocks
        .start
        .is_none_or(|start| height.is_none_or(|height| height >= start))
        && blocks
            .end
            .is_none_or(|end| height.is_some_and(|height| height < end))
}

fn wanted(filter: &MessageFilter, entry: &Entry) -> bool {
    let (message, content) = (&entry.message, &entry.content);
    let tags = match message.message_type {
        MessageType::Store => &content["tags"],
        _ => &content["content"]["tags"],
    };
    among(&filter.types, Some(message.message_type.as_str()))
        && filter
            .statuses
            .as_ref()
            .is_none_or(|statuses| statuses.contains(&Status::Processed))
        && among(&filter.senders, Some(&message.sender))
        && among(&filter.owners, content["address"].as_str())
        && among(&filter.refs, content["ref"].as_str())
        && among(&filter.content_hashes, content["item_hash"].as_str())
        && among(&filter.content_keys, content["key"].as_str())
        && among(&filter.content_types, content["type"].as_str())
        && among(&filter.chains, Some(message.chain.as_str()))
        && among(&filter.channels, message.channel.as_deref())
        && tagged(&filter.tags, tags)
        && among(&filter.hashes, Some(message.item_hash.as_str()))
        && among(&filter.payment_types, content["payment"]["type"].as_str())
        && inside(filter.span, message.time)
        && in_blocks(filter.blocks, entry)
}

#[test]
fn messages_equal_the_model() {
    let world = World::new();
    let mut found = 0;
    for seed in 0..400 {
        let filter = message_filter(&mut Dice::new(seed + 1), &world);
        let matching = world.entries.iter().filter(|entry| wanted(&filter, entry));
        let matching =
            matching.map(|entry| (entry.message.time, entry.message.item_hash.to_string()));
        let expected = sorted(matching.collect(), filter.order);
        found += usize::from(!expected.is_empty());
        check(
            &expected,
            |window| {
                world
                    .store
                    .readers
                    .read(|state| state.messages(&filter, window))
            },
            |row| row.message.item_hash.to_string(),
            &filter,
        );
    }
    assert!(
        found > 150,
        "only {found} filters found anything: the test asks for too much at once"
    );
}

#[test]
fn each_index_can_drive() {
    let world = World::new();
    let one = |values: &[&str]| {
        Some(
            values
                .iter()
                .map(|&value| value.to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let many: Vec<String> = (0..40)
        .map(|n| format!("x{n}"))
        .chain(SENDERS.map(str::to_owned))
        .collect();
    let base = MessageFilter::default;
    for filter in [
        base(),
        MessageFilter {
            types: one(&["POST"]),
            ..base()
        },
        MessageFilter {
            senders: one(&["0xA", "0xB", "0xA"]),
            ..base()
        },
        MessageFilter {
            senders: Some(many.clone()),
            ..base()
        },
        MessageFilter {
            owners: Some(many),
            ..base()
        },
        MessageFilter {
            refs: one(&["ref-1", "ref-2"]),
            ..base()
        },
        MessageFilter {
            content_keys: one(&["profile"]),
            ..base()
        },
        MessageFilter {
            content_types: one(&["note", "amend"]),
            ..base()
        },
        MessageFilter {
            channels: one(&["NOTES", "ÉTÉ"]),
            ..base()
        },
        MessageFilter {
            tags: one(&["red", "blue"]),
            ..base()
        },
        MessageFilter {
            content_hashes: Some(vec![ItemHash::of_bytes(&[1]).to_string()]),
            ..base()
        },
        MessageFilter {
            hashes: one(&[world.entries[3].message.item_hash.as_str()]),
            ..base()
        },
        MessageFilter {
            hashes: Some(Vec::new()),
            ..base()
        },
    ] {
        for order in [Order::Descending, Order::Ascending] {
            let filter = MessageFilter {
                order,
                ..filter.clone()
            };
            let matching = world.entries.iter().filter(|entry| wanted(&filter, entry));
            let matching =
                matching.map(|entry| (entry.message.time, entry.message.item_hash.to_string()));
            let expected = sorted(matching.collect(), order);
            check(
                &expected,
                |window| {
                    world
                        .store
                        .readers
                        .read(|state| state.messages(&filter, window))
                },
                |row| row.message.item_hash.to_string(),
                &filter,
            );
        }
    }
}

#[test]
fn hashes_are_listed_by_reception() {
    let world = World::new();
    let all = world
        .entries
        .iter()
        .map(|entry| (entry.reception, entry.message.item_hash.to_string()));
    let expected = sorted(all.collect(), Order::Descending);
    check(
        &expected,
        |window| {
            world.store.readers.read(|state| {
                state.message_hashes(None, Span::default(), Order::Descending, window)
            })
        },
        |row| row.0.clone(),
        &"hashes",
    );
}

/// A post as the model sees it: an original and its newest amend.
struct ModelPost<'a> {
    original: &'a Entry,
    latest: &'a Entry,
}

fn posts(world: &World) -> Vec<ModelPost<'_>> {
    let is_post = |entry: &&Entry| entry.message.message_type == MessageType::Post;
    let all: Vec<&Entry> = world.entries.iter().filter(is_post).collect();
    let originals = all.iter().filter(|entry| entry.content["type"] != "amend");
    originals
        .map(|&original| {
            let hash = original.message.item_hash.as_str();
            let mut latest = original;
            for &amend in all
                .iter()
                .filter(|entry| entry.content["type"] == "amend" && entry.content["ref"] == hash)
            {
                // Messages of this world come in the order of the list.
                if amend.message.time > latest.message.time {
                    latest = amend;
                }
            }
            ModelPost { original, latest }
        })
        .collect()
}

fn post_filter(dice: &mut Dice, hashes: &[&str]) -> PostFilter {
    PostFilter {
        owners: strings(dice, &SENDERS),
        hashes: strings(dice, hashes).filter(|_| dice.below(4) == 0),
        refs: strings(dice, &REFS),
        types: strings(dice, &["note", "blog", "amend"]),
        tags: strings(dice, &TAGS),
        channels: strings(dice, &CHANNELS),
        span: span(dice),
        sort: PostSort::Updated,
        order: order(dice),
    }
}

fn wanted_post(filter: &PostFilter, post: &ModelPost<'_>) -> bool {
    let (original, content) = (&post.original.message, &post.original.content);
    among(&filter.owners, content["address"].as_str())
        && among(&filter.hashes, Some(original.item_hash.as_str()))
        && among(&filter.refs, content["ref"].as_str())
        && among(&filter.types, content["type"].as_str())
        && tagged(&filter.tags, &post.latest.content["content"]["tags"])
        && among(&filter.channels, original.channel.as_deref())
        && inside(filter.span, post.latest.message.time)
}

#[test]
fn posts_equal_the_model() {
    let world = World::new();
    let model = posts(&world);
    assert!(
        model
            .iter()
            .any(|post| !std::ptr::eq(post.original, post.latest)),
        "nothing was amended"
    );
    let hashes: Vec<&str> = model
        .iter()
        .map(|post| post.original.message.item_hash.as_str())
        .collect();
    for seed in 0..300 {
        let mut dice = Dice::new(seed + 1_000);
        let filter = post_filter(&mut dice, &hashes);
        let matching = model.iter().filter(|post| wanted_post(&filter, post));
        let matching = matching.map(|post| {
            (
                post.latest.message.time,
                post.original.message.item_hash.to_string(),
            )
        });
        let expected = sorted(matching.collect(), filter.order);
        check(
            &expected,
            |window| {
                world
                    .store
                    .readers
                    .read(|state| state.posts(&filter, window))
            },
            |row| row.original.item_hash.clone(),
            &filter,
        );
    }
}
