//! Directories and files that are not as they should be.

use super::*;
use crate::cache::tiers::{disk::place::object_path, record::PREFIX};

#[test]
fn files_that_are_not_as_they_were_are_found() {
    runtime().block_on(async {
        type Change = fn(&Path, Vec<u8>) -> Vec<u8>;
        let changes: [(&str, Change); 6] = [
            ("nothing", |_, _| Vec::new()),
            ("cut", |_, bytes| bytes[..bytes.len() - 1].to_vec()),
            ("longer", |_, bytes| [bytes, vec![0]].concat()),
            ("content", |_, mut bytes| {
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }),
            ("head", |_, mut bytes| {
                bytes[PREFIX + 3] ^= 1;
                bytes
            }),
            // Another object in its place.
            ("other", |path, _| fs::read(&files(path)[0]).unwrap()),
        ];
        for (what, change) in changes {
            for restart in [false, true] {
                let directory = new_directory();
                let path = directory.path();
                let mut disk = ready(path).await;
                disk.written(1, "one").await;
                disk.written(2, "two").await;
                let file = &files(path)[1];
                fs::write(file, change(path, fs::read(file).unwrap())).unwrap();
                if restart {
                    close(disk).await;
                    disk = ready(path).await;
                }
                assert_eq!(disk.fresh(2).await, None, "{what}");
                assert_eq!(disk.fresh(1).await.as_deref(), Some("one"));
                // After a restart, it is one of two files of one object.
                let damaged = u64::from(!(restart && what == "other"));
                assert_eq!(disk.stats().damaged, damaged, "{what}");
                assert_eq!(disk.stats().objects, 1);
                until("it goes", || files(path).len() == 1).await;
                disk.written(2, "again").await;
                assert_eq!(disk.fresh(2).await.as_deref(), Some("again"));
            }
        }
    });
}

#[test]
fn strange_files_go_and_renamed_ones_do_no_harm() {
    runtime().block_on(async {
        let directory = new_directory();
        let path = directory.path();
        let disk = ready(path).await;
        disk.written(1, "one").await;
        close(disk).await;
        let file = &files(path)[0];
        fs::rename(file, object_path(path, 0xabcd)).unwrap();
        let strange = ["objects/01/2", "objects/02/x", "objects/03/0003", "objects/04/+4"];
        for name in strange {
            fs::write(path.join(name), "?").unwrap();
        }
        fs::write(path.join("tmp/77"), "unfinished").unwrap();
        let disk = ready(path).await;
        assert_eq!(disk.fresh(1).await.as_deref(), Some("one"));
        assert_eq!(disk.stats().damaged, 4);
        assert_eq!(files(path), [object_path(path, 0xabcd)]);
        assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
        disk.written(2, "two").await;
        assert!(object_path(path, 0xabce).exists());
    });
}

#[test]
fn a_directory_is_for_one() {
    runtime().block_on(async {
        let directory = new_directory();
        let first = ready(directory.path()).await;
        first.written(1, "one").await;
        let second = at(directory.path(), 64 * MIB);
        is(&second, DiskState::Unusable).await;
        assert_eq!(second.fresh(1).await, None);
        second.put_text(2, "two");
        assert!(!second.purge(Purge::new(&PurgeTarget::Host(b"h1"), false)).await);
        second.flush(LONG).await;
        assert_eq!(second.stats().dropped, 1);
        assert_eq!(first.fresh(1).await.as_deref(), Some("one"));
        drop(first);
        is(&second, DiskState::Ready).await;
        assert_eq!(second.fresh(1).await, None, "purged meanwhile");
        second.written(3, "three").await;
        assert_eq!(second.fresh(3).await.as_deref(), Some("three"));
    });
}

#[test]
fn a_path_that_is_no_directory_is_unusable() {
    runtime().block_on(async {
        let directory = new_directory();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        let disk = at(&path, MIB);
        is(&disk, DiskState::Unusable).await;
        fs::remove_file(&path).unwrap();
        is(&disk, DiskState::Ready).await;
        disk.written(1, "one").await;
        assert_eq!(disk.fresh(1).await.as_deref(), Some("one"));
    });
}

#[test]
fn a_directory_that_is_taken_away_breaks_nothing() {
    runtime().block_on(async {
        let directory = new_directory();
        let path = directory.path().join("cache");
        let disk = ready(&path).await;
        disk.written(1, "one").await;
        disk.written(2, "two").await;
        let begun = disk.now();
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(disk.fresh(1).await, None);
        disk.put_text(3, "three");
        until("it is opened again", || disk.stats().failures >= 2 && disk.now() > begun).await;
        is(&disk, DiskState::Ready).await;
        assert_eq!(disk.fresh(2).await, None);
        disk.put(&key(4), record(4, begun - 1), content("who knows what was purged since"));
        disk.written(5, "five").await;
        assert_eq!(disk.fresh(4).await, None);
        assert_eq!(disk.fresh(5).await.as_deref(), Some("five"));
    });
}

#[test]
fn what_can_not_be_written_breaks_nothing() {
    runtime().block_on(async {
        let directory = new_directory();
        let disk = ready(directory.path()).await;
        disk.written(1, "one").await;
        disk.written(2, "two").await;
        let unfinished = directory.path().join("tmp");
        fs::remove_dir(&unfinished).unwrap();
        disk.written(1, "new").await;
        assert_eq!(disk.fresh(1).await, None, "the old one is not current");
        assert_eq!(disk.fresh(2).await.as_deref(), Some("two"));
        assert!(disk.purge(Purge::new(&PurgeTarget::Host(b"h2"), false)).await);
        assert_eq!(disk.fresh(2).await, None);
        let stats = disk.stats();
        assert_eq!((stats.failures, stats.state), (1, DiskState::Ready));
        fs::create_dir(&unfinished).unwrap();
        disk.written(1, "again").await;
        assert_eq!(disk.fresh(1).await.as_deref(), Some("again"));
    });
}

#[test]
fn a_disk_that_hangs_keeps_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let directory = new_directory();
    let path = directory.path();
    let disk = runtime.block_on(async {
        let disk = ready(path).await;
        for number in 0..10 {
            disk.written(number, "text").await;
        }
        disk
    });
    // Who opens a pipe for reading waits for a writer.
    let hung: Vec<_> = files(path).into_iter().take(8).collect();
    for file in &hung {
        fs::remove_file(file).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, file, kind, 0o600.into(), 0).unwrap();
    }
    runtime.block_on(async {
        let began = Instant::now();
        let keys: Vec<_> = (0..8).map(key).collect();
        let gets = keys.iter().map(|key| disk.get(key));
        let found = futures_util::future::join_all(gets).await;
        assert!(found.iter().all(Option::is_none) && began.elapsed() < LONG);
        // Writing goes on; only reading does not.
        disk.written(20, "new").await;
        assert!(disk.purge(Purge::new(&PurgeTarget::Tag(b"t1"), false)).await);
        let many = (0..600).map(|_| async { disk.text(20).await });
        let began = Instant::now();
        let found = futures_util::future::join_all(many).await;
        assert!(found.iter().all(Option::is_none) && began.elapsed() < LONG);
        // Those that hang still have their files.
        assert_eq!(disk.stats().objects, 11);
    });
    let tier = Arc::downgrade(&disk.tier);
    drop(disk);
    runtime.block_on(until("the disk thread ends", || tier.strong_count() == 0));
    for file in &hung {
        // Whoever reads goes on, and ends.
        let _ = rustix::fs::open(
            file,
            rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
            rustix::fs::Mode::empty(),
        );
    }
}

#[test]
fn without_a_whole_log_nothing_is_trusted() {
    runtime().block_on(async {
        for damage in [true, false] {
            let directory = new_directory();
            let path = directory.path();
            let disk = ready(path).await;
            disk.written(1, "one").await;
            for tag in [b"x", b"y"] {
                assert!(disk.purge(Purge::new(&PurgeTarget::Tag(tag), false)).await);
            }
            close(disk).await;
            let log = path.join("purges");
            if damage {
                let mut bytes = fs::read(&log).unwrap();
                bytes[30] ^= 1;
                fs::write(&log, bytes).unwrap();
            } else {
                fs::remove_file(&log).unwrap();
            }
            let disk = ready(path).await;
            assert_eq!(disk.fresh(1).await, None);
            disk.written(1, "again").await;
            close(disk).await;
            let disk = ready(path).await;
            assert_eq!(disk.fresh(1).await.as_deref(), Some("again"));
            until("the trash goes", || fs::read_dir(path.join("trash")).unwrap().count() == 0)
                .await;
        }
    });
}
