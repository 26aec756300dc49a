//! Disks that fail when told to, for the databases of processes that are started on one.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many orders there were.
static ORDERS: AtomicU64 = AtomicU64::new(0);

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
    /// A sync takes until the disk has another fault, or none.
    SyncsHang,
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
            Fault::SyncsHang => ("sync", "hang"),
        };
        match fs::remove_file(self.orders.with_extension("hangs")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // No two orders are the same, so that each is seen to be another one.
        let number = ORDERS.fetch_add(1, Ordering::Relaxed);
        self.order(&format!("{call} {how} {after} {number}"))
    }

    /// From now on it works.
    ///
    /// # Errors
    /// The order cannot be written.
    pub fn heals(&self) -> io::Result<()> {
        self.order("")
    }

    /// Whether a call has hung since it was last told to.
    pub fn hangs(&self) -> bool {
        self.orders.with_extension("hangs").exists()
    }

    /// In one step, so that no process reads half of it.
    fn order(&self, order: &str) -> io::Result<()> {
        let beside = self.orders.with_extension("next");
        fs::write(&beside, order)?;
        fs::rename(beside, &self.orders)
    }
}
