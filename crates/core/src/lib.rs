//! The domain of salvor: what is known, what follows from it, and what may be done.
//!
//! Everything here is pure. There is no I/O, no async, no clock, no telemetry and no wire type; evidence carries the time
//! at which it was taken, and `now` is an input like any other.

pub mod name;
