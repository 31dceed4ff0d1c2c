//! What is kept, and what goes.

use super::*;
use crate::cache::tiers::disk::queue::MOST_WAITING;

#[test]
fn what_was_put_is_got() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = at(directory.path(), 64 * MIB);
        disk.put_text(1, "one");
        disk.put_text(2, "");
        disk.flush(LONG).await;
        assert_eq!(disk.fresh(1).await.as_deref(), Some("one"));
        assert_eq!(disk.fresh(2).await.as_deref(), Some(""));
        assert_eq!(disk.fresh(3).await, None);
        disk.written(1, "another").await;
        assert_eq!(disk.fresh(1).await.as_deref(), Some("another"));
        until("the old file goes", || files(directory.path()).len() == 2).await;
        disk.remove(&key(2));
        assert_eq!(disk.fresh(2).await, None);
        until("its file goes", || files(directory.path()).len() == 1).await;
        is(&disk, DiskState::Ready).await;
        let stats = disk.stats();
        let expected = DiskStats {
            objects: 1,
            bytes: 4096,
            capacity: 64 * MIB,
            hits: 3,
            misses: 2,
            writes: 3,
            state: DiskState::Ready,
            ..DiskStats::default()
        };
        assert_eq!(stats, expected);
    });
}

#[test]
fn what_is_removed_while_it_waits_is_not_written() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = ready(directory.path()).await;
        for _ in 0..200 {
            disk.put_text(1, "old");
            disk.remove(&key(1));
            disk.flush(LONG).await;
            assert_eq!(disk.fresh(1).await, None);
            disk.put_text(1, "old");
            disk.remove(&key(1));
            disk.written(1, "new").await;
            assert_eq!(disk.fresh(1).await.as_deref(), Some("new"));
        }
    });
}

#[test]
fn it_survives_a_restart() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = ready(directory.path()).await;
        for number in 0..50 {
            disk.put_text(number, &format!("text {number}"));
        }
        disk.put_text(7, "seven");
        disk.flush(LONG).await;
        close(disk).await;
        let disk = ready(directory.path()).await;
        for number in 0..50 {
            let text = if number == 7 { "seven".into() } else { format!("text {number}") };
            assert_eq!(disk.fresh(number).await, Some(text));
        }
        assert_eq!(disk.stats().objects, 50);
        until("the replaced file goes", || files(directory.path()).len() == 50).await;
    });
}

#[test]
fn it_evicts_and_shrinks() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = at(directory.path(), 4 * MIB);
        is(&disk, DiskState::Ready).await;
        for number in 0..2_000 {
            disk.put_text(number, "text");
        }
        disk.flush(LONG).await;
        let stats = disk.stats();
        assert!(stats.objects > 900 && stats.bytes <= 4 * MIB, "{stats:?}");
        assert_eq!(stats.objects + stats.evictions, 2_000);
        until("files go", || files(directory.path()).len() as u64 == stats.objects).await;
        disk.set_max_size(2 * MIB);
        let less = disk.stats();
        assert!(less.objects > 450 && less.bytes <= 2 * MIB, "{less:?}");
        until("files go", || files(directory.path()).len() as u64 == less.objects).await;
        close(disk).await;
        let disk = at(directory.path(), MIB);
        is(&disk, DiskState::Ready).await;
        let least = disk.stats();
        assert!(least.objects > 200 && least.bytes <= MIB, "{least:?}");
        until("files go", || files(directory.path()).len() as u64 == least.objects).await;
    });
}

#[test]
fn each_kind_of_purge_hits_and_survives_a_restart() {
    let targets = [
        PurgeTarget::Url(b"http://h1/1/1"),
        PurgeTarget::Host(b"h1"),
        PurgeTarget::Tag(b"t1"),
        PurgeTarget::Prefix(b"http://h1/1"),
        PurgeTarget::All,
    ];
    runtime().block_on(async {
        for (target, soft) in targets.iter().flat_map(|it| [(it, false), (it, true)]) {
            let directory = new_directory();
            let disk = ready(directory.path()).await;
            let begun = disk.now();
            disk.written(1, "one").await;
            disk.written(2, "two").await;
            assert!(disk.purge(Purge::new(target, soft)).await);
            // Its fetch began before the purge.
            disk.put(&key(61), record(61, begun), content("late"));
            disk.flush(LONG).await;
            disk.written(121, "new").await;
            // As if it was killed.
            let copy = copy_of(directory.path());
            close(disk).await;
            for path in [directory.path(), copy.path()] {
                let disk = ready(path).await;
                let hit = |text: &str| soft.then(|| (text.to_owned(), true));
                assert_eq!(disk.text(1).await, hit("one"), "{target:?}");
                let is_url = matches!(target, PurgeTarget::Url(_));
                let late = if is_url { Some(("late".into(), false)) } else { hit("late") };
                assert_eq!(disk.text(61).await, late, "{target:?}");
                let is_all = matches!(target, PurgeTarget::All);
                let other = if is_all { hit("two") } else { Some(("two".into(), false)) };
                assert_eq!(disk.text(2).await, other, "{target:?}");
                assert_eq!(disk.fresh(121).await.as_deref(), Some("new"), "{target:?}");
                // It may be stored again.
                disk.written(1, "again").await;
                assert_eq!(disk.fresh(1).await.as_deref(), Some("again"));
                close(disk).await;
            }
        }
    });
}

#[test]
fn a_purge_before_it_is_open_hits_what_is_there() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = ready(directory.path()).await;
        for number in 0..100 {
            disk.put_text(number, "old");
        }
        disk.flush(LONG).await;
        close(disk).await;
        let disk = at(directory.path(), 64 * MIB);
        let begun = disk.now();
        let done = disk.purge(Purge::new(&PurgeTarget::Tag(b"both"), false));
        let begun_after = disk.now();
        disk.put(&key(500), record(500, begun), content("late"));
        disk.put(&key(501), record(501, begun_after), content("new"));
        assert!(done.await);
        is(&disk, DiskState::Ready).await;
        for number in 0..=500 {
            assert_eq!(disk.fresh(number).await, None);
        }
        // Or not, as nobody can tell.
        if disk.tier.open.load().is_some() && begun_after > begun {
            assert_eq!(disk.fresh(501).await.as_deref(), Some("new"));
        }
        until("files go", || files(directory.path()).len() <= 1).await;
    });
}

#[test]
fn many_prefixes_are_purged_while_and_after_all_is_found() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = ready(directory.path()).await;
        for number in 0..400 {
            disk.put_text(number, "old");
        }
        disk.flush(LONG).await;
        close(disk).await;
        let disk = at(directory.path(), 64 * MIB);
        let mut sweep = Sweep::default();
        for number in (0..400).step_by(2) {
            drop(disk.purge(Purge::new(&PurgeTarget::Prefix(url(number).as_bytes()), false)));
            disk.sweep(&mut sweep, 1_000);
        }
        is(&disk, DiskState::Ready).await;
        for number in 0..400 {
            let hit = (0..400).step_by(2).any(|it| url(number).starts_with(&url(it)));
            assert_eq!(disk.fresh(number).await, (!hit).then(|| "old".into()), "{number}");
        }
    });
}

#[test]
fn a_long_log_is_written_anew() {
    runtime().block_on(async {
        let directory = new_directory();
        let path = directory.path();
        let disk = ready(path).await;
        let log = || fs::metadata(path.join("purges")).unwrap().len();
        for number in 0..10 {
            disk.put_text(number, "old");
        }
        disk.flush(LONG).await;
        disk.purge(Purge::new(&PurgeTarget::Tag(b"t1"), true)).await;
        disk.purge(Purge::new(&PurgeTarget::Tag(b"t2"), false)).await;
        let (mut before, mut now, mut shorter) = (0, log(), 0);
        for number in 0..200_u32 {
            let name = format!("another {number}");
            let target = PurgeTarget::Tag(name.as_bytes());
            assert!(disk.purge(Purge::new(&target, number % 2 == 0)).await);
            disk.flush(LONG).await;
            shorter += u32::from(std::mem::replace(&mut before, now) > now);
            now = log();
        }
        assert!(shorter >= 2 && now < 4 * 1024, "{shorter} {now}");
        close(disk).await;
        let disk = ready(path).await;
        for number in 0..10 {
            let kept = matches!(number % 4, 0 | 3).then(|| "old".into());
            assert_eq!(disk.fresh(number).await, kept, "{number}");
        }
    });
}

/// Run it alone: `cargo test --lib how_fast -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
#[allow(clippy::print_stderr)]
fn how_fast_it_is() {
    for place in ["/dev/shm", "/tmp"] {
        runtime().block_on(async {
            let directory = tempfile::tempdir_in(place).unwrap();
            let disk = at(directory.path(), 4096 * MIB);
            is(&disk, DiskState::Ready).await;
            let resident = || -> u64 {
                let status = fs::read_to_string("/proc/self/statm").unwrap();
                status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
            };
            let many = 200_000;
            let text = "x".repeat(2_000);
            let (before, began) = (resident(), Instant::now());
            for number in 0..many {
                disk.put_text(number, &text);
                if number % 10_000 == 9_999 {
                    disk.flush(LONG).await;
                }
            }
            let puts = many as f64 / began.elapsed().as_secs_f64();
            let each = (resident() - before) / many;
            let gets = |width: u64| {
                let disk = &disk;
                async move {
                    let began = Instant::now();
                    for at in 0..20_000 / width {
                        let all = (0..width).map(|it| disk.text((at * width + it) * 7919 % many));
                        let all = futures_util::future::join_all(all).await;
                        assert!(all.iter().all(Option::is_some));
                    }
                    20_000.0 / began.elapsed().as_secs_f64()
                }
            };
            let (one, together) = (gets(1).await, gets(50).await);
            let began = Instant::now();
            for number in 0..30_u64 {
                assert!(disk.purge(Purge::new(&PurgeTarget::Tag(&number.to_ne_bytes()), false)).await);
            }
            let purges = 30.0 / began.elapsed().as_secs_f64();
            close(disk).await;
            let began = Instant::now();
            let disk = at(directory.path(), 4096 * MIB);
            is(&disk, DiskState::Ready).await;
            let found = disk.stats().objects as f64 / began.elapsed().as_secs_f64();
            eprintln!("{place}: {puts:.0} puts/s, {each} bytes each, {one:.0} gets/s one by one, {together:.0} together, {purges:.0} purges/s, {found:.0} found/s");
        });
    }
}

#[test]
fn too_much_at_once_is_dropped() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = at(directory.path(), 640 * MIB);
        is(&disk, DiskState::Ready).await;
        disk.written(1, "one").await;
        let much = StoredBody::packed(&[Bytes::from(vec![b'x'; MOST_WAITING as usize])]);
        disk.put(&key(1), record(1, disk.now()), much);
        assert_eq!((disk.stats().dropped, disk.fresh(1).await), (1, None));
        let large = Bytes::from(vec![b'x'; 20 * MIB as usize]);
        let body = StoredBody::packed(&[large]);
        for number in 0..20 {
            disk.put(&key(number), record(number, disk.now()), body.clone());
        }
        disk.flush(LONG).await;
        let stats = disk.stats();
        assert_eq!(stats.writes + stats.dropped, 22);
        assert!(stats.dropped > 1 && stats.writes > 2, "{stats:?}");
    });
}
