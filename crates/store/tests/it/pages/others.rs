//! Lists of aggregates, files and channels.

use super::*;

#[test]
fn aggregates_are_listed_by_either_time() {
    let world = World::new();
    for sort in [AggregateSort::LastUpdated, AggregateSort::Created] {
        for seed in 0..40 {
            let mut dice = Dice::new(seed + 2_000);
            let filter = AggregateFilter {
                owners: strings(&mut dice, &SENDERS),
                keys: strings(&mut dice, &KEYS),
                sort,
                order: order(&mut dice),
            };
            let mut expected: Vec<(Timestamp, (String, String))> = Vec::new();
            for owner in SENDERS {
                for key in KEYS {
                    let times = world.entries.iter().filter(|entry| {
                        entry.content["key"] == key && entry.content["address"] == owner
                    });
                    let times = times.map(|entry| entry.message.time);
                    let time = if sort == AggregateSort::Created {
                        times.min()
                    } else {
                        times.max()
                    };
                    let is_wanted =
                        among(&filter.owners, Some(owner)) && among(&filter.keys, Some(key));
                    expected.extend(
                        time.filter(|_| is_wanted)
                            .map(|time| (time, (key.to_owned(), owner.to_owned()))),
                    );
                }
            }
            check(
                &sorted(expected, filter.order),
                |window| {
                    world
                        .store
                        .readers
                        .read(|state| state.aggregates(&filter, window))
                },
                |row| (row.key.clone(), row.owner.clone()),
                &filter,
            );
        }
    }
}

#[test]
fn files_and_channels() {
    let world = World::new();
    let mut channels: Vec<String> = CHANNELS.map(str::to_owned).to_vec();
    channels.sort();
    assert_eq!(
        world.store.readers.read(|state| state.channels()).unwrap(),
        channels
    );
    let is_file = |entry: &&Entry| {
        entry.message.message_type == MessageType::Store && entry.message.sender == "0xA"
    };
    let files = world.entries.iter().filter(is_file);
    let files = files.map(|entry| (entry.message.time, entry.message.item_hash.to_string()));
    let expected = sorted(files.collect(), Order::Ascending);
    check(
        &expected,
        |window| {
            world
                .store
                .readers
                .read(|state| state.files_of("0xA", None, Order::Ascending, window))
        },
        |row| row.item_hash.clone(),
        &"files",
    );
    let total = world
        .store
        .readers
        .read(|state| state.files_total("0xA"))
        .unwrap();
    assert_eq!(total, (expected.len() as u64 * 10, expected.len() as u64));
}
