//! Disks that fail when told to, for the databases of processes that are started on one.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What goes wrong with a database's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No room: nothing is written.
    Full,
    /// Nothing can be written, for no reason that anybody could mend.
    WritesFail,
    /// Each write comes to half of what was given; the rest may follow.
    ShortWrites,
    /// Half of a write reaches the disk, and the process is killed.
    TornWrite,
    /// What was written may or may not be on the disk.
    SyncsFail,
}

/// A disk that works until it is told otherwise. It concerns only processes that have its [`environment`](Disk::environment).
#[derive(Debug, Clone)]
pub struct Disk {
    orders: PathBuf,
}

impl Disk {
    /// A disk whose orders are kept in a directory.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let disk = Self { orders: directory.join("faulty-disk") };
        disk.heals()?;
        Ok(disk)
    }

    /// What a process must be started with.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        [
            ("LD_PRELOAD", env!("SALVOR_FAULTY_DISK_LIBRARY").into()),
            ("SALVOR_FAULTY_DISK", self.orders.clone().into()),
        ]
    }

    /// From now on it has this fault, after so many calls of the kind that it concerns.
    ///
    /// # Errors
    /// The order cannot be written.
    pub fn breaks(&self, fault: Fault, after: u32) -> io::Result<()> {
        let (call, how) = match fault {
            Fault::Full => ("write", "ENOSPC"),
            Fault::WritesFail => ("write", "EIO"),
            Fault::ShortWrites => ("write", "half"),
            Fault::TornWrite => ("write", "torn"),
            Fault::SyncsFail => ("sync", "EIO"),
        };
        self.order(&format!("{call} {how} {after}"))
    }

    /// From now on it works.
    ///
    /// # Errors
    /// The order cannot be written.
    pub fn heals(&self) -> io::Result<()> {
        self.order("")
    }

    /// In one step, so that no process reads half of it.
    fn order(&self, order: &str) -> io::Result<()> {
        let beside = self.orders.with_extension("next");
        fs::write(&beside, order)?;
        fs::rename(beside, &self.orders)
    }
}
