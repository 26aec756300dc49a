//! Looking at one sandbox: get by name, held against the list, bracketed by probes.
//!
//! Invariant: an absence is said only when a healthy, pinned gateway answered "sandbox not found"
//! for the name, its whole list did not show the name, and the same gateway was healthy before
//! and after. Contradictions are looked at twice, because the vendor's list is no snapshot.

use salvor_proto::gateway::v1::{Unknown, UnknownReason};

use super::began::Began;
use super::{Gateway, Healthy, Probe, Turn, lock};
use crate::classify::{Class, Failure, Method};
use crate::vendor::{Listing, Page, Place, Row};

/// How often a contradiction is looked at before it is called one.
const LOOKS: usize = 2;
/// Rows asked for at a time; smaller when a page is too big to be read.
const PAGE_SIZES: [u32; 3] = [500, 50, 5];
/// Pages read to find a sandbox that get has shown. Past them the get alone is believed.
const PAGES_PRESENT: usize = 4;
/// Pages read to see that a name is nowhere. A gateway with more rows cannot prove an absence.
const PAGES_ABSENT: usize = 400;

/// What a look found.
#[derive(Debug, Clone)]
pub(crate) enum Sighting {
    /// It exists.
    Present(Box<Row>),
    /// It does not, since then.
    Absent(Began),
}

/// A look at one sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// The gateway, probed right before; for an absence, right after.
    pub probe: Probe,
    /// The finding.
    pub live: Result<Sighting, Unknown>,
    /// When the last answer arrived, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// What the list said of a name.
enum Listed {
    Shown,
    Omitted,
    /// Not read to its end.
    Unfinished,
}

/// What one look found, or that its answers contradict each other.
enum Look {
    Found(Box<Row>),
    Nowhere,
    Contradiction(&'static str),
}

// === impl Gateway ===

impl Gateway {
    /// Looks at one sandbox. Reads only.
    pub(crate) async fn observe(&self, place: &Place) -> Observation {
        let mut probe = self.probe().await;
        let live = match probe.found.clone() {
            Err(unknown) => Err(unknown),
            Ok(healthy) => match self.look_twice(&healthy, place).await {
                Ok(Some(row)) => Ok(Sighting::Present(row)),
                Ok(None) => {
                    probe = self.probe().await;
                    self.bracketed(&healthy, &probe, place)
                }
                Err(unknown) => Err(unknown),
            },
        };
        if !matches!(live, Ok(Sighting::Absent(_))) {
            lock(&self.absences).forget(place);
        }
        Observation { probe, live, at_ms: self.now_ms() }
    }

    /// A sandbox of that name may be there from now on: an absence that was seen before says nothing of it.
    pub(crate) fn forget_absence(&self, place: &Place) {
        lock(&self.absences).forget(place);
    }

    /// The row of one incarnation by name, without the list: enough for the check right before a
    /// mutation, never for an absence.
    pub(crate) async fn get(&self, healthy: &Healthy, place: &Place) -> Result<Row, Failure> {
        let asking = healthy.client.get(place);
        let row = self.call(&healthy.link, Method::Get, self.limits().read, asking).await?;
        self.of_place(row, place)
    }

    /// [`get`](Self::get) in a turn that was waited for: nothing comes between it and what is sent
    /// in the same turn.
    pub(crate) async fn get_in(
        &self,
        turn: &Turn<'_>,
        healthy: &Healthy,
        place: &Place,
    ) -> Result<Row, Failure> {
        let (at, asking) = ((turn, &*healthy.link), healthy.client.get(place));
        let row = self.call_in(at, Method::Get, self.limits().read, asking).await?;
        self.of_place(row, place)
    }

    fn of_place(&self, row: Row, place: &Place) -> Result<Row, Failure> {
        let misses = |what: &str| {
            let detail = format!("{}: GetSandbox answered a sandbox {what}", self.name);
            Err(Failure::new(Class::Contradictory, detail))
        };
        if row.id.is_empty() {
            return misses("without an id");
        }
        if row.name != place.sandbox {
            return misses("of another name");
        }
        if !(row.workspace.is_empty() || row.workspace == place.workspace) {
            return misses("of another workspace");
        }
        Ok(row)
    }

    /// One page of the list.
    pub(crate) async fn page(&self, healthy: &Healthy, listing: &Listing) -> Result<Page, Failure> {
        let asking = healthy.client.list(listing);
        self.call(&healthy.link, Method::List, self.limits().read, asking).await
    }

    async fn look_twice(
        &self,
        healthy: &Healthy,
        place: &Place,
    ) -> Result<Option<Box<Row>>, Unknown> {
        let mut contradiction = "";
        for _ in 0..LOOKS {
            match self.look(healthy, place).await? {
                Look::Found(row) => return Ok(Some(row)),
                Look::Nowhere => return Ok(None),
                Look::Contradiction(what) => contradiction = what,
            }
        }
        Err(self.unknown(UnknownReason::Inconsistent, contradiction))
    }

    async fn look(&self, healthy: &Healthy, place: &Place) -> Result<Look, Unknown> {
        match self.get(healthy, place).await {
            Ok(row) if row.spec.is_none() => {
                Ok(Look::Contradiction("GetSandbox answers the sandbox without its spec"))
            }
            Ok(row) => {
                let labels = selector(&row);
                Ok(match self.listed(healthy, place, labels, PAGES_PRESENT).await? {
                    Listed::Omitted => Look::Contradiction(
                        "GetSandbox finds the sandbox and ListSandboxes does not show it",
                    ),
                    Listed::Shown | Listed::Unfinished => Look::Found(Box::new(row)),
                })
            }
            Err(failure) if failure.class == Class::SandboxMissing => {
                match self.listed(healthy, place, String::new(), PAGES_ABSENT).await? {
                    Listed::Shown => Ok(Look::Contradiction(
                        "ListSandboxes shows the sandbox and GetSandbox does not find it",
                    )),
                    Listed::Omitted => Ok(Look::Nowhere),
                    Listed::Unfinished => {
                        let text = "its list is too long to be read to its end, so nothing can be \
                                    said to be absent";
                        Err(self.unknown(UnknownReason::Unreadable, text))
                    }
                }
            }
            Err(failure) if failure.class == Class::Contradictory => Ok(Look::Contradiction(
                "GetSandbox answers a sandbox without an id, or another one",
            )),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn listed(
        &self,
        healthy: &Healthy,
        place: &Place,
        labels: String,
        pages: usize,
    ) -> Result<Listed, Unknown> {
        let workspace = Some(place.workspace.clone());
        let mut sizes = PAGE_SIZES.into_iter();
        let size = sizes.next().unwrap_or(1);
        let mut listing = Listing { workspace, size, from: String::new(), labels };
        for _ in 0..pages {
            let page = match self.page(healthy, &listing).await {
                Err(failure) if failure.class == Class::Unreadable => {
                    listing.size = sizes.next().ok_or(failure)?;
                    continue;
                }
                page => page?,
            };
            if page.rows.iter().any(|row| row.name == place.sandbox) {
                return Ok(Listed::Shown);
            }
            match page.next {
                Some(next) => listing.from = next,
                None => return Ok(Listed::Omitted),
            }
        }
        Ok(Listed::Unfinished)
    }

    fn bracketed(
        &self,
        before: &Healthy,
        after: &Probe,
        place: &Place,
    ) -> Result<Sighting, Unknown> {
        let healthy = after.found.as_ref().map_err(Unknown::clone)?;
        if healthy.since.epoch != before.since.epoch {
            let text = "it was found anew, changed or restarted while it was looked at";
            return Err(self.unknown(UnknownReason::Inconsistent, text));
        }
        let since = lock(&self.absences).seen(place, healthy.since.epoch, after.at_ms);
        Ok(Sighting::Absent(since))
    }
}

/// Narrows a list to a sandbox's own labels, so that a big fleet is not read to find one.
fn selector(row: &Row) -> String {
    let pairs = row.labels.iter().take(16).map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}
