//! The trace that a request belongs to (W3C Trace Context).
//!
//! Owns: `traceparent`, read and written. May touch: nothing outside this room. Kept as the
//! hexadecimal digits that logs and servers get. `tracestate` and `baggage` belong to others and
//! pass as they came.

use super::request_id::{RequestId, RequestIds, SpanId, TraceId};
use http::HeaderName;

/// The field's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Belongs to a `traceparent`: without a valid one it means nothing.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The bit of the flags that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// A caller's word about the trace that it takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span.
    pub span: SpanId,
    /// The flags, as a number.
    pub flags: u8,
}

/// A request's place in a trace.
#[derive(Clone, Debug)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span; `None` if the trace begins here.
    pub parent: Option<SpanId>,
    /// The request's own span.
    pub span: SpanId,
    /// The span that a server is told as its parent: the attempt's.
    pub attempt: SpanId,
    flags: u8,
}

impl TraceParent {
    /// Reads a field's value. Later versions may add to the end, and are read as far as this one
    /// goes (§4.3 of the specification).
    pub fn read(value: &[u8]) -> Option<Self> {
        let (fixed, more) = value.split_at_checked(LENGTH)?;
        let [version @ .., b'-'] = *fixed.first_chunk::<3>()? else { return None };
        let fits = match &version {
            b"00" => more.is_empty(),
            b"ff" => false,
            version => version.iter().copied().all(is_digit) && matches!(more, [] | [b'-', ..]),
        };
        let dashes = fixed[35] == b'-' && fixed[52] == b'-';
        let trace: TraceId = fixed[3..35].try_into().ok()?;
        let span: SpanId = fixed[36..52].try_into().ok()?;
        let flags = [fixed[53], fixed[54]];
        let are_digits = trace.iter().chain(&span).chain(&flags).copied().all(is_digit);
        let are_ids = trace != [b'0'; 32] && span != [b'0'; 16];
        let is_valid = fits && dashes && are_digits && are_ids;
        is_valid.then(|| Self { trace, span, flags: number(&flags) as u8 })
    }

    /// The trace's id in a valid field, as text.
    pub fn trace_text(value: &[u8]) -> Option<&str> {
        Self::read(value)?;
        std::str::from_utf8(value.get(3..35)?).ok()
    }

    /// Whether the caller records the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Only lower-case digits are valid.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The number that digits stand for.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| {
        let value = if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
        number << 4 | u64::from(value)
    })
}

impl TraceContext {
    /// A place in the caller's trace, or in a new one. An id that we made for the request is also
    /// good for its trace: then both are the same in every log.
    pub fn begin(parent: Option<TraceParent>, id: &RequestId, ids: &RequestIds) -> Self {
        let span = ids.span();
        let (trace, flags) = match (&parent, id) {
            (Some(parent), _) => (parent.trace, parent.flags),
            (None, RequestId::Made(digits)) => (*digits, 0),
            (None, RequestId::Passed(_)) => (ids.trace(), 0),
        };
        let parent = parent.map(|it| it.span);
        Self { trace, parent, span, attempt: span, flags }
    }

    /// The trace's id as text.
    pub fn trace_text(&self) -> &str {
        std::str::from_utf8(&self.trace).unwrap_or_default()
    }

    /// The number that a ratio of traces is chosen by: the same at each hop (its low 56 bits are
    /// random by the specification's second level).
    pub fn chance(&self) -> u64 {
        number(&self.trace[18..])
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Decides whether it is.
    pub fn set_sampled(&mut self, sampled: bool) {
        self.flags = self.flags & !SAMPLED | u8::from(sampled);
    }

    /// The field's value for a server.
    pub fn write(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        out.extend_from_slice(b"00-");
        out.extend_from_slice(&self.trace);
        out.push(b'-');
        out.extend_from_slice(&self.attempt);
        // Flags that this version does not know are not passed on (§3.2.2.5).
        let flags = self.flags & 0b11;
        out.extend_from_slice(&[b'-', b'0', DIGITS[usize::from(flags)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(value: &str) -> Option<TraceParent> {
        TraceParent::read(value.as_bytes())
    }

    #[test]
    fn what_is_valid_by_the_specification() {
        let parent = read(GOOD).expect("valid");
        assert_eq!(&parent.trace, b"4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(&parent.span, b"00f067aa0ba902b7");
        assert!(parent.is_sampled());
        assert!(!read(&GOOD.replace("-01", "-00")).expect("valid").is_sampled());
        // A later version, with and without more at its end.
        assert_eq!(read(&GOOD.replace("00-4", "cc-4")), Some(parent));
        assert_eq!(read(&GOOD.replace("00-4", "cc-4").replace("-01", "-01-new")), Some(parent));
    }

    #[test]
    fn what_is_not() {
        for bad in [
            "",
            "00",
            &GOOD[1..],
            &GOOD[..54],
            &GOOD.to_uppercase(),
            &GOOD.replace("00-4", "ff-4"),
            &GOOD.replace("00-4", "0g-4"),
            &GOOD.replace("-01", "-01-"),
            &GOOD.replace("-01", "-0x"),
            &GOOD.replace("00-4", "cc-4").replace("-01", "-01x"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(
            trace in "[0-9a-f]{31}[1-9]",
            span in "[0-9a-f]{15}[1-9]",
            flags in 0u8..4,
            passed: bool,
        ) {
            let ids = RequestIds::new();
            let parent = read(&format!("00-{trace}-{span}-0{flags:x}"));
            prop_assert!(parent.is_some());
            let id = RequestId::Passed("x".into());
            let mut context = TraceContext::begin(parent.filter(|_| passed), &id, &ids);
            prop_assert_eq!(context.parent.is_some(), passed);
            context.attempt = ids.span();
            let mut written = Vec::new();
            context.write(&mut written);
            let again = TraceParent::read(&written).expect("valid");
            prop_assert_eq!((again.trace, again.span), (context.trace, context.attempt));
            prop_assert_eq!(again.flags, if passed { flags } else { 0 });
            prop_assert_eq!(passed, context.trace_text() == trace);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            TraceParent::read(&bytes);
        }
    }

    #[test]
    fn a_trace_that_begins_here_has_the_request_s_id() {
        let ids = RequestIds::new();
        let id = ids.trace();
        let context = TraceContext::begin(None, &RequestId::Made(id), &ids);
        assert_eq!(context.trace, id);
        assert!(!context.is_sampled());
    }
}
