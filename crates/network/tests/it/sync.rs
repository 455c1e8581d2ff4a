//! Neighbours that reconcile: what one has the other gets, whoever began, and
//! peers that know nothing of it are left alone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, mpsc};

use beth_network::{Batch, Judged, Library, LibraryError, Tally, Visit, Wanted};
use beth_protocol::reconcile::frame::{Reply, Request};
use beth_protocol::reconcile::{
    AskError, Asker, Element, PARTS, Part, Range, Salt, Set, Step, Summary, answer,
};
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::status::until;
use crate::{DEADLINE, Peer};

/// Messages in memory; the text of one is its number.
#[derive(Clone, Default)]
struct Shelf(BTreeMap<Element, Vec<u8>>);

impl Set for Shelf {
    type Error = Infallible;

    fn summary(&self, range: Range) -> Result<Summary, Infallible> {
        let elements = self.0.range(range.start..range.end);
        Ok(elements.fold(Summary::default(), |sum, (element, _)| {
            sum.plus(Summary::of(*element))
        }))
    }

    fn divide(&self, range: Range) -> Result<Vec<Part>, Infallible> {
        let elements: Vec<Element> = self
            .0
            .range(range.start..range.end)
            .map(|(element, _)| *element)
            .collect();
        let size = elements.len().div_ceil(PARTS).max(1);
        let chunks: Vec<&[Element]> = elements.chunks(size).collect();
        let ends = chunks.iter().skip(1).map(|chunk| chunk[0]);
        let ends = ends.chain([range.end]);
        let parts = chunks.iter().zip(ends).map(|(chunk, end)| Part {
            end,
            summary: chunk.iter().fold(Summary::default(), |sum, element| {
                sum.plus(Summary::of(*element))
            }),
        });
        Ok(parts.collect())
    }

    fn each(
        &self,
        range: Range,
        show: &mut dyn FnMut(Element) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        for element in self.0.range(range.start..range.end).map(|(at, _)| *at) {
            if show(element).is_break() {
                break;
            }
        }
        Ok(())
    }
}

struct Memory {
    shelf: Mutex<Shelf>,
    count: watch::Sender<usize>,
}

impl Memory {
    fn of(numbers: impl Iterator<Item = i64>) -> Arc<Memory> {
        let shelf: BTreeMap<_, _> = numbers.map(message).collect();
        let count = watch::channel(shelf.len()).0;
        Arc::new(Memory {
            shelf: Mutex::new(Shelf(shelf)),
            count,
        })
    }

    fn shelf(&self) -> Shelf {
        self.shelf.lock().unwrap().clone()
    }

    async fn has(&self, count: usize) {
        let mut counted = self.count.subscribe();
        let reached = counted.wait_for(|now| *now >= count);
        let reached = timeout(DEADLINE, reached).await;
        assert!(reached.is_ok(), "{} of {count}", *self.count.borrow());
    }
}

fn message(number: i64) -> (Element, Vec<u8>) {
    let element = Element {
        time: number * 1_000_000,
        prefix: number.wrapping_mul(0x1234_5678_9abc_def1),
    };
    (element, format!("{number:>200}").into_bytes())
}

fn never(error: AskError<Infallible>) -> AskError<LibraryError> {
    match error {
        AskError::Nonsense(what) => AskError::Nonsense(what),
        AskError::Set(never) => match never {},
    }
}

impl Library for Memory {
    fn answer(&self, request: &Request) -> Result<Reply, LibraryError> {
        let Ok(reply) = answer(&self.shelf(), request);
        Ok(reply)
    }

    fn begin(&self, salt: Salt) -> Result<(Asker, Request), LibraryError> {
        let Ok(begun) = Asker::begin(&self.shelf(), salt);
        Ok(begun)
    }

    fn hear(&self, asker: &mut Asker, reply: Reply) -> Result<Step, AskError<LibraryError>> {
        asker.hear(&self.shelf(), reply).map_err(never)
    }

    /// Seven at a time.
    fn messages(&self, mut wanted: Wanted, _: usize) -> Result<Batch, LibraryError> {
        let shelf = self.shelf().0;
        for range in std::mem::take(&mut wanted.ranges) {
            let within = shelf.range(range.start..range.end);
            wanted.elements.extend(within.map(|(element, _)| *element));
        }
        let rest = wanted.elements.split_off(wanted.elements.len().min(7));
        let messages = wanted.elements.iter();
        Ok(Batch {
            messages: messages.filter_map(|at| shelf.get(at).cloned()).collect(),
            rest: Wanted {
                elements: rest,
                ranges: Vec::new(),
            },
        })
    }

    fn take(&self, messages: Vec<Vec<u8>>) -> BoxFuture<'_, Option<Judged>> {
        let mut shelf = self.shelf.lock().unwrap();
        let mut tally = Tally::default();
        for text in messages {
            let number = String::from_utf8(text).unwrap();
            match number.trim().parse() {
                Ok(number) => {
                    let (element, text) = message(number);
                    shelf.0.insert(element, text);
                    tally.in_force += 1;
                }
                Err(_) => tally.wrong += 1,
            }
        }
        self.count.send_replace(shelf.0.len());
        let judged: Judged = Box::pin(std::future::ready(Some(tally)));
        Box::pin(std::future::ready(Some(judged)))
    }
}

/// A peer that reconciles, and the visits it paid.
fn begin(peer: &Peer, library: &Arc<Memory>) -> watch::Receiver<Vec<Visit>> {
    let (told, visits) = watch::channel(Vec::new());
    peer.network.reconcile(library.clone(), move |_, visit| {
        told.send_modify(|seen: &mut Vec<Visit>| seen.push(visit.clone()));
    });
    visits
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_end_with_the_same() {
    let first = Peer::start(&[]).await;
    let second = Peer::start(&[&first]).await;
    let here = Memory::of((0..1_000).filter(|number| number % 3 > 0));
    let there = Memory::of((200..1_300).filter(|number| number % 7 > 0));
    begin(&first, &here);
    begin(&second, &there);
    let all = (0..1_300).filter(|number| match number {
        0..200 => number % 3 > 0,
        1_000.. => number % 7 > 0,
        _ => number % 3 > 0 || number % 7 > 0,
    });
    let all: BTreeMap<_, _> = all.map(message).collect();
    here.has(all.len()).await;
    there.has(all.len()).await;
    assert!(here.shelf().0 == all && there.shelf().0 == all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_in_step_takes_a_few_bytes() {
    let first = Peer::start(&[]).await;
    let second = Peer::start(&[&first]).await;
    let (here, there) = (Memory::of(0..5_000), Memory::of(0..5_000));
    begin(&first, &here);
    let mut visits = begin(&second, &there);
    let paid = visits.wait_for(|visits| !visits.is_empty());
    let paid = timeout(DEADLINE, paid).await.unwrap().unwrap()[0].clone();
    assert_eq!((paid.questions, paid.fetched, paid.offered), (1, 0, 0));
    assert!(paid.question_bytes < 100, "{paid:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_gets_everything() {
    let full = Peer::start(&[]).await;
    let library = Memory::of(0..3_000);
    begin(&full, &library);
    let empty = Peer::start(&[&full]).await;
    let new = Memory::of(0..0);
    let mut visits = begin(&empty, &new);
    new.has(3_000).await;
    let paid = visits.wait_for(|visits| !visits.is_empty());
    let paid = timeout(DEADLINE, paid).await.unwrap().unwrap()[0].clone();
    assert!((1..5).contains(&paid.questions), "{paid:?}");
}

/// Answers when its gate is opened.
struct Stuck(Arc<Memory>, Mutex<mpsc::Receiver<()>>);

impl Library for Stuck {
    fn answer(&self, request: &Request) -> Result<Reply, LibraryError> {
        let _ = self.1.lock().unwrap().recv();
        self.0.answer(request)
    }

    fn begin(&self, salt: Salt) -> Result<(Asker, Request), LibraryError> {
        self.0.begin(salt)
    }

    fn hear(&self, asker: &mut Asker, reply: Reply) -> Result<Step, AskError<LibraryError>> {
        self.0.hear(asker, reply)
    }

    fn messages(&self, wanted: Wanted, bytes_max: usize) -> Result<Batch, LibraryError> {
        self.0.messages(wanted, bytes_max)
    }

    fn take(&self, messages: Vec<Vec<u8>>) -> BoxFuture<'_, Option<Judged>> {
        self.0.take(messages)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_does_not_answer_holds_up_nobody() {
    let mute = Peer::start(&[]).await;
    let (open, gate) = mpsc::channel();
    let stuck = Arc::new(Stuck(Memory::of(0..10), Mutex::new(gate)));
    mute.network.reconcile(stuck, |_, _| {});
    let new = Peer::start(&[&mute]).await;
    let here = Memory::of(0..0);
    begin(&new, &here);
    let honest = Peer::start(&[&new]).await;
    begin(&honest, &Memory::of(0..500));
    here.has(500).await;
    drop(open);
}

/// Has the places of messages, and lies in them.
fn lies(numbers: std::ops::Range<i64>) -> Arc<Memory> {
    let library = Memory::of(numbers);
    for text in library.shelf.lock().unwrap().0.values_mut() {
        *text = b"a lie".to_vec();
    }
    library
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_wrong_messages_to_a_visitor_is_cut_off() {
    let liar = Peer::start(&[]).await;
    begin(&liar, &lies(0..50));
    let honest = Peer::start(&[&liar]).await;
    let here = Memory::of(0..0);
    let mut visits = begin(&honest, &here);
    let status = until(&honest, |status| !status.blocked.is_empty()).await;
    assert_eq!(status.blocked[0].id, liar.network.peer_id());
    let paid = visits.wait_for(|visits| !visits.is_empty());
    let paid = timeout(DEADLINE, paid).await.unwrap().unwrap()[0].clone();
    assert_eq!((paid.fetched, paid.in_force, paid.wrong), (50, 0, 50));
    assert!(here.shelf().0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_brings_wrong_messages_is_cut_off() {
    let honest = Peer::start(&[]).await;
    begin(&honest, &Memory::of(0..0));
    let liar = Peer::start(&[&honest]).await;
    begin(&liar, &lies(0..50));
    let status = until(&honest, |status| !status.blocked.is_empty()).await;
    assert_eq!(status.blocked[0].id, liar.network.peer_id());
}
