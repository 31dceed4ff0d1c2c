//! The store as a whole: a model to compare with, and threads.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use proptest::prelude::*;

use super::{shards::UNIT, *};

impl Weighed for u64 {
    fn weight(&self) -> u64 {
        0
    }
}

/// A value that claims to have so many bytes on the heap.
#[derive(Debug)]
struct Heavy(u64);

impl Weighed for Heavy {
    fn weight(&self) -> u64 {
        self.0
    }
}

fn key(number: u64) -> StoreKey {
    StoreKey::of(&[&number.to_ne_bytes()])
}

fn url(number: u64) -> String {
    format!("http://h{}/{}/{number}", number % 3, number % 5)
}

fn entry<V>(begun: Seq, number: u64, value: V) -> StoredEntry<V> {
    let host = format!("h{}", number % 3);
    let tags = [format!("t{}", number % 4), "both".to_owned()];
    let tags = tags.iter().map(String::as_bytes);
    StoredEntry::new(
        Label::new(begun, url(number).as_bytes(), host.as_bytes(), tags).unwrap(),
        value,
    )
}

#[derive(Clone, Debug)]
enum Purge {
    Url(u64),
    Host(u64),
    Tag(u64),
    Prefix(u64, u64),
    All,
}

impl Purge {
    /// The target in words, and whether it hits a number.
    fn purge(&self, store: &Store<u64>, soft: bool) {
        match self {
            Self::Url(number) => store.purge(&PurgeTarget::Url(url(*number).as_bytes()), soft),
            Self::Host(host) => {
                store.purge(&PurgeTarget::Host(format!("h{host}").as_bytes()), soft)
            }
            Self::Tag(tag) => store.purge(&PurgeTarget::Tag(format!("t{tag}").as_bytes()), soft),
            Self::Prefix(host, path) => store
                .purge(&PurgeTarget::Prefix(format!("http://h{host}/{path}/").as_bytes()), soft),
            Self::All => store.purge(&PurgeTarget::All, soft),
        };
    }

    fn hits(&self, number: u64) -> bool {
        match *self {
            Self::Url(other) => number == other,
            Self::Host(host) => number % 3 == host,
            Self::Tag(tag) => number % 4 == tag,
            Self::Prefix(host, path) => number % 3 == host && number % 5 == path,
            Self::All => true,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Begins a fetch in one of four hands.
    Begin(usize, u64),
    /// Ends it.
    End(usize),
    Refresh(u64),
    Remove(u64),
    Purge(Purge, bool),
    Sweep(u32),
    Look(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0_u64..40;
    let purge = prop_oneof![
        number.clone().prop_map(Purge::Url),
        (0_u64..3).prop_map(Purge::Host),
        (0_u64..4).prop_map(Purge::Tag),
        (0_u64..3, 0_u64..5).prop_map(|(host, path)| Purge::Prefix(host, path)),
        Just(Purge::All),
    ];
    let step = prop_oneof![
        6 => (0_usize..4, number.clone()).prop_map(|(hand, number)| Step::Begin(hand, number)),
        6 => (0_usize..4).prop_map(Step::End),
        1 => number.clone().prop_map(Step::Refresh),
        1 => number.clone().prop_map(Step::Remove),
        3 => (purge, any::<bool>()).prop_map(|(purge, soft)| Step::Purge(purge, soft)),
        2 => (1_u32..100).prop_map(Step::Sweep),
        6 => number.prop_map(Step::Look),
    ];
    prop::collection::vec(step, 1..400)
}

/// What is known of an object: its value, and whether it was purged softly.
type Model = HashMap<u64, (u64, bool)>;

fn purge_model(model: &mut Model, hands: &mut [Option<Hand>], purge: &Purge, soft: bool) {
    let hit = |state: &mut PurgeState| {
        *state = (*state).max(if soft { PurgeState::Stale } else { PurgeState::Dead });
    };
    model.retain(|number, (_, stale)| {
        *stale |= purge.hits(*number);
        soft || !purge.hits(*number)
    });
    let in_hand = hands.iter_mut().flatten().filter(|hand| purge.hits(hand.number));
    in_hand.for_each(|hand| hit(&mut hand.state));
}

/// A fetch under way.
#[derive(Clone, Copy)]
struct Hand {
    number: u64,
    begun: Seq,
    state: PurgeState,
    /// Whether a sweep ended since: it may then not be kept.
    swept: bool,
}

proptest! {
    /// With room for all, what is found is exactly what a simple model says.
    #[test]
    fn a_store_is_a_map_with_purges(steps in steps()) {
        let store = Store::new(1 << 24, 1 << 20);
        let (mut model, mut hands, mut sweep, mut value) =
            (Model::new(), [None::<Hand>; 4], Sweep::default(), 0_u64);
        for step in steps {
            value += 1;
            match step {
                Step::Begin(hand, number) => {
                    let state = PurgeState::Alive;
                    hands[hand] = Some(Hand { number, begun: store.now(), state, swept: false });
                }
                Step::End(hand) => if let Some(hand) = hands[hand].take() {
                    let Hand { number, begun, state, swept } = hand;
                    let kept = store.insert(key(number), entry(begun, number, value));
                    prop_assert!(kept == (state != PurgeState::Dead) || swept && !kept);
                    if kept {
                        model.insert(number, (value, state == PurgeState::Stale));
                    }
                },
                Step::Refresh(number) => if let Some(old) = store.peek(key(number)) {
                    let fresh = StoredEntry::new(old.entry.label().renewed(store.now()), value);
                    prop_assert!(store.refresh(key(number), &old.entry, fresh));
                    let again = StoredEntry::new(old.entry.label().renewed(store.now()), 0);
                    prop_assert!(!store.refresh(key(number), &old.entry, again));
                    model.insert(number, (value, false));
                },
                Step::Remove(number) => {
                    store.remove(key(number));
                    model.remove(&number);
                }
                Step::Purge(purge, soft) => {
                    purge.purge(&store, soft);
                    purge_model(&mut model, &mut hands, &purge, soft);
                }
                Step::Sweep(steps) => if store.sweep(&mut sweep, steps).finished {
                    hands.iter_mut().flatten().for_each(|hand| hand.swept = true);
                },
                Step::Look(number) => {
                    let found = store.get(key(number));
                    let found = found.map(|found| (*found.entry.value(), found.stale));
                    prop_assert_eq!(found, model.get(&number).copied());
                }
            }
        }
        let (mut walk, mut shown) = (Walk::default(), HashSet::new());
        while store.walk(&mut walk, 7, |_, entry| { shown.insert(*entry.value()); }) {}
        prop_assert_eq!(shown.len(), model.len());
        store.purge(&PurgeTarget::All, false);
        while !store.sweep(&mut sweep, 10).finished {}
        while !store.sweep(&mut sweep, 10).finished {}
        let stats = store.stats();
        prop_assert_eq!((stats.objects, stats.bytes), (0, 0));
    }

    /// Whatever is inserted and however the capacity changes, the weight is exact and bounded.
    #[test]
    fn the_weight_is_bounded(
        steps in prop::collection::vec((0_u64..200, 0_u64..300_000, 0_u8..20), 1..400)
    ) {
        let store = Store::new(1 << 22, 1 << 18);
        for (number, bytes, kind) in steps {
            match kind {
                0 => store.set_capacity(bytes * 20),
                1 => drop(store.remove(key(number))),
                2..8 => drop(store.get(key(number))),
                _ => { store.insert(key(number), entry(store.now(), number, Heavy(bytes))); }
            }
            let (mut walk, mut weight, mut objects) = (Walk::default(), 0, 0);
            let mut add = |_, entry: &StoredEntry<Heavy>| {
                weight += entry.weight().div_ceil(UNIT) * UNIT;
                objects += 1;
            };
            while store.walk(&mut walk, 1_000, &mut add) {}
            let stats = store.stats();
            prop_assert_eq!((stats.bytes, stats.objects), (weight, objects));
            prop_assert!(stats.bytes <= stats.capacity);
        }
    }
}

#[test]
fn a_resize_keeps_what_fits() {
    let store = Store::new(1 << 24, 1 << 16);
    for number in 0..1_000 {
        store.insert(key(number), entry(store.now(), number, Heavy(8_000)));
    }
    let before = store.stats();
    assert_eq!(before.objects, 1_000);
    store.set_capacity(1 << 25);
    assert_eq!(store.stats().objects, 1_000);
    store.set_capacity(1 << 22);
    let after = store.stats();
    assert!(after.objects > 450 && after.bytes <= 1 << 22, "{after:?}");
    assert_eq!(after.evictions, 1_000 - after.objects);
}

#[test]
fn the_largest_is_as_promised() {
    let store = Store::new(1 << 26, 1 << 23);
    assert!(store.largest() >= 4 << 23);
    assert!(store.insert(key(1), entry(store.now(), 1, Heavy(1 << 23))));
    assert!(!store.insert(key(1), entry(store.now(), 1, Heavy(1 << 27))));
    assert!(store.get(key(1)).is_none(), "what it was to replace is not current");
}

#[test]
fn many_prefixes_are_swept() {
    let store = Store::new(1 << 24, 1 << 16);
    for number in 0..500 {
        store.insert(key(number), entry(store.now(), number, number));
    }
    for number in 0..500 {
        store.purge(&PurgeTarget::Prefix(url(number).as_bytes()), number % 2 == 0);
    }
    assert!(!store.generations().prefixes().are_many() || store.stats().objects < 500);
    for number in 0..500 {
        // One URL is the beginning of others.
        let hard = (0..500).any(|odd| odd % 2 == 1 && url(number).starts_with(&url(odd)));
        let found = store.get(key(number)).map(|found| found.stale);
        assert_eq!(found, (!hard).then_some(true), "{number}");
    }
}

/// After a purge has returned, nobody gets what was fetched before it, and the bytes are bounded.
#[test]
fn threads_see_a_purge_at_once() {
    let store = Arc::new(Store::<u64>::new(1 << 20, 1 << 16));
    let (purged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let looked = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..3_u64)
        .map(|thread| {
            let (store, purged) = (Arc::clone(&store), Arc::clone(&purged));
            let (stop, looked) = (Arc::clone(&stop), Arc::clone(&looked));
            thread::spawn(move || {
                let (mut random, mut late) = (thread + 1, None);
                while !stop.load(SeqCst) {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let number = (random >> 33) % 5_000;
                    let before = purged.load(SeqCst);
                    if let Some(found) = store.get(key(number)) {
                        assert!(*found.entry.value() >= before, "fetched before the purge");
                    }
                    // A fetch that lasts until the next one begins.
                    if let Some((number, begun)) = late.take() {
                        store.insert(key(number), entry(begun, number, begun.0));
                    }
                    late = Some((number, store.now()));
                    looked.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let mut sweep = Sweep::default();
    let mut round = 0;
    // On a busy machine it takes longer until the threads have looked often enough.
    while round < 300 || looked.load(SeqCst) < 1_000 && !threads.iter().any(JoinHandle::is_finished)
    {
        round += 1;
        let tag = PurgeTarget::Tag(b"both");
        let prefix = PurgeTarget::Prefix(b"http://h");
        let number = store.purge(if round % 3 == 0 { &prefix } else { &tag }, false);
        purged.store(number.0, SeqCst);
        store.sweep(&mut sweep, 500);
        let stats = store.stats();
        assert!(stats.bytes <= stats.capacity);
        thread::yield_now();
    }
    stop.store(true, SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn numbers_go_on_from_another_process() {
    let store = Store::new(1 << 24, 1 << 16).starting_at(Seq::from_number(100));
    let stale = StoredEntry::new(Label::untagged(store.now(), b"u", b"h").staled(), 1);
    assert!(store.insert(key(1), stale));
    let found = store.get(key(1)).unwrap();
    assert!(found.stale);
    assert_eq!(store.purge_unswept(&PurgeTarget::Host(b"other"), false).number(), 101);
    assert!(store.get(key(1)).unwrap().stale);
    assert!(!store.remove_if(key(2), &found.entry) && store.remove_if(key(1), &found.entry));
    assert!(!store.remove_if(key(1), &found.entry) && store.get(key(1)).is_none());
}

#[test]
fn a_sweep_does_not_let_a_late_fetch_through() {
    let store = Store::new(1 << 24, 1 << 16);
    let begun = store.now();
    store.purge(&PurgeTarget::Prefix(b"http://h1/"), false);
    let mut sweep = Sweep::default();
    while !store.sweep(&mut sweep, 100).finished {}
    assert!(!store.insert(key(1), entry(begun, 1, 1)));
    assert!(store.get(key(1)).is_none());
    assert!(store.insert(key(1), entry(store.now(), 1, 2)));
}
