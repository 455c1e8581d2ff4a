//! A fetch thinks.

use super::*;
use crate::bitswap::cid::key_of;

const PATIENCE: Duration = Duration::from_secs(60);

struct Desk {
    session: Session,
    now: Instant,
}

fn cid(number: usize) -> (Vec<u8>, Key) {
    let key = key_of(&[], &number.to_be_bytes()).unwrap();
    ([&[1, 0x55], &key[..]].concat(), key)
}

impl Desk {
    fn wanting(numbers: impl Iterator<Item = usize>) -> Desk {
        let mut session = Session::new(PATIENCE);
        let now = Instant::now();
        session.want(numbers.map(|number| cid(number).0).collect(), now);
        Desk { session, now }
    }

    /// The questions that follow, as peer, number of the block and kind.
    fn asks(&mut self) -> Vec<(PeerId, Key, Kind)> {
        let orders = self.orders();
        let asks = orders.into_iter().filter_map(|order| match order {
            Order::Ask(peer, key, want) => Some((peer, key, want.kind)),
            _ => None,
        });
        asks.collect()
    }

    fn orders(&mut self) -> Vec<Order> {
        self.session.plan(self.now, 64, false);
        self.session.take_orders()
    }
}

fn answer(number: usize, block: Result<Vec<u8>, Missing>) -> Order {
    let cid = cid(number).0;
    Order::Answer(Found { cid, block })
}

#[test]
fn whoever_has_it_is_asked_for_it() {
    let mut desk = Desk::wanting(0..1);
    let [one, two] = [PeerId::random(), PeerId::random()];
    let (_, key) = cid(0);
    for peer in [one, two] {
        desk.session.met(peer, desk.now);
    }
    let mut asked = desk.asks();
    asked.sort_by_key(|(peer, ..)| *peer != one);
    let expected = [one, two].map(|peer| (peer, key.clone(), Kind::Have));
    assert_eq!(asked, expected);
    desk.session.said(one, &key, false, desk.now);
    assert_eq!(desk.asks(), []);
    desk.session.said(two, &key, true, desk.now);
    assert_eq!(desk.asks(), [(two, key.clone(), Kind::Block)]);
    desk.session.block(two, &key, vec![1], desk.now);
    let expected = [
        Order::Cancel(one, key.clone()),
        Order::Forget(key),
        answer(0, Ok(vec![1])),
    ];
    assert_eq!(desk.orders(), expected);
    assert!(desk.session.is_idle());
}

#[test]
fn a_provider_is_asked_directly_and_then_the_others() {
    let mut desk = Desk::wanting(0..1);
    let [one, two] = [PeerId::random(), PeerId::random()];
    let (_, key) = cid(0);
    desk.session.met(two, desk.now);
    desk.session.met_provider(one, desk.now);
    assert_eq!(desk.asks(), [(one, key.clone(), Kind::Block)]);
    desk.session.said(one, &key, false, desk.now);
    assert_eq!(desk.asks(), [(two, key.clone(), Kind::Have)]);
    desk.session.said(two, &key, false, desk.now);
    assert!(desk.orders().contains(&answer(0, Err(Missing::Nobody))));
}

#[test]
fn work_is_split() {
    let mut desk = Desk::wanting(0..200);
    let peers = [PeerId::random(), PeerId::random()];
    for peer in peers {
        desk.session.met_provider(peer, desk.now);
    }
    let asked = desk.asks();
    assert_eq!(asked.len(), 64);
    for peer in peers {
        let own = asked.iter().filter(|(asked, ..)| *asked == peer).count();
        assert_eq!(own, 32);
    }
    // One of them is done with its share and gets more; the other waits.
    for (_, key, _) in asked.iter().filter(|(peer, ..)| *peer == peers[0]) {
        desk.session.block(peers[0], key, vec![], desk.now);
    }
    let more = desk.asks();
    assert_eq!(more.len(), 32);
    assert!(more.iter().all(|(peer, ..)| *peer == peers[0]), "{more:?}");
}

#[test]
fn a_silent_peer_is_passed_over_and_comes_last() {
    let mut desk = Desk::wanting(0..1);
    let [one, two] = [PeerId::random(), PeerId::random()];
    let (_, key) = cid(0);
    desk.session.met_provider(one, desk.now);
    assert_eq!(desk.asks().len(), 1);
    desk.session.met(two, desk.now);
    desk.now += FETCH_ANSWER;
    assert_eq!(desk.asks(), [(two, key.clone(), Kind::Have)]);
    desk.session.said(two, &key, false, desk.now);
    for _ in 1..FETCH_TRIES {
        assert_eq!(desk.asks(), [(one, key.clone(), Kind::Block)]);
        desk.now += FETCH_ANSWER;
    }
    assert!(desk.orders().contains(&answer(0, Err(Missing::Nobody))));
}

#[test]
fn patience_ends() {
    let mut desk = Desk::wanting(0..3);
    let peer = PeerId::random();
    desk.session.met_provider(peer, desk.now);
    desk.session.want(vec![cid(2).0], desk.now);
    assert_eq!(desk.asks().len(), 3);
    desk.now += PATIENCE;
    let orders = desk.orders();
    let late = |number| {
        let late = answer(number, Err(Missing::Late));
        orders.iter().filter(|order| **order == late).count()
    };
    // What was asked for twice is answered twice.
    assert_eq!([0, 1, 2].map(late), [1, 1, 2]);
}

#[test]
fn nobody_is_there() {
    let mut desk = Desk::wanting(0..1);
    desk.session.plan(desk.now, 64, true);
    assert_eq!(desk.session.take_orders(), [], "somebody may come");
    assert!(desk.orders().contains(&answer(0, Err(Missing::Nobody))));
}

#[test]
fn whoever_goes_is_replaced() {
    let mut desk = Desk::wanting(0..10);
    let [one, two] = [PeerId::random(), PeerId::random()];
    desk.session.met_provider(one, desk.now);
    assert_eq!(desk.asks().len(), 10);
    desk.session.met_provider(two, desk.now);
    desk.session.gone(one);
    let asked = desk.asks();
    assert_eq!(asked.len(), 10);
    assert!(asked.iter().all(|(peer, ..)| *peer == two));
}

#[test]
fn names_that_need_nobody() {
    let mut desk = Desk::wanting(0..0);
    let inline = vec![1, 0x55, 0, 2, b'h', b'i'];
    let unknown = vec![1, 0x55, 0x13, 1, 0];
    let now = desk.now;
    desk.session
        .want(vec![inline.clone(), unknown.clone()], now);
    let found = |cid, block| Order::Answer(Found { cid, block });
    let expected = [
        found(inline, Ok(b"hi".to_vec())),
        found(unknown, Err(Missing::Unknown)),
    ];
    assert_eq!(desk.orders(), expected);
    assert!(desk.session.is_idle());
}

#[test]
fn what_is_abandoned_is_taken_back() {
    let mut desk = Desk::wanting(0..100);
    let peer = PeerId::random();
    desk.session.met_provider(peer, desk.now);
    let asked = desk.asks().len();
    desk.session.abandon();
    let orders = desk.session.take_orders();
    let cancels = orders
        .iter()
        .filter(|order| matches!(order, Order::Cancel(..)));
    assert_eq!(cancels.count(), asked);
    assert!(desk.session.is_idle());
}
