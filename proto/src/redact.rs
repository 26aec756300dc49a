//! `Debug` for messages that may carry secrets: lengths, never content.

use std::fmt;

use crate::registry::v1::{EntrySnapshot, Policy, Spec};

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("dialect", &self.dialect())
            .field("content", &format_args!("[{} bytes]", self.content.len()))
            .field("sha256", &self.sha256)
            .field("size_bytes", &self.size_bytes)
            .field("summary", &self.summary)
            .field("observe_time", &self.observe_time)
            .field("openable", &self.openable)
            .finish()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("dialect", &self.dialect())
            .field("content", &format_args!("[{} bytes]", self.content.len()))
            .field("policy_hash", &self.policy_hash)
            .field("sha256", &self.sha256)
            .field("size_bytes", &self.size_bytes)
            .field("entries", &self.entries)
            .field("removed", &self.removed)
            .field("observe_time", &self.observe_time)
            .field("openable", &self.openable)
            .finish()
    }
}

impl fmt::Debug for EntrySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntrySnapshot")
            .field("name", &self.name)
            .field("etag", &self.etag)
            .field("revision", &self.revision)
            .field("was_default", &self.was_default)
            .field("sealed", &format_args!("[{} bytes]", self.sealed.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_content() {
        let spec = Spec { content: b"TOKEN=hunter2".to_vec(), ..Spec::default() };
        let policy = Policy { content: b"hunter2".to_vec(), ..Policy::default() };
        let entry = EntrySnapshot { sealed: b"hunter2".to_vec(), ..EntrySnapshot::default() };
        let shown = format!("{spec:?}{policy:?}{entry:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", b"hunter2")), "{shown}");
        assert!(shown.contains("[13 bytes]"), "{shown}");
    }
}
