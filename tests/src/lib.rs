//! Holds only test and benchmark binaries; see the sibling files.
