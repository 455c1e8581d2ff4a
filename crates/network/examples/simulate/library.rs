//! What a node keeps, as the set that reconciliation asks for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use beth_network::Wanted;
use beth_protocol::reconcile::{Element, PARTS, Part, Range, Set, Summary};

use super::message::{Message, MessageIx};

/// Messages in the order of time.
#[derive(Debug, Default)]
pub struct Library {
    messages: BTreeMap<Element, (MessageIx, Summary)>,
    all: Summary,
}

impl Library {
    /// Keeps a message; false if it did before.
    pub fn keep(&mut self, number: MessageIx, message: &Message) -> bool {
        let kept = (number, message.summary);
        let is_new = self.messages.insert(message.element, kept).is_none();
        if is_new {
            self.all = self.all.plus(message.summary);
        }
        is_new
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Those that are wanted and kept.
    pub fn find(&self, wanted: &Wanted) -> Vec<MessageIx> {
        let single = |element| self.messages.get(element).map(|(number, _)| *number);
        let mut found: Vec<MessageIx> = wanted.elements.iter().filter_map(single).collect();
        for range in &wanted.ranges {
            let within = self.messages.range(range.start..range.end);
            found.extend(within.map(|(_, (number, _))| *number));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn within(&self, range: Range) -> impl Iterator<Item = (Element, Summary)> {
        let within = self.messages.range(range.start..range.end);
        within.map(|(element, (_, summary))| (*element, *summary))
    }
}

impl Set for Library {
    type Error = Infallible;

    fn summary(&self, range: Range) -> Result<Summary, Infallible> {
        if range == Range::ALL {
            return Ok(self.all);
        }
        let all = self.within(range);
        Ok(all.fold(Summary::default(), |sum, (_, one)| sum.plus(one)))
    }

    fn divide(&self, range: Range) -> Result<Vec<Part>, Infallible> {
        let all: Vec<(Element, Summary)> = self.within(range).collect();
        let size = all.len().div_ceil(PARTS).max(1);
        let part = |(place, chunk): (usize, &[(Element, Summary)])| Part {
            end: all
                .get((place + 1) * size)
                .map_or(range.end, |(element, _)| *element),
            summary: chunk
                .iter()
                .fold(Summary::default(), |sum, (_, one)| sum.plus(*one)),
        };
        Ok(all.chunks(size).enumerate().map(part).collect())
    }

    fn each(
        &self,
        range: Range,
        show: &mut dyn FnMut(Element) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        for (element, _) in self.within(range) {
            if show(element).is_break() {
                break;
            }
        }
        Ok(())
    }
}
