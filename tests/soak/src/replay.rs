//! The fleet as a watch tells it, to be compared with what a list says of the same revision.

use std::collections::BTreeMap;

use salvor_proto::registry::v1::{
    Sandbox, WatchSandboxesResponse, sandbox::State, watch_sandboxes_response::Event,
};

/// A list, and the changes since.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The records as of some revision.
    base: BTreeMap<String, Sandbox>,
    /// Later changes, in order.
    changes: Vec<(i64, Sandbox)>,
    /// Everything up to here was told.
    position: i64,
}

/// A list's records, so that they can be compared.
pub(crate) fn by_name(sandboxes: Vec<Sandbox>) -> BTreeMap<String, Sandbox> {
    sandboxes.into_iter().map(|sandbox| (sandbox.name.clone(), plain(sandbox))).collect()
}

/// Whether contents can be opened is a statement of when it was made, not of the revision.
fn plain(mut sandbox: Sandbox) -> Sandbox {
    if let Some(spec) = &mut sandbox.spec {
        spec.openable = false;
    }
    if let Some(policy) = &mut sandbox.policy {
        policy.openable = false;
    }
    sandbox
}

impl Replay {
    /// Begins with a list of this revision.
    pub(crate) fn new(revision: i64, base: BTreeMap<String, Sandbox>) -> Self {
        Self { base, changes: Vec::new(), position: revision }
    }

    pub(crate) const fn position(&self) -> i64 {
        self.position
    }

    /// Takes what the watch says; answers what is wrong with it.
    pub(crate) fn take(&mut self, response: WatchSandboxesResponse) -> Result<(), String> {
        let (revision, last) = (response.revision, self.position);
        match response.event {
            Some(Event::Changed(sandbox)) if revision > last => {
                self.changes.push((revision, plain(sandbox)));
            }
            Some(Event::Progress(_)) if revision >= last => {}
            other => return Err(format!("revision {revision} after {last}: {other:?}")),
        }
        self.position = revision;
        Ok(())
    }

    /// The first difference to a list of a revision that the watch has reached. What is older is forgotten.
    pub(crate) fn differs(
        &mut self,
        revision: i64,
        listed: &BTreeMap<String, Sandbox>,
    ) -> Option<String> {
        let until = self.changes.partition_point(|(at, _)| *at <= revision);
        for (_, sandbox) in self.changes.drain(..until) {
            if sandbox.state() == State::Destroyed {
                self.base.remove(&sandbox.name);
            } else {
                self.base.insert(sandbox.name.clone(), sandbox);
            }
        }
        let names = self.base.keys().chain(listed.keys());
        names
            .filter(|name| self.base.get(*name) != listed.get(*name))
            .map(String::as_str)
            .next()
            .map(|name| {
                let (watched, listed) = (self.base.get(name), listed.get(name));
                format!("{name} at revision {revision}: watched {watched:?}, listed {listed:?}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(name: &str, etag: &str, state: State) -> Sandbox {
        let (name, etag) = (name.to_owned(), etag.to_owned());
        Sandbox { name, etag, state: state.into(), ..Sandbox::default() }
    }

    fn changed(revision: i64, sandbox: Sandbox) -> WatchSandboxesResponse {
        WatchSandboxesResponse { revision, event: Some(Event::Changed(sandbox)) }
    }

    #[test]
    fn changes_up_to_a_revision_make_the_list_of_that_revision() {
        let mut replay = Replay::new(3, by_name(vec![sandbox("a", "1", State::Active)]));
        replay.take(changed(4, sandbox("b", "1", State::Active))).unwrap();
        replay.take(changed(5, sandbox("a", "2", State::Destroyed))).unwrap();
        replay.take(changed(6, sandbox("b", "2", State::Active))).unwrap();
        let at_5 = by_name(vec![sandbox("b", "1", State::Active)]);
        assert_eq!(replay.differs(5, &at_5), None);
        let at_6 = by_name(vec![sandbox("b", "2", State::Active)]);
        assert_eq!(replay.differs(6, &at_6), None);
        assert!(replay.differs(6, &at_5).is_some_and(|found| found.starts_with("b at revision 6")));
    }

    #[test]
    fn a_watch_that_goes_back_is_found_out() {
        let mut replay = Replay::new(3, BTreeMap::new());
        assert!(replay.take(changed(3, sandbox("a", "1", State::Active))).is_err());
        replay.take(changed(4, sandbox("a", "1", State::Active))).unwrap();
        assert!(replay.take(changed(4, sandbox("a", "1", State::Active))).is_err());
    }
}
