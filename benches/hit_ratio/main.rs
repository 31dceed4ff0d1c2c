//! The hit ratio of the cache's policy on a trace: `hit_ratio TRACE CAPACITY...`, a line each.
//!
//! [`compare`](compare) prepares traces, runs this and libcachesim, and prints a table. `SHELVES=n`
//! spreads the keys over n shelves, as a store does.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool, not the daemon")]

use sheave::cache::store::{Shelf, StoreKey};
use std::{env, fs};

fn main() {
    // Cargo adds `--bench`.
    let mut arguments = env::args().skip(1).filter(|it| it != "--bench");
    let shelves: u64 = env::var("SHELVES").map_or(1, |it| it.parse().unwrap());
    let Some(path) = arguments.next() else { return };
    let trace = read(&path);
    for capacity in arguments {
        let capacity: u64 = capacity.parse().unwrap();
        println!("{:.3}", hit_ratio(&trace, capacity, shelves));
    }
}

/// In per cent, of a cache that is empty at first.
fn hit_ratio(trace: &[(StoreKey, u32)], capacity: u64, count: u64) -> f64 {
    let mut shelves: Vec<_> = (0..count).map(|_| Shelf::new(capacity / count)).collect();
    let mut hits = 0_u64;
    for &(key, size) in trace {
        let at = (key.to_u128() >> 64) as u64 & (count - 1);
        let shelf = &mut shelves[at as usize];
        if shelf.find(key).is_some() {
            hits += 1;
        } else {
            shelf.insert(key, (), size);
        }
    }
    100.0 * hits as f64 / trace.len() as f64
}

/// The requests: which object, how large.
fn read(path: &str) -> Vec<(StoreKey, u32)> {
    let data = fs::read(path).unwrap();
    let request = |record: &[u8]| {
        let size = u32::from_le_bytes(record[12..16].try_into().unwrap());
        (StoreKey::of(&[&record[4..12]]), size)
    };
    data.chunks_exact(24).map(request).collect()
}
