//! The real Docker Engine, with containers labelled as a gateway labels them.
//!
//! Without Docker, or without the image of `.ci/lib/sandbox-image`, they say that they are skipped;
//! with `SALVOR_REQUIRE_DOCKER=1` they fail. Every container is removed at the end, also after a failure.

mod capture;
mod finding;
mod lab;
mod stopping;
mod tree;
