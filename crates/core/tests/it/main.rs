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
    mod paths;
    mod permits;
    mod restated;
    mod unknowns;
}

mod names;

mod sagas {
    mod events;
    mod golden;
    mod laws;
    mod model;
    mod models {
        pub(super) mod destroy;
        pub(super) mod revive;
        pub(super) mod stale;
    }
    mod parts;
    mod table;
    mod world;
}
