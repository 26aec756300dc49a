//! The built binary, as a person or a program runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command_line {
    mod demo;
    mod disaster;
    mod snapshots;
    mod support;
    mod up;
    mod usage;
}
