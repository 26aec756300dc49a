//! Loaded before libc (`LD_PRELOAD`), makes a process's databases fail as a file tells it to.
//!
//! The file `SALVOR_FAULTY_DISK` holds nothing, or one order: `CALL HOW SKIP NUMBER`. CALL is `write` or `sync`; HOW is an errno by
//! name, `half` (what a full pipe or a signal gives), `torn` (half of it, and the process is killed) or `hang` (it goes on when
//! there is another order, and a file beside the order says that it waits); so many such calls as SKIP says succeed
//! first, and NUMBER tells orders apart. Files whose name has no `.db` in it are left alone, and so is everything that is not an order.
//! Built by `build.rs` into a library of its own, so that no test links to it by accident.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};

const RTLD_NEXT: *mut c_void = -1_isize as *mut c_void;
const SIGKILL: c_int = 9;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
    fn getpid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
}

/// The order in force, and how many calls it has let through.
static ORDER: Mutex<(String, u64)> = Mutex::new((String::new(), 0));

#[derive(Clone, Copy)]
enum Fault {
    Errno(c_int),
    Half,
    Torn,
    Hang,
}

fn order() -> Option<String> {
    std::fs::read_to_string(std::env::var_os("SALVOR_FAULTY_DISK")?).ok()
}

fn fault(call: &str, fd: c_int) -> Option<Fault> {
    let name = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    if !name.file_name()?.to_str()?.contains(".db") {
        return None;
    }
    let order = order()?;
    let mut words = order.split_whitespace();
    if words.next()? != call {
        return None;
    }
    let how = match words.next()? {
        "EIO" => Fault::Errno(5),
        "ENOSPC" => Fault::Errno(28),
        "half" => Fault::Half,
        "torn" => Fault::Torn,
        "hang" => Fault::Hang,
        _ => return None,
    };
    let skip: u64 = words.next()?.parse().ok()?;
    let mut known = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if known.0 != order {
        *known = (order, 0);
    }
    known.1 += 1;
    (known.1 > skip).then_some(how)
}

/// Until there is another order, or none.
fn hang() {
    let begun = order();
    if let Some(orders) = std::env::var_os("SALVOR_FAULTY_DISK") {
        // Whoever waits for it to be there would notice.
        let _ = std::fs::write(std::path::Path::new(&orders).with_extension("hangs"), "");
    }
    while order() == begun {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn failed(errno: c_int) -> isize {
    // SAFETY: libc's own place for this thread's errno.
    unsafe { *__errno_location() = errno };
    -1
}

/// What libc would have called.
unsafe fn next<F: Copy>(name: &CStr) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the caller names a function of libc with the type F.
    unsafe { std::mem::transmute_copy(&dlsym(RTLD_NEXT, name.as_ptr())) }
}

/// `write` is the real call with a length that may be less.
fn writes(fd: c_int, length: usize, write: impl Fn(usize) -> isize) -> isize {
    match fault("write", fd) {
        None => write(length),
        Some(Fault::Hang) => {
            hang();
            write(length)
        }
        Some(Fault::Errno(errno)) => failed(errno),
        Some(Fault::Half) => write(length.div_ceil(2)),
        Some(Fault::Torn) => {
            write(length / 2);
            // SAFETY: has no requirements; nothing comes after it.
            unsafe { kill(getpid(), SIGKILL) };
            failed(5)
        }
    }
}

fn syncs(fd: c_int, name: &CStr) -> c_int {
    match fault("sync", fd) {
        Some(Fault::Errno(errno)) => return failed(errno) as c_int,
        Some(Fault::Hang) => hang(),
        _ => {}
    }
    // SAFETY: both calls have this type.
    unsafe { next::<extern "C" fn(c_int) -> c_int>(name)(fd) }
}

#[unsafe(no_mangle)]
pub extern "C" fn write(fd: c_int, data: *const c_void, length: usize) -> isize {
    type Write = extern "C" fn(c_int, *const c_void, usize) -> isize;
    // SAFETY: the type of write(2).
    writes(fd, length, |length| unsafe { next::<Write>(c"write")(fd, data, length) })
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite(fd: c_int, data: *const c_void, length: usize, at: i64) -> isize {
    pwrite_as(c"pwrite", fd, data, length, at)
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite64(fd: c_int, data: *const c_void, length: usize, at: i64) -> isize {
    pwrite_as(c"pwrite64", fd, data, length, at)
}

fn pwrite_as(name: &CStr, fd: c_int, data: *const c_void, length: usize, at: i64) -> isize {
    type Pwrite = extern "C" fn(c_int, *const c_void, usize, i64) -> isize;
    // SAFETY: the type of pwrite(2) where offsets have 64 bits.
    writes(fd, length, |length| unsafe { next::<Pwrite>(name)(fd, data, length, at) })
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    syncs(fd, c"fsync")
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    syncs(fd, c"fdatasync")
}
