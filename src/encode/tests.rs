use super::{coded_body::CodedBody, decoder::Decoder, encoder::Encoder, *};
use crate::{
    http1::outgoing::Part,
    message::body::{BodyError, Polled, Source, Want},
    settings::CodingLevels,
};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// What a body does when it is pulled.
#[derive(Clone, Debug)]
enum Act {
    Data(Vec<u8>),
    Wait,
    Trailers,
    Break,
}

struct Script(VecDeque<Act>);

impl Source for Script {
    fn poll_part(&mut self, _: &mut Context<'_>, _: Want) -> Polled {
        let frame = match self.0.pop_front() {
            None => return Poll::Ready(None),
            Some(Act::Wait) => return Poll::Pending,
            Some(Act::Break) => return Poll::Ready(Some(Err(BodyError::Truncated))),
            Some(Act::Data(data)) => Frame::data(data.into()),
            Some(Act::Trailers) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-end", HeaderValue::from_static("1"));
                trailers.insert("content-digest", HeaderValue::from_static("sha-256=:x:"));
                Frame::trailers(trailers)
            }
        };
        Poll::Ready(Some(Ok(Part::Frame(frame))))
    }

    fn length(&self) -> Length {
        Length::Unknown
    }
}

fn script(acts: impl IntoIterator<Item = Act>) -> Body {
    Body::stream(Script(acts.into_iter().collect()))
}

fn encoding(body: Body, coding: Coding, level: u32) -> CodedBody {
    let level =
        CodingLevels { gzip: level.clamp(1, 9), br: level.min(9), zstd: level.clamp(1, 9) as i32 };
    CodedBody::encoding(body, Encoder::new(coding, level, None, false).unwrap(), None)
}

fn decoding(body: Body, coding: Coding) -> CodedBody {
    CodedBody::decoding(body, Decoder::new(coding).unwrap())
}

/// What is pulled out of a body.
#[derive(Debug, Default)]
struct Outcome {
    acts: Vec<Act>,
    failed: bool,
    trailers: Option<HeaderMap>,
}

impl Outcome {
    fn bytes(&self) -> Vec<u8> {
        let parts = self.acts.iter().filter_map(|act| match act {
            Act::Data(data) => Some(&data[..]),
            _ => None,
        });
        parts.collect::<Vec<_>>().concat()
    }
}

/// Pulls until `body` waits `waits` times in a row, which it does for its turns, too.
fn pull(body: &mut dyn Source, most: usize, waits: usize) -> Outcome {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut outcome, mut waited) = (Outcome::default(), 0);
    while body.length() != Length::None {
        match body.poll_part(&mut cx, Want { most, may_move: false }) {
            Poll::Pending => {
                outcome.acts.push(Act::Wait);
                waited += 1;
                if waited == waits {
                    break;
                }
                continue;
            }
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) => outcome.failed = true,
            Poll::Ready(Some(Ok(Part::Moved(_)))) => panic!("nobody asked for it"),
            Poll::Ready(Some(Ok(Part::Frame(frame)))) => match frame.into_data() {
                Ok(data) => outcome.acts.push(Act::Data(data.to_vec())),
                Err(frame) => outcome.trailers = frame.into_trailers().ok(),
            },
        }
        waited = 0;
    }
    outcome
}

const MANY: usize = 1000;

fn text(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 20
    };
    let words = std::iter::repeat_with(|| format!("word{} ", next() % 500));
    words.flat_map(String::into_bytes).take(size).collect()
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..600),
        (1usize..90_000).prop_map(text),
        (1usize..200_000).prop_map(|size| vec![b'x'; size]),
    ];
    let act = prop_oneof![2 => data.prop_map(Act::Data), 1 => Just(Act::Wait)];
    prop::collection::vec(act, 0..12)
}

fn coding() -> impl Strategy<Value = Coding> {
    (0usize..3).prop_map(|at| Coding::ALL[at])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_decoded_is_what_was_encoded(
        acts in acts(),
        coding in coding(),
        level in 0u32..10,
        most in 1usize..70_000,
        trailers: bool,
    ) {
        let wanted = Outcome { acts: acts.clone(), ..Outcome::default() }.bytes();
        let acts = acts.into_iter().chain(trailers.then_some(Act::Trailers));
        let coded = pull(&mut encoding(script(acts), coding, level), most, MANY);
        prop_assert!(!coded.failed);
        let told = coded.trailers.as_ref().map(|it| it.keys().map(http::HeaderName::as_str).collect());
        prop_assert_eq!(told, trailers.then(|| vec!["x-end"]));
        let decoded = pull(&mut decoding(script(coded.acts), coding), most, MANY);
        prop_assert!(!decoded.failed);
        prop_assert!(decoded.bytes() == wanted);
    }

    #[test]
    fn a_body_that_breaks_off_has_no_end(acts in acts(), coding in coding()) {
        let wanted = Outcome { acts: acts.clone(), ..Outcome::default() }.bytes();
        let acts = acts.into_iter().chain([Act::Break]);
        let coded = pull(&mut encoding(script(acts), coding, 4), MANY, MANY);
        prop_assert!(coded.failed);
        let some = !coded.bytes().is_empty();
        let decoded = pull(&mut decoding(script(coded.acts), coding), MANY, MANY);
        // All that came has gone on, and nobody takes it for the whole.
        prop_assert!(decoded.bytes() == wanted && decoded.failed == some);
    }

    #[test]
    fn noise_is_refused_or_decoded_and_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        coding in coding(),
    ) {
        pull(&mut decoding(script([Act::Data(noise)]), coding), MANY, MANY);
    }
}

/// Gives an event for each that has been let out, and no end.
struct Events {
    out: Arc<AtomicUsize>,
    given: usize,
}

impl Source for Events {
    fn poll_part(&mut self, _: &mut Context<'_>, _: Want) -> Polled {
        if self.given == self.out.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.given += 1;
        Poll::Ready(Some(Ok(Part::Frame(Frame::data("data: 1\n\n".into())))))
    }

    fn length(&self) -> Length {
        Length::Unknown
    }
}

#[test]
fn what_has_come_is_given_as_soon_as_nothing_more_comes() {
    // More than a body waits for its turns.
    const LONG: usize = 50;
    for coding in Coding::ALL {
        let out = Arc::<AtomicUsize>::default();
        let source = Events { out: Arc::clone(&out), given: 0 };
        let mut body = encoding(Body::stream(source), coding, 4);
        let mut acts = Vec::new();
        for events in 1..=3 {
            out.store(events, Ordering::Relaxed);
            acts.extend(pull(&mut body, MANY, LONG).acts);
            let so_far = acts.iter().filter(|act| matches!(act, Act::Data(_))).cloned();
            let so_far = script(so_far.chain([const { Act::Wait }; LONG]));
            let decoded = pull(&mut decoding(so_far, coding), MANY, LONG).bytes();
            assert_eq!(decoded.len(), 9 * events, "{coding:?}");
        }
    }
}

#[test]
fn a_bomb_is_let_out_in_small_parts() {
    for coding in Coding::ALL {
        let zeros = Act::Data(vec![0; 20_000_000]);
        let bomb = pull(&mut encoding(script([zeros]), coding, 6), 1 << 20, 100_000).bytes();
        assert!(bomb.len() < 40_000, "{coding:?}: {}", bomb.len());
        let decoded = pull(&mut decoding(script([Act::Data(bomb)]), coding), 1 << 20, 100_000);
        let sizes = decoded.acts.iter().map(|act| match act {
            Act::Data(data) => data.len(),
            _ => 0,
        });
        assert!(sizes.clone().all(|size| size <= 20 * 1024), "{coding:?}: {:?}", sizes.max());
        assert_eq!(decoded.bytes().len(), 20_000_000);
    }
}

#[test]
fn an_encoded_body_that_is_cut_is_no_whole_one() {
    for coding in Coding::ALL {
        let whole =
            pull(&mut encoding(script([Act::Data(text(50_000))]), coding, 4), MANY, MANY).bytes();
        for cut in [1, 9, whole.len() / 2, whole.len() - 1] {
            let part = Act::Data(whole[..cut].to_vec());
            assert!(
                pull(&mut decoding(script([part]), coding), MANY, MANY).failed,
                "{coding:?} {cut}"
            );
        }
        // None at all is an empty one; what follows the end does not matter.
        assert!(!pull(&mut decoding(script([]), coding), MANY, MANY).failed);
        let acts = [Act::Data(whole), Act::Data(b"\n".to_vec())];
        let decoded = pull(&mut decoding(script(acts), coding), MANY, MANY);
        if coding != Coding::Zstd {
            assert!(!decoded.failed && decoded.bytes() == text(50_000), "{coding:?}");
        }
    }
}

#[test]
fn members_are_joined() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let member = |text: &str| {
            let acts = [Act::Data(text.into())];
            pull(&mut encoding(script(acts), coding, 4), MANY, MANY).bytes()
        };
        let both = [member("one "), member("two")].concat();
        for split in [1, both.len() / 2, both.len() - 1] {
            let (first, second) = both.split_at(split);
            let acts = [Act::Data(first.to_vec()), Act::Wait, Act::Data(second.to_vec())];
            let decoded = pull(&mut decoding(script(acts), coding), MANY, MANY);
            assert_eq!((decoded.bytes(), decoded.failed), (b"one two".to_vec(), false));
        }
    }
}

#[test]
fn a_client_that_takes_nothing_has_nothing_coded_for_it() {
    let mut body =
        encoding(script([Act::Data(text(1000)), Act::Data(text(1000))]), Coding::Gzip, 4);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..5 {
        assert!(body.poll_part(&mut cx, Want { most: 0, may_move: false }).is_pending());
    }
    assert_eq!(body.length(), Length::Unknown);
    let coded = pull(&mut body, MANY, MANY);
    let decoded = pull(&mut decoding(script(coded.acts), Coding::Gzip), MANY, MANY);
    assert_eq!(decoded.bytes(), [text(1000), text(1000)].concat());
}
