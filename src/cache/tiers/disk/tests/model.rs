//! Random steps, and a model to compare with.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Step {
    Begin(usize, u64),
    Put(usize),
    Purge(u8, u64, bool),
    Remove(u64),
    Get(u64),
    Sweep,
    Reopen(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0_u64..12;
    let step = prop_oneof![
        6 => (0_usize..3, number.clone()).prop_map(|(hand, number)| Step::Begin(hand, number)),
        6 => (0_usize..3).prop_map(Step::Put),
        3 => (0_u8..5, number.clone(), any::<bool>()).prop_map(|(kind, it, soft)| Step::Purge(kind, it, soft)),
        1 => number.clone().prop_map(Step::Remove),
        6 => number.prop_map(Step::Get),
        1 => Just(Step::Sweep),
        1 => any::<bool>().prop_map(Step::Reopen),
    ];
    prop::collection::vec(step, 1..120)
}

fn hits(kind: u8, target: u64, number: u64) -> bool {
    match kind {
        0 => target == number,
        1 => target % 3 == number % 3,
        2 => target % 4 == number % 4,
        3 => target % 3 == number % 3 && target % 5 == number % 5,
        _ => target == 0,
    }
}

fn purge(kind: u8, target: u64, soft: bool) -> Purge {
    let (url, host, tag) = (url(target), format!("h{}", target % 3), format!("t{}", target % 4));
    let prefix = format!("http://h{}/{}/", target % 3, target % 5);
    Purge::new(
        &match kind {
            0 => PurgeTarget::Url(url.as_bytes()),
            1 => PurgeTarget::Host(host.as_bytes()),
            2 => PurgeTarget::Tag(tag.as_bytes()),
            3 => PurgeTarget::Prefix(prefix.as_bytes()),
            _ if target == 0 => PurgeTarget::All,
            _ => PurgeTarget::Tag(b"nobody"),
        },
        soft,
    )
}

/// A fetch: the object, when it began, and whether it was purged since, softly or not.
#[derive(Clone, Copy)]
struct Hand {
    number: u64,
    begun: u64,
    state: PurgeState,
}

/// What was put last: its text, whether it is stale, and whether it must be there for sure.
type Model = HashMap<u64, (String, bool, bool)>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// What is found is what a simple model says, over restarts and kills.
    #[test]
    fn a_disk_is_a_map_with_purges(steps in steps()) {
        runtime().block_on(async move {
            let mut directory = new_directory();
            let mut disk = ready(directory.path()).await;
            let (mut model, mut hands, mut sweep) = (Model::new(), [None::<Hand>; 3], Sweep::default());
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Begin(hand, number) => {
                        hands[hand] = Some(Hand { number, begun: disk.now(), state: PurgeState::Alive });
                    }
                    Step::Put(hand) => if let Some(Hand { number, begun, state }) = hands[hand].take() {
                        let text = format!("{number} at {at}");
                        disk.put(&key(number), record(number, begun), content(&text));
                        // What still waits may be too late to tell, too.
                        let sure = begun == disk.now() && at % 2 == 0;
                        if sure {
                            disk.flush(LONG).await;
                        }
                        model.remove(&number);
                        if state != PurgeState::Dead {
                            model.insert(number, (text, state == PurgeState::Stale, sure));
                        }
                    },
                    Step::Purge(kind, target, soft) => {
                        assert!(disk.purge(purge(kind, target, soft)).await);
                        model.retain(|number, (_, stale, _)| {
                            *stale |= hits(kind, target, *number);
                            soft || !hits(kind, target, *number)
                        });
                        for hand in hands.iter_mut().flatten().filter(|it| hits(kind, target, it.number)) {
                            hand.state = hand.state.max(if soft { PurgeState::Stale } else { PurgeState::Dead });
                        }
                    }
                    Step::Remove(number) => {
                        disk.flush(LONG).await;
                        disk.remove(&key(number));
                        model.remove(&number);
                    }
                    Step::Get(number) => {
                        disk.flush(LONG).await;
                        let found = disk.text(number).await;
                        let expected = model.get(&number);
                        match (&found, expected) {
                            (Some(found), Some((text, stale, _))) => assert_eq!(found, &(text.clone(), *stale)),
                            (None, None) => {}
                            (None, Some((_, stale, sure))) => {
                                // A log written anew leaves out what is stale; and what was fetched
                                // before a sweep, nobody can tell.
                                assert!(*stale || !sure, "{number} is lost");
                                model.remove(&number);
                            }
                            (Some(_), None) => panic!("{number} is found: {found:?}"),
                        }
                    }
                    Step::Sweep => disk.sweep(&mut sweep, 50),
                    Step::Reopen(kill) => {
                        disk.flush(LONG).await;
                        // Removed files may come back otherwise.
                        let count = || disk.tier.queue.kept().0;
                        until("files go", || files(directory.path()).len() as u64 == count()).await;
                        let next = kill.then(|| copy_of(directory.path()));
                        close(disk).await;
                        directory = next.unwrap_or(directory);
                        disk = ready(directory.path()).await;
                        hands = [None; 3];
                    }
                }
            }
        });
    }
}
