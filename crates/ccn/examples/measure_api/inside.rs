//! One request after the other through the router: what each kind takes.

use std::collections::BTreeMap;

use crate::asker::{Asker, Found};
use crate::questions::{Dice, Property, Questions, Share};
use crate::times::Times;

/// Pages walked by cursor before the last is measured.
const FAR: usize = 1_000;

/// Prints the tables.
pub async fn measure(asker: &Asker, questions: &Questions, found: &Found, samples: usize) {
    println!(
        "| list of 20, ms | p50 | p99 | with an absent value p50 | p99 | slowest combination of values | its p99 |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut all = Vec::new();
    for (name, base, is_of_posts) in [
        ("messages", "/api/v0/messages.json", false),
        ("posts", "/api/v1/posts.json", true),
    ] {
        let wanted = |property: &Property| !is_of_posts || property.is_of_posts();
        let properties: Vec<Property> = Property::ALL.into_iter().filter(wanted).collect();
        let mut plain = Times::default();
        for _ in 0..samples {
            plain.add(asker.timed(base).await);
        }
        println!("| {name} | {} | | | | |", plain.cells());
        let mut dice = Dice(1);
        for (index, one) in properties.iter().enumerate() {
            let mut rows = vec![vec![*one]];
            rows.extend(properties[index + 1..].iter().map(|two| vec![*one, *two]));
            for row in rows {
                let mut kinds = BTreeMap::new();
                for shares in shares(row.len()) {
                    let mut times = Times::default();
                    for _ in 0..samples {
                        let filters = row.iter().zip(&shares).map(|(property, share)| {
                            if is_of_posts {
                                questions.post_filter(*property, *share, &mut dice)
                            } else {
                                questions.filter(*property, *share, &mut dice)
                            }
                        });
                        let filters: Vec<String> = filters.collect();
                        let path = format!("{base}?{}", filters.join("&"));
                        times.add(asker.timed(&path).await);
                    }
                    kinds.insert(words(&shares), (shares, times));
                }
                all.push(print(name, &row, &kinds));
            }
        }
    }
    let worst = all.iter().copied().fold(0.0, f64::max);
    println!("\nslowest combination of values at all: p99 {worst:.2} ms\n");
    far(asker, questions).await;
    reads(asker, found, samples).await;
}

/// Every combination for one or two filters.
fn shares(count: usize) -> Vec<Vec<Share>> {
    let one = Share::ALL.map(|share| vec![share]);
    if count == 1 {
        return one.to_vec();
    }
    let two = Share::ALL
        .iter()
        .flat_map(|first| Share::ALL.map(|second| vec![*first, second]));
    two.collect()
}

fn words(shares: &[Share]) -> String {
    let words: Vec<&str> = shares.iter().map(|share| share.as_str()).collect();
    words.join(", ")
}

/// Prints a row; the highest 99th percentile of its combinations.
fn print(
    name: &str,
    properties: &[Property],
    kinds: &BTreeMap<String, (Vec<Share>, Times)>,
) -> f64 {
    let (mut present, mut absent) = (Times::default(), Times::default());
    let mut slowest = (String::new(), 0.0);
    for (words, (shares, times)) in kinds {
        if shares.contains(&Share::Absent) {
            absent.join(times);
        } else {
            present.join(times);
        }
        if times.at(0.99) > slowest.1 {
            slowest = (words.clone(), times.at(0.99));
        }
    }
    let properties: Vec<&str> = properties.iter().map(|one| one.as_str()).collect();
    println!(
        "| {name} by {} | {} | {} | {} | {:.2} |",
        properties.join(" and "),
        present.cells(),
        absent.cells(),
        slowest.0,
        slowest.1
    );
    slowest.1
}

/// The first page and one far away, by turns.
async fn far(asker: &Asker, questions: &Questions) {
    println!("| by cursor, ms | page 1 p50 | p99 | page {FAR} p50 | p99 |");
    println!("|---|---|---|---|---|");
    let mut dice = Dice(3);
    for (base, property) in [
        ("/api/v0/messages.json", None),
        ("/api/v0/messages.json", Some(Property::Sender)),
        ("/api/v0/messages.json", Some(Property::Type)),
        ("/api/v1/posts.json", None),
        ("/api/v1/posts.json", Some(Property::Sender)),
    ] {
        let filter = match property {
            // The one who sends most: others have no so far page.
            Some(Property::Sender) => {
                format!("addresses={}&", questions.most_frequent_sender())
            }
            Some(property) => questions.filter(property, Share::Common, &mut dice) + "&",
            None => String::new(),
        };
        let page = |cursor: &str| format!("{base}?{filter}cursor={cursor}");
        let mut cursor = String::new();
        let mut number = 1;
        while number < FAR {
            let body = asker.json(&page(&cursor)).await;
            let Some(next) = body["next_cursor"].as_str() else {
                break;
            };
            cursor = next.to_owned();
            number += 1;
        }
        let (mut near, mut distant) = (Times::default(), Times::default());
        for _ in 0..300 {
            near.add(asker.timed(&page("")).await);
            distant.add(asker.timed(&page(&cursor)).await);
        }
        println!(
            "| {} by {} (page {number}) | {} | {} |",
            if base.contains("posts") {
                "posts"
            } else {
                "messages"
            },
            property.map_or("nothing", Property::as_str),
            near.cells(),
            distant.cells()
        );
    }
    println!();
}

/// Single messages and aggregates.
async fn reads(asker: &Asker, found: &Found, samples: usize) {
    println!("| one, ms | p50 | p99 |\n|---|---|---|");
    let count = samples * 20;
    for (name, paths) in paths(found) {
        let mut times = Times::default();
        for path in paths.iter().cycle().take(count) {
            times.add(asker.timed(path).await);
        }
        println!("| {name} | {} |", times.cells());
    }
    println!();
}

/// Paths of single things, by what they are.
pub fn paths(found: &Found) -> Vec<(&'static str, Vec<String>)> {
    let message = |hash: &String| format!("/api/v0/messages/{hash}");
    let key =
        |(owner, key): &(String, String)| format!("/api/v0/aggregates/{owner}.json?keys={key}");
    vec![
        ("message", found.hashes.iter().map(message).collect()),
        (
            "aggregate (one key)",
            found.aggregates.iter().map(key).collect(),
        ),
    ]
}
