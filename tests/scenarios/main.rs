//! The scenarios of the field, over the real wire, by their ids. `tests/README.md` says what each proves.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails, fails")]

mod adopt;
mod clocks;
mod concurrent;
mod config_files;
mod containers;
mod cut;
mod damaged;
mod decisions;
mod destroy;
mod edited;
mod fenced;
mod foreign;
mod given;
mod inconsistent;
mod input;
mod keeping;
mod material;
mod observer;
mod policy;
mod posture;
mod put_back;
mod reads;
mod rebuild;
mod resume;
mod revive;
mod snapshots;
mod stale;
mod support;
mod trees;
mod twice;
mod unknown;
mod versions;
mod witness;
