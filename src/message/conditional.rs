//! Preconditions: does the client already have this, or an older state of it?
//!
//! Owns: the validators of a file or a stored response, and the order of the tests (RFC 9110
//! §13.2.2). May touch: nothing outside this room. Next: [`super::range`], whose `If-Range` is
//! decided here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE},
};

/// The last second of the year 9999, the last one that an HTTP-date can express.
const LAST_SECOND: u64 = 253_402_300_799;

/// What tells one state of a file or a stored response from another.
#[derive(Clone, Debug, Default)]
pub struct Validators {
    /// An entity tag, with its quotes; a file's is strong.
    pub etag: Option<HeaderValue>,
    /// The time of the last change, as an HTTP-date.
    pub last_modified: Option<HeaderValue>,
    /// The same in seconds since 1970.
    modified: Option<u64>,
    /// From this second on, the date tells this state from all others.
    settled: u64,
}

impl Validators {
    /// The validators of a file of `size` bytes changed at `modified`, asked for at `now`.
    pub fn of_file(modified: SystemTime, size: u64, now: SystemTime) -> Self {
        let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = since_epoch(modified).as_nanos();
        // RFC 9110 §8.8.2.1: a change in the future is reported as a change now.
        let seconds = since_epoch(modified.min(now)).as_secs().min(LAST_SECOND);
        let settled = since_epoch(modified).as_secs().saturating_add(1);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        Self {
            etag: Some(value(format!("\"{nanos:x}-{size:x}\""))),
            last_modified: Some(value(date)),
            modified: Some(seconds),
            settled,
        }
    }

    /// The same for another coding of it: its bytes differ, so its tag must.
    #[must_use]
    pub fn coded(mut self, coding: &str) -> Self {
        let own = self.etag.as_ref().and_then(|it| it.to_str().ok());
        self.etag = own.map(|tag| value(format!("{}-{coding}\"", tag.trim_end_matches('"'))));
        self
    }

    /// The validators of a stored response: as its server gave them, at the `date` of its answer.
    pub fn of_response(
        etag: Option<&[u8]>,
        last_modified: Option<&[u8]>,
        date: Option<&[u8]>,
    ) -> Self {
        let field = |value: &[u8]| HeaderValue::from_bytes(value).ok();
        let modified = last_modified.and_then(seconds);
        // RFC 9110 §8.8.2.2: strong if the server's own clock was past that second.
        let settled = match (modified, date.and_then(seconds)) {
            (Some(modified), Some(date)) if date > modified => 0,
            _ => u64::MAX,
        };
        Self {
            etag: etag.and_then(field),
            last_modified: last_modified.and_then(field),
            modified,
            settled,
        }
    }
}

/// Our own text as a header's value; it is ASCII, so the fallback is never used.
fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

/// What the preconditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: the file is not the one that the client expects.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD, in the order of RFC 9110 §13.2.2. When a request's
/// head is read, it is noted by the same names whether there can be any.
pub fn evaluate(headers: &HeaderMap, current: &Validators) -> Precondition {
    // 1 and 2: If-Match, and If-Unmodified-Since only without it.
    let own = current.etag.as_ref().map(HeaderValue::as_bytes);
    let is_until = |date: u64| current.modified.is_some_and(|modified| modified <= date);
    let holds = if headers.contains_key(IF_MATCH) {
        any_tag(headers, &IF_MATCH, |tag| is_strong(tag) && own == Some(tag))
    } else {
        current.modified.is_none() || date(headers, &IF_UNMODIFIED_SINCE).is_none_or(is_until)
    };
    if !holds {
        return Precondition::Failed;
    }
    // 3 and 4: If-None-Match, and If-Modified-Since only without it.
    let has_it = if headers.contains_key(IF_NONE_MATCH) {
        any_tag(headers, &IF_NONE_MATCH, |tag| own.map(opaque) == Some(opaque(tag)))
    } else {
        date(headers, &IF_MODIFIED_SINCE).is_some_and(is_until)
    };
    if has_it { Precondition::NotModified } else { Precondition::Proceed }
}

/// Step 5: whether a range of the current state is what the client wants (RFC 9110 §13.1.5).
///
/// Only the same strong tag, or exactly the date, proves that the client's part belongs to this
/// state. The date proves it only if it is strong (§8.8.2.2): within the second that it names, the
/// file may change once more and keep its date.
pub fn range_applies(headers: &HeaderMap, current: &Validators, now: SystemTime) -> bool {
    let Some(asked) = headers.get(IF_RANGE) else { return true };
    let is_settled = || {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        since_epoch.as_secs() >= current.settled
    };
    let asked = Some(asked);
    asked == current.etag.as_ref().filter(|tag| is_strong(tag.as_bytes()))
        || asked == current.last_modified.as_ref() && is_settled()
}

/// Whether a list of tags is `*`, or one of its tags satisfies `test`. Reading ends at the first
/// error.
fn any_tag(headers: &HeaderMap, name: &HeaderName, test: impl Fn(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|line| {
        let mut rest = line.as_bytes();
        if rest.trim_ascii() == b"*" {
            return true;
        }
        while let Some((tag, tail)) = next_tag(rest) {
            if test(tag) {
                return true;
            }
            rest = tail;
        }
        false
    })
}

/// The next entity tag of a list. A tag may contain a comma, so the list cannot be split at them.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
    let list = &list[start..];
    let quote = list.len() - opaque(list).len();
    if list.get(quote) != Some(&b'"') {
        return None;
    }
    let end = quote + 1 + list[quote + 1..].iter().position(|byte| *byte == b'"')? + 1;
    let tail = &list[end..];
    let ends = tail.trim_ascii_start();
    (ends.is_empty() || ends[0] == b',').then_some((&list[..end], tail))
}

fn is_strong(tag: &[u8]) -> bool {
    !tag.starts_with(b"W/")
}

/// The tag without its mark of weakness, which weak comparison ignores (RFC 9110 §8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// A date in seconds since 1970; one that cannot be read, or several, count as none (§13.1.3).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut lines = headers.get_all(name).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    seconds(line.as_bytes())
}

/// An HTTP-date in seconds since 1970.
fn seconds(value: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn current() -> Validators {
        let modified = UNIX_EPOCH + Duration::new(784_111_777, 500_000_000);
        Validators::of_file(modified, 31, SystemTime::now())
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let tag = current().etag.expect("a tag");
            let value = value.replace("TAG", tag.to_str().expect("ascii"));
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("name"),
                value.parse().expect("value"),
            );
        }
        headers
    }

    #[test]
    fn weighs_in_order() {
        use Precondition::{Failed, NotModified, Proceed};
        let table: &[(&[(&str, &str)], Precondition)] = &[
            (&[], Proceed),
            (&[("if-match", "TAG")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "\"x\", \"a,b\" , TAG")], Proceed),
            (&[("if-match", "\"x\""), ("if-match", "TAG")], Proceed),
            (&[("if-match", "W/TAG")], Failed),
            (&[("if-match", "\"x\"")], Failed),
            (&[("if-match", "nonsense")], Failed),
            (&[("if-match", "\"xTAG")], Failed),
            (&[("if-match", "")], Failed),
            (&[("if-match", "TAG"), ("if-unmodified-since", BEFORE)], Proceed),
            (&[("if-unmodified-since", DATE)], Proceed),
            (&[("if-unmodified-since", AFTER)], Proceed),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", "yesterday")], Proceed),
            (&[("if-none-match", "TAG")], NotModified),
            (&[("if-none-match", "W/TAG")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", ", ,\"x\",TAG")], NotModified),
            (&[("if-none-match", "\"x\"")], Proceed),
            (&[("if-none-match", "\"x\""), ("if-modified-since", AFTER)], Proceed),
            (&[("if-none-match", "TAG"), ("if-modified-since", BEFORE)], NotModified),
            (&[("if-modified-since", DATE)], NotModified),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", BEFORE)], Proceed),
            (&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[("if-modified-since", AFTER), ("if-modified-since", AFTER)], Proceed),
            (&[("if-match", "\"x\""), ("if-none-match", "TAG")], Failed),
            (&[("if-match", "TAG"), ("if-none-match", "TAG")], NotModified),
            (&[("if-unmodified-since", BEFORE), ("if-modified-since", AFTER)], Failed),
        ];
        for (lines, verdict) in table {
            assert_eq!(evaluate(&headers(lines), &current()), *verdict, "{lines:?}");
        }
    }

    #[test]
    fn a_range_applies_to_the_same_state_only() {
        for (value, applies) in [
            ("TAG", true),
            (DATE, true),
            ("W/TAG", false),
            ("\"x\"", false),
            (AFTER, false),
            ("Sunday, 06-Nov-94 08:49:37 GMT", false),
            ("*", false),
        ] {
            let headers = headers(&[("if-range", value)]);
            assert_eq!(range_applies(&headers, &current(), SystemTime::now()), applies, "{value}");
        }
        assert!(range_applies(&HeaderMap::new(), &current(), SystemTime::now()));
    }

    #[test]
    fn a_date_is_strong_once_its_second_is_over() {
        let by = |validator: &str, millis: u64| {
            let now = UNIX_EPOCH + Duration::from_millis(784_111_777_000 + millis);
            range_applies(&headers(&[("if-range", validator)]), &current(), now)
        };
        assert_eq!([500, 999, 1000].map(|millis| by(DATE, millis)), [false, false, true]);
        assert!(by("TAG", 500));
    }

    #[test]
    fn odd_times_are_told_too() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let later = Validators::of_file(now + Duration::from_secs(99), 1, now);
        assert_eq!(later.last_modified.unwrap(), DATE);
        let early = Validators::of_file(UNIX_EPOCH - Duration::from_secs(9), 1, now);
        assert_eq!(early.last_modified.unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        let far = UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 9);
        assert_eq!(
            Validators::of_file(far, 1, far).last_modified.unwrap(),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }
}
