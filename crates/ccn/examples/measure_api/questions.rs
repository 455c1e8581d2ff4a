//! What is asked: filters with values that are common, rare or absent.

use std::collections::HashMap;

use crate::folder;

/// Time of the first message, and seconds between two (see the workload).
const FIRST_SECOND: u64 = 1_700_000_000;
/// Messages whose senders are looked at, to know who sends much.
const SENDERS_SEEN: u64 = 100_000;

/// A property that lists are filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    Sender,
    Type,
    ContentType,
    Channel,
    Tag,
    Ref,
    Time,
}

/// How many messages a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Common,
    Rare,
    Absent,
}

/// Makes questions.
pub struct Questions {
    messages: u64,
    /// Who sends most comes first.
    senders: Vec<String>,
}

/// Chance that can be repeated: splitmix64.
pub struct Dice(pub u64);

impl Property {
    pub const ALL: [Property; 7] = [
        Property::Sender,
        Property::Type,
        Property::ContentType,
        Property::Channel,
        Property::Tag,
        Property::Ref,
        Property::Time,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Property::Sender => "sender",
            Property::Type => "type",
            Property::ContentType => "post type",
            Property::Channel => "channel",
            Property::Tag => "tag",
            Property::Ref => "ref",
            Property::Time => "time",
        }
    }

    /// False for what posts are not filtered by.
    pub fn is_of_posts(self) -> bool {
        self != Property::Type
    }
}

impl Share {
    pub const ALL: [Share; 3] = [Share::Common, Share::Rare, Share::Absent];

    pub fn as_str(self) -> &'static str {
        match self {
            Share::Common => "common",
            Share::Rare => "rare",
            Share::Absent => "absent",
        }
    }

    /// One of the values at the frequent or the infrequent end.
    fn number(self, count: u64, dice: &mut Dice) -> u64 {
        match self {
            Share::Common => dice.below(count / 20 + 1),
            Share::Rare => count - 1 - dice.below(count / 10 + 1),
            Share::Absent => count + dice.below(1_000),
        }
    }
}

impl Questions {
    pub fn new(messages: u64) -> Questions {
        let workload = folder::workload();
        let mut counts = HashMap::<String, u64>::new();
        for index in 0..messages.min(SENDERS_SEEN) {
            let sender = workload.sender(index).address();
            *counts.entry(sender.to_string()).or_default() += 1;
        }
        let mut senders: Vec<(u64, String)> = counts
            .into_iter()
            .map(|(sender, count)| (count, sender))
            .collect();
        senders.sort_unstable();
        let senders = senders.into_iter().rev().map(|(_, sender)| sender);
        Questions {
            messages,
            senders: senders.collect(),
        }
    }

    /// The filter of a list of messages: `name=value`.
    pub fn filter(&self, property: Property, share: Share, dice: &mut Dice) -> String {
        match property {
            Property::Sender => {
                let number = share.number(self.senders.len() as u64, dice) as usize;
                let absent = format!("0x{number:040x}");
                let sender = self.senders.get(number).unwrap_or(&absent);
                format!("addresses={sender}")
            }
            Property::Type => {
                let types: &[&str] = match share {
                    Share::Common => &["POST", "AGGREGATE"],
                    Share::Rare => &["FORGET"],
                    Share::Absent => &["STORE", "PROGRAM", "INSTANCE"],
                };
                format!(
                    "msgTypes={}",
                    types[dice.below(types.len() as u64) as usize]
                )
            }
            Property::ContentType => format!("contentTypes=type-{}", share.number(50, dice)),
            Property::Channel => format!("channels=CHANNEL-{}", share.number(200, dice)),
            Property::Tag => format!("tags=tag-{}", share.number(2_000, dice)),
            Property::Ref => format!("refs=topic-{}", share.number(10_000, dice)),
            Property::Time => self.span(share, dice),
        }
    }

    /// The same as a filter of a list of posts.
    pub fn post_filter(&self, property: Property, share: Share, dice: &mut Dice) -> String {
        let filter = self.filter(property, share, dice);
        filter.replace("contentTypes=", "types=")
    }

    /// Half of the time, an hour of it, or a week before everything.
    fn span(&self, share: Share, dice: &mut Dice) -> String {
        let all = self.messages;
        let (from, length) = match share {
            Share::Common => (FIRST_SECOND + dice.below(all / 2 + 1), all / 2),
            Share::Rare => (FIRST_SECOND + dice.below(all), 3_600),
            Share::Absent => (FIRST_SECOND - 10_000_000 + dice.below(all), 600_000),
        };
        format!("startDate={from}&endDate={}", from + length)
    }

    pub fn most_frequent_sender(&self) -> &str {
        &self.senders[0]
    }

    /// A moment at which there were messages.
    pub fn moment(&self, dice: &mut Dice) -> u64 {
        FIRST_SECOND + 1_000 + dice.below(self.messages)
    }
}

impl Dice {
    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }
}
