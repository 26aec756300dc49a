//! What the domain promises, as laws and tables: guards, plans, permits, sagas and names.
//!
//! One binary, so that it links once. Nothing in here calls a guard to say what a guard should have said: expectations are
//! written by hand, from the design.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod guards {
    mod cases;
    mod coverage;
    mod digest;
    mod generate;
    mod good;
    mod laws;
    mod old;
    mod paths;
    mod permits;
    mod restated;
    mod retirement;
    mod unknowns;
}

mod names;
mod schedule;

mod sagas {
    mod copies;
    mod entries;
    mod events;
    mod golden;
    mod laws;
    mod model;
    mod models {
        pub(super) mod copy;
        pub(super) mod destroy;
        pub(super) mod prune;
        pub(super) mod rebuild;
        pub(super) mod restore;
        pub(super) mod revive;
        pub(super) mod snapshot;
        pub(super) mod stale;
        pub(super) mod workspace;
    }
    mod parts;
    mod released;
    mod snapshots;
    mod table;
    mod world;
}
