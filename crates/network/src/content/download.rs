//! One content that is fetched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use beth_protocol::hash::chain::{Chunk, chunk_count};
use libp2p::PeerId;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::interval;

use super::desk::{self, Came, Paper, Verdict};
use super::frame::SpeakError;
use super::plan::{Plan, SourceId};
use super::search::{Found, Search};
use super::source::{Event, Source, carry};
use super::{Digest, DownloadError, Growing, Report};
use crate::fault::Fault;
use crate::limits::{CONTENT_SOURCES, CONTENT_STALL, CONTENT_TICK, CONTENT_TRUST, CONTENT_WINDOW};
use crate::network::Network;

/// Fetches what is missing of a content.
pub(super) async fn fetch<G: Growing>(
    network: &Network,
    (digest, bytes_max): (Digest, u64),
    growing: G,
) -> (Option<G>, Result<Report, DownloadError>) {
    // No more is ever on the way than fits.
    let room = 4 * CONTENT_WINDOW as usize;
    let (papers, taken) = mpsc::channel(room);
    let (told, verdicts) = mpsc::channel(room);
    let (events, heard) = mpsc::channel(room);
    let neighbours = &network.neighbours;
    let mut download = Download {
        network: network.clone(),
        bytes_max,
        search: Search::new(neighbours, digest),
        sources: HashMap::new(),
        peers: Vec::new(),
        plan: Plan::new(0, CONTENT_WINDOW, neighbours.known.window.clone()),
        size: Size::Unknown,
        too_large: None,
        papers,
        unchecked: 0,
        events,
        tasks: JoinSet::new(),
        report: Report::default(),
        moved: Instant::now(),
    };
    if let Some(size_bytes) = growing.size_bytes() {
        let left = growing.next().map_or(0, |index| index + 1);
        download.resume(size_bytes, left);
    }
    let desk = tokio::task::spawn_blocking(move || desk::work(growing, taken, &told));
    let done = download.run((heard, verdicts)).await;
    let report = download.end();
    let growing = desk.await.ok();
    (
        growing,
        done.map_err(|end| end.with(report.clone()))
            .map(|()| report),
    )
}

/// A content that is being fetched.
struct Download {
    network: Network,
    bytes_max: u64,
    search: Search,
    sources: HashMap<SourceId, Source>,
    /// Everybody who is or was a source.
    peers: Vec<PeerId>,
    plan: Plan,
    size: Size,
    /// The smallest size that was too large.
    too_large: Option<u64>,
    papers: mpsc::Sender<Paper>,
    /// Papers that the desk has not dealt with.
    unchecked: usize,
    events: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
    report: Report,
    moved: Instant,
}

/// What is known of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Unknown,
    /// Somebody says so.
    Said(u64),
    /// A chunk proves it.
    Proven(u64),
}

impl Size {
    fn bytes(self) -> Option<u64> {
        match self {
            Size::Unknown => None,
            Size::Said(bytes) | Size::Proven(bytes) => Some(bytes),
        }
    }
}

/// Why a download ended before the content was whole.
enum End {
    Nobody,
    Stalled,
    TooLarge(u64, u64),
    Failed(super::ContentsError),
}

impl End {
    fn with(self, report: Report) -> DownloadError {
        match self {
            End::Nobody if report == Report::default() => DownloadError::Nowhere,
            End::Nobody => DownloadError::Lost(report),
            End::Stalled => DownloadError::Stalled(report),
            End::TooLarge(size_bytes, bytes_max) => DownloadError::TooLarge {
                size_bytes,
                bytes_max,
            },
            End::Failed(error) => DownloadError::Storage(error),
        }
    }
}

impl Download {
    /// A chunk that is here proves the size.
    fn resume(&mut self, size_bytes: u64, left: u64) {
        self.size = Size::Proven(size_bytes);
        self.plan = Plan::new(left, CONTENT_WINDOW, self.window());
    }

    async fn run(
        &mut self,
        (mut heard, mut verdicts): (mpsc::Receiver<Event>, mpsc::Receiver<Verdict>),
    ) -> Result<(), End> {
        let mut ticks = interval(CONTENT_TICK);
        loop {
            if matches!(self.size, Size::Proven(_)) && self.plan.is_done() {
                return Ok(());
            }
            self.assign();
            self.expect_progress()?;
            tokio::select! {
                Some(event) = heard.recv() => self.hear(event),
                Some(verdict) = verdicts.recv() => self.judge(verdict)?,
                found = self.search.next(), if self.sources.len() < CONTENT_SOURCES => {
                    if let Some(found) = found {
                        self.meet(found);
                    }
                }
                _ = ticks.tick() => self.overtake(),
            }
        }
    }

    fn window(&self) -> Arc<Semaphore> {
        self.network.neighbours.known.window.clone()
    }

    /// Leaves everybody.
    fn end(self) -> Report {
        self.report
    }

    fn expect_progress(&mut self) -> Result<(), End> {
        if self.moved.elapsed() > CONTENT_STALL {
            return Err(End::Stalled);
        }
        if self.unchecked > 0 {
            return Ok(());
        }
        if self.sources.is_empty() && self.search.is_over() {
            return Err(match self.too_large {
                Some(size_bytes) => End::TooLarge(size_bytes, self.bytes_max),
                None => End::Nobody,
            });
        }
        // All who said this size are gone: what the others say is tried.
        if let Size::Said(size_bytes) = self.size
            && !self
                .sources
                .values()
                .any(|one| one.size_bytes == size_bytes)
            && let Some(other) = self.sources.values().next().map(|one| one.size_bytes)
        {
            self.begin(other);
        }
        Ok(())
    }

    fn meet(&mut self, found: Found) {
        if found.size_bytes > self.bytes_max {
            let least = self.too_large.unwrap_or(u64::MAX);
            self.too_large = Some(found.size_bytes.min(least));
            return;
        }
        let source = self.peers.len() as SourceId;
        self.peers.push(found.peer);
        if let Size::Proven(size_bytes) = self.size
            && size_bytes != found.size_bytes
        {
            return self.blame(source, "said a wrong size", Fault::WrongChunk);
        }
        let (gets, asked) = mpsc::channel(2 * CONTENT_TRUST);
        let work = carry(source, found.stream, asked, self.events.clone());
        let task = self.tasks.spawn(work);
        let one = Source {
            peer: found.peer,
            size_bytes: found.size_bytes,
            owes: Default::default(),
            unchecked: 0,
            trust: 1,
            pace: None,
            gets,
            task,
        };
        self.sources.insert(source, one);
        if self.size == Size::Unknown {
            self.begin(found.size_bytes);
        }
    }

    fn begin(&mut self, size_bytes: u64) {
        self.size = Size::Said(size_bytes);
        let left = chunk_count(size_bytes);
        self.plan = Plan::new(left, CONTENT_WINDOW, self.window());
        for source in self.sources.values_mut() {
            source.owes.clear();
            source.unchecked = 0;
        }
        self.hand(Paper::Size(size_bytes));
    }

    /// Asks everybody for as much as is right.
    fn assign(&mut self) {
        let size_bytes = self.size.bytes();
        loop {
            let mut is_idle = true;
            for (id, source) in &mut self.sources {
                if Some(source.size_bytes) != size_bytes {
                    continue;
                }
                let index = match (source.is_full(), source.owes.is_empty()) {
                    (false, _) => self.plan.next_for(*id),
                    // Perhaps all that is unchecked waits for one that was lost.
                    (true, true) => self.plan.lost_for(*id),
                    (true, false) => None,
                };
                if let Some(index) = index {
                    source.ask(index);
                    is_idle = false;
                }
            }
            if is_idle {
                return;
            }
        }
    }

    /// Who has nothing to do fetches what others are slow with.
    fn overtake(&mut self) {
        let size_bytes = self.size.bytes();
        let idle = self.sources.iter().filter(|(_, one)| one.owes.is_empty());
        let idle = idle.filter(|(_, one)| Some(one.size_bytes) == size_bytes);
        let idle: Vec<SourceId> = idle.map(|(id, _)| *id).collect();
        for id in idle {
            // One is taken whatever waits: perhaps all waits for that one.
            while let Some(source) = self.sources.get_mut(&id)
                && (source.owes.is_empty() || !source.is_full())
                && let Some((index, slow)) = self.plan.overtake(id, source.patience())
            {
                source.ask(index);
                if let Some(slow) = self.sources.get_mut(&slow) {
                    slow.trust = 1;
                }
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Came(id, index, chunk) => self.take(id, index, chunk),
            Event::Later(id, index) => {
                self.plan.failed(index, id);
                self.leave(id);
            }
            Event::Gone(id, Some(SpeakError::Nonsense)) => {
                self.blame(id, "sent what is no frame", Fault::Garbage);
            }
            Event::Gone(id, _) => {
                if let Some(peer) = self.leave(id) {
                    self.search.again(peer);
                }
            }
        }
    }

    fn take(&mut self, id: SourceId, index: u64, chunk: Chunk) {
        let bytes = chunk.bytes.len() as u64;
        let Some(source) = self.sources.get_mut(&id) else {
            self.report.wasted_bytes += bytes;
            return;
        };
        let Some(took) = self.plan.came(index, id) else {
            self.report.wasted_bytes += bytes;
            return self.blame(id, "sent a chunk that nobody asked for", Fault::Garbage);
        };
        source.came(index, took);
        if !self.hand(Paper::Chunk(index, id, chunk)) {
            self.report.wasted_bytes += bytes;
            self.plan.dropped(index);
        }
    }

    fn hand(&mut self, paper: Paper) -> bool {
        let is_taken = self.papers.try_send(paper).is_ok();
        self.unchecked += usize::from(is_taken);
        is_taken
    }

    fn judge(&mut self, verdict: Verdict) -> Result<(), End> {
        if let Verdict::Right { from, .. }
        | Verdict::Wrong { from, .. }
        | Verdict::Spare { from, .. } = &verdict
            && let Some(source) = self.sources.get_mut(&from.source)
        {
            source.unchecked -= 1;
        }
        match verdict {
            Verdict::Right { index, from } => self.approve(index, from),
            Verdict::Wrong { index, from, lie } => {
                self.report.wasted_bytes += from.bytes;
                self.blame(from.source, &format!("sent {lie}"), Fault::WrongChunk);
                self.plan.dropped(index);
            }
            Verdict::Spare { index, from } => {
                self.report.wasted_bytes += from.bytes;
                self.plan.dropped(index);
            }
            Verdict::Done => self.unchecked -= 1,
            Verdict::Failed(error) => return Err(End::Failed(error)),
        }
        Ok(())
    }

    fn approve(&mut self, index: u64, from: Came) {
        self.moved = Instant::now();
        self.plan.right(index);
        if let Some(source) = self.sources.get_mut(&from.source) {
            source.was_right();
        }
        if let Some(peer) = self.peers.get(from.source as usize) {
            let received = &mut self.report.received_bytes;
            *received.entry(peer.to_string()).or_default() += from.bytes;
        }
        if let Size::Said(size_bytes) = self.size {
            self.size = Size::Proven(size_bytes);
            let lying = self
                .sources
                .iter()
                .filter(|(_, one)| one.size_bytes != size_bytes);
            let lying: Vec<SourceId> = lying.map(|(id, _)| *id).collect();
            for id in lying {
                self.blame(id, "said a wrong size", Fault::WrongChunk);
            }
        }
    }

    /// Leaves a source that lied.
    fn blame(&mut self, id: SourceId, what: &str, fault: Fault) {
        self.leave(id);
        if let Some(peer) = self.peers.get(id as usize) {
            tracing::warn!(%peer, what, "a neighbour lied about a content and is not asked for a while");
            self.network.neighbours.known.lied(*peer);
            self.network.demote(&peer.to_string(), fault);
            let liars = &mut self.report.liars;
            liars
                .entry(peer.to_string())
                .or_insert_with(|| what.to_owned());
        }
    }

    /// What it owed is asked elsewhere.
    fn leave(&mut self, id: SourceId) -> Option<PeerId> {
        let source = self.sources.remove(&id)?;
        self.plan.lost(id);
        self.report.lost_sources += 1;
        Some(source.peer)
    }
}
