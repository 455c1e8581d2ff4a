//! Lists sorted by confirmations: by pages, and piece by piece.

use std::fmt::Debug;
use std::ops::ControlFlow;

use super::*;

/// Reads a list sorted by confirmations by pages and piece by piece; every way
/// must give `expected`.
fn check_confirmed<M: Copy>(
    expected: &[String],
    page: impl Fn(u64, u64) -> (Vec<String>, u64),
    piece: impl Fn(Option<M>) -> (Vec<String>, Option<M>),
    shown: &dyn Debug,
) {
    assert_eq!(page(1, EVERYTHING).0, expected, "whole: {shown:?}");
    for (number, chunk) in expected.chunks(7).enumerate() {
        let (names, total) = page(number as u64 + 1, 7);
        assert_eq!(names, chunk, "page {number}: {shown:?}");
        assert_eq!(total, expected.len() as u64, "total: {shown:?}");
    }
    let (mut mark, mut walked) = (None, Vec::new());
    loop {
        let (names, next) = piece(mark);
        walked.extend(names);
        assert!(walked.len() <= expected.len(), "goes in circles: {shown:?}");
        mark = next;
        if mark.is_none() {
            break;
        }
    }
    assert_eq!(walked, expected, "pieces: {shown:?}");
}

#[test]
fn messages_by_confirmation_equal_the_model() {
    let world = World::new();
    for seed in 0..300 {
        let filter = MessageFilter {
            sort: MessageSort::Confirmation,
            ..message_filter(&mut Dice::new(seed + 5_000), &world)
        };
        let mut matching: Vec<&Entry> = world
            .entries
            .iter()
            .filter(|entry| wanted(&filter, entry))
            .collect();
        matching.sort_by(|a, b| {
            let key = |entry: &Entry| {
                let confirmed = entry.confirmed.map_or(i64::MAX, |(time, _)| time.micros());
                (confirmed, entry.message.time)
            };
            let by_time = match filter.order {
                Order::Ascending => key(a).cmp(&key(b)),
                Order::Descending => key(b).cmp(&key(a)),
            };
            by_time.then_with(|| {
                a.message
                    .item_hash
                    .as_str()
                    .cmp(b.message.item_hash.as_str())
            })
        });
        let expected: Vec<String> = matching
            .iter()
            .map(|entry| entry.message.item_hash.to_string())
            .collect();
        let readers = &world.store.readers;
        check_confirmed::<Mark>(
            &expected,
            |number, size| {
                let window = Window::Page { number, size };
                let page = readers
                    .read(|state| state.messages(&filter, &window))
                    .unwrap();
                let names = page
                    .rows
                    .iter()
                    .map(|row| row.message.item_hash.to_string());
                (names.collect(), page.total)
            },
            |after| {
                let cut = Cut {
                    after,
                    skip: 0,
                    rows: 6,
                };
                let mut names = Vec::new();
                let reached = readers
                    .read(|state| {
                        state.each_message(&filter, &cut, |row| {
                            names.push(row.item_hash.clone());
                            // Stopped early now and then, as a full buffer does.
                            Ok::<_, Error>(if names.len() == 4 {
                                ControlFlow::Break(())
                            } else {
                                ControlFlow::Continue(())
                            })
                        })
                    })
                    .unwrap();
                (names, reached.last.filter(|_| !reached.is_end))
            },
            &filter,
        );
    }
}

#[test]
fn posts_by_confirmation_equal_the_model() {
    let world = World::new();
    let model = posts(&world);
    for seed in 0..200 {
        let filter = PostFilter {
            sort: PostSort::Confirmation,
            ..post_filter(&mut Dice::new(seed + 7_000), &[])
        };
        let mut matching: Vec<&ModelPost<'_>> = model
            .iter()
            .filter(|post| wanted_post(&filter, post))
            .collect();
        matching.sort_by(|a, b| {
            let key = |post: &ModelPost<'_>| {
                let confirmed = post.original.confirmed;
                let confirmed = confirmed.map_or(i64::MAX, |(time, _)| time.micros());
                (confirmed, post.original.message.time)
            };
            let by_time = match filter.order {
                Order::Ascending => key(a).cmp(&key(b)),
                Order::Descending => key(b).cmp(&key(a)),
            };
            let hash = |post: &ModelPost<'_>| post.latest.message.item_hash.to_string();
            by_time.then_with(|| hash(a).cmp(&hash(b)))
        });
        let expected: Vec<String> = matching
            .iter()
            .map(|post| post.original.message.item_hash.to_string())
            .collect();
        let readers = &world.store.readers;
        check_confirmed::<PostMark>(
            &expected,
            |number, size| {
                let window = Window::Page { number, size };
                let page = readers.read(|state| state.posts(&filter, &window)).unwrap();
                let names = page.rows.iter().map(|post| post.original.item_hash.clone());
                (names.collect(), page.total)
            },
            |after| {
                let cut = Cut {
                    after,
                    skip: 0,
                    rows: 5,
                };
                let mut names = Vec::new();
                let reached = readers
                    .read(|state| {
                        state.each_post(&filter, &cut, |post| {
                            names.push(post.original.item_hash.clone());
                            Ok::<_, Error>(ControlFlow::Continue(()))
                        })
                    })
                    .unwrap();
                (names, reached.last.filter(|_| !reached.is_end))
            },
            &filter,
        );
    }
}
