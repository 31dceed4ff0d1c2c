//! What the process uses, and what it may use.
//!
//! Owns: where that is read. May touch: nothing outside this room. Figures that the system does not
//! have are 0 or `None`.

use super::{memory_limit, process::cpu_seconds};
use procfs::process::Process;
use rustix::process::{Resource, getrlimit};
use serde_json::Value;
use std::thread;

/// What the process uses now.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Processor time since the start, in seconds.
    pub cpu_seconds: f64,
    /// Bytes of memory.
    pub resident: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Pages that were brought without the disk, and those that came from it.
    pub faults: (u64, u64),
}

impl Figures {
    /// Reads them.
    pub fn read() -> Self {
        let mut figures = Self { cpu_seconds: cpu_seconds(), ..Self::default() };
        let Ok(process) = Process::myself() else { return figures };
        if let Ok(stat) = process.stat() {
            figures.resident = stat.rss * procfs::page_size();
            figures.threads = u64::try_from(stat.num_threads).unwrap_or_default();
            figures.faults = (stat.minflt, stat.majflt);
        }
        figures.descriptors = process.fd_count().unwrap_or_default() as u64;
        figures
    }
}

/// What the process may use.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Cores.
    pub cores: usize,
    /// Bytes of memory, by the container or the machine; 0 if neither says so.
    pub memory: u64,
    /// Descriptors; `None`: as many as it likes.
    pub descriptors: Option<u64>,
}

impl Bounds {
    /// Reads them: a cgroup's limits may be changed while the process runs.
    pub fn read() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: memory_limit::bytes(),
            descriptors: getrlimit(Resource::Nofile).current,
        }
    }
}

/// What mimalloc says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap {
    /// Bytes that it has from the system and has not given back. Its release build does not count
    /// what is in use of them.
    pub committed: u64,
    /// Bytes of addresses.
    pub reserved: u64,
}

impl Heap {
    /// Asks it. All 0 if the program has another allocator.
    pub fn read() -> Self {
        let told = mimalloc::MiMalloc::stats_json().ok();
        let told = told.and_then(|it| serde_json::from_slice::<Value>(it.to_bytes()).ok());
        let told = told.unwrap_or_default();
        let now = |name: &str| told[name]["current"].as_u64().unwrap_or_default();
        Self { committed: now("committed"), reserved: now("reserved") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_uses_something_and_may_use_more() {
        let (figures, bounds) = (Figures::read(), Bounds::read());
        assert!(figures.resident > 1 << 20 && figures.threads > 0 && figures.descriptors > 2);
        assert!(figures.faults.0 > 0);
        assert!(bounds.memory > figures.resident);
        assert!(bounds.cores > 0 && bounds.descriptors.is_none_or(|it| it > figures.descriptors));
    }
}
